"""`scan`: the time loop, compiled or unrolled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..tape import Lifted
from ..tree import leaves
from ..watch import watchers
from .capture import capture
from .compiled import compiled
from .loop import Loop
from .trace import Untraceable
from .unrolled import unrolled

__all__ = ["scan"]


def scan(
    cell: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    xs: Any,
    length: int | None = None,
    reverse: bool = False,
    unroll: bool = False,
    checkpoint: int | Literal["sqrt"] | None = None,
) -> tuple[Any, Any]:
    """carry_t, y_t = cell(carry_{t−1}, x_t) for t = 1 … T; returns carry_T and the y's, stacked along a new first axis."""
    loop = Loop(cell, carry, xs, length, reverse)
    every = _checkpoint(checkpoint, loop.length)
    if unroll or why_unrolled(loop) is not None:
        return unrolled(loop)
    found = capture(loop)
    if found.reason is None:
        try:
            return compiled(loop, found.step, every)
        except Untraceable:
            pass
    return unrolled(loop, found.done)


def _checkpoint(checkpoint: int | str | None, length: int) -> int | None:
    """After how many steps the carry is kept."""
    if checkpoint is None:
        return None
    if checkpoint == "sqrt":
        return max(1, math.isqrt(length))
    if isinstance(checkpoint, str):
        raise ValueError(f"scan: checkpoint must be a number of steps or 'sqrt', got {checkpoint!r}")
    if not isinstance(checkpoint, (int, np.integer)) or isinstance(checkpoint, bool):
        raise TypeError(f"scan: checkpoint must be a number of steps or 'sqrt', got {checkpoint!r}")
    if checkpoint < 1:
        raise ValueError(f"scan: checkpoint must be at least one step, got {checkpoint!r}")
    return int(checkpoint)


def why_unrolled(loop: Loop) -> str | None:
    """Why a loop isn't even captured."""
    if loop.length == 0:
        return "there are no steps"
    if watchers.get():
        return "somebody watches every operation"
    if any(isinstance(t, Lifted) for t in (*leaves(loop.carry), *leaves(loop.xs))):
        return "its arguments carry tangents, stand for many examples, or are of a loop around it"
    return None
