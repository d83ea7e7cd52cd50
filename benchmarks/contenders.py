"""Who takes part: one training step of the same tanh RNN, written naturally for each library.

Everyone computes, from the same float32 numbers,

    h_t = tanh(x_t W_xh + h_{t−1} W_hh + b),  L = Σ_t ‖h_t‖²  (or ‖h_T‖²),

and ∂L/∂W_xh, ∂L/∂W_hh, ∂L/∂b. A step is: forget the old gradients, forward, loss, backward. No optimiser, no data
loading.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

import tinygrad_rnn as tg

from . import THREADS

__all__ = ["CONTENDERS", "Contender", "Problem", "Shape", "contenders", "disagreement", "entering", "problem"]

Array = np.ndarray[Any, np.dtype[Any]]
Gradients = dict[str, Array]
Loss = Literal["all", "last"]


class Shape(NamedTuple):
    """The length of a sequence, how many there are, and the size of the state (and of an input)."""

    T: int
    B: int
    H: int

    def __str__(self) -> str:
        return f"T={self.T} B={self.B} H={self.H}"


@dataclass(frozen=True)
class Problem:
    """The numbers that everyone gets."""

    shape: Shape
    loss: Loss
    xs: Array  # [T, B, H]
    W_xh: Array  # [H, H]
    W_hh: Array  # [H, H]
    b: Array  # [H]
    h_0: Array  # [B, H], zeros


def problem(shape: Shape, loss: Loss = "all") -> Problem:
    """The problem of a shape, always the same one."""
    T, B, H = shape
    rng = np.random.default_rng(0)

    def uniform(*size: int) -> Array:
        return rng.uniform(-(H**-0.5), H**-0.5, size).astype(np.float32)

    xs = rng.standard_normal((T, B, H), np.float32)
    return Problem(shape, loss, xs, uniform(H, H), uniform(H, H), uniform(H), np.zeros((B, H), np.float32))


@dataclass(frozen=True)
class Contender:
    """A library's way to take the step."""

    key: str
    label: str
    family: str  # "ours", or the library to install for it
    note: str
    build: Callable[[Any], tuple[Callable[[], Any], Callable[[], Gradients]]]  # the step, and reading off its gradients


CONTENDERS: dict[str, Contender] = {}


def entering(table: dict[str, Contender]) -> Callable[..., Callable[[Any], Any]]:
    """A decorator that enters a `build` in the table, under a key, a label, a family and a note."""

    def enter(key: str, label: str, family: str, note: str = "") -> Callable[[Any], Any]:
        def register(build: Any) -> Any:
            table[key] = Contender(key, label, family, note, build)
            return build

        return register

    return enter


_contender = entering(CONTENDERS)


def contenders(keys: Iterable[str], among: Mapping[str, Contender] = CONTENDERS) -> tuple[list[Contender], list[str]]:
    """Those of `keys` whose library is installed, and the names of the libraries that are missing."""
    present: list[Contender] = []
    missing: list[str] = []
    for key in keys:
        contender = among[key]
        if not _is_there(contender.family):
            if contender.family not in missing:
                missing.append(contender.family)
            continue
        if contender.family == "torch":
            import torch

            torch.set_num_threads(THREADS)
        present.append(contender)
    return present, missing


def _is_there(family: str) -> bool:
    try:
        importlib.import_module("numpy" if family == "ours" else family)
    except ImportError:
        return False
    return True


def disagreement(found: Gradients, reference: Gradients) -> float:
    """The largest difference, relative to the largest entry of the reference's gradient."""
    return max(float(np.max(np.abs(found[k] - reference[k])) / np.max(np.abs(reference[k]))) for k in reference)


# ----------------------------------------------------------------------------------------------------------------- ours


