"""Peak memory of a training step beside PyTorch's layer, and of a checkpointed one beside the plain one."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from ..contenders import contenders
from ..memory import in_a_process, peak
from ..report import Report
from .entry import ENTRIES
from .ours import scanned
from .task import CELLS, SHAPES, Cell, Sizes, task

__all__ = ["checkpoint", "run"]

KEYS = ("ours-scan", "ours-layer", "ours-scan-numpy", "torch-layer", "torch-loop")
TARGET = "torch-layer"
LONG = Sizes(32, 32, 32, 10_000, 8)


def run(report: Report, cells: Sequence[Cell] = CELLS, shapes: Sequence[Sizes] = SHAPES, repeats: int = 3) -> None:
    """One table: the median of how far the resident size rises in a process's first full step."""
    report.heading("Peak memory of a training step, MiB")
    chosen, _ = contenders(KEYS, ENTRIES)
    rows = []
    for cell in cells:
        for sizes in shapes:
            found = {c.key: _median(repeats, c.key, cell, sizes) for c in chosen}
            row = [f"{cell}, {sizes}"]
            for c in chosen:
                ratio = found[c.key] / found[TARGET] if c.key.startswith("ours") and found.get(TARGET) else None
                mark = "" if ratio is None else f" ({ratio:.2f} {'✓' if ratio <= 1 else '✗'})"
                row.append(f"{found[c.key]:.2f}{mark}")
            rows.append(row)
    report.table(["in brackets: of PyTorch's layer's, ✓ ≤ 1", *(c.label for c in chosen)], rows)


def checkpoint(report: Report, cells: Sequence[Cell] = CELLS, sizes: Sizes = LONG, repeats: int = 3) -> None:
    """One table: `checkpoint="sqrt"` beside none, with a loss of the last state (else all states are kept for it)."""
    report.heading(f"Peak memory with checkpoints, {sizes}, L of the last state, MiB")
    rows = []
    for cell in cells:
        plain, sqrt = (_median(repeats, how, cell, sizes) for how in ("plain", "sqrt"))
        rows.append(
            [cell, f"{plain:.2f}", f"{sqrt:.2f}", f"{sqrt / plain:.3f} {'✓' if sqrt < plain / 10 else '✗'} < 0.1"]
        )
    report.table(["", "plain", 'checkpoint="sqrt"', "ratio"], rows)


def _median(repeats: int, *what: Any) -> float:
    return statistics.median(in_a_process("benchmarks.timeloop.memory", *what) for _ in range(repeats))


def _measure(key: str, cell: Cell, sizes: Sizes) -> float:
    """In this process, which should be a fresh one: two short steps first, so that libraries load what they will."""

    def build(sizes: Sizes) -> Any:
        if key in ("plain", "sqrt"):
            return scanned(task(cell, sizes), "sqrt" if key == "sqrt" else None, last=True)[0]
        (contender,), _ = contenders([key], ENTRIES)
        return contender.build(task(cell, sizes))[0]

    short = build(sizes._replace(T=8))
    short()
    short()
    return peak(build(sizes))


if __name__ == "__main__":
    _key, _cell, _sizes = json.loads(sys.argv[1])
    print(_measure(_key, _cell, Sizes(*_sizes)))
