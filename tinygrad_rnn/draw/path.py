"""A path: what carries gradient from a loss or another output back to chosen tensors."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from difflib import get_close_matches

from ..graph import Graph, GraphNode
from .picture import Picture

__all__ = ["faded", "on_path"]


def on_path(graph: Graph, path: tuple[str, str | Sequence[str]]) -> set[int]:
    """The nodes on every way from the nodes called `path[0]` back to those called `path[1]`, ends included.

    Raises `ValueError` for a name that no node has, and for one that no gradient gets to.
    """
    start, goals = path
    goals = [goals] if isinstance(goals, str) else list(goals)
    sources = _called(graph, start)
    above = {node.id for node in sources}
    for node in reversed(graph.nodes):  # the tape's order: all that reads a node comes after it
        if node.id in above:
            above.update(p for p in node.parents if graph.nodes[p].kind != "constant")
    found: set[int] = set()
    for goal in goals:
        ends = {node.id for node in _called(graph, goal) if node.id in above}
        if not ends:
            raise ValueError(f"draw: path: no gradient flows from {start!r} to {goal!r}")
        found |= ends
    for node in graph.nodes:
        if node.id in above and not found.isdisjoint(node.parents):
            found.add(node.id)
    return found


def _called(graph: Graph, name: str) -> list[GraphNode]:
    nodes = [node for node in graph.nodes if node.name == name]
    if nodes:
        return nodes
    known = list(dict.fromkeys(node.name for node in graph.nodes if node.name is not None))
    near = get_close_matches(name, known, n=3) or known[-3:]
    advice = f"; there is {', '.join(map(repr, near))}" if near else "; no node has a name"
    raise ValueError(f"draw: path: no node is called {name!r}{advice}")


def faded(picture: Picture, kept: Collection[str]) -> Picture:
    """`picture` with all but the shapes with these ids, and the lines between them, faded."""
    shapes = tuple(
        shape if shape.id in kept else replace(shape, fill="frame", ink="faint", border="faint", border_width=0.8)
        for shape in picture.shapes
    )
    lines = tuple(
        line if line.tail in kept and line.head in kept else replace(line, colour="faint") for line in picture.lines
    )
    # What is in full ink stands above what is faded where they cross.
    return replace(picture, shapes=shapes, lines=tuple(sorted(lines, key=lambda line: line.colour != "faint")))
