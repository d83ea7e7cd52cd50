"""What the columns have in common: the sizes, the readers of the step before and the order of layers, so that all steps
look alike.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from .cell import port_room
from .columns import Column
from .look import Look
from .steps import Plan
from .wiring import HIDDEN, Wiring

__all__ = ["common_sizes", "layers", "recurrent"]


def recurrent(plan: Plan, columns: Sequence[Column], wiring: Wiring, column: int) -> list[int]:
    """The nodes of a column that read the step before, or a first carry in its place."""
    members = set(columns[column].members)
    heads = [line.head for line in wiring.into.get(column, ()) if line.rightwards]
    heads += [head for tail, head in wiring.carries if head in members and plan.carries[tail] == 0]
    if column == 0 and not heads and len(columns) > 1:
        # Zeros that nobody named stand for the first carry: what would read it belongs on the left all the same.
        slots = _slots(plan, columns[1])
        readers = {slots[i] for i in recurrent(plan, columns, wiring, 1) if i in slots}
        heads = [i for i, slot in _slots(plan, columns[0]).items() if slot in readers]
    return list(dict.fromkeys(heads))


def common_sizes(
    plan: Plan, shown: Sequence[Column], texts: Mapping[int, str], look: Look
) -> dict[int, tuple[float, float]]:
    """Sizes of the nodes in the columns that are shown: counterparts in different steps get the same."""
    counterparts: dict[tuple[str, int], list[int]] = defaultdict(list)
    for column in shown:
        for i, slot in _slots(plan, column).items():
            counterparts[slot].append(i)
    sizes: dict[int, tuple[float, float]] = {}
    for nodes in counterparts.values():
        wanted = [look.size(plan.nodes[i], texts[i]) for i in nodes]
        largest = (max(width for width, _ in wanted), max(height for _, height in wanted))
        if not plan.calls.isdisjoint(nodes):  # many lines meet a call at its sides
            largest = largest[0], max(largest[1], port_room(max(len(plan.nodes[i].parents) for i in nodes)))
        sizes.update(dict.fromkeys(nodes, largest))
    return sizes


def layers(plan: Plan, wiring: Wiring, place: Mapping[int, int]) -> Mapping[int, list[tuple[int, int]]]:
    """Per column, what a lower layer gives and what an upper layer takes, where a stack over all steps is between them.

    Such a stack is outside of the steps, so that nothing in the column itself would put one layer above the other.
    """
    stacks = {head for _, head in wiring.downs}
    from_stacks: dict[int, set[int]] = {}
    for i in plan.before:
        found = {i} if i in stacks else set()
        from_stacks[i] = found.union(*(from_stacks.get(p, ()) for p in plan.nodes[i].parents))
    given: dict[tuple[int, int], list[int]] = defaultdict(list)  # (column, stack) -> the nodes that go into it
    for tail, head in wiring.downs:
        if tail != HIDDEN:
            given[place[tail], head].append(tail)
    pairs: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for tail, head in wiring.taps:
        if head != HIDDEN:
            c = place[head]
            pairs[c] += [
                (lower, head) for stack in sorted(from_stacks[tail]) for lower in given[c, stack] if lower < head
            ]
    return pairs


def _slots(plan: Plan, column: Column) -> dict[int, tuple[str, int]]:
    """Per node its operation and which of its kind it is in the column: what counterparts have in common."""
    seen: Counter[str] = Counter()
    slots = {}
    for i in column.members:
        op = plan.nodes[i].op
        slots[i] = (op, seen[op])
        seen[op] += 1
    return slots
