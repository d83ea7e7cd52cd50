"""Loops in C: the second way to write them, from the same equations in the same places as in NumPy."""

from .expressions import NotInCError
from .function import CFunction, compile_together, product
from .loop import loop_in_c
from .passes import with_passes

__all__ = ["CFunction", "NotInCError", "compile_together", "loop_in_c", "product", "with_passes"]
