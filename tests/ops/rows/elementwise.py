"""The rows of `ops/elementwise.py`."""

import math

import numpy as np

import tinygrad_rnn as tg

from ..cases import BROADCAST, Case, Row, binary, distinct, normal, off_zero, positive, rng, unary


def within(low, high):
    return lambda *shape: np.asarray(rng.uniform(low, high, size=shape))


def off_integers(*shape):
    """Numbers that are at least 0.1 away from an integer or a half."""
    return np.asarray(rng.integers(-6, 6, size=shape) / 2 + rng.uniform(0.1, 0.4, size=shape))


def kinks(*points):
    return Case("at the kinks", (np.array(points),), smooth=False)


AROUND_ONE = Case("on both sides of 1", (np.array([-5.0, -1.0, -0.5, 0.0, 0.9, 1.0, 1.1, 40.0]),))

# Of one argument, with NumPy's name and PyTorch's: where to try them, and where they jump or bend.
UNARY = {
    "negative": unary(),
    "positive": unary(),
    "square": unary(),
    "reciprocal": unary(off_zero),
    "exp": unary(),
    "exp2": unary(),
    "expm1": unary(),
    "log": unary(positive),
    "log2": unary(positive),
    "log10": unary(positive),
    "log1p": unary(within(-0.7, 2.0)),
    "sqrt": unary(positive),
    "sin": unary(),
    "cos": unary(),
    "tan": unary(within(-1.1, 1.1)),
    "arcsin": unary(within(-0.7, 0.7)),
    "arccos": unary(within(-0.7, 0.7)),
    "arctan": [*unary(), AROUND_ONE],
    "sinh": unary(),
    "cosh": unary(),
    "tanh": unary(),
    "arcsinh": [*unary(), AROUND_ONE],
    "arccosh": unary(within(1.5, 3.0)),
    "arctanh": unary(within(-0.7, 0.7)),
    "abs": [*unary(off_zero), kinks(-1.0, -0.0, 0.0, np.inf)],
    "sign": [*unary(off_zero), kinks(-1.0, -0.0, 0.0, np.inf)],
    "floor": [*unary(off_integers), kinks(-1.0, -0.0, 0.0, 1.0, 2.5, np.inf)],
    "ceil": [*unary(off_integers), kinks(-1.0, -0.0, 0.0, 1.0, 2.5, np.inf)],
}
DERIVED = {"positive": "multiply", "square": "multiply", "reciprocal": "divide"}

# Those of neural networks: PyTorch's, in its `nn.functional`.
KEYWORDS = {"leaky_relu": [{"negative_slope": 0.2}], "elu": [{"alpha": 1.5}], "gelu": [{"approximate": "tanh"}]}


def activation(name, formula, covers=None, points=(-1e4, -3.0, -0.0, 0.0, 3.0, 1e4), torch_name=None):
    return Row(
        name,
        getattr(tg, name),
        formula,
        [
            *unary(off_zero),
            *[Case(f"{k}", (off_zero(2, 3),), k) for k in KEYWORDS.get(name, [])],
            *[Case(f"far out, {k}", (np.array(points),), k, smooth=False) for k in ({}, *KEYWORDS.get(name, []))],
        ],
        covers or name,
        rtol=1e-15,
        torch=lambda torch, x, **keywords: getattr(torch.nn.functional, torch_name or name)(x, **keywords),
    )


erf = np.vectorize(math.erf, otypes=[float])


def logistic(x):
    return (1 + np.tanh(x / 2)) / 2


def gelu(x, approximate="none"):
    tanh = approximate == "tanh"
    return x / 2 * (1 + (np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) if tanh else erf(x / math.sqrt(2))))


ACTIVATIONS = [
    activation("sigmoid", logistic, points=(-30.0, -0.0, 0.0, 1e4)),
    activation("log_sigmoid", lambda x: -np.logaddexp(0, -x), "softplus", torch_name="logsigmoid"),
    activation("softplus", lambda x: np.logaddexp(0, x)),
    activation("relu", lambda x: np.maximum(x, 0), points=(-1.0, 0.0, -0.0, 2.0, np.inf, -np.inf)),
    activation("leaky_relu", lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x), "multiply"),
    activation("elu", lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), "expm1"),
    activation("silu", lambda x: x * logistic(x), "sigmoid", points=(-30.0, -0.0, 0.0, 1e4)),
    activation("gelu", gelu, "erf"),
    activation("softsign", lambda x: x / (1 + np.abs(x)), "abs"),
]

TIES = [
    *[Case(name, (normal(*a), normal(*b) * 0.1 + 5.0)) for name, (a, b) in BROADCAST.items()],
    Case("either", (distinct(2, 3), distinct(2, 3) + 0.07)),
    Case("ties", (np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 3.0])), smooth=False),
    Case("ties, broadcast", (np.array([[1.0], [2.0]]), np.array([1.0, 2.0])), smooth=False),
]

