"""PyTorch: its layer, and the same cells in a loop."""

from __future__ import annotations

from typing import Any

from .entry import entry
from .task import Task


def _tensors(task: Task) -> Any:
    import torch

    return torch.tensor(task.xs), torch.tensor(task.labels).reshape(-1)


@entry("torch-layer", "PyTorch's layer", "torch")
def _layer(task: Task) -> Any:
    import torch

    I, H, V, _, _ = task.sizes  # noqa: E741
    xs, labels = _tensors(task)
    layer, out = getattr(torch.nn, task.cell)(I, H, dtype=xs.dtype), torch.nn.Linear(H, V, dtype=xs.dtype)
    layer.load_state_dict({f"{name}_l0": torch.tensor(w) for name, w in task.recurrent.items()})
    out.load_state_dict({"weight": torch.tensor(task.weights["W_out"]), "bias": torch.tensor(task.weights["b_out"])})

    def step() -> Any:
        layer.zero_grad()
        out.zero_grad()
        ys, _ = layer(xs)
        loss = torch.nn.functional.cross_entropy(out(ys).reshape(-1, V), labels)
        loss.backward()
        return loss

    def gradients() -> Any:
        found = {name: getattr(layer, f"{name}_l0").grad.numpy() for name in task.recurrent}
        return found | {"W_out": out.weight.grad.numpy(), "b_out": out.bias.grad.numpy()}

    return step, gradients


@entry("torch-loop", "PyTorch, the cell in a loop", "torch")
def _loop(task: Task) -> Any:
    import torch

    (xs, labels), V = _tensors(task), task.sizes.V
    weights = {name: torch.tensor(w, requires_grad=True) for name, w in task.weights.items()}
    weight_ih, weight_hh, bias_ih, bias_hh, W_out, b_out = weights.values()
    linear, sigmoid, tanh = torch.nn.functional.linear, torch.sigmoid, torch.tanh

    def rnn(state: Any, x: Any) -> Any:
        return (tanh(linear(x, weight_ih, bias_ih) + linear(state[0], weight_hh, bias_hh)),)

    def lstm(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = (linear(x, weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)).chunk(4, -1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    def gru(state: Any, x: Any) -> Any:
        (h,) = state
        x_r, x_z, x_n = linear(x, weight_ih, bias_ih).chunk(3, -1)
        h_r, h_z, h_n = linear(h, weight_hh, bias_hh).chunk(3, -1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + r * h_n)
        return ((1 - z) * n + z * h,)

    cell = {"RNN": rnn, "LSTM": lstm, "GRU": gru}[task.cell]
    start = (torch.tensor(task.h_0()),) * task.states

    def step() -> Any:
        for w in weights.values():
            w.grad = None
        state, hs = start, []
        for x in xs.unbind():
            state = cell(state, x)
            hs.append(state[0])
        logits = linear(torch.stack(hs), W_out, b_out)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), labels)
        loss.backward()
        return loss

    return step, lambda: {name: w.grad.numpy() for name, w in weights.items()}
