"""The tape's gradients held against the derivation by hand: the only file that sees both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import ops
from ..autograd import grad
from ..nn.functional import cross_entropy
from ..nn.module import Module
from ..scan import scan
from ..tape import Tensor
from .double_sum import double_sum
from .model import Activation, Parameters
from .numerical import complex_step
from .recursion import recursion
from .slides import SLIDES

__all__ = ["TOLERANCE", "CharRNN", "Comparison", "Difference", "compare", "draw_parameters", "slides_by_tape"]

# Each way adds up some T·H products a gradient in its own order, so they agree to that many roundings of 1.1e-16, not
# to the last bit. At T = 25, H = 64 they differ by about 1e-15; a wrong formula is off by 1e-2 and more.
TOLERANCE = 1e-12

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": ops.tanh,
    "relu": ops.relu,
    "sigmoid": ops.sigmoid,
    "identity": lambda a: a,
}
_NAMES = ("W_xh", "W_hh", "b_h", "W_hy", "b_y")


class Step(NamedTuple):
    """What a step of the loop reads: a character, and the one that follows it."""

    x: Tensor
    label: Tensor


class CharRNN(Module):
    """The vanilla RNN of seed 000, equation (1), with softmax and cross-entropy summed over the steps.

    h_t = f(W_hh h_{t−1} + W_xh x_t + b_h),  z_t = W_hy h_t + b_y,  L = Σ_t −log softmax(z_t)[label_t]
    """

    def __init__(self, parameters: Parameters, activation: Activation = "tanh") -> None:
        self.f = _ACTIVATIONS[activation]
        self.W_xh, self.W_hh, self.b_h, self.W_hy, self.b_y = (
            ops.tensor(getattr(parameters, name), requires_grad=True) for name in _NAMES
        )
        self.h0 = ops.tensor(parameters.h0, name="h_0")

    def cell(self, h: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """One step: the next state, and the loss of predicting the next character from it."""
        h = self.f(self.W_hh @ h + self.W_xh @ step.x + self.b_h)
        z = self.W_hy @ h + self.b_y
        return h, {"L": cross_entropy(z, step.label)}

    def forward(self, xs: npt.ArrayLike, labels: npt.ArrayLike) -> Tensor:
        """L, for xs [T, I] and labels [T]."""
        _, losses = scan(self.cell, self.h0, Step(ops.asarray(xs), ops.asarray(labels)), unroll=True)
        total = losses["L"].sum()
        total.name = "L"
        return total  # type: ignore[no-any-return]


def draw_parameters(vocabulary: int, hidden: int, seed: int) -> Parameters:
    """Parameters drawn from N(0, 1/fan-in), biases from N(0, 0.01), h_0 = 0: all terms of the derivation are at work.

    Raises `ValueError` if a size is not positive.
    """
    for name, size in (("vocabulary", vocabulary), ("hidden", hidden)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float) -> npt.NDArray[np.float64]:
        return scale * rng.standard_normal(shape)

    return Parameters(
        W_xh=normal(hidden, vocabulary, scale=1.0),  # one-hot: a column of it is all that is read
        W_hh=normal(hidden, hidden, scale=hidden**-0.5),
        b_h=normal(hidden, scale=0.1),
        W_hy=normal(vocabulary, hidden, scale=hidden**-0.5),
        b_y=normal(vocabulary, scale=0.1),
        h0=np.zeros(hidden),
    )


@dataclass(frozen=True)
class Difference:
    """One parameter's gradient found one way, against the tape's."""

    parameter: str
    way: str
    entries: int  # how many are compared
    norm: float  # ‖gradient‖₂ over these entries
    absolute: float  # the largest |difference|
    relative: float  # that over the largest |entry| of the tape's

    @property
    def agrees(self) -> bool:
        """Whether the two are the same but for rounding."""
        return self.relative <= TOLERANCE


@dataclass(frozen=True)
class Comparison:
    """All parameters, all ways."""

    losses: Mapping[str, float]  # by way
    differences: tuple[Difference, ...]
    output: Tensor  # the tape's L, after its backward: for the drawing

    @property
    def agree(self) -> bool:
        """Whether every way gives the tape's gradients and the tape's loss, to `TOLERANCE`."""
        tape = self.losses["tape"]
        losses = all(abs(loss - tape) <= TOLERANCE * max(abs(tape), 1.0) for loss in self.losses.values())
        return losses and all(d.agrees for d in self.differences)


def compare(
    parameters: Parameters,
    xs: npt.ArrayLike,
    labels: npt.ArrayLike,
    activation: Activation = "tanh",
    *,
    samples: int = 20,
    seed: int = 0,
) -> Comparison:
    """The gradients of the five parameters: tape, recursion, double sum, and complex step on `samples` entries each.

    The four share no code; three of them never see the tape.
    """
    model = CharRNN(parameters, activation)
    loss = model(xs, labels)
    loss.backward()
    tape = {name: _grad(getattr(model, name)) for name in _NAMES}

    by_recursion = recursion(parameters, xs, labels, activation)
    by_sum = double_sum(parameters, xs, labels, activation)
    by_step = complex_step(parameters, xs, labels, activation, samples=samples, seed=seed)

    differences = []
    for name in _NAMES:
        sampled = by_step[name]
        differences += [
            _difference(name, "tape", tape[name], tape[name]),
            _difference(name, "recursion", getattr(by_recursion.gradients, name), tape[name]),
            _difference(name, "double sum", getattr(by_sum.gradients, name), tape[name]),
            _difference(name, "complex step", sampled.values, sampled.of(tape[name]), np.max(np.abs(tape[name]))),
        ]
    losses = {"tape": loss.item(), "recursion": float(by_recursion.loss), "double sum": float(by_sum.loss)}
    return Comparison(losses, tuple(differences), loss)


def _grad(parameter: Tensor) -> npt.NDArray[np.float64]:
    found = parameter.grad
    if found is None:
        raise RuntimeError(f"compare: the backward did not reach {parameter.name}")
    return found


def _difference(name: str, way: str, got: Any, want: Any, scale: float | None = None) -> Difference:
    absolute = float(np.max(np.abs(got - want)))
    largest = float(np.max(np.abs(want))) if scale is None else float(scale)
    relative = absolute / largest if largest > 0 else absolute
    return Difference(name, way, int(np.size(got)), float(np.linalg.norm(got)), absolute, relative)


def slides_by_tape() -> tuple[Tensor, dict[str, float]]:
    """The slides' example (checklist D8) on the tape: its loss; values and derivatives by the slides' symbols."""
    W_xh, W_hh, W_hy = (
        ops.tensor(w, requires_grad=True, name=name) for w, name in ((0.6, "W_xh"), (0.9, "W_hh"), (0.8, "W_hy"))
    )
    zs: list[Tensor] = []
    hs: list[Tensor] = []
    os: list[Tensor] = []

    class Example(NamedTuple):
        x: Tensor
        y: Tensor

    def cell(h: Tensor, at: Example) -> tuple[Tensor, dict[str, Tensor]]:
        z = W_hh * h + W_xh * at.x
        h = ops.tanh(z)
        o = W_hy * h
        for seen, found in ((zs, z), (hs, h), (os, o)):
            seen.append(found)
        return h, {"L": (o - at.y) ** 2 / 2}

    _, losses = scan(
        cell, ops.tensor(0.0), Example(ops.tensor([0.5, 0.1, 0.4]), ops.tensor([0.4, 0.2, 0.1])), unroll=True
    )
    loss = losses["L"].sum()
    loss.name = "L"
    wanted = {"dL/dW_xh": W_xh, "dL/dW_hh": W_hh, "dL/dW_hy": W_hy}
    for symbol, tensors in (("δ", zs), ("δh", hs), ("δo", os)):
        wanted |= {f"{symbol}_{t}": tensor for t, tensor in enumerate(tensors, start=1)}
    found = grad(loss, list(wanted.values()), retain_graph=True)
    derivatives = {symbol: g.item() for symbol, g in zip(wanted, found, strict=True)}
    loss.backward()
    values = {
        f"{symbol}_{t}": v.item() for symbol, vs in (("z", zs), ("h", hs), ("o", os)) for t, v in enumerate(vs, 1)
    }
    known = {row.symbol for row in SLIDES}
    return loss, {symbol: v for symbol, v in (values | derivatives | {"L": loss.item()}).items() if symbol in known}
