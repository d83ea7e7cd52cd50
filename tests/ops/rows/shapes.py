"""The rows of `ops/shapes.py`."""

import numpy as np

import tinygrad_rnn as tg

from ..cases import Case, Row, normal, unary

ROWS = [
    Row(
        "reshape",
        tg.reshape,
        np.reshape,
        [
            Case("split", (normal(6),), {"shape": (2, 3)}),
            Case("join", (normal(2, 3, 2),), {"shape": -1}),
            Case("inferred", (normal(2, 3, 2),), {"shape": [4, -1]}),
            Case("same", (normal(2, 3),), {"shape": (2, 3)}),
            Case("to 0-d", (normal(1, 1),), {"shape": ()}),
            Case("from 0-d", (normal(),), {"shape": (1, 1)}),
            Case("size-0", (normal(0, 3),), {"shape": (3, 0, 2)}),
        ],
        "reshape",
    ),
    Row(
        "transpose",
        tg.transpose,
        np.transpose,
        [
            *unary(),
            Case("a cycle", (normal(2, 3, 4),), {"axes": (1, 2, 0)}),
            Case("negative axes", (normal(2, 3, 4),), {"axes": (-1, 0, -2)}),
        ],
        "transpose",
    ),
    Row(
        "ascontiguousarray",
        tg.ascontiguousarray,
        lambda x: np.asarray(x, order="C"),  # NumPy's makes 0-d arrays 1-d
        [*unary()],
        "ascontiguousarray",
    ),
    Row(
        "swapaxes",
        tg.swapaxes,
        np.swapaxes,
        [
            Case("matrix", (normal(2, 3),), {"axis1": 0, "axis2": 1}),
            Case("negative", (normal(2, 3, 4),), {"axis1": -1, "axis2": 0}),
            Case("itself", (normal(2, 3),), {"axis1": 1, "axis2": -1}),
            Case("size-0", (normal(0, 3),), {"axis1": 0, "axis2": 1}),
        ],
        "swapaxes",
    ),
    Row(
        "ascontiguousarray",
        tg.ascontiguousarray,
        lambda x: np.asarray(x, order="C"),  # NumPy's own gives a scalar an axis
        [*unary(), Case("transposed", (normal(3, 2).T,)), Case("backwards", (normal(2, 3)[:, ::-1],))],
        "ascontiguousarray",
    ),
    Row(
        "broadcast_to",
        tg.broadcast_to,
        np.broadcast_to,
        [
            Case("0-d", (normal(),), {"shape": (2, 3)}),
            Case("0-d to one axis", (normal(),), {"shape": 3}),
            Case("a row", (normal(3),), {"shape": (2, 3)}),
            Case("a column", (normal(2, 1),), {"shape": (4, 2, 3)}),
            Case("same", (normal(2, 3),), {"shape": (2, 3)}),
            Case("to size-0", (normal(1, 3),), {"shape": (0, 3)}),
        ],
        "broadcast_to",
    ),
    Row(
        "expand_dims",
        tg.expand_dims,
        np.expand_dims,
        [
            Case("0-d", (normal(),), {"axis": 0}),
            Case("last", (normal(2, 3),), {"axis": -1}),
            Case("two", (normal(2, 3),), {"axis": (0, -1)}),
            Case("out of order", (normal(2),), {"axis": (2, 0)}),
        ],
        "reshape",
    ),
    Row(
        "squeeze",
        tg.squeeze,
        np.squeeze,
        [
            Case("all", (normal(1, 3, 1),)),
            Case("one", (normal(1, 3, 1),), {"axis": 0}),
            Case("negative", (normal(1, 3, 1),), {"axis": -1}),
            Case("two", (normal(1, 3, 1),), {"axis": (0, 2)}),
            Case("0-d", (normal(),)),
        ],
        "reshape",
    ),
    Row(
        "concatenate",
        lambda *xs, axis=0: tg.concatenate(xs, axis),
        lambda *xs, axis=0: np.concatenate(xs, axis),
        [
            Case("one", (normal(2, 3),)),
            Case("1-d", (normal(2), normal(3))),
            Case("rows", (normal(1, 3), normal(2, 3), normal(1, 3))),
            Case("columns", (normal(2, 1), normal(2, 3)), {"axis": -1}),
            Case("with a size-0", (normal(2, 3), normal(2, 0)), {"axis": 1}),
        ],
        "concatenate",
    ),
    Row(
        "stack",
        lambda *xs, axis=0: tg.stack(xs, axis),
        lambda *xs, axis=0: np.stack(xs, axis),
        [
            Case("0-d", (normal(), normal(), normal())),
            Case("first", (normal(2, 3), normal(2, 3))),
            Case("between", (normal(2, 3), normal(2, 3)), {"axis": 1}),
            Case("last", (normal(2, 3), normal(2, 3)), {"axis": -1}),
            Case("size-0", (normal(0, 3), normal(0, 3)), {"axis": 1}),
        ],
        "stack",
    ),
]
