"""Which lines an unrolled drawing has, and of what kind, before any of them has a place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from .columns import Column
from .steps import Plan

__all__ = ["HIDDEN", "Across", "Wiring", "wire"]

HIDDEN = -1  # stands for any node inside the box of hidden steps


@dataclass(frozen=True, slots=True)
class Across:
    """A line between two columns; `tail` or `head` is `HIDDEN` where that end is in the box of hidden steps.

    In a rolled drawing both columns are the same. `outlet` is the result of the tail that it carries. `position` is
    where lines to the same box come in, one above the other: 0 for a head that takes no more than one from a column.
    """

    tail: int
    head: int
    from_column: int
    to_column: int
    outlet: int
    position: int
    rightwards: bool  # whether it leads forward in time

    @property
    def adjacent(self) -> bool:
        """Whether no other column stands between its ends."""
        return abs(self.from_column - self.to_column) == 1

    @property
    def loops(self) -> bool:
        """Whether it leads back to its own column, in a rolled drawing."""
        return self.from_column == self.to_column

    @property
    def out_key(self) -> str:
        """The name of the port at its tail: lines that carry the same leave together."""
        return f"out:{'right' if self.rightwards else 'left'}:{self.outlet}"

    @property
    def in_key(self) -> str:
        """The name of the port at its head."""
        return f"in:{self.outlet}:{self.position}:{self.from_column}"


@dataclass(slots=True)
class Wiring:
    """The lines by kind, each as (tail, head) node ids in the tape's order, none twice."""

    inner: list[list[tuple[int, int]]]  # per column
    across: list[Across] = field(default_factory=list)
    into: dict[int, list[Across]] = field(default_factory=dict)  # the same by the column that they lead to
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
    across: dict[Across, Across] = {}  # all that end in the hidden steps do so at one place
    merged: dict[tuple[int, int, int], None] = {}  # kind, tail, head
    taps, ups, downs = 0, 1, 2

    def end(i: int) -> int:
        return HIDDEN if place[i] in hidden else i

    for head in plan.nodes:
        for position, tail, outlet in plan.arguments(head):
            edge = (tail, head)
            if tail in place and head in place:
                if place[tail] != place[head]:
                    line = Across(
                        end(tail),
                        end(head),
                        place[tail],
                        place[head],
                        outlet if end(tail) != HIDDEN else HIDDEN,
                        position if (head, position) in plan.outlets else 0,
                        place[tail] < place[head],
                    )
                    across.setdefault(replace(line, position=0) if end(head) == HIDDEN else line, line)
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
    wiring.across = list(across.values())
    wiring.across += [
        Across(loop.tail, loop.head, 0, 0, loop.outlet, loop.position, loop.forward) for loop in plan.loops
    ]
    for line in wiring.across:
        wiring.into.setdefault(line.to_column, []).append(line)
    wiring.taps = _visible_taps((tail, head) for kind, tail, head in merged if kind == taps)
    wiring.ups = [(tail, head) for kind, tail, head in merged if kind == ups]
    wiring.downs = [(tail, head) for kind, tail, head in merged if kind == downs]
    return wiring


def _visible_taps(taps: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leaves out taps into the hidden steps, under which a rail runs on, unless the rail would lead nowhere else."""
    found = list(taps)
    seen = {tail for tail, head in found if head != HIDDEN}
    return [(tail, head) for tail, head in found if head != HIDDEN or tail not in seen]
