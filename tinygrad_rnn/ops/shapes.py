"""Operations that move numbers without changing them. All are linear: each is its own forward-mode rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from ..tape import Tensor, primitive

__all__ = ["broadcast_to", "concatenate", "expand_dims", "reshape", "squeeze", "stack", "swapaxes", "transpose"]


def _shape(shape: SupportsIndex | Sequence[SupportsIndex]) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, SupportsIndex) else tuple(int(n) for n in shape)


@primitive("linear", [lambda ct, x_shape: reshape(ct, x_shape)])
def _reshape(x: ArrayLike, *, shape: tuple[int, ...]) -> Any:
    return np.reshape(x, shape)


def reshape(x: ArrayLike, shape: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
    """The same numbers in C order under another shape; one length may be −1."""
    return _reshape(x, shape=_shape(shape))


@primitive("linear", [lambda ct, axes: transpose(ct, tuple(int(i) for i in np.argsort(axes)))])
def _transpose(x: ArrayLike, *, axes: tuple[int, ...]) -> Any:
    return np.transpose(x, axes)


def transpose(x: ArrayLike, axes: Sequence[SupportsIndex] | None = None) -> Tensor:
    """The axes permuted: axis i of the result is axis `axes[i]` of x; reversed if no axes are given."""
    ndim = np.ndim(getattr(x, "value", x))
    order = tuple(reversed(range(ndim))) if axes is None else tuple(int(a) for a in axes)
    if sorted(a % ndim if -ndim <= a < ndim else -1 for a in order) != list(range(ndim)):
        raise ValueError(f"transpose: axes {order} are not a permutation of the {ndim} axes of x")
    return _transpose(x, axes=tuple(a % ndim for a in order))


@primitive("linear", [lambda ct, axis1, axis2: swapaxes(ct, axis1, axis2)])
def _swapaxes(x: ArrayLike, *, axis1: int, axis2: int) -> Any:
    return np.swapaxes(x, axis1, axis2)


def swapaxes(x: ArrayLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged: a view."""
    return _swapaxes(x, axis1=axis1, axis2=axis2)


@primitive("linear", [lambda ct: ct])  # the machinery sums the copies back
def _broadcast_to(x: ArrayLike, *, shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(x, shape)


def broadcast_to(x: ArrayLike, shape: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
    """X repeated, without copying, to a larger shape that it broadcasts to. The gradient is summed over the copies."""
    return _broadcast_to(x, shape=_shape(shape))


def expand_dims(x: ArrayLike, axis: int | Sequence[int]) -> Tensor:
    """X with new axes of length 1 at the positions `axis` of the result."""
    axes = (axis,) if isinstance(axis, SupportsIndex) else tuple(axis)
    shape = list(np.shape(x))
    ndim = len(shape) + len(axes)
    places = sorted(a % ndim if -ndim <= a < ndim else -1 for a in axes)
    if len(set(places)) != len(places) or -1 in places:
        raise ValueError(f"expand_dims: axes {axes} don't fit a result of {ndim} axes")
    for place in places:
        shape.insert(place, 1)
    return reshape(x, shape)


def squeeze(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """X without its axes of length 1, or without those named."""
    shape = np.shape(x)
    if axis is None:
        return reshape(x, [n for n in shape if n != 1])
    axes = {
        a % len(shape) if -len(shape) <= a < len(shape) else a for a in ((axis,) if isinstance(axis, int) else axis)
    }
    if any(not 0 <= a < len(shape) or shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis {axis} of a tensor of shape {shape} is not an axis of length 1")
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
    return np.concatenate(xs, axis)


def concatenate(xs: Sequence[ArrayLike], axis: int = 0) -> Tensor:
    """The arrays one after the other along an axis that they have."""
    if len(xs) == 0:
        raise ValueError("concatenate: want at least one array, got none")
    ndim = np.ndim(getattr(xs[0], "value", xs[0]))
    return _concatenate(*xs, axis=_axis("concatenate", axis, ndim))


@primitive("linear", lambda ct, axis: tuple(ct[(slice(None),) * axis + (i,)] for i in range(ct.shape[axis])))
def _stack(*xs: ArrayLike, axis: int) -> Any:
    return np.stack(xs, axis)


def stack(xs: Sequence[ArrayLike], axis: int = 0) -> Tensor:
    """The arrays one after the other along a new axis."""
    if len(xs) == 0:
        raise ValueError("stack: want at least one array, got none")
    ndim = np.ndim(getattr(xs[0], "value", xs[0])) + 1
    return _stack(*xs, axis=_axis("stack", axis, ndim))


def _axis(what: str, axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"{what}: axis {axis} is out of range for {ndim} axes")
    return axis % ndim
