"""Rolling up: one time step stands for all of them, with edges that lead back to it from itself."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..graph import GraphNode
from .columns import Column
from .steps import Loop, Plan

__all__ = ["Rolled", "roll"]

_Slot = tuple[str, str, int]  # an operation, its name without the time, and which of its kind in the step


@dataclass(frozen=True, slots=True)
class Rolled:
    """A plan with one step, its column, and by which of its nodes each node of the whole plan is shown, if by any."""

    plan: Plan
    column: Column
    places: Mapping[int, int]


def roll(plan: Plan) -> Rolled:
    """All steps of `plan`, which has some, as the largest of them: the last of its size.

    A node of it stands for its counterparts at all times, and its gradient is that of all of them together. What only
    other steps have isn't shown.
    """
    slots = _slots(plan)
    sizes = Counter(plan.column.values())
    # The box of a last step often has a result less, as nothing reads it any more.
    sizes.update(plan.column[box] for box, results in _results(plan).items() if box in plan.column for _ in results)
    chosen = max(sizes, key=lambda c: (sizes[c], c))
    shown = {slots[i]: i for i, c in plan.column.items() if c == chosen}
    places = {i: shown.get(slots[i], -1) if i in slots else i for i in plan.nodes}
    copies: dict[int, list[GraphNode]] = defaultdict(list)
    for i, place in places.items():
        copies[place].append(plan.nodes[i])
    copies.pop(-1, None)
    parents, outlets, loops = _edges(plan, places, chosen)
    nodes = {}
    read = {parent for found in parents.values() for parent in found}
    for i in sorted(copies):
        if i in plan.carries and i not in read:
            continue
        node = _for_all_times(plan.nodes[i], copies[i], plan) if len(copies[i]) > 1 else plan.nodes[i]
        nodes[i] = replace(node, parents=tuple(parents[i]))
    children: dict[int, list[int]] = {i: [] for i in nodes}
    for i in nodes:
        for parent in dict.fromkeys(parents[i]):
            children[parent].append(i)
    members = tuple(sorted(shown.values()))
    first, last = plan.times[0], plan.times[-1]
    return Rolled(
        Plan(
            nodes=nodes,
            children={i: tuple(found) for i, found in children.items()},
            times=plan.times[chosen : chosen + 1],
            column=dict.fromkeys(members, 0),
            carries={i: min(c, 1) for i, c in plan.carries.items() if i in nodes},
            before=plan.before,
            after=plan.after,
            outlets=outlets,
            calls=plan.calls & nodes.keys(),
            loops=tuple(loops),
            rolled=len(plan.times),
        ),
        Column("rolled", f"t = {first}" if len(plan.times) == 1 else f"t = {first} … {last}", members),
        {i: place for i, place in places.items() if place >= 0},
    )


def _slots(plan: Plan) -> dict[int, _Slot]:
    """What the counterparts in different steps have in common."""
    seen: Counter[tuple[int, str, str]] = Counter()
    found = {}
    for i in plan.nodes:
        if i in plan.column:
            node, c = plan.nodes[i], plan.column[i]
            stem = _named_at(node, plan.times[c], "").split(", ")[-1]  # not all steps' boxes have as many results
            found[i] = (node.op, stem, seen[c, node.op, stem])
            seen[c, node.op, stem] += 1
    return found


def _results(plan: Plan) -> dict[int, set[int]]:
    """Per box with several results, which they are."""
    found: dict[int, set[int]] = defaultdict(set)
    for (head, position), outlet in plan.outlets.items():
        found[plan.nodes[head].parents[position]].add(outlet)
    return found


def _edges(
    plan: Plan, places: Mapping[int, int], chosen: int
) -> tuple[dict[int, list[int]], dict[tuple[int, int], int], list[Loop]]:
    """The parents of each node that is shown, which results they give, and the edges from one step to another."""
    given = _results(plan)

    def counterpart(outlet: int, tail: int) -> int:
        """The result of the box that is shown which is this one of another step's box."""
        here, there = sorted(given[tail]), sorted(given[places[tail]])
        if not there:
            return places[tail]
        if not here:
            return there[-1]
        return there[here.index(outlet)] if len(here) == len(there) else there[-1]

    kept: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)  # head -> outlet -> position, tail
    found: dict[tuple[int, int], Counter[Loop]] = defaultdict(Counter)  # head, position -> what it reads at all times
    for i in plan.nodes:
        head, c = places[i], plan.column.get(i)
        for position, parent, result in plan.arguments(i) if head >= 0 else ():
            tail, parent_column = places[parent], plan.column.get(parent)
            if tail < 0:
                continue
            outlet = counterpart(result, parent)
            if c is None or parent_column is None or c == parent_column == chosen:
                kept[head].setdefault(outlet, (position, tail))
            elif c != parent_column:
                found[head, position][Loop(tail, head, position, outlet, parent_column < c)] += 1
    parents: dict[int, list[int]] = defaultdict(list)
    outlets = {}
    for head, arguments in kept.items():
        for outlet, (_, tail) in sorted(arguments.items(), key=lambda item: item[1]):
            if given[tail]:
                outlets[head, len(parents[head])] = outlet
            parents[head].append(tail)
    # A step that reads something else than all others do, as the first one often does, isn't typical.
    return parents, outlets, [loops.most_common(1)[0][0] for loops in found.values()]


def _for_all_times(node: GraphNode, copies: list[GraphNode], plan: Plan) -> GraphNode:
    """`node` under a name for any time, with the norm of the gradients of all its copies together."""
    norms = [copy.grad_norm for copy in copies if copy.grad_norm is not None]
    name = None if node.name is None else _named_at(node, plan.times[plan.column[node.id]], "t")
    return replace(node, name=name, grad_norm=math.hypot(*norms) if norms else None, value=None)


def _named_at(node: GraphNode, time: int, instead: str) -> str:
    """The name of a node, or the names of a box's results, with the time step at their ends replaced."""
    names = (node.name or "").split(", ")
    return ", ".join(name.removesuffix(str(time)) + instead if name.endswith(str(time)) else name for name in names)
