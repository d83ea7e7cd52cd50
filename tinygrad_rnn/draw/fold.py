"""Folding: the calls of modules as one box each, down to a chosen depth of modules inside modules.

A folded graph is a graph again: a box is a node like any other, whose operation is the module's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from ..graph import Graph, GraphNode, Scope

__all__ = ["Folded", "fold"]


@dataclass(frozen=True, slots=True)
class Folded:
    """A graph, the node of it that each node of the whole graph is in, and what its boxes give out.

    `outlets` has, for each argument (node, position) that comes from a box with several results, which one it is: the
    id in the whole graph. An LSTM's box has two, h and c.
    """

    graph: Graph
    places: Mapping[int, int]
    outlets: Mapping[tuple[int, int], int]
    calls: frozenset[int]  # the boxes


def fold(graph: Graph, depth: int | None) -> Folded:
    """`graph` with each call of a module that is `depth` modules deep as one node; None leaves all as it is.

    The operations of a call stand next to each other on the tape, so a call is a run of operations of the same module
    at the same time step; no box can then feed itself. Two calls without anything between them are one run.
    """
    if depth is None:
        return Folded(graph, {node.id: node.id for node in graph.nodes}, {}, frozenset())
    places = {node.id: node.id for node in graph.nodes}
    runs: dict[int, list[GraphNode]] = {}

    def call(node: GraphNode) -> tuple[tuple[str, ...], int | None, int]:
        inside = len(node.scope.path) >= depth
        return node.scope.path[:depth], node.scope.step, -1 if inside else node.id

    for (*_, outside), run in groupby((node for node in graph.nodes if node.kind == "operation"), call):
        if outside < 0:
            members = list(run)
            runs[members[-1].id] = members
            places.update((node.id, members[-1].id) for node in members)
    results = _results(graph, places)
    outlets: dict[tuple[int, int], int] = {}
    nodes = []
    for node in graph.nodes:
        if places[node.id] != node.id:
            continue
        members = runs.get(node.id, [node])
        parents = [p for member in members for p in member.parents if places[p] != node.id]
        if node.id in runs:
            parents = list(dict.fromkeys(parents))
            node = _box(node, depth, [graph.nodes[i] for i in results.get(node.id, ())])
        nodes.append(replace(node, parents=tuple(places[p] for p in parents)))
        outlets.update(((node.id, k), p) for k, p in enumerate(parents) if len(results.get(places[p], ())) > 1)
    outputs = tuple(dict.fromkeys(places[i] for i in graph.outputs))
    return Folded(Graph(tuple(nodes), outputs), places, outlets, frozenset(runs))


def _results(graph: Graph, places: Mapping[int, int]) -> dict[int, list[int]]:
    """Per place, which of the nodes in it are read elsewhere or asked for, in the tape's order."""
    read = {p for node in graph.nodes for p in node.parents if places[p] != places[node.id]} | set(graph.outputs)
    found: dict[int, list[int]] = {}
    for i in sorted(read):
        found.setdefault(places[i], []).append(i)
    return found


def _box(last: GraphNode, depth: int, results: list[GraphNode]) -> GraphNode:
    """The node that stands for a call: it has the shape and the gradient of what the call made last."""
    made = results[-1] if results else last
    names = [node.name for node in results if node.name is not None]
    return replace(
        made,
        id=last.id,
        op=last.scope.path[depth - 1],
        name=", ".join(names) or None,
        scope=Scope(last.scope.path[:depth], last.scope.step),
    )
