"""The rows of `ops/elementwise.py`."""

import numpy as np

import tinygrad_rnn as tg

from ..cases import BROADCAST, Case, Row, binary, distinct, normal, off_zero, positive, unary

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
    Row("tanh", tg.tanh, np.tanh, unary(), "tanh", torch="tanh"),
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
]
