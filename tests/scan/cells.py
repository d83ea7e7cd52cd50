"""The table of cells that `scan` must loop over, compiled and unrolled alike.

A row makes a cell, its first carry, its xs and its parameters from a seed and the sizes T (steps), B (batch), I (input)
and H (state). The cell takes its parameters first; what the user writes closes over them:

>>> made = CELLS["rnn_tanh"].make(seed=0, T=5)
>>> carry, ys = tg.scan(lambda h, x: made.cell(made.parameters, h, x), made.carry, made.xs)
>>> carry.shape, ys.shape
((2, 4), (5, 2, 4))
"""

# ruff: noqa: E741 - I is the size of the input
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import ops

__all__ = ["CELLS", "Made", "Row"]


class Made(NamedTuple):
    """A cell and what it works on: trees of arrays. Parameters whose name begins with `frozen` need no gradient."""

    cell: Callable[[Any, Any, Any], tuple[Any, Any]]
    carry: Any
    xs: Any
    parameters: Any
    length: int | None = None  # where there are no xs


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        maker: takes a function that draws an array of a shape, a generator of random numbers, and T, B, I, H.
        compiled: whether `scan` must compile it; `None` where it may or may not.
        smooth: whether it has a derivative everywhere near its numbers, for finite differences in float64.

    """

    maker: Callable[..., Made]
    compiled: bool | None
    smooth: bool

    def make(self, seed: int = 0, T: int = 7, B: int = 2, I: int = 3, H: int = 4) -> Made:
        rng = np.random.default_rng(seed)
        return self.maker(lambda *shape: rng.uniform(-1, 1, shape), rng, T, B, I, H)


CELLS: dict[str, Row] = {}


def row(compiled=True, smooth=True):
    """Put a maker into the table under its own name."""

    def put(maker):
        CELLS[maker.__name__] = Row(maker, compiled, smooth)
        return maker

    return put


# ----------------------------------------------------------------------------------------------------- the usual cells


class State(NamedTuple):
    h: Any
    c: Any


def elman(nonlinearity):
    def cell(p, h, x):
        h = nonlinearity(x @ p["W"] + h @ p["U"] + p["b"])
        return h, h

    return cell


@row()
def rnn_tanh(draw, rng, T, B, I, H):
    return Made(elman(tg.tanh), draw(B, H), draw(T, B, I), {"W": draw(I, H), "U": draw(H, H), "b": draw(H)})


@row(smooth=False)
def rnn_relu(draw, rng, T, B, I, H):
    return Made(elman(tg.relu), draw(B, H), draw(T, B, I), {"W": draw(I, H), "U": draw(H, H) / 2, "b": draw(H)})


@row(smooth=False)
def rnn_float32(draw, rng, T, B, I, H):
    made = rnn_tanh(draw, rng, T, B, I, H)
    parameters = {name: a.astype(np.float32) for name, a in made.parameters.items()}
    return Made(made.cell, made.carry.astype(np.float32), made.xs.astype(np.float32), parameters)


@row()
def rnn_of_columns(draw, rng, T, B, I, H):
    """As in textbooks: W x + U h."""

    def cell(p, h, x):
        h = tg.tanh(p["W"] @ x + p["U"] @ h + p["b"])
        return h, p["V"] @ h

    parameters = {"W": draw(H, I), "U": draw(H, H), "b": draw(H, 1), "V": draw(3, H)}
    return Made(cell, draw(H, B), draw(T, I, B), parameters)


@row()
def lstm(draw, rng, T, B, I, H):
    def cell(p, carry, x):
        h, c = carry
        i, f, g, o = tg.split(x @ p["W"] + h @ p["U"] + p["b"], 4, axis=-1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(c)
        return (h, c), h

    parameters = {"W": draw(I, 4 * H), "U": draw(H, 4 * H), "b": draw(4 * H)}
    return Made(cell, (draw(B, H), draw(B, H)), draw(T, B, I), parameters)


@row()
def lstm_of_four_products(draw, rng, T, B, I, H):
    def cell(p, state, x):
        i, f, o = (tg.sigmoid(x @ p[f"W{k}"] + state.h @ p[f"U{k}"] + p[f"b{k}"]) for k in "ifo")
        g = tg.tanh(x @ p["Wg"] + state.h @ p["Ug"] + p["bg"])
        c = f * state.c + i * g
        h = o * tg.tanh(c)
        return State(h, c), h @ p["V"]

    parameters = {
        f"{name}{k}": draw(*shape) for k in "ifog" for name, shape in {"W": (I, H), "U": (H, H), "b": (H,)}.items()
    }
    return Made(cell, State(draw(B, H), draw(B, H)), draw(T, B, I), parameters | {"V": draw(H, 2)})


@row()
def gru_reset_before(draw, rng, T, B, I, H):
    """Cho et al. 2014: n = tanh(W x + U (r ⊙ h))."""

    def cell(p, h, x):
        r, z = tg.split(tg.sigmoid(x @ p["W"] + h @ p["U"] + p["b"]), 2, axis=-1)
        n = tg.tanh(x @ p["Wn"] + (r * h) @ p["Un"] + p["bn"])
        h = (1 - z) * n + z * h
        return h, h

    gates = {"W": draw(I, 2 * H), "U": draw(H, 2 * H), "b": draw(2 * H)}
    return Made(cell, draw(B, H), draw(T, B, I), gates | {"Wn": draw(I, H), "Un": draw(H, H), "bn": draw(H)})


@row()
def gru_reset_after(draw, rng, T, B, I, H):
    """PyTorch's: n = tanh(W x + r ⊙ (U h + b))."""

    def cell(p, h, x):
        x_r, x_z, x_n = tg.split(x @ p["W"] + p["b"], 3, axis=-1)
        h_r, h_z, h_n = tg.split(h @ p["U"] + p["c"], 3, axis=-1)
        r, z = tg.sigmoid(x_r + h_r), tg.sigmoid(x_z + h_z)
        n = tg.tanh(x_n + r * h_n)
        h = n + z * (h - n)
        return h, h

    parameters = {"W": draw(I, 3 * H), "U": draw(H, 3 * H), "b": draw(3 * H), "c": draw(3 * H)}
    return Made(cell, draw(B, H), draw(T, B, I), parameters)


