"""The time of one training step, eager and unrolled, beside the peers."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .clock import Ratio, interleaved
from .contenders import CONTENDERS, Contender, Loss, Shape, contenders, disagreement, problem
from .report import Report

__all__ = ["SHAPES", "keep_memory", "run"]

SHAPES = (Shape(25, 1, 100), Shape(50, 32, 128), Shape(50, 64, 512))
ROUNDS = (60, 30, 10)  # for a small, a middling and a large shape

OURS = ("ours-layer", "ours-loop")
# Below which ratio ours has to stay (issue 2), and at which shapes.
TARGETS: dict[str, tuple[float, tuple[Shape, ...]]] = {
    "torch-loop": (0.8, SHAPES),
    "autograd": (1 / 3, SHAPES[:2]),
    "mygrad": (1 / 3, SHAPES[:2]),
}


def keep_memory() -> None:
    """Tell glibc to keep freed memory, which it otherwise may hand back to the kernel and fetch again at every step."""
    if sys.platform != "linux":
        raise RuntimeError("--keep-memory: mallopt is glibc's; this is not Linux")
    libc = ctypes.CDLL(None)
    for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        libc.mallopt(parameter, 1 << 30)


def run(report: Report, shapes: Sequence[Shape] = SHAPES, loss: Loss = "all", rounds: int | None = None) -> None:
    """Compare the gradients, then the times; one table a shape."""
    chosen, missing = contenders(list(CONTENDERS))
    for library in missing:
        report.say(f"{library} is not installed and is left out: pip install 'tinygrad-rnn[peers]'")
    for shape in shapes:
        report.heading(f"One training step, {shape}, float32")
        steps = _checked(report, chosen, shape, loss)
        work = shape.T * shape.B * shape.H**2
        size = 0 if work < 1e7 else 1 if work < 1e8 else 2
        times = interleaved(steps, rounds or ROUNDS[size], repeat=(5, 2, 1)[size])
        here = [key for key in OURS if key in steps]
        rows = []
        for c in chosen:
            row = [f"{c.label}{f' ({c.note})' if c.note else ''}", f"{1e3 * times.median(c.key):.2f}"]
            row += ["" if key == c.key else _marked(times.ratio(key, c.key), c.key, shape) for key in here]
            rows.append(row)
        report.table(["", "ms", "nn.RNN / this", "loop / this"], rows)


def _checked(report: Report, chosen: Sequence[Contender], shape: Shape, loss: Loss) -> dict[str, Callable[[], Any]]:
    """Everyone's step, after their gradients were found to be the same."""
    p = problem(shape, loss)
    steps: dict[str, Callable[[], Any]] = {}
    reference, worst = None, 0.0
    for c in (CONTENDERS["numpy"], *chosen):
        steps[c.key], gradients = c.build(p)
        steps[c.key]()
        found = gradients()
        reference = reference or found
        error = disagreement(found, reference)
        if not error < 1e-4:
            raise AssertionError(f"{c.label}: the gradients differ by {error:.1e} from NumPy's at {shape}")
        worst = max(worst, error)
    report.say(f"gradients agree: largest difference {worst:.0e} of the largest entry")
    return {c.key: steps[c.key] for c in chosen}


def _marked(ratio: Ratio, peer: str, shape: Shape) -> str:
    target, where = TARGETS.get(peer, (None, ()))
    if target is None or shape not in where:
        return str(ratio)
    return f"{ratio} {'✓' if ratio.median <= target else '✗'} ≤ {target:.2f}"
