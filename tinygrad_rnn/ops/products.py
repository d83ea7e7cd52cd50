"""Products of arrays. Each is linear in each argument, so forward mode is two more products.

A matrix that is used many times (a weight, once every time step) gets its cotangents *pooled*: Σ_t X_tᵀ C_t is the
one product of the X_t and the C_t stacked on top of each other. That is how BPTT is written by hand; here every loop
gets it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import Lowering, primitive, shape_of
from ..tape import Tensor
from ..turned import turned
from .elementwise import multiply
from .shapes import concatenate, expand_dims, moveaxis, reshape, squeeze, swapaxes

__all__ = ["dot", "inner", "matmul", "outer"]


def _rows(x: Any) -> Any:
    """All leading axes as one: [..., n] as [m, n]."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _transpose(x: Any) -> Any:
    return x.swapaxes(-1, -2)


# In a product a vector is a matrix of one row (on the left) or one column (on the right), and that axis is dropped
# again. The left one was a vector if the result has an axis less than the right one.


def _matmul_x(ct: Any, y: Any) -> Any:
    """∂L/∂X = C Yᵀ."""
    row = ct.ndim == y.ndim - 1
    if y.ndim == 1:
        ct, y = ct[..., None], y[:, None]
    if row:
        return (ct[..., None, :] @ _transpose(y))[..., 0, :]
    return ct @ (turned(y) if type(y) is np.ndarray else _transpose(y))


def _matmul_y(ct: Any, x: Any, y_shape: Any) -> Any:
    """∂L/∂Y = Xᵀ C; over all leading axes at once if Y is one matrix."""
    if len(y_shape) == 2:
        return _transpose(_rows(x)) @ _rows(ct)
    if x.ndim == 1:
        ct, x = ct[..., None, :] if len(y_shape) > 1 else ct[None], x[None]
    if len(y_shape) == 1:
        return (_transpose(x) @ ct[..., None])[..., 0]
    return _transpose(x) @ ct


def _pooled_matmul_x(cts: list[Any], ys: list[Any]) -> Any:
    if any(ct.ndim != y.ndim or y.ndim > 2 for ct, y in zip(cts, ys, strict=True)):
        return NotImplemented  # X is a vector or a stack of matrices
    # Columns side by side: Σ_t C_t Y_tᵀ = [C_1 … C_T] [Y_1 … Y_T]ᵀ.
    return _transpose(concatenate(_columns(cts))) @ concatenate(_columns(ys))


def _columns(xs: list[Any]) -> list[Any]:
    """The columns of each matrix as rows; a vector is one column."""
    return [x[None] if x.ndim == 1 else _transpose(x) for x in xs]


def _pooled_matmul_y(cts: list[Any], xs: list[Any], y_shapes: list[Any]) -> Any:
    if len(y_shapes[0]) != 2:
        return NotImplemented  # Y is a vector or a stack of matrices
    return _transpose(concatenate([_rows(x) for x in xs])) @ concatenate([_rows(c) for c in cts])


def _matmul_batch(x: Any, y: Any, batched: tuple[bool, bool]) -> Any:
    """X Y for many X, Y or both. One matrix that all share multiplies all their rows at once, in one product."""
    x_shape, y_shape = shape_of(x), shape_of(y)
    left, right = len(x_shape) - batched[0], len(y_shape) - batched[1]  # the axes of an example
    if batched == (True, False):
        if left == 1:
            return matmul(x, y) if right <= 2 else moveaxis(matmul(x, y), -2, 0)
        if right == 2:
            return reshape(matmul(_rows(x), y), (*x_shape[:-1], y_shape[-1]))
        return matmul(_aligned(x, right), y)
    if batched == (False, True):
        if right == 1:
            return inner(y, x)
        if left == 2:
            return _transpose(inner(_transpose(y), x))
        return matmul(x, _aligned(y, left))
    vectors = [axis for axis, ndim in ((-2, left), (-1, right)) if ndim == 1]
    x = expand_dims(x, -2) if left == 1 else x
    y = expand_dims(y, -1) if right == 1 else y
    out = matmul(_aligned(x, right), _aligned(y, left))
    return squeeze(out, vectors) if vectors else out


def _aligned(x: Any, ndim: int) -> Any:
    """Examples of as many axes as those of the other argument, if they have fewer: new ones of length 1 in front."""
    size, *shape = shape_of(x)
    missing = ndim - len(shape)
    return reshape(x, (size, *(1,) * missing, *shape)) if missing > 0 else x


def _sum_of_products(x: Any, y: Any) -> Any:
    """Σ_k X_k Y_k = [X_1 … X_n] [Y_1; …; Y_n]."""
    n, rows, inner = x.shape
    return np.matmul(x.swapaxes(0, 1).reshape(rows, n * inner), y.reshape(n * inner, y.shape[-1]))


@primitive(
    "bilinear",
    [_matmul_x, _matmul_y],
    pooled={0: _pooled_matmul_x, 1: _pooled_matmul_y},
    batch=_matmul_batch,
    lowering=Lowering(np.matmul, rows=True, scaled=multiply, summed=_sum_of_products),
)
def matmul(x: ArrayLike, y: ArrayLike) -> Any:
    """X Y: [..., m, k] and [..., k, n] give [..., m, n]; leading axes broadcast.

    A vector is a row on the left, a column on the right.

    Derivatives: ∂L/∂X = C Yᵀ and ∂L/∂Y = Xᵀ C, with C = ∂L/∂(X Y).
    """
    try:
        return np.matmul(x, y)
    except ValueError:
        raise ValueError(_misaligned(shape_of(x), shape_of(y))) from None


