"""JAX's jitted scan, and HIPS autograd in a loop: both have NumPy's functions, so they share the cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from .entry import entry
from .task import Task

Weights = tuple[Any, Any, Any, Any]


def _cells(np: Any, sigmoid: Any) -> dict[str, Any]:
    """Functions of the layer's weights, the state and x, in a NumPy's terms."""

    def rnn(w: Weights, state: Any, x: Any) -> Any:
        W_ih, W_hh, b_ih, b_hh = w
        return (np.tanh(x @ W_ih.T + b_ih + state[0] @ W_hh.T + b_hh),)

    def lstm(w: Weights, state: Any, x: Any) -> Any:
        W_ih, W_hh, b_ih, b_hh = w
        h, c = state
        a = x @ W_ih.T + b_ih + h @ W_hh.T + b_hh
        i, f, g, o = np.split(a, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def gru(w: Weights, state: Any, x: Any) -> Any:
        W_ih, W_hh, b_ih, b_hh = w
        (h,) = state
        x_r, x_z, x_n = np.split(x @ W_ih.T + b_ih, 3, -1)
        h_r, h_z, h_n = np.split(h @ W_hh.T + b_hh, 3, -1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)
        return ((1 - z) * n + z * h,)

    return {"RNN": rnn, "LSTM": lstm, "GRU": gru}


@entry("jax", "JAX's jitted scan", "jax")
def _jax(task: Task) -> Any:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", task.xs.dtype == np.float64)
    cell = _cells(jnp, jax.nn.sigmoid)[task.cell]

    def loss(w: Any, xs: Any, labels: Any, start: Any) -> Any:
        recurrent = tuple(w[name] for name in task.recurrent)

        def body(state: Any, x: Any) -> Any:
            state = cell(recurrent, state, x)
            return state, state[0]

        _, ys = jax.lax.scan(body, start, xs)
        log_p = jax.nn.log_softmax(ys @ w["W_out"].T + w["b_out"])
        return -jnp.take_along_axis(log_p, labels[..., None], -1).mean()

    value_and_grad = jax.jit(jax.value_and_grad(loss))
    arguments = jax.tree.map(jnp.asarray, (task.weights, task.xs, task.labels, (task.h_0(),) * task.states))
    found: dict[str, Any] = {}

    def step() -> Any:
        value, gradients = jax.block_until_ready(value_and_grad(*arguments))
        found.update(gradients)
        return value

    return step, lambda: {name: np.asarray(g) for name, g in found.items()}


@entry("autograd", "HIPS autograd, the cell in a loop", "autograd")
def _autograd(task: Task) -> Any:
    import autograd
    import autograd.numpy as anp

    cell = _cells(anp, lambda a: 1 / (1 + anp.exp(-a)))[task.cell]
    T, B, V = task.sizes.T, task.sizes.B, task.sizes.V
    rows, labels, start = np.arange(T * B), task.labels.reshape(-1), (task.h_0(),) * task.states

    def loss(w: Any) -> Any:
        recurrent, state, hs = tuple(w[name] for name in task.recurrent), start, []
        for x in task.xs:
            state = cell(recurrent, state, x)
            hs.append(state[0])
        logits = anp.reshape(anp.stack(hs) @ w["W_out"].T + w["b_out"], (T * B, V))
        return anp.mean(anp.log(anp.sum(anp.exp(logits), axis=1)) - logits[rows, labels])

    value_and_grad = autograd.value_and_grad(loss)
    found: dict[str, Any] = {}

    def step() -> Any:
        value, gradients = value_and_grad(task.weights)
        found.update(gradients)
        return value

    return step, lambda: dict(found)
