"""In what the loops of programs are written: the setting."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from ..setting import Setting, setting_to

__all__ = ["Backend", "Language", "backend", "scan_backend", "set_scan_backend"]

Language: TypeAlias = Literal["numpy", "c"]
Backend: TypeAlias = Literal["auto", "numpy", "c"]

backend: Setting[Backend] = Setting("scan_backend", "auto")


def _checked(what: str, name: Backend) -> Backend:
    if name not in get_args(Backend):
        raise ValueError(f"{what}: want 'auto', 'numpy' or 'c', got {name!r}")
    if name == "c":
        from .c.compiler import compiler

        compiler()  # there must be one
    return name


def set_scan_backend(name: Backend) -> None:
    """In what `scan`, and so the layers, write their loops from now on; see `scan_backend`."""
    backend.set(_checked("set_scan_backend", name))


class scan_backend(setting_to[Backend], setting=backend):  # noqa: N801 - a context manager, used like a function
    """Within this context, or a function decorated with it, `scan` writes its loops in `"numpy"` or in `"c"`.

    `"auto"`, the default, is C for loops of 8 steps and more where there is a C compiler, and else NumPy. It is NumPy,
    too, for a cell whose sizes or numbers are others at nearly every call, for each would have to be compiled, and
    (with a warning) where the compiler fails.

    C makes a training step up to 3 times as fast (benchmarks/timeloop.md). The compiler is run once
    for each loop of a cell, in 0.1 to 0.3 s, and what it made is kept on disk for the next process: in the user's
    cache, or where the environment variable `TINYGRAD_RNN_CACHE` says. All but the loops stays in NumPy. Results are
    NumPy's to a few units in the last place; NumPy's warnings of overflow aren't given. A loop with an operation that
    isn't there in C is written in NumPy. `scan_program(…).explain()` says what a loop is run in, and why.

    Raises `ValueError` for another name, `RuntimeError` for `"c"` if there is no compiler (`CC`, cc, gcc, clang).

    >>> import tinygrad_rnn as tg
    >>> with tg.scan_backend("numpy"):
    ...     h, _ = tg.scan(lambda h, x: (tg.tanh(0.5 * h + x), None), 0.0, tg.tensor([1.0, 0.0, 0.0]))
    >>> h
    tensor(0.17972621)
    """

    def __init__(self, name: Backend) -> None:
        super().__init__(_checked("scan_backend", name))
