"""The falls of the textbooks: where a derivative has a kink, a pole, a tie, or a NaN beside it. One table.

Where PyTorch has another answer, the table says which, and why this one is better; both are checked.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn import ops

inf, nan = np.inf, np.nan


@dataclass(frozen=True)
class Fall:
    """A function at a point: its value, and for each argument the gradient of the sum of the result's numbers.

    Args:
        torch: a function of `torch` and the arguments, or a name in `torch` for the same function.
        theirs: PyTorch's gradients, if they differ.
        why: the reason for that.

    """

    name: str
    f: Callable[..., Any]
    at: tuple[Any, ...]
    value: Any
    gradients: tuple[Any, ...]
    torch: str | Callable[..., Any]
    theirs: tuple[Any, ...] | None = None
    why: str = ""


def root_inside(m, x):
    return m.where(x > 0, m.sqrt(m.where(x > 0, x, 1)), 0)


def root_outside(m, x):
    return m.where(x > 0, m.sqrt(x), 0)


def weighed(f):
    """The sum of a softmax is 1 and has no gradient; of one twice as heavy as the other it has."""
    return lambda x: (f(x) * np.array([1.0, 2.0])).sum()


def torch_weighed(name):
    return lambda torch, x: getattr(torch, name)(x, -1) @ torch.tensor([1.0, 2.0], dtype=x.dtype)


def torch_logsumexp(torch, x):
    return torch.logsumexp(x, -1)


def torch_cumprod(torch, x):
    return torch.cumprod(x, 0)


def torch_norm(p):
    return lambda torch, x: torch.linalg.vector_norm(x, p)


def torch_std(torch, x):
    return torch.std(x, correction=0)


EVERY_FACTOR_BUT_ONE = "the derivative by a factor is the product of the others, of which none is infinite or NaN"

FALLS = [
    # The branch not taken.
    Fall(
        "where: NaN and infinity in the branch not taken",
        lambda x, y: tg.where(np.array([True, False]), x, y),
        ([1.0, nan], [inf, 2.0]),
        [1, 2],
        ([1, 0], [0, 1]),
        lambda torch, x, y: torch.where(torch.tensor([True, False]), x, y),
    ),
    Fall(
        "where: a root that is not taken, of a number that has none: 0 · NaN",
        lambda x: root_outside(tg, x),
        ([-1.0, 4.0],),
        [0, 2],
        ([nan, 0.25],),
        root_outside,
    ),
    Fall(
        "where: the same at 0, where the root is infinitely steep: 0 · ∞",
        lambda x: root_outside(tg, x),
        ([0.0, 4.0],),
        [0, 2],
        ([nan, 0.25],),
        root_outside,
    ),
    Fall(
        "where: the way out, to choose the argument too",
        lambda x: root_inside(tg, x),
        ([-1.0, 0.0, 4.0],),
        [0, 0, 2],
        ([0, 0, 0.25],),
        root_inside,
    ),
    # Exponentials out of range.
    Fall("logsumexp: far out", tg.logsumexp, ([1e4, 0.0],), 1e4, ([1, 0],), torch_logsumexp),
    Fall(
        "logsumexp: far out, tied",
        tg.logsumexp,
        ([1e4, 1e4],),
        1e4 + np.log(2),
        ([0.5, 0.5],),
        torch_logsumexp,
        ([0.4999999999999138] * 2,),
        "theirs is e^(x − y), and y = 10,000.69… has lost the digits that its first five took",
    ),
    Fall("logsumexp: a −∞", tg.logsumexp, ([-inf, 0.0],), 0, ([0, 1],), torch_logsumexp),
    Fall("logsumexp: −∞ only", tg.logsumexp, ([-inf, -inf],), -inf, ([nan, nan],), torch_logsumexp),
    Fall("logsumexp: +∞ only", tg.logsumexp, ([inf, inf],), inf, ([nan, nan],), torch_logsumexp),
    Fall(
        "logsumexp: a +∞",
        tg.logsumexp,
        ([inf, 0.0],),
        inf,
        ([nan, nan],),
        torch_logsumexp,
        ([nan, 0],),
        "the gradient is softmax, which is NaN there, by PyTorch's too",
    ),
    Fall(
        "logaddexp: equal infinities",
        tg.logaddexp,
        ([-inf, inf, 0.0], [-inf, inf, 0.0]),
        [-inf, inf, np.log(2)],
        ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
        "logaddexp",
        ([nan, nan, 0.5], [nan, nan, 0.5]),
        "two impossible events added up are no reason to spoil a whole gradient; ties share it, these too",
    ),
    *[
        Fall(f"softmax: {at}", weighed(tg.softmax), (at,), value, (gradient,), torch_weighed("softmax"))
        for at, value, gradient in [
            ([1e4, 0.0], 1, [0, 0]),
            ([1e4, 1e4], 1.5, [-0.25, 0.25]),
            ([-inf, 0.0], 2, [0, 0]),
            ([-inf, -inf], nan, [nan, nan]),
            ([inf, 0.0], nan, [nan, nan]),
            ([nan, 0.0], nan, [nan, nan]),
        ]
    ],
    *[
        Fall(f"log_softmax: {at}", weighed(tg.log_softmax), (at,), value, (gradient,), torch_weighed("log_softmax"))
        for at, value, gradient in [
            ([1e4, 0.0], -2e4, [-2, 2]),
            ([1e4, 1e4], -3 * np.log(2), [-0.5, 0.5]),
            ([-inf, 0.0], -inf, [1, -1]),
            ([-inf, -inf], nan, [nan, nan]),
            ([inf, 0.0], nan, [nan, nan]),
            ([nan, 0.0], nan, [nan, nan]),
        ]
    ],
    Fall("softmax: one class", tg.softmax, ([5.0],), [1], ([0],), lambda torch, x: torch.softmax(x, -1)),
    Fall("log_softmax: one class", tg.log_softmax, ([5.0],), [0], ([0],), lambda torch, x: torch.log_softmax(x, -1)),
    Fall(
        "cross_entropy: a label that can't be",
        lambda x: ops.cross_entropy(x, np.array(1)),
        ([0.0, -inf],),
        inf,
        ([1, -1],),
        lambda torch, x: torch.nn.functional.cross_entropy(x, torch.tensor(1)),
    ),
    Fall("sigmoid: far out", tg.sigmoid, ([-inf, -1e4, 1e4, inf],), [0, 0, 1, 1], ([0, 0, 0, 0],), "sigmoid"),
    Fall("tanh: far out", tg.tanh, ([-inf, -1e4, 1e4, inf],), [-1, -1, 1, 1], ([0, 0, 0, 0],), "tanh"),
    Fall(
        "softplus: far out",
        tg.softplus,
        ([-inf, -1e4, 1e4, inf],),
        [0, 0, 1e4, inf],
        ([0, 0, 1, 1],),
        lambda torch, x: torch.nn.functional.softplus(x),
    ),
    # Powers.
    Fall(
        "power: of zero",
        tg.power,
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, 0.5, -1.0]),
        [1, 0, 0, 0, inf],
        ([0, 1, 0, inf, -inf], [0, 0, 0, 0, -inf]),
        "pow",
    ),
    Fall("power: of a negative number", tg.power, ([-2.0], [2.0]), [4], ([-4], [nan]), "pow"),
    Fall("power: 0 as an exponent", lambda x: x**0, ([0.0, -1.0],), [1, 1], ([0, 0],), lambda torch, x: x**0),
    Fall("power: 0 as a base", lambda y: 0.0**y, ([0.0, 1.0],), [1, 0], ([0, 0],), lambda torch, y: 0.0**y),
    Fall("sqrt: 0", tg.sqrt, ([0.0, inf],), [0, inf], ([inf, 0],), "sqrt"),
    Fall("log: 0", tg.log, ([0.0, inf],), [-inf, inf], ([inf, 0],), "log"),
    Fall("divide: by 0", tg.divide, ([1.0], [0.0]), [inf], ([inf], [-inf]), "divide"),
    # Products.
    Fall("prod: one zero", tg.prod, ([0.0, 2.0, 3.0],), 0, ([6, 0, 0],), "prod"),
    Fall("prod: two zeros", tg.prod, ([0.0, 0.0, 3.0],), 0, ([0, 0, 0],), "prod"),
    Fall("prod: of nothing", tg.prod, ([],), 1, ([],), "prod"),
    Fall("prod: ∞", tg.prod, ([inf, 2.0],), inf, ([2, inf],), "prod", ([nan, inf],), EVERY_FACTOR_BUT_ONE),
    Fall("prod: NaN", tg.prod, ([nan, 2.0],), nan, ([2, nan],), "prod", ([nan, nan],), EVERY_FACTOR_BUT_ONE),
    Fall("cumprod: one zero", tg.cumprod, ([0.0, 2.0, 3.0],), [0, 0, 0], ([9, 0, 0],), torch_cumprod),
    Fall("cumprod: two zeros", tg.cumprod, ([0.0, 0.0, 3.0],), [0, 0, 0], ([1, 0, 0],), torch_cumprod),
    Fall(
        "cumprod: ∞",
        tg.cumprod,
        ([inf, 2.0],),
        [inf, inf],
        ([3, inf],),
        torch_cumprod,
        ([nan, inf],),
        EVERY_FACTOR_BUT_ONE,
    ),
    Fall(
        "det: singular",
        tg.linalg.det,
        ([[1.0, 2.0], [2.0, 4.0]],),
        0,
        ([[4, -2], [-2, 1]],),
        lambda torch, x: torch.linalg.det(x),
        ([[0, 0], [0, 0]],),
        "the derivative is the cofactors, singular or not; theirs has the determinant as a factor",
    ),
    # Ties.
    *[
        fall
        for name in ("max", "min")
        for fall in (
            Fall(f"{name}: all tie", getattr(tg, name), ([3.0, 3.0],), 3, ([0.5, 0.5],), name),
            Fall(f"{name}: two NaNs", getattr(tg, name), ([nan, 1.0, nan],), nan, ([0.5, 0, 0.5],), name),
            Fall(
                f"{name}: two NaNs, over axes",
                getattr(tg, name),
                ([nan, 1.0, nan],),
                nan,
                ([0.5, 0, 0.5],),
                "a" + name,
                ([nan, nan, nan],),
                f"it is to be what {name} gives without axes, in PyTorch too",
            ),
        )
    ],
    Fall("max: two of three tie", tg.max, ([1.0, 3.0, 3.0],), 3, ([0, 0.5, 0.5],), "max"),
    Fall("max: infinities tie", tg.max, ([inf, inf, 0.0],), inf, ([0.5, 0.5, 0],), "max"),
    Fall(
        "maximum: a tie, a NaN on either side, on both",
        tg.maximum,
        ([1.0, nan, 1.0, nan], [1.0, 1.0, nan, nan]),
        [1, nan, nan, nan],
        ([0.5, 1, 1, 1], [0.5, 1, 1, 1]),
        "maximum",
    ),
    Fall(
        "minimum: a tie, a NaN on either side, on both",
        tg.minimum,
        ([1.0, nan, 1.0, nan], [1.0, 1.0, nan, nan]),
        [1, nan, nan, nan],
        ([0.5, 1, 1, 1], [0.5, 1, 1, 1]),
        "minimum",
    ),
    Fall(
        "clip: on a bound, beyond it, NaN",
        lambda x: tg.clip(x, 0, 1),
        ([0.0, 1.0, 2.0, inf, nan],),
        [0, 1, 1, 1, nan],
        ([1, 1, 0, 0, 0],),
        lambda torch, x: torch.clip(x, 0, 1),
    ),
    Fall(
        "clip: between equal bounds",
        tg.clip,
        ([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
        [1, 1, 1],
        ([0, 1, 0], [1, 0, 0], [0, 0, 1]),
        "clip",
        ([0, 1, 0], [0, 0, 0], [0, 0, 1]),
        "the result is a bound, so one of them must get the gradient; theirs loses it below",
    ),
    # Kinks.
    Fall("abs: 0", tg.abs, ([0.0, -0.0, inf, -inf],), [0, 0, inf, inf], ([0, 0, 1, -1],), "abs"),
    Fall(
        "abs: NaN",
        tg.abs,
        ([nan],),
        [nan],
        ([nan],),
        "abs",
        ([0],),
        "the derivative is sign x, NaN as NumPy's; a 0 would hide that something went wrong",
    ),
    Fall("relu: 0 and NaN", tg.relu, ([0.0, -0.0, nan],), [0, 0, nan], ([0, 0, 1],), "relu"),
    Fall("sign: 0", tg.sign, ([0.0, 2.0],), [0, 1], ([0, 0],), "sign"),
    Fall("floor: where it jumps", tg.floor, ([1.0, 1.5],), [1, 1], ([0, 0],), "floor"),
    Fall("round: where it jumps", tg.round, ([0.5, 1.5],), [0, 2], ([0, 0],), "round"),
    Fall("remainder: where it jumps", tg.remainder, ([2.0, -1.0], [1.0, 1.0]), [0, 0], ([1, 1], [-2, 1]), "remainder"),
    Fall(
        "arctan2: the origin, and half a turn",
        tg.arctan2,
        ([0.0, 0.0, 0.0], [0.0, -0.0, -1.0]),
        [0, np.pi, np.pi],
        ([0, 0, -1], [0, 0, 0]),
        "arctan2",
    ),
    Fall(
        "hypot: the origin",
        tg.hypot,
        ([0.0, 0.0], [0.0, 2.0]),
        [0, 2],
        ([0, 0], [0, 1]),
        "hypot",
        ([nan, 0], [nan, 1]),
        "a norm, and of one number |x|: those have 0 at their kink, by PyTorch's too",
    ),
    *[
        Fall(
            f"norm: {p} of zeros",
            lambda x, p=p: tg.linalg.norm(x, p),
            ([0.0, 0.0],),
            0,
            ([0, 0],),
            torch_norm(p),
        )
        for p in (2, 1, 3, 0.5, inf, -inf)
    ],
    Fall("norm: 2 of ∞", lambda x: tg.linalg.norm(x), ([inf, 0.0],), inf, ([nan, 0],), torch_norm(2)),
    Fall("std: all equal", tg.std, ([2.0, 2.0],), 0, ([0, 0],), torch_std),
    Fall("std: one element", tg.std, ([2.0],), 0, ([0],), torch_std),
    Fall(
        "arcsin, arctanh: the ends of their domain",
        lambda x: tg.arcsin(x) * 0.5 + tg.arctanh(x),
        ([-1.0, 1.0],),
        [-inf, inf],
        ([inf, inf],),
        lambda torch, x: torch.arcsin(x) * 0.5 + torch.arctanh(x),
    ),
    Fall("arccosh: 1", tg.arccosh, ([1.0, inf],), [0, inf], ([inf, 0],), "arccosh"),
    # Of nothing.
    Fall("sum: of nothing", tg.sum, ([],), 0, ([],), "sum"),
    Fall("mean: of nothing", tg.mean, ([],), nan, ([],), "mean"),
    Fall("logsumexp: of nothing", tg.logsumexp, ([],), -inf, ([],), torch_logsumexp),
]

every = pytest.mark.parametrize("fall", FALLS, ids=operator.attrgetter("name"))


@every
@np.errstate(all="ignore")  # NumPy's own warnings, of log(0) for one, are not what this is about
def test_value_and_gradients(fall):
    xs = [tg.tensor(np.asarray(x, float), requires_grad=True) for x in fall.at]
    out = fall.f(*xs)
    out.sum().backward()
    assert_allclose(out.data, fall.value, rtol=1e-14)
    for x, want in zip(xs, fall.gradients, strict=True):
        assert_allclose(x.grad, want, rtol=1e-14, atol=1e-15)


@every
@np.errstate(all="ignore")
def test_pytorchs_value_and_gradients(fall):
    """The same; or, where the table says so and why, the others that it names."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in fall.at]
    out = fall.torch(torch, *xs) if callable(fall.torch) else getattr(torch, fall.torch)(*xs)
    out.sum().backward()
    assert_allclose(out.detach().numpy(), fall.value, rtol=1e-14)
    for x, want in zip(xs, fall.theirs or fall.gradients, strict=True):
        assert_allclose(x.grad.numpy(), want, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("fall", [fall for fall in FALLS if fall.theirs], ids=operator.attrgetter("name"))
def test_a_difference_from_pytorch_is_one_and_has_a_reason(fall):
    assert fall.why
    pairs = list(zip(fall.gradients, fall.theirs, strict=True))
    assert not all(np.allclose(a, b, rtol=1e-14, atol=0, equal_nan=True) for a, b in pairs)
