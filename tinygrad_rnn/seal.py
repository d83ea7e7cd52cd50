"""Seals: how the tape notices a write to an array that a pending backward still needs.

An array that a user can reach (a leaf's, a constant operand, or a view of one) may be changed at any time, by NumPy,
behind the tape's back. When a node keeps such an array, the tape seals it with a checksum; before a backward computes
anything it checks the seals of all the nodes it will visit. The nodes that keep an array share one seal, and it goes
when the last of them lets go.
"""

from __future__ import annotations

import weakref
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Seal", "seal", "seal_of", "turned"]

_seals: dict[
    int, weakref.ref[Seal]
] = {}  # by the id of the array; a live seal keeps its array, so no other can have that id
_sweep_at = 1024


class Seal:
    """A checksum of an array's bytes, taken when the tape first kept it."""

    __slots__ = ("__weakref__", "array", "checksum", "name", "turned", "uses")

    def __init__(self, array: npt.NDArray[Any], name: str) -> None:
        self.array = array
        self.name = name
        self.checksum = _checksum(array)
        self.uses = 0
        self.turned: npt.NDArray[Any] | None = None

    def check(self) -> None:
        """Raise `RuntimeError` if the array is not what it was."""
        if _checksum(self.array) != self.checksum:
            raise RuntimeError(
                f"backward: the array of {self.name} (shape {self.array.shape}, dtype {self.array.dtype}) was written "
                "to after the forward pass used it and before this backward, which needs the old values; "
                "write to it after backward(), or give the forward pass a copy"
            )


def seal(array: npt.NDArray[Any], name: str) -> Seal:
    """Seal an array that has no seal in use. `name` says what an error calls it."""
    global _sweep_at
    made = Seal(array, name)
    _seals[id(array)] = weakref.ref(made)
    if len(_seals) > _sweep_at:
        for key in [key for key, ref in _seals.items() if ref() is None]:
            del _seals[key]
        _sweep_at = max(1024, 2 * len(_seals))
    return made


def seal_of(array: npt.NDArray[Any]) -> Seal | None:
    """The seal of an array, if it has one that is in use."""
    ref = _seals.get(id(array))
    return None if ref is None else ref()


def turned(matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The transpose of a matrix; of a sealed one, from its second use on, as a contiguous copy.

    BLAS multiplies by that up to twice as fast.
    A weight of a recurrent network is used once every time step, and between sealing and backward it can't change.
    """
    found = seal_of(matrix)
    if found is None or matrix.ndim != 2:
        return matrix.swapaxes(-1, -2)
    found.uses += 1
    if found.uses > 1 and found.turned is None:
        found.turned = np.ascontiguousarray(matrix.T)
    return matrix.T if found.turned is None else found.turned


_BLOCK = 1 << 13  # bytes
_WEIGHTS = np.random.default_rng(0).integers(0, 1 << 63, _BLOCK // 8, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _checksum(array: Any) -> int:
    """A number that any change of the array changes: a CRC; of a larger array the CRC of weighted sums over blocks.

    The weights are odd, so that a change of one word alone always shows, and differ, so that exchanging two does. It
    takes a third of the time of a CRC of all the bytes.
    """
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    if array.nbytes <= _BLOCK:
        return zlib.crc32(array)
    data = array.reshape(-1).view(np.uint8)
    whole = len(data) // _BLOCK * _BLOCK
    sums: Any = data[:whole].view(np.uint64).reshape(-1, _BLOCK // 8) @ _WEIGHTS
    return zlib.crc32(data[whole:], zlib.crc32(sums))
