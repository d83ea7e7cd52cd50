"""Every operation, one row each: the function, NumPy's function that it must equal, and inputs to try both on.

`test_table.py` holds every row to the same promises: the forward is the oracle's, the derivatives are right in every
mode and to second order, dtypes are kept, memory is never shared. A new operation needs a row here and nothing else;
without one the suite fails.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import ops, transforms
from tinygrad_rnn.nn import functional
from tinygrad_rnn.ops import indexing

rng = np.random.default_rng(20)


@dataclass(frozen=True)
class Case:
    """Inputs of an operation.

    Args:
        arrays: the arguments to differentiate by, float64.
        kwargs: everything else.
        smooth: whether finite differences can be trusted here: no ties, no kinks.

    """

    name: str
    arrays: tuple[np.ndarray, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True


@dataclass(frozen=True)
class Row:
    """An operation f(*arrays, **kwargs) and the NumPy function that gives the same numbers.

    Args:
        covers: the primitive that this row proves, by name.
        rtol: how far from the oracle; 0 where NumPy's function of that name does the same sums in the same order.

    """

    name: str
    f: Callable[..., Any]
    oracle: Callable[..., Any]
    cases: Sequence[Case]
    covers: str
    rtol: float = 0.0


# --------------------------------------------------------------------------------------------------------------- inputs

SHAPES = {"0-d": (), "size-0": (0, 3), "1-d": (4,), "2-d": (2, 3), "3-d": (2, 1, 3)}

BROADCAST = {
    "same": ((2, 3), (2, 3)),
    "0-d": ((), ()),
    "left broadcasts": ((3,), (2, 3)),
    "right broadcasts": ((2, 3), (2, 1)),
    "both broadcast": ((2, 1), (1, 3)),
    "0-d with 2-d": ((), (2, 3)),
    "2-d with 0-d": ((2, 3), ()),
    "length 1 with size-0": ((1, 3), (0, 3)),
    "size-0 with 0-d": ((0, 3), ()),
    "leading ones": ((1, 1, 3), (2, 3)),
}


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.normal(size=shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(rng.uniform(0.5, 2.0, size=shape))


def off_zero(*shape: int) -> np.ndarray:
    """Numbers of both signs, none within 0.2 of zero."""
    return np.asarray(rng.uniform(0.2, 2.0, size=shape) * rng.choice([-1.0, 1.0], size=shape))


def distinct(*shape: int) -> np.ndarray:
    """Numbers no two of which are within 0.1 of each other."""
    size = int(np.prod(shape))
    return (rng.permutation(size) * 0.2 - 0.1 * size + 0.05).reshape(shape)


def unary(draw: Callable[..., np.ndarray] = normal) -> list[Case]:
    return [Case(name, (draw(*shape),)) for name, shape in SHAPES.items()]


def binary(left: Callable[..., np.ndarray] = normal, right: Callable[..., np.ndarray] = normal) -> list[Case]:
    return [Case(name, (left(*a), right(*b))) for name, (a, b) in BROADCAST.items()]


REDUCTIONS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "0-d": ((), {}),
    "all axes": ((2, 3), {}),
    "all axes, kept": ((2, 3), {"keepdims": True}),
    "first axis": ((2, 3), {"axis": 0}),
    "last axis, negative, kept": ((2, 3, 2), {"axis": -1, "keepdims": True}),
    "two axes": ((2, 3, 2), {"axis": (0, 2)}),
    "two axes, out of order": ((2, 3, 2), {"axis": (-1, 0), "keepdims": True}),
    "no axes": ((2, 3), {"axis": ()}),
    "nothing left": ((0, 3), {"axis": 1}),
}


def reductions(draw: Callable[..., np.ndarray] = normal) -> list[Case]:
    return [Case(name, (draw(*shape),), kwargs) for name, (shape, kwargs) in REDUCTIONS.items()]


ALONG_AN_AXIS = [
    Case("1-d", (normal(4),)),
    Case("last axis", (normal(2, 3),)),
    Case("first axis", (normal(3, 2),), {"axis": 0}),
    Case("middle axis", (normal(2, 3, 2),), {"axis": -2}),
    Case("size-0", (normal(0, 3),)),
    Case("one class", (normal(2, 1),)),
    Case("large", (normal(2, 3) * 3 + 700.0,)),
]


# -------------------------------------------------------------------------------------------------------------- oracles


def shares(x: np.ndarray, axis: Any) -> np.ndarray:
    """Softmax by its definition, in extended precision."""
    e = np.exp(np.asarray(x, np.longdouble))
    return e / np.sum(e, axis=axis, keepdims=True)


def in_float64(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: np.asarray(f(*args, **kwargs)).astype(np.float64)


@in_float64
def logsumexp(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(np.asarray(x, np.longdouble)), axis=axis, keepdims=keepdims))


@in_float64
def cross_entropy(x: np.ndarray, labels: Any, axis: int = -1, reduction: str = "none") -> Any:
    rows = np.moveaxis(-np.log(shares(x, axis)), axis, -1)
    losses = np.empty(rows.shape[:-1], np.longdouble)
    for place in np.ndindex(losses.shape):
        losses[place] = rows[place][np.asarray(labels)[place]]
    return {"none": losses, "sum": np.sum(losses), "mean": np.sum(losses) / max(losses.size, 1)}[reduction]


def mean(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
    return np.mean(x, axis=axis, keepdims=keepdims) if np.size(x) else np.sum(x, axis=axis, keepdims=keepdims)


def scatter(*cts: np.ndarray, indices: tuple[Any, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Element by element: where did each number of `cts` come from?"""
    total = np.zeros(shape, np.result_type(*cts))
    places = np.arange(total.size).reshape(shape)
    for ct, index in zip(cts, indices, strict=True):
        for place, number in zip(np.ravel(places[index]), np.ravel(ct), strict=True):
            total.reshape(-1)[place] += number
    return total


