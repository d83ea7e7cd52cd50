"""How the time grows with the number of steps, what compiling takes, and what importing takes."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import tinygrad_rnn as tg
from tinygrad_rnn.scan.backend import Backend

from ..clock import quiet
from ..memory import in_a_process
from ..report import Report
from .ours import runs_in_c, scanned
from .task import CELLS, Cell, Sizes, task

__all__ = ["compiling", "importing", "lengths"]

LENGTHS = (1_000, 10_000, 100_000)
SMALL = Sizes(16, 32, 16, 50, 4)


def lengths(report: Report, cells: Sequence[Cell] = CELLS, repeats: int = 3) -> None:
    """One table: microseconds of a training step per time step; the exponent x of T^x between the ends."""
    report.heading(f"Microseconds per time step, I={SMALL.I}, H={SMALL.H}, V={SMALL.V}, B={SMALL.B}")
    rows = []
    for cell in cells:
        found = [_fastest(cell, SMALL._replace(T=T), repeats) / T for T in LENGTHS]
        exponent = 1 + math.log(found[-1] / found[0]) / math.log(LENGTHS[-1] / LENGTHS[0])
        rows.append(
            [cell, *(f"{1e6 * t:.1f}" for t in found), f"{exponent:.2f} {'✓' if exponent <= 1.1 else '✗'} ≤ 1.1"]
        )
    report.table(["", *(f"T={T:,}" for T in LENGTHS), "time grows as T^x, x"], rows)


def _fastest(cell: Cell, sizes: Sizes, repeats: int) -> float:
    step, _ = scanned(task(cell, sizes))
    step()
    found = []
    with quiet():
        for _ in range(repeats):
            start = time.perf_counter()
            step()
            found.append(time.perf_counter() - start)
    return min(found)


def compiling(report: Report, cells: Sequence[Cell] = CELLS, repeats: int = 5) -> None:
    """One table: a cell's first step in a process, less what a later step takes; with its loops in NumPy and in C."""
    report.heading("Milliseconds to compile a cell, forward and backward")
    ways = ["loops in NumPy"]
    ways += ["in C, the first time", "in C, kept on disk from before"] if runs_in_c() else []
    rows = []
    for cell in cells:
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as cache:
                for way in ways:
                    backend = "numpy" if way == ways[0] else "c"
                    found[way].append(in_a_process("benchmarks.timeloop.growth", cell, backend, cache))
        row: list[str] = [cell]
        for times in found.values():
            median = statistics.median(times)
            row.append(f"{median:.1f} [{min(times):.1f} … {max(times):.1f}] {'✓' if median < 50 else '✗'} < 50")
        rows.append(row)
    report.table(["", *ways], rows)


def _compile(cell: Cell, backend: Backend, cache: str) -> float:
    """In this process, which should be a fresh one; another cell goes first, so that the compiler is there."""
    os.environ["TINYGRAD_RNN_CACHE"] = cache
    tg.set_scan_backend(backend)
    other: Cell = "RNN" if cell != "RNN" else "GRU"
    scanned(task(other, SMALL))[0]()
    step, _ = scanned(task(cell, SMALL))
    took = []
    for _ in range(8):
        start = time.perf_counter()
        step()
        took.append(time.perf_counter() - start)
    return 1e3 * (took[0] - statistics.median(took[1:]))


def importing(report: Report, repeats: int = 15) -> None:
    """One line: the time of `import tinygrad_rnn`, NumPy's included, over that of `import numpy`."""
    report.heading("Import time")
    took: dict[str, list[float]] = {"numpy": [], "tinygrad_rnn": []}
    for _ in range(repeats):
        for name, times in took.items():
            code = f"import time; start = time.perf_counter(); import {name}; print(time.perf_counter() - start)"
            done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            times.append(float(done.stdout))
    ratio = statistics.median(a / b for a, b in zip(took["tinygrad_rnn"], took["numpy"], strict=True))
    ms = {name: 1e3 * statistics.median(times) for name, times in took.items()}
    report.say(
        f"import numpy {ms['numpy']:.0f} ms; import tinygrad_rnn, NumPy's included, {ms['tinygrad_rnn']:.0f} ms: "
        f"{ratio:.2f} {'✓' if ratio < 1.5 else '✗'} < 1.5"
    )


if __name__ == "__main__":
    print(_compile(*json.loads(sys.argv[1])))
