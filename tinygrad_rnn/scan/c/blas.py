"""BLAS's product of matrices for loops in C: large ones may be faster with its threads; loops in C have none."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from ..timing import times_in_turns
from .arrays import panels
from .expressions import TYPES
from .function import gemm, product

__all__ = ["gain_of_blas"]

_LARGE = 2_000_000  # multiplications: what is below is left to our own product
_ORDER, _NOT_TURNED = 101, 111  # CblasRowMajor, CblasNoTrans


@functools.cache
def gain_of_blas(rows: int, inner: int, columns: int, dtype: np.dtype[Any]) -> float:
    """How many times as fast as ours BLAS's product [rows, inner] @ [inner, columns] is; measured, once for each size.

    It is 0 for small ones, whatever BLAS may do.
    """
    if rows * inner * columns < _LARGE:
        return 0.0
    x, matrix, out = (np.ones(shape, dtype) for shape in ((rows, inner), (inner, columns), (rows, columns)))
    ours, theirs, packed = product(TYPES[dtype]), gemm(TYPES[dtype]), panels(matrix)
    left, right, in_panels, to = (ctypes.c_void_p(a.ctypes.data) for a in (x, matrix, packed, out))
    r, k, n, one = (ctypes.c_ssize_t(size) for size in (rows, inner, columns, 1))
    real = ctypes.c_float if dtype == np.float32 else ctypes.c_double

    def in_c() -> None:
        ours(r, k, n, left, k, one, in_panels, to, n)

    def by_blas() -> None:
        if theirs is None:
            np.dot(x, matrix, out)
        else:
            theirs(_ORDER, _NOT_TURNED, _NOT_TURNED, r, n, k, real(1), left, k, right, n, real(0), to, n)

    by_c, blas = times_in_turns([in_c, by_blas], rounds=5)
    return by_c / blas
