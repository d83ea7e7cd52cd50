"""The rows of `ops/shapes.py`."""

import numpy as np

import tinygrad_rnn as tg

from ..cases import Case, Row, normal, unary


def weighed(parts, axis, concatenate):
    """The parts joined again, each times another number: which went where shows."""
    return concatenate([part * (i + 1) for i, part in enumerate(parts)], axis)


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
            Case("size-0, inferred", (normal(0, 3),), {"shape": (-1, 3)}),
        ],
        "reshape",
        torch=lambda torch, x, shape: torch.reshape(x, shape if isinstance(shape, (tuple, list)) else (shape,)),
    ),
    Row("ravel", tg.ravel, np.ravel, unary(), "reshape", torch="ravel"),
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
        torch=lambda torch, x, axes=None: torch.permute(x, axes or tuple(range(x.ndim))[::-1]),
    ),
    Row(
        "permute_dims",
        tg.permute_dims,
        np.permute_dims,
        [Case("a cycle", (normal(2, 3, 4),), {"axes": (1, 2, 0)})],
        "transpose",
        torch=lambda torch, x, axes: torch.permute(x, axes),
    ),
    Row(
        "matrix_transpose",
        tg.matrix_transpose,
        np.matrix_transpose,
        [Case("matrix", (normal(2, 3),)), Case("stack", (normal(2, 3, 4),)), Case("size-0", (normal(0, 3),))],
        "swapaxes",
        torch=lambda torch, x: x.mT,
    ),
    Row(
        "moveaxis",
        tg.moveaxis,
        np.moveaxis,
        [
            Case("first to last", (normal(2, 3, 4),), {"source": 0, "destination": -1}),
            Case("back", (normal(2, 3, 4),), {"source": -1, "destination": 0}),
            Case("two", (normal(2, 3, 4, 1),), {"source": (0, 1), "destination": [-1, 0]}),
            Case("itself", (normal(2, 3),), {"source": 1, "destination": -1}),
            Case("none", (normal(2, 3),), {"source": (), "destination": ()}),
            Case("size-0", (normal(0, 3),), {"source": 0, "destination": 1}),
        ],
        "transpose",
        torch=lambda torch, x, source, destination: torch.moveaxis(
            x, source, tuple(destination) if isinstance(destination, list) else destination
        ),
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
        torch=lambda torch, x, axis1, axis2: torch.swapaxes(x, axis1, axis2),
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
        torch=lambda torch, x, shape: torch.broadcast_to(x, shape if isinstance(shape, tuple) else (shape,)),
    ),
    Row(
        "broadcast_arrays",
        lambda *xs: tg.stack(tg.broadcast_arrays(*xs), -1),
        lambda *xs: np.stack(np.broadcast_arrays(*xs), -1),
        [
            Case("row and column", (normal(1, 3), normal(2, 1))),
            Case("three", (normal(), normal(3), normal(2, 1))),
            Case("one", (normal(2),)),
            Case("size-0", (normal(1, 3), normal(0, 1))),
        ],
        "broadcast_to",
        torch=lambda torch, *xs: torch.stack(torch.broadcast_tensors(*xs), -1),
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
            Case("size-0", (normal(0, 3),), {"axis": 1}),
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
            Case("no axis", (normal(2, 1), normal(), normal(3)), {"axis": None}),
        ],
        "concatenate",
        torch=lambda torch, *xs, axis=0: (
            torch.concatenate([x.ravel() for x in xs]) if axis is None else torch.concatenate(xs, axis)
        ),
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
        torch=lambda torch, *xs, axis=0: torch.stack(xs, axis),
    ),
    Row(
        "split",
        lambda x, parts, axis=0: weighed(tg.split(x, parts, axis), axis, tg.concatenate),
        lambda x, parts, axis=0: weighed(np.split(x, parts, axis), axis, np.concatenate),
        [
            Case("equal parts", (normal(6),), {"parts": 3}),
            Case("columns", (normal(2, 4),), {"parts": 2, "axis": -1}),
            Case("before indices", (normal(5, 2),), {"parts": [1, 3]}),
            Case("no index", (normal(3),), {"parts": []}),
            Case("negative, overlapping, past the end", (normal(5),), {"parts": (3, -4, 9)}),
            Case("an array of indices", (normal(2, 5),), {"parts": np.array([2]), "axis": 1}),
            Case("size-0", (normal(0, 3),), {"parts": 2}),
        ],
        "getitem",
        torch=lambda torch, x, parts, axis=0: weighed(
            torch.tensor_split(x, parts if isinstance(parts, int) else tuple(map(int, parts)), axis),
            axis,
            torch.concatenate,
        ),
    ),
    Row(
        "array_split",
        lambda x, parts, axis=0: weighed(tg.array_split(x, parts, axis), axis, tg.concatenate),
        lambda x, parts, axis=0: weighed(np.array_split(x, parts, axis), axis, np.concatenate),
        [
            Case("unequal parts", (normal(8),), {"parts": 3}),
            Case("more parts than rows", (normal(2, 2),), {"parts": 4}),
            Case("before an index", (normal(2, 3),), {"parts": [1], "axis": 1}),
        ],
        "getitem",
        torch=lambda torch, x, parts, axis=0: weighed(torch.tensor_split(x, parts, axis), axis, torch.concatenate),
    ),
    Row(
        "flip",
        tg.flip,
        np.flip,
        [
            *unary(),
            Case("first axis", (normal(2, 3),), {"axis": 0}),
            Case("negative", (normal(2, 3, 2),), {"axis": -1}),
            Case("two", (normal(2, 3, 2),), {"axis": (0, -1)}),
            Case("no axes", (normal(2, 3),), {"axis": ()}),
        ],
        "getitem",
        torch=lambda torch, x, axis=None: torch.flip(
            x, tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        ),
    ),
    Row(
        "roll",
        tg.roll,
        np.roll,
        [
            Case("1-d", (normal(4),), {"shift": 1}),
            Case("by nothing", (normal(4),), {"shift": 0}),
            Case("more than once round, backwards", (normal(3),), {"shift": -8}),
            Case("0-d", (normal(),), {"shift": 2}),
            Case("through all axes", (normal(2, 3),), {"shift": 1}),
            Case("through all axes, two shifts", (normal(2, 3),), {"shift": (1, 3)}),
            Case("columns", (normal(2, 3),), {"shift": 1, "axis": -1}),
            Case("both axes", (normal(2, 3),), {"shift": (1, -1), "axis": (0, 1)}),
            Case("both axes, one shift", (normal(2, 3),), {"shift": 1, "axis": [0, 1]}),
            Case("two shifts, one axis", (normal(2, 3),), {"shift": (1, 3), "axis": 1}),
            Case("an axis twice", (normal(2, 4),), {"shift": (1, 2), "axis": (1, -1)}),
            Case("size-0", (normal(0, 3),), {"shift": 1, "axis": 0}),
        ],
        "concatenate",
        torch=lambda torch, x, shift, axis=None: (
            torch.roll(x, *[list(map(int, b)) for b in np.broadcast_arrays(*map(np.atleast_1d, (shift, axis)))])
            if axis is not None
            else torch.roll(x, int(np.sum(shift)))
        ),
    ),
    Row(
        "tile",
        tg.tile,
        np.tile,
        [
            Case("1-d", (normal(3),), {"reps": 2}),
            Case("0-d", (normal(),), {"reps": (2, 3)}),
            Case("both axes", (normal(2, 3),), {"reps": (3, 2)}),
            Case("last axis only", (normal(2, 3),), {"reps": 2}),
            Case("a new axis", (normal(2),), {"reps": [2, 1, 3]}),
            Case("none", (normal(2),), {"reps": 0}),
            Case("no reps", (normal(2),), {"reps": ()}),
            Case("size-0", (normal(0, 3),), {"reps": (2, 2)}),
        ],
        "broadcast_to",
        torch=lambda torch, x, reps: torch.tile(x, reps if isinstance(reps, (tuple, list)) else (reps,)),
    ),
]
