"""Reading parts of an array, and new arrays with parts put in.

Reading is linear, and its transpose is adding into zeros: what is read twice gets the sum of what comes back. Many
readings of one array (`x[t]` in a loop, `table[tokens]`) are pooled: their cotangents land in one array, so T readings
cost one array, not T.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import Lowering, primitive, shape_of
from ..tape import Array, Lifted, Tensor
from .elementwise import add, astype, where
from .shapes import _axis, _sliceable, broadcast_to, concatenate, moveaxis, ravel, reshape, swapaxes

__all__ = ["At", "add_at", "getitem", "pad", "repeat", "set_at", "take", "take_along_axis", "unstack"]

# ------------------------------------------------------------------------------------------------ an index as a setting


def _is_basic(index: Any) -> bool:
    """Whether it has integers, slices, `...` and `None` only; a boolean is no integer."""
    if type(index) is int:
        return True
    return all(i is None or i is Ellipsis or type(i) is int or isinstance(i, slice) for i in _parts(index))


def _may_repeat(index: Any) -> bool:
    """Whether some element may be named more than once: that takes an array of integers."""
    return any(isinstance(i, np.ndarray) and i.dtype.kind != "b" for i in _parts(index))


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _for_examples(index: Any, axis: int) -> Any:
    """The index for an array that has an axis of examples besides, first (0) or last (−1).

    First will do for a basic index only: index arrays apart from each other put their axes before all others.
    """
    parts = _parts(index)
    if axis == 0:
        return (slice(None), *parts)
    return (*parts, slice(None)) if any(i is Ellipsis for i in parts) else (*parts, Ellipsis, slice(None))


def _moved(x: Any, source: int, destination: int) -> Any:
    return x if source == destination else moveaxis(x, source, destination)


def _checked(what: str, index: Any) -> Any:
    """An index with its arrays copied, so that the caller may go on to change theirs, and tensors made arrays."""
    if type(index) is int:
        return index
    return tuple([_checked_part(what, i) for i in index]) if isinstance(index, tuple) else _checked_part(what, index)


def _checked_part(what: str, i: Any) -> Any:
    if i is None or i is Ellipsis or isinstance(i, (int, slice)):
        return i
    i = i.lowered() if isinstance(i, Lifted) else i
    if isinstance(i, Lifted):
        raise IndexError(
            f"{what}: inside vmap only integers that index the first axis alone may differ from example to example, "
            "as in x[i]; use take(x, i, axis) for another axis, and where() for a mask"
        )
    array = _array(what, i)
    # An integer, of whatever class, and an array of one without an axis are a number.
    return int(array) if array.ndim == 0 and array.dtype.kind in "iu" else array


def _array(what: str, i: Any) -> Array:
    try:
        if not isinstance(i, (np.ndarray, Tensor)) and hasattr(i, "__index__"):
            i = operator.index(i)
        array = np.array(i.value if isinstance(i, Tensor) else i, order="C")
    except (TypeError, ValueError):  # ragged, or of what isn't numbers
        array = np.array(None)
    if array.size == 0 and not isinstance(i, (Tensor, np.ndarray)):
        array = array.astype(int)  # an empty list
    if array.dtype.kind not in "iub":
        raise IndexError(
            f"{what}: an index must be integers, slices, ..., None or arrays of integers or booleans, "
            f"got {f'dtype {array.dtype}' if isinstance(i, (np.ndarray, Tensor)) else repr(i)}"
        )
    return array


# -------------------------------------------------------------------------------------------------------------- reading


def _scatter_examples(*cts: Any, indices: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    axis = 0 if all(map(_is_basic, indices)) else -1
    size = (len(cts[0]),)
    total = _scatter(
        *[_moved(ct, 0, axis) for ct in cts],
        indices=tuple(_for_examples(index, axis) for index in indices),
        shape=(*shape, *size) if axis else (*size, *shape),
    )
    return _moved(total, axis, 0)


def _part(keywords: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    return _part_at(keywords["index"], shape)


def _part_at(index: Any, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """The one axis that an index of slices cuts, where it starts and where it stops."""
    parts = _parts(index)
    if Ellipsis in [i for i in parts if not isinstance(i, np.ndarray)]:
        k = parts.index(Ellipsis)
        parts = (*parts[:k], *(slice(None),) * (len(shape) + 1 - len(parts)), *parts[k + 1 :])
    if not parts or len(parts) > len(shape) or not all(isinstance(i, slice) and i.step in (None, 1) for i in parts):
        return None
    cut = [(axis, *i.indices(n)[:2]) for axis, (i, n) in enumerate(zip(parts, shape, strict=False))]
    found = [(axis, start, max(start, stop)) for axis, start, stop in cut if (start, stop) != (0, shape[axis])]
    return found[0] if len(found) == 1 else (0, 0, shape[0]) if not found else None


def _scattered_pieces(keywords: dict[str, Any], shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, int, int]] | None:
    """Where the pieces are, if between them they fill the array and don't overlap."""
    shape = keywords["shape"]
    pieces = [_part_at(index, shape) for index in keywords["indices"]]
    found = [p for p in pieces if p is not None]
    if len(found) < len(pieces) or len({axis for axis, _, _ in found}) > 1 or len(found) < 2:
        return None
    ordered = sorted((start, stop) for _, start, stop in found)
    edges = [0, *(stop for _, stop in ordered)]
    return found if [start for start, _ in ordered] == edges[:-1] and edges[-1] == shape[found[0][0]] else None


