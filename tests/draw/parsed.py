"""What an SVG shows, read back from its text: boxes with their lines of text, edges, frames. Points, y downwards."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SVG = "{http://www.w3.org/2000/svg}"
Points = NDArray[np.float64]  # [N, 2]


@dataclass(frozen=True)
class Area:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def overlaps(self, other: "Area", by: float = 0.1) -> bool:
        return (
            min(self.right, other.right) - max(self.left, other.left) > by
            and min(self.bottom, other.bottom) - max(self.top, other.top) > by
        )

    def holds(self, other: "Area") -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )

    def strictly_inside(self, points: Points, margin: float = 0.5) -> NDArray[np.bool_]:
        """Which of the points are in it, and not on its border."""
        x, y = points.T
        return (
            (self.left + margin < x) & (x < self.right - margin) & (self.top + margin < y) & (y < self.bottom - margin)
        )

    def distance(self, points: Points) -> float:
        """How far the nearest of the points is from it, 0 if one is inside."""
        x, y = points.T
        away = np.hypot(
            np.maximum(0, np.maximum(self.left - x, x - self.right)),
            np.maximum(0, np.maximum(self.top - y, y - self.bottom)),
        )
        return float(away.min())


@dataclass(frozen=True)
class Text:
    """A line of text, centred at x, standing on the baseline y."""

    content: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Node:
    id: str
    area: Area
    texts: tuple[Text, ...]
    fill: str
    stroke: str
    oval: bool


@dataclass(frozen=True)
class Edge:
    """An edge of the graph, and how it is drawn; a backward one is that of the forward one, drawn from head to tail."""

    tail: str
    head: str
    line: Points
    arrow: Points | None
    colour: str
    width: float
    dashed: bool
    backward: bool


@dataclass(frozen=True)
class Parsed:
    """All of a picture; nodes by id."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    frames: dict[str, Area]  # by title, in the order of the file

    def forward(self) -> list[Edge]:
        return [edge for edge in self.edges if not edge.backward]

    def called(self, text: str) -> Node:
        """The one node whose first line begins with this."""
        (node,) = (n for n in self.nodes.values() if n.texts and n.texts[0].content.startswith(text))
        return node

    def members(self, frame: Area) -> list[Node]:
        return [node for node in self.nodes.values() if frame.holds(node.area)]


def parsed(svg: str) -> Parsed:
    """The picture in an SVG text."""
    nodes, edges, frames = {}, [], {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        kinds = (group.get("class") or "").split()
        if "node" in kinds:
            name = _title(group)
            assert name not in nodes, f"{name} is drawn twice"
            nodes[name] = _node(name, group)
        elif "edge" in kinds:
            edges.append(_edge(group, "backward" in kinds))
        elif "cluster" in kinds:
            title = next(group.iter(f"{SVG}text")).text or ""
            assert title not in frames, f"the frame {title!r} is drawn twice"
            frames[title] = _area(_numbers(_outline(group)))
    return Parsed(nodes, tuple(edges), frames)


def _title(group: ET.Element) -> str:
    return next(group.iter(f"{SVG}title")).text or ""


def _shapes(group: ET.Element) -> Iterator[ET.Element]:
    return (e for e in group.iter() if e.tag in (f"{SVG}path", f"{SVG}polygon", f"{SVG}ellipse", f"{SVG}polyline"))


def _outline(group: ET.Element) -> ET.Element:
    return next(_shapes(group))


def _numbers(shape: ET.Element) -> Points:
    """The points that a shape's text names: for a path with its curves' control points."""
    if shape.tag == f"{SVG}ellipse":
        x, y, a, b = (float(shape.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
        return np.array([[x - a, y - b], [x + a, y + b]])
    text = shape.get("d") or shape.get("points") or ""
    return np.array(re.findall(r"-?[\d.]+(?:e-?\d+)?", text), float).reshape(-1, 2)


def _area(points: Points) -> Area:
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return Area(*map(float, (left, top, right, bottom)))


def _node(name: str, group: ET.Element) -> Node:
    shapes = list(_shapes(group))
    texts = tuple(
        Text(
            (e.text or "").replace("\xa0", " "),
            float(e.attrib["x"]),
            float(e.attrib["y"]),
            float(e.attrib["font-size"]),
        )
        for e in group.iter(f"{SVG}text")
    )
    if shapes:
        area = _area(np.concatenate([_numbers(shape) for shape in shapes]))
        fill, stroke = shapes[0].get("fill") or "", shapes[0].get("stroke") or ""
    else:  # text that stands by itself
        xs, ys = [t.x for t in texts], [t.y for t in texts]
        area, fill, stroke = Area(min(xs), min(ys), max(xs), max(ys)), "none", "none"
    return Node(name, area, texts, fill, stroke, bool(shapes) and shapes[0].tag == f"{SVG}ellipse")


def _edge(group: ET.Element, backward: bool) -> Edge:
    tail, _, head = _title(group).partition("->")
    path = next(group.iter(f"{SVG}path"))
    arrows = [_numbers(e) for e in group.iter(f"{SVG}polygon")]
    return Edge(
        tail.partition(":")[0],
        head.partition(":")[0],
        _along(_numbers(path)),
        arrows[0] if arrows else None,
        path.get("stroke") or "",
        float(path.get("stroke-width") or 1),
        path.get("stroke-dasharray") is not None,
        backward,
    )


def _along(controls: Points, pieces: int = 32) -> Points:
    """Points on a chain of cubic Bézier curves."""
    t = np.linspace(0, 1, pieces + 1)[:, None]
    curves = [controls[k : k + 4] for k in range(0, len(controls) - 1, 3)]
    return np.concatenate(
        [(1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t * t * (1 - t) * c + t**3 * d for a, b, c, d in curves]
    )
