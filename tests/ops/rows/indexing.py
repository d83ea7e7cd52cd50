"""The rows of `ops/indexing.py`."""

import operator
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.ops import indexing

from ..cases import Case, Row, normal, rng, scatter

INDICES: dict[str, tuple[tuple[int, ...], Any]] = {
    "integer": ((4, 3), 1),
    "negative integer": ((4, 3), -1),
    "to a scalar": ((4, 3), (2, -3)),
    "slice": ((4, 3), slice(1, 3)),
    "negative step": ((4, 3), slice(None, None, -2)),
    "empty slice": ((4, 3), slice(3, 1)),
    "several": ((4, 3, 2), (slice(None), 1, slice(None, None, -1))),
    "ellipsis": ((4, 3, 2), (Ellipsis, 0)),
    "new axis": ((4, 3), (None, slice(None), None, 1)),
    "everything": ((4, 3), Ellipsis),
    "0-d, empty tuple": ((), ()),
    "0-d, new axis": ((), None),
    "integer array": ((4, 3), np.array([2, 0])),
    "repeated integers": ((4, 3), np.array([[1, 1], [-3, 1]])),
    "list": ((4, 3), [0, 0, 3]),
    "empty list": ((4, 3), []),
    "two integer arrays": ((4, 3), (np.array([0, 0, 3]), np.array([1, 1, 2]))),
    "integer arrays that broadcast": ((4, 3), (np.array([[0], [3]]), np.array([1, 1]))),
    "integer array and slice": ((4, 3, 2), (slice(1, 3), np.array([2, 2]))),
    "integer arrays apart": ((4, 3, 2), (np.array([0, 0]), slice(None), np.array([1, 1]))),
    "boolean mask": ((2, 2), np.array([[True, False], [True, True]])),
    "numpy integer": ((4, 3), np.int64(2)),
    "size-0": ((0, 3), (slice(None), 1)),
    "0-d integer array": ((4, 3), (np.array(1), slice(None))),
    "small unsigned integers": ((4, 3), np.array([3, 0, 3], np.uint8)),
    "integers in Fortran order": ((4, 3), np.array([[1, 0, 3], [2, 1, 1]]).T),
    "a tuple of one list": ((4, 3), ([3, 3],)),
    "integer array and integer": ((4, 3, 2), (np.array([1, 1, 0]), 2)),
    "integer and array apart": ((4, 3, 2), (1, slice(None), np.array([1, 1, 0]))),
    "integer array, new axis, integer array": ((4, 3), (np.array([0, 0]), None, np.array([1, 2]))),
    "integer arrays about an ellipsis": ((4, 3, 2), (np.array([[0], [3]]), Ellipsis, np.array([1, 1]))),
    "integer arrays about an empty ellipsis": ((4, 3), (np.array([0, 3]), Ellipsis, np.array([1, 1]))),
    "slice, array, ellipsis": ((4, 3, 2), (slice(None, None, 2), np.array([2, 2]), Ellipsis)),
    "ellipsis, array": ((4, 3, 2), (Ellipsis, np.array([1, 1, 0]))),
    "integers of size 0": ((4, 3), (slice(None), np.zeros((2, 0), int))),
    "mask of rows": ((3, 2), np.array([True, False, True])),
    "mask of nothing": ((3, 2), np.zeros((3, 2), bool)),
    "mask of columns": ((2, 3), (slice(None), np.array([True, False, True]))),
    "mask of the last two axes": ((2, 2, 3), (Ellipsis, np.array([[True, False, True], [False, True, True]]))),
    "mask as a list": ((3,), [True, False, True]),
    "mask and integers": ((3, 4), (np.array([True, False, True]), np.array([1, 1]))),
    "mask, slice, integer": ((3, 2, 2), (np.array([True, False, True]), slice(None), 1)),
    "true": ((2, 3), True),
    "false": ((2, 3), False),
    "true about a slice": ((2, 3), (True, slice(None), np.array([1, 1]))),
    "0-d, true": ((), np.array(True)),
    "0-d, ellipsis": ((), (Ellipsis, None)),
}

MODES = ("edge", "reflect", "symmetric", "wrap")


def in_place(write):
    """NumPy's writing, on a copy of x."""

    def f(x, value, index):
        out = np.array(x)
        write(out, index, value)
        return out

    return f


def values(shape, index):
    """Values for x[index], of its shape."""
    return normal(*np.zeros(shape)[index].shape)


def torch_take(torch, x, indices, axis, mode):
    x, axis = (x.ravel(), 0) if axis is None else (x, axis % x.ndim)
    n = x.shape[axis]
    places = {"raise": lambda i: i, "wrap": lambda i: i % max(n, 1), "clip": lambda i: np.clip(i, 0, n - 1)}[mode]
    found = torch.tensor(places(np.asarray(indices, int)))
    return x[(slice(None),) * axis + (found,)]