@row()
def peephole_lstm(draw, rng, T, B, I, H):
    def cell(p, carry, x):
        h, c = carry
        i, f, g, o = tg.split(x @ p["W"] + h @ p["U"] + p["b"], 4, axis=-1)
        i, f = tg.sigmoid(i + p["pi"] * c), tg.sigmoid(f + p["pf"] * c)
        c = f * c + i * tg.tanh(g)
        h = tg.sigmoid(o + p["po"] * c) * tg.tanh(c)
        return (h, c), h

    parameters = {"W": draw(I, 4 * H), "U": draw(H, 4 * H), "b": draw(4 * H)} | {k: draw(H) for k in ("pi", "pf", "po")}
    return Made(cell, (draw(B, H), draw(B, H)), draw(T, B, I), parameters)


@row()
def coupled_gate_lstm(draw, rng, T, B, I, H):
    """The input gate is 1 − f."""

    def cell(p, carry, x):
        f, g, o = tg.split(x @ p["W"] + carry["h"] @ p["U"] + p["b"], 3, axis=-1)
        f = tg.sigmoid(f + 1)
        c = f * carry["c"] + (1 - f) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(c)
        return {"c": c, "h": h}, h

    parameters = {"W": draw(I, 3 * H), "U": draw(H, 3 * H), "b": draw(3 * H)}
    return Made(cell, {"h": draw(B, H), "c": draw(B, H)}, draw(T, B, I), parameters)


def normalised(x, gain, shift):
    centred = x - x.mean(axis=-1, keepdims=True)
    return gain * centred / tg.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5) + shift


