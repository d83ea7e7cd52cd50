"""The vanilla RNN: a cell, and the layer that unrolls it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..ops import add, asarray, ascontiguousarray, matmul, relu, tanh
from ..scan import unroll
from ..tape import Tensor
from .functional import linear
from .init import uniform
from .linear import sizes_checked
from .module import Module

__all__ = ["RNN", "RNNCell"]

_ACTIVATIONS = {"tanh": tanh, "relu": relu}
Nonlinearity = Literal["tanh", "relu"]


def _activation(what: str, nonlinearity: str) -> Nonlinearity:
    if nonlinearity not in _ACTIVATIONS:
        raise ValueError(f"{what}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return nonlinearity  # type: ignore[return-value]


def _parameters(
    what: str,
    input_size: int,
    hidden_size: int,
    bias: bool,
    dtype: DTypeLike | None,
    rng: np.random.Generator | int | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """W_ih [H, I], W_hh [H, H], b_ih and b_hh [H], drawn from U(−1/√H, 1/√H) in this order."""
    sizes_checked(what, input_size=input_size, hidden_size=hidden_size)
    rng, bound = np.random.default_rng(rng), hidden_size**-0.5
    weights = [uniform((hidden_size, n), bound, rng, dtype) for n in (input_size, hidden_size)]
    biases = [uniform((hidden_size,), bound, rng, dtype) if bias else None for _ in range(2)]
    return weights[0], weights[1], biases[0], biases[1]


class RNNCell(Module):
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
        self.input_size, self.hidden_size = input_size, hidden_size
        self.nonlinearity = _activation("RNNCell", nonlinearity)
        made = _parameters("RNNCell", input_size, hidden_size, bias, dtype, rng)
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = made

    def forward(self, x: ArrayLike, h: ArrayLike | None = None) -> Tensor:
        """The next state; `h` is zeros if not given."""
        x = asarray(x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(f"RNNCell: x must have shape [B, {self.input_size}] or [{self.input_size}], got {x.shape}")
        state = (*x.shape[:-1], self.hidden_size)
        h = asarray(np.zeros(state, self.weight_hh.dtype) if h is None else h)
        if h.shape != state:
            raise ValueError(f"RNNCell: h must have shape {list(state)} for x of shape {x.shape}, got {h.shape}")
        a = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        return _ACTIVATIONS[self.nonlinearity](a)


class RNN(Module):
    """h_t = tanh(x_t W_ihᵀ + b_ih + h_{t−1} W_hhᵀ + b_hh) for t = 1 … T (PyTorch's `RNN`, one layer).

    `weight_ih_l0` [H, I], `weight_hh_l0` [H, H], `bias_ih_l0` and `bias_hh_l0` [H]: a PyTorch checkpoint loads by
    name. They start from U(−1/√H, 1/√H).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.nonlinearity = _activation("RNN", nonlinearity)
        made = _parameters("RNN", input_size, hidden_size, bias, dtype, rng)
        self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0 = made

    def forward(self, xs: ArrayLike, h_0: ArrayLike | None = None) -> tuple[Tensor, Tensor]:
        """All states and the last: xs [T, B, I] gives ys [T, B, H], h_n [1, B, H]; xs [T, I] gives [T, H], [1, H].

        `h_0` has the shape of h_n; zeros if not given. What doesn't need the past, x_t W_ihᵀ and the biases, is
        computed before the loop, for all t in one product.
        """
        xs = asarray(xs)
        if xs.ndim not in (2, 3) or xs.shape[-1] != self.input_size or len(xs) == 0:
            raise ValueError(
                f"RNN: xs must have shape [T, B, {self.input_size}] or [T, {self.input_size}], T >= 1; got {xs.shape}"
            )
        state = (1, *xs.shape[1:-1], self.hidden_size)
        h_0 = asarray(np.zeros(state, self.weight_hh_l0.dtype) if h_0 is None else h_0)
        if h_0.shape != state:
            raise ValueError(f"RNN: h_0 must have shape {list(state)} for xs of shape {xs.shape}, got {h_0.shape}")
        f, weight_hh = _ACTIVATIONS[self.nonlinearity], ascontiguousarray(self.weight_hh_l0.T)
        weight_hh.name = "weight_hh_l0.T"
        bias = None if self.bias_ih_l0 is None or self.bias_hh_l0 is None else self.bias_ih_l0 + self.bias_hh_l0

        def step(h: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
            h = f(add(a, matmul(h, weight_hh)))
            return h, h

        a = linear(xs, self.weight_ih_l0, bias)
        a.name = "a"
        h, ys = unroll(step, h_0[0], a)
        return ys, h.reshape(state)
