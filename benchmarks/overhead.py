"""What recording costs: time per operation, forward and backward, in a chain of small ones, beside PyTorch."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from .clock import quiet
from .report import Report

__all__ = ["run"]

LENGTH = 300
SIZES = (1, 1000)
# Of a library, a recorded array y, another c, and a constant k: written alike in both libraries, result like y.
OPERATIONS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "y + c": lambda lib, y, c, k: y + c,
    "y * c": lambda lib, y, c, k: y * c,
    "y * constant": lambda lib, y, c, k: y * k,
    "y * 1.01": lambda lib, y, c, k: y * 1.01,
    "y / c": lambda lib, y, c, k: y / c,
    "tanh": lambda lib, y, c, k: lib.tanh(y),
    "sigmoid": lambda lib, y, c, k: lib.sigmoid(y),
    "relu": lambda lib, y, c, k: lib.relu(y),
    "sin": lambda lib, y, c, k: lib.sin(y),
    "where": lambda lib, y, c, k: lib.where(k > 0, y, c),
    "maximum": lambda lib, y, c, k: lib.maximum(y, c),
    "y - mean(y)": lambda lib, y, c, k: y - y.mean(),
    "softmax": lambda lib, y, c, k: lib.softmax(y, -1),
    "rolled by slices": lambda lib, y, c, k: lib.concatenate([y[1:], y[:1]]),
    "reshape": lambda lib, y, c, k: y.reshape(-1),
}
Chain = Callable[[], tuple[float, float]]  # seconds per operation, forward and backward


def run(report: Report, rounds: int = 40) -> None:
    """One table: microseconds per operation."""
    report.heading(f"Microseconds per operation in a chain of {LENGTH}, forward + backward, float32")
    makers: dict[str, Callable[[str, int], Chain]] = {"ours": _ours}
    try:
        import torch

        torch.set_num_threads(1)
        makers["PyTorch"] = _torch
    except ImportError:
        report.say("torch is not installed and is left out")
    rows = []
    for size in SIZES:
        for operation in OPERATIONS:
            times = _interleaved({name: make(operation, size) for name, make in makers.items()}, rounds)
            forward = {name: statistics.median(f for f, _ in pairs) for name, pairs in times.items()}
            backward = {name: statistics.median(b for _, b in pairs) for name, pairs in times.items()}
            row = [f"{operation}, {size} number{'s' if size > 1 else ''}"]
            row += [f"{1e6 * forward[name]:.1f} + {1e6 * backward[name]:.1f}" for name in makers]
            if "PyTorch" in makers:
                ratios = [sum(a) / sum(b) for a, b in zip(times["ours"], times["PyTorch"], strict=True)]
                row.append(f"{statistics.median(ratios):.2f}")
            rows.append(row)
    report.table(["", *makers, "ours / PyTorch"][: 2 * len(makers)], rows)


def _interleaved(chains: dict[str, Chain], rounds: int) -> dict[str, list[tuple[float, float]]]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in chains}
    with quiet():
        for _ in range(rounds):
            for name, chain in chains.items():
                gc.collect()
                chain()
                times[name].append(chain())
    return times


def _timed(x: Any, apply: Callable[[Any], Any], pull: Callable[[Any], None], leaves: Sequence[Any]) -> Chain:
    def chain() -> tuple[float, float]:
        for leaf in leaves:
            leaf.grad = None
        start = time.perf_counter()
        y = x
        for _ in range(LENGTH):
            y = apply(y)
        middle = time.perf_counter()
        pull(y)
        return (middle - start) / LENGTH, (time.perf_counter() - middle) / LENGTH

    return chain


def _ours(operation: str, size: int) -> Chain:
    x, c = (tg.tensor(np.full(size, v, np.float32), requires_grad=True) for v in (0.5, 0.9))
    k = tg.tensor(np.full(size, 0.99, np.float32))
    return _timed(
        x, lambda y: OPERATIONS[operation](tg, y, c, k), lambda y: y.backward(np.ones(size, np.float32)), (x, c)
    )


def _torch(operation: str, size: int) -> Chain:
    import torch

    x, c = (torch.full((size,), v, requires_grad=True) for v in (0.5, 0.9))
    k = torch.full((size,), 0.99)
    return _timed(x, lambda y: OPERATIONS[operation](torch, y, c, k), lambda y: y.backward(torch.ones(size)), (x, c))
