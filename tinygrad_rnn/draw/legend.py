"""The legend of the heat: a row of swatches with their norms, below the picture."""

from dataclasses import replace

from .heat import DARK_INK, Heat, ink_on, short_number
from .picture import Box, Picture, Shape

__all__ = ["with_legend"]

_SIZE = 10.0
_TITLE, _SWATCH, _HEIGHT = 62.0, 44.0, 16.0


def with_legend(picture: Picture, heat: Heat | None) -> Picture:
    """`picture` with a legend at its lower left; as it is without heat."""
    if heat is None:
        return picture
    boxes = [frame.box for frame in picture.frames] + [shape.box for shape in picture.shapes]
    points = [p for line in picture.lines for p in line.curve]
    left = min([box.left for box in boxes] + [p.x for p in points])
    bottom = min([box.bottom for box in boxes] + [p.y for p in points])
    y = bottom - 18 - _HEIGHT / 2
    row = [_cell("legend", Box(left + _TITLE / 2, y, _TITLE, _HEIGHT), "‖∂L/∂·‖", None)]
    x = left + _TITLE
    for number, norm in enumerate(heat.ticks()):
        text = short_number(norm)
        if number == 0 and heat.floored:
            text = f"≤ {text}"
        row.append(_cell(f"legend{number}", Box(x + _SWATCH / 2, y, _SWATCH, _HEIGHT), text, heat.fill(norm)))
        x += _SWATCH
    return replace(picture, shapes=(*picture.shapes, *row))


def _cell(name: str, box: Box, text: str, fill: str | None) -> Shape:
    return Shape(
        id=name,
        box=box,
        lines=(text,),
        tooltip="",
        outline="text",
        fill=fill or "none",
        ink=ink_on(fill) if fill else DARK_INK,
        border="none",
        font_size=_SIZE,
    )
