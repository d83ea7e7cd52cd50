"""Where the time of a step goes: products, calls, and the rest.

Products: the products of the step alone. Calls: the step with states, inputs and outputs of two numbers and two
sequences, where nothing but calling NumPy and Python's own work is left. The rest is elementwise work and memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..clock import interleaved
from ..report import Report
from .entry import ENTRIES
from .floor import products
from .task import CELLS, SHAPES, Cell, Sizes, task

__all__ = ["run"]


def run(
    report: Report,
    cells: Sequence[Cell] = CELLS,
    shapes: Sequence[Sizes] = SHAPES,
    keys: Sequence[str] = ("ours-scan", "numpy"),
    rounds: int = 7,
) -> None:
    """One table: milliseconds of each part."""
    report.heading("Where a training step's time goes, ms")
    rows = []
    for cell in cells:
        for sizes in shapes:
            whole = task(cell, sizes)
            hollow = task(cell, Sizes(2, 2, 2, sizes.T, min(sizes.B, 2)))
            steps = {"products": products(whole)}
            for key in keys:
                steps[key], steps[f"{key}, calls"] = (ENTRIES[key].build(t)[0] for t in (whole, hollow))
            times = interleaved(steps, rounds, 5 if sizes.T * sizes.B * sizes.H**2 < 1e7 else 1)
            row = [f"{cell}, {sizes}", f"{1e3 * times.median('products'):.2f}"]
            for key in keys:
                total, calls, floor = (1e3 * times.median(k) for k in (key, f"{key}, calls", "products"))
                row.append(f"{total:.2f} = {floor:.2f} + {calls:.2f} + {total - floor - calls:.2f}")
            rows.append(row)
    report.table(["products + calls + rest", "products alone", *(ENTRIES[key].label for key in keys)], rows)
