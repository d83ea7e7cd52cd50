"""A loop of no steps: the carry as it came, ys of length 0, and gradients of zero."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..ops import astype, getitem, reshape, sum, zeros
from ..tape import Tensor
from ..tree import map_leaves
from ..watch import unwatched
from .capture import Capture
from .loop import Loop

__all__ = ["no_steps"]


def no_steps(loop: Loop) -> tuple[Any, Any]:
    """The carry, and ys of length 0 whose shapes and dtypes the cell tells: it is run on tensors without numbers.

    Both depend on all that the cell reads, with derivatives of zero, so that a gradient is there as it is with steps.
    """
    xs = map_leaves(lambda x: np.zeros((1, *x.shape[1:]), x.dtype), loop.xs)  # for a cell that asks for their numbers
    one = Loop(loop.cell, loop.carry, xs, 1, loop.reverse)
    step = Capture(one, 0, one.starts.__getitem__)
    with unwatched():  # nothing is computed that the user has written
        return _linked(loop, step)


def _linked(loop: Loop, step: Capture) -> tuple[Any, Any]:
    """The results, made to depend on all that the step reads."""
    nothing = _nothing([*loop.starts, *loop.sequences, *step.outer])

    def linked(t: Tensor) -> Tensor:
        return t if nothing is None or t.dtype.kind != "f" else t - astype(nothing, t.dtype)  # −0 − 0 is −0

    carry = map_leaves(linked, loop.carry)
    return carry, step.nest_ys(linked(zeros((0, *y.shape), y.dtype)) for y in step.ys)


def _nothing(tensors: Iterable[Tensor]) -> Tensor | None:
    """The sum of none of their numbers; `None` if none needs a gradient."""
    empty = [sum(getitem(reshape(t, (-1,)), slice(0, 0))) for t in tensors if t.dtype.kind == "f" and t.requires_grad]
    total = None
    for t in empty:
        total = t if total is None else total + t
    return total
