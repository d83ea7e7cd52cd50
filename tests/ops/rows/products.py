"""The rows of `ops/products.py`."""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.nn import functional

from ..cases import Case, Row, normal

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
    "longer stack on the left": ((2, 2, 2, 3), (2, 3, 2)),
    "vector, stack of stacks": ((3,), (2, 1, 3, 2)),
    "stack of stacks, vector": ((2, 1, 2, 3), (3,)),
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
    "vector, stack": ((3,), (2, 2, 3)),
    "stack, vector": ((2, 2, 3), (3,)),
    "inner length 0": ((2, 0), (3, 0)),
    "no rows": ((0, 3), (2, 3)),
}

DOT: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "matrix, matrix": ((2, 3), (3, 2)),
    "vector, vector": ((3,), (3,)),
    "matrix, vector": ((2, 3), (3,)),
    "vector, matrix": ((3,), (3, 2)),
    "stack, vector": ((2, 2, 3), (3,)),
    "stack, matrix": ((2, 2, 3), (3, 2)),
    "vector, stack": ((3,), (2, 3, 2)),
    "matrix, stack": ((2, 3), (2, 3, 2)),
    "stack, stack": ((2, 1, 3), (2, 3, 2)),
    "scalar, matrix": ((), (2, 3)),
    "matrix, scalar": ((2, 3), ()),
    "scalars": ((), ()),
    "inner length 0": ((2, 0), (0, 3)),
}

ROWS = [
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
        torch="matmul",
    ),
    Row(
        "inner",
        tg.inner,
        np.inner,
        [Case(name, (normal(*a), normal(*b))) for name, (a, b) in INNER.items()],
        "inner",
        rtol=1e-14,
        torch="inner",
    ),
    Row(
        "dot",
        tg.dot,
        np.dot,
        [Case(name, (normal(*a), normal(*b))) for name, (a, b) in DOT.items()],
        "matmul",
        rtol=1e-14,
        # PyTorch's own takes two vectors.
        torch=lambda torch, x, y: torch.tensordot(x, y, ([-1], [max(y.ndim - 2, 0)])) if x.ndim and y.ndim else x * y,
    ),
    Row(
        "outer",
        tg.outer,
        np.outer,
        [
            Case("vectors", (normal(2), normal(3))),
            Case("scalars", (normal(), normal())),
            Case("scalar, vector", (normal(), normal(3))),
            Case("matrices", (normal(2, 2), normal(1, 3))),
            Case("nothing", (normal(0), normal(3))),
        ],
        "matmul",
        torch=lambda torch, x, y: torch.outer(x.flatten(), y.flatten()),
    ),
]
