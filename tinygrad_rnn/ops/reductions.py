"""Reductions over axes: one, several (in any order), or all of them for `None`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..forward import Dual
from ..primitive import primitive, shape_of
from ..tape import Lifted, Tensor
from .cumulative import _others
from .elementwise import astype, sqrt, square, subtract, where
from .shapes import _axes, _axis, _broadcast_to, inward, reshape, transpose

__all__ = ["amax", "amin", "argmax", "argmin", "max", "mean", "min", "prod", "std", "sum", "var"]

Axis = int | Sequence[int] | None

_add_up: Any = np.add.reduce  # np.sum without its preliminaries, a microsecond


def _over(what: str, x: ArrayLike, axis: Axis) -> tuple[int, ...]:
    """The axes to reduce over, sorted: all of them for `None`."""
    return tuple(range(len(shape_of(x)))) if axis is None else tuple(sorted(_axes(what, axis, len(shape_of(x)))))


def _restore(reduced: Any, x_shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """A reduced array with its lost axes back, of length 1."""
    return reduced.reshape(tuple([1 if i in axis else n for i, n in enumerate(x_shape)]))


def _count(x: ArrayLike, axis: tuple[int, ...]) -> int:
    shape = shape_of(x)
    return math.prod(shape[a] for a in axis)


# ------------------------------------------------------------------------------------------------- sums and their kin


@primitive(
    "linear",
    [lambda ct, x_shape, axis: _broadcast_to(_restore(ct, x_shape, axis), shape=x_shape)],
    batch=lambda x, axis, keepdims: sum(x, inward(axis), keepdims),
)
def _sum(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return _add_up(x, axis=axis, keepdims=keepdims)


def sum(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x over an axis, several, or all; of nothing, 0. Every element gets the gradient of the sum that it is in."""
    return _sum(x, axis=_over("sum", x, axis), keepdims=keepdims)


def _mean_rule(ct: Any, x_shape: Any, axis: Any, count: float) -> Any:
    share = 1 / count if count else math.nan  # as a factor: in float16 a large count would overflow
    return _broadcast_to(_restore(ct, x_shape, axis) * share, shape=x_shape)


def _mean_batch(x: Any, axis: Any, keepdims: bool, count: float) -> Any:
    return _mean(x, axis=inward(axis), keepdims=keepdims, count=count)


@primitive("linear", [_mean_rule], batch=_mean_batch)
def _mean(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool, count: float) -> Any:
    x = np.asarray(x)
    # NumPy's choice: float16 is added up in float32, where a long sum doesn't overflow, and integers in float64.
    wide = np.float32 if x.dtype.char == "e" else np.float64 if x.dtype.kind in "iub" else None
    total = _add_up(x, axis, wide, None, keepdims)
    if count:
        mean = total / count
    else:
        with np.errstate(divide="ignore", invalid="ignore"):  # of nothing: 0/0
            mean = np.divide(total, count)
    return mean.astype(x.dtype) if x.dtype.char == "e" else mean


