"""What the others are held against: BPTT by hand in NumPy, and the products of a step alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import by_hand
from .entry import entry
from .task import GATES, Task

__all__ = ["products"]


@entry("numpy", "NumPy by hand", "numpy")
def _by_hand(task: Task) -> Any:
    step = getattr(by_hand, task.cell)(task.weights, task.xs, task.labels)
    return step, lambda: step.gradients


def products(task: Task) -> Callable[[], None]:
    """The matrix products of a step and nothing else: no addition, no activation, no loss."""
    I, H, V, T, B = task.sizes  # noqa: E741
    gates, dtype = GATES[task.cell], task.xs.dtype
    layout = by_hand.fitting(B, H, gates)(T, B, H, dtype)
    w, x = task.weights, task.xs.reshape(T * B, I)
    forward, backward = layout.product(H, gates * H), layout.product(gates * H, H)
    _, from_h = layout.together(gates, 1)
    _, delta = layout.together(gates, T)
    hs = layout.states(T)
    h_in, delta_in = forward.left(hs), backward.left(delta)
    out, back = forward.out(from_h)[0], backward.out(layout.states(1))[0]
    states, deltas = np.zeros((T * B, H), dtype), np.zeros((T * B, gates * H), dtype)
    dz, a, dy = np.zeros((T * B, V), dtype), np.zeros((T * B, gates * H), dtype), np.zeros((T * B, H), dtype)
    shapes = (gates * H, I), (gates * H, H), (V, H)
    d_ih, d_hh, d_out = (np.empty(shape, dtype) for shape in shapes)

    def step() -> None:
        np.matmul(x, w["weight_ih"].T, out=a)
        W, dot = forward.prepared(w["weight_hh"].T), forward.call
        for h in h_in:
            dot(h, W, out)
        np.matmul(states, w["W_out"].T, out=dz)
        np.matmul(dz.T, states, out=d_out)
        np.matmul(dz, w["W_out"], out=dy)
        W, dot = backward.prepared(w["weight_hh"]), backward.call
        for d in delta_in:
            dot(d, W, back)
        np.matmul(deltas.T, x, out=d_ih)
        np.matmul(deltas.T, states, out=d_hh)

    return step


@entry("products", "the products alone, in NumPy", "numpy", "no gradients")
def _products(task: Task) -> Any:
    return products(task), dict