@_contender("ours-layer", "ours: nn.RNN, unrolled", "ours")
def _ours_layer(p: Problem) -> Any:
    H = p.shape.H
    rnn = tg.nn.RNN(H, H, dtype=np.float32, rng=0)
    rnn.load_state_dict(
        {"weight_ih_l0": p.W_xh.T, "weight_hh_l0": p.W_hh.T, "bias_ih_l0": p.b, "bias_hh_l0": np.zeros_like(p.b)}
    )

    def step() -> Any:
        rnn.zero_grad()
        ys, h = rnn(p.xs, unroll=True)
        y = ys if p.loss == "all" else h
        loss = (y * y).sum()
        loss.backward()
        return loss

    return step, lambda: {"W_xh": rnn.weight_ih_l0.grad.T, "W_hh": rnn.weight_hh_l0.grad.T, "b": rnn.bias_ih_l0.grad}


@_contender("ours-loop", "ours: the formula in a loop", "ours")
def _ours_loop(p: Problem) -> Any:
    W_xh, W_hh, b = (tg.tensor(w, requires_grad=True) for w in (p.W_xh, p.W_hh, p.b))

    def step() -> Any:
        W_xh.grad = W_hh.grad = b.grad = None
        h, hs = p.h_0, []
        for x in tg.unstack(p.xs):
            h = tg.tanh(x @ W_xh + h @ W_hh + b)
            hs.append(h)
        y = tg.stack(hs) if p.loss == "all" else h
        loss = (y * y).sum()
        loss.backward()
        return loss

    return step, lambda: {"W_xh": W_xh.grad, "W_hh": W_hh.grad, "b": b.grad}


# -------------------------------------------------------------------------------------------------------------- PyTorch


@_contender("torch-loop", "PyTorch: the formula in a loop", "torch")
def _torch_loop(p: Problem) -> Any:
    import torch

    xs, h_0 = torch.tensor(p.xs), torch.tensor(p.h_0)
    W_xh, W_hh, b = (torch.tensor(w, requires_grad=True) for w in (p.W_xh, p.W_hh, p.b))

    def step() -> Any:
        W_xh.grad = W_hh.grad = b.grad = None
        h, hs = h_0, []
        for x in xs.unbind():
            h = torch.tanh(x @ W_xh + h @ W_hh + b)
            hs.append(h)
        y = torch.stack(hs) if p.loss == "all" else h
        loss = (y * y).sum()
        loss.backward()
        return loss

    return step, lambda: {"W_xh": W_xh.grad.numpy(), "W_hh": W_hh.grad.numpy(), "b": b.grad.numpy()}


def _torch_weights(module: Any, p: Problem, suffix: str) -> Callable[[], Gradients]:
    import torch

    weights = {
        "weight_ih": p.W_xh.T.copy(),
        "weight_hh": p.W_hh.T.copy(),
        "bias_ih": p.b,
        "bias_hh": np.zeros_like(p.b),
    }
    module.load_state_dict({name + suffix: torch.tensor(w) for name, w in weights.items()})
    ours = {"W_xh": "weight_ih", "W_hh": "weight_hh", "b": "bias_ih"}
    return lambda: {k: getattr(module, name + suffix).grad.numpy().T for k, name in ours.items()}


@_contender("torch-cell", "PyTorch: nn.RNNCell in a loop", "torch")
def _torch_cell(p: Problem) -> Any:
    import torch

    xs, h_0 = torch.tensor(p.xs), torch.tensor(p.h_0)
    cell = torch.nn.RNNCell(p.shape.H, p.shape.H)
    gradients = _torch_weights(cell, p, "")

    def step() -> Any:
        cell.zero_grad()
        h, hs = h_0, []
        for x in xs.unbind():
            h = cell(x, h)
            hs.append(h)
        y = torch.stack(hs) if p.loss == "all" else h
        loss = (y * y).sum()
        loss.backward()
        return loss

    return step, gradients


