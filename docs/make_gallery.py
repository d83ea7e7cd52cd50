"""Make the pictures of docs/gallery.md: all views of all cells.

    python docs/make_gallery.py [FOLDER]

writes them into FOLDER, docs/gallery if none is given, and the page beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

INPUTS, HIDDEN, OUTPUTS = 3, 4, 2
HERE = Path(__file__).parent


# ------------------------------------------------------------------------------------------------------------ models


def drawn(rng: np.random.Generator, *shape: int, scale: float = 0.6) -> tg.Tensor:
    """A parameter."""
    return tg.tensor(scale * rng.standard_normal(shape), requires_grad=True)


class Cell(nn.Module):
    """h' = tanh(W_hh h + W_xh x + b_h)."""

    def __init__(self, rng: np.random.Generator, inputs: int = INPUTS) -> None:
        self.W_xh, self.W_hh, self.b_h = drawn(rng, HIDDEN, inputs), drawn(rng, HIDDEN, HIDDEN), drawn(rng, HIDDEN)

    def forward(self, x: tg.Tensor, h: tg.Tensor) -> tg.Tensor:
        """The next state."""
        return tg.tanh(self.W_hh @ h + self.W_xh @ x + self.b_h)


class Head(nn.Module):
    """y = W_hy h + b_y."""

    def __init__(self, rng: np.random.Generator, inputs: int = HIDDEN) -> None:
        self.W_hy, self.b_y = drawn(rng, OUTPUTS, inputs), drawn(rng, OUTPUTS)

    def forward(self, h: tg.Tensor) -> tg.Tensor:
        """The output."""
        return self.W_hy @ h + self.b_y


class Data(NamedTuple):
    """What a step reads."""

    x: Any
    label: Any


class Sequence(nn.Module):
    """Any cell, and a head that reads its state at every step; L is the sum of the losses."""

    def __init__(self, cell: nn.Module, rng: np.random.Generator) -> None:
        self.cell, self.head = cell, Head(rng)

    def step(self, h: Any, at: Data) -> tuple[Any, dict[str, tg.Tensor]]:
        """One step: the state, and the loss."""
        h = self.cell(at.x, h)
        y = self.head(h.h if isinstance(h, nn.LSTMState) else h)
        return h, {"L": nn.functional.cross_entropy(y, at.label)}

    def forward(self, start: Any, steps: int) -> tg.Tensor:
        """L."""
        return total(tg.scan(self.step, start, data(steps), unroll=True)[1]["L"].sum())


class Layers(NamedTuple):
    """The states of two layers."""

    low: tg.Tensor
    high: tg.Tensor


class Deep(nn.Module):
    """Two layers: the lower one's state is what the upper one reads."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.lower, self.upper, self.head = Cell(rng), Cell(rng, HIDDEN), Head(rng)
        for name in ("W_xh", "W_hh", "b_h"):
            for layer, cell in (("¹", self.lower), ("²", self.upper)):
                getattr(cell, name).name = name + layer

    def step(self, h: Layers, at: Data) -> tuple[Layers, dict[str, tg.Tensor]]:
        """One step, upwards."""
        low = self.lower(at.x, h.low)
        high = self.upper(low, h.high)
        return Layers(low, high), {"L": nn.functional.cross_entropy(self.head(high), at.label)}

    def forward(self, steps: int) -> tg.Tensor:
        """L."""
        return total(tg.scan(self.step, Layers(zeros(), zeros()), data(steps), unroll=True)[1]["L"].sum())


class Bidirectional(nn.Module):
    """One cell reads from left to right, another from right to left; the head sees both states."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.forwards, self.backwards, self.head = Cell(rng), Cell(rng), Head(rng, 2 * HIDDEN)
        for name in ("W_xh", "W_hh", "b_h"):
            for way, cell in (("→", self.forwards), ("←", self.backwards)):
                getattr(cell, name).name = name + way

    def forward(self, steps: int) -> tg.Tensor:
        """L."""
        xs, labels = data(steps)
        times = range(1, steps + 1)
        inputs = {t: tg.tensor(xs[t - 1], name=f"x_{t}") for t in times}
        f, r = zeros("f_0"), zeros(f"r_{steps + 1}")
        fs, rs, losses = {}, {}, []
        for t in times:
            with tg.scope(step=t):
                f = fs[t] = named(self.forwards(inputs[t], f), f"f_{t}")
        for t in reversed(times):
            with tg.scope(step=t):
                r = rs[t] = named(self.backwards(inputs[t], r), f"r_{t}")
        for t in times:
            with tg.scope(step=t):
                y = self.head(tg.concatenate([fs[t], rs[t]]))
                losses.append(named(nn.functional.cross_entropy(y, labels[t - 1]), f"L_{t}"))
        return total(tg.stack(losses).sum())


