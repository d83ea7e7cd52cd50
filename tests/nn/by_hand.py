"""Recurrent layers in plain NumPy, one step, layer and direction at a time: what the layers are held against."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def normalised(a, gain, offset=0.0):
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5) * gain + offset


def product(x, p, which, rows=slice(None)):
    """x Wᵀ + b of some rows, normalised before the bias if there is a gain."""
    a = x @ p[f"weight_{which}"][rows].T
    if f"gain_{which}" in p:
        a = normalised(a, p[f"gain_{which}"][rows])
    return a + p[f"bias_{which}"][rows] if f"bias_{which}" in p else a


def rnn_step(p, x, state, m=1.0, nonlinearity="tanh"):
    """The next state, and everything that the layer shows by name."""
    a = product(x, p, "ih") + product(state["h"] * m, p, "hh")
    h = np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0)
    return {"h": h}


def lstm_step(p, x, state, m=1.0):
    a = product(x, p, "ih") + product(state["h"] * m, p, "hh")
    i, f, g, o = np.split(a, 4, -1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * state["c"] + i * g
    h = o * np.tanh(normalised(c, p["gain_c"], p.get("offset_c", 0.0)) if "gain_c" in p else c)
    if "weight_hr" in p:
        h = h @ p["weight_hr"].T
    return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}


def gru_step(p, x, state, m=1.0, reset_after=True):
    h, H = state["h"], state["h"].shape[-1]
    x_r, x_z, x_n = np.split(product(x, p, "ih"), 3, -1)
    if reset_after:
        h_r, h_z, h_n = np.split(product(h * m, p, "hh"), 3, -1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)
    else:
        h_r, h_z = np.split(product(h * m, p, "hh", slice(2 * H)), 2, -1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + product(r * (h * m), p, "hh", slice(2 * H, None)))
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}


STEPS = {"RNN": rnn_step, "LSTM": lstm_step, "GRU": gru_step}


def layers(kind, parameters, xs, starts, *, residual=False, dropped=None, masks=None, **options):
    """ys, the final states and all gates, of xs [T, …, I] and starts {"h": [L·D, …], ...}.

    `dropped` are the factors on what each layer hands to the next, `masks` those on each layer and direction's h.
    """
    suffixes = [name.removeprefix("weight_ih") for name in parameters if name.startswith("weight_ih")]
    directions = 2 if suffixes[-1].endswith("_reverse") else 1
    gates, finals, ys = {}, [], xs
    for k in range(0, len(suffixes), directions):
        read = ys if k == 0 or dropped is None else ys * dropped[k // directions - 1]
        outs = []
        for j, suffix in enumerate(suffixes[k : k + directions], start=k):
            p = {name.removesuffix(suffix): v for name, v in parameters.items() if name.endswith(suffix)}
            state = {name: start[j] for name, start in starts.items()}
            steps = [None] * len(xs)
            for t in range(len(xs))[:: -1 if suffix.endswith("_reverse") else 1]:
                state = steps[t] = STEPS[kind](p, read[t], state, 1.0 if masks is None else masks[j], **options)
            finals.append(state)
            gates[suffix[1:]] = {name: np.stack([s[name] for s in steps]) for name in steps[0]}
            outs.append(gates[suffix[1:]]["h"])
        out = np.concatenate(outs, -1)
        ys = out + ys if residual and k else out
    return ys, {name: np.stack([f[name] for f in finals]) for name in starts}, gates
