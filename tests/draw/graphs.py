"""Graphs to draw, made by hand: what the tape would record, without the tape."""

import math
import random
from collections.abc import Sequence

from tinygrad_rnn.graph import Graph, GraphNode, Scope


class Builder:
    """Writes down nodes in order, as a tape does."""

    def __init__(self) -> None:
        self.nodes: list[GraphNode] = []

    def add(
        self,
        op: str = "",
        *parents: int,
        name: str | None = None,
        kind: str | None = None,
        shape: tuple[int, ...] = (2, 5),
        step: int | None = None,
        norm: float | None = None,
        path: tuple[str, ...] = (),
    ) -> int:
        node = GraphNode(
            id=len(self.nodes),
            op=op,
            kind=kind or ("operation" if op else "leaf"),  # type: ignore[arg-type]
            name=name,
            shape=shape,
            dtype="float64",
            scope=Scope(path, step),
            parents=parents,
            grad_norm=norm,
        )
        self.nodes.append(node)
        return node.id

    def graph(self, *outputs: int) -> Graph:
        return Graph(tuple(self.nodes), outputs or (len(self.nodes) - 1,))


def rnn(steps: int, *, norms: bool = True, decay: float = 0.8, loss_every_step: bool = True) -> Graph:
    """A tanh RNN as a loop over steps records it, with a loss at each step (or at the last) and their sum."""
    b = Builder()

    def norm(value: float) -> float | None:
        return value if norms else None

    W_xh = b.add(name="W_xh", shape=(5, 3), norm=norm(1.6))
    W_hh = b.add(name="W_hh", shape=(5, 5), norm=norm(1.4))
    b_h = b.add(name="b_h", shape=(5,), norm=norm(1.5))
    W_hy = b.add(name="W_hy", shape=(4, 5), norm=norm(2.4))
    b_y = b.add(name="b_y", shape=(4,), norm=norm(1.5))
    h = b.add(name="h_0", shape=(5,), norm=norm(0.24 * decay**steps))
    losses = []
    for t in range(1, steps + 1):
        g = norm(0.9 * decay ** (steps - t))

        def op(
            op: str,
            *parents: int,
            t: int = t,
            g: float | None = g,
            name: str | None = None,
            shape: Sequence[int] = (5,),
        ) -> int:
            return b.add(op, *parents, name=name, shape=tuple(shape), step=t, norm=g, path=("rnn",))

        x = b.add(name=f"x_{t}", kind="constant", shape=(3,), step=t)
        a = op("add", op("matmul", W_xh, x), op("matmul", W_hh, h))
        h = op("tanh", op("add", a, b_h), name=f"h_{t}")
        if loss_every_step or t == steps:
            y = op("add", op("matmul", W_hy, h, shape=(4,)), b_y, name=f"y_{t}", shape=(4,))
            losses.append(b.add("cross_entropy", y, name=f"L_{t}", shape=(), step=t, norm=norm(1.0)))
    if len(losses) > 1:
        stacked = b.add("stack", *losses, shape=(steps,), norm=norm(math.sqrt(steps)))
        b.add("sum", stacked, name="L", shape=(), norm=norm(1.0))
    return b.graph()


def lstm(steps: int, *, layers: int = 1, norms: bool = True) -> Graph:
    b = Builder()
    params = [
        [
            b.add(name=f"{n}_l{layer}", shape=(20, 5), norm=0.3 + 0.1 * k if norms else None)
            for k, n in enumerate(("weight_ih", "weight_hh", "bias"))
        ]
        for layer in range(layers)
    ]
    W_y = b.add(name="W_y", shape=(5, 4), norm=0.75 if norms else None)
    h = [b.add(name="h_0", kind="constant") for _ in range(layers)]
    c = [b.add(name="c_0", kind="constant") for _ in range(layers)]
    total = -1
    for t in range(1, steps + 1):

        def op(name: str, *parents: int, t: int = t, label: str | None = None, shape: tuple[int, ...] = (2, 5)) -> int:
            return b.add(
                name,
                *parents,
                name=label,
                step=t,
                shape=shape,
                norm=(0.01 * (1 + len(b.nodes) % 37)) if norms else None,
            )

        x = b.add(name=f"x_{t}", kind="constant", step=t)
        for layer, (W_ih, W_hh, bias) in enumerate(params):
            gates = op(
                "add",
                op("add", op("matmul", x, W_ih), op("matmul", h[layer], W_hh)),
                bias,
                label="gates",
                shape=(2, 20),
            )
            i, f, g, o = (op("getitem", gates) for _ in range(4))
            i, f, o = op("sigmoid", i, label="i"), op("sigmoid", f, label="f"), op("sigmoid", o, label="o")
            g = op("tanh", g, label="g")
            c[layer] = op("add", op("mul", f, c[layer]), op("mul", i, g), label=f"c_{t}")
            h[layer] = op("mul", o, op("tanh", c[layer]), label=f"h_{t}")
            x = h[layer]
        y = op("matmul", x, W_y, label=f"y_{t}")
        loss = op("cross_entropy", y, label=f"L_{t}", shape=())
        total = op("add", total, loss, shape=()) if t > 1 else loss
    return b.graph()


