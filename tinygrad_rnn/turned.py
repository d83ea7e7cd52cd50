"""Transposes made contiguous, once in a backward pass.

BLAS multiplies by a contiguous transpose up to twice as fast as by a view, and a recurrent weight's is used at every
time step. No array changes while a backward runs, so there, and only there, the copy can be kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["backward_pass", "turned"]

# By the id of a matrix: the matrix itself, and its contiguous transpose from the second use on.
_kept: ContextVar[dict[int, tuple[Any, Any]] | None] = ContextVar("turned", default=None)


@contextmanager
def backward_pass() -> Iterator[None]:
    """Within this context no array changes."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def turned(matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The transpose of the last two axes; in a backward pass, of a matrix used before, as a contiguous copy."""
    kept = _kept.get()
    if kept is None or matrix.ndim != 2:
        return matrix.swapaxes(-1, -2)
    _, copy = kept.get(id(matrix), (None, None))
    if copy is None:
        first_use = id(matrix) not in kept
        copy = None if first_use else np.ascontiguousarray(matrix.T)
        kept[id(matrix)] = (matrix, copy)
    return matrix.T if copy is None else copy