def data(steps: int) -> Data:
    """Inputs and labels."""
    rng = np.random.default_rng(7)
    return Data(rng.standard_normal((steps, INPUTS)), rng.integers(OUTPUTS, size=steps))


def named(t: tg.Tensor, name: str) -> tg.Tensor:
    """The tensor, called `name`."""
    t.name = name
    return t


def total(loss: tg.Tensor) -> tg.Tensor:
    """The loss, called L."""
    return named(loss, "L")


def zeros(name: str | None = None) -> tg.Tensor:
    """A state to start from."""
    return tg.tensor(np.zeros(HIDDEN), name=name)


def rnn(steps: int) -> tg.Tensor:
    """The vanilla RNN."""
    rng = np.random.default_rng(0)
    return Sequence(Cell(rng), rng)(zeros(), steps)


def deep(steps: int) -> tg.Tensor:
    """Two layers."""
    return Deep(np.random.default_rng(1))(steps)


def bidirectional(steps: int) -> tg.Tensor:
    """Both ways."""
    return Bidirectional(np.random.default_rng(2))(steps)


def lstm(steps: int) -> tg.Tensor:
    """LSTM."""
    rng = np.random.default_rng(3)
    return Sequence(nn.LSTMCell(INPUTS, HIDDEN, rng=rng), rng)(nn.LSTMState(zeros(), zeros()), steps)


def gru(steps: int) -> tg.Tensor:
    """GRU."""
    rng = np.random.default_rng(4)
    return Sequence(nn.GRUCell(INPUTS, HIDDEN, rng=rng), rng)(zeros(), steps)


def own(steps: int) -> tg.Tensor:
    """A user's own cell, in three lines, and no module at all."""
    rng = np.random.default_rng(5)
    W_xh, W_hh, leak = (
        named(drawn(rng, *shape), name)
        for name, shape in (("W_xh", (INPUTS, HIDDEN)), ("W_hh", (HIDDEN, HIDDEN)), ("leak", (HIDDEN,)))
    )

    def cell(h: tg.Tensor, x: tg.Tensor) -> tuple[tg.Tensor, None]:
        keep = tg.sigmoid(leak)
        new = tg.tanh(x @ W_xh + h @ W_hh)
        return keep * h + (1 - keep) * new, None

    return total((tg.scan(cell, zeros(), data(steps).x, unroll=True)[0] ** 2).sum())


def last_loss(steps: int, factor: float) -> tg.Tensor:
    """h_t = W h_{t−1}, all |eigenvalues| of W equal to `factor`, and a loss on the last state only."""
    W = np.linalg.qr(np.random.default_rng(6).standard_normal((HIDDEN, HIDDEN)))[0]
    W_hh = tg.tensor(factor * W, requires_grad=True, name="W_hh")
    h, _ = tg.scan(lambda h, x: (W_hh @ h, None), tg.tensor(np.ones(HIDDEN)), np.zeros(steps), unroll=True)
    return total(h.sum())


CELLS: dict[str, Callable[[int], tg.Tensor]] = {
    "rnn": rnn,
    "deep": deep,
    "bidirectional": bidirectional,
    "lstm": lstm,
    "gru": gru,
    "own": own,
}


def recorded(make: Callable[[], tg.Tensor]) -> tg.Graph:
    """The graph of a loss after its backward, with values and cotangents."""
    with tg.record_values() as values:
        loss = make()
    with tg.record_cotangents() as cotangents:
        loss.backward()
    return tg.graph(loss, values=values, cotangents=cotangents)


# ------------------------------------------------------------------------------------------------------------ pictures


class Entry(NamedTuple):
    """A picture: its file, what the page says of it, and how it is drawn."""

    file: str
    says: str
    graph: Callable[[], tg.Graph]
    how: dict[str, Any]