@primitive(
    "linear",
    lambda ct, indices: tuple(ct[index] for index in indices),
    batch=_scatter_examples,
    lowering=Lowering(pieces=_scattered_pieces),
)
def _scatter(*cts: ArrayLike, indices: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, with each of `cts` added in at its index: the transpose of reading at those indices."""
    total = np.zeros(shape, np.result_type(*cts))
    for ct, index in zip(cts, indices, strict=True):
        if _may_repeat(index):
            np.add.at(total, index, ct)
        else:
            total[index] += ct
    return total


def _getitem_examples(x: Any, index: Any) -> Any:
    axis = 0 if _is_basic(index) else -1
    return _moved(_getitem(_moved(x, 0, axis), index=_for_examples(index, axis)), axis, 0)


@primitive(
    "linear",
    [lambda ct, index, x_shape: _scatter(ct, indices=(index,), shape=x_shape)],
    pooled={0: lambda cts, indices, shapes: _scatter(*cts, indices=tuple(indices), shape=shapes[0])},
    batch=_getitem_examples,
    lowering=Lowering(part=_part, view=lambda keywords: _is_basic(keywords["index"])),
)
def _getitem(x: ArrayLike, *, index: Any) -> Any:
    return np.asarray(x)[index]


def getitem(x: ArrayLike, index: Any) -> Tensor:
    """x[index], with all of NumPy's indexing: integers, slices, `...`, `None`, arrays of integers or booleans.

    An element that is read more than once gets the sum of what comes back. Tensors of integers or booleans may serve
    as indices, and those of integers, alone in front, may differ from example to example of a `vmap`.
    """
    if type(index) is int:
        return _getitem(x, index=index)
    (only, *others) = index if isinstance(index, tuple) and index else (index,)
    if others or not isinstance(only, (Tensor, np.ndarray, list)):
        return _getitem(x, index=_checked("getitem", index))
    places: Any = only if _is_traced(only) else _checked_part("getitem", only)
    if isinstance(places, int) or places.dtype.kind == "b":
        return _getitem(x, index=places)
    return _take(x, places, batch=0, mode="raise")


def _is_traced(i: Any) -> bool:
    """Whether it is a tensor of integers that is more than an array: it has a name, or differs between examples.

    The tape watches it; the others are copied, so that the caller may go on to change theirs.
    """
    return isinstance(i, Tensor) and i.dtype.kind in "iu" and (isinstance(i, Lifted) or i.node is not None)


def unstack(x: ArrayLike, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along an axis, that axis dropped: `x[0], x[1], …` for axis 0."""
    shape = shape_of(x)
    axis = _axis("unstack", axis, len(shape))
    lead = (slice(None),) * axis
    return tuple([_getitem(x, index=(*lead, i) if lead else i) for i in range(shape[axis])])


# ---------------------------------------------------------------------------------------------- an index as an argument

Mode = Literal["raise", "wrap", "clip"]


def _in_range(indices: Any, length: int, mode: Mode) -> Any:
    indices = np.asarray(indices).astype(np.intp, copy=False)
    if mode == "raise":
        return indices
    if length == 0 and indices.size:
        raise IndexError("there is no element to take from an axis of length 0")
    return indices % max(length, 1) if mode == "wrap" else np.clip(indices, 0, max(length - 1, 0))


def _scatter_rows_rule(ct: Any, indices: Any, batch: int, mode: Mode) -> Any:
    return _take(ct, indices, batch=batch, mode=mode)


def _scatter_rows_examples(ct: Any, indices: Any, shape: tuple[int, ...], batch: int, mode: Mode) -> Any:
    return _scatter_rows(ct, indices, shape=(len(ct), *shape), batch=batch + 1, mode=mode)


@primitive("linear", [_scatter_rows_rule, None], batch=_scatter_rows_examples)
def _scatter_rows(ct: ArrayLike, indices: ArrayLike, *, shape: tuple[int, ...], batch: int, mode: Mode) -> Any:
    """Zeros of a shape, with rows added in at their indices: the transpose of `take`."""
    ct = np.asarray(ct)
    (*lead, length), row = shape[: batch + 1], math.prod(shape[batch + 1 :])
    rows = _in_range(indices, length, mode)
    rows = np.where(rows < 0, rows + length, rows).reshape(math.prod(lead), -1 if math.prod(lead) else 0)
    rows = rows + length * np.arange(len(rows))[:, None]
    # Number by number: on one axis `np.add.at` is three times as fast as on rows.
    places = rows.reshape(-1, 1) * row + np.arange(row)
    total = np.zeros(math.prod(shape), ct.dtype)
    np.add.at(total, places.reshape(-1), ct.reshape(-1))
    return total.reshape(shape)


def _take_rule(ct: Any, indices: Any, x_shape: Any, batch: int, mode: Mode) -> Any:
    return _scatter_rows(ct, indices, shape=x_shape, batch=batch, mode=mode)


def _pooled_take(cts: list[Any], indices: list[Any], shapes: list[Any], batches: list[int], modes: list[Mode]) -> Any:
    if len(set(zip(batches, modes, strict=True))) > 1:
        return NotImplemented
    shape, batch = shapes[0], batches[0]
    lead, row = shape[:batch], shape[batch + 1 :]
    many = [math.prod(i.shape[batch:]) for i in indices]
    return _scatter_rows(
        concatenate([reshape(ct, (*lead, n, *row)) for ct, n in zip(cts, many, strict=True)], batch),
        concatenate([reshape(i, (*lead, n)) for i, n in zip(indices, many, strict=True)], batch),
        shape=shape,
        batch=batch,
        mode=modes[0],
    )


def _take_examples(x: Any, indices: Any, batch: int, mode: Mode, batched: tuple[bool, bool]) -> Any:
    if batch == 0 and batched == (False, True):
        return _take(x, indices, batch=0, mode=mode)  # each example's rows, from the one table
    size = len(x if batched[0] else indices)
    x, indices = [
        a if is_batched else broadcast_to(a, (size, *shape_of(a)))
        for a, is_batched in zip((x, indices), batched, strict=True)
    ]
    return _take(x, indices, batch=batch + 1, mode=mode)


@primitive("linear", [_take_rule, None], pooled={0: _pooled_take}, batch=_take_examples)
def _take(x: ArrayLike, indices: ArrayLike, *, batch: int, mode: Mode) -> Any:
    """x[i] for each index; the first `batch` axes are common to both: [*b, n, *row] and [*b, *i] give [*b, *i, *row].

    The indices are an argument, not a setting, so they may differ from example to example.
    """
    x = np.asarray(x)
    places = _in_range(indices, x.shape[batch] if x.ndim > batch else 0, mode)
    own = [np.arange(n).reshape((-1,) + (1,) * (places.ndim - 1 - a)) for a, n in enumerate(places.shape[:batch])]
    return x[(*own, places)]


def take(x: ArrayLike, indices: ArrayLike, axis: int | None = None, mode: Mode = "raise") -> Tensor:
    """The elements of x at the indices along an axis, which the axes of `indices` replace; of all numbers for `None`.

    An index out of range is an error, or counts on from the other end (`mode="wrap"`), or is as good as the nearest
    one in range ("clip", where a negative one is 0). What is taken more than once gets the sum of what comes back.
    """
    places = _integers("take", indices)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"take: mode must be 'raise', 'wrap' or 'clip', got {mode!r}")
    if axis is None:
        return _take(ravel(x), places, batch=0, mode=mode)
    axis = _axis("take", axis, len(shape_of(x)))
    taken = _take(_moved(x, axis, 0), places, batch=0, mode=mode)
    new = range(len(shape_of(places)))
    return moveaxis(taken, tuple(new), tuple([axis + a for a in new])) if axis else taken