def _misaligned(x: tuple[int, ...], y: tuple[int, ...]) -> str:
    if not x or not y:
        return f"shapes {x} and {y}: both arguments need at least one axis; multiply by a scalar with *"
    inner_x, inner_y = x[-1], y[-2] if len(y) > 1 else y[-1]
    if inner_x != inner_y:
        return f"shapes {x} and {y} don't align: {inner_x} != {inner_y}"
    return f"shapes {x} and {y}: the leading axes {x[:-2]} and {y[:-2]} don't broadcast"


def _inner_x(ct: Any, y: Any) -> Any:
    if ct.ndim == y.ndim == 2:
        return ct @ y
    rows = _rows(y)
    lead = ct.shape[: ct.ndim - y.ndim + 1]
    return (ct.reshape((math.prod(lead), len(rows))) @ rows).reshape((*lead, y.shape[-1]))


def _inner_y(ct: Any, x: Any) -> Any:
    if ct.ndim == x.ndim == 2:
        return _transpose(ct) @ x
    return _shaped(_transpose(_beside(ct, x)) @ _rows(x), (*ct.shape[x.ndim - 1 :], x.shape[-1]))


def _pooled_inner_x(cts: list[Any], ys: list[Any]) -> Any:
    lead, k = cts[0].shape[: cts[0].ndim - ys[0].ndim + 1], ys[0].shape[-1]
    rows = [_rows(y) for y in ys]
    # Side by side: Σ_t C_t Y_t = [C_1 … C_T] [Y_1; …; Y_T].
    beside = concatenate([reshape(ct, (math.prod(lead), len(r))) for ct, r in zip(cts, rows, strict=True)], 1)
    return reshape(beside @ concatenate(rows), (*lead, k))


def _pooled_inner_y(cts: list[Any], xs: list[Any]) -> Any:
    rows = _transpose(concatenate([_beside(ct, x) for ct, x in zip(cts, xs, strict=True)]))
    out = rows @ concatenate([_rows(x) for x in xs])
    return _shaped(out, (*cts[0].shape[xs[0].ndim - 1 :], xs[0].shape[-1]))


def _shaped(x: Any, shape: tuple[int, ...]) -> Any:
    """x itself if it has the shape: of a view the tape would make a copy before it gives it away."""
    return x if x.shape == shape else x.reshape(shape)


def _beside(ct: Any, x: Any) -> Any:
    """The cotangent of x Wᵀ with a row for each of x's rows."""
    if ct.ndim == x.ndim == 2:
        return ct
    return ct.reshape((math.prod(x.shape[:-1]), math.prod(ct.shape[x.ndim - 1 :])))


def _inner_batch(x: Any, y: Any, batched: tuple[bool, bool]) -> Any:
    """Many x, y or both. A weight that all share multiplies all their rows at once, in one product."""
    if batched == (True, False):
        return inner(x, y)
    if batched == (False, True):
        return moveaxis(inner(x, y), len(shape_of(x)) - 1, 0)
    (size, *a, k), (_, *b, _) = shape_of(x), shape_of(y)
    rows, columns = reshape(x, (size, math.prod(a), k)), reshape(y, (size, math.prod(b), k))
    return reshape(matmul(rows, _transpose(columns)), (size, *a, *b))


def _inner_by_matmul(x: Any, y: Any) -> Any:
    return matmul(x, _transpose(y)) if y.ndim == 2 else NotImplemented


def _rows_scaled(y: Any, s: Any) -> Any:
    return multiply(y, reshape(s, (-1, 1)) if shape_of(s) else s)


@primitive(
    "bilinear",
    [_inner_x, _inner_y],
    pooled={0: _pooled_inner_x, 1: _pooled_inner_y},
    batch=_inner_batch,
    lowering=Lowering(values=_inner_by_matmul, scaled=_rows_scaled),
)
def inner(x: ArrayLike, y: ArrayLike) -> Any:
    """Σ_k x[..., k] y[..., k]: [*a, k] and [*b, k] give [*a, *b]. With a weight [out, in] it is a layer's x Wᵀ.

    Derivatives: for matrices, ∂L/∂X = C Y and ∂L/∂Y = Cᵀ X.
    """
    x, y = np.asarray(x), np.asarray(y)
    if not x.shape or not y.shape:
        raise ValueError(f"shapes {x.shape} and {y.shape}: both arguments need at least one axis")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"shapes {x.shape} and {y.shape} don't align: {x.shape[-1]} != {y.shape[-1]} (last axes)")
    if x.ndim <= 2 and y.ndim <= 2:
        return x @ y.T
    return (_rows(x) @ _rows(y).T).reshape(*x.shape[:-1], *y.shape[:-1])


# -------------------------------------------------------------------------------------------------------------- derived


def dot(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Σ_k x[..., k] y[..., k, :]: the product of vectors or matrices; [*a, k] and [*b, k, n] give [*a, *b, n].

    With a scalar on either side, it multiplies. For stacks of matrices use `matmul`, which pairs them up.
    """
    a, b = shape_of(x), shape_of(y)
    if not a or not b:
        return multiply(x, y)
    if a[-1] != (b[-2] if len(b) > 1 else b[-1]):
        raise ValueError(f"dot: {_misaligned(a, b)}")
    return matmul(x, y) if len(b) <= 2 else inner(x, swapaxes(y, -1, -2))


def outer(x: ArrayLike, y: ArrayLike) -> Tensor:
    """x_i y_j: a matrix [m, n] of all products of m numbers and n numbers. More axes than one are taken as one."""
    column, row = [reshape(v, shape) for v, shape in ((x, (-1, 1)), (y, (1, -1)))]
    return matmul(column, row)
