"""What programs call their values, and that what their comments say is what they compute."""

import ast
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn.functional import linear, sigmoid
from tinygrad_rnn.scan.capture import capture
from tinygrad_rnn.scan.comments import Formulas, comment
from tinygrad_rnn.scan.loop import Loop
from tinygrad_rnn.scan.program import LoopProgram

D, H, B, T = 3, 4, 5, 6
rng = np.random.default_rng(0)
SHARED = tg.tensor(rng.normal(size=H), requires_grad=True)


def weights(rows, dtype):
    shapes = (rows * H, D), (rows * H, H), (rows * H,), (rows * H,)
    return [tg.tensor(rng.normal(size=shape), dtype, requires_grad=True) for shape in shapes]


def rnn(dtype=float):
    W_xh, W_hh, b, c = weights(1, dtype)

    def cell(h, x):
        h = tg.tanh(linear(x, W_xh, b) + linear(h, W_hh, c) * 2.0)
        return h, h

    return cell, np.zeros((B, H), dtype)


def lstm(dtype=float):
    W_ih, W_hh, b_ih, b_hh = weights(4, dtype)

    def cell(state, x):
        h, c = state
        i, f, g, o = tg.split(linear(x, W_ih, b_ih) + linear(h, W_hh, b_hh), 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tg.tanh(g)
        h = sigmoid(o) * tg.tanh(c)
        return (h, c), h

    return cell, (np.zeros((B, H), dtype), np.zeros((B, H), dtype))


def gru(dtype=float):
    p = dict(zip(("W_x", "W_h", "b_x", "b_h"), weights(3, dtype), strict=True))

    def cell(h, x):
        x_r, x_z, x_n = tg.split(linear(x, p["W_x"], p["b_x"]), 3, axis=-1)
        h_r, h_z, h_n = tg.split(linear(h, p["W_h"], p["b_h"]), 3, axis=-1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        candidate = tg.tanh(x_n + r * h_n)
        return (1 - z) * candidate + z * h - tg.astype(SHARED, dtype) / 3.0, -candidate

    return cell, np.zeros((B, H), dtype)


CELLS = {f.__name__: f for f in (rnn, lstm, gru)}


class Value(np.ndarray):
    """An array as comments see it: ᵀ swaps the last two axes."""

    @property
    def T(self):  # noqa: N802
        return self.swapaxes(-1, -2)


class Joined(ast.NodeTransformer):
    def visit_List(self, node):
        return ast.Call(ast.Name("joined", ast.Load()), [self.visit(x) for x in node.elts], [])


def joined(*parts):
    return np.concatenate(parts, -1).view(Value)


def evaluated(formula, known):
    """What a formula says."""
    text = formula.replace("ᵀ", ".T").replace("²", "**2").replace("_{t-1}", "_before")
    tree = ast.fix_missing_locations(Joined().visit(ast.parse(text, mode="eval")))
    functions = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "joined": joined, "concatenate": joined}
    return eval(compile(tree, formula, "eval"), vars(np) | functions | known)


def in_rows(value):
    """A value [B, S, W] or [S, B, W], whose gates are in slots, as [B, S W]."""
    if value.ndim < 3:
        return value.view(Value)
    rows = B if B in value.shape else 1
    return np.moveaxis(value, value.shape.index(rows), 0).reshape(rows, -1).view(Value)


def numbers(sections, values):
    """Random numbers for what a program is given, unless they are known, and what it computes of them in one step."""
    given = [a for e in (*sections.once, *sections.equations) for a in e.inputs]
    for v in (*sections.step.carry, *sections.step.xs, *sections.step.constants, *given):
        if v not in values and v.equation not in (*sections.once, *sections.equations):
            values[v] = rng.normal(size=v.shape).astype(v.dtype)
    for e in (*sections.once, *sections.equations):
        args = [values[a] if isinstance(a, type(e.out)) else a for a in e.args]
        values[e.out] = np.asarray(e.prim.forward(*args, **e.kwargs))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_comments_are_true(name, dtype):
    cell, carry = CELLS[name](dtype)
    loop = Loop(cell, carry, np.zeros((T, B, D), dtype), None, False)
    step = LoopProgram(capture(loop, named=True).step, "numpy")
    every = [tuple([True] * len(part)) for part in (step.step.carry, step.step.xs, step.step.constants)]
    derivative = step.derivative(*every)
    values = {}
    checked = 0
    for blocks in (derivative.forward, derivative.backward):
        operands = blocks.emitted.values
        sections, names = operands.program, operands.names
        numbers(sections, values)
        known = {called: x for called, x in names.space.items() if isinstance(x, np.ndarray)}
        formulas = Formulas(operands)
        for v, x in sorted(values.items(), key=lambda item: item[0] not in names.of):
            if v in names.of or v.name:
                known.setdefault(formulas.name(v).replace("_{t-1}", "_before"), in_rows(x))
        for e in (*sections.once, *sections.equations):
            said = comment(e, operands)
            if "…" in said or "scatter" in said:
                continue
            if (
                re.search(r"\[\d\]|\* concatenate|_slots", said) or max(v.ndim for v in (e.out, *e.inputs)) > 2
            ):  # gates in slots
                continue
            got = evaluated(said.rpartition(" = ")[2], known)
            assert_allclose(got, values[e.out], rtol=3e-5, atol=3e-5, err_msg=said)
            checked += 1
    assert checked >= 12


def test_values_go_by_the_names_of_variables():
    source = tg.scan_program(*lstm("f"), np.zeros((T, B, D), "f")).source
    forward, _, backward = source.partition("def backward")
    assert "def forward(n, W_ih, b_ih, W_hh, b_hh, " in forward
    for line in (
        "multiply(sigmoid_f, c_prev, ",
        "# c_t = sigmoid_f_t * c_{t-1} + sigmoid_i_t * tanh_g_t\n",
        "# h_t = sigmoid_o_t * tanh_c_t\n",
    ):
        assert line in forward, line
    for line in (
        "def block(δh_next, δc_next, ct_h, ",
        "# δh_t = δh_next_t + ct_h_t\n",
        "# δc_t = δc_next_t + δh_t * sigmoid_o_t * (1 - tanh_c_t²)\n",
        "# δc_next_{t-1} = δc_t * sigmoid_f_t\n",
        "    δW_hh = ",
        "@ h_{t-1}\n",
    ):
        assert line in backward, line


def test_the_textbook_s_recursion():
    source = tg.scan_program(*rnn(), np.zeros((T, B, D))).source
    loop = source.partition("# the loop, from the last step to the first")[2].partition("# after the loop")[0]
    assert [line.partition("  # ")[2] for line in loop.splitlines() if "  # " in line] == [
        "δh_t = δh_next_t + ct_h_t",
        "δh_t * (1 - h_t²)",
        "δh_next_{t-1} = (δh_t * (1 - h_t²)) @ (W_hh * 2.0)",
    ]


def test_names_from_wherever_a_cell_can_name_them():
    class Cell(nn.Module):
        def __init__(self):
            self.W = tg.tensor(np.eye(H), requires_grad=True)
            self.out = nn.Linear(H, H, rng=0)

        def forward(self, carry, inputs):
            (h, _), (x, label) = carry, inputs
            new = tg.tanh(self.out(h @ self.W) + x * SHARED)
            return (new, label), new.sum()

    source = tg.scan_program(Cell(), (np.zeros(H), 0.0), (np.zeros((T, H)), np.zeros(T))).source
    assert "def forward(n, W, weight, bias, SHARED" in source
    assert "    def block(h, carry2" in source


def test_names_that_were_given_come_first():
    W = tg.tensor(np.eye(H), requires_grad=True, name="W_hh")
    source = tg.scan_program(lambda h, x: (tg.tanh(h @ W), None), np.zeros((2, H)), None, T).source
    assert "def forward(n, W_hh" in source


def test_what_is_long_goes_by_its_name():
    def cell(h, x):
        return tg.tanh(tg.exp(tg.sin(tg.cos(h * x + x * x * 3.0 - 2.0 / (x + 1.0)) * 2.0) * 3.0 + x) * x), None

    source = tg.scan_program(cell, np.zeros(H), np.ones((T, H))).source
    assert max(len(line.partition("  # ")[2]) for line in source.splitlines()) < 100
