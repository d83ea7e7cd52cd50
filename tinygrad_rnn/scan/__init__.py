"""Loops over time."""

from .explain import Program, scan_program
from .scan import scan

__all__ = [
    "Program",
    "scan",
    "scan_program",
]
