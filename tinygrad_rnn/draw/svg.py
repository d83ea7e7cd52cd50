"""A picture as SVG: every place is given, so it is only written down. Groups are named and nested as Graphviz's."""

import math
import zlib
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from .labels import text_width, visible
from .picture import Box, Frame, Line, Picture, Point, Shape
from .theme import Theme

__all__ = ["to_svg"]

FONT = "Helvetica,Arial,DejaVu Sans,sans-serif"  # in this order; labels leave room for the widest
_PAD = 14.4
_CORNER = 12.0
_TITLE_SIZE = 13.0
# From each of a box's corners, in the order of `_corners`, to where its curve begins and to where it ends.
_AROUND_CORNERS = (((0, -1), (-1, 0)), ((1, 0), (0, -1)), ((0, 1), (1, 0)), ((-1, 0), (0, 1)))
_LINE_HEIGHT, _BASELINE = 1.227, 0.335  # of the font's size: from line to line, from the middle of a line to its foot


def to_svg(picture: Picture, theme: Theme, *, title: str, description: str) -> str:
    """The SVG text, with what a screen reader says of it; the same picture, theme and words give the same text.

    The ids of title and description depend on all of the drawing, as several may stand on one page.
    """
    around = _bounds(picture)
    width, height = around.width + 2 * _PAD, around.height + 2 * _PAD
    left, top = _PAD - around.left, _PAD + around.top
    frame = _points(
        [Point(x, y) for x, y in _corners(Box(around.x, around.y, width, height))] + [Point(-left, _PAD + around.top)]
    )
    faint_first = sorted(picture.shapes, key=lambda shape: shape.ink != "faint")
    below = [*range(len(picture.lines))]
    below.sort(key=lambda k: picture.lines[k].colour != "faint")
    body = [
        f'<polygon fill="{theme.paper}" stroke="none" points="{frame}"/>',
        *(_frame(frame, theme) for frame in picture.frames),
        *(_line(k, picture.lines[k], theme) for k in below),
        *(_shape(shape, theme) for shape in faint_first),
    ]
    text = "\n".join(body)
    mark = f"{zlib.crc32(text.encode()):08x}"
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        f'<svg role="img" aria-labelledby="title{mark} desc{mark}" width="{width:.0f}pt" height="{height:.0f}pt"\n'
        f' viewBox="0.00 0.00 {width:.2f} {height:.2f}" xmlns="http://www.w3.org/2000/svg"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink">\n'
        f'<title id="title{mark}">{escape(visible(title))}</title>\n'
        f'<desc id="desc{mark}">{escape(visible(description))}</desc>\n'
        f'<g id="graph0" class="graph" transform="translate({_number(left)} {_number(top)})">\n'
        f"{text}\n</g>\n</svg>\n"
    )


def _bounds(picture: Picture) -> Box:
    """The smallest rectangle around all of it."""
    boxes = [frame.box for frame in picture.frames] + [shape.box for shape in picture.shapes]
    points = [p for line in picture.lines for p in (*line.curve, *([line.tip] if line.tip else []))]
    xs = [x for b in boxes for x in (b.left, b.right)] + [p.x for p in points]
    ys = [y for b in boxes for y in (b.bottom, b.top)] + [p.y for p in points]
    return Box.spanning(min(xs), min(ys), max(xs), max(ys))


def _frame(frame: Frame, theme: Theme) -> str:
    title = Point(frame.box.left + 10 + text_width(frame.title, _TITLE_SIZE) / 2, frame.box.top - 12)
    content = [
        f'<path fill="{theme.frame}" stroke="{theme.frame_border}" d="{_rounded(frame.box)}"/>',
        *_text((frame.title,), title, _TITLE_SIZE, theme.frame_ink),
    ]
    return _group(f"step_{frame.id}", "cluster", f"cluster_{frame.id}", frame.title, content)


