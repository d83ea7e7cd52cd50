"""Operations that move numbers without changing them. All are linear: each is its own forward-mode rule."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive, shape_of
from ..tape import Tensor

__all__ = [
    "ascontiguousarray",
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "moveaxis",
    "reshape",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
]


def _shape(what: str, shape: SupportsIndex | Sequence[SupportsIndex]) -> tuple[int, ...]:
    try:
        return tuple([index(n) for n in shape]) if isinstance(shape, (tuple, list)) else (index(shape),)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what}: shape must be an integer or a sequence of integers, got {shape!r}") from None


def _axis(what: str, axis: Any, ndim: int) -> int:
    """An axis as a non-negative number, checked."""
    try:
        number = index(axis)
    except TypeError:
        raise TypeError(f"{what}: an axis must be an integer, got {axis!r}") from None
    if not -ndim <= number < ndim:
        raise ValueError(f"{what}: axis {number} is out of range for {ndim} axes")
    return number % ndim


def _axes(what: str, axis: Any, ndim: int) -> list[int]:
    """One axis or several as non-negative numbers, checked, none of them twice."""
    axes = [_axis(what, a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    if len(set(axes)) != len(axes):
        raise ValueError(f"{what}: axis {axis} names an axis twice")
    return axes


def inward(axis: tuple[int, ...]) -> tuple[int, ...]:
    """The same axes of an array that has one more in front."""
    return tuple([a + 1 for a in axis])


@primitive(
    "linear",
    [lambda ct, x_shape: reshape(ct, x_shape)],
    batch=lambda x, shape: reshape(x, (len(x), *shape)),
)
def _reshape(x: ArrayLike, *, shape: tuple[int, ...]) -> Any:
    return np.reshape(x, shape)


def reshape(x: ArrayLike, shape: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
    """The same numbers in C order under another shape; one length may be −1."""
    return _reshape(x, shape=_shape("reshape", shape))


@primitive(
    "linear",
    [lambda ct, axes: transpose(ct, tuple(int(i) for i in np.argsort(axes)))],
    batch=lambda x, axes: transpose(x, (0, *inward(axes))),
)
def _transpose(x: ArrayLike, *, axes: tuple[int, ...]) -> Any:
    return np.transpose(x, axes)


def transpose(x: ArrayLike, axes: Sequence[SupportsIndex] | None = None) -> Tensor:
    """The axes permuted: axis i of the result is axis `axes[i]` of x; reversed if no axes are given."""
    ndim = len(shape_of(x))
    order = tuple(reversed(range(ndim))) if axes is None else tuple(_axis("transpose", a, ndim) for a in axes)
    if sorted(order) != list(range(ndim)):
        raise ValueError(f"transpose: axes {axes} are not a permutation of the {ndim} axes of x")
    return _transpose(x, axes=order)


@primitive("linear", [lambda ct, axis1, axis2: swapaxes(ct, axis1, axis2)])
def _swapaxes(x: ArrayLike, *, axis1: int, axis2: int) -> Any:
    return np.swapaxes(x, axis1, axis2)


def swapaxes(x: ArrayLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged: a view."""
    ndim = len(shape_of(x))
    return _swapaxes(x, axis1=_axis("swapaxes", axis1, ndim), axis2=_axis("swapaxes", axis2, ndim))


@primitive("elementwise", [lambda ct: ct])
def ascontiguousarray(x: ArrayLike) -> Any:
    """The same array in C order in memory: a copy if it isn't. Products with a transpose used many times gain by it."""
    return np.asarray(x, order="C")


@primitive("linear", [lambda ct: ct])  # the machinery sums the copies back
def _broadcast_to(x: ArrayLike, *, shape: tuple[int, ...]) -> Any:
    try:
        return np.broadcast_to(x, shape)
    except ValueError:
        raise ValueError(f"shape {shape_of(x)} doesn't broadcast to {shape}") from None


def broadcast_to(x: ArrayLike, shape: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
    """x repeated, without copying, to a larger shape that it broadcasts to. The gradient is summed over the copies."""
    return _broadcast_to(x, shape=_shape("broadcast_to", shape))


def moveaxis(x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The axes `source` moved to the places `destination`; the others keep their order."""
    ndim = len(shape_of(x))
    moved = dict(zip(_axes("moveaxis", destination, ndim), _axes("moveaxis", source, ndim), strict=True))
    rest = iter([a for a in range(ndim) if a not in moved.values()])
    return transpose(x, [moved[i] if i in moved else next(rest) for i in range(ndim)])


def expand_dims(x: ArrayLike, axis: int | Sequence[int]) -> Tensor:
    """x with new axes of length 1 at the positions `axis` of the result."""
    shape = list(shape_of(x))
    new = len(axis) if isinstance(axis, (tuple, list)) else 1
    for place in sorted(_axes("expand_dims", axis, len(shape) + new)):
        shape.insert(place, 1)
    return reshape(x, shape)


def squeeze(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """x without its axes of length 1, or without those named."""
    shape = shape_of(x)
    if axis is None:
        return reshape(x, [n for n in shape if n != 1])
    axes = _axes("squeeze", axis, len(shape))
    if any(shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis {axis} of a tensor of shape {shape} is not of length 1")
    return reshape(x, [n for i, n in enumerate(shape) if i not in axes])


def _concatenate_rule(ct: Any, xs_shape: list[tuple[int, ...]], axis: int) -> tuple[Any, ...]:
    parts = []
    start = 0
    for shape in xs_shape:
        stop = start + shape[axis]
        parts.append(ct[(slice(None),) * axis + (slice(start, stop),)])
        start = stop
    return tuple(parts)


@primitive("linear", _concatenate_rule)
def _concatenate(*xs: ArrayLike, axis: int) -> Any:
    try:
        return np.concatenate(xs, axis)
    except ValueError:
        raise ValueError(f"shapes {_shapes(xs)} don't agree in the axes other than axis {axis}") from None


def concatenate(xs: Sequence[ArrayLike], axis: int = 0) -> Tensor:
    """The arrays one after the other along an axis that they have."""
    if len(xs) == 0:
        raise ValueError("concatenate: want at least one array, got none")
    ndim = len(shape_of(xs[0]))
    return _concatenate(*xs, axis=_axis("concatenate", axis, ndim))


@primitive("linear", lambda ct, axis: tuple(ct[(slice(None),) * axis + (i,)] for i in range(ct.shape[axis])))
def _stack(*xs: ArrayLike, axis: int) -> Any:
    try:
        return np.stack(xs, axis)
    except ValueError:
        raise ValueError(f"want arrays of one shape, got {_shapes(xs)}") from None


def stack(xs: Sequence[ArrayLike], axis: int = 0) -> Tensor:
    """The arrays one after the other along a new axis."""
    if len(xs) == 0:
        raise ValueError("stack: want at least one array, got none")
    ndim = len(shape_of(xs[0])) + 1
    return _stack(*xs, axis=_axis("stack", axis, ndim))


def _shapes(xs: Sequence[Any]) -> str:
    """The different shapes among arrays, in order of appearance."""
    return ", ".join(dict.fromkeys(str(shape_of(x)) for x in xs))
