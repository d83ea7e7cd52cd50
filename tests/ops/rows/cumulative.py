"""The rows of `ops/cumulative.py`."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from ..cases import Case, Row, normal

CASES = [
    Case("1-d", (normal(5),)),
    Case("all, in C order", (normal(2, 3),)),
    Case("first axis", (normal(3, 2),), {"axis": 0}),
    Case("middle axis, negative", (normal(2, 4, 2),), {"axis": -2}),
    Case("0-d", (normal(),)),
    Case("one", (normal(2, 1),), {"axis": 1}),
    Case("size-0", (normal(0, 3),), {"axis": 1}),
    Case("along size-0", (normal(2, 0),), {"axis": 1}),
]

ZEROS = np.array([[2.0, 0.0, 3.0, -1.0], [0.0, 1.5, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 0.0]])


def in_torch(name: str) -> Callable[..., Any]:
    """PyTorch wants an axis."""
    return lambda torch, x, axis=None: getattr(torch, name)(*((x.reshape(-1), 0) if axis is None else (x, axis)))


ROWS = [
    Row("cumsum", tg.cumsum, np.cumsum, CASES, "cumsum", torch=in_torch("cumsum")),
    Row(
        "cumprod",
        tg.cumprod,
        np.cumprod,
        [
            *CASES,
            Case("with zeros", (ZEROS,), {"axis": 1}),
            Case("with zeros, down", (ZEROS,), {"axis": 0}),
            Case("longer than a power of two", (normal(2, 9),), {"axis": -1}),
        ],
        "cumprod",
        torch=in_torch("cumprod"),
    ),
]
