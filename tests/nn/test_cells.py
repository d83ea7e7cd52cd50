"""The cells against their formulas in NumPy, against PyTorch, and unrolled."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn

from . import by_hand
from .test_layers import with_parameters

rng = np.random.default_rng(17)
GATES = {nn.RNNCell: 1, nn.LSTMCell: 4, nn.GRUCell: 3}


# ---------------------------------------------------------------------------------------------------- against formulas


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (4,)])
def test_rnn_cell(batch, bias, nonlinearity):
    cell = nn.RNNCell(3, 2, bias, nonlinearity, rng=0)
    x, h = rng.normal(size=(*batch, 3)), rng.normal(size=(*batch, 2))
    for given, start in ((h, h), (None, np.zeros_like(h))):
        want = by_hand.rnn_step(cell.state_dict(), x, {"h": start}, nonlinearity=nonlinearity)
        assert_allclose(cell(x, given).data, want["h"], rtol=1e-13)
    tg.check_grads(*with_parameters(cell, lambda: cell(x, h)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (4,), (0,)])
def test_lstm_cell(batch, bias):
    cell = nn.LSTMCell(3, 2, bias, rng=0)
    x, h, c = (rng.normal(size=(*batch, n)) for n in (3, 2, 2))
    for given, start in (((h, c), (h, c)), (None, (np.zeros_like(h), np.zeros_like(c)))):
        found = cell(x, given)
        assert isinstance(found, nn.LSTMState)
        want = by_hand.lstm_step(cell.state_dict(), x, dict(zip("hc", start, strict=True)))
        for name, got in found._asdict().items():
            assert_allclose(got.data, want[name], rtol=1e-13)
    if x.size:
        tg.check_grads(*with_parameters(cell, lambda: tg.concatenate(cell(x, (h, c)), -1)))
        tg.check_grads(lambda x, h, c: tg.concatenate(cell(x, (h, c)), -1), [x, h, c])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (4,), (0,)])
def test_gru_cell(batch, bias):
    cell = nn.GRUCell(3, 2, bias, rng=0)
    x, h = rng.normal(size=(*batch, 3)), rng.normal(size=(*batch, 2))
    for given, start in ((h, h), (None, np.zeros_like(h))):
        assert_allclose(cell(x, given).data, by_hand.gru_step(cell.state_dict(), x, {"h": start})["h"], rtol=1e-13)
    if x.size:
        tg.check_grads(*with_parameters(cell, lambda: cell(x, h)))
        tg.check_grads(cell, [x, h])


# ----------------------------------------------------------------------------------------------------- against PyTorch


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (4,)])
@pytest.mark.parametrize("make", [nn.LSTMCell, nn.GRUCell])
def test_five_steps_in_pytorch_give_the_same_states_and_gradients(make, batch, bias):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    ours, theirs = make(3, 5, bias, rng=0), getattr(torch.nn, make.__name__)(3, 5, bias, dtype=torch.float64)
    ours.load_state_dict({name: p.detach().numpy() for name, p in theirs.named_parameters()})
    assert list(ours.state_dict()) == [name for name, _ in theirs.named_parameters()]
    xs, start = rng.normal(size=(5, *batch, 3)), rng.normal(size=(2, *batch, 5))

    def final(cell, xs, start):
        carry = tuple(start) if make is nn.LSTMCell else start[0]
        for x in xs:
            carry = cell(x, carry)
        return carry if make is nn.LSTMCell else (carry,)

    a, b = tg.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    got, want = final(ours, xs, a), final(theirs, torch.tensor(xs), b)
    for g, w in zip(got, want, strict=True):
        assert_allclose(g.data, w.detach().numpy(), rtol=1e-13, atol=1e-15)  # a sum of larger numbers can be near 0
    sum((g**3).sum() for g in got).backward()
    sum((w**3).sum() for w in want).backward()
    assert_allclose(a.grad, b.grad.numpy(), rtol=1e-11, atol=1e-14)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_allclose(p.grad, q.grad.numpy(), rtol=1e-11, atol=1e-14, err_msg=name)


# ---------------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("make", GATES)
def test_parameters_are_named_shaped_and_drawn_as_pytorchs(make):
    cell, rows = make(30, 100, rng=3), 100 * GATES[make]
    state = cell.state_dict()
    shapes = {"weight_ih": (rows, 30), "weight_hh": (rows, 100), "bias_ih": (rows,), "bias_hh": (rows,)}
    assert {name: array.shape for name, array in state.items()} == shapes
    assert list(make(3, 2, False).state_dict()) == ["weight_ih", "weight_hh"]
    for array in state.values():
        assert np.abs(array).max() <= 0.1
    assert state["weight_hh"].std() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    again = make(30, 100, rng=np.random.default_rng(3))
    for name, array in again.state_dict().items():
        assert_array_equal(array, state[name])
    other = make(30, 100)
    other.load_state_dict(state)
    x = rng.normal(size=30)
    with tg.no_grad():
        assert_array_equal(np.asarray(other(x)), np.asarray(cell(x)))


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("make", GATES)
def test_errors_of_shape(make):
    cell, name = make(3, 2), make.__name__
    for x in (np.ones(2), np.ones((4, 2)), np.ones((1, 4, 3)), 1.0):
        with pytest.raises(ValueError, match=re.escape(f"{name}: input must have shape [B, 3] or [3], got ")):
            cell(x)
    for x, h in [((4, 3), (1, 2)), ((4, 3), (2,)), ((3,), (4, 2)), ((4, 3), (4, 3))]:
        want = [*x[:-1], 2]
        for wrong in ("h", "c") if make is nn.LSTMCell else ("h",):
            good, bad = np.ones(want), np.ones(h)
            state = {"h": (bad, good), "c": (good, bad)}[wrong] if make is nn.LSTMCell else bad
            message = f"{name}: {wrong} must have shape {want} for input of shape {x}, got {h}"
            with pytest.raises(ValueError, match=re.escape(message)):
                cell(np.ones(x), state)


def test_other_errors():
    with pytest.raises(ValueError, match="RNNCell: nonlinearity must be 'tanh' or 'relu', got 'sigmoid'"):
        nn.RNNCell(3, 2, nonlinearity="sigmoid")
    with pytest.raises(TypeError, match=re.escape("LSTMCell: hx must be a pair (h, c), got ndarray")):
        nn.LSTMCell(3, 2)(np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match=re.escape("LSTMCell: hx must be a pair (h, c), got 3 of them")):
        nn.LSTMCell(3, 2)(np.ones(3), (np.ones(2),) * 3)


# ------------------------------------------------------------------------------------------------------------ unrolled


def test_gates_and_states_have_their_textbook_names_in_a_loop():
    cell, head = nn.LSTMCell(3, 2, rng=0), nn.Linear(2, 1, rng=0)
    start = nn.LSTMState(tg.tensor(np.zeros(2)), tg.tensor(np.zeros(2)))

    def step(state, x):
        state = cell(x, state)
        return state, head(state.h)

    _, ys = tg.scan(step, start, rng.normal(size=(3, 3)), unroll=True)
    nodes = tg.graph(ys).nodes
    names = {node.name for node in nodes}
    assert {"h_0", "c_0", *(f"{name}_{t}" for name in "xifgochy" for t in (1, 2, 3))} <= names
    assert {node.scope.path for node in nodes if node.name == "o_2"} == {("LSTMCell",)}

    gru_cell = nn.GRUCell(3, 2, rng=0)
    h, _ = tg.scan(lambda h, x: (gru_cell(x, h), None), np.zeros(2), rng.normal(size=(3, 3)), unroll=True)
    assert {f"{name}_{t}" for name in "xrznh" for t in (1, 2, 3)} <= {node.name for node in tg.graph(h).nodes}


def test_outside_of_a_loop_gates_have_plain_names_and_without_gradients_none():
    cell = nn.GRUCell(3, 2)
    x = rng.normal(size=3)
    assert cell(x).name == "h"
    with tg.no_grad():
        h = cell(x)
    assert (h.name, h.node) == (None, None)


@pytest.mark.parametrize("make", [nn.LSTMCell, nn.GRUCell])
def test_float32_stays(make):
    cell = make(3, 2, dtype=np.float32)
    xs = rng.normal(size=(4, 2, 3)).astype(np.float32)
    carry, _ = tg.scan(lambda s, x: (cell(x, s), None), cell(xs[0]), xs, unroll=True)
    h = carry.h if make is nn.LSTMCell else carry
    h.sum().backward()
    assert {node.dtype for node in tg.graph(h).nodes} == {"float32"}
    assert {p.grad.dtype for p in cell.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("unroll", [False, True])
def test_a_plain_pair_as_the_state_of_a_scan(unroll):
    """The cell returns a named one, which is nested alike."""
    cell = nn.LSTMCell(3, 2, rng=0)
    xs, start = np.ones((9, 5, 3)), (np.zeros((5, 2)), np.zeros((5, 2)))
    (h, c), ys = tg.scan(lambda state, x: (lambda new: (new, new.h))(cell(x, state)), start, xs, unroll=unroll)
    want = nn.LSTMState(*start)
    for x in xs:
        want = cell(x, want)
    for got, wanted in ((h, want.h), (c, want.c), (ys[-1], want.h)):
        np.testing.assert_allclose(got.data, wanted.data, rtol=1e-14)
