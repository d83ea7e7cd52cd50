"""Recurrent layers: `scan` over a cell's equations, for every layer and direction."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..ops import concatenate, ones, stack, swapaxes
from ..ops.creation import argument, flags_checked
from ..random import Generator
from ..scan import scan
from ..scope import scope
from ..tape import Tensor
from ..tree import map_leaves
from .arguments import generator, probability, sizes_checked
from .functional import dropout
from .recurrent import Recurrent
from .steps import GRUStep, LSTMStep, Nonlinearity, RNNStep

__all__ = ["GRU", "LSTM", "RNN"]


class RecurrentLayer(Recurrent):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        residual: bool = False,
        recurrent_dropout: float = 0.0,
        dtype: DTypeLike | None = None,
        rng: Generator | np.random.Generator | int | None = None,
        **options: Any,
    ) -> None:
        if proj_size != 0:  # the LSTM's alone, as it then says
            options["proj_size"] = proj_size
        super().__init__(input_size, hidden_size, bias, options)
        what = type(self).__name__
        sizes_checked(what, num_layers=num_layers)
        flags_checked(what, batch_first=batch_first, bidirectional=bidirectional, residual=residual)
        self.dropout = probability(what, "dropout", dropout)
        self.recurrent_dropout = probability(what, "recurrent_dropout", recurrent_dropout)
        if dropout and num_layers == 1:
            warnings.warn(f"{what}: dropout acts between layers, and num_layers is 1", stacklevel=2)
        self.num_layers, self.batch_first, self.bidirectional = num_layers, batch_first, bidirectional
        self.proj_size, self.residual, self.rng = proj_size, residual, generator(what, rng)
        self._suffixes = [[f"_l{n}", f"_l{n}_reverse"][: 1 + bidirectional] for n in range(num_layers)]
        width = input_size
        for suffixes in self._suffixes:
            for suffix in suffixes:
                self._make_weights(suffix, width, dtype, self.rng.numpy)
            width = self.output_size * len(suffixes)

    def forward(
        self,
        input: ArrayLike,  # noqa: A002 (PyTorch's name)
        hx: Any = None,
        *,
        unroll: bool = False,
        checkpoint: int | Literal["sqrt"] | None = None,
        gates: bool = False,
        rng: Any = None,
    ) -> tuple[Any, ...]:
        """The last layer's outputs and the final states of all: ys, h_n (or, of an LSTM, ys, (h_n, c_n)).

        Args:
            input: xs [T, B, I], or [B, T, I] if `batch_first`, or [T, I]. ys have the same first axes, and D·H
                features: H for each of the D directions.
            hx: h_0 [L·D, B, H], or [L·D, H] for an input of two axes (of an LSTM, the pair (h_0, c_0)): the first
                layer's, then its reverse direction's, then the second layer's. Zeros if not given. The final states
                have the same shapes.
            unroll: puts each step on the tape, for pictures and explanations.
            checkpoint: k or "sqrt" keeps every k-th state only, and works out the rest again; see `scan`.
            gates: returns a third result, all gates and states of every step, as in `gates["l0_reverse"]["z"]`
                [T, B, H] (or [B, T, H], or [T, H]).
            rng: draws the masks of dropout, in the place of the layer's own `rng`.

        Raises `ValueError` for shapes that differ from these.
        """
        flags_checked(self.step.what, unroll=unroll, gates=gates)
        xs = argument(self.step.what, "input", input)
        if xs.ndim not in (2, 3) or xs.shape[-1] != self.input_size:
            batched = f"[B, T, {self.input_size}]" if self.batch_first else f"[T, B, {self.input_size}]"
            raise ValueError(
                f"{self.step.what}: input must have shape {batched} or [T, {self.input_size}], got {xs.shape}"
            )
        starts = self._starts(hx, xs)
        turned = self.batch_first and xs.ndim == 3
        if turned:
            xs = swapaxes(xs, 0, 1)
        rng = self.rng if rng is None else generator(self.step.what, rng)
        p, p_state = (self.dropout, self.recurrent_dropout) if self.training else (0.0, 0.0)
        lasts: list[Any] = []
        found: dict[str, dict[str, Tensor]] = {}
        ys = xs
        for layer, suffixes in enumerate(self._suffixes):
            read = dropout(ys, p, rng=rng) if layer and p else ys
            outs: list[Tensor] = []
            for suffix in suffixes:
                start = starts[len(lasts)]
                mask = dropout(ones(start[0].shape, start[0].dtype), p_state, rng=rng) if p_state else None
                last, parts = self._scan(suffix, start, read, mask, unroll=unroll, checkpoint=checkpoint, gates=gates)
                lasts.append(self.step.parts(last))
                outs.append(parts["h"])
                found[suffix[1:]] = parts
            out = outs[0] if len(outs) == 1 else concatenate(outs, axis=-1)
            ys = out + ys if self.residual and layer else out
        final = self.step.state([_gathered(parts) for parts in zip(*lasts, strict=True)])
        ys = swapaxes(ys, 0, 1) if turned else ys
        if not gates:
            return ys, final
        return ys, final, map_leaves(lambda part: swapaxes(part, 0, 1), found) if turned else found

    def _scan(
        self, suffix: str, start: list[Any], xs: Tensor, mask: Tensor | None, *, gates: bool, **how: Any
    ) -> tuple[Any, dict[str, Tensor]]:
        """The final state of one layer and direction, and its states by name, h among them."""
        step, w = self.step, self._weights(suffix)

        def cell(h: Any, x: Tensor) -> tuple[Any, Any]:
            h, parts = step(w, x, h, mask)
            return h, parts if gates else parts["h"]

        alone = len(self._suffixes) == len(self._suffixes[0]) == 1
        with nullcontext() if alone else scope(suffix[1:]):
            last, ys = scan(cell, step.state(start), xs, reverse=suffix.endswith("_reverse"), **how)
        return last, ys if gates else {"h": ys}

    def _starts(self, hx: Any, xs: Tensor) -> list[list[Any]]:
        """The first states of each layer and direction, in the dtype that theirs, xs and the weights have together."""
        count = self.num_layers * len(self._suffixes[0])
        batch = xs.shape[:-2] if self.batch_first else xs.shape[1:-1]
        weight = self._weights("_l0").weight_hh
        if hx is None:
            dtype = np.result_type(xs.dtype, weight.dtype)
            return [self._zeros(batch, dtype) for _ in range(count)]
        given = self._states(hx, (count, *batch), xs.shape)
        dtype = np.result_type(xs.dtype, weight.dtype, *[s.dtype for s in given])
        given = [s if s.dtype == dtype else s.astype(dtype) for s in given]
        return [[s[i] for s in given] for i in range(count)]


def _gathered(parts: Any) -> Tensor:
    """Along a new first axis."""
    return parts[0].reshape(1, *parts[0].shape) if len(parts) == 1 else stack(parts)


class RNN(RecurrentLayer):
    """h_t = tanh(x_t W_ihᵀ + b_ih + h_{t−1} W_hhᵀ + b_hh) for t = 1 … T, in L layers (PyTorch's `RNN`).

    Layer l reads what layer l − 1 puts out. With `bidirectional`, each layer is two: one goes from t = 1 to T, the
    other from T to 1, and their outputs stand beside each other.

    The parameters are `weight_ih_l0` [H, I] (of later layers [H, D·H]), `weight_hh_l0` [H, H], `bias_ih_l0` and
    `bias_hh_l0` [H], then `weight_ih_l0_reverse` and so on: a PyTorch checkpoint loads by name. All start from
    U(−1/√H, 1/√H).

    Args:
        input_size: I.
        hidden_size: H.
        num_layers: L.
        nonlinearity: "tanh" or "relu" (RNN only).
        bias: whether there are b_ih and b_hh.
        batch_first: whether xs and ys are [B, T, …]; states aren't.
        dropout: the probability that an element of what one layer hands to the next becomes zero, in training mode.
        bidirectional: whether D = 2.
        proj_size: the length of h, if it is not H (LSTM only).
        residual: from the second layer on, adds what a layer reads to what it puts out.
        recurrent_dropout: the probability that an element of h_{t−1} is zero where it enters the products, in training
            mode; the same elements at all steps of a sequence (Gal & Ghahramani 2016).
        dtype: of the parameters; the default dtype if not given.
        rng: a seed or generator, which draws the parameters and then the masks of dropout.
        options: `layer_norm`, as in `LSTMCell`; of an LSTM also `forget_bias`, of a GRU `reset_after`.

    Call it as `ys, h_n = rnn(xs, h_0)`; `rnn(xs, h_0, unroll=True)` puts each step on the tape. See `forward`.
    """

    kind = RNNStep

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Any,
    ) -> None:
        common = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(*common, nonlinearity=nonlinearity, **options)


class LSTM(RecurrentLayer):
    """c_t = f ⊙ c_{t−1} + i ⊙ g,  h_t = o ⊙ tanh(c_t) for t = 1 … T, in L layers (PyTorch's `LSTM`).

    The gates and their order are those of `LSTMCell`, and so are `proj_size`, `forget_bias` and `layer_norm`; layers,
    directions, the names of the parameters and all other arguments those of `RNN`, but for the nonlinearity. With
    `proj_size` P, h has P elements, and the final states are h_n [L·D, B, P] and c_n [L·D, B, H].

    Call it as `ys, (h_n, c_n) = lstm(xs, (h_0, c_0))`.
    """

    kind = LSTMStep


class GRU(RecurrentLayer):
    """h_t = (1 − z) ⊙ n + z ⊙ h_{t−1} for t = 1 … T, in L layers (PyTorch's `GRU`).

    The gates and their order are those of `GRUCell`, and so are `reset_after` and `layer_norm`; layers, directions, the
    names of the parameters and all other arguments those of `RNN`, but for the nonlinearity.

    Call it as `ys, h_n = gru(xs, h_0)`.
    """

    kind = GRUStep