TITLES = {
    "rnn": "The vanilla RNN",
    "deep": "Two layers",
    "bidirectional": "Both directions",
    "lstm": "LSTM",
    "gru": "GRU",
    "own": "A cell of your own, in three lines",
}
VIEWS: dict[str, tuple[str, dict[str, Any]]] = {
    "unrolled": ("Unrolled over three steps.", {}),
    "rolled": ("Rolled: one step, with loop-back edges.", {"view": "rolled"}),
    "folded": ("Folded: one box a call, `depth=2`.", {"depth": 2}),
    "gradients": ("After its backward, `gradients=True`.", {"gradients": True}),
}


def of(cell: str, steps: int = 3) -> Callable[[], tg.Graph]:
    """How to get the graph of a cell."""
    return lambda: recorded(lambda: CELLS[cell](steps))


def entries() -> dict[str, list[Entry]]:
    """All pictures, by section."""
    sections = {
        title: [Entry(f"{cell}_{view}.svg", says, of(cell), how) for view, (says, how) in VIEWS.items()]
        for cell, title in TITLES.items()
    }
    del sections[TITLES["own"]][2]  # it has no modules to fold
    sections["Paths"] = [
        Entry(
            "rnn_path.svg",
            "BPTT from step 3: what carries gradient from L₃ to W_hh, `path=('L_3', ['W_hh'])`.",
            of("rnn", 4),
            {"path": ("L_3", ["W_hh"])},
        ),
        Entry(
            "lstm_path.svg",
            "The same in an LSTM: from L₃ to weight_hh.",
            of("lstm", 4),
            {"path": ("L_3", ["weight_hh"])},
        ),
    ]
    sections["Long sequences"] = [
        Entry("rnn_elided.svg", "Thirty steps, the middle left out.", of("rnn", 30), {"gradients": True}),
        Entry(
            "lstm_folded_elided.svg", "Folded and cut: they combine.", of("lstm", 30), {"depth": 2, "gradients": True}
        ),
        *(
            Entry(
                f"{what}{'' if short else '_100_steps'}.svg",
                f"A hundred steps of h_t = W h_{{t−1}}, every |eigenvalue| of W is {factor}: the gradient "
                + (f"is {what}." if short else f"is {what}, with `elide=False`."),
                lambda factor=factor: recorded(lambda: last_loss(100, factor)),
                {"gradients": True} if short else {"gradients": True, "elide": False, "shapes": False},
            )
            for what, factor in (("vanishing", 0.85), ("exploding", 1.15))
            for short in (True, False)
        ),
    ]
    sections["Values, themes, before backward"] = [
        Entry("rnn_values.svg", "`values=True`.", of("rnn", 2), {"values": True}),
        Entry("rnn_dark.svg", "`theme='dark'`.", of("rnn"), {"theme": "dark", "gradients": True}),
        Entry("lstm_dark.svg", "`theme='dark'`, no gradients.", of("lstm"), {"theme": "dark"}),
        Entry(
            "rnn_no_gradient_yet.svg",
            "`gradients=True` before any backward: no number is made up.",
            lambda: tg.graph(rnn(2)),
            {"gradients": True},
        ),
    ]
    sections["The replay"] = [
        Entry("rnn_replay.html", "One page, no network: play the backward pass.", of("rnn"), {"gradients": True}),
    ]
    return sections


def page(sections: dict[str, list[Entry]], folder: str) -> str:
    """The text of gallery.md."""
    lines = [
        "# Gallery",
        "",
        "All views of all cells, made by `python docs/make_gallery.py`, which has the models too.",
        "",
    ]
    for title, pictures in sections.items():
        lines += [f"## {title}", ""]
        for entry in pictures:
            where = f"{folder}/{entry.file}"
            if entry.file.endswith((".html", "_100_steps.svg")):  # to be opened by itself
                shown = f"[{entry.file}]({where})"
            else:
                shown = f"![{entry.says.replace('`', '')}]({where})"
            lines += [entry.says, "", shown, ""]
    return "\n".join(lines)


def main(folder: Path) -> None:
    """Draw everything into `folder`, and write the page beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = entries()
    for pictures in sections.values():
        for entry in pictures:
            drawing = tg.draw(entry.graph(), **entry.how)
            drawing.save(folder / entry.file)
            print(f"{entry.file}: {drawing.summary}")
    (folder.parent / "gallery.md").write_text(page(sections, folder.name))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "gallery")