@row()
def layernorm_lstm(draw, rng, T, B, I, H):
    def cell(p, carry, x):
        h, c = carry
        gates = normalised(x @ p["W"], p["gx"], 0.0) + normalised(h @ p["U"], p["gh"], p["b"])
        i, f, g, o = tg.split(gates, 4, axis=-1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(normalised(c, p["gc"], p["bc"]))
        return (h, c), h

    parameters = {"W": draw(I, 4 * H), "U": draw(H, 4 * H), "gx": draw(4 * H), "gh": draw(4 * H), "b": draw(4 * H)}
    return Made(cell, (draw(B, H), draw(B, H)), draw(T, B, I), parameters | {"gc": draw(H), "bc": draw(H)})


@row()
def minimal_gated_unit(draw, rng, T, B, I, H):
    def cell(p, h, x):
        f = tg.sigmoid(x @ p["Wf"] + h @ p["Uf"] + p["bf"])
        h = (1 - f) * h + f * tg.tanh(x @ p["W"] + (f * h) @ p["U"] + p["b"])
        return h, h

    parameters = {"Wf": draw(I, H), "Uf": draw(H, H), "bf": draw(H), "W": draw(I, H), "U": draw(H, H), "b": draw(H)}
    return Made(cell, draw(B, H), draw(T, B, I), parameters)


@row()
def linear_recurrence(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = p["a"] * h + x @ p["W"]
        return h, h @ p["C"]

    return Made(cell, draw(B, H), draw(T, B, I), {"a": draw(H), "W": draw(I, H), "C": draw(H, 2)})


# ------------------------------------------------------------------------------------------------------- larger cells


@row()
def residual_stack(draw, rng, T, B, I, H):
    """Three layers in one cell; each adds to what the one below gives."""

    def cell(p, hs, x):
        below, new = x @ p["W"], []
        for layer, h in zip(p["layers"], hs, strict=True):
            h = tg.tanh(below @ layer["W"] + h @ layer["U"] + layer["b"])
            below = below + h
            new.append(h)
        return new, below

    layers = [{"W": draw(H, H), "U": draw(H, H), "b": draw(H)} for _ in range(3)]
    return Made(cell, [draw(B, H) for _ in range(3)], draw(T, B, I), {"W": draw(I, H), "layers": layers})


@row()
def attention(draw, rng, T, B, I, H):
    """Each step attends to a fixed memory of M vectors an example."""

    def cell(p, h, x):
        weights = tg.softmax((p["memory"] @ (h @ p["Q"])[..., None])[..., 0] / np.sqrt(H), axis=-1)
        read = (weights[:, None, :] @ p["memory"])[:, 0, :]
        h = tg.tanh(x @ p["W"] + h @ p["U"] + read @ p["R"])
        return h, {"h": h, "weights": weights}

    parameters = {"memory": draw(B, 5, H), "Q": draw(H, H), "W": draw(I, H), "U": draw(H, H), "R": draw(H, H)}
    return Made(cell, draw(B, H), draw(T, B, I), parameters)


@row()
def language_model(draw, rng, T, B, I, H):
    """Tokens in, each step's mean cross-entropy out: embedding, recurrence, output layer and loss in the cell."""

    def cell(p, h, x):
        token, label = x
        h = tg.tanh(p["table"][token] + h @ p["U"] + p["b"])
        return h, ops.cross_entropy(h @ p["V"] + p["c"], label).mean()

    V = 6
    tokens, labels = rng.integers(0, V, (T, B)), rng.integers(0, V, (T, B))
    parameters = {"table": draw(V, H), "U": draw(H, H), "b": draw(H), "V": draw(H, V), "c": draw(V)}
    return Made(cell, draw(B, H), (tokens, labels), parameters)


@row()
def loss_in_the_carry(draw, rng, T, B, I, H):
    def cell(p, carry, x):
        h, loss = carry
        h = tg.tanh(x["input"] @ p["W"] + h @ p["U"])
        error = h @ p["V"] - x["target"]
        return (h, loss + (error * error).mean()), None

    xs = {"input": draw(T, B, I), "target": draw(T, B, 2)}
    return Made(cell, (draw(B, H), np.zeros(())), xs, {"W": draw(I, H), "U": draw(H, H), "V": draw(H, 2)})


@row()
def dropout_masks(draw, rng, T, B, I, H):
    def cell(p, h, x):
        x, kept_x, kept_h = x["x"], x["kept"][0], x["kept"][1]
        h = tg.tanh((x * kept_x / 0.8) @ p["W"] + (h * kept_h) @ p["U"] + p["b"])
        return h, h

    kept = ((rng.random((T, B, I)) < 0.8).astype(float), rng.random((T, B, H)) < 0.8)
    return Made(cell, draw(B, H), {"x": draw(T, B, I), "kept": kept}, {"W": draw(I, H), "U": draw(H, H), "b": draw(H)})


@row()
def lengths_by_masks(draw, rng, T, B, I, H):
    """Where an example has ended, its state stays."""

    def cell(p, h, x):
        x, going = x
        h = tg.where(going, tg.tanh(x @ p["W"] + h @ p["U"]), h)
        return h, tg.where(going, h, 0.0)

    return Made(cell, draw(B, H), (draw(T, B, I), rng.random((T, B, 1)) < 0.7), {"W": draw(I, H), "U": draw(H, H)})


@row()
def fast_weights(draw, rng, T, B, I, H):
    """The carry is a matrix, to which every step adds an outer product."""

    def cell(p, S, x):
        k, q, v = tg.tanh(x @ p["K"]), x @ p["Q"], x @ p["V"]
        S = 0.9 * S + k[:, :, None] * v[:, None, :]
        return S, tg.einsum("bk,bkv->bv", q, S)

    parameters = {"K": draw(I, H), "Q": draw(I, H), "V": draw(I, 2)}
    return Made(cell, draw(B, H, 2), draw(T, B, I), parameters)


@row()
def shift_register(draw, rng, T, B, I, H):
    """The carry is the last four inputs; a convolution over them."""

    def cell(p, last, x):
        last = tg.concatenate([x[None], last[:-1]])
        return last, tg.tanh(tg.tensordot(p["kernel"], last, 1) * p["gain"])

    return Made(cell, draw(4, B, I), draw(T, B, I), {"kernel": draw(4), "gain": draw(I)})


# ------------------------------------------------------------------------------- what a cell may take, carry and return


@row()
def ignores_input(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(h @ p["U"] + p["b"])
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"U": draw(H, H), "b": draw(H)})


@row()
def no_input(draw, rng, T, B, I, H):
    def cell(p, h, x):
        assert x is None
        h = tg.tanh(h @ p["U"] + p["b"])
        return h, h

    return Made(cell, draw(B, H), None, {"U": draw(H, H), "b": draw(H)}, length=T)


@row()
def ignores_carry(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(x @ p["W"])
        return h, h * p["g"]

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "g": draw(H)})