def _shape(shape: Shape, theme: Theme) -> str:
    fill = "none" if shape.outline == "dashed" else theme.colour(shape.fill)
    paint = f'fill="{fill}" stroke="{theme.colour(shape.border)}"{_width(shape.border_width)}'
    box = shape.box
    if shape.outline == "ellipse":
        outline = (
            f'<ellipse {paint} cx="{_number(box.x)}" cy="{_number(-box.y)}" '
            f'rx="{_number(box.width / 2)}" ry="{_number(box.height / 2)}"/>'
        )
    elif shape.outline in ("rounded", "dashed"):
        dashes = ' stroke-dasharray="5,2"' if shape.outline == "dashed" else ""
        outline = f'<path {paint}{dashes} d="{_rounded(box)}"/>'
    else:
        corners = [Point(x, y) for x, y in _corners(box)]
        outline = f'<polygon {paint} points="{_points([*corners, corners[0]])}"/>'
    text = _text(shape.lines, Point(box.x, box.y), shape.font_size, theme.colour(shape.ink))
    return _group(shape.id, "node", shape.id, shape.tooltip, [outline, *text])


def _line(number: int, line: Line, theme: Theme) -> str:
    ends, curve = (line.tail, line.head), line.curve
    if line.backward:
        # Drawn from its arrow on, so that twins that share a rail have their dashes in the same places.
        ends, curve = (line.head, line.tail), line.curve[::-1]
    colour = theme.colour(line.colour)
    paint = f'stroke="{colour}"{_width(line.width)}'
    dashes = ' stroke-dasharray="5,2"' if line.dashed else ""
    path = f"M{_points(curve[:1])}C{_points(curve[1:])}"
    content = [f'<path fill="none" {paint}{dashes} d="{path}"/>']
    if line.tip:
        content.append(f'<polygon fill="{colour}" {paint} points="{_points(_arrow(line.curve[-1], line.tip))}"/>')
    kind = "edge backward" if line.backward else "edge"
    return _group(f"edge{number}", kind, "->".join(ends), line.tooltip, content)


def _group(name: str, kind: str, title: str, tooltip: str, content: Sequence[str]) -> str:
    inside = "\n".join(content)
    if tooltip:
        inside = f'<g id="a_{name}"><a xlink:title={quoteattr(tooltip)}>\n{inside}\n</a>\n</g>'
    return f'<g id="{name}" class="{kind}">\n<title>{escape(title)}</title>\n{inside}\n</g>'


def _text(lines: Sequence[str], centre: Point, size: float, ink: str) -> Iterator[str]:
    """Lines of text around a centre."""
    first = centre.y + (len(lines) - 1) / 2 * _LINE_HEIGHT * size - _BASELINE * size
    for i, line in enumerate(lines):
        if not line:
            continue
        yield (
            f'<text xml:space="preserve" text-anchor="middle" x="{_number(centre.x)}" '
            f'y="{_number(-(first - i * _LINE_HEIGHT * size))}" font-family="{FONT}" font-size="{size:.2f}" '
            f'fill="{ink}">{escape(line)}</text>'
        )


def _arrow(start: Point, tip: Point) -> list[Point]:
    """A head from the end of a line to its tip."""
    dx, dy = 0.35 * (tip.x - start.x), 0.35 * (tip.y - start.y)
    left = start.moved(-dy, dx)
    return [left, tip, start.moved(dy, -dx), left]


def _corners(box: Box) -> list[tuple[float, float]]:
    return [(box.right, box.top), (box.left, box.top), (box.left, box.bottom), (box.right, box.bottom)]


def _rounded(box: Box) -> str:
    """The outline of a box with round corners: straight sides, and a curve from side to side."""
    r = min(_CORNER, box.width / 3, box.height / 3)
    parts: list[str] = []
    for (x, y), (to_start, to_end) in zip(_corners(box), _AROUND_CORNERS, strict=True):
        start, end = (Point(x + r * dx, y + r * dy) for dx, dy in (to_start, to_end))
        bends = [Point(x + r / 2 * dx, y + r / 2 * dy) for dx, dy in (to_start, to_end)]
        parts.append(f"{'L' if parts else 'M'}{_points([start])}C{_points([*bends, end])}")
    return "".join(parts) + "Z"


def _points(points: Sequence[Point]) -> str:
    return " ".join([f"{_number(p.x)},{_number(-p.y)}" for p in points])


def _width(width: float) -> str:
    return "" if math.isclose(width, 1) else f' stroke-width="{_number(width)}"'


def _number(value: float) -> str:
    return f"{round(value, 2) + 0.0:.10g}"
