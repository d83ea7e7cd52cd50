"""How long functions take on this machine, measured in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

__all__ = ["times_in_turns"]


def times_in_turns(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The least time in seconds of each: they are called one after the other, for the machine's speed may change."""
    took = [float("inf")] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            took[i] = min(took[i], time.perf_counter() - start)
    return took