@row()
def no_carry(draw, rng, T, B, I, H):
    def cell(p, nothing, x):
        return nothing, tg.tanh(x @ p["W"])

    return Made(cell, (), draw(T, B, I), {"W": draw(I, H)})


@row(smooth=False)
def mixed_carry(draw, rng, T, B, I, H):
    """Tensors of several shapes and dtypes, nested; one counts the steps."""

    def cell(p, carry, x):
        h, (c, more) = carry["h"], carry["inner"]
        n = more["n"] + 1
        h = tg.tanh(x @ p["W"] + h @ p["U"] + more["s"] / n)
        c = c * 0.5 + (p["k"] * h.sum(axis=0).astype(np.float32))
        s = more["s"] * 0.9 + (h * h).mean()
        return {"inner": (c, {"n": n, "s": s}), "h": h}, (h, [c, n], {"s": s, "none": None})

    carry = {"h": draw(B, H), "inner": (draw(H).astype(np.float32), {"n": np.int32(0), "s": draw()})}
    return Made(cell, carry, draw(T, B, I), {"W": draw(I, H), "U": draw(H, H), "k": draw(H).astype(np.float32)})


@row(smooth=False)
def only_integers(draw, rng, T, B, I, H):
    def cell(p, pair, x):
        a, b = pair
        return (b, (a + b * x) % 97), a

    return Made(cell, (np.arange(H), np.arange(H) + 1), rng.integers(0, 5, (T, H)), {})


@row()
def unbatched_rnn(draw, rng, T, B, I, H):
    return Made(elman(tg.tanh), draw(H), draw(T, I), {"W": draw(I, H), "U": draw(H, H), "b": draw(H)})


