"""The time loop beside the peers: `python -m benchmarks timeloop`."""

from . import floor, functional, ours, pytorch
from .entry import ENTRIES

__all__ = ["ENTRIES", "floor", "functional", "ours", "pytorch"]