def take_along_axis(x: ArrayLike, indices: ArrayLike, axis: int | None = -1) -> Tensor:
    """x[i] along an axis, with indices of their own for each place on the other axes, on which the two broadcast.

    It reads what `argmax` (with `keepdims`) or `argsort` found along the axis. With `axis=None`, x is its numbers on
    one axis. What is taken more than once gets the sum of what comes back.
    """
    places = _integers("take_along_axis", indices)
    if axis is None:
        x, axis = ravel(x), 0
    shape, chosen = shape_of(x), shape_of(places)
    axis = _axis("take_along_axis", axis, len(shape))
    if len(shape) != len(chosen):
        raise ValueError(f"take_along_axis: indices of shape {chosen} must have as many axes as x of shape {shape}")
    x, places = [swapaxes(a, axis, -1) if axis < len(shape) - 1 else a for a in (x, places)]
    x_lead, lead = shape_of(x)[:-1], shape_of(places)[:-1]
    if x_lead != lead:
        try:
            lead = np.broadcast_shapes(x_lead, lead)
        except ValueError:
            raise ValueError(
                f"take_along_axis: x of shape {shape} and indices of shape {chosen} don't broadcast beside axis {axis}"
            ) from None
        x, places = [broadcast_to(a, (*lead, shape_of(a)[-1])) for a in (x, places)]
    taken = _take(x, places, batch=len(lead), mode="raise")
    return swapaxes(taken, axis, -1) if axis < len(shape) - 1 else taken


