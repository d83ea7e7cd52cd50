"""The rows of `ops/reductions.py`."""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.nn import functional

from ..cases import (
    ALONG_AN_AXIS,
    Case,
    Row,
    cross_entropy,
    distinct,
    in_float64,
    logsumexp,
    mean,
    normal,
    reductions,
    shares,
)

ROWS = [
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
]
