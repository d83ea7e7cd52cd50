"""In what the loops of programs are written."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..setting import Setting, setting_to

__all__ = ["Backend", "backend", "scan_backend", "set_scan_backend"]

Backend: TypeAlias = Literal["numpy", "c"]

backend: Setting[Backend] = Setting("scan_backend", "numpy")


def _checked(what: str, name: Backend) -> Backend:
    if name not in ("numpy", "c"):
        raise ValueError(f"{what}: want 'numpy' or 'c', got {name!r}")
    if name == "c":
        from .c.compiler import compiler

        compiler()  # there must be one
    return name


def set_scan_backend(name: Backend) -> None:
    """In what `scan`, and so the layers, write their loops from now on; see `scan_backend`."""
    backend.set(_checked("set_scan_backend", name))


class scan_backend(setting_to[Backend], setting=backend):  # noqa: N801 - a context manager, used like a function
    """Within this context, or a function decorated with it, `scan` writes its loops in `"numpy"` or `"c"`.

    NumPy is the default. C makes a training step of small arrays up to 3 times as fast (benchmarks/timeloop.md). It
    takes a C compiler, which is run once in a process for each loop of a cell (0.1 to 0.3 s); all but the loops stays
    in NumPy. Results are NumPy's to a few units in the last place; NumPy's warnings of overflow aren't given. A loop
    with an operation that isn't there in C stays in NumPy; `scan_program(…).explain()` says so.

    Raises `ValueError` for another name, `RuntimeError` if there is no compiler (`CC`, cc, gcc, clang).

    >>> import tinygrad_rnn as tg
    >>> with tg.scan_backend("numpy"):
    ...     h, _ = tg.scan(lambda h, x: (tg.tanh(0.5 * h + x), None), 0.0, tg.tensor([1.0, 0.0, 0.0]))
    >>> h
    tensor(0.17972621)
    """

    def __init__(self, name: Backend) -> None:
        super().__init__(_checked("scan_backend", name))
