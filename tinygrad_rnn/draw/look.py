"""How nodes look: outline, size, fill and ink by kind and heat; the colours of lines."""

from ..graph import GraphNode
from .heat import DARK_INK, WHITE, Heat, ink_on
from .labels import second_line, text_width, tooltip
from .picture import Box, Shape

__all__ = ["CARRY", "EDGE", "FONT_SIZE", "Look", "rail_colour"]

FONT_SIZE = 11.0
EDGE = "#5b6b80"
CARRY = "#0b3d91"
# Okabe and Ito's palette, told apart by colour-blind readers too; its yellow is darkened, as lines stand on white.
_RAILS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a7000", "#56b4e9", "#e69f00", "#000000")


def rail_colour(number: int) -> str:
    """The colour of the rail with this number, from 0."""
    return _RAILS[number % len(_RAILS)]


class Look:
    """The look of one drawing's nodes: those of `outputs` stand out, and `heat` colours them all."""

    def __init__(self, heat: Heat | None, outputs: frozenset[int]) -> None:
        self.heat = heat
        self.outputs = outputs

    def size(self, node: GraphNode, first_line: str) -> tuple[float, float]:
        """The width and height that two lines of text need, on a grid so that nearly equal nodes are equal."""
        width = max(text_width(first_line, FONT_SIZE), text_width(second_line(node), FONT_SIZE)) + 14
        if node.kind != "operation":  # an ellipse has less room in its corners
            return _on_grid(max(width * 1.2, 58)), 38.0
        return _on_grid(max(width, 58)), 32.0

    def shape(self, node: GraphNode, first_line: str, box: Box, *, carries: bool = False) -> Shape:
        """A node with its two lines, in the place that it got; one that `carries` is read by another step."""
        fill = self.fill(node)
        border, border_width = EDGE, 0.8
        if carries:
            border, border_width = CARRY, 2.0
        elif node.id in self.outputs:
            border, border_width = DARK_INK, 2.0
        return Shape(
            id=f"n{node.id}",
            box=box,
            lines=(first_line, second_line(node)),
            tooltip=tooltip(node),
            outline="rounded" if node.kind == "operation" else "ellipse",
            fill=fill,
            ink=ink_on(fill),
            border=border,
            border_width=border_width,
            font_size=FONT_SIZE,
        )

    def source_line(self, node: GraphNode, name: str) -> str:
        """The one line of what stands before the loop: a parameter with its shape and its norm."""
        return f"{name}   {second_line(node)}"

    def source_size(self, node: GraphNode, name: str) -> tuple[float, float]:
        """The width and height that the one line of a parameter needs."""
        line = self.source_line(node, name)
        return _on_grid(max(text_width(line, FONT_SIZE) + 16, 80)), 21.0

    def source(self, node: GraphNode, line: str, box: Box, colour: str) -> Shape:
        """A parameter, or another value from before the loop, bordered in its rail's colour."""
        fill = self.fill(node)
        return Shape(
            id=f"n{node.id}",
            box=box,
            lines=(line,),
            tooltip=tooltip(node),
            outline="box",
            fill=fill,
            ink=ink_on(fill),
            border=colour,
            border_width=2.2,
            font_size=FONT_SIZE,
        )

    def fill(self, node: GraphNode) -> str:
        """The colour of a node: its heat, or white."""
        return self.heat.fill(node.grad_norm) if self.heat else WHITE


def _on_grid(width: float) -> float:
    return -(-width // 4) * 4.0
