"""The rows of `ops/linalg.py`."""

import numpy as np
from numpy import inf

import tinygrad_rnn as tg
from tinygrad_rnn.ops import linalg

from ..cases import Case, Row, distinct, normal, off_zero


def regular(*shape: int) -> np.ndarray:
    """Matrices far from singular, of determinants of both signs."""
    return normal(*shape) * 0.3 + np.eye(shape[-1])[::-1] * 1.5


MATRICES = [
    Case("1 by 1", (off_zero(1, 1),)),
    Case("2 by 2", (regular(2, 2),)),
    Case("3 by 3", (regular(3, 3),)),
    Case("stack", (regular(2, 2, 2),)),
    Case("stack of stacks", (regular(2, 1, 3, 3),)),
    Case("0 by 0", (normal(0, 0),)),
    Case("empty stack", (regular(0, 2, 2),)),
]

SYSTEMS = {
    "vector": ((3, 3), (3,)),
    "matrix": ((3, 3), (3, 2)),
    "stack, vector": ((2, 3, 3), (3,)),
    "stack, matrix": ((2, 2, 2), (2, 3)),
    "stack, stack": ((2, 2, 2), (2, 2, 1)),
    "matrix, stack": ((3, 3), (2, 3, 2)),
    "matrix, stack of stacks": ((2, 2), (2, 1, 2, 1)),
    "stacks broadcast": ((2, 1, 2, 2), (2, 2, 1)),
    "longer stack on the right": ((2, 2, 2), (3, 1, 2, 1)),
    "no columns": ((2, 2), (2, 0)),
    "0 by 0": ((0, 0), (0, 2)),
    "0 by 0, stack": ((0, 0), (2, 0, 2)),
}


def torchs_norm(torch, x, axis=None, keepdims=False, **kwargs):
    """PyTorch's has a function for vectors and one for matrices."""
    order = kwargs.get("ord")
    if isinstance(axis, tuple) or (axis is None and x.ndim == 2 and order is not None):
        return torch.linalg.matrix_norm(x, order or "fro", axis or (-2, -1), keepdims)
    return torch.linalg.vector_norm(x, 2 if order is None else order, axis, keepdims)


def kept(x, **kwargs):
    return Case(f"{x.ndim}-d, {kwargs}", (x,), kwargs)


NORMS = [
    Case("0-d", (off_zero(),)),
    Case("1-d", (normal(3),)),
    Case("2-d", (normal(2, 3),)),
    Case("3-d, kept", (normal(2, 1, 3),), {"keepdims": True}),
    Case("no numbers", (normal(0),)),
    Case("no rows", (normal(0, 3),), {"axis": 1}),
    Case("zero", (np.zeros(3),), smooth=False),
    Case("a row of zeros", (np.array([[0.0, 0.0], [3.0, 4.0]]),), {"axis": 1}, smooth=False),
    *[kept(off_zero(3), ord=p) for p in (2, 3, 4, 1.5, 0.5, -1, -2.5, 1, 0)],
    *[kept(distinct(4), ord=p) for p in (inf, -inf)],
    *[kept(off_zero(2, 3, 2), ord=p, axis=1) for p in (2, 3, 4.0, 1.5, 1)],
    *[kept(distinct(2, 3, 2), ord=p, axis=-1, keepdims=True) for p in (inf, -inf)],
    *[kept(off_zero(2, 3), ord=p) for p in ("fro", 1, -1, inf, -inf)],
    *[kept(off_zero(2, 3, 2), ord=p, axis=(2, 0)) for p in ("fro", None, 1, -1, inf, -inf)],
    kept(off_zero(2, 3, 2), ord=inf, axis=(-2, -1), keepdims=True),
    kept(distinct(2, 3, 2), axis=(0, 1), keepdims=True),
    Case("one number is 0", (np.array([0.0, 1.0, -2.0]),), {"ord": 2}),
    Case("one number is 0, 4", (np.array([0.0, 1.0, -2.0]),), {"ord": 4}),
    Case("one number is 0, 3", (np.array([0.0, 1.0, -2.0]),), {"ord": 3}),
    *[Case(f"one number is 0, {p}", (np.array([0.0, 1.0, -2.0]),), {"ord": p}, smooth=False) for p in (0, 0.5, 1, 1.5)],
    *[Case(f"zero, {p}", (np.zeros(2),), {"ord": p}, smooth=False) for p in (0.5, 1, 1.5, 3, 4, inf)],
    Case("ties, inf", (np.array([2.0, -2.0, 1.0]),), {"ord": inf}, smooth=False),
    Case("ties, 1 of a matrix", (np.array([[2.0, -1.0], [1.0, 2.0]]),), {"ord": 1}, smooth=False),
]

ROWS = [
    Row("linalg.inv", tg.linalg.inv, np.linalg.inv, MATRICES, "inv", rtol=1e-13, torch="linalg.inv"),
    Row(
        "linalg.solve",
        tg.linalg.solve,
        np.linalg.solve,
        [Case(name, (regular(*a), normal(*b))) for name, (a, b) in SYSTEMS.items()],
        "solve",
        rtol=1e-13,
        # PyTorch takes b [n, m] with a stack of A for a stack of vectors if the shapes allow it.
        torch=lambda torch, a, b: (
            torch.linalg.solve(a, b[:, None])[..., 0]
            if b.ndim == 1
            else torch.linalg.solve(a, b[(None,) * (b.ndim < a.ndim)])
        ),
    ),
    Row("linalg.det", tg.linalg.det, np.linalg.det, MATRICES, "det", rtol=1e-15, torch="linalg.det"),
    Row(
        "linalg.det of singular matrices",
        tg.linalg.det,
        np.linalg.det,
        [
            Case("rank 1", (np.array([[1.0, 2.0], [2.0, 4.0]]),), smooth=False),
            Case("rank 2, nearly", (np.arange(1.0, 10.0).reshape(3, 3),), smooth=False),
            Case("one of a stack", (np.stack([np.eye(2), np.ones((2, 2))]),), smooth=False),
            Case("rank 1 of 3", (np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 2.0]),), smooth=False),
        ],
        "det",
    ),
    Row(
        "cofactors",
        linalg._cofactors,
        lambda x: np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2),
        MATRICES,
        "cofactors",
        rtol=1e-14,
    ),
    Row(
        "linalg.slogdet",
        lambda x: tg.linalg.slogdet(x).logabsdet,
        lambda x: np.linalg.slogdet(x).logabsdet,
        MATRICES,
        "slogdet",
        rtol=1e-15,
        torch=lambda torch, x: torch.linalg.slogdet(x).logabsdet,
    ),
    Row("linalg.norm", tg.linalg.norm, np.linalg.norm, NORMS, "norm", rtol=1e-14, torch=torchs_norm),
]
