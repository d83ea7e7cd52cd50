"""Seals: how the tape notices a write to an array that a pending backward still needs.

An array that a user can reach (a leaf's, a constant operand, or a view of one) may be changed at any time, by NumPy,
behind the tape's back. When a node keeps such an array, the tape seals it with a checksum; before a backward computes
anything it checks the seals of all the nodes it will visit. Nodes that keep the same array share its seal, and it goes
when the last of them lets go.

A weight is kept once every time step, so its checksum isn't taken again at every use, but only when there was occasion
to write to it: an access to some tensor's `.data`, or a backward, starts a new *era*, and a seal of an earlier era is
checked before it is shared.
"""

from __future__ import annotations

import threading
import weakref
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Seal", "eras_begun", "find", "new_era", "seal"]

_seals: dict[int, weakref.ref[Seal]] = {}  # by the id of the array; a live seal keeps its array, so ids don't recur
_sweep_at = 1024
_era = 0
_own = threading.local()


class Seal:
    """A checksum of an array's bytes, taken when the tape kept it."""

    __slots__ = ("__weakref__", "array", "checksum", "era", "name")

    def __init__(self, array: npt.NDArray[Any], name: Callable[[], str]) -> None:
        self.array = array
        self.name = name  # a function, for it is rarely asked
        self.era = _era
        self.checksum = _checksum(array)

    def is_whole(self) -> bool:
        """Whether the array is what it was."""
        return _checksum(self.array) == self.checksum

    def check(self) -> None:
        """Raise `RuntimeError` if the array is not what it was."""
        if not self.is_whole():
            raise RuntimeError(
                f"backward: the array of {self.name()} (shape {self.array.shape}, dtype {self.array.dtype}) was "
                "written to after the forward pass used it and before this backward, which needs the old values; "
                "write to it after backward(), or give the forward pass a copy"
            )


def new_era() -> None:
    """Say that somebody may be about to write to an array."""
    global _era
    _era += 1
    _own.eras = eras_begun() + 1


def eras_begun() -> int:
    """How many eras this thread has begun: one more, where it may have written to an array."""
    return getattr(_own, "eras", 0)


def find(array: npt.NDArray[Any]) -> Seal | None:
    """The seal of an array as it is now, if there is one in use."""
    ref = _seals.get(id(array))
    found = None if ref is None else ref()
    if found is None or found.era == _era:
        return found
    if not found.is_whole():
        return None
    found.era = _era
    return found


def seal(array: npt.NDArray[Any], name: Callable[[], str]) -> Seal:
    """Seal an array as it is now, so that others can share the seal. `name` says what an error calls it."""
    global _sweep_at
    made = Seal(array, name)
    _seals[id(array)] = weakref.ref(made)
    if len(_seals) > _sweep_at:
        for key, ref in _seals.copy().items():  # a copy, for other threads go on sealing
            if ref() is None and _seals.get(key) is ref:
                _seals.pop(key, None)
        _sweep_at = max(1024, 2 * len(_seals))
    return made


def _checksum(array: Any) -> int:
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return zlib.crc32(array)