@row()
def unbatched_columns(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(p["W"] @ x + p["U"] @ h + p["b"])
        return h, (p["v"] @ h, h)

    return Made(cell, draw(H), draw(T, I), {"W": draw(H, I), "U": draw(H, H), "b": draw(H), "v": draw(H)})


@row()
def scalar_carry(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(p["w"] * h + p["u"] * x + p["b"])
        return h, h * 2

    return Made(cell, draw(), draw(T), {"w": draw(), "u": draw(), "b": draw()})


@row()
def scalar_carry_of_vectors(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.sin(h + p["w"] @ x)
        return h, h * x

    return Made(cell, draw(), draw(T, I), {"w": draw(I)})


@row()
def nested_inputs(draw, rng, T, B, I, H):
    def cell(p, h, x):
        (a, b), c = x["pair"], x["more"]["c"]
        h = tg.tanh(a @ p["W"] + b * h + c)
        return h, {"outs": (h, [h * c]), "b": b}

    xs = {"pair": (draw(T, B, I), draw(T, 1, H)), "more": {"c": draw(T), "none": None}}
    return Made(cell, draw(B, H), xs, {"W": draw(I, H)})


@row()
def carry_broadcast_to_its_shape(draw, rng, T, B, I, H):
    """Between [H] and [B, H], there and back."""

    def cell(p, h, x):
        out = tg.tanh(h + x @ p["W"])
        return out.mean(axis=0), out

    return Made(cell, draw(H), draw(T, B, I), {"W": draw(I, H)})


@row()
def carry_unchanged(draw, rng, T, B, I, H):
    def cell(p, carry, x):
        h, kept = carry
        h = tg.tanh(x @ p["W"] + h * kept)
        return (h, kept), h

    return Made(cell, (draw(B, H), draw(H)), draw(T, B, I), {"W": draw(I, H)})


@row()
def everything_unchanged(draw, rng, T, B, I, H):
    return Made(lambda p, h, x: (h, x), draw(B, H), draw(T, B, I), {})


@row()
def swapped(draw, rng, T, B, I, H):
    def cell(p, carry, x):
        a, b = carry
        return (b, a), a * x + b

    return Made(cell, (draw(B, I), draw(B, I)), draw(T, B, I), {})


@row()
def swapped_and_changed(draw, rng, T, B, I, H):
    def cell(p, carry, x):
        a, b, c = carry
        return (c, tg.tanh(a * p["w"] + x), b), a - c

    return Made(cell, (draw(B, I), draw(B, I), draw(B, I)), draw(T, B, I), {"w": draw(I)})


@row()
def same_tensor_twice(draw, rng, T, B, I, H):
    def cell(p, carry, x):
        h, c = carry
        h = tg.tanh(x @ p["W"] + h - 0.5 * c)
        return (h, h), (h, h, [h])

    return Made(cell, (draw(B, H), draw(B, H)), draw(T, B, I), {"W": draw(I, H)})


@row()
def same_operand_twice(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(h * h + (x * x) @ p["W"] + p["b"] * p["b"] + (h + h))
        return h, tg.inner(h, h)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "b": draw(H)})


@row()
def y_is_x(draw, rng, T, B, I, H):
    def cell(p, h, x):
        return tg.tanh(x @ p["W"] + h), x

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H)})


@row()
def y_is_old_carry(draw, rng, T, B, I, H):
    def cell(p, h, x):
        return tg.tanh(x @ p["W"] + h), h

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H)})


@row()
def y_is_constant(draw, rng, T, B, I, H):
    constant = draw(2)

    def cell(p, h, x):
        return tg.tanh(x @ p["W"] + h), (constant, 1.5, p["b"])

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "b": draw(H)})


@row()
def y_of_x_alone(draw, rng, T, B, I, H):
    def cell(p, h, x):
        return tg.tanh(x @ p["W"] + h), tg.sin(x) @ p["V"]

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "V": draw(I, 2)})


@row()
def new_carry_is_a_constant(draw, rng, T, B, I, H):
    def cell(p, h, x):
        return tg.zeros((B, H)), h * p["w"]

    return Made(cell, draw(B, H), draw(T, B, I), {"w": draw(H)})


@row()
def new_carry_is_a_parameter(draw, rng, T, B, I, H):
    def cell(p, h, x):
        return p["h"], tg.tanh(h + x @ p["W"])

    return Made(cell, draw(B, H), draw(T, B, I), {"h": draw(B, H), "W": draw(I, H)})


@row()
def new_carry_is_the_input(draw, rng, T, B, I, H):
    """ys are differences of neighbours."""

    def cell(p, last, x):
        return x, p["w"] * (x - last)

    return Made(cell, draw(B, I), draw(T, B, I), {"w": draw(I)})


# ---------------------------------------------------------------------------------------------------------- parameters


@row()
def tied_weights(draw, rng, T, B, I, H):
    """One matrix reads and writes, one is used twice in a row."""

    def cell(p, h, x):
        h = tg.tanh(x @ p["W"] + tg.tanh(h @ p["U"]) @ p["U"])
        return h, h @ p["W"].T

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "U": draw(H, H)})


@row()
def transposed_weights(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(x @ p["W"].T + tg.inner(h, p["U"]) + h @ tg.swapaxes(p["V"], 0, 1))
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(H, I), "U": draw(H, H) / 2, "V": draw(H, H) / 2})


@row()
def computed_weights(draw, rng, T, B, I, H):
    """What depends on parameters alone is the same at every step: a normalised matrix, a masked one."""
    mask = np.triu(np.ones((H, H)))

    def cell(p, h, x):
        W = p["g"] * p["W"] / tg.linalg.norm(p["W"], axis=0)
        h = tg.tanh(x @ W + h @ (p["U"] * mask) + tg.exp(p["b"]).sum())
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "g": draw(H), "U": draw(H, H), "b": draw(H)})