# ------------------------------------------------------------------------------------------------------------ the table

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

MATMUL: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "vector, vector": ((3,), (3,)),
    "vector, matrix": ((3,), (3, 2)),
    "vector, stack": ((3,), (2, 3, 2)),
    "matrix, vector": ((2, 3), (3,)),
    "matrix, matrix": ((2, 3), (3, 2)),
    "matrix, stack": ((2, 3), (2, 3, 2)),
    "stack, vector": ((2, 2, 3), (3,)),
    "stack, matrix": ((2, 2, 3), (3, 2)),
    "stack, stack": ((2, 2, 3), (2, 3, 1)),
    "stacks broadcast": ((2, 1, 2, 3), (3, 3, 2)),
    "stack of one": ((1, 2, 3), (2, 3, 2)),
    "inner length 0": ((2, 0), (0, 3)),
    "no rows": ((0, 3), (3, 2)),
    "no columns": ((2, 3), (3, 0)),
    "empty stack": ((0, 2, 3), (3, 2)),
}

INNER: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "vector, vector": ((3,), (3,)),
    "vector, matrix": ((3,), (2, 3)),
    "matrix, vector": ((2, 3), (3,)),
    "matrix, matrix": ((4, 3), (2, 3)),
    "stack, matrix": ((2, 2, 3), (4, 3)),
    "matrix, stack": ((2, 3), (2, 2, 3)),
    "stack, stack": ((2, 1, 3), (2, 2, 3)),
    "inner length 0": ((2, 0), (3, 0)),
    "no rows": ((0, 3), (2, 3)),
}