def _integers(what: str, indices: Any) -> Any:
    """Indices that are an argument of their own: as a traced tensor, or an array that nobody else has."""
    if _is_traced(indices):
        return indices
    try:
        places = np.array(indices.value if isinstance(indices, Tensor) else indices, order="C")
    except ValueError:
        raise ValueError(f"{what}: indices must be a regular array of integers, got {indices!r}") from None
    if places.size == 0 and not isinstance(indices, (Tensor, np.ndarray)):
        places = places.astype(int)  # an empty list
    if places.dtype.kind not in "iu":
        raise TypeError(f"{what}: indices must be integers, got dtype {places.dtype}")
    return places


def repeat(x: ArrayLike, repeats: ArrayLike, axis: int | None = None) -> Tensor:
    """Each element of x several times over, along an axis; `repeats` is how often, one number or one for each.

    Without an axis, x is its numbers on one axis.
    """
    if axis is None:
        x, axis = ravel(x), 0
    shape = shape_of(x)
    axis = _axis("repeat", axis, len(shape))
    times = np.asarray(repeats, int if np.size(repeats) == 0 else None)
    if times.dtype.kind not in "iub" or times.ndim > 1:
        raise TypeError(f"repeat: repeats must be an integer or integers along one axis, got {repeats!r}")
    if np.any(times < 0):
        raise ValueError(f"repeat: repeats must not be negative, got {repeats!r}")
    if times.size != 1:
        if len(times) != shape[axis]:
            raise ValueError(f"repeat: {len(times)} repeats don't fit axis {axis} of length {shape[axis]}")
        return take(x, np.repeat(np.arange(shape[axis]), times), axis)
    n = int(times.reshape(()))
    apart = reshape(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    copies = broadcast_to(apart, (*shape[: axis + 1], n, *shape[axis + 1 :]))
    return reshape(copies, (*shape[:axis], shape[axis] * n, *shape[axis + 1 :]))


_PADDINGS = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(x: ArrayLike, pad_width: Any, mode: str = "constant", *, constant_values: Any = None) -> Tensor:
    """x with more around it: `pad_width` places before and after, one number, a pair, or a pair for each axis.

    Args:
        x: any array.
        pad_width: how many places to add.
        mode: what to put there. "constant": numbers given; "edge": the last one; "reflect" and "symmetric": x mirrored
            at its last number, once or twice; "wrap": x from its other end. What is used again gets the sum of what
            comes back. NumPy's other modes have no rule.
        constant_values: 0 unless given; one number, a pair, or a pair for each axis.
    """
    if mode not in _PADDINGS:
        raise ValueError(f"pad: mode must be one of {', '.join(map(repr, _PADDINGS))}, got {mode!r}")
    if constant_values is not None and mode != "constant":
        raise ValueError(f"pad: constant_values are for mode 'constant', not {mode!r}")
    out = _sliceable(x)
    asked = np.asarray(pad_width)
    if asked.dtype.kind not in "iu":
        raise TypeError(f"pad: pad_width must be of integers, got {pad_width!r}")
    ndim = len(out.shape)
    try:
        widths = np.broadcast_to(asked, (ndim, 2))
    except ValueError:
        raise ValueError(
            f"pad: pad_width {pad_width} is neither a number, a pair nor a pair for each of {ndim} axes"
        ) from None
    if asked.size and asked.min() < 0:
        raise ValueError(f"pad: pad_width must not be negative, got {pad_width}")
    if mode == "constant" or not np.any(asked):
        values = 0 if constant_values is None else constant_values
        try:
            frame = np.pad(np.zeros(out.shape, out.dtype), asked, constant_values=values)
        except ValueError:
            raise ValueError(
                f"pad: constant_values {values!r} is neither a number, a pair nor a pair for each of {ndim} axes"
            ) from None
        inside = tuple([slice(before, before + n) for (before, _), n in zip(widths.tolist(), out.shape, strict=True)])
        return set_at(frame, inside, out)
    for axis, (before, after) in enumerate(widths.tolist()):
        if not before and not after:
            continue
        if out.shape[axis] == 0:
            raise ValueError(
                f"pad: there is nothing along axis {axis}, of length 0, that mode {mode!r} could go on with"
            )
        out = take(out, np.pad(np.arange(out.shape[axis]), (before, after), mode), axis)  # type: ignore[call-overload]
    return out  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------- new arrays with parts put in


def _written(shape: tuple[int, ...], index: Any) -> Array:
    """Where an array is written to at an index."""
    mask = np.zeros(shape, bool)
    mask[index] = True
    return mask


def _lasting(shape: tuple[int, ...], index: Any) -> Any:
    """Which of the values put in at an index stay: of those for one place, the last."""
    if not _may_repeat(index):
        return True
    numbers = np.empty(shape, np.intp)
    put = numbers[index].shape
    numbers[index] = np.arange(math.prod(put)).reshape(put)
    return numbers[index] == np.arange(math.prod(put)).reshape(put)


def _put_rule(ct: Any, index: Any) -> tuple[Any, Any]:
    return where(_written(ct.shape, index), 0, ct), where(_lasting(ct.shape, index), ct[index], 0)


def _put_examples(*x_and_value: Any, index: Any) -> Any:
    axis = 0 if _is_basic(index) else -1
    return _moved(_put(*[_moved(a, 0, axis) for a in x_and_value], index=_for_examples(index, axis)), axis, 0)


@primitive("linear", _put_rule, batch=_put_examples)
def _put(*x_and_value: ArrayLike, index: Any) -> Any:
    """A copy of x with a value, of the shape of x[index], in that place. Linear in both together, hence the `*`."""
    x, value = x_and_value
    out = np.array(x)
    # In C order, or NumPy might choose another order, and another value be the last for a place named repeatedly.
    out[index] = np.asarray(value, order="C")
    return out


def _prepared(what: str, x: Any, index: Any, value: Any) -> tuple[Any, Any, Any]:
    """x, the index checked, and the value in the shape and dtype of x[index]."""
    x, index, value = _sliceable(x), _checked(what, index), _sliceable(value)
    try:
        shape = np.broadcast_to(False, x.shape)[index].shape
    except IndexError as error:
        raise IndexError(f"{what}: {error}") from None
    if not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise TypeError(f"{what}: a value of dtype {value.dtype} doesn't fit into an array of dtype {x.dtype}")
    value = value if value.dtype == x.dtype else astype(value, x.dtype)
    return x, index, value if value.shape == shape else _spread(what, value, shape)


def _spread(what: str, value: Any, shape: tuple[int, ...]) -> Any:
    extra = len(value.shape) - len(shape)
    kept = reshape(value, value.shape[extra:]) if extra > 0 and set(value.shape[:extra]) == {1} else value
    try:
        return broadcast_to(kept, shape)
    except ValueError:
        raise ValueError(
            f"{what}: a value of shape {value.shape} doesn't broadcast to that of x[index], {shape}"
        ) from None


def set_at(x: ArrayLike, index: Any, value: ArrayLike) -> Tensor:
    """A new array: x with the value at `x[index]`. Tensors have it as `x.at[index].set(value)`.

    The value broadcasts, and takes the dtype of x. Where it went, x gets no gradient; of several values for one
    element the last stays, and gets the gradient. The index is any that x[index] takes.
    """
    array, index, value = _prepared("set_at", x, index, value)
    return _put(array, value, index=index)


def add_at(x: ArrayLike, index: Any, value: ArrayLike) -> Tensor:
    """A new array: x with the value added at `x[index]`. Tensors have it as `x.at[index].add(value)`.

    The value broadcasts, and takes the dtype of x. All that is added to one element counts. The index is any that
    x[index] takes.
    """
    array, index, value = _prepared("add_at", x, index, value)
    return add(array, _scatter(value, indices=(index,), shape=array.shape))


class At:
    """`x.at`, which is there to be indexed."""

    __slots__ = ("_x",)

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Place:
        return Place(self._x, index)


class Place:
    """`x.at[index]`: a place in x. Setting it or adding to it makes a new tensor."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Tensor, index: Any) -> None:
        self._x, self._index = x, index

    def set(self, value: ArrayLike) -> Tensor:
        """See `tinygrad_rnn.ops.set_at`."""
        return set_at(self._x, self._index, value)

    def add(self, value: ArrayLike) -> Tensor:
        """See `tinygrad_rnn.ops.add_at`."""
        return add_at(self._x, self._index, value)
