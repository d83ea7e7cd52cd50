"""The tanh RNN: h_t = tanh(x_t W_ihᵀ + b_ih + h_{t−1} W_hhᵀ + b_hh)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .step import Step

__all__ = ["RNN"]


class RNN(Step):
    """A training step: three NumPy calls a time step forward, three backward."""

    blocks = 1

    def prepare(self, T: int, H: int, dtype: Any) -> None:
        """Make the buffers and the views of them."""
        lay = self.layout
        self.product = lay.product(H, H)
        self.a, self.delta, self.hs, scratch = lay.states(T), lay.states(T), lay.states(T + 1), lay.states(1)
        self.scratch, self.out = scratch[0], self.product.out(scratch)[0]
        self.a_t, self.h_in, self.h_out = list(self.a), self.product.left(self.hs[:-1]), list(self.hs[1:])
        self.delta_t, self.delta_in = list(self.delta)[::-1], self.product.left(self.delta)[::-1]

    def __call__(self) -> float:
        """L; the gradients are in `gradients`, under PyTorch's names."""
        w, lay, dot, xs = self.weights, self.layout, self.product.call, self.inputs()
        add, multiply, tanh = np.add, np.multiply, np.tanh
        scratch, out = self.scratch, self.out

        W_ih = np.column_stack([w["weight_ih"], w["bias_ih"] + w["bias_hh"]])
        lay.hoisted(xs, W_ih, self.a[None])
        W = self.product.prepared(w["weight_hh"].T)
        for a, h_in, h in zip(self.a_t, self.h_in, self.h_out, strict=True):
            dot(h_in, W, out)  # h_{t−1} W_hhᵀ
            add(a, scratch, a)
            tanh(a, h)

        loss, dz, self.gradients = self.output(lay.flat(self.hs[1:]))
        lay.hoisted(dz.reshape(lay.T, lay.B, -1), w["W_out"].T, self.delta[None])  # ∂L/∂y_t
        slope = self.a  # 1 − h_t²
        multiply(self.hs[1:], self.hs[1:], slope)
        np.subtract(1, slope, slope)
        W = self.product.prepared(w["weight_hh"])
        scratch[...] = 0
        for delta, delta_in, s in zip(self.delta_t, self.delta_in, reversed(self.a_t), strict=True):
            add(delta, scratch, delta)
            multiply(delta, s, delta)  # δ_t = (∂L/∂y_t + δ_{t+1} W_hh) (1 − h_t²)
            dot(delta_in, W, out)

        rows, g = lay.flat(self.delta), self.gradients
        from_x = np.matmul(rows.T, xs.reshape(len(rows), -1))
        g["weight_ih"], g["bias_ih"] = from_x[:, :-1], from_x[:, -1]
        g["bias_hh"], g["weight_hh"] = g["bias_ih"], np.matmul(rows.T, lay.flat(self.hs[:-1]))
        return loss
