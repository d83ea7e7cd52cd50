"""Loops over time."""

from .scan import scan

__all__ = [
    "scan",
]


def unroll(cell, carry, xs, *, output="y"):  # TEMPORARY until the migration is done
    return scan(cell, carry, xs, unroll=True)
