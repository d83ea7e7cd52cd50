"""Read the program that a cell becomes: an LSTM whose gates are coupled, which nobody has written a backward for.

Shows: `scan_program` (its NumPy code, and what went where), and the compiled loop beside the unrolled one.
"""

import time

import numpy as np

import tinygrad_rnn as tg

rng = np.random.default_rng(0)
T, B, X, H = 100, 8, 16, 32


def weight(name, *shape):
    """A parameter of normally distributed numbers."""
    numbers = rng.standard_normal(shape) / H**0.5
    return tg.tensor(numbers, "float32", requires_grad=True, name=name)


W_x, W_h, b = weights = weight("W_x", 3 * H, X), weight("W_h", 3 * H, H), weight("b", 3 * H)


def cell(state, x):
    """What is forgotten makes room for what is written: the input gate is 1 − f."""
    f, o, g = tg.split(tg.inner(x, W_x) + tg.inner(state["h"], W_h) + b, 3, axis=-1)
    f, o, g = tg.sigmoid(f), tg.sigmoid(o), tg.tanh(g)
    c = f * state["c"] + (1 - f) * g
    h = o * tg.tanh(c)
    return {"h": h, "c": c}, h


zeros = np.zeros((B, H), "float32")
start, xs = {"h": zeros, "c": zeros}, rng.standard_normal((T, B, X)).astype("float32")

program = tg.scan_program(cell, start, xs)
print(program.source)
print(program.explain())


def step(**how):
    """The gradients of one training step, and how long it took."""
    for w in weights:
        w.grad = None
    begun = time.perf_counter()
    _, ys = tg.scan(cell, start, xs, **how)
    (ys * ys).mean().backward()
    return [w.grad for w in weights], time.perf_counter() - begun


ways = {"compiled": {}, "unrolled": {"unroll": True}}
gradients = {name: step(**how)[0] for name, how in ways.items()}
apart = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(*gradients.values(), strict=True))
print(f"\nThe gradients of the two ways are {apart:.0e} of the largest entry apart.")
if apart > 1e-4:
    raise SystemExit("the compiled loop's gradients are not the unrolled loop's")
for name, how in ways.items():
    print(f"{name}: {1000 * min(step(**how)[1] for _ in range(20)):.1f} ms a step")
