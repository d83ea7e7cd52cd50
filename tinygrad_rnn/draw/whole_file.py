"""Files that appear whole or not at all."""

import os
import secrets
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, data: bytes) -> None:
    """Into a new file beside `path` that then takes its name: a reader never sees half of it. Raises `OSError`."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    # Opened by hand, so that the system applies the umask: to ask for it is to change it, for all threads.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
