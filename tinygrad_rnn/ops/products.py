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

from ..primitive import primitive, shape_of
from ..turned import turned
from .shapes import concatenate

__all__ = ["inner", "matmul"]


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


@primitive("bilinear", [_matmul_x, _matmul_y], pooled={0: _pooled_matmul_x, 1: _pooled_matmul_y})
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
    return (_transpose(_beside(ct, x)) @ _rows(x)).reshape((*ct.shape[x.ndim - 1 :], x.shape[-1]))


def _pooled_inner_y(cts: list[Any], xs: list[Any]) -> Any:
    rows = _transpose(concatenate([_beside(ct, x) for ct, x in zip(cts, xs, strict=True)]))
    shape = (*cts[0].shape[xs[0].ndim - 1 :], xs[0].shape[-1])
    out = rows @ concatenate([_rows(x) for x in xs])
    return out if out.shape == shape else out.reshape(shape)


def _beside(ct: Any, x: Any) -> Any:
    """The cotangent of x Wᵀ with a row for each of x's rows."""
    if ct.ndim == x.ndim == 2:
        return ct
    return ct.reshape((math.prod(x.shape[:-1]), math.prod(ct.shape[x.ndim - 1 :])))


@primitive("bilinear", [_inner_x, _inner_y], pooled={1: _pooled_inner_y})
def inner(x: ArrayLike, y: ArrayLike) -> Any:
    """Σ_k x[..., k] y[..., k]: [*a, k] and [*b, k] give [*a, *b]. With a weight [out, in] it is a layer's x Wᵀ.

    Derivatives: for matrices, ∂L/∂X = C Y and ∂L/∂Y = Cᵀ X.
    """
    x, y = np.asarray(x), np.asarray(y)
    if not x.shape or not y.shape:
        raise ValueError(f"shapes {x.shape} and {y.shape}: both arguments need at least one axis")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"shapes {x.shape} and {y.shape} don't align: {x.shape[-1]} != {y.shape[-1]} (last axes)")
    if y.ndim != 2:
        return np.inner(x, y)
    return (_rows(x) @ y.T).reshape(*x.shape[:-1], len(y)) if x.ndim > 2 else x @ y.T
