"""Recurrent cells: one step of time. The loop is the caller's, or `unroll`."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..ops import asarray, relu, sigmoid, split, tanh
from ..scope import scopes
from ..tape import Tensor
from .functional import linear
from .init import uniform
from .linear import sizes_checked
from .module import Module

__all__ = [
    "ACTIVATIONS",
    "GRUCell",
    "LSTMCell",
    "LSTMState",
    "Nonlinearity",
    "RNNCell",
    "activation",
    "recurrent_parameters",
]

ACTIVATIONS = {"tanh": tanh, "relu": relu}
Nonlinearity = Literal["tanh", "relu"]


def activation(what: str, nonlinearity: str) -> Nonlinearity:
    """`nonlinearity`, which must be one that there is."""
    if nonlinearity not in ACTIVATIONS:
        raise ValueError(f"{what}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return nonlinearity  # type: ignore[return-value]


def recurrent_parameters(
    what: str,
    input_size: int,
    hidden_size: int,
    bias: bool,
    dtype: DTypeLike | None,
    rng: np.random.Generator | int | None,
    gates: int = 1,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """W_ih [gates·H, I], W_hh [gates·H, H], b_ih and b_hh [gates·H], drawn from U(−1/√H, 1/√H) in this order."""
    sizes_checked(what, input_size=input_size, hidden_size=hidden_size)
    rng, bound, rows = np.random.default_rng(rng), hidden_size**-0.5, gates * hidden_size
    weights = [uniform((rows, n), bound, rng, dtype) for n in (input_size, hidden_size)]
    biases = [uniform((rows,), bound, rng, dtype) if bias else None for _ in range(2)]
    return weights[0], weights[1], biases[0], biases[1]


class _Cell(Module):
    """What the cells have in common: their parameters, and what x and the state must look like."""

    gates: ClassVar[int] = 1  # how many blocks of H rows the weights have

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        made = recurrent_parameters(type(self).__name__, input_size, hidden_size, bias, dtype, rng, self.gates)
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = made

    def _input(self, x: ArrayLike) -> Tensor:
        x = asarray(x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: x must have shape [B, {self.input_size}] or [{self.input_size}], got {x.shape}"
            )
        return x

    def _state(self, name: str, state: ArrayLike | None, x: Tensor) -> Tensor:
        shape = (*x.shape[:-1], self.hidden_size)
        state = asarray(np.zeros(shape, self.weight_hh.dtype) if state is None else state)
        if state.shape != shape:
            raise ValueError(
                f"{type(self).__name__}: {name} must have shape {list(shape)} for x of shape {x.shape}, "
                f"got {state.shape}"
            )
        return state

    def _from_input(self, x: Tensor) -> Tensor:
        return linear(x, self.weight_ih, self.bias_ih)

    def _from_state(self, h: Tensor) -> Tensor:
        return linear(h, self.weight_hh, self.bias_hh)


def _name_gates(**gates: Tensor) -> None:
    """Call the gates i_3, f_3, … in a loop's third step, i, f, … outside of one: pictures show the names."""
    step = scopes.get().step
    for name, gate in gates.items():
        if gate.requires_grad:  # else it would come on the tape as a named constant
            gate.name = name if step is None else f"{name}_{step}"


class RNNCell(_Cell):
    """h' = tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh), one step (Elman 1990; PyTorch's `RNNCell`).

    `weight_ih` [H, I], `weight_hh` [H, H], `bias_ih` and `bias_hh` [H] start from U(−1/√H, 1/√H). Input [B, I] or
    [I], state [B, H] or [H].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "tanh",
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.nonlinearity = activation("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype=dtype, rng=rng)

    def forward(self, x: ArrayLike, h: ArrayLike | None = None) -> Tensor:
        """The next state; `h` is zeros if not given."""
        x = self._input(x)
        h = self._state("h", h, x)
        return ACTIVATIONS[self.nonlinearity](self._from_input(x) + self._from_state(h))


class LSTMState(NamedTuple):
    """What an LSTM carries from step to step: its output h and its memory c."""

    h: Tensor
    c: Tensor


class LSTMCell(_Cell):
    """c' = f ⊙ c + i ⊙ g,  h' = o ⊙ tanh(c'), one step (Hochreiter & Schmidhuber 1997; PyTorch's `LSTMCell`), where

        i = σ(x W_iiᵀ + b_ii + h W_hiᵀ + b_hi)        f = σ(x W_ifᵀ + b_if + h W_hfᵀ + b_hf)
        g = tanh(x W_igᵀ + b_ig + h W_hgᵀ + b_hg)     o = σ(x W_ioᵀ + b_io + h W_hoᵀ + b_ho)

    `weight_ih` [4H, I] has W_ii, W_if, W_ig and W_io one below the other, and so have `weight_hh` [4H, H], `bias_ih`
    and `bias_hh` [4H]. All start from U(−1/√H, 1/√H). Input [B, I] or [I], h and c [B, H] or [H].
    """

    gates: ClassVar[int] = 4

    def forward(self, x: ArrayLike, state: tuple[ArrayLike, ArrayLike] | None = None) -> LSTMState:
        """The next (h, c); both are zeros if no state is given."""
        x = self._input(x)
        if state is not None and (not isinstance(state, tuple) or len(state) != 2):
            raise TypeError(f"LSTMCell: state must be a pair (h, c), got {_described(state)}")
        h, c = (None, None) if state is None else state
        h, c = self._state("h", h, x), self._state("c", c, x)
        i, f, g, o = split(self._from_input(x) + self._from_state(h), 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * tanh(c)
        _name_gates(i=i, f=f, g=g, o=o, c=c, h=h)
        return LSTMState(h, c)


def _described(state: object) -> str:
    return f"{len(state)} of them" if isinstance(state, tuple) else type(state).__name__


class GRUCell(_Cell):
    """h' = (1 − z) ⊙ n + z ⊙ h, one step (Cho et al. 2014, the reset after the product; PyTorch's `GRUCell`), where

        r = σ(x W_irᵀ + b_ir + h W_hrᵀ + b_hr)        z = σ(x W_izᵀ + b_iz + h W_hzᵀ + b_hz)
        n = tanh(x W_inᵀ + b_in + r ⊙ (h W_hnᵀ + b_hn))

    `weight_ih` [3H, I] has W_ir, W_iz and W_in one below the other, and so have `weight_hh` [3H, H], `bias_ih` and
    `bias_hh` [3H]. All start from U(−1/√H, 1/√H). Input [B, I] or [I], h [B, H] or [H].
    """

    gates: ClassVar[int] = 3

    def forward(self, x: ArrayLike, h: ArrayLike | None = None) -> Tensor:
        """The next state; `h` is zeros if not given."""
        x = self._input(x)
        h = self._state("h", h, x)
        x_r, x_z, x_n = split(self._from_input(x), 3, axis=-1)
        h_r, h_z, h_n = split(self._from_state(h), 3, axis=-1)
        r = sigmoid(x_r + h_r)
        z = sigmoid(x_z + h_z)
        n = tanh(x_n + r * h_n)
        h = (1 - z) * n + z * h
        _name_gates(r=r, z=z, n=n, h=h)
        return h
