"""Draw an RNN unrolled over five steps, before and after its backward pass.

Writes unrolled.svg into the current directory; open it in a browser.
"""

import numpy as np

import tinygrad_rnn as tg

rng = np.random.default_rng(1)
W_xh = tg.tensor(rng.standard_normal((8, 3)), requires_grad=True, name="W_xh")
W_hh = tg.tensor(rng.standard_normal((8, 8)) / 8**0.5, requires_grad=True, name="W_hh")
W_hy = tg.tensor(rng.standard_normal((3, 8)), requires_grad=True, name="W_hy")


def cell(h, x):
    """Equation (1) without biases."""
    h = tg.tanh(W_hh @ h + W_xh @ x)
    return h, W_hy @ h


xs = np.eye(3)[[0, 1, 2, 0, 1]]
h, ys = tg.scan(cell, tg.tensor(np.zeros(8)), xs, unroll=True)
loss = tg.nn.functional.cross_entropy(ys, np.array([1, 2, 0, 1, 2]), reduction="sum")
loss.name = "L"
print("before backward no node has a gradient:", all(n.grad_norm is None for n in tg.graph(loss).nodes))

loss.backward()
norms = {n.name: n.grad_norm for n in tg.graph(loss).nodes if n.name}
for t in range(5, 0, -1):
    print(f"‖∂L/∂h_{t}‖ = {norms[f'h_{t}']:.3f}")

tg.draw(loss).save("unrolled.svg")
print("wrote unrolled.svg")
