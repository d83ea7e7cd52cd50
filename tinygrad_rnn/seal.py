"""Seals: how the tape notices a write to an array that a pending backward still needs.

An array that a user can reach (a leaf's, a constant operand, or a view of one) may be changed at any time, by NumPy, behind
the tape's back. When a node keeps such an array, the tape seals it with a checksum; before a backward computes anything it checks
the seals of all the nodes it will visit. The nodes that keep an array share one seal, and it goes when the last of them lets go.
"""

from __future__ import annotations

import weakref
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Seal", "seal"]

_seals: weakref.WeakValueDictionary[int, Seal] = weakref.WeakValueDictionary()


class Seal:
    """A checksum of an array's bytes, taken when the tape first kept it."""

    __slots__ = ("__weakref__", "array", "checksum", "name")

    def __init__(self, array: npt.NDArray[Any], name: str) -> None:
        self.array = array
        self.name = name
        self.checksum = _checksum(array)

    def check(self) -> None:
        """Raise `RuntimeError` if the array is not what it was."""
        if _checksum(self.array) != self.checksum:
            raise RuntimeError(
                f"backward: the array of {self.name} (shape {self.array.shape}, dtype {self.array.dtype}) was written to "
                "after the forward pass used it and before this backward, which needs the old values; "
                "write to it after backward(), or give the forward pass a copy"
            )


def seal(array: npt.NDArray[Any], name: str) -> Seal:
    """The seal of an array, made if there is none that is still in use."""
    found = _seals.get(id(array))
    if found is None:  # a live seal keeps its array alive, so an id can't be met again in another array
        found = _seals[id(array)] = Seal(array, name)
    return found


def _checksum(array: npt.NDArray[Any]) -> int:
    return zlib.crc32(array if array.flags.c_contiguous else np.ascontiguousarray(array))
