"""What a row of the table is, and the inputs and oracles that rows share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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
        torch: PyTorch's function of the same arguments, by its name in `torch`, or as a function of `torch`, the
            tensors and the keywords, for instance `lambda torch, x, axis=None: torch.cumsum(x, axis)`.

    """

    name: str
    f: Callable[..., Any]
    oracle: Callable[..., Any]
    cases: Sequence[Case]
    covers: str
    rtol: float = 0.0
    torch: str | Callable[..., Any] | None = None


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
    """NumPy's, without its warning if there is nothing."""
    total = np.sum(x, axis=axis, keepdims=keepdims)
    return np.mean(x, axis=axis, keepdims=keepdims) if np.size(x) else np.full_like(total, np.nan)


def scatter(*cts: np.ndarray, indices: tuple[Any, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Element by element: where did each number of `cts` come from?"""
    total = np.zeros(shape, np.result_type(*cts))
    places = np.arange(total.size).reshape(shape)
    for ct, index in zip(cts, indices, strict=True):
        for place, number in zip(np.ravel(places[index]), np.ravel(ct), strict=True):
            total.reshape(-1)[place] += number
    return total
