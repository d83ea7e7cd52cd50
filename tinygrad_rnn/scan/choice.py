"""In what a loop is run: what was asked for, or under "auto" what pays."""

from __future__ import annotations

import functools
import os
import warnings
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from .backend import Language, backend
from .capture import Capture
from .errors import CompilerError

__all__ = ["chosen", "decided", "give_up"]

_WORTH_IT = 8  # steps: what a shorter loop saves doesn't repay the compiler
_ANYHOW = 8  # structures of one cell that are compiled in C, however seldom they are run
_RUNS = 50  # how often those of a cell that has more must have been run, on average


@dataclass
class _Tally:
    """How often the loops of a cell have been run, and how many structures of it are in C."""

    runs: int = 0
    structures: int = 0


_tallies: WeakKeyDictionary[Any, _Tally] = WeakKeyDictionary()
_failed = False  # whether the compiler has


def chosen(captured: Capture, length: int) -> tuple[Language, str]:
    """In what the loop of a captured step is run, and if "auto" has it in NumPy, why."""
    given = _given(captured, length)
    if given is not None:
        return given
    if _pays(captured):
        return "c", ""
    return "numpy", f"the cell comes in too many structures, {_tally(captured).structures} are in C already"


def decided(captured: Capture, length: int) -> Language:
    """In what the loop of a captured step is run now. It stays so, lest its results change after some calls."""
    given = _given(captured, length)
    if given is not None:
        return given[0]
    tally, end = _tally(captured), captured.end
    tally.runs += 1
    if end.in_c is None:
        end.in_c = _pays(captured)
        tally.structures += end.in_c
    return "c" if end.in_c else "numpy"


def _given(captured: Capture, length: int) -> tuple[Language, str] | None:
    """In what a loop is run, whatever has been run before; `None` if that decides."""
    asked = backend.get()
    if asked != "auto":
        return asked, ""
    if length < _WORTH_IT:
        return "numpy", f"it has fewer than {_WORTH_IT} steps"
    if _failed:
        return "numpy", "the C compiler failed"
    if captured.end.in_c is None and (why := _missing(os.environ.get("CC"), os.environ.get("PATH"))):
        return "numpy", why
    return None


def _pays(captured: Capture) -> bool:
    tally = _tally(captured)
    enough = tally.structures < _ANYHOW or tally.runs >= _RUNS * tally.structures
    return enough if captured.end.in_c is None else captured.end.in_c


def _tally(captured: Capture) -> _Tally:
    return _tallies.setdefault(captured.loop.code or type(captured.loop.cell), _Tally())


@functools.lru_cache(8)
def _missing(cc: str | None, path: str | None) -> str:
    """What there isn't of a C compiler, with these variables in the environment; empty, if there is one."""
    from .c.compiler import compiler

    try:
        compiler()
    except CompilerError as error:
        return str(error).partition(";")[0].removeprefix("scan_backend: ")
    return ""


def give_up(error: CompilerError) -> None:
    """Under "auto", write no more loops in C, and warn."""
    global _failed
    _failed = True
    warnings.warn(
        f"scan: from now on loops are run in NumPy, for the C compiler failed; tg.set_scan_backend('numpy') leaves it "
        f"alone. {error}",
        stacklevel=4,
    )
