"""A cell of your own in three lines: a leaky RNN, trained to remember the first input of a sequence.

Shows: `scan` for any cell, gradients from the generic backward pass, `check_grads` for the whole of it.
"""

import numpy as np

import tinygrad_rnn as tg

rng = np.random.default_rng(0)
T, B, H = 12, 64, 24
W_xh = tg.tensor(rng.standard_normal((1, H)), requires_grad=True, name="W_xh")
W_hh = tg.tensor(rng.standard_normal((H, H)) / H**0.5, requires_grad=True, name="W_hh")
leak = tg.tensor(np.full(H, 1.5), requires_grad=True, name="leak")
W_hy = tg.tensor(rng.standard_normal((H, 1)) / H**0.5, requires_grad=True, name="W_hy")
parameters = (W_xh, W_hh, leak, W_hy)


def cell(h, x):
    """The three lines: how much to keep, what to write, the mixture."""
    keep = tg.sigmoid(leak)
    new = tg.tanh(x @ W_xh + h @ W_hh)
    return keep * h + (1 - keep) * new, None


def loss_on(xs):
    """Mean squared error of reading xs[0] off the last state."""
    h, _ = tg.scan(cell, np.zeros((xs.shape[1], H)), xs)
    return ((h @ W_hy - xs[0]) ** 2).mean()


rate, momentum = 0.05, 0.9
velocities = [np.zeros(p.shape) for p in parameters]
for step in range(301):
    loss = loss_on(rng.uniform(-1, 1, (T, B, 1)))
    loss.backward()
    for p, v in zip(parameters, velocities, strict=True):
        v *= momentum
        v -= rate * np.clip(p.grad, -1, 1)
        p.data += v
        p.grad = None
    if step % 100 == 0:
        print(f"step {step:3d}   loss {loss.item():.4f}   (guessing 0 gives 0.3333)")

if loss.item() > 0.05:
    raise SystemExit("the cell has not learned to remember")

xs = rng.uniform(-1, 1, (4, 2, 1))
tg.check_grads(
    lambda w: tg.scan(lambda h, x: (tg.tanh(x @ W_xh.detach() + h @ w), None), np.zeros((2, H)), xs)[0], [W_hh.data]
)
print("first and second derivatives through time agree with finite differences")
