"""The GRU: r, z = σ(x_t W + b + h W' + b'); n = tanh(x_t W + b + r (h W' + b')); h' = (1 − z) n + z h."""

from __future__ import annotations

from typing import Any

import numpy as np

from .layout import Rows
from .step import BLOCK, Array, Step

__all__ = ["GRU"]


class GRU(Step):
    """A training step: ten NumPy calls a time step forward, four backward.

    2σ(a) = tanh(½a) + 1, with the halves of a and that of r in the weights. All that ∂L/∂h_t is multiplied by lies
    side by side, worked out before the steps.
    """

    blocks = 3

    def prepare(self, T: int, H: int, dtype: Any) -> None:
        """Make the buffers and the views of them."""
        lay = self.layout

        # Forward: slots r, z, the bias of h's share in n, and x's share in n.
        self.forward = lay.product(H, 3 * H)
        self.hs, self.gates, self.pairs = lay.states(T + 1), lay.slots(4, T), lay.slots(2, T)  # pairs: n, 2z (h − n)
        from_h, matrices = lay.together(3, 1)
        self.from_h, self.from_h_out = from_h[:, 0], self.forward.out(matrices)[0]
        v = self.gates.swapaxes(0, 1)  # a step's slots
        n, toward_h = self.pairs
        pair_rows, h_rows = self.pairs.swapaxes(0, 1).reshape(T, 2, -1), self.hs[1:].reshape(T, 1, -1)
        slots = v[:, :3], v[:, :2], v[:, 0], v[:, 2], v[:, 3], v[:, 1], self.hs[:-1], n, toward_h, pair_rows, h_rows
        self.forward_views = list(zip(self.forward.left(self.hs[:-1]), *map(list, slots), strict=True))

        # Backward: slots δ_r, δ_z, δ of h's share in n, δ_n, and what goes on to h_{t−1}; the factors of the same.
        self.backward = lay.product(3 * H, H)
        self.dy, self.factors = lay.states(T), lay.slots(5, min(BLOCK, T))
        self.delta, self.matrices = lay.together(5, T + 1)
        scratch = lay.states(2)
        self.from_delta, self.dh = scratch
        self.from_delta_out = self.backward.out(scratch[:1])[0]
        d, f = self.delta.swapaxes(0, 1), self.factors.swapaxes(0, 1)
        left, by_step = self.backward.left(lay.within(self.matrices, 0, 3)), [f[t % BLOCK] for t in range(T)]
        self.backward_views = list(zip(list(self.dy), list(d[1:, 4]), list(d), left, by_step, strict=False))

    def __call__(self) -> float:
        """L; the gradients are in `gradients`, under PyTorch's names."""
        w, lay, half, H, hs, xs = self.weights, self.layout, self.half, self.layout.H, self.hs, self.inputs()
        b_ih, b_hh, W_hh = w["bias_ih"], w["bias_hh"], w["weight_hh"]
        W_ih = np.column_stack([w["weight_ih"], b_ih])
        W_ih[: 2 * H, -1] += b_hh[: 2 * H]
        W_ih[: 2 * H] *= half
        lay.hoisted(xs, W_ih[: 2 * H], self.gates[:2])
        lay.hoisted(xs, W_ih[2 * H :], self.gates[3:])
        b_share = b_hh[2 * H :] * half
        self.gates[2] = b_share if isinstance(lay, Rows) else b_share[:, None]
        self._forward(self.forward.prepared((W_hh * half).T))
        loss, dlogits, self.gradients = self.output(lay.flat(hs[1:]))
        lay.hoisted(dlogits.reshape(lay.T, lay.B, -1), w["W_out"].T, self.dy[None])
        self._backward(self.backward.prepared(W_hh))

        gradients, rows = self.gradients, lay.flat(lay.within(self.matrices[:-1], 0, 4))
        xs = xs.reshape(len(rows), -1)
        gradients["weight_hh"] = np.matmul(rows[:, : 3 * H].T, lay.flat(hs[:-1]))
        from_x = np.empty_like(W_ih)
        np.matmul(rows[:, : 2 * H].T, xs, from_x[: 2 * H])
        np.matmul(rows[:, 3 * H :].T, xs, from_x[2 * H :])
        gradients["weight_ih"], gradients["bias_ih"] = from_x[:, :-1], from_x[:, -1]
        share = np.matmul(rows[:, 2 * H : 3 * H].T, xs[:, -1])
        gradients["bias_hh"] = np.concatenate([from_x[: 2 * H, -1], share])
        return loss

    def _forward(self, W: Array) -> None:
        dot, add, multiply, subtract, tanh = self.forward.call, np.add, np.multiply, np.subtract, np.tanh
        from_h, out, one, weights = self.from_h, self.from_h_out, self.one, np.array([[1, 0.5]], self.layout.dtype)
        add_up = np.dot
        for h_in, gates, sigmoids, r, share, x_n, z, h, n, toward_h, pair, h_new in self.forward_views:
            dot(h_in, W, out)
            add(gates, from_h, gates)
            tanh(sigmoids, sigmoids)
            add(sigmoids, one, sigmoids)
            multiply(r, share, n)
            add(n, x_n, n)
            tanh(n, n)
            subtract(h, n, toward_h)
            multiply(toward_h, z, toward_h)
            add_up(weights, pair, h_new)  # n + ½ 2z (h − n)

    def _backward(self, W: Array) -> None:
        add, multiply, dot, T = np.add, np.multiply, self.backward.call, self.layout.T
        from_delta, out, dh = self.from_delta, self.from_delta_out, self.dh
        from_delta[...] = 0
        for start in range((T - 1) // BLOCK * BLOCK, -1, -BLOCK):
            self._factors(start, min(start + BLOCK, T))
            for dy, later, of_h, delta, by_h in self.backward_views[start : start + BLOCK][::-1]:
                add(from_delta, dy, dh)
                add(dh, later, dh)
                multiply(by_h, dh, of_h)
                dot(delta, W, out)

    def _factors(self, start: int, stop: int) -> None:
        """What ∂L/∂h_t is to be multiplied by, for a block of steps."""
        add, multiply, subtract, one = np.add, np.multiply, np.subtract, self.one
        v, factors, (n, toward_h) = (
            self.gates[:, start:stop],
            self.factors[:, : stop - start],
            self.pairs[:, start:stop],
        )
        sigmoids, (r, z, share, _), (d_r, d_z, d_share, d_n, on) = v[:2], v, factors
        multiply(sigmoids, self.half, sigmoids)
        subtract(one, sigmoids, factors[:2])
        multiply(n, n, d_n)
        subtract(one, d_n, d_n)
        multiply(d_n, d_z, d_n)  # (1 − n²) (1 − z)
        multiply(d_z, toward_h, d_z)
        multiply(d_z, self.half, d_z)  # (1 − z) z (h − n)
        multiply(d_r, r, d_r)
        add(share, share, share)
        multiply(d_r, share, d_r)
        multiply(d_r, d_n, d_r)  # r (1 − r) (h W' + b') δ_n's factor
        multiply(d_n, r, d_share)
        on[...] = z
