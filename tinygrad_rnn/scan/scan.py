"""`scan`: the time loop, compiled or unrolled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

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
    import os  # TEMPORARY

    if unroll or not os.environ.get('TG_COMPILE'):
        return unrolled(loop)
    try:
        return compiled(loop)
    except Untraceable:
        return unrolled(loop)
