"""Operations that move numbers without changing them. All are linear: each is its own forward-mode rule.

What picks numbers out by an index array (`repeat`, `pad`) is in `indexing.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from operator import index
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import Lowering, primitive, shape_of
from ..tape import Tensor

__all__ = [
    "array_split",
    "ascontiguousarray",
    "broadcast_arrays",
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "flip",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "reshape",
    "roll",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "transpose",
]


def _shape(what: str, shape: SupportsIndex | Sequence[SupportsIndex], name: str = "shape") -> tuple[int, ...]:
    try:
        return tuple([index(n) for n in shape]) if isinstance(shape, (tuple, list)) else (index(shape),)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what}: {name} must be an integer or a sequence of integers, got {shape!r}") from None


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
    return np.asarray(x).reshape(shape)


def reshape(x: ArrayLike, shape: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
    """The same numbers in C order under another shape; one length may be −1: the one that fits."""
    lengths = _shape("reshape", shape)
    if min(lengths, default=0) < 0:
        lengths = _inferred(lengths, shape_of(x))
    return _reshape(x, shape=lengths)


def _inferred(shape: tuple[int, ...], x_shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with its one unknown length filled in."""
    known, size = math.prod([n for n in shape if n >= 0]), math.prod(x_shape)
    if sum([n < 0 for n in shape]) > 1:
        raise ValueError(f"reshape: can only specify one unknown dimension, got shape {shape}")
    if known == 0 or size % known:
        raise ValueError(f"reshape: no length for the unknown one in {shape} makes shape {x_shape} fit")
    return tuple([size // known if n < 0 else n for n in shape])


def ravel(x: ArrayLike) -> Tensor:
    """The same numbers in C order along one axis."""
    return _reshape(x, shape=(math.prod(shape_of(x)),))


@primitive(
    "linear",
    [lambda ct, axes: transpose(ct, tuple(int(i) for i in np.argsort(axes)))],
    batch=lambda x, axes: transpose(x, (0, *inward(axes))),
    lowering=Lowering(np.transpose, view=True),
)
def _transpose(x: ArrayLike, *, axes: tuple[int, ...]) -> Any:
    return np.transpose(x, axes)


def transpose(x: ArrayLike, axes: Sequence[SupportsIndex] | None = None) -> Tensor:
    """The axes permuted: axis i of the result is axis `axes[i]` of x; reversed if no axes are given."""
    ndim = len(shape_of(x))
    if axes is not None and not isinstance(axes, (tuple, list)):
        raise TypeError(f"transpose: axes must be a tuple or list of integers, got {axes!r}")
    order = tuple(reversed(range(ndim))) if axes is None else tuple([_axis("transpose", a, ndim) for a in axes])
    if sorted(order) != list(range(ndim)):
        raise ValueError(f"transpose: axes {axes} are not a permutation of the {ndim} axes of x")
    return _transpose(x, axes=order)


permute_dims = transpose  # two names for one function, as in NumPy


@primitive(
    "linear",
    [lambda ct, axis1, axis2: swapaxes(ct, axis1, axis2)],
    batch=lambda x, axis1, axis2: swapaxes(x, axis1 + 1, axis2 + 1),
    lowering=Lowering(np.swapaxes, view=True),
)
def _swapaxes(x: ArrayLike, *, axis1: int, axis2: int) -> Any:
    return np.swapaxes(x, axis1, axis2)


def swapaxes(x: ArrayLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged: a view."""
    ndim = len(shape_of(x))
    return _swapaxes(x, axis1=_axis("swapaxes", axis1, ndim), axis2=_axis("swapaxes", axis2, ndim))


def matrix_transpose(x: ArrayLike) -> Tensor:
    """The last two axes exchanged: [..., m, n] gives [..., n, m]."""
    ndim = len(shape_of(x))
    if ndim < 2:
        raise ValueError(f"matrix_transpose: want at least two axes, got shape {shape_of(x)}")
    return _swapaxes(x, axis1=ndim - 2, axis2=ndim - 1)


@primitive("elementwise", [lambda ct: ct])
def ascontiguousarray(x: ArrayLike) -> Any:
    """The same array in C order in memory: a copy if it isn't. Products with a transpose used many times gain by it."""
    return np.asarray(x, order="C")


def _broadcast_examples(x: Any, shape: tuple[int, ...]) -> Any:
    ones = (1,) * (len(shape) + 1 - len(shape_of(x)))
    return broadcast_to(reshape(x, (len(x), *ones, *shape_of(x)[1:])), (len(x), *shape))


@primitive("linear", [lambda ct: ct], batch=_broadcast_examples)  # the machinery sums the copies back
def _broadcast_to(x: ArrayLike, *, shape: tuple[int, ...]) -> Any:
    try:
        return np.broadcast_to(x, shape)
    except ValueError:
        raise ValueError(f"shape {shape_of(x)} doesn't broadcast to {shape}") from None


def broadcast_to(x: ArrayLike, shape: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
    """x repeated, without copying, to a larger shape that it broadcasts to. The gradient is summed over the copies."""
    return _broadcast_to(x, shape=_shape("broadcast_to", shape))


def broadcast_arrays(*xs: ArrayLike) -> tuple[Tensor, ...]:
    """The arrays, each repeated without copying to the shape that they broadcast to together."""
    try:
        shape = np.broadcast_shapes(*map(shape_of, xs))
    except ValueError:
        raise ValueError(f"broadcast_arrays: shapes {_shapes(xs)} don't broadcast") from None
    return tuple([_broadcast_to(x, shape=shape) for x in xs])


def moveaxis(x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The axes `source` moved to the places `destination`; the others keep their order."""
    ndim = len(shape_of(x))
    sources, places = _axes("moveaxis", source, ndim), _axes("moveaxis", destination, ndim)
    if len(sources) != len(places):
        raise ValueError(f"moveaxis: source {source} and destination {destination} must name as many axes")
    moved = dict(zip(places, sources, strict=True))
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


# --------------------------------------------------------------------------------------------- arrays joined and parted


def _concatenate_rule(ct: Any, xs_shape: list[tuple[int, ...]], axis: int) -> tuple[Any, ...]:
    parts = []
    start = 0
    for shape in xs_shape:
        stop = start + shape[axis]
        parts.append(ct[(slice(None),) * axis + (slice(start, stop),)])
        start = stop
    return tuple(parts)


def _side_by_side(keywords: dict[str, Any], shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, int, int]]:
    axis = keywords["axis"]
    stops = list(itertools.accumulate([shape[axis] for shape in shapes]))
    return [(axis, start, stop) for start, stop in zip([0, *stops], stops, strict=False)]


@primitive(
    "linear",
    _concatenate_rule,
    batch=lambda *xs, axis: concatenate(xs, axis + 1),
    lowering=Lowering(pieces=_side_by_side),
)
def _concatenate(*xs: ArrayLike, axis: int) -> Any:
    try:
        return np.concatenate(xs, axis)
    except ValueError:
        raise ValueError(f"shapes {_shapes(xs)} don't agree in the axes other than axis {axis}") from None


def concatenate(xs: Sequence[ArrayLike], axis: int | None = 0) -> Tensor:
    """The arrays one after the other along an axis that they have; for `axis=None`, the numbers of all of them."""
    _check_some("concatenate", xs)
    if axis is None:
        return _concatenate(*[ravel(x) for x in xs], axis=0)
    return _concatenate(*xs, axis=_axis("concatenate", axis, len(shape_of(xs[0]))))


def _check_some(what: str, xs: Any) -> None:
    if not isinstance(xs, (tuple, list)) and not (isinstance(xs, (np.ndarray, Tensor)) and xs.shape):
        raise TypeError(f"{what}: want a tuple or list of arrays, got {xs!r}")
    if len(xs) == 0:
        raise ValueError(f"{what}: want at least one array, got none")


@primitive(
    "linear",
    lambda ct, axis: tuple(ct[(slice(None),) * axis + (i,)] for i in range(ct.shape[axis])),
    batch=lambda *xs, axis: stack(xs, axis + 1),
    lowering=Lowering(unfused=lambda *xs, axis: concatenate([expand_dims(x, axis) for x in xs], axis)),
)
def _stack(*xs: ArrayLike, axis: int) -> Any:
    try:
        return np.stack(xs, axis)
    except ValueError:
        raise ValueError(f"want arrays of one shape, got {_shapes(xs)}") from None


def stack(xs: Sequence[ArrayLike], axis: int = 0) -> Tensor:
    """The arrays one after the other along a new axis."""
    _check_some("stack", xs)
    return _stack(*xs, axis=_axis("stack", axis, len(shape_of(xs[0])) + 1))


def _shapes(xs: Sequence[Any]) -> str:
    """The different shapes among arrays, in order of appearance."""
    return ", ".join(dict.fromkeys(str(shape_of(x)) for x in xs))


def split(x: ArrayLike, indices_or_sections: SupportsIndex | Sequence[SupportsIndex], axis: int = 0) -> list[Tensor]:
    """x cut up along an axis: into that many equal parts, or before each of the indices."""
    length, axis = _length("split", x, axis)
    sections = _sections("split", indices_or_sections)
    if isinstance(sections, int) and length % sections:
        raise ValueError(f"split: axis {axis} of length {length} can't be cut into {sections} equal parts")
    return _cut(x, sections, length, axis)


def array_split(
    x: ArrayLike, indices_or_sections: SupportsIndex | Sequence[SupportsIndex], axis: int = 0
) -> list[Tensor]:
    """As `split`, but the parts needn't be equal: the first ones are longer by one where it doesn't come out even."""
    length, axis = _length("array_split", x, axis)
    return _cut(x, _sections("array_split", indices_or_sections), length, axis)


def _length(what: str, x: ArrayLike, axis: int) -> tuple[int, int]:
    axis = _axis(what, axis, len(shape_of(x)))
    return shape_of(x)[axis], axis


def _sections(what: str, cuts: Any) -> int | list[int]:
    try:
        found = [index(i) for i in cuts] if np.ndim(cuts) else index(cuts)
    except TypeError:
        raise TypeError(f"{what}: want a number of parts or a sequence of indices, got {cuts!r}") from None
    if isinstance(found, int) and found < 1:
        raise ValueError(f"{what}: want at least one part, got {found}")
    return found


def _sliceable(x: Any) -> Any:
    return x if isinstance(x, (np.ndarray, Tensor)) else np.asarray(x)


def _cut(x: Any, sections: int | list[int], length: int, axis: int) -> list[Tensor]:
    if isinstance(sections, int):
        short, longer = divmod(length, sections)
        sections = [i * short + min(i, longer) for i in range(1, sections)]
    x = _sliceable(x)
    # Cutting is slicing, of which any number costs one array in the backward pass.
    return [
        x[(slice(None),) * axis + (slice(start, stop),)]
        for start, stop in zip([0, *sections], [*sections, None], strict=True)
    ]


# ------------------------------------------------------------------------------------------------ turned, moved, copied


def flip(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """x backwards along an axis, several, or all: a view."""
    ndim = len(shape_of(x))
    turned = range(ndim) if axis is None else _axes("flip", axis, ndim)
    return _sliceable(x)[tuple([slice(None, None, -1 if a in turned else None) for a in range(ndim)])]  # type: ignore[no-any-return]


def roll(
    x: ArrayLike, shift: SupportsIndex | Sequence[SupportsIndex], axis: int | Sequence[int] | None = None
) -> Tensor:
    """x moved on by `shift` places along an axis, or several; what leaves at the end comes in at the front.

    Without an axis the numbers move in C order, through all axes. One shift serves for many axes, and an axis may be
    named more than once.
    """
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), shape_of(x))
    out = _sliceable(x)
    try:
        shifts = [index(n) for n in shift] if isinstance(shift, (tuple, list)) else [index(shift)]  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"roll: shift must be an integer or a sequence of integers, got {shift!r}") from None
    axes = [_axis("roll", a, len(out.shape)) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    many = max(len(shifts), len(axes))
    if {len(shifts), len(axes)} - {1, many}:
        raise ValueError(f"roll: shift {shift} and axis {axis} must be of one length")
    totals = dict.fromkeys(axes, 0)
    for a, n in zip(axes * (many // len(axes)), shifts * (many // len(shifts)), strict=True):
        totals[a] += n
    for a, n in totals.items():
        lead, start = (slice(None),) * a, -n % (out.shape[a] or 1)
        out = concatenate([out[(*lead, slice(start, None))], out[(*lead, slice(start))]], a)
    return out  # type: ignore[no-any-return]


def tile(x: ArrayLike, reps: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
    """x over and over, `reps` times along each axis; the last of `reps` is for the last axis, as in broadcasting."""
    times = _shape("tile", reps, "reps")
    if min(times, default=0) < 0:
        raise ValueError(f"tile: reps must not be negative, got {reps}")
    shape = shape_of(x)
    ndim = max(len(shape), len(times))
    shape = (1,) * (ndim - len(shape)) + shape
    times = (1,) * (ndim - len(times)) + times
    pairs = [m for pair in zip(times, shape, strict=True) for m in pair]
    apart = reshape(x, [m for n in shape for m in (1, n)])
    return reshape(broadcast_to(apart, pairs), [m * n for m, n in zip(times, shape, strict=True)])
