"""The rows of `ops/contractions.py`."""

from typing import Any

import numpy as np

import tinygrad_rnn as tg

from ..cases import Case, Row, normal

Shapes = tuple[tuple[int, ...], ...]

EINSUM: dict[str, tuple[str, Shapes]] = {
    "matrix product": ("ij,jk->ik", ((2, 3), (3, 4))),
    "implicit": ("ij,jk", ((2, 3), (3, 4))),
    "implicit, alphabetical": ("cb,ba", ((2, 3), (3, 4))),
    "a layer": ("bi,oi->bo", ((2, 3), (4, 3))),
    "weight first": ("oi,bi->bo", ((4, 3), (2, 3))),
    "a layer on sequences": ("bti,oi->bto", ((2, 2, 3), (4, 3))),
    "matrix, vector": ("ij,j->i", ((2, 3), (3,))),
    "vector, matrix": ("i,ij->j", ((2,), (2, 3))),
    "vectors": ("i,i->", ((3,), (3,))),
    "vectors, elementwise": ("i,i->i", ((3,), (3,))),
    "outer": ("i,j->ji", ((2,), (3,))),
    "scalars": (",->", ((), ())),
    "scalar, matrix": (",ij->ji", ((), (2, 3))),
    "stacks": ("bij,bjk->bik", ((2, 2, 3), (2, 3, 1))),
    "stacks, turned": ("ijb,kjb->kbi", ((2, 3, 2), (1, 3, 2))),
    "stack kept by one": ("bij,jk->ik", ((2, 2, 3), (3, 2))),
    "attention": ("bqhd,bkhd->bhqk", ((1, 2, 2, 3), (1, 3, 2, 3))),
    "two axes summed": ("abcd,cde->abe", ((2, 1, 3, 2), (3, 2, 2))),
    "two axes summed, in another order": ("abcd,dce->eab", ((2, 1, 3, 2), (2, 3, 2))),
    "everything summed": ("ij,ij->", ((2, 3), (2, 3))),
    "one alone summed": ("ij,k->ik", ((2, 3), (2,))),
    "weighted rows": ("i,ij->ij", ((2,), (2, 3))),
    "transpose": ("ij->ji", ((2, 3),)),
    "transpose, implicit": ("ba", ((2, 3),)),
    "column sums": ("ij->j", ((2, 3),)),
    "sum": ("ij->", ((2, 3),)),
    "trace": ("ii", ((3, 3),)),
    "diagonal": ("ii->i", ((3, 3),)),
    "diagonals of a stack": ("...ii->...i", ((2, 3, 3),)),
    "three of a kind": ("iiji->ji", ((2, 2, 3, 2),)),
    "two diagonals": ("ijij->ji", ((2, 3, 2, 3),)),
    "diagonal times vector": ("ii,i->i", ((3, 3), (3,))),
    "ellipsis": ("...ij,...jk->...ik", ((2, 1, 2, 3), (3, 3, 2))),
    "ellipsis, implicit": ("...i,ij", ((2, 2, 3), (3, 2))),
    "ellipsis in the middle": ("i...j,j...->i...", ((2, 2, 3), (3, 2))),
    "ellipsis of nothing": ("...i,i...->...", ((3,), (3,))),
    "only ellipses": ("...,...", ((2, 1), (3,))),
    "spaces": (" i j , j k -> i k ", ((2, 3), (3, 2))),
    "length 1 broadcasts": ("ij,jk->ik", ((2, 1), (3, 4))),
    "length 1 broadcasts, kept": ("ij,ij->ij", ((2, 1), (1, 3))),
    "length 1 with length 1": ("ij,jk->ik", ((2, 1), (1, 4))),
    "three": ("ij,jk,kl->il", ((2, 3), (3, 2), (2, 3))),
    "three at once": ("ik,jk,lk->ijl", ((2, 3), (1, 3), (2, 3))),
    "four, unconnected": ("a,b,ac,bd->cd", ((2,), (3,), (2, 2), (3, 2))),
    "three, one of length 1": ("i,i,i->", ((1,), (1,), (3,))),
    "no rows": ("ij,jk->ik", ((0, 3), (3, 2))),
    "inner length 0": ("ij,jk->ik", ((2, 0), (0, 3))),
}


def einsum(subscripts: str, optimize: Any = False) -> dict[str, Any]:
    return {"subscripts": subscripts, "optimize": optimize}


ROWS = [
    Row(
        "einsum",
        lambda *xs, subscripts, optimize=False: tg.einsum(subscripts, *xs, optimize=optimize),
        lambda *xs, subscripts, optimize=False: np.einsum(subscripts, *xs),
        [Case(name, tuple([normal(*s) for s in shapes]), einsum(text)) for name, (text, shapes) in EINSUM.items()]
        + [
            Case("greedy", (normal(2, 3), normal(3, 2), normal(2)), einsum("ij,jk,k->i", "greedy")),
            Case("optimal", (normal(2), normal(2, 3), normal(3, 2), normal(2)), einsum("i,ij,jk,k", "optimal")),
            Case(
                "a path",
                (normal(2, 3), normal(3, 2), normal(2)),
                einsum("ij,jk,k->i", ["einsum_path", (1, 2), (0, 1)]),
            ),
        ],
        "matmul",
        rtol=1e-14,
        torch=lambda torch, *xs, subscripts, optimize: torch.einsum(subscripts, *xs),
    ),
    Row(
        "tensordot",
        tg.tensordot,
        np.tensordot,
        [
            Case("two axes", (normal(2, 3, 2), normal(3, 2, 2))),
            Case("one axis", (normal(2, 3), normal(3, 2)), {"axes": 1}),
            Case("outer", (normal(2), normal(3)), {"axes": 0}),
            Case("scalars", (normal(), normal()), {"axes": 0}),
            Case("pairs", (normal(2, 3, 4), normal(4, 2, 2)), {"axes": ((2, 0), (0, 1))}),
            Case("negative", (normal(2, 3), normal(2, 3)), {"axes": ((-1,), (1,))}),
            Case("everything", (normal(2, 3), normal(3, 2)), {"axes": ((0, 1), (1, 0))}),
            Case("no axes by name", (normal(2), normal(2)), {"axes": ((), ())}),
            Case("size-0", (normal(0, 3), normal(3, 2)), {"axes": 1}),
            Case("inner length 0", (normal(2, 0), normal(0, 2)), {"axes": 1}),
        ],
        "matmul",
        rtol=1e-14,
        torch=lambda torch, x, y, axes=2: torch.tensordot(x, y, axes),
    ),
]
