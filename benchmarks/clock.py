"""Times that can be compared on a machine whose speed wanders.

Everyone takes a turn in every round, and only ratios within a round count.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Ratio", "Times", "interleaved", "quiet"]


class Ratio(NamedTuple):
    """The median of a ratio over the rounds, and the quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f} … {self.high:.2f}]"


@dataclass(frozen=True)
class Times:
    """Seconds of one step, by contender and round."""

    seconds: Mapping[str, list[float]]

    def median(self, key: str) -> float:
        """A contender's median over the rounds."""
        return statistics.median(self.seconds[key])

    def ratio(self, key: str, other: str) -> Ratio:
        """How long `key` takes in units of `other`, round by round."""
        ratios = [a / b for a, b in zip(self.seconds[key], self.seconds[other], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        return Ratio(median, low, high)


@contextmanager
def quiet() -> Iterator[None]:
    """Take what exists by now (libraries, models, data) out of the garbage collector's sight; it stays on."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def interleaved(
    steps: Mapping[str, Callable[[], Any]], rounds: int, repeat: int = 1, tick: Callable[[], None] = lambda: None
) -> Times:
    """In each round everyone takes one untimed step, to warm the caches, and `repeat` timed ones; who begins changes.

    Before each turn the garbage is collected off the clock, so that nobody pays for another's; within a turn the
    collector runs as usual.
    """
    names = list(steps)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for step in steps.values():
        step()
    with quiet():
        for i in range(rounds):
            k = i % len(names)
            for name in names[k:] + names[:k]:
                step = steps[name]
                gc.collect()
                step()
                start = time.perf_counter()
                for _ in range(repeat):
                    step()
                seconds[name].append((time.perf_counter() - start) / repeat)
            tick()
    return Times(seconds)
