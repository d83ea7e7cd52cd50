"""How nodes look: what is written on them, their size, outline, fill and ink by kind and heat."""

from dataclasses import dataclass

from ..graph import GraphNode
from .heat import Heat, ink_on
from .labels import details, numbers, text_width, tooltip
from .picture import Box, Outline, Shape
from .theme import LIGHT, Theme

__all__ = ["CARRY", "EDGE", "FONT_SIZE", "LINE", "Look", "rail_colour"]

FONT_SIZE = 11.0
EDGE, CARRY = "edge", "carry"  # roles, which the theme gives a colour
LINE = 1.2 * FONT_SIZE  # from one line of text to the next, as Graphviz sets them


def rail_colour(number: int) -> str:
    """The role of the rail with this number, from 0: each has its own colour."""
    return f"rail{number}"


@dataclass(frozen=True, slots=True)
class Look:
    """The look of one drawing's nodes: those of `outputs` stand out, and `heat` colours them all."""

    heat: Heat | None  # None: no norms are written
    outputs: frozenset[int]
    theme: Theme = LIGHT
    shapes: bool = True
    values: bool = False

    def size(self, node: GraphNode, first_line: str) -> tuple[float, float]:
        """The width and height that the lines of text need, on a grid so that nearly equal nodes are equal."""
        lines = self._lines(node, first_line)
        if node.kind == "operation":
            width = max(text_width(line, FONT_SIZE) for line in lines)
            return _on_grid(max(width + 14, 58)), round(LINE * len(lines) + 7.6, 1)
        # An ellipse has less room above and below: each line must fit at the height at which it stands.
        height = round(LINE * len(lines) + 12, 1)
        width = 0.0
        for k, line in enumerate(lines):
            edge = abs(k - (len(lines) - 1) / 2) * LINE + FONT_SIZE / 2
            width = max(width, text_width(line, FONT_SIZE) / (1 - (2 * edge / height) ** 2) ** 0.5)
        return _on_grid(max(width + 4, 58)), height

    def shape(self, node: GraphNode, first_line: str, box: Box, *, carries: bool = False) -> Shape:
        """A node with its lines, in the place that it got; one that `carries` is read by another step."""
        border, border_width = EDGE, 0.8
        if carries:
            border, border_width = CARRY, 2.0
        elif node.id in self.outputs:
            border, border_width = "ink", 2.0
        outline: Outline = "rounded" if node.kind == "operation" else "ellipse"
        return self._shape(node, self._lines(node, first_line), box, outline, border, border_width)

    def source_line(self, node: GraphNode, name: str) -> str:
        """The one line of what stands before the loop: a parameter with its shape and its norm."""
        return "   ".join(self._lines(node, name))

    def source_size(self, node: GraphNode, name: str) -> tuple[float, float]:
        """The width and height that the one line of a parameter needs."""
        line = self.source_line(node, name)
        return _on_grid(max(text_width(line, FONT_SIZE) + 14, 80)), 21.0

    def source(self, node: GraphNode, line: str, box: Box, colour: str) -> Shape:
        """A parameter, or another value from before the loop, bordered in its rail's colour."""
        return self._shape(node, (line,), box, "box", colour, 2.2)

    def fill(self, node: GraphNode) -> str:
        """The colour of a node: its heat, or that of a node without a gradient."""
        if self.heat is None or node.grad_norm is None:
            return self.theme.node
        return self.heat.fill(node.grad_norm)

    def _lines(self, node: GraphNode, first_line: str) -> tuple[str, ...]:
        """The name and the operation, then the shape and the norm, then the value: what there is and was asked for."""
        lines = (
            first_line,
            details(node, shape=self.shapes, norm=self.heat is not None),
            numbers(node) if self.values else "",
        )
        return tuple(line for line in lines if line) or ("",)

    def _shape(
        self, node: GraphNode, lines: tuple[str, ...], box: Box, outline: Outline, border: str, border_width: float
    ) -> Shape:
        fill = self.fill(node)
        return Shape(
            id=f"n{node.id}",
            box=box,
            lines=lines,
            tooltip=tooltip(node),
            outline=outline,
            fill=fill,
            ink=ink_on(fill),
            border=border,
            border_width=border_width,
            font_size=FONT_SIZE,
        )


def _on_grid(width: float) -> float:
    return -(-width // 4) * 4.0
