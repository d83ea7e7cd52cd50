"""Loops in C: the second way to write them, from the same program as in NumPy, more of which is in the loop."""

from .expressions import NotInCError, has_template
from .function import CFunction, compile_together, product
from .fusion import fused
from .loop import loop_in_c

__all__ = ["CFunction", "NotInCError", "compile_together", "fused", "has_template", "loop_in_c", "product"]