def mean(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x / n over the axes, of n elements; of nothing, NaN (without NumPy's warning).

    As NumPy's, of float16 it is worked out in float32 and then rounded.
    """
    axes = _over("mean", x, axis)
    return _mean(x, axis=axes, keepdims=keepdims, count=_count(x, axes))


def _variance(what: str, x: ArrayLike, axis: Axis, ddof: float, keepdims: bool, correction: float | None) -> Tensor:
    axes = _over(what, x, axis)
    if correction is not None:
        if ddof != 0:
            raise ValueError(f"{what}: ddof and correction are the same, got {ddof} and {correction}")
        ddof = correction
    if not isinstance(ddof, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what}: ddof must be a number, got {ddof!r}")
    centred = subtract(x, mean(x, axes, keepdims=True))
    count = _count(x, axes) - float(ddof)
    return _mean(square(centred), axis=axes, keepdims=keepdims, count=count if count > 0 else 0)


def var(
    x: ArrayLike, axis: Axis = None, ddof: float = 0, keepdims: bool = False, *, correction: float | None = None
) -> Tensor:
    """Σ (x − mean x)² / (n − ddof) over the axes, of n elements.

    Where n ≤ ddof, it is x/0 as NumPy's (NaN for one element), without its warning, and the gradient is NaN.

    Args:
        x: the array.
        axis: the axes to reduce over.
        ddof: 0 for the variance of these numbers, 1 for an estimate from a sample. PyTorch's default is 1.
        keepdims: whether the axes stay, of length 1.
        correction: another name for `ddof`.
    """
    return _variance("var", x, axis, ddof, keepdims, correction)


def std(
    x: ArrayLike, axis: Axis = None, ddof: float = 0, keepdims: bool = False, *, correction: float | None = None
) -> Tensor:
    """√var: see there. Where it is 0 (all elements equal) it has a kink, and the gradient is 0, as PyTorch's."""
    variance = _variance("std", x, axis, ddof, keepdims, correction)
    zero = variance == 0
    return where(zero, 0, sqrt(where(zero, 1, variance)))


def _prod_rule(ct: Any, x: Any, axis: tuple[int, ...]) -> Any:
    ct = _restore(ct, x.shape, axis)
    if 0 in x.shape:
        return ct * x
    order = [*(i for i in range(x.ndim) if i not in axis), *axis]
    moved = transpose(x, order)
    in_line = reshape(moved, (*moved.shape[: x.ndim - len(axis)], -1))
    others = reshape(_others(in_line), moved.shape)
    return ct * transpose(others, [order.index(i) for i in range(x.ndim)])


@primitive("general", [_prod_rule], batch=lambda x, axis, keepdims: prod(x, inward(axis), keepdims))
def _prod(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return np.prod(np.asarray(x), axis=axis, keepdims=keepdims)


def prod(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Π x over the axes; of nothing, 1.

    The derivative by an element is the product of the others. It is made without division, so it is right where
    elements are zero, and where one is infinite (there PyTorch's is NaN).
    """
    return _prod(x, axis=_over("prod", x, axis), keepdims=keepdims)


# ------------------------------------------------------------------------------------------------------------ extremes


def _extreme_rule(ct: Any, x: Any, out: Any, axis: Any) -> Any:
    chosen = (x == _restore(out, x.shape, axis)) | (x != x)  # if there is a NaN, it is what was chosen
    share = astype(1 / sum(chosen, axis, keepdims=True), x.dtype)
    return where(chosen, _restore(ct, x.shape, axis) * share, 0)


def _none(x: ArrayLike, axis: Any, which: str) -> ValueError:
    return ValueError(f"there is no {which} of no elements: shape {shape_of(x)} over axis {axis}")


@primitive("general", [_extreme_rule], batch=lambda x, axis, keepdims: max(x, inward(axis), keepdims))
def _max(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    try:
        return np.max(x, axis=axis, keepdims=keepdims)
    except ValueError:
        raise _none(x, axis, "largest") from None


def max(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over the axes. Elements that tie for it share its gradient equally.

    NaN counts as the largest, and so as the smallest: where there are any, they share the gradient, as in PyTorch's
    `max` (in its `amax` the gradient is NaN).
    """
    return _max(x, axis=_over("max", x, axis), keepdims=keepdims)


@primitive("general", [_extreme_rule], batch=lambda x, axis, keepdims: min(x, inward(axis), keepdims))
def _min(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    try:
        return np.min(x, axis=axis, keepdims=keepdims)
    except ValueError:
        raise _none(x, axis, "smallest") from None


def min(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over the axes. Ties and NaN: as in `max`."""
    return _min(x, axis=_over("min", x, axis), keepdims=keepdims)


amax, amin = max, min


def argmax(x: ArrayLike, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where along an axis the largest element is, or among all in C order: a plain integer, or an array of them.

    Of several, the first; of NaN, the first. There is no gradient.
    """
    return _place("argmax", np.argmax, "largest", x, axis, keepdims)


def argmin(x: ArrayLike, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where along an axis the smallest element is: see `argmax`."""
    return _place("argmin", np.argmin, "smallest", x, axis, keepdims)


def _place(what: str, find: Callable[..., Any], which: str, x: Any, axis: int | None, keepdims: bool) -> Any:
    ndim = len(shape_of(x))
    along = 0 if axis is None else _axis(what, axis, ndim)
    try:
        found = _found(find, reshape(x, -1) if axis is None else x, along, keepdims)
    except ValueError:
        raise ValueError(f"{what}: {_none(x, axis, which)}") from None
    return reshape(found, (1,) * ndim) if axis is None and keepdims else found


def _found(find: Callable[..., Any], x: Any, axis: int, keepdims: bool) -> Any:
    """A plain array; inside `vmap`, a tensor of one for each example. Tangents have no part in it."""
    x = x.lowered() if isinstance(x, Lifted) else x
    if isinstance(x, Dual):
        return _found(find, x.primal, axis, keepdims)
    if isinstance(x, Lifted):
        (examples,) = x.wrapped()
        found = _found(find, examples, axis + 1, keepdims)
        return x.rewrap(found if isinstance(found, Tensor) else Tensor(found))
    return find(x.value if isinstance(x, Tensor) else x, axis, keepdims=keepdims)
