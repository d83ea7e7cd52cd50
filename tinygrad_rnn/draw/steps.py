"""Which part of the picture each node belongs to: a time step's box, before the loop, after it, or a first carry.

Nodes made in a time step belong to that step's column. The others are sorted by what they feed:
- nothing that leads to a step: *after* the loop, at its right (but a running sum over the steps stays with the steps);
- several steps, or a parameter: *before* the loop, drawn once, at its left, with a rail that runs below the steps;
- one step only, where other steps read the step before them: a first carry such as h_0, beside the first step;
- one step only otherwise, such as one element of an unstacked input: in that step's column.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..graph import Graph, GraphNode
from .fold import Folded

__all__ = ["Loop", "Plan", "plan_steps"]

_Slot = tuple[str, int, int]  # an operation, which of its kind in the step, and which of its arguments
_NOWHERE: _Slot = ("", -1, -1)


@dataclass(frozen=True, slots=True)
class Loop:
    """An edge from one step to another, in a plan that shows one step for all: `forward` in time or not."""

    tail: int
    head: int
    position: int  # of the argument that it is
    outlet: int
    forward: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph's nodes by their place in the picture, each group in the tape's order."""

    nodes: Mapping[int, GraphNode]
    children: Mapping[int, tuple[int, ...]]
    times: tuple[int, ...]  # the step numbers, in order: column c shows times[c]
    column: Mapping[int, int]  # the column of each node that belongs to one
    carries: Mapping[int, int]  # first carries, and the column that reads each
    before: tuple[int, ...]
    after: tuple[int, ...]
    outlets: Mapping[tuple[int, int], int] = field(default_factory=dict)  # as in `Folded`
    calls: frozenset[int] = frozenset()
    loops: tuple[Loop, ...] = ()
    rolled: int = 0  # for how many steps the only one stands

    def arguments(self, node: int) -> Iterator[tuple[int, int, int]]:
        """What a node reads, once each: the position of the argument, the node read, and which result of it."""
        seen = set()
        for position, parent in enumerate(self.nodes[node].parents):
            outlet = self.outlets.get((node, position), parent)
            if outlet not in seen:
                seen.add(outlet)
                yield position, parent, outlet

    def members(self, column: int) -> tuple[int, ...]:
        """The nodes of one column."""
        return tuple(i for i in self.nodes if self.column.get(i) == column)


def plan_steps(graph: Graph, folded: Folded | None = None) -> Plan:
    """Sort the nodes of `graph`, which `folded` may have boxes in; without any time step all of them are `after`."""
    nodes = {node.id: node for node in graph.nodes}
    children: dict[int, list[int]] = {i: [] for i in nodes}
    for node in graph.nodes:
        for parent in dict.fromkeys(node.parents):
            children[parent].append(node.id)
    times = tuple(sorted({node.scope.step for node in graph.nodes if node.scope.step is not None}))
    at = {time: c for c, time in enumerate(times)}
    column = {node.id: at[node.scope.step] for node in graph.nodes if node.scope.step is not None}
    leads_to_step = _ancestors(nodes, column)
    carries = _adopt_inputs(nodes, children, column, leads_to_step)
    after = [i for i in nodes if i not in column and i not in leads_to_step]
    if times:
        _adopt_running_folds(nodes, column, after)
    return Plan(
        nodes=nodes,
        children={i: tuple(found) for i, found in children.items()},
        times=times,
        column=column,
        carries=carries,
        before=tuple(i for i in nodes if i in leads_to_step and i not in column and i not in carries),
        after=tuple(i for i in after if i not in column),
        outlets=folded.outlets if folded else {},
        calls=folded.calls if folded else frozenset(),
    )


def _ancestors(nodes: Mapping[int, GraphNode], column: Mapping[int, int]) -> set[int]:
    """The nodes outside of every step that some step depends on."""
    reached: set[int] = set()
    for i in sorted(nodes, reverse=True):
        if i in column or i in reached:
            reached.update(nodes[i].parents)
    return {i for i in reached if i not in column}


def _adopt_inputs(
    nodes: Mapping[int, GraphNode],
    children: Mapping[int, list[int]],
    column: dict[int, int],
    outside: Iterable[int],
) -> dict[int, int]:
    """Put into `column` what feeds one step only and is no parameter; returns the first carries."""
    carries: dict[int, int] = {}
    slots = _slots(nodes, column)
    readers: dict[_Slot, list[tuple[int, int]]] = defaultdict(list)  # slot -> (column, what it reads)
    for (child, parent), slot in slots.items():
        readers[slot].append((column[child], parent))
    for alike in readers.values():
        alike.sort()
    made_in_step = dict(column)
    last = max(made_in_step.values(), default=0)
    for i in sorted(outside, reverse=True):
        columns = {column.get(child) for child in children[i]}
        if len(columns) != 1 or None in columns:
            continue
        (c,) = columns
        assert c is not None
        votes: Counter[str] = Counter()
        for child in children[i]:
            alike = readers.get(slots.get((child, i), _NOWHERE), [])
            here = bisect_left(alike, (c, 0))
            for other, source in alike[max(here - 3, 0) : here + 4]:  # the steps nearby tell enough
                if other == c:
                    continue
                if source in made_in_step:
                    votes["carry"] += made_in_step[source] != other
                elif source != i and len({made_in_step.get(k) for k in children[source]}) == 1:
                    votes["input"] += 1
        node = nodes[i]
        at_an_end = c in (0, last)
        if not node.parents and at_an_end and (votes["carry"] or (not votes and (node.name or "").endswith("_0"))):
            carries[i] = c
        elif votes["input"] or node.kind != "leaf":
            column[i] = c
        elif last and all(child not in made_in_step for child in children[i]):
            column[i] = c  # a leaf of which only an input of this one step is made
    return carries


def _slots(nodes: Mapping[int, GraphNode], column: Mapping[int, int]) -> dict[tuple[int, int], _Slot]:
    """For each edge (child, parent) into a step: where in the step it arrives, so that steps can be compared."""
    seen: Counter[tuple[int, str]] = Counter()
    found: dict[tuple[int, int], _Slot] = {}
    for i, c in column.items():
        node = nodes[i]
        ordinal = seen[c, node.op]
        seen[c, node.op] += 1
        for position, parent in enumerate(node.parents):
            found[i, parent] = (node.op, ordinal, position)
    return found


def _adopt_running_folds(nodes: Mapping[int, GraphNode], column: dict[int, int], after: Iterable[int]) -> None:
    """Put a running fold over the steps, such as `sum(losses)`, into the columns of the values that it takes in.

    A link of the fold is an operation on the link before it and on one step's value, later than all before.
    """
    chains: dict[int, list[tuple[int, int]]] = {}  # the last link -> all links so far, each with its column
    for i in after:
        node = nodes[i]
        taken = sorted({column[p] for p in node.parents if p in column})
        links = [p for p in node.parents if p in chains and nodes[p].op == node.op]
        others = [p for p in node.parents if p not in column and p not in links]
        if not taken or others or len(node.parents) > 2:
            continue
        if not links:
            chains[i] = [(i, taken[-1])]
        elif len(links) == 1 and len(taken) == 1 and taken[0] > chains[links[0]][-1][1]:
            chain = chains[i] = chains.pop(links[0])
            chain.append((i, taken[0]))
    for chain in chains.values():
        if len(chain) > 1:
            column.update(chain)
