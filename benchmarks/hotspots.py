"""Where our own step spends its time: cProfile, sorted by the time in the function itself."""

from __future__ import annotations

import cProfile
import pstats
import time

from .clock import quiet
from .contenders import CONTENDERS, Loss, Shape, problem

__all__ = ["run"]


def run(key: str, shape: Shape, loss: Loss = "all", lines: int = 25) -> None:
    """Print the profile of a contender's step, and what the step takes without the profiler."""
    step, _ = CONTENDERS[key].build(problem(shape, loss))
    start = time.perf_counter()
    step()
    steps = max(5, int(1 / (time.perf_counter() - start)))
    with quiet():
        start = time.perf_counter()
        for _ in range(steps):
            step()
        plain = (time.perf_counter() - start) / steps
        profile = cProfile.Profile()
        profile.enable()
        for _ in range(steps):
            step()
        profile.disable()
    print(f"{CONTENDERS[key].label}, {shape}: {1e3 * plain:.2f} ms a step without the profiler; {steps} steps with it:")
    pstats.Stats(profile).sort_stats("tottime").print_stats(lines)
