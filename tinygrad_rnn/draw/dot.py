"""A picture as DOT text: every place is given, so that Graphviz (`nop2`, or `neato -n2`) only renders it."""

import graphviz  # type: ignore[import-untyped]

from .labels import dot_text, dot_tooltip, text_width
from .picture import Line, Picture, Point, Shape

__all__ = ["to_dot"]

_FONT = "Helvetica"
_STYLES = {
    "rounded": ("box", "rounded,filled"),
    "box": ("box", "filled"),
    "ellipse": ("ellipse", "filled"),
    "dashed": ("box", "rounded,dashed"),
    "text": ("box", "filled"),
}
_TITLE_SIZE = 13.0


def to_dot(picture: Picture) -> str:
    """The DOT text; the same picture gives the same text."""
    text = graphviz.Digraph(
        graph_attr={"outputorder": "edgesfirst", "pad": "0.2", "bgcolor": "white", "fontname": _FONT},
        node_attr={"fixedsize": "true", "fontname": _FONT, "margin": "0"},
        edge_attr={"arrowsize": ".55"},
    )
    shapes = {shape.id: shape for shape in picture.shapes}
    for frame in picture.frames:
        with text.subgraph(name=f"cluster_{frame.id}") as cluster:
            box = frame.box
            title = Point(box.left + 10 + text_width(frame.title, _TITLE_SIZE) / 2, box.top - 12)
            cluster.attr(
                id=f"step_{frame.id}",
                label=dot_text(frame.title),
                lp=_place(title),
                bb=",".join(map(_number, (box.left, box.bottom, box.right, box.top))),
                style="rounded,filled",
                fillcolor="#f1f4f9",
                color="#b9c6d8",
                fontcolor="#44546a",
                fontsize=_number(_TITLE_SIZE),
                tooltip=dot_tooltip(frame.title),
            )
            for name in frame.members:
                _node(cluster, shapes.pop(name))
    for shape in shapes.values():
        _node(text, shape)
    for number, line in enumerate(picture.lines):
        _edge(text, number, line)
    return str(text.source)


def _node(text: graphviz.Digraph, shape: Shape) -> None:
    outline, style = _STYLES[shape.outline]
    text.node(
        shape.id,
        label=dot_text(*shape.lines),
        id=shape.id,
        pos=_place(Point(shape.box.x, shape.box.y)),
        width=f"{shape.box.width / 72:.4f}",
        height=f"{shape.box.height / 72:.4f}",
        shape=outline,
        style=style,
        fillcolor=shape.fill,
        fontcolor=shape.ink,
        color=shape.border,
        penwidth=_number(shape.border_width),
        fontsize=_number(shape.font_size),
        tooltip=dot_tooltip(shape.tooltip or " "),
    )


def _edge(text: graphviz.Digraph, number: int, line: Line) -> None:
    tip = f"e,{_place(line.tip)} " if line.tip else ""
    text.edge(
        line.tail,
        line.head,
        id=f"edge{number}",
        pos=tip + " ".join(map(_place, line.curve)),
        color=line.colour,
        penwidth=_number(line.width),
        arrowhead=None if line.tip else "none",
        style="dashed" if line.dashed else None,
    )


def _place(point: Point) -> str:
    return f"{_number(point.x)},{_number(point.y)}"


def _number(value: float) -> str:
    return f"{round(value, 2) + 0.0:g}" if abs(value) < 1e5 else f"{value:.1f}"
