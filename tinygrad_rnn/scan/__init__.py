"""Loops over time."""

from .unrolled import unroll

__all__ = [
    "unroll",
]
