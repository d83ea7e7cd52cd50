"""How a product in the loop is best computed on this machine: in one call for a matrix, or for blocks of it.

BLAS libraries copy ("pack") a large matrix at each product with it; where few rows are multiplied, that takes longer
than the product. Some have a way without packing for products that are small, so that several products with a part of
the matrix, or of the rows, can take half the time of one. Whether it is so here is measured, once for each size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from ..tape import Array
from .timing import times_in_turns

__all__ = ["best_blocks", "in_blocks"]

_TINY = 250_000  # multiplications: what is below is one call
_LARGE = 30_000_000  # what is above takes milliseconds, also to measure, and only blocks of columns can pay
_BLOCKS = [(1, 2), (1, 4), (1, 8), (1, 16), (2, 1), (2, 2), (2, 4), (4, 1), (4, 4), (4, 8)]


@functools.cache
def best_blocks(rows: int, inner: int, columns: int, dtype: np.dtype[np.generic]) -> tuple[int, int]:
    """Into how many blocks of rows and of columns a product [rows, inner] @ [inner, columns] is best cut."""
    size = rows * inner * columns
    if size < _TINY:
        return 1, 1
    x, matrix, out = (np.ones(shape, dtype) for shape in ((rows, inner), (inner, columns), (rows, columns)))
    ways: dict[tuple[int, int], Callable[[], object]] = {(1, 1): functools.partial(np.dot, x, matrix, out)}
    for r, k in _BLOCKS:
        if rows % r == columns % k == 0 and rows // r >= 4 and columns // k >= 16 and (size < _LARGE or r == 1):
            left, right = x.reshape(r, 1, rows // r, inner), in_blocks(matrix, k)
            to = out.reshape(r, rows // r, k, columns // k).transpose(0, 2, 1, 3)
            ways[r, k] = functools.partial(np.matmul, left, right, out=to)
    times = times_in_turns([*ways.values()], rounds=5 if size < _LARGE else 3)
    took = dict(zip(ways, times, strict=True))
    took[1, 1] *= 0.95
    return min(took, key=lambda blocks: took[blocks])


def in_blocks(matrix: Array, k: int) -> Array:
    """The matrix's columns in k blocks: [inner, columns] as [k, inner, columns / k]."""
    inner, columns = matrix.shape
    return np.ascontiguousarray(matrix.reshape(inner, k, columns // k).transpose(1, 0, 2))
