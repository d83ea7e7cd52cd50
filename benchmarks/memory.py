"""Peak memory of one forward and backward of a long unrolled RNN, beside PyTorch's eager loop.

Every measurement is a process of its own: it builds the model and the data, takes one short step, so that libraries
have loaded what they load lazily, hands what malloc has free back to the system, resets the kernel's high-water mark,
takes the step and reads how far the mark rose above the resident size before it. Else malloc is as it comes, for
everyone.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .contenders import CONTENDERS, Loss, Shape, contenders, problem
from .report import Report

__all__ = ["SHAPE", "in_a_process", "measure", "peak", "run"]

SHAPE = Shape(1000, 32, 128)
OURS = ("ours-layer", "ours-loop")
PEERS = ("torch-loop", "torch-cell", "torch-layer", "mygrad", "autograd", "numpy")
TARGET = "torch-loop"
MIB = 1 << 20


def run(report: Report, shape: Shape = SHAPE, loss: Loss = "all", repeats: int = 5) -> None:
    """One table: the median peak of each contender, and ours against it."""
    report.heading(f"Peak memory of forward and backward, {shape}, float32")
    if not Path("/proc/self/clear_refs").exists():
        report.say("left out: it reads Linux's /proc")
        return
    chosen, _ = contenders([*OURS, *PEERS])
    peaks: dict[str, list[float]] = {c.key: [] for c in chosen}
    for _ in range(repeats):
        for c in chosen:
            peaks[c.key].append(_in_a_process(c.key, shape, loss, "resident"))
    median = {key: statistics.median(values) for key, values in peaks.items()}
    states = shape.T * shape.B * shape.H * 4 / MIB
    report.say(f"One array of all states [T, B, H] has {states:.1f} MiB. Medians of {repeats} processes each.")
    rows = []
    for c in chosen:
        row = [c.label, f"{median[c.key]:.1f}", f"{min(peaks[c.key]):.1f} … {max(peaks[c.key]):.1f}"]
        for key in OURS:
            ratio = median[key] / median[c.key]
            mark = f" {'✓' if ratio <= 1 else '✗'} ≤ 1" if c.key == TARGET else ""
            row.append("" if key == c.key else f"{ratio:.2f}{mark}")
        rows.append(row)
    report.table(["", "MiB", "range", "nn.RNN / this", "loop / this"], rows)
    traced = [f"{CONTENDERS[key].label} {_in_a_process(key, shape, loss, 'traced'):.1f} MiB" for key in OURS]
    report.say(f"For information, tracemalloc's peak (arrays and Python objects): {', '.join(traced)}.")


def _in_a_process(key: str, shape: Shape, loss: Loss, how: str) -> float:
    return in_a_process("benchmarks.memory", key, shape, loss, how)


def in_a_process(module: str, *arguments: Any) -> float:
    """The number that a module prints when it is run with these arguments, as JSON."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-m", module, json.dumps(arguments)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def measure(key: str, shape: Shape, loss: Loss, how: str) -> float:
    """The peak of one step above what was there before it, in MiB. In this process, which should be a fresh one."""
    (contender,), _ = contenders([key])
    contender.build(problem(Shape(2, shape.B, shape.H), loss))[0]()
    step, _ = contender.build(problem(shape, loss))
    if how == "traced":
        tracemalloc.start()
        step()
        return tracemalloc.get_traced_memory()[1] / MIB
    return peak(step)


def peak(step: Callable[[], Any]) -> float:
    """How far the resident size rises in a step, in MiB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark is now the resident size
    before = _status("VmRSS")
    step()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """A field of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    _key, _shape, _loss, _how = json.loads(sys.argv[1])
    print(measure(_key, Shape(*_shape), _loss, _how))
