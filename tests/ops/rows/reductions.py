"""The rows of `ops/reductions.py`. `argmax` and `argmin` give no tensors: see `test_reductions.py`."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from ..cases import Case, Row, distinct, mean, normal, reductions


def in_torch(name: str, **settings: Any) -> Callable[..., Any]:
    """PyTorch's reduction. `()` means all axes to it, and `None` isn't allowed everywhere: it gets an axis more."""

    def reduction(torch, x, axis=None, keepdims=False, **kwargs):
        axes = range(x.ndim) if axis is None else np.atleast_1d(np.array(axis, int)) % max(x.ndim, 1)
        f = getattr(torch, name)
        out = f(x.unsqueeze(-1), dim=(*map(int, axes), x.ndim), keepdim=keepdims, **settings, **kwargs)
        return out.squeeze(-1) if keepdims else out

    return reduction


def prod_in_torch(torch, x, axis=None, keepdims=False):
    """One axis after the other."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(np.array(axis, int)) % max(x.ndim, 1)
    for a in sorted(map(int, axes), reverse=True):
        x = torch.prod(x, a, keepdim=keepdims)
    return x * 1


def spread_in_torch(name: str) -> Callable[..., Any]:
    def spread(torch, x, ddof=0, **kwargs):
        with warnings.catch_warnings(action="ignore"):  # of nothing left, PyTorch warns and NumPy doesn't
            return in_torch(name, correction=ddof)(torch, x, **kwargs)

    return spread


NOTHING = Case("of nothing", (normal(0, 3),), {"axis": 0})
TIES = [
    Case("ties", (np.array([[3.0, 3.0, 1.0], [2.0, 2.0, 2.0]]),), {"axis": 1}, smooth=False),
    Case("ties over all", (np.ones((2, 2)),), smooth=False),
    Case("ties over two axes", (np.array([[[1.0, 2.0]], [[2.0, -2.0]]]),), {"axis": (0, 2)}, smooth=False),
]
SPREADS = [
    *reductions(),
    Case("ddof", (normal(2, 3),), {"axis": 1, "ddof": 1}),
    Case("ddof, all axes, kept", (normal(2, 3),), {"ddof": 1.5, "keepdims": True}),
]
# √ has a kink at 0, where these have no variance, and a bend too sharp for finite differences near it.
FLAT = {"0-d", "no axes"}


ROWS = [
    Row("sum", tg.sum, np.sum, [*reductions(), NOTHING], "sum", torch=in_torch("sum")),
    Row("mean", tg.mean, mean, reductions(), "mean", torch=in_torch("mean")),
    Row("var", tg.var, np.var, SPREADS, "mean", torch=spread_in_torch("var")),
    Row(
        "std",
        tg.std,
        np.std,
        [Case(c.name, c.arrays, c.kwargs, smooth=c.name not in FLAT) for c in SPREADS]
        + [Case("all equal", (np.array([[2.0, 2.0], [1.0, 3.0]]),), {"axis": 1}, smooth=False)],
        "mean",
        torch=spread_in_torch("std"),
    ),
    Row(
        "prod",
        tg.prod,
        np.prod,
        [
            *reductions(),
            NOTHING,
            Case("of four axes, two", (normal(2, 1, 3, 2),), {"axis": (2, 0)}),
            Case("a zero", (np.array([2.0, 0.0, -3.0, 0.5]),)),
            Case("zeros", (np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),), {"axis": 1}),
            Case("zeros over two axes", (np.array([[[2.0, 0.0], [1.0, 3.0]], [[0.0, 1.5], [2.0, 1.0]]]),)),
        ],
        "prod",
        torch=prod_in_torch,
    ),
    *[
        Row(name, getattr(tg, name), getattr(np, name), [*reductions(distinct), *TIES], covers, torch=in_torch(aname))
        for name, covers, aname in [
            ("max", "max", "amax"),
            ("amax", "max", "amax"),
            ("min", "min", "amin"),
            ("amin", "min", "amin"),
        ]
    ],
]
