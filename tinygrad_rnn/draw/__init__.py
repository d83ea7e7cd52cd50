"""Drawings of recorded graphs: `draw(graph).save("rnn.svg")`."""

from .drawing import Drawing, draw
from .engine import DrawingError

__all__ = ["Drawing", "DrawingError", "draw"]
