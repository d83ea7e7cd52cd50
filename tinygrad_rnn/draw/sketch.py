"""Small layouts by Graphviz's `dot`: where it puts boxes of given sizes, and the curves that it draws between them.

Only ids and sizes go in, no text, so that equal structures give equal DOT texts: each distinct one is laid out once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .engine import render
from .picture import Box, Point

__all__ = ["Layout", "Sketch", "lay_out"]


@dataclass(slots=True)
class Sketch:
    """What to lay out. Edges are (tail, head); `ties` are edges that only pull; the names of a rank go side by side."""

    direction: str  # Graphviz's rankdir: "BT" or "LR"
    sizes: dict[str, tuple[float, float]] = field(default_factory=dict)
    ellipses: set[str] = field(default_factory=set)  # the names whose outline is one, at which edges end
    edges: list[tuple[str, str]] = field(default_factory=list)
    ties: list[tuple[str, str]] = field(default_factory=list)
    ranks: list[tuple[str, Sequence[str]]] = field(default_factory=list)  # Graphviz's rank ("same", "source", "sink")
    node_gap: float = 14.0
    rank_gap: float = 22.0

    def dot(self) -> str:
        """The DOT text."""
        gaps = f"nodesep={self.node_gap / 72:.3f} ranksep={self.rank_gap / 72:.3f}"
        text = [f"digraph {{ rankdir={self.direction} {gaps} newrank=true"]
        text += ['node [shape=box fixedsize=true label=""]', "edge [weight=8 arrowsize=.55]"]
        for name, (width, height) in self.sizes.items():
            shape = " shape=ellipse" if name in self.ellipses else ""
            text.append(f"{name} [width={width / 72:.4f} height={height / 72:.4f}{shape}]")
        text += [f"{tail} -> {head} [id={number}]" for number, (tail, head) in enumerate(self.edges)]
        text += [f"{tail} -> {head} [style=invis weight=1]" for tail, head in self.ties]
        text += [f"{{ rank={rank} {' '.join(names)} }}" for rank, names in self.ranks]
        return "\n".join([*text, "}"])


@dataclass(frozen=True, slots=True)
class Layout:
    """What came out: boxes by name, and per edge, in the sketch's order, its curve and the tip of its arrow."""

    boxes: Mapping[str, Box]
    curves: Sequence[tuple[tuple[Point, ...], Point]]


def lay_out(sketches: Sequence[Sketch], *, what: str, timeout: float) -> list[Layout]:
    """The layouts of `sketches`, equal ones done once, all in one run of Graphviz. Raises `DrawingError`."""
    texts = [sketch.dot() for sketch in sketches]
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return []
    answer = render(distinct, layout="dot", output="json", what=what, timeout=timeout).decode()
    found: list[Layout] = []
    decoder = json.JSONDecoder()
    at, end = 0, len(answer)
    while at < end:
        if answer[at].isspace():
            at += 1
            continue
        laid_out, at = decoder.raw_decode(answer, at)
        found.append(_read(laid_out))
    layouts = dict(zip(distinct, found, strict=True))
    return [layouts[text] for text in texts]


def _read(laid_out: dict[str, list[dict[str, str]]]) -> Layout:
    boxes = {}
    for thing in laid_out.get("objects", []):
        if "pos" in thing:
            x, y = map(float, thing["pos"].split(","))
            boxes[thing["name"]] = Box(x, y, float(thing["width"]) * 72, float(thing["height"]) * 72)
    curves = {}
    for edge in laid_out.get("edges", []):
        if "id" in edge:
            tip, *curve = (Point(*map(float, part.removeprefix("e,").split(","))) for part in edge["pos"].split())
            curves[int(edge["id"])] = (tuple(curve), tip)
    return Layout(boxes, [curves[number] for number in sorted(curves)])
