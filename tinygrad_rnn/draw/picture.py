"""A drawing whose every part has its place: what the layout hands to the DOT writer. Points (1/72 inch), y upwards.

Colours are roles of the theme ("edge", "rail3", "faint"), or colours ("#ffffff").
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Box", "Frame", "Line", "Outline", "Picture", "Point", "Shape"]

Outline = Literal["rounded", "box", "ellipse", "dashed", "text"]


class Point(NamedTuple):
    """A place on the page."""

    x: float
    y: float

    def moved(self, dx: float, dy: float) -> "Point":
        """The place `dx` to the right of this one and `dy` above it."""
        return Point(self.x + dx, self.y + dy)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its centre and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """The x of the left side."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """The x of the right side."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """The y of the lower side."""
        return self.y - self.height / 2

    @property
    def top(self) -> float:
        """The y of the upper side."""
        return self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> "Box":
        """The same rectangle, `dx` to the right and `dy` above."""
        return Box(self.x + dx, self.y + dy, self.width, self.height)

    @classmethod
    def spanning(cls, left: float, bottom: float, right: float, top: float) -> "Box":
        """The rectangle between four sides."""
        return cls((left + right) / 2, (bottom + top) / 2, right - left, top - bottom)


@dataclass(frozen=True, slots=True)
class Shape:
    """A node as drawn: lines of text on a filled outline, centred in it."""

    id: str
    box: Box
    lines: tuple[str, ...]
    tooltip: str
    outline: Outline
    fill: str
    ink: str
    border: str
    border_width: float = 0.8
    font_size: float = 11.0


@dataclass(frozen=True, slots=True)
class Line:
    """An edge as drawn: a chain of cubic Bézier curves (1 + 3n points), with an arrow whose tip is at `tip`."""

    tail: str
    head: str
    curve: tuple[Point, ...]
    tip: Point | None
    colour: str
    width: float = 0.8
    dashed: bool = False
    tooltip: str = ""
    backward: bool = False  # a twin of another line, along which a gradient flows


@dataclass(frozen=True, slots=True)
class Frame:
    """A titled box around some of the shapes."""

    id: str
    title: str
    box: Box
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """All of a drawing; `what` says in errors which one it is. One not `placed` has sizes only, and no curves."""

    what: str
    frames: tuple[Frame, ...]
    shapes: tuple[Shape, ...]
    lines: tuple[Line, ...]
    placed: bool = True
