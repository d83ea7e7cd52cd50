"""Loops in C: the second way to write them, from the same equations in the same places as in NumPy."""

from .expressions import NotInCError
from .loop import loop_in_c
from .passes import with_passes

__all__ = ["NotInCError", "loop_in_c", "with_passes"]