@row()
def frozen_weights(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(x @ p["frozen_W"] + h @ p["U"] + p["frozen_b"])
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"frozen_W": draw(I, H), "U": draw(H, H), "frozen_b": draw(H)})


@row()
def all_weights_frozen(draw, rng, T, B, I, H):
    parameters = {"frozen_W": draw(I, H), "frozen_U": draw(H, H)}
    return Made(
        lambda p, h, x: (tg.tanh(x @ p["frozen_W"] + h @ p["frozen_U"]),) * 2, draw(B, H), draw(T, B, I), parameters
    )


@row()
def unused_parameters(draw, rng, T, B, I, H):
    def cell(p, h, x):
        p["W"] @ p["unused"]
        return tg.tanh(x @ p["W"] + h), None

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "unused": draw(H, H)})


@row()
def parameters_cut_up(draw, rng, T, B, I, H):
    def cell(p, h, x):
        W, U, b = p["all"][:I], p["all"][I : I + H], p["all"][-1]
        h = tg.tanh(x @ W + h @ U + b)
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"all": draw(I + H + 1, H)})


@row()
def initial_state_as_parameter(draw, rng, T, B, I, H):
    """The cell returns to a learnt state, by as much as a gate says."""

    def cell(p, h, x):
        gate = tg.sigmoid(x @ p["w"])[:, None]
        h = gate * tg.tanh(h @ p["U"]) + (1 - gate) * p["h0"]
        return h, gate

    return Made(cell, draw(B, H), draw(T, B, I), {"w": draw(I), "U": draw(H, H), "h0": draw(H)})


# ---------------------------------------------------------------------------------------------------------- operations


@row()
def joined_product(draw, rng, T, B, I, H):
    """concatenate([x, h]) @ W."""

    def cell(p, h, x):
        h = tg.tanh(tg.concatenate([x, h], axis=-1) @ p["W"] + p["b"])
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I + H, H), "b": draw(H)})


@row()
def joined_with_ones(draw, rng, T, B, I, H):
    """concatenate([1, x, h]) @ W: the bias is in the matrix."""

    def cell(p, h, x):
        h = tg.tanh(tg.concatenate([np.ones((B, 1)), x, h], axis=1) @ p["W"])
        return h, tg.stack([h, -h])

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(1 + I + H, H)})


@row(smooth=False)
def kinked(draw, rng, T, B, I, H):
    mask = rng.random((B, H)) < 0.5

    def cell(p, h, x):
        a = tg.maximum(x @ p["W"], h) - tg.minimum(h, p["b"])
        h = tg.where(mask, tg.clip(a, -0.8, 0.8), tg.abs(h) * 0.5)
        return h, tg.leaky_relu(a)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "b": draw(H)})


@row(compiled=None, smooth=False)
def compares(draw, rng, T, B, I, H):
    def cell(p, h, x):
        a = x @ p["W"] + h
        h = tg.where(a > 0, tg.tanh(a), 0.1 * a)
        return h, h * (h < 0.5)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H)})


@row(compiled=None, smooth=False)
def truncated(draw, rng, T, B, I, H):
    """No gradient flows through the carry: `detach`."""

    def cell(p, h, x):
        h = tg.tanh(x @ p["W"] + h.detach() @ p["U"])
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "U": draw(H, H)})


@row()
def einsum(draw, rng, T, B, I, H):
    """A bilinear cell: x and h meet in a tensor of three axes."""

    def cell(p, h, x):
        h = tg.tanh(tg.einsum("bi,ihk,bh->bk", x, p["W"], h) + tg.einsum("bh,hk->bk", h, p["U"]))
        return h, tg.einsum("bh->b", h)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H, H), "U": draw(H, H)})


@row()
def tensordot(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(tg.tensordot(x, p["W"], 1) + tg.tensordot(h, p["U"], axes=([1], [1])))
        return h, tg.outer(h[0], x[1])

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "U": draw(H, H)})


@row()
def softmaxes(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.softmax(x @ p["W"] + 3 * h @ p["U"], axis=-1) + tg.log_softmax(h, axis=0) / 4
        return h, tg.logsumexp(h, axis=-1)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "U": draw(H, H)})


