"""The picture of a graph without time steps: left to right, as `dot` lays it out."""

from .labels import headline
from .look import EDGE, Look
from .picture import Box, Line, Picture
from .sketch import Sketch, lay_out
from .steps import Plan

__all__ = ["plain_picture", "unplaced_picture"]


def plain_picture(plan: Plan, look: Look, *, what: str, timeout: float) -> Picture:
    """Every node with a line from each of its arguments. Raises `DrawingError`."""
    nodes = plan.nodes
    texts = {i: headline(node) for i, node in nodes.items()}
    edges = [(parent, node.id) for node in nodes.values() for parent in node.parents]
    sketch = Sketch("LR", rank_gap=28.0)
    sketch.sizes = {f"n{i}": look.size(node, texts[i]) for i, node in nodes.items()}
    sketch.ellipses = {f"n{i}" for i, node in nodes.items() if node.kind != "operation"}
    sketch.edges = [(f"n{tail}", f"n{head}") for tail, head in edges]
    (layout,) = lay_out([sketch], what=what, timeout=timeout)
    shapes = tuple(look.shape(node, texts[i], layout.boxes[f"n{i}"]) for i, node in nodes.items())
    lines = tuple(
        Line(f"n{tail}", f"n{head}", curve, tip, EDGE)
        for (tail, head), (curve, tip) in zip(edges, layout.curves, strict=True)
    )
    return Picture(what, (), shapes, lines)


def unplaced_picture(plan: Plan, look: Look, *, what: str) -> Picture:
    """Every node and edge, for a Graphviz elsewhere to lay out: what can be had on a machine without one."""
    texts = {i: headline(node) for i, node in plan.nodes.items()}
    edges = [(parent, node.id) for node in plan.nodes.values() for parent in node.parents]
    edges += [(loop.tail, loop.head) for loop in plan.loops]
    shapes = tuple(
        look.shape(node, texts[i], Box(0.0, 0.0, *look.size(node, texts[i]))) for i, node in plan.nodes.items()
    )
    return Picture(what, (), shapes, tuple(Line(f"n{a}", f"n{b}", (), None, EDGE) for a, b in edges), placed=False)