AXES = [
    Case("on the axes", (np.array([0.0, 0.0, 2.0, -2.0]), np.array([3.0, -3.0, 0.0, 0.0])), smooth=False),
    Case("at the origin", (np.array([0.0, -0.0]), np.array([0.0, -0.0])), smooth=False),
]

BOUNDS = [
    {"a_min": -0.3, "a_max": 0.3},
    {"min": -0.3},
    {"a_min": None, "a_max": 0.3},
    {"max": 0.3},
    {"min": -1, "max": 0},
]

ROWS = [
    *[
        Row(name, getattr(tg, name), getattr(np, name), cases, DERIVED.get(name, name), torch=name)
        for name, cases in UNARY.items()
    ],
    *ACTIVATIONS,
    Row("add", tg.add, np.add, binary(), "add", torch="add"),
    Row("subtract", tg.subtract, np.subtract, binary(), "subtract", torch="subtract"),
    Row("multiply", tg.multiply, np.multiply, binary(), "multiply", torch="multiply"),
    Row("divide", tg.divide, np.divide, binary(right=off_zero), "divide", torch="divide"),
    Row(
        "power",
        tg.power,
        np.power,
        [
            *binary(positive, normal),
            Case("exponent 0", (positive(3), np.zeros(3))),
            Case("base 0", (np.zeros(3), np.array([0.0, 2.0, 3.0])), smooth=False),
        ],
        "power",
        torch="pow",
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
    Row(
        "round",
        tg.round,
        np.round,
        [
            *unary(off_integers),
            Case("decimals", (off_integers(2, 3) / 10,), {"decimals": 1}),
            Case("tens", (off_integers(2, 3) * 10,), {"decimals": -1}),
            kinks(-1.5, -0.5, 0.5, 1.0, 1.5, np.inf),
        ],
        "round",
        torch="round",
    ),
    Row("erf", tg.erf, erf, [*unary(), kinks(-1e4, 0.0, 1e4)], "erf", torch="erf"),
    Row(
        "floor_divide",
        tg.floor_divide,
        np.floor_divide,
        binary(off_integers, lambda *s: off_zero(*s) * 0 + 0.5),
        "floor_divide",
    ),
    Row(
        "remainder",
        tg.remainder,
        np.remainder,
        [
            *binary(off_integers, off_zero),
            Case("where it jumps", (np.array([4.0, -4.0, 6.0]), np.array([2.0, 2.0, -3.0])), smooth=False),
        ],
        "remainder",
        torch="remainder",
    ),
    Row("arctan2", tg.arctan2, np.arctan2, [*binary(off_zero, off_zero), *AXES], "arctan2", torch="arctan2"),
    Row("hypot", tg.hypot, np.hypot, [*binary(off_zero, off_zero), AXES[0]], "hypot", torch="hypot"),
    Row(
        "logaddexp",
        tg.logaddexp,
        np.logaddexp,
        [
            *binary(),
            Case("ties", (np.array([0.0, 5.0]), np.array([0.0, 5.0]))),
            Case(
                "far apart",
                (np.array([1e4, -1e4, 1e4]), np.array([-1e4, 1e4, 1e4])),
                smooth=False,
            ),
        ],
        "logaddexp",
        torch="logaddexp",
    ),
    Row("maximum", tg.maximum, np.maximum, TIES, "maximum", torch="maximum"),
    Row("minimum", tg.minimum, np.minimum, TIES, "minimum", torch="minimum"),
    Row(
        "clip",
        tg.clip,
        np.clip,
        [
            *[Case(f"{bounds}", (distinct(*shape),), bounds) for bounds in BOUNDS for shape in ((), (0, 3), (2, 3))],
            *[
                Case(f"at {bounds}", (np.array([-2.0, -0.3, 0.0, 0.3, 2.0, np.inf]),), bounds, smooth=False)
                for bounds in BOUNDS
            ],
        ],
        "clip",
        torch=lambda torch, x, **b: torch.clip(x, b.get("a_min", b.get("min")), b.get("a_max", b.get("max"))),
    ),
    Row(
        "clip to arrays",
        lambda x, low, high: tg.clip(x, low, high),
        lambda x, low, high: np.clip(x, low, high),
        [
            *[Case(name, (normal(*a), normal(*b) - 1.0, normal(*a) + 1.0)) for name, (a, b) in BROADCAST.items()],
            Case(
                "on the bounds",
                (np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 3.0]), np.array([2.0, 2.0, 3.0])),
                smooth=False,
            ),
            Case("bounds the wrong way round", (np.array([1.0, 2.0, 3.0]), np.full(3, 2.5), np.full(3, 1.5))),
        ],
        "clip",
        torch=lambda torch, *xs: torch.clip(*torch.broadcast_tensors(*xs)),  # by itself it fails to broadcast x
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
        torch=lambda torch, x, y, condition: torch.where(torch.tensor(condition), x, y),
    ),
]
