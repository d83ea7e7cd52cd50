"""The rows of `ops/matrices.py`."""

import numpy as np

import tinygrad_rnn as tg

from ..cases import Case, Row, normal

OFFSETS = [
    Case("square", (normal(3, 3),)),
    Case("wide", (normal(2, 4),)),
    Case("tall", (normal(4, 2),)),
    Case("above", (normal(3, 4),), {"offset": 2}),
    Case("below", (normal(4, 3),), {"offset": -2}),
    Case("corner", (normal(2, 3),), {"offset": -1}),
    Case("past the corner", (normal(2, 3),), {"offset": 3}),
    Case("stack", (normal(2, 3, 3),), {"axis1": 1, "axis2": 2}),
    Case("stack, first axes", (normal(2, 3, 2),)),
    Case("negative axes, turned", (normal(2, 3, 4),), {"offset": 1, "axis1": -1, "axis2": 0}),
    Case("no rows", (normal(0, 3),)),
]

TRIANGLES = [
    Case("square", (normal(3, 3),)),
    Case("wide", (normal(2, 4),), {"k": 1}),
    Case("tall", (normal(4, 2),), {"k": -1}),
    Case("stack", (normal(2, 3, 3),)),
    Case("all", (normal(2, 2),), {"k": 5}),
    Case("nothing", (normal(2, 2),), {"k": -5}),
    Case("size-0", (normal(0, 3),)),
]


ROWS = [
    Row(
        "diagonal",
        tg.diagonal,
        np.diagonal,
        OFFSETS,
        "getitem",
        torch=lambda torch, x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2),
    ),
    Row(
        "trace",
        tg.trace,
        np.trace,
        OFFSETS,
        "sum",
        rtol=1e-15,
        torch=lambda torch, x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2).sum(-1),
    ),
    Row(
        "diag",
        tg.diag,
        np.diag,
        [
            Case("vector", (normal(3),)),
            Case("vector, above", (normal(3),), {"k": 2}),
            Case("vector, below", (normal(3),), {"k": -1}),
            Case("no vector", (normal(0),)),
            Case("no vector, above", (normal(0),), {"k": 2}),
            Case("matrix", (normal(2, 3),)),
            Case("matrix, above", (normal(3, 3),), {"k": 1}),
            Case("matrix, below", (normal(3, 3),), {"k": -2}),
        ],
        "scatter",
        torch=lambda torch, x, k=0: torch.diag(x, k),
    ),
    Row("tril", tg.tril, np.tril, TRIANGLES, "where", torch=lambda torch, x, k=0: torch.tril(x, k)),
    Row("triu", tg.triu, np.triu, TRIANGLES, "where", torch=lambda torch, x, k=0: torch.triu(x, k)),
]
