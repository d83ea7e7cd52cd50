"""The LSTM: i, f, g, o = σ, σ, tanh, σ of x_t W_ihᵀ + b_ih + h_{t−1} W_hhᵀ + b_hh; c' = f c + i g; h' = o tanh(c')."""

from __future__ import annotations

from typing import Any

import numpy as np

from .step import BLOCK, Array, Step

__all__ = ["LSTM"]


class LSTM(Step):
    """A training step: eight NumPy calls a time step forward, five backward.

    2σ(a) = tanh(½a) + 1, with the halves of a in the weights: one tanh does all gates, and a step carries 2h. What is
    multiplied lies side by side: i, f with g, c forward; backward, δ with its factors, worked out before the steps.
    """

    blocks = 4

    def prepare(self, T: int, H: int, dtype: Any) -> None:
        """Make the buffers and the views of them."""
        lay = self.layout
        self.scale = np.repeat(np.array([0.5, 0.5, 0.5, 1], dtype), H)[:, None]  # of o, i, f, g
        self.order = (slice(0, H), slice(3 * H, 4 * H)), (slice(H, 4 * H), slice(0, 3 * H))  # here; in PyTorch's blocks
        self.W_ih = np.empty((4 * H, self.inputs.array.shape[2]), dtype)
        self.W_in, self.W_back = np.empty((2, 4 * H, H), dtype)

        # Forward: slots o, i, f, g of step t and c_{t−1}.
        self.forward = lay.product(H, 4 * H)
        self.hs, self.tanh_c, self.gates = lay.states(T + 1), lay.states(T), lay.slots(5, T + 1)
        from_h, matrices = lay.together(4, 1)
        self.from_h, self.from_h_out = from_h[:, 0], self.forward.out(matrices)[0]
        self.pair = lay.slots(2, 1)[:, 0]
        z = self.gates.swapaxes(0, 1)  # a step's slots
        slots = z[:, :4], z[:, :3], z[:, 1:3], z[:, 3:], z[1:, 4], z[1:, 4].reshape(T, 1, -1), self.tanh_c, z[:, 0]
        self.forward_views = list(
            zip(self.forward.left(self.hs[:-1]), *map(list, slots), list(self.hs[1:]), strict=False)
        )

        # Backward: slots ∂c/∂h, δ_o, δ_i, δ_f, δ_g, and what goes on to c_{t−1}; the factors of the same.
        self.backward = lay.product(4 * H, H)
        self.dy, self.factors = lay.states(T), lay.slots(6, min(BLOCK, T))
        self.delta, self.matrices = lay.together(6, T + 1)
        scratch = lay.states(3)
        self.from_delta, self.dh, self.dc = scratch
        self.from_delta_out = self.backward.out(scratch[:1])[0]
        d, f = self.delta.swapaxes(0, 1), self.factors.swapaxes(0, 1)
        of_step = self.dy, d[:, 0], d[:, 1], d[1:, 5], d[:, 2:]
        left = self.backward.left(lay.within(self.matrices, 1, 5))
        by_step = [(*f[t % BLOCK, :2], f[t % BLOCK, 2:]) for t in range(T)]
        self.backward_views = list(zip(*map(list, of_step), left, by_step, strict=False))

    def __call__(self) -> float:
        """L; the gradients are in `gradients`, under PyTorch's names."""
        w, lay, hs, xs = self.weights, self.layout, self.hs, self.inputs()

        W_ih, W_in, W_back = self.W_ih, self.W_in, self.W_back
        for here, there in self.order:
            np.multiply(w["weight_ih"][there], self.scale[here], W_ih[here, :-1])
            np.add(w["bias_ih"][there], w["bias_hh"][there], W_ih[here, -1])
            np.multiply(W_ih[here, -1], self.scale[here, 0], W_ih[here, -1])
            np.multiply(w["weight_hh"][there], self.scale[here] / 2, W_in[here])
            W_back[here] = w["weight_hh"][there]
        lay.hoisted(xs, W_ih, self.gates[:4, :-1])
        self._forward(self.forward.prepared(W_in.T))
        hs *= self.half
        loss, dz, self.gradients = self.output(lay.flat(hs[1:]))
        lay.hoisted(dz.reshape(lay.T, lay.B, -1), w["W_out"].T, self.dy[None])
        self._backward(self.backward.prepared(W_back))

        rows, states, xs = (
            lay.flat(lay.within(self.matrices[:-1], 1, 5)),
            lay.flat(hs[:-1]),
            xs.reshape(-1, xs.shape[2]),
        )
        from_x, from_h = np.empty_like(W_ih), np.empty_like(W_back)
        for here, there in self.order:
            np.matmul(rows[:, here].T, xs, from_x[there])
            np.matmul(rows[:, here].T, states, from_h[there])
        self.gradients |= {"weight_ih": from_x[:, :-1], "weight_hh": from_h, "bias_ih": from_x[:, -1]}
        self.gradients["bias_hh"] = self.gradients["bias_ih"]
        return loss

    def _forward(self, W: Array) -> None:
        dot, add, multiply, tanh, add_up = self.forward.call, np.add, np.multiply, np.tanh, np.dot
        from_h, out, pair, one = self.from_h, self.from_h_out, self.pair, self.one
        halves, pair_rows = np.full((1, 2), self.half), pair.reshape(2, -1)
        for h_in, gates, sigmoids, i_f, g_c, c, c_row, tanh_c, o, h in self.forward_views:
            dot(h_in, W, out)
            add(gates, from_h, gates)
            tanh(gates, gates)
            add(sigmoids, one, sigmoids)
            multiply(i_f, g_c, pair)
            add_up(halves, pair_rows, c_row)  # ½ (2 i g + 2 f c)
            tanh(c, tanh_c)
            multiply(o, tanh_c, h)

    def _backward(self, W: Array) -> None:
        add, multiply, dot, T = np.add, np.multiply, self.backward.call, self.layout.T
        from_delta, out, dh, dc = self.from_delta, self.from_delta_out, self.dh, self.dc
        from_delta[...] = 0
        for start in range((T - 1) // BLOCK * BLOCK, -1, -BLOCK):
            self._factors(start, min(start + BLOCK, T))
            for dy, to_c, of_h, later, of_c, delta, (c_by_h, by_h, by_c) in self.backward_views[start : start + BLOCK][
                ::-1
            ]:
                add(dy, from_delta, dh)
                multiply(c_by_h, dh, to_c)
                multiply(by_h, dh, of_h)
                add(to_c, later, dc)
                multiply(by_c, dc, of_c)
                dot(delta, W, out)

    def _factors(self, start: int, stop: int) -> None:
        """What δ is to be multiplied by, for a block of steps."""
        multiply, subtract, one = np.multiply, np.subtract, self.one
        z, factors, tanh_c = self.gates[:, start:stop], self.factors[:, : stop - start], self.tanh_c[start:stop]
        sigmoids, (o, i, f, g, _) = z[:3], z
        multiply(sigmoids, self.half, sigmoids)
        multiply(sigmoids, sigmoids, factors[1:4])
        subtract(sigmoids, factors[1:4], factors[1:4])
        multiply(factors[1], tanh_c, factors[1])  # o (1 − o) tanh(c)
        multiply(factors[2:4], z[3:], factors[2:4])  # i (1 − i) g, f (1 − f) c_{t−1}
        for a, by, out in ((g, i, factors[4]), (tanh_c, o, factors[0])):
            multiply(a, a, out)
            subtract(one, out, out)
            multiply(out, by, out)
        factors[5] = f
