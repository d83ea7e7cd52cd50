"""Whether a product had better be BLAS's, which has threads; loops in C have none. Measured, once for each size."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from ..timing import times_in_turns
from .arrays import panels
from .expressions import TYPES
from .function import product

__all__ = ["blas_is_much_faster"]

_LARGE = 2_000_000  # multiplications: what is below is left to C
_MUCH = 2.0  # the rest of a loop is faster in C


@functools.cache
def blas_is_much_faster(rows: int, inner: int, columns: int, dtype: np.dtype[Any]) -> bool:
    """Whether NumPy takes less than half the time for a product [rows, inner] @ [inner, columns]."""
    if rows * inner * columns < _LARGE:
        return False
    x, matrix, out = (np.ones(shape, dtype) for shape in ((rows, inner), (inner, columns), (rows, columns)))
    ours, packed = product(TYPES[dtype]), panels(matrix)
    left, right, to = (ctypes.c_void_p(a.ctypes.data) for a in (x, packed, out))
    r, k, n, one = (ctypes.c_ssize_t(size) for size in (rows, inner, columns, 1))

    def in_c() -> None:
        ours(r, k, n, left, k, one, right, to, n)

    def in_numpy() -> None:
        np.dot(x, matrix, out)

    by_c, by_numpy = times_in_turns([in_c, in_numpy], rounds=5)
    return by_c > _MUCH * by_numpy
