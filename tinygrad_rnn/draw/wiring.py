"""Which lines an unrolled drawing has, and of what kind, before any of them has a place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .columns import Column
from .steps import Plan

__all__ = ["HIDDEN", "Across", "Wiring", "wire"]

HIDDEN = -1  # stands for any node inside the box of hidden steps


@dataclass(frozen=True, slots=True)
class Across:
    """A line between two columns; `tail` or `head` is `HIDDEN` where that end is in the box of hidden steps."""

    tail: int
    head: int
    from_column: int
    to_column: int

    @property
    def adjacent(self) -> bool:
        """Whether no other column stands between its ends."""
        return abs(self.from_column - self.to_column) == 1

    @property
    def rightwards(self) -> bool:
        """Whether it leads forward in time."""
        return self.from_column < self.to_column


@dataclass(slots=True)
class Wiring:
    """The lines by kind, each as (tail, head) node ids in the tape's order, none twice."""

    inner: list[list[tuple[int, int]]]  # per column
    across: list[Across] = field(default_factory=list)
    carries: list[tuple[int, int]] = field(default_factory=list)  # first carry -> its reader
    taps: list[tuple[int, int]] = field(default_factory=list)  # before the loop -> a step (or `HIDDEN`)
    ups: list[tuple[int, int]] = field(default_factory=list)  # a step (or `HIDDEN`) -> after the loop
    downs: list[tuple[int, int]] = field(
        default_factory=list
    )  # a step (or `HIDDEN`) -> before the loop (of a next layer)
    before: list[tuple[int, int]] = field(default_factory=list)
    after: list[tuple[int, int]] = field(default_factory=list)
    around: list[tuple[int, int]] = field(default_factory=list)  # before the loop -> after it


def wire(plan: Plan, columns: Sequence[Column]) -> Wiring:
    """Sort all edges of the graph; edges into or out of hidden steps are merged, those between hidden nodes dropped."""
    place = {i: c for c, column in enumerate(columns) for i in column.members}
    hidden = {c for c, column in enumerate(columns) if column.hidden}
    before, after = set(plan.before), set(plan.after)
    wiring = Wiring(inner=[[] for _ in columns])
    across: dict[Across, None] = {}
    merged: dict[tuple[int, int, int], None] = {}  # kind, tail, head
    taps, ups, downs = 0, 1, 2

    def end(i: int) -> int:
        return HIDDEN if place[i] in hidden else i

    for head, node in plan.nodes.items():
        for tail in dict.fromkeys(node.parents):
            edge = (tail, head)
            if tail in place and head in place:
                if place[tail] != place[head]:
                    across[Across(end(tail), end(head), place[tail], place[head])] = None
                elif place[tail] not in hidden:
                    wiring.inner[place[tail]].append(edge)
            elif tail in plan.carries:
                wiring.carries.append(edge)
            elif tail in before and head in place:
                merged[taps, tail, end(head)] = None
            elif tail in before:
                (wiring.before if head in before else wiring.around).append(edge)
            elif tail in place:
                merged[ups if head in after else downs, end(tail), head] = None
            else:
                wiring.after.append(edge)
    wiring.across = list(across)
    wiring.taps = _visible_taps((tail, head) for kind, tail, head in merged if kind == taps)
    wiring.ups = [(tail, head) for kind, tail, head in merged if kind == ups]
    wiring.downs = [(tail, head) for kind, tail, head in merged if kind == downs]
    return wiring


def _visible_taps(taps: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leaves out taps into the hidden steps, under which a rail runs on, unless the rail would lead nowhere else."""
    found = list(taps)
    seen = {tail for tail, head in found if head != HIDDEN}
    return [(tail, head) for tail, head in found if head != HIDDEN or tail not in seen]
