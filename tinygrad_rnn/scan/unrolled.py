"""The time loop, unrolled: every step's nodes go on the tape, to be drawn, explained and differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops import stack
from ..scope import scope
from ..tape import Tensor
from ..tree import flatten, leaves, map_places
from .capture import Capture
from .loop import Loop, part_names

__all__ = ["unrolled"]


def unrolled(loop: Loop, done: Sequence[Capture] = ()) -> tuple[Any, Any]:
    """carry_t, y_t = cell(carry_{t−1}, x_t), step by step; the last carry, and the y's stacked.

    In pictures, the cell's own parameter names are the names of the carry and the input: a cell `(h, x)` makes h_1,
    x_1, h_2, …; parts go by their fields' names or keys. Step t's nodes are in the scope t. The steps that are `done`
    have been captured: their real results are worked out from that, and the cell isn't run for them again.
    """
    carry_name, x_name = loop.parameter_names()
    carry = loop.carry
    _, nested = flatten(carry)
    _name(carry, carry_name, 0)
    ys: list[Any] = [None] * loop.length
    with scope() as here:
        for k, i in enumerate(loop.order()):
            t = i + 1
            here.at(step=t)
            if k < len(done):
                parts, ys[i] = done[k].results()
                carry = nested(parts)
                continue
            x = loop.x(i)
            _name(x, x_name, t)
            carry, y = loop.step(carry, x)
            _name(carry, carry_name, t)
            _name(y, "y", t)
            ys[i] = y
    return carry, map_places(_stacked, ys[0], "y", *ys[1:])


def _stacked(place: str, *steps: Tensor) -> Tensor:
    for i, y in enumerate(steps):
        if y.shape != steps[0].shape:
            raise ValueError(
                f"scan: {place} must have one shape in all steps; it has {steps[0].shape} in step 1 "
                f"and {y.shape} in step {i + 1}"
            )
    return stack(steps)


def _name(tree: Any, name: str, t: int) -> None:
    """Call a tensor name_t, unless it has a name; parts by their fields or keys, or numbered."""
    for leaf, own in zip(leaves(tree), part_names(tree, name), strict=True):
        if leaf.name is None:
            leaf.name = f"{own}_{t}"
