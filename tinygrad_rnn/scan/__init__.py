"""Loops over time."""

from .unrolled import unroll
