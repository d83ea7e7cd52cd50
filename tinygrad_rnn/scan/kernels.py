"""How a product in the loop is best computed on this machine: in one call for a matrix, or for blocks of its columns.

BLAS libraries copy ("pack") a large matrix at each product with it; where few rows are multiplied, that takes longer
than the product. Some have a way without packing for products that are small, so that four products with a quarter of
the matrix each can take half the time of one. Whether it is so here is measured, once for each size.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np

from ..tape import Array

__all__ = ["column_blocks", "in_blocks"]

_UNPACKED = 1_000_000  # multiplications
_LARGE = 30_000_000


@functools.cache
def column_blocks(rows: int, inner: int, columns: int, dtype: np.dtype[np.generic]) -> int:
    """Into how many blocks of columns a product [rows, inner] @ [inner, columns] is best cut; 1 for not at all."""
    size = rows * inner * columns
    if not _UNPACKED < size < _LARGE or rows < 2:
        return 1
    candidates = [k for k in (2, 4, 8, 16, 32) if columns % k == 0 and columns // k >= 16 and size // k <= _UNPACKED]
    if not candidates:
        return 1
    x, matrix, out = (np.ones(shape, dtype) for shape in ((rows, inner), (inner, columns), (rows, columns)))
    ways: dict[int, Callable[[], object]] = {1: functools.partial(np.dot, x, matrix, out)}
    for k in candidates[:2]:
        ways[k] = functools.partial(np.matmul, x, in_blocks(matrix, k), out=_outs(out, k))
    return min(ways, key=lambda k: _seconds(ways[k]) * (1 if k > 1 else 0.95))


def in_blocks(matrix: Array, k: int) -> Array:
    """The matrix's columns in k blocks: [inner, columns] as [k, inner, columns / k]."""
    inner, columns = matrix.shape
    return np.ascontiguousarray(matrix.reshape(inner, k, columns // k).transpose(1, 0, 2))


def _outs(out: Array, k: int) -> Array:
    rows, columns = out.shape
    return out.reshape(rows, k, columns // k).transpose(1, 0, 2)


def _seconds(way: Callable[[], object]) -> float:
    """The best of a few times."""
    way()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        way()
        times.append(time.perf_counter() - start)
    return min(times)