def scatter_rows(ct, indices, shape, batch=0):
    """Row by row."""
    total = np.zeros(shape)
    indices = np.asarray(indices)
    for place in np.ndindex(indices.shape):
        total[(*place[:batch], indices[place])] += ct[place]
    return total


ROWS = [
    Row(
        "unstack",
        lambda x, axis=0: tg.stack(tg.unstack(x, axis)),
        lambda x, axis=0: np.moveaxis(x, axis, 0),
        [
            Case("1-d", (normal(3),)),
            Case("rows", (normal(2, 3),)),
            Case("columns", (normal(2, 3),), {"axis": -1}),
            Case("of size-0", (normal(2, 0),)),
        ],
        "getitem",
    ),
    Row(
        "getitem",
        ops.getitem,
        lambda x, index: np.asarray(x)[index],
        [Case(name, (normal(*shape),), {"index": index}) for name, (shape, index) in INDICES.items()],
        "getitem",
    ),
    Row(
        "set_at",
        lambda x, value, index: ops.set_at(x, index, value),
        in_place(operator.setitem),
        [
            *[Case(name, (normal(*s), values(s, i)), {"index": i}) for name, (s, i) in INDICES.items()],
            Case("0-d value", (normal(4, 3), normal()), {"index": slice(1, 3)}),
            Case("value broadcasts", (normal(4, 3), normal(2, 1)), {"index": np.array([3, 0])}),
            Case("value with more axes", (normal(4, 3), normal(1, 1, 3)), {"index": 1}),
            Case("0-d value in repeated places", (normal(4), normal()), {"index": [1, 1, 2]}),
            Case("value in Fortran order", (normal(3), normal(2, 3).T), {"index": [[0, 1], [1, 0], [0, 2]]}),
        ],
        "put",
    ),
    Row(
        "add_at",
        lambda x, value, index: ops.add_at(x, index, value),
        in_place(np.add.at),
        [
            *[Case(name, (normal(*s), values(s, i)), {"index": i}) for name, (s, i) in INDICES.items()],
            Case("0-d value", (normal(4, 3), normal()), {"index": slice(1, 3)}),
            Case("value broadcasts", (normal(4, 3), normal(2, 1)), {"index": np.array([3, 0])}),
        ],
        "scatter",
        rtol=1e-15,
    ),
    Row(
        "take",
        tg.take,
        np.take,
        [
            Case("rows", (normal(4, 3),), {"indices": [0, 3, 0], "axis": 0}),
            Case("one row", (normal(4, 3),), {"indices": -1, "axis": 0}),
            Case("columns", (normal(2, 3),), {"indices": np.array([[2, 2], [-3, 1]]), "axis": -1}),
            Case("between", (normal(2, 3, 2),), {"indices": [1, 1], "axis": 1}),
            Case("no axis", (normal(2, 3),), {"indices": [5, 0, 5]}),
            Case("of 0-d", (normal(),), {"indices": [0, 0]}),
            Case("wrap", (normal(3, 2),), {"indices": [-4, 7, 1], "axis": 0, "mode": "wrap"}),
            Case("clip", (normal(3, 2),), {"indices": [-4, 7, 1], "axis": 0, "mode": "clip"}),
            Case("none", (normal(3, 2),), {"indices": [], "axis": 0}),
            Case("of no rows", (normal(0, 2),), {"indices": np.zeros((2, 0), int), "axis": 0, "mode": "wrap"}),
            Case("of rows of nothing", (normal(2, 0),), {"indices": [1, 1], "axis": 0}),
            Case("unsigned", (normal(4),), {"indices": np.array([1, 1, 2], np.uint64).astype(np.uint8), "axis": 0}),
        ],
        "take",
        torch=lambda torch, x, indices, axis=None, mode="raise": torch_take(torch, x, indices, axis, mode),
    ),
    Row(
        "take_along_axis",
        tg.take_along_axis,
        np.take_along_axis,
        [
            Case("last axis", (normal(2, 3),), {"indices": np.array([[2, 2], [0, -1]]), "axis": -1}),
            Case("first axis", (normal(3, 2),), {"indices": np.array([[2, 0]]), "axis": 0}),
            Case("middle axis", (normal(2, 3, 2),), {"indices": rng.integers(0, 3, (2, 4, 2)), "axis": 1}),
            Case("indices broadcast", (normal(2, 3),), {"indices": np.array([[1, 1]]), "axis": 1}),
            Case("x broadcasts", (normal(1, 3),), {"indices": np.array([[1], [1]]), "axis": 1}),
            Case("no axis", (normal(2, 3),), {"indices": np.array([5, 0, 5]), "axis": None}),
            Case("1-d", (normal(3),), {"indices": np.array([2, 2]), "axis": 0}),
            Case("none", (normal(2, 3),), {"indices": np.zeros((2, 0), int), "axis": 1}),
            Case("size-0", (normal(0, 3),), {"indices": np.zeros((0, 2), int), "axis": 1}),
        ],
        "take",
        torch=lambda torch, x, indices, axis: torch.take_along_dim(
            x, torch.tensor(indices % (x.numel() if axis is None else x.shape[axis])), axis
        ),
    ),
    Row(
        "scatter_rows",
        lambda ct, indices, shape, batch=0: indexing._scatter_rows(
            ct, np.array(indices), shape=shape, batch=batch, mode="raise"
        ),
        scatter_rows,
        [
            Case("rows", (normal(3, 2),), {"indices": [1, -1, 1], "shape": (4, 2)}),
            Case("one", (normal(2),), {"indices": 1, "shape": (3, 2)}),
            Case("numbers", (normal(2, 2),), {"indices": [[1, 1], [0, 1]], "shape": (3,)}),
            Case("a batch", (normal(2, 3, 2),), {"indices": [[0, 0, -1], [1, 0, 1]], "shape": (2, 2, 2), "batch": 1}),
            Case("none", (normal(0, 2),), {"indices": np.zeros(0, int), "shape": (3, 2)}),
            Case("no batch", (normal(0, 3),), {"indices": np.zeros((0, 3), int), "shape": (0, 2), "batch": 1}),
        ],
        "scatter_rows",
        rtol=1e-15,
    ),
    Row(
        "repeat",
        tg.repeat,
        np.repeat,
        [
            Case("0-d", (normal(),), {"repeats": 3}),
            Case("all", (normal(2, 3),), {"repeats": 2}),
            Case("rows", (normal(2, 3),), {"repeats": 3, "axis": 0}),
            Case("columns", (normal(2, 3),), {"repeats": [2], "axis": -1}),
            Case("each its own", (normal(2, 3),), {"repeats": [2, 0, 1], "axis": 1}),
            Case("each its own, all", (normal(2, 2),), {"repeats": np.array([2, 0, 1, 3])}),
            Case("none", (normal(2, 3),), {"repeats": 0, "axis": 0}),
            Case("size-0", (normal(0, 3),), {"repeats": 2, "axis": 0}),
            Case("size-0, each its own", (normal(0, 3),), {"repeats": [], "axis": 0}),
        ],
        "broadcast_to",
        torch=lambda torch, x, repeats, axis=None: torch.repeat_interleave(
            x, repeats if isinstance(repeats, int) else torch.tensor(repeats, dtype=int), axis
        ),
    ),
    Row(
        "pad",
        tg.pad,
        np.pad,
        [
            Case("1-d", (normal(3),), {"pad_width": 2}),
            Case("0-d", (normal(),), {"pad_width": 2}),
            Case("a pair", (normal(2, 3),), {"pad_width": (1, 2)}),
            Case("a pair each", (normal(2, 3),), {"pad_width": [(1, 0), (0, 2)]}),
            Case("a number each", (normal(2, 3),), {"pad_width": [[1], [2]]}),
            Case("nothing", (normal(2, 3),), {"pad_width": 0, "mode": "edge"}),
            Case("numbers", (normal(3),), {"pad_width": 1, "constant_values": -1.5}),
            Case("numbers each", (normal(2, 2),), {"pad_width": 1, "constant_values": np.array([[1, 2], [3, 4]])}),
            Case("size-0", (normal(0, 2),), {"pad_width": 1, "mode": "constant"}),
            *[Case(mode, (normal(2, 3),), {"pad_width": ((1, 0), (2, 2)), "mode": mode}) for mode in MODES],
            *[Case(f"{mode}, further", (normal(2),), {"pad_width": (5, 4), "mode": mode}) for mode in MODES],
            *[Case(f"{mode}, one", (normal(1),), {"pad_width": (1, 2), "mode": mode}) for mode in MODES],
            Case("edge, an axis of length 0", (normal(2, 0),), {"pad_width": ((1, 1), (0, 0)), "mode": "edge"}),
        ],
        "put",
    ),
    Row(
        "scatter",
        indexing._scatter,
        scatter,
        [
            Case("one", (normal(3),), {"indices": (1,), "shape": (2, 3)}),
            Case("overlapping", (normal(2), normal(2)), {"indices": (slice(0, 2), slice(1, 3)), "shape": (3,)}),
            Case("repeated integers", (normal(3, 2),), {"indices": (np.array([1, 1, 0]),), "shape": (2, 2)}),
            Case("both kinds", (normal(2), normal()), {"indices": (np.array([2, 2]), (2,)), "shape": (3,)}),
        ],
        "scatter",
        rtol=1e-15,
    ),
]