@row()
def reductions(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = h - h.mean(axis=0) + x.sum(axis=1, keepdims=True) * p["w"]
        h = tg.tanh(h / (1 + tg.std(h))) + tg.var(x) + tg.var(h, axis=1, ddof=1, keepdims=True)
        return h, (h.sum(), x.mean(axis=0), tg.prod(h, axis=-1), (h * h).sum(axis=(0, 1)))

    return Made(cell, draw(B, H), draw(T, B, I), {"w": draw(H)})


@row(smooth=False)
def extremes(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(h * p["w"] + tg.max(x, axis=1, keepdims=True) - tg.min(h, axis=0))
        return h, tg.max(h)

    return Made(cell, draw(B, H), draw(T, B, I), {"w": draw(H)})


@row()
def cumulative(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.tanh(tg.cumsum(h, axis=-1) * 0.3 + tg.cumsum(x, axis=0) @ p["W"])
        return h, tg.cumsum(h)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H)})


@row()
def biases_of_parts(draw, rng, T, B, I, H):
    """Parts of a sum, by rows and by columns, to some of which a constant is added; as many rows as columns."""

    def cell(p, h, x):
        by_rows, by_columns = x + p["b"], x @ p["W"] + p["b"]
        top, bottom = by_rows[:H] + p["c"], by_rows[H:]
        left, right = by_columns[:, :H] + p["c"], by_columns[:, H:] * 0.5 + 0.25
        h = tg.tanh(h + top * bottom + (left - right)[:H, :H])
        return h, (left * right).sum()

    return Made(cell, draw(H, H), draw(T, 2 * H, H), {"W": draw(H, 2 * H), "b": draw(1), "c": draw(H)})


@row()
def solves(draw, rng, T, B, I, H):
    """Linear algebra: an implicit step (1 + A) h' = h + x W."""

    def cell(p, h, x):
        A = tg.eye(H) * 4 + p["A"]
        h = tg.linalg.solve(A, (h + x @ p["W"]).T).T
        return h, tg.linalg.det(tg.eye(H) * 2 + tg.tanh(h.T @ h))

    return Made(cell, draw(B, H), draw(T, B, I), {"A": draw(H, H), "W": draw(I, H)})


@row()
def inverts(draw, rng, T, B, I, H):
    """A Kalman filter's covariance: an inverse of what the carry says."""

    def cell(p, P, x):
        P = P + p["Q"] @ p["Q"].T
        K = P @ tg.linalg.inv(P + tg.eye(I) * (2 + x @ x))
        return P - K @ P, K @ x

    return Made(cell, np.eye(I), draw(T, I), {"Q": draw(I, I)})


@row()
def slices(draw, rng, T, B, I, H):
    def cell(p, h, x):
        first, rest, back, last = x[:, 0], x[:, 1:], x[:, ::-1], x[..., -1]
        h = tg.tanh(back @ p["W"] + h[:, ::-1] * first[:, None] + tg.pad(rest, ((0, 0), (0, H - I + 1))))
        return h, (h[:, :2] * last[:, None], h[::-1], h[0, [1, 1, 0]])

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H)})


@row()
def movements(draw, rng, T, B, I, H):
    """Numbers that only move about."""

    def cell(p, h, x):
        h = tg.roll(h, 1, axis=-1) + tg.repeat(x.sum(axis=-1), H).reshape(B, H)
        h = tg.flip(h.T.reshape(H, B), axis=0).T * p["w"] / 2
        return h, (tg.tile(h, (2, 1)), tg.broadcast_to(h[:, None, :], (B, 2, H)), tg.diagonal(h), tg.ravel(x))

    return Made(cell, draw(B, H), draw(T, B, I), {"w": draw(H)})


@row()
def writes_at(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = ops.set_at(h * 0.9, (slice(None), 0), x[:, 0])
        h = ops.add_at(h, (0, [1, 1, 2]), p["w"])
        return h, tg.tanh(h)

    return Made(cell, draw(B, H), draw(T, B, I), {"w": draw(3)})


@row(compiled=None)
def writes_where_the_input_says(draw, rng, T, B, I, H):
    """A memory of H cells, of which each step overwrites one."""

    def cell(p, memory, x):
        place, value = x
        memory = ops.set_at(memory, place, tg.tanh(value * p["w"]))
        return memory, memory.sum()

    return Made(cell, draw(H, I), (rng.integers(0, H, T), draw(T, I)), {"w": draw(I)})


@row()
def powers(draw, rng, T, B, I, H):
    def cell(p, h, x):
        a = tg.exp(-h * h) + tg.log(2 + tg.sin(x @ p["W"])) - tg.sqrt(1 + h * h)
        h = a / (1 + a**2) + (2 + tg.tanh(h)) ** p["b"] - 1
        return h, tg.logaddexp(h, x[:, :1])

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "b": draw(H)})


