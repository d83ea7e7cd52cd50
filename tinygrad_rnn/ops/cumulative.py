"""Running sums and products along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive, shape_of
from ..tape import Tensor
from .shapes import _axis, concatenate, flip, reshape

__all__ = ["cumprod", "cumsum"]


def _along(what: str, x: ArrayLike, axis: int | None) -> tuple[Any, int]:
    """x and the axis to run along; all elements in C order for `None`."""
    return (reshape(x, -1), 0) if axis is None else (x, _axis(what, axis, len(shape_of(x))))


@primitive(
    "linear",
    [lambda ct, axis: flip(cumsum(flip(ct, axis), axis), axis)],
    batch=lambda x, axis: cumsum(x, axis + 1),
)
def _cumsum(x: ArrayLike, *, axis: int) -> Any:
    return np.cumsum(x, axis)


def cumsum(x: ArrayLike, axis: int | None = None) -> Tensor:
    """y_i = x_1 + … + x_i along an axis; of all elements in C order if none is given.

    The gradient is the running sum of c = ∂L/∂y from the other end: c_i + … + c_n.
    """
    x, axis = _along("cumsum", x, axis)
    return _cumsum(x, axis=axis)


def _cumprod_rule(ct: Any, x: Any, axis: int) -> Any:
    """∂L/∂x_i = (x_1 ⋯ x_{i−1}) s_i with s_i = c_i + x_{i+1} s_{i+1}: no division, so zeros are nothing special.

    All s_i at once by doubling: if s_i has the terms c_i … c_{i+d−1}, and a_i = x_{i+1} ⋯ x_{i+d}, then
    s_i + a_i s_{i+d} has twice as many.
    """
    if 0 in x.shape:
        return ct
    s, x = ct.swapaxes(axis, -1), x.swapaxes(axis, -1)
    a, d = x[..., 1:], 1
    while d < x.shape[-1]:
        s = concatenate([s[..., :-d] + a * s[..., d:], s[..., -d:]], -1)
        a = a[..., :-d] * a[..., d:]
        d *= 2
    return (_before(x) * s).swapaxes(axis, -1)


@primitive("general", [_cumprod_rule], batch=lambda x, axis: cumprod(x, axis + 1))
def _cumprod(x: ArrayLike, *, axis: int) -> Any:
    return np.cumprod(np.asarray(x), axis)


def cumprod(x: ArrayLike, axis: int | None = None) -> Tensor:
    """y_i = x_1 ⋯ x_i along an axis; of all elements in C order if none is given.

    The derivative of y_k by x_i is the product of the other factors. It is made without division, so it is right
    where factors are zero, and where one is infinite (there PyTorch's is NaN).
    """
    x, axis = _along("cumprod", x, axis)
    return _cumprod(x, axis=axis)


def _before(x: Any) -> Any:
    """For each element the product of those before it along the last axis, which is not empty."""
    return concatenate([np.ones((*x.shape[:-1], 1), x.dtype), cumprod(x[..., :-1], -1)], -1)


def _others(x: Any) -> Any:
    """For each element the product of all others along the last axis, which is not empty."""
    return _before(x) * flip(_before(flip(x, -1)), -1)
