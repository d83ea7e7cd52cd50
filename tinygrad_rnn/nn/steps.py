"""The equations of recurrent cells: one step of time as a function of weights, an input and a state.

A cell module and a layer differ in what is around them; the equations are here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite
from numbers import Real
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..ops import inner, relu, sigmoid, split, tanh
from ..ops import tensor as leaf
from ..ops.creation import flags_checked
from ..scan.trace import Traced
from ..scope import scopes
from ..tape import Tensor
from .functional import layer_norm, linear
from .init import uniform

__all__ = ["GRUStep", "LSTMState", "LSTMStep", "RNNStep", "Step", "Weights"]

Nonlinearity = Literal["tanh", "relu"]
ACTIVATIONS = {"tanh": tanh, "relu": relu}


class LSTMState(NamedTuple):
    """What an LSTM carries from step to step: its output h and its memory c."""

    h: Tensor
    c: Tensor


class Weights(NamedTuple):
    """The parameters of one cell, by PyTorch's names, and those of layer normalisation; `None` for what it has not."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    weight_hr: Tensor | None = None
    gain_ih: Tensor | None = None
    gain_hh: Tensor | None = None
    gain_c: Tensor | None = None
    offset_c: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """The kind of a cell with its options: which weights it has, and its next state.

    With `layer_norm`, the products x W_ihᵀ and h W_hhᵀ are each normalised over all their gates and multiplied by a
    gain, before the biases are added (Ba, Kiros & Hinton 2016). `what` is the name that errors speak of.
    """

    what: str
    layer_norm: bool = False

    gates: ClassVar[int] = 1  # how many blocks of H rows the weights have
    states: ClassVar[tuple[str, ...]] = ("h",)

    def __post_init__(self) -> None:
        flags_checked(self.what, **{f.name: getattr(self, f.name) for f in fields(self) if f.type == "bool"})

    def output_size(self, hidden_size: int) -> int:
        """The length of h."""
        return hidden_size

    def state(self, parts: Sequence[Any]) -> Any:
        """What the loop carries, of as many tensors as there are `states`."""
        return parts[0]

    def parts(self, state: Any) -> Sequence[Any]:
        """The tensors of a state. Raises `TypeError` for what is none."""
        return (state,)

    def weights(
        self, input_size: int, hidden_size: int, bias: bool, dtype: DTypeLike, rng: np.random.Generator
    ) -> Weights:
        """W_ih [gates·H, I], W_hh [gates·H, H], b_ih and b_hh [gates·H], drawn from U(−1/√H, 1/√H) in this order."""
        rows, bound = self.gates * hidden_size, hidden_size**-0.5
        weight_ih, weight_hh = (
            uniform((rows, n), bound, rng, dtype) for n in (input_size, self.output_size(hidden_size))
        )
        bias_ih, bias_hh = (uniform((rows,), bound, rng, dtype) if bias else None for _ in range(2))
        gain_ih, gain_hh = (
            leaf(np.ones(rows), dtype=weight_ih.dtype, requires_grad=True) if self.layer_norm else None
            for _ in range(2)
        )
        return Weights(weight_ih, weight_hh, bias_ih, bias_hh, gain_ih=gain_ih, gain_hh=gain_hh)

    def __call__(self, w: Weights, x: Tensor, state: Any, mask: Tensor | None = None) -> tuple[Any, dict[str, Tensor]]:
        """The next state, and by name all that a picture or a study of the cell shows: gates and states.

        `mask` multiplies the old h where it enters the products (recurrent dropout).
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class RNNStep(Step):
    """h' = f(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh), f = tanh or relu."""

    nonlinearity: Nonlinearity = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nonlinearity not in ACTIVATIONS:
            raise ValueError(f"{self.what}: nonlinearity must be 'tanh' or 'relu', got {self.nonlinearity!r}")

    def __call__(self, w: Weights, x: Tensor, state: Any, mask: Tensor | None = None) -> tuple[Any, dict[str, Tensor]]:
        """The next h."""
        h = ACTIVATIONS[self.nonlinearity](_of_both(w, x, _masked(state, mask)))
        return h, _named(h=h)