@_contender("torch-layer", "PyTorch: nn.RNN, its loop in C++", "torch", "for information")
def _torch_layer(p: Problem) -> Any:
    import torch

    xs = torch.tensor(p.xs)
    rnn = torch.nn.RNN(p.shape.H, p.shape.H)
    gradients = _torch_weights(rnn, p, "_l0")

    def step() -> Any:
        rnn.zero_grad()
        ys, h = rnn(xs)
        y = ys if p.loss == "all" else h
        loss = (y * y).sum()
        loss.backward()
        return loss

    return step, gradients


# ------------------------------------------------------------------------------------------------ HIPS autograd, MyGrad


@_contender("autograd", "HIPS autograd: the formula in a loop", "autograd")
def _autograd(p: Problem) -> Any:
    import autograd
    import autograd.numpy as anp

    def loss(weights: Any) -> Any:
        W_xh, W_hh, b = weights
        h, hs = p.h_0, []
        for x in p.xs:
            h = anp.tanh(x @ W_xh + h @ W_hh + b)
            hs.append(h)
        y = anp.stack(hs) if p.loss == "all" else h
        return anp.sum(y * y)

    value_and_grad = autograd.value_and_grad(loss)
    found: list[Any] = []

    def step() -> Any:
        value, found[:] = value_and_grad((p.W_xh, p.W_hh, p.b))
        return value

    return step, lambda: dict(zip(("W_xh", "W_hh", "b"), found, strict=True))


def _mygrad_step(p: Problem) -> Any:
    import mygrad as mg

    W_xh, W_hh, b = (mg.tensor(w) for w in (p.W_xh, p.W_hh, p.b))

    def step() -> Any:
        for w in (W_xh, W_hh, b):
            w.null_grad()
        h, hs = p.h_0, []
        for x in p.xs:
            h = mg.tanh(x @ W_xh + h @ W_hh + b)
            hs.append(h)
        y = mg.stack(hs) if p.loss == "all" else h
        loss = (y * y).sum()
        loss.backward()
        return loss

    return step, lambda: {"W_xh": W_xh.grad, "W_hh": W_hh.grad, "b": b.grad}


@_contender("mygrad", "MyGrad: the formula in a loop", "mygrad")
def _mygrad(p: Problem) -> Any:
    return _mygrad_step(p)


@_contender("mygrad-unguarded", "MyGrad, its memory guard off", "mygrad", "for information")
def _mygrad_unguarded(p: Problem) -> Any:
    import mygrad as mg

    step, gradients = _mygrad_step(p)
    return mg.mem_guard_off(step), gradients


# ---------------------------------------------------------------------------------------------------------------- NumPy


@_contender("numpy", "NumPy: BPTT by hand", "numpy", "the floor")
def _numpy(p: Problem) -> Any:
    T, B, H = p.shape
    found: Gradients = {}

    def step() -> float:
        a = (p.xs.reshape(T * B, H) @ p.W_xh).reshape(T, B, H)
        a += p.b
        h = np.empty((T + 1, B, H), np.float32)
        h[0] = p.h_0
        for t in range(T):
            np.matmul(h[t], p.W_hh, out=h[t + 1])
            h[t + 1] += a[t]
            np.tanh(h[t + 1], out=h[t + 1])

        slope = 1 - h[1:] * h[1:]
        if p.loss == "all":
            loss, delta = float(np.vdot(h[1:], h[1:])), 2 * h[1:]
        else:
            loss, delta = float(np.vdot(h[T], h[T])), np.zeros((T, B, H), np.float32)
            delta[-1] = 2 * h[T]
        W_hh_T = np.ascontiguousarray(p.W_hh.T)
        delta[-1] *= slope[-1]
        for t in range(T - 2, -1, -1):
            delta[t] += delta[t + 1] @ W_hh_T
            delta[t] *= slope[t]

        rows = delta.reshape(T * B, H)
        found["W_xh"] = p.xs.reshape(T * B, H).T @ rows
        found["W_hh"] = h[:-1].reshape(T * B, H).T @ rows
        found["b"] = rows.sum(axis=0)
        return loss

    return step, lambda: dict(found)
