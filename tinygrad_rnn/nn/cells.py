"""Recurrent cells: one step of time. The loop is the caller's, or `scan`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..ops.creation import argument
from ..random import Generator
from .arguments import generator
from .recurrent import Recurrent
from .steps import GRUStep, LSTMStep, Nonlinearity, RNNStep

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class RecurrentCell(Recurrent):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        rng: Generator | np.random.Generator | int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, options)
        self._make_weights("", input_size, dtype, generator(self.step.what, rng).numpy)

    def forward(self, input: ArrayLike, hx: Any = None) -> Any:  # noqa: A002 (PyTorch's name)
        """The next state, of an input and a state: zeros if none is given."""
        x = argument(self.step.what, "input", input)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{self.step.what}: input must have shape [B, {self.input_size}] or [{self.input_size}], got {x.shape}"
            )
        w, lead = self._weights(""), x.shape[:-1]
        old = self._zeros(lead, w.weight_hh.dtype) if hx is None else self._states(hx, lead, x.shape)
        return self.step(w, x, self.step.state(old))[0]


class RNNCell(RecurrentCell):
    """h' = tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh), one step (Elman 1990; PyTorch's `RNNCell`).

    `weight_ih` [H, I], `weight_hh` [H, H], `bias_ih` and `bias_hh` [H] start from U(−1/√H, 1/√H). Input [B, I] or [I],
    state [B, H] or [H]. With `nonlinearity` "relu", max(·, 0) is in the place of tanh. `layer_norm` as in `LSTMCell`.
    """

    kind = RNNStep

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: Nonlinearity = "tanh", **options: Any
    ) -> None:
        super().__init__(input_size, hidden_size, bias, nonlinearity=nonlinearity, **options)


class LSTMCell(RecurrentCell):
    """c' = f ⊙ c + i ⊙ g,  h' = o ⊙ tanh(c'), one step (Hochreiter & Schmidhuber 1997; PyTorch's `LSTMCell`), where

        i = σ(x W_iiᵀ + b_ii + h W_hiᵀ + b_hi)        f = σ(x W_ifᵀ + b_if + h W_hfᵀ + b_hf)
        g = tanh(x W_igᵀ + b_ig + h W_hgᵀ + b_hg)     o = σ(x W_ioᵀ + b_io + h W_hoᵀ + b_ho)

    `weight_ih` [4H, I] has W_ii, W_if, W_ig and W_io one below the other, and so have `weight_hh` [4H, H], `bias_ih`
    and `bias_hh` [4H]. All start from U(−1/√H, 1/√H). Input [B, I] or [I], h and c [B, H] or [H]; the next ones come
    as an `LSTMState`.

    Beyond PyTorch: `forget_bias` is what b_if + b_hf starts from (1 is usual: Jozefowicz et al. 2015). `proj_size` P
    makes h' = (o ⊙ tanh(c')) W_hrᵀ, with `weight_hr` [P, H]. `layer_norm` normalises x W_ihᵀ and h W_hhᵀ before the
    biases, with `gain_ih` and `gain_hh` [4H], and c' within its tanh, with `gain_c` and `offset_c` [H] (Ba, Kiros &
    Hinton 2016).
    """

    kind = LSTMStep


class GRUCell(RecurrentCell):
    """h' = (1 − z) ⊙ n + z ⊙ h, one step (Cho et al. 2014, the reset after the product; PyTorch's `GRUCell`), where

        r = σ(x W_irᵀ + b_ir + h W_hrᵀ + b_hr)        z = σ(x W_izᵀ + b_iz + h W_hzᵀ + b_hz)
        n = tanh(x W_inᵀ + b_in + r ⊙ (h W_hnᵀ + b_hn))

    `weight_ih` [3H, I] has W_ir, W_iz and W_in one below the other, and so have `weight_hh` [3H, H], `bias_ih` and
    `bias_hh` [3H]. All start from U(−1/√H, 1/√H). Input [B, I] or [I], h [B, H] or [H].

    Beyond PyTorch: with `reset_after=False` the reset comes before the product, as Cho et al. first had it,
    n = tanh(x W_inᵀ + b_in + (r ⊙ h) W_hnᵀ + b_hn). `layer_norm` as in `LSTMCell`.
    """

    kind = GRUStep