@dataclass(frozen=True, kw_only=True)
class LSTMStep(Step):
    """c' = f ⊙ c + i ⊙ g,  h' = o ⊙ tanh(c'), where (i, f, g, o) = (σ, σ, tanh, σ) of x W_ihᵀ + b_ih + h W_hhᵀ + b_hh.

    With `proj_size` P, h' = (o ⊙ tanh(c')) W_hrᵀ is shorter: W_hr [P, H]. With `forget_bias`, the two biases of f start
    from it (and 0) rather than at random. With `layer_norm`, the tanh of h' is of the normalised c'.
    """

    proj_size: int = 0
    forget_bias: float | None = None

    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    def __post_init__(self) -> None:
        super().__post_init__()
        bias = self.forget_bias
        if bias is not None and (not isinstance(bias, Real) or isinstance(bias, bool) or not isfinite(bias)):
            raise ValueError(f"{self.what}: forget_bias must be a finite number, got {bias!r}")

    def output_size(self, hidden_size: int) -> int:
        """The length of h."""
        return self.proj_size or hidden_size

    def state(self, parts: Sequence[Any]) -> LSTMState:
        """(h, c)."""
        return LSTMState(*parts)

    def parts(self, state: Any) -> Sequence[Any]:
        """h and c."""
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            got = f"{len(state)} of them" if isinstance(state, (tuple, list)) else type(state).__name__
            raise TypeError(f"{self.what}: hx must be a pair (h, c), got {got}")
        return state

    def weights(
        self, input_size: int, hidden_size: int, bias: bool, dtype: DTypeLike, rng: np.random.Generator
    ) -> Weights:
        """Those of every cell; W_hr [P, H] from the same distribution, c's gain and offset from 1 and 0."""
        size = self.proj_size
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or not 0 <= size < hidden_size:
            raise ValueError(
                f"{self.what}: proj_size must be a whole number below hidden_size={hidden_size}, got {size!r}"
            )
        if self.forget_bias is not None and not bias:
            raise ValueError(f"{self.what}: forget_bias={self.forget_bias!r} is for a bias, but bias is False")
        w = super().weights(input_size, hidden_size, bias, dtype, rng)
        if self.proj_size:
            w = w._replace(weight_hr=uniform((self.proj_size, hidden_size), hidden_size**-0.5, rng, dtype))
        if self.layer_norm:
            w = w._replace(gain_c=leaf(np.ones(hidden_size), dtype=w.weight_ih.dtype, requires_grad=True))
            if bias:
                w = w._replace(offset_c=leaf(np.zeros(hidden_size), dtype=w.weight_ih.dtype, requires_grad=True))
        if self.forget_bias is not None and w.bias_ih is not None and w.bias_hh is not None:
            forget = slice(hidden_size, 2 * hidden_size)
            w.bias_ih.data[forget], w.bias_hh.data[forget] = self.forget_bias, 0.0
        return w

    def __call__(self, w: Weights, x: Tensor, state: Any, mask: Tensor | None = None) -> tuple[Any, dict[str, Tensor]]:
        """The next (h, c)."""
        h, c = state
        i, f, g, o = split(_of_both(w, x, _masked(h, mask)), 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * tanh(c if w.gain_c is None else layer_norm(c, w.gain_c, w.offset_c))
        if w.weight_hr is not None:
            h = linear(h, w.weight_hr)
        return LSTMState(h, c), _named(i=i, f=f, g=g, o=o, c=c, h=h)


@dataclass(frozen=True, kw_only=True)
class GRUStep(Step):
    """h' = (1 − z) ⊙ n + z ⊙ h, where (r, z) = σ of their rows of x W_ihᵀ + b_ih + h W_hhᵀ + b_hh, and

        n = tanh(x W_inᵀ + b_in + r ⊙ (h W_hnᵀ + b_hn))

    or, where the reset does not come after the product, tanh(x W_inᵀ + b_in + (r ⊙ h) W_hnᵀ + b_hn).
    """

    reset_after: bool = True

    gates: ClassVar[int] = 3

    def __call__(self, w: Weights, x: Tensor, state: Any, mask: Tensor | None = None) -> tuple[Any, dict[str, Tensor]]:
        """The next h."""
        h = _masked(state, mask)
        x_r, x_z, x_n = split(_affine(x, w.weight_ih, w.bias_ih, w.gain_ih), 3, axis=-1)
        if self.reset_after:
            h_r, h_z, h_n = split(_affine(h, w.weight_hh, w.bias_hh, w.gain_hh), 3, axis=-1)
            r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
            n = tanh(x_n + r * h_n)
        else:
            (weight_rz, weight_n), (bias_rz, bias_n), (gain_rz, gain_n) = (
                (None, None) if p is None else split(p, [2 * h.shape[-1]]) for p in (w.weight_hh, w.bias_hh, w.gain_hh)
            )
            h_r, h_z = split(_affine(h, weight_rz, bias_rz, gain_rz), 2, axis=-1)
            r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
            n = tanh(x_n + _affine(r * h, weight_n, bias_n, gain_n))
        h = (1 - z) * n + z * state
        return h, _named(r=r, z=z, n=n, h=h)


def _affine(x: Tensor, weight: Any, bias: Any, gain: Any) -> Tensor:
    """x Wᵀ + b, the product normalised if there is a gain."""
    if gain is None:
        return linear(x, weight, bias)
    product = layer_norm(inner(x, weight), gain)
    return product if bias is None else product + bias


def _of_both(w: Weights, x: Tensor, h: Tensor) -> Tensor:
    """(x W_ihᵀ + b_ih) + (h W_hhᵀ + b_hh)."""
    return _affine(x, w.weight_ih, w.bias_ih, w.gain_ih) + _affine(h, w.weight_hh, w.bias_hh, w.gain_hh)


def _masked(h: Tensor, mask: Tensor | None) -> Tensor:
    return h if mask is None else h * mask


def _named(**parts: Tensor) -> dict[str, Tensor]:
    """The same; they are called i_3, f_3, … in a loop's third step, i, f, … outside of one: pictures show the names."""
    step = scopes.get().step
    for name, part in parts.items():
        # Else it would come on the tape as a named constant. A traced one doesn't know, and comes on no tape.
        if type(part) is Traced or part.requires_grad:
            part.name = name if step is None else f"{name}_{step}"
    return parts
