"""The vanilla RNN as a layer: the cell unrolled over a sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..ops import add, asarray, ascontiguousarray, matmul
from ..scan import unroll
from ..tape import Tensor
from .cells import ACTIVATIONS, Nonlinearity, activation, recurrent_parameters
from .functional import linear
from .module import Module

__all__ = ["RNN"]


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
        self.nonlinearity = activation("RNN", nonlinearity)
        made = recurrent_parameters("RNN", input_size, hidden_size, bias, dtype, rng)
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
        f, weight_hh = ACTIVATIONS[self.nonlinearity], ascontiguousarray(self.weight_hh_l0.T)
        weight_hh.name = "weight_hh_l0.T"
        bias = None if self.bias_ih_l0 is None or self.bias_hh_l0 is None else self.bias_ih_l0 + self.bias_hh_l0

        def step(h: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
            h = f(add(a, matmul(h, weight_hh)))
            return h, h

        a = linear(xs, self.weight_ih_l0, bias)
        a.name = "a"
        h, ys = unroll(step, h_0[0], a)
        return ys, h.reshape(state)
