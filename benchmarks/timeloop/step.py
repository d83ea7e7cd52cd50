"""The time of a training step of each cell and shape: ours over each of the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..clock import Times, interleaved
from ..contenders import Contender, contenders, disagreement
from ..report import Report
from .entry import ENTRIES
from .ours import program, runs_in_c
from .task import CELLS, SHAPES, Cell, Sizes, Task, task

__all__ = ["OURS", "run"]

OURS = ("ours-scan", "ours-layer", "ours-scan-numpy", "ours-layer-numpy")
PEERS = ("torch-layer", "torch-loop", "jax", "autograd", "numpy", "products")
REFERENCE = "numpy"
# What issue 5 asks for: ours at most so many times a peer's, at each shape; and as a geometric mean over all.
EACH: dict[str, dict[Cell, float]] = {
    "numpy": {"RNN": 1.05, "LSTM": 1.05, "GRU": 1.05},
    "torch-layer": {"RNN": 1.0, "LSTM": 1.3, "GRU": 1.0},
}
MEAN = {"torch-layer": 0.65, "jax": 0.9}


def run(
    report: Report,
    cells: Sequence[Cell] = CELLS,
    shapes: Sequence[Sizes] = SHAPES,
    keys: Sequence[str] = (),
    rounds: int | None = None,
) -> None:
    """A table for each cell and shape, and one of the geometric means."""
    chosen, missing = contenders(keys or (*OURS, *PEERS), ENTRIES)
    for library in missing:
        report.say(f"{library} is not installed and is left out: pip install 'tinygrad-rnn[peers]'")
    if not runs_in_c():
        report.say("There is no C compiler that works: our loops are all in NumPy.")
    ratios: dict[tuple[str, str], list[float]] = {}
    for cell in cells:
        for sizes in shapes:
            report.heading(f"{cell}, {sizes}")
            loop = program(task(cell, sizes))
            if not loop.compiled:
                report.say(f"✗ ours is the unrolled loop: {loop.explain()}")
            steps = _agreeing(report, chosen, task(cell, sizes))
            repeat = _repeat(sizes)
            times = interleaved(steps, rounds or (15 if repeat > 1 else 7), repeat)
            _table(report, cell, chosen, times)
            for ours in OURS:
                for key in steps:
                    if ours in steps and key != ours:
                        ratios.setdefault((ours, key), []).append(times.ratio(ours, key).median)
    report.heading(f"Geometric means over {len(cells) * len(shapes)} tables: ours / each")
    here = [ours for ours in OURS if any(a == ours for a, _ in ratios)]
    rows = []
    for c in chosen:
        means = [_mean(ratios.get((ours, c.key))) for ours in here]
        rows.append([c.label, *(_marked(mean, MEAN.get(c.key)) for mean in means)])
    report.table(["", *(ENTRIES[ours].label for ours in here)], rows)


def _repeat(sizes: Sizes) -> int:
    return 5 if sizes.T * sizes.B * sizes.H**2 < 1e7 else 1


def _agreeing(report: Report, chosen: Sequence[Contender], task: Task) -> dict[str, Callable[[], Any]]:
    """Everyone's step, after their gradients were found to be the same."""
    step, gradients = ENTRIES[REFERENCE].build(task)
    step()
    reference, steps, worst = gradients(), {}, 0.0
    for c in chosen:
        steps[c.key], gradients = c.build(task)
        steps[c.key]()
        found = gradients()
        if not found:
            continue
        error = disagreement(found, reference)
        if not error < 1e-3:
            raise AssertionError(
                f"{c.label}: the gradients differ by {error:.1e} from NumPy's, {task.cell} {task.sizes}"
            )
        worst = max(worst, error)
    report.say(f"gradients agree: largest difference {worst:.0e} of the largest entry")
    return steps


def _table(report: Report, cell: Cell, chosen: Sequence[Contender], times: Times) -> None:
    here = [key for key in OURS if key in times.seconds]
    rows = []
    for c in chosen:
        row = [f"{c.label}{f' ({c.note})' if c.note else ''}", f"{1e3 * times.median(c.key):.2f}"]
        for key in here:
            ratio = times.ratio(key, c.key)
            row.append("" if key == c.key else _marked(ratio.median, EACH.get(c.key, {}).get(cell), str(ratio)))
        rows.append(row)
    report.table(["", "ms", *(f"{ENTRIES[key].label} / this" for key in here)], rows)


def _mean(ratios: list[float] | None) -> float | None:
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def _marked(value: float | None, target: float | None, shown: str | None = None) -> str:
    if value is None:
        return ""
    shown = shown or f"{value:.2f}"
    return shown if target is None else f"{shown} {'✓' if value <= target else '✗'} ≤ {target:.2f}"
