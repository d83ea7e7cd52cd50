"""Our own: the cell in plain operations under `scan`, and the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.nn.functional import cross_entropy, linear, sigmoid

from .entry import entry
from .task import Task

__all__ = ["CELLS", "program", "runs_in_c", "scanned"]


def _rnn(weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any) -> Any:
    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(linear(x, weight_ih, bias_ih) + linear(h, weight_hh, bias_hh))
        return h, h

    return cell


def _lstm(weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any) -> Any:
    def cell(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = tg.split(linear(x, weight_ih, bias_ih) + linear(h, weight_hh, bias_hh), 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tg.tanh(g)
        h = sigmoid(o) * tg.tanh(c)
        return (h, c), h

    return cell


def _gru(weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any) -> Any:
    def cell(h: Any, x: Any) -> Any:
        x_r, x_z, x_n = tg.split(linear(x, weight_ih, bias_ih), 3, axis=-1)
        h_r, h_z, h_n = tg.split(linear(h, weight_hh, bias_hh), 3, axis=-1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tg.tanh(x_n + r * h_n)
        h = (1 - z) * n + z * h
        return h, h

    return cell


CELLS = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}


def scanned(
    task: Task, checkpoint: int | Literal["sqrt"] | None = None, last: bool = False
) -> tuple[Callable[[], Any], Any]:
    """The step, with the cell under `scan`; L of all steps, or with `last` of the last state, keeping no others."""
    weights = {name: tg.tensor(w, requires_grad=True) for name, w in task.weights.items()}
    cell = CELLS[task.cell](*(weights[name] for name in task.recurrent))
    W_out, b_out = weights["W_out"], weights["b_out"]
    start = task.h_0() if task.states == 1 else (task.h_0(), task.h_0())

    def step() -> Any:
        for w in weights.values():
            w.grad = None
        if last:
            state, _ = tg.scan(lambda c, x: (cell(c, x)[0], None), start, task.xs, checkpoint=checkpoint)
            ys, labels = state if task.states == 1 else state[0], task.labels[-1]
        else:
            _, ys = tg.scan(cell, start, task.xs, checkpoint=checkpoint)
            labels = task.labels
        loss = cross_entropy(linear(ys, W_out, b_out), labels)
        loss.backward()
        return loss

    return step, lambda: {name: w.grad for name, w in weights.items()}


def program(task: Task) -> Any:
    """What the cell's loop was compiled to."""
    weights = {name: tg.tensor(w, requires_grad=True) for name, w in task.recurrent.items()}
    start = task.h_0() if task.states == 1 else (task.h_0(), task.h_0())
    return tg.scan_program(CELLS[task.cell](*weights.values()), start, task.xs)


def runs_in_c() -> bool:
    """Whether our loops are run in C, unless something else is said."""
    return "is run in C" in tg.scan_program(lambda h, x: (h + x, None), 0.0, np.ones(100)).explain()


@entry("ours-scan", "ours: the cell under scan", "ours")
def _scan(task: Task) -> Any:
    return scanned(task)


@entry("ours-scan-numpy", "ours: the cell, its loop in NumPy", "ours")
def _scan_in_numpy(task: Task) -> Any:
    return _in_numpy(*scanned(task))


@entry("ours-layer", "ours: the layer", "ours")
def _layer(task: Task) -> Any:
    return _layered(task)


@entry("ours-layer-numpy", "ours: the layer, its loop in NumPy", "ours")
def _layer_in_numpy(task: Task) -> Any:
    return _in_numpy(*_layered(task))


def _in_numpy(step: Callable[[], Any], gradients: Callable[[], Any]) -> Any:
    return tg.scan_backend("numpy")(step), gradients


def _layered(task: Task) -> Any:
    I, H, V, _, _ = task.sizes  # noqa: E741
    dtype = task.xs.dtype
    layer = getattr(tg.nn, task.cell)(I, H, dtype=dtype)
    layer.load_state_dict({f"{name}_l0": w for name, w in task.recurrent.items()})
    out: Any = tg.nn.Linear(H, V, dtype=dtype)
    out.load_state_dict({"weight": task.weights["W_out"], "bias": task.weights["b_out"]})

    def step() -> Any:
        layer.zero_grad()
        out.zero_grad()
        ys, _ = layer(task.xs)
        loss = cross_entropy(out(ys), task.labels)
        loss.backward()
        return loss

    def gradients() -> Any:
        found = {name: getattr(layer, f"{name}_l0").grad for name in task.recurrent}
        return found | {"W_out": out.weight.grad, "b_out": out.bias.grad}

    return step, gradients