def expression() -> Graph:
    """micrograd's neuron: tanh(x1 w1 + x2 w2 + b)."""
    b = Builder()
    x1, w1 = b.add(name="x_1", shape=(), norm=1.5), b.add(name="w_1", shape=(), norm=1.0)
    x2, w2 = b.add(name="x_2", shape=(), norm=0.5), b.add(name="w_2", shape=(), norm=0.0)
    bias = b.add(name="b", shape=(), norm=0.5)
    s = b.add(
        "add", b.add("mul", x1, w1, shape=(), norm=0.5), b.add("mul", x2, w2, shape=(), norm=0.5), shape=(), norm=0.5
    )
    n = b.add("add", s, bias, name="n", shape=(), norm=0.5)
    b.add("tanh", n, name="o", shape=(), norm=1.0)
    return b.graph()


def layers_between_stacks(steps: int, layers: int = 1) -> Graph:
    """An RNN whose input is unstacked before the loop, whose states are stacked after it, then Linear and a loss."""
    b = Builder()
    seq = b.add(name="xs", kind="constant", shape=(steps, 2, 3))
    for layer in range(layers):
        W_ih, W_hh = (
            b.add(name=f"weight_ih_l{layer}", shape=(5, 3), norm=0.5),
            b.add(name=f"weight_hh_l{layer}", shape=(5, 5), norm=0.6),
        )
        W_ihT, W_hhT = (
            b.add("transpose", W_ih, shape=(3, 5), norm=0.5),
            b.add("transpose", W_hh, shape=(5, 5), norm=0.6),
        )
        h = b.add(name="h_0", kind="constant")
        xs = [b.add("unstack", seq, shape=(2, 3), norm=0.1) for _ in range(steps)]
        hs = []
        for t in range(1, steps + 1):
            g = 0.1 * 2.0 ** (t - steps)
            a = b.add("matmul", xs[t - 1], W_ihT, step=t, norm=g)
            r = b.add("matmul", h, W_hhT, step=t, norm=g)
            h = b.add(
                "tanh", b.add("add", a, r, step=t, norm=g), step=t, norm=g, name=f"h_{t}", path=(f"layer{layer}",)
            )
            hs.append(h)
        seq = b.add("stack", *hs, shape=(steps, 2, 5), norm=0.3, name="ys")
    W, bias = b.add(name="weight", shape=(4, 5), norm=0.9), b.add(name="bias", shape=(4,), norm=0.8)
    logits = b.add(
        "add",
        b.add("matmul", seq, b.add("transpose", W, shape=(5, 4), norm=0.9), norm=0.4),
        bias,
        norm=0.4,
        name="logits",
        shape=(steps, 2, 4),
    )
    b.add("cross_entropy", logits, name="loss", shape=(), norm=1.0)
    return b.graph()


def irregular() -> Graph:
    """Steps 1, 3, 4, 7 that differ, one of them reading two steps back, and a running sum after the loop."""
    b = Builder()
    W = b.add(name="W", shape=(5, 5))
    h = b.add(name="h_0", shape=(5,))
    states: list[int] = []
    for t in (1, 3, 4, 7):
        a = b.add("matmul", W, h, step=t)
        if t == 4:
            a = b.add("add", a, states[0], step=t)
        if t == 7:
            a = b.add("mul", b.add("exp", a, step=t), states[1], step=t)
        h = b.add("tanh", a, name=f"h_{t}", step=t)
        states.append(h)
    total = states[0]
    for state in states[1:]:
        total = b.add("add", total, state)
    b.add("sum", b.add("mul", total, W), name="out", shape=())
    return b.graph()


def bidirectional(steps: int) -> Graph:
    b = Builder()
    V, U = b.add(name="W_fwd"), b.add(name="W_bwd")
    f, r = b.add(name="f_0", kind="constant"), b.add(name="r_0", kind="constant")
    xs = [b.add(name=f"x_{t}", kind="constant") for t in range(1, steps + 1)]
    fs, rs = [], []
    for t in range(1, steps + 1):
        f = b.add("tanh", b.add("add", b.add("matmul", xs[t - 1], V, step=t), f, step=t), name=f"f_{t}", step=t)
        fs.append(f)
    for t in range(steps, 0, -1):
        r = b.add("tanh", b.add("add", b.add("matmul", xs[t - 1], U, step=t), r, step=t), name=f"r_{t}", step=t)
        rs.append(r)
    ys = [b.add("concatenate", a, c, step=t + 1) for t, (a, c) in enumerate(zip(fs, reversed(rs), strict=True))]
    b.add("stack", *ys, name="ys")
    return b.graph()


def scribble(seed: int) -> Graph:
    """Anything at all: any edges back in the tape's order, any steps in any order, names and norms on some."""
    r = random.Random(seed)
    b = Builder()
    count, last_step = r.randint(1, 45), r.randint(1, 14)
    in_order, outside = r.random() < 0.6, r.choice([0.1, 0.3, 0.6])
    for i in range(count):
        step = 1 + i * last_step // count if in_order else r.randint(-1, last_step)
        at = None if r.random() < outside else step
        parents = [r.randrange(max(0, i - 12) if r.random() < 0.8 else 0, i) for _ in range(min(i, r.randint(0, 3)))]
        norm = r.choice([None, r.random()])
        if parents:
            op = r.choice(["add", "matmul", "tanh", "stack"])
            b.add(op, *parents, step=at, norm=norm, name=r.choice([None, f"h_{step}"]))
        else:
            kind, name = r.choice(["leaf", "constant"]), r.choice([None, "W", f"x_{step}", "h_0"])
            b.add(name=name, kind=kind, step=at, norm=norm)
    return b.graph()