@row()
def numpy_functions(draw, rng, T, B, I, H):
    """NumPy's own functions, on tensors."""
    V = draw(H, H)

    def cell(p, h, x):
        h = np.tanh(np.matmul(x, p["W"]) + np.dot(h, V) + np.ones(H) * p["b"])
        return h, np.sum(np.square(h), axis=1)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "b": draw(H)})


@row()
def times_the_input(draw, rng, T, B, I, H):
    """The matrix of the recurrence is the input."""

    def cell(p, h, A):
        h = tg.tanh(A @ h + p["b"])
        return h, h

    return Made(cell, draw(H), draw(T, H, H), {"b": draw(H)})


@row()
def chosen_matrix(draw, rng, T, B, I, H):
    """An integer chooses the matrix of each step."""

    def cell(p, h, k):
        h = tg.tanh(p["Us"][k] @ h + p["b"][k])
        return h, h

    return Made(cell, draw(H), rng.integers(0, 3, T), {"Us": draw(3, H, H), "b": draw(3, H)})


@row()
def gradient_descent(draw, rng, T, B, I, H):
    """An optimiser's steps with momentum: the carry are weights."""

    def cell(p, carry, batch):
        (w, v), (x, y) = carry, batch
        error = x @ w - y
        v = tg.sigmoid(p["decay"]) * v - tg.exp(p["rate"]) * (x.T @ error) / B
        return (w + v, v), (error * error).mean()

    return Made(cell, (draw(I), draw(I)), (draw(T, B, I), draw(T, B)), {"decay": draw(), "rate": draw() - 2})


# --------------------------------------------------------------------------------- other parts of the package, inside


@tg.primitive("elementwise", [lambda ct, x: ct * (1 - 2 * x * x * tg.tanh(x * x)) / tg.cosh(x * x)])
def own_elementwise(x):
    return x / np.cosh(x * x)


@tg.primitive("general", [lambda ct, x: -ct[::-1] * tg.sin(x)])
def own_without_batching_rule(x):
    return np.cos(x)[::-1].copy()


@row()
def own_operation(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = own_elementwise(x @ p["W"] + h)
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H)})


@row(compiled=None)
def own_operation_without_batching_rule(draw, rng, T, B, I, H):
    """Of the carry, and of x and parameters alone, which could be done for all steps at once if it had one."""

    def cell(p, h, x):
        h = own_without_batching_rule(x @ p["W"]) + own_without_batching_rule(h * p["w"])
        return h, own_without_batching_rule(h)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "w": draw(H)})


@row(compiled=None)
def gradient_inside(draw, rng, T, B, I, H):
    """A step down the gradient of an energy, which depends on x and on parameters."""

    def cell(p, h, x):
        energy = lambda h: (tg.cos(h @ p["U"]) * (x @ p["W"])).sum()  # noqa: E731
        h = h - 0.3 * tg.grad(energy)(h)
        return h, energy(h)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "U": draw(H, H)})


@row(compiled=None)
def vmap_inside(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.vmap(lambda h, x: tg.tanh(p["W"] @ x + p["U"] @ h))(h, x)
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(H, I), "U": draw(H, H)})


@row(compiled=None)
def checkpoint_inside(draw, rng, T, B, I, H):
    def cell(p, h, x):
        h = tg.checkpoint(lambda h, x: tg.tanh(x @ p["W"] + tg.tanh(h) @ p["U"]))(h, x)
        return h, h

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "U": draw(H, H)})


@row(compiled=None)
def scan_inside(draw, rng, T, B, I, H):
    """Five steps of a loop within each step."""

    def cell(p, h, x):
        h, inner = tg.scan(lambda a, w: (tg.tanh(a * w + x @ p["W"]),) * 2, h, p["ws"])
        return h, inner.sum(axis=0)

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H), "ws": draw(5, H)})


@row(compiled=None, smooth=False)
def no_grad_inside(draw, rng, T, B, I, H):
    def cell(p, h, x):
        with tg.no_grad():
            size = tg.sqrt((h * h).sum(axis=-1, keepdims=True) + 1)
        h = tg.tanh(x @ p["W"] + h / size)
        return h, size

    return Made(cell, draw(B, H), draw(T, B, I), {"W": draw(I, H)})
