"""The rows of `ops/indexing.py`."""

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.ops import indexing

from ..cases import Case, Row, normal, scatter

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
}

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