ROWS = [
    Row("add", tg.add, np.add, binary(), "add"),
    Row("subtract", tg.subtract, np.subtract, binary(), "subtract"),
    Row("multiply", tg.multiply, np.multiply, binary(), "multiply"),
    Row("divide", tg.divide, np.divide, binary(right=off_zero), "divide"),
    Row("negative", tg.negative, np.negative, unary(), "negative"),
    Row(
        "power",
        tg.power,
        np.power,
        [
            *binary(positive, normal),
            Case("exponent 0", (positive(3), np.zeros(3))),
            Case("base 0", (np.zeros(2), np.array([2.0, 3.0])), smooth=False),
        ],
        "power",
    ),
    Row(
        "power by a number",
        lambda x, y: tg.power(x, y),
        lambda x, y: np.power(x, y),
        [Case(f"x^{y}", (off_zero(2, 3),), {"y": y}) for y in (0, 1, 2, 3, -1, -2, 2.0, 0.0)]
        + [Case(f"x^{y}, x > 0", (positive(2, 3),), {"y": y}) for y in (0.5, -1.5)]
        + [Case("0^2", (np.zeros(2),), {"y": 2})],
        "power",
    ),
    Row(
        "a number to a power",
        lambda y, x: tg.power(x, y),
        lambda y, x: np.power(x, y),
        [Case(f"{x}^y", (normal(2, 3),), {"x": x}) for x in (1, 2, 0.5)] + [Case("0^y", (positive(3),), {"x": 0})],
        "power",
    ),
    Row(
        "astype",
        lambda x: tg.astype(x, np.float64),
        lambda x: x.astype(np.float64),
        unary(),
        "astype",
    ),
    Row("exp", tg.exp, np.exp, unary(), "exp"),
    Row("log", tg.log, np.log, unary(positive), "log"),
    Row("sqrt", tg.sqrt, np.sqrt, unary(positive), "sqrt"),
    Row("tanh", tg.tanh, np.tanh, unary(), "tanh"),
    Row("sigmoid", tg.sigmoid, lambda x: (1 + np.tanh(x / 2)) / 2, unary(), "sigmoid", rtol=1e-15),
    Row(
        "relu",
        tg.relu,
        lambda x: np.maximum(x, 0),
        [*unary(off_zero), Case("at the kink", (np.array([-1.0, 0.0, -0.0, 2.0]),), smooth=False)],
        "relu",
    ),
    Row(
        "maximum",
        tg.maximum,
        np.maximum,
        [
            *[Case(name, (normal(*a), normal(*b) * 0.1 + 5.0)) for name, (a, b) in BROADCAST.items()],
            Case("either", (distinct(2, 3), distinct(2, 3) + 0.07)),
            Case("ties", (np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 3.0])), smooth=False),
            Case("ties, broadcast", (np.array([[1.0], [2.0]]), np.array([1.0, 2.0])), smooth=False),
        ],
        "maximum",
    ),
    Row(
        "where",
        lambda x, y, condition: tg.where(condition, x, y),
        lambda x, y, condition: np.where(condition, x, y),
        [Case(c.name, c.arrays, {"condition": np.array([True, False, True])}) for c in binary()]
        + [
            Case("0-d condition", (normal(2, 3), normal(3)), {"condition": np.array(True)}),
            Case("Python condition", (normal(2), normal()), {"condition": False}),
            Case("condition broadcasts both", (normal(3), normal()), {"condition": np.array([[True], [False]])}),
        ],
        "where",
    ),
    Row("sum", tg.sum, np.sum, [*reductions(), Case("nothing to add", (normal(0, 3),), {"axis": 0})], "sum"),
    Row("mean", tg.mean, mean, reductions(), "divide"),
    Row(
        "max",
        tg.max,
        np.max,
        [
            *reductions(distinct),
            Case("ties", (np.array([[3.0, 3.0, 1.0], [2.0, 2.0, 2.0]]),), {"axis": 1}, smooth=False),
            Case("ties over all", (np.ones((2, 2)),), smooth=False),
        ],
        "max",
    ),
    Row(
        "logsumexp",
        tg.logsumexp,
        logsumexp,
        [*reductions(), Case("large", (normal(2, 3) + 1000.0,), {"axis": -1})],
        "logsumexp",
        rtol=1e-14,
    ),
    Row(
        "softmax",
        tg.softmax,
        in_float64(lambda x, axis=-1: shares(x, axis)),
        ALONG_AN_AXIS,
        "softmax",
        rtol=1e-13,
    ),
    Row(
        "log_softmax",
        tg.log_softmax,
        in_float64(lambda x, axis=-1: np.log(shares(x, axis))),
        ALONG_AN_AXIS,
        "log_softmax",
        rtol=1e-13,
    ),
    Row(
        "cross_entropy",
        ops.cross_entropy,
        cross_entropy,
        [
            Case("one", (normal(3),), {"labels": 2}),
            Case("batch", (normal(4, 3),), {"labels": np.array([0, 2, 2, 1])}),
            Case("classes first", (normal(3, 4),), {"labels": [0, 2, 2, 1], "axis": 0}),
            Case("classes between", (normal(2, 3, 2),), {"labels": np.array([[0, 1], [2, 2]]), "axis": -2}),
            Case("small unsigned labels", (normal(2, 3),), {"labels": np.array([2, 0], np.uint8)}),
            Case("size-0", (normal(0, 3),), {"labels": np.zeros(0, int)}),
        ],
        "cross_entropy",
        rtol=1e-13,
    ),
    Row(
        "nn.functional.cross_entropy",
        functional.cross_entropy,
        cross_entropy,
        [
            Case(reduction, (normal(4, 3),), {"labels": np.array([0, 2, 2, 1]), "reduction": reduction})
            for reduction in ("mean", "sum", "none")
        ],
        "cross_entropy",
        rtol=1e-13,
    ),
    Row(
        "nn.functional.linear",
        functional.linear,
        lambda x, weight, bias=0.0: x @ weight.T + bias,
        [
            Case("with bias", (normal(2, 3), normal(4, 3), normal(4))),
            Case("without bias", (normal(2, 3), normal(4, 3))),
            Case("vector", (normal(3), normal(4, 3), normal(4))),
            Case("sequence", (normal(2, 2, 3), normal(4, 3), normal(4))),
        ],
        "inner",
        rtol=1e-14,
    ),
    Row(
        "matmul",
        tg.matmul,
        np.matmul,
        [Case(name, (normal(*a), normal(*b))) for name, (a, b) in MATMUL.items()],
        "matmul",
    ),
    Row(
        "inner",
        tg.inner,
        np.inner,
        [Case(name, (normal(*a), normal(*b))) for name, (a, b) in INNER.items()],
        "inner",
        rtol=1e-14,
    ),
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
    Row("variable", transforms._variable, lambda x: x, unary(), "variable"),
]

PAIRS = [(row, case) for row in ROWS for case in row.cases]
IDS = [f"{row.name}: {case.name}" for row, case in PAIRS]
SMOOTH = [(row, case) for row, case in PAIRS if case.smooth]
SMOOTH_IDS = [f"{row.name}: {case.name}" for row, case in SMOOTH]
