"""The columns that are drawn: all time steps, or of a long sequence the first few, one box for the rest, the last."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .heat import short_number
from .labels import pretty
from .steps import Plan

__all__ = ["MANY_NODES", "Column", "choose_columns"]

MANY_NODES = 300  # more than this nobody reads
_MANY_STEPS = 12


@dataclass(frozen=True, slots=True)
class Column:
    """One box of the drawing: a time step with its nodes, or the steps that are not shown one by one."""

    key: str  # generated, unique: "t3" or "elided"
    title: str
    members: tuple[int, ...]
    lines: tuple[str, ...] = ()  # what the box of hidden steps says; empty for a step that is shown

    @property
    def hidden(self) -> bool:
        """Whether this is the box for the steps that are not shown."""
        return bool(self.lines)


def choose_columns(plan: Plan, *, elide: bool | None = None, keep: int = 2) -> list[Column]:
    """The columns, left to right: all, or to `elide` the first and the last `keep`; None elides what is too much."""
    by_column: list[list[int]] = [[] for _ in plan.times]
    for i in plan.nodes:
        if i in plan.column:
            by_column[plan.column[i]].append(i)
    shown = [
        Column(f"t{time}".replace("-", "m"), f"t = {time}", tuple(members))
        for time, members in zip(plan.times, by_column, strict=True)
    ]
    count = len(shown)
    if elide is None:
        elide = count > _MANY_STEPS or len(plan.nodes) > MANY_NODES
    if not elide or count - 2 * keep < 2:  # a box that hides a single step saves nothing
        return shown
    middle = shown[keep : count - keep]
    members = tuple(i for column in middle for i in column.members)
    hidden = Column("elided", "", members, tuple(_summary(plan, members, plan.times[keep : count - keep])))
    return [*shown[:keep], hidden, *shown[count - keep :]]


def _summary(plan: Plan, members: Sequence[int], times: Sequence[int]) -> list[str]:
    lines = ["⋯", f"{len(times)} steps", f"t = {times[0]} … {times[-1]}", f"{len(members):,} nodes"]
    norms: dict[str, list[float]] = {}
    for i in members:
        node = plan.nodes[i]
        carried = any(plan.column.get(child, plan.column[i]) != plan.column[i] for child in plan.children[i])
        if carried and node.grad_norm is not None:
            stem = (node.name or "").split(", ")[-1].rstrip("0123456789").rstrip("_")
            norms.setdefault(pretty(stem) or "carry", []).append(node.grad_norm)
    for name, found in list(norms.items())[:3]:
        finite = [norm for norm in found if math.isfinite(norm)]
        low, high = (min(finite), max(finite)) if finite else (math.nan, math.nan)
        broken = len(found) - len(finite)
        lines += ["", f"‖∂L/∂{name}‖", f"{short_number(low)} … {short_number(high)}" if finite else "not finite"]
        if broken and finite:
            lines.append(f"{broken} not finite")
    return lines
