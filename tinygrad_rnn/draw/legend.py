"""What stands around a picture: the legend of the heat below it, a title above it."""

from dataclasses import replace

from .heat import Heat, ink_on, short_number
from .labels import pretty, text_width
from .paths import ARROW, straight
from .picture import Box, Line, Picture, Point, Shape
from .theme import Theme

__all__ = ["with_legend", "with_title"]

_SIZE, _TITLE_SIZE = 10.0, 15.0
_SWATCH, _HEIGHT = 46.0, 16.0
_ARROW = 44.0


def with_legend(picture: Picture, heat: Heat | None, theme: Theme, *, missing: bool = False) -> Picture:
    """`picture` with a legend at its lower left: the scale, what has no gradient yet, and how it flows back.

    Args:
        picture: with the backward lines, if there are any.
        heat: the scale; None says that there is no gradient yet.
        theme: the colours.
        missing: whether some nodes that take a gradient have none yet.
    """
    bounds = _bounds(picture)
    y = bounds.bottom - 18 - _HEIGHT / 2
    row: list[Shape] = []
    lines: list[Line] = []
    x = bounds.left

    def cell(text: str, fill: str = "none", width: float | None = None) -> None:
        nonlocal x
        width = width or text_width(text, _SIZE) + 10
        row.append(_text(f"legend{len(row)}", Box(x + width / 2, y, width, _HEIGHT), text, fill, _SIZE))
        x += width

    if heat is None:
        cell("‖∂L/∂·‖: no gradient yet, backward() has not run")
    else:
        cell("‖∂L/∂·‖")
        for number, norm in enumerate(heat.ticks()):
            cell(("≤ " if number == 0 and heat.floored else "") + short_number(norm), heat.fill(norm), _SWATCH)
        if missing:
            x += 8
            cell("no gradient yet", theme.node)
        if any(line.backward for line in picture.lines):
            x += 8
            cell("backward")
            colour, width = heat.flow(10**heat.hot)
            start, end = Point(x, y), Point(x + _ARROW - ARROW, y)
            tip = Point(x + _ARROW, y)
            x = tip.x
            cell("wider where more flows")
            lines.append(Line(row[-2].id, row[-1].id, straight(start, end), tip, colour, width, dashed=True))
    return replace(picture, shapes=(*picture.shapes, *row), lines=(*picture.lines, *lines))


def with_title(picture: Picture, title: str) -> Picture:
    """`picture` with a title at its upper left."""
    bounds = _bounds(picture)
    text = pretty(title, longest=120)
    width = text_width(text, _TITLE_SIZE)
    box = Box(bounds.left + width / 2, bounds.top + 22, width, 22.0)
    return replace(picture, shapes=(*picture.shapes, _text("title", box, text, "none", _TITLE_SIZE)))


def _bounds(picture: Picture) -> Box:
    boxes = [frame.box for frame in picture.frames] + [shape.box for shape in picture.shapes]
    points = [p for line in picture.lines for p in line.curve]
    return Box.spanning(
        min([box.left for box in boxes] + [p.x for p in points]),
        min([box.bottom for box in boxes] + [p.y for p in points]),
        max([box.right for box in boxes] + [p.x for p in points]),
        max([box.top for box in boxes] + [p.y for p in points]),
    )


def _text(name: str, box: Box, text: str, fill: str, size: float) -> Shape:
    ink = "ink" if fill == "none" else ink_on(fill)
    return Shape(name, box, (text,), "", "text", fill, ink, "none", font_size=size)
