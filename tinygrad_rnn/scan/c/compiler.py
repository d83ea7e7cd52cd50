"""C compiled by the system's compiler, and kept on disk for the next process."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import platformdirs

from ..errors import CompilerError

__all__ = ["compiler", "library", "prepare"]

_HERE = Path(__file__).parent
# Nothing that changes results: no reassociation but where a loop asks for it, products rounded before they are added.
# What CFLAGS says is left out, for it may.
_FLAGS = ["-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fopenmp-simd"]
# A name that hides another, or a pointer to what mustn't be written to, would be a mistake in what was written.
_FLAGS += ["-Werror=shadow", "-Werror=discarded-qualifiers", "-Werror=incompatible-pointer-types", "-shared", "-fPIC"]
_MACHINE = {
    "x86_64": ["-march=native", "-mprefer-vector-width=512"],
    "AMD64": ["-march=native"],
    "aarch64": ["-mcpu=native"],
    "arm64": ["-mcpu=native"],
}
_KEPT = 1000  # libraries on disk


def compiler() -> list[str]:
    """The command of the C compiler: what `CC` says, or else cc, gcc or clang. Raises `CompilerError`."""
    wanted = shlex.split(os.environ.get("CC", ""))
    for name in wanted[:1] or ["cc", "gcc", "clang"]:
        found = shutil.which(name)
        if found and not _is_stub(found):
            return [found, *wanted[1:]]
    looked_for = f"CC says {wanted[0]!r}" if wanted else "cc, gcc or clang"
    raise CompilerError(
        f"scan_backend: there is no C compiler on the PATH ({looked_for}); "
        "install gcc or clang, name one in the environment variable CC, or choose 'numpy'"
    )


@functools.cache
def _is_stub(path: str) -> bool:
    """Whether it is what macOS has where no compiler is installed: to run it would open a window that asks for one."""
    if platform.system() != "Darwin" or Path(path).parent != Path("/usr/bin"):
        return False
    return subprocess.run(["xcode-select", "-p"], capture_output=True, check=False).returncode != 0


@functools.lru_cache(256)
def library(source: str) -> ctypes.CDLL:
    """The library of a source. Raises `CompilerError` if it can't be compiled or loaded."""
    (path,) = prepare([source])
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilerError(f"scan_backend: a loop in C was compiled but can't be loaded: {error}") from None


def prepare(sources: Iterable[str]) -> list[Path]:
    """Where the libraries are; those that aren't on disk yet are compiled, side by side. Raises `CompilerError`."""
    try:
        names = {_name(source): source for source in sources}
        paths = {name: path for name in names if (path := _whole(name))}
        with contextlib.ExitStack() as running:
            missing = [name for name in names if name not in paths]
            waits = [running.enter_context(_compiling(names[name], name)) for name in missing]
            paths.update((name, wait()) for name, wait in zip(missing, waits, strict=True))
    except OSError as error:
        raise CompilerError(f"scan_backend: a loop in C can't be compiled: {error}") from None
    if missing:
        _forget_the_oldest(_cache())
    return [paths[name] for name in names]


def _whole(name: str) -> Path | None:
    """Where a library is, if all of it is: to load a part of one may end the process."""
    folders = [_cache(), *([_of_this_process()] if _of_this_process.cache_info().currsize else [])]
    for folder in folders:
        with contextlib.suppress(OSError):
            content = (folder / name).read_bytes()
            if _digest(content[:-_DIGEST]) == content[-_DIGEST:]:
                with contextlib.suppress(OSError):
                    (folder / name).touch()
                return folder / name
    return None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


_DIGEST = len(_digest(b""))


@contextlib.contextmanager
def _compiling(source: str, name: str) -> Iterator[Callable[[], Path]]:
    """A compiler at work on a library, and what waits for it and says where it is."""
    with tempfile.TemporaryDirectory(prefix="tinygrad_rnn_", ignore_cleanup_errors=True) as folder:
        text, made = Path(folder, "loop.c"), Path(folder, "loop.so")
        # Not every compiler reads letters such as δ in names, but each knows their numbers.
        text.write_text(re.sub(r"[^\x00-\x7f]", lambda c: f"\\U{ord(c[0]):08x}", source), encoding="ascii")
        command = [*_command(), f"-I{_HERE}", "-o", str(made), str(text), "-lm"]
        with subprocess.Popen(
            command,
            env={**os.environ, "TMPDIR": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:

            def wait() -> Path:
                errors = process.communicate()[1]
                if process.returncode:
                    raise CompilerError(_failure(command, process.returncode, errors))
                return _keep(made.read_bytes(), name)

            try:
                yield wait
            finally:
                process.kill()  # after an error or a Ctrl-C


def _keep(content: bytes, name: str) -> Path:
    """Put a library in the cache; where that can't be written to, in a folder that goes with the process."""
    try:
        return _put(content, _cache() / name)
    except OSError:
        return _put(content, _of_this_process() / name)


def _put(content: bytes, path: Path) -> Path:
    """Write a file of which another process, or thread, sees all or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}_{threading.get_ident()}")
    try:
        unfinished.write_bytes(content + _digest(content))
        return unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _failure(command: Sequence[str], status: int, errors: str) -> str:
    return f"scan_backend: {command[0]} can't compile a loop (exit status {status}):\n{errors[:2000]}"


def _command() -> list[str]:
    return [*compiler(), *_FLAGS, *_MACHINE.get(platform.machine(), [])]


@functools.lru_cache(8)
def _macros(command: tuple[str, ...]) -> str:
    """What a compiler says of itself and of the processor that it compiles for."""
    ask = [*command, "-E", "-dM", "-x", "c", os.devnull]
    done = subprocess.run(ask, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise CompilerError(_failure(command, done.returncode, done.stderr))
    return done.stdout


def _name(source: str) -> str:
    """What a source's library is called: by everything that it depends on."""
    command = _command()
    header = (_HERE / "loop.h").read_text(encoding="utf-8")
    parts = [*command, _macros(tuple(command)), *platform.libc_ver(), header, source]
    return f"{_digest(chr(0).join(parts).encode()).hex()}.so"


def _cache() -> Path:
    """The folder that `TINYGRAD_RNN_CACHE` says, or one where the system has its users' caches."""
    wanted = os.environ.get("TINYGRAD_RNN_CACHE")
    folder = Path(wanted) if wanted else platformdirs.user_cache_path("tinygrad_rnn", appauthor=False)
    return folder.expanduser().absolute()


@functools.cache
def _of_this_process() -> Path:
    """A folder that goes with it."""
    folder = tempfile.mkdtemp(prefix="tinygrad_rnn_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _forget_the_oldest(folder: Path) -> None:
    """Keep those libraries that were used last."""
    ours = "[0-9a-f]" * (2 * _DIGEST) + ".so"  # somebody else's may lie there too
    with contextlib.suppress(OSError):  # another process may do the same
        for path in sorted(folder.glob(ours), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
            path.unlink()
