"""Diagonals and triangles of matrices. All derived: a diagonal is every (n + 1)-th number of a matrix [m, n]."""

from __future__ import annotations

from builtins import max as larger
from builtins import min as smaller
from operator import index
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import shape_of
from ..tape import Tensor
from .elementwise import where
from .indexing import _scatter, getitem
from .reductions import sum
from .shapes import _axes, moveaxis, reshape

__all__ = ["diag", "diagonal", "trace", "tril", "triu"]


def _offset(what: str, name: str, k: Any) -> int:
    try:
        return index(k)
    except TypeError:
        raise TypeError(f"{what}: {name} must be an integer, got {k!r}") from None


def _matrix(what: str, x: ArrayLike) -> tuple[int, ...]:
    """The shape of x, which must have two axes at least."""
    shape = shape_of(x)
    if len(shape) < 2:
        raise ValueError(f"{what}: want at least two axes, got shape {shape}")
    return shape


def _places(m: int, n: int, offset: int) -> slice:
    """Where a diagonal's numbers lie among those of a matrix [m, n] in C order."""
    start = offset if offset >= 0 else -offset * n
    count = larger(0, smaller(m + smaller(offset, 0), n - larger(offset, 0)))
    return slice(start, start + (count - 1) * (n + 1) + 1, n + 1) if count else slice(0, 0)


def _diagonal(what: str, x: ArrayLike, offset: SupportsIndex, axis1: int, axis2: int) -> Any:
    ndim = len(_matrix(what, x))
    offset = _offset(what, "offset", offset)
    x = moveaxis(x, _axes(what, (axis1, axis2), ndim), (-2, -1))
    *lead, m, n = shape_of(x)
    return getitem(reshape(x, (*lead, m * n)), (..., _places(m, n, offset)))


def diagonal(x: ArrayLike, offset: SupportsIndex = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """x_{i, i+offset} for the matrices that lie along two axes; the result has the diagonals along its last axis."""
    return _diagonal("diagonal", x, offset, axis1, axis2)  # type: ignore[no-any-return]


def trace(x: ArrayLike, offset: SupportsIndex = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Σ_i x_{i, i+offset} for the matrices that lie along two axes."""
    return sum(_diagonal("trace", x, offset, axis1, axis2), -1)


def diag(x: ArrayLike, k: SupportsIndex = 0) -> Tensor:
    """A vector as the k-th diagonal of a matrix of zeros; of a matrix, its k-th diagonal."""
    shape, k = shape_of(x), _offset("diag", "k", k)
    if len(shape) == 2:
        return diagonal(x, k)
    if len(shape) != 1:
        raise ValueError(f"diag: want a vector or a matrix, got shape {shape}")
    n = shape[0] + abs(k)
    return reshape(_scatter(x, indices=(_places(n, n, k),), shape=(n * n,)), (n, n))


def tril(x: ArrayLike, k: SupportsIndex = 0) -> Tensor:
    """The matrices [..., m, n] with zeros above the k-th diagonal. A NaN that is cut off is in no gradient either."""
    m, n = _matrix("tril", x)[-2:]
    return where(np.tri(m, n, _offset("tril", "k", k), dtype=bool), x, False)  # False: a zero of whatever type x has


def triu(x: ArrayLike, k: SupportsIndex = 0) -> Tensor:
    """The matrices [..., m, n] with zeros below the k-th diagonal. A NaN that is cut off is in no gradient either."""
    m, n = _matrix("triu", x)[-2:]
    return where(np.tri(m, n, _offset("triu", "k", k) - 1, dtype=bool), False, x)
