"""The rows of `ops/softmax.py`, and of the loss in `nn/functional.py`."""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.nn import functional
from tinygrad_rnn.ops.softmax import _error

from ..cases import ALONG_AN_AXIS, Case, Row, cross_entropy, in_float64, logsumexp, normal, reductions, shares
from .reductions import in_torch

TWO_AXES = Case("two axes", (normal(2, 3, 2),), {"axis": (-1, 0)})
# Their exponentials are out of float64's range, each row on another side of it.
FAR = (normal(3, 4) + np.array([[1000.0], [-1000.0], [0.0]]),)


def cross_entropy_in_torch(torch, x, labels, axis=-1, reduction="none"):
    rows, labels = x.movedim(axis, -1), torch.tensor(np.asarray(labels).astype(int))
    losses = torch.nn.functional.cross_entropy(rows.reshape(-1, rows.shape[-1]), labels.reshape(-1), reduction="none")
    return {"none": losses.reshape(labels.shape), "sum": losses.sum(), "mean": losses.mean()}[reduction]


ROWS = [
    Row(
        "logsumexp",
        tg.logsumexp,
        logsumexp,
        [
            *reductions(),
            Case("large", (normal(2, 3) + 1000.0,), {"axis": -1}),
            Case("of nothing", (normal(0, 3),), {"axis": 1}),
        ],
        "logsumexp",
        rtol=1e-14,
        torch=in_torch("logsumexp"),
    ),
    Row(
        "softmax",
        tg.softmax,
        in_float64(lambda x, axis=-1: shares(x, axis)),
        [*ALONG_AN_AXIS, TWO_AXES, Case("far out", FAR)],
        "softmax",
        rtol=1e-13,
        torch=lambda torch, x, axis=-1: (x - x.logsumexp(axis, keepdim=True)).exp(),
    ),
    Row(
        "log_softmax",
        tg.log_softmax,
        in_float64(lambda x, axis=-1: np.log(shares(x, axis))),
        [*ALONG_AN_AXIS, TWO_AXES, Case("far out", FAR)],
        "log_softmax",
        rtol=1e-13,
        torch=lambda torch, x, axis=-1: x - x.logsumexp(axis, keepdim=True),
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
            Case("labels in a tensor", (normal(2, 3),), {"labels": tg.tensor([2, 0])}),
            Case("far out", FAR, {"labels": np.array([3, 0, 1])}),
            Case("one class", (normal(2, 1),), {"labels": [0, 0]}),
            Case("size-0", (normal(0, 3),), {"labels": np.zeros(0, int)}),
        ],
        "cross_entropy",
        rtol=1e-13,
        torch=cross_entropy_in_torch,
    ),
    Row(
        "nn.functional.cross_entropy",
        functional.cross_entropy,
        cross_entropy,
        [
            Case(f"{name}, {reduction}", (x,), {"labels": np.array(labels), "axis": axis, "reduction": reduction})
            for reduction in ("mean", "sum", "none")
            for name, x, labels, axis in (
                ("one", normal(3), 1, -1),
                ("batch", normal(4, 3), [0, 2, 2, 1], -1),
                ("steps and batch", normal(2, 4, 3), [[0, 2, 2, 1], [1, 1, 0, 2]], -1),
                ("classes first", normal(3, 2, 2), [[0, 2], [1, 1]], 0),
                ("far out", *FAR, [3, 0, 1], -1),
            )
        ],
        "cross_entropy",
        rtol=1e-13,
        torch=cross_entropy_in_torch,
    ),
    Row(
        "cross_entropy's derivative",
        lambda x, weights, labels: _error(x, labels, weights),
        in_float64(lambda x, weights, labels: (shares(x, -1) - np.eye(x.shape[-1])[labels]) * weights[..., None]),
        [
            Case("one", (normal(3), normal()), {"labels": 2}),
            Case("batch", (normal(4, 3), normal(4)), {"labels": np.array([0, 2, 2, 1])}),
            Case("one weight", (normal(2, 2, 3), normal()), {"labels": np.array([[0, 2], [2, 1]])}),
            Case("far out", (*FAR, normal(3)), {"labels": np.array([3, 0, 1])}),
            Case("one class", (normal(2, 1), normal(2)), {"labels": [0, 0]}),
            Case("size-0", (normal(0, 3), normal(0)), {"labels": np.zeros(0, int)}),
        ],
        "error",
        rtol=1e-13,
    ),
]
