"""A picture as DOT text: every place is given, so that Graphviz (`nop2`, or `neato -n2`) only renders it."""

from .labels import dot_text, dot_tooltip, text_width
from .picture import Line, Picture, Point, Shape
from .svg import FONT
from .theme import LIGHT, Theme

__all__ = ["to_dot"]

_STYLES = {
    "rounded": ("box", "rounded,filled"),
    "box": ("box", "filled"),
    "ellipse": ("ellipse", "filled"),
    "dashed": ("box", "rounded,dashed"),
    "text": ("box", "filled"),
}
_TITLE_SIZE = 13.0


def to_dot(picture: Picture, theme: Theme = LIGHT) -> str:
    """The DOT text; the same picture and theme give the same text."""
    text = ["digraph {"]
    settings = _statement(
        "graph",
        outputorder="edgesfirst",
        pad="0.2",
        bgcolor=theme.paper,
        fontname=FONT,
        rankdir=None if picture.placed else "LR",
    )
    text.append(settings)
    text.append(_statement("node", fixedsize="true", fontname=FONT, margin="0"))
    text.append(_statement("edge", arrowsize=".55"))
    shapes = {shape.id: shape for shape in picture.shapes}
    if any(shape.ink == "faint" for shape in picture.shapes):
        # Graphviz draws edges in the order in which it met their tails, then their heads: what is faint goes below.
        text += sorted(shapes, key=lambda name: shapes[name].ink != "faint")
    for frame in picture.frames:
        box = frame.box
        title = Point(box.left + 10 + text_width(frame.title, _TITLE_SIZE) / 2, box.top - 12)
        text.append(f"subgraph cluster_{frame.id} {{")
        settings = _statement(
            "graph",
            id=f"step_{frame.id}",
            label=dot_text(frame.title),
            lp=_place(title),
            bb=",".join(map(_number, (box.left, box.bottom, box.right, box.top))),
            style="rounded,filled",
            fillcolor=theme.frame,
            color=theme.frame_border,
            fontcolor=theme.frame_ink,
            fontsize=_number(_TITLE_SIZE),
            tooltip=dot_tooltip(frame.title),
        )
        text.append(settings)
        text += [_node(shapes.pop(name), theme, picture.placed) for name in frame.members]
        text.append("}")
    text += [_node(shape, theme, picture.placed) for shape in shapes.values()]
    text += [_edge(number, line, theme) for number, line in enumerate(picture.lines)]
    return "\n".join([*text, "}", ""])


def _statement(subject: str, **attributes: str | None) -> str:
    """One line of DOT. What may hold a user's words has come through `dot_text` or `dot_tooltip`."""
    said = " ".join(f'{key}="{value}"' for key, value in attributes.items() if value is not None)
    return f"{subject} [{said}]"


def _node(shape: Shape, theme: Theme, placed: bool) -> str:
    outline, style = _STYLES[shape.outline]
    return _statement(
        shape.id,
        label=dot_text(*shape.lines),
        id=shape.id,
        pos=_place(Point(shape.box.x, shape.box.y)) if placed else None,
        width=f"{shape.box.width / 72:.4f}",
        height=f"{shape.box.height / 72:.4f}",
        shape=outline,
        style=style,
        fillcolor=theme.colour(shape.fill),
        fontcolor=theme.colour(shape.ink),
        color=theme.colour(shape.border),
        penwidth=_number(shape.border_width),
        fontsize=_number(shape.font_size),
        tooltip=dot_tooltip(shape.tooltip or " "),
    )


def _edge(number: int, line: Line, theme: Theme) -> str:
    ends, curve, arrow = (line.tail, line.head), line.curve, "e"
    if line.backward:
        # Drawn from its arrow on, so that twins that share a rail have their dashes in the same places.
        ends, curve, arrow = (line.head, line.tail), line.curve[::-1], "s"
    return _statement(
        " -> ".join(ends),
        id=f"edge{number}",
        pos=((f"{arrow},{_place(line.tip)} " if line.tip else "") + " ".join(map(_place, curve))) or None,
        color=theme.colour(line.colour),
        penwidth=_number(line.width),
        arrowhead=None if line.tip or not curve else "none",
        style="dashed" if line.dashed else None,
        tooltip=dot_tooltip(line.tooltip) if line.tooltip else None,
        **{"class": "backward", "dir": "back"} if line.backward else {},
    )


def _place(point: Point) -> str:
    return f"{_number(point.x)},{_number(point.y)}"


def _number(value: float) -> str:
    return f"{round(value, 2) + 0.0:g}" if abs(value) < 1e5 else f"{value:.1f}"
