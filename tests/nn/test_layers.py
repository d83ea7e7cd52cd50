"""Linear and RNN against the formula, in NumPy, step by step."""

import re
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional

rng = np.random.default_rng(11)
ACTIVATIONS = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0)}


def loop(state, xs, h, nonlinearity, suffix):
    """h_t = f(x_t W_ihᵀ + b_ih + h_{t−1} W_hhᵀ + b_hh), one t at a time."""
    ys = []
    for x in xs:
        a = x @ state[f"weight_ih{suffix}"].T + h @ state[f"weight_hh{suffix}"].T
        h = ACTIVATIONS[nonlinearity](a + state.get(f"bias_ih{suffix}", 0) + state.get(f"bias_hh{suffix}", 0))
        ys.append(h)
    return np.stack(ys), h


def with_parameters(module, f):
    """f(module(...)) as a function of the parameters, for check_grads."""
    names = [name for name, _ in module.named_parameters()]

    def of_parameters(*values):
        for name, value in zip(names, values, strict=True):
            object.__setattr__(module, name, value)
        return f()

    return of_parameters, [p.data.copy() for p in module.parameters()]


# ------------------------------------------------------------------------------------------------------------ Linear


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape, bias):
    layer, x = nn.Linear(3, 2, bias, rng=0), rng.normal(size=shape)
    state = layer.state_dict()
    assert list(state) == (["weight", "bias"] if bias else ["weight"])
    assert state["weight"].shape == (2, 3)
    y = layer(x)
    assert_allclose(y.data, x @ state["weight"].T + state.get("bias", 0), rtol=1e-14)
    assert y.shape == (*shape[:-1], 2)
    tg.check_grads(*with_parameters(layer, lambda: layer(x)))


def test_linear_starts_within_its_bound():
    layer = nn.Linear(100, 50, rng=0)
    for p in layer.parameters():
        assert np.abs(p.data).max() <= 0.1
    assert layer.weight.data.std() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert_array_equal(nn.Linear(4, 3, rng=5).weight.data, nn.Linear(4, 3, rng=np.random.default_rng(5)).weight.data)


@pytest.mark.parametrize("make", [nn.Linear, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.RNN])
def test_default_dtype(make):
    assert {p.dtype for p in make(3, 2).parameters()} == {np.dtype(np.float64)}
    with tg.default_dtype(np.float32):
        assert {p.dtype for p in make(3, 2).parameters()} == {np.dtype(np.float32)}
    assert {p.dtype for p in make(3, 2, dtype=np.float32).parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("make", [nn.Linear, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.RNN])
@pytest.mark.parametrize("size", [0, -1, 2.0, None])
def test_sizes_are_positive_whole_numbers(make, size):
    with pytest.raises(ValueError, match=f"{make.__name__}: .* must be a positive whole number, got {size}"):
        make(size, 2)
    with pytest.raises(ValueError, match=f"{make.__name__}: .* must be a positive whole number, got {size}"):
        make(2, size)


# --------------------------------------------------------------------------------------------------------------- RNN


@pytest.mark.parametrize("nonlinearity", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (1, 3), (5, 4, 3), (1, 1, 3)])
def test_rnn(shape, bias, nonlinearity):
    rnn = nn.RNN(3, 2, nonlinearity, bias, rng=0)
    state = rnn.state_dict()
    assert list(state) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"][: 4 if bias else 2]
    xs, h_0 = rng.normal(size=shape), rng.normal(size=(1, *shape[1:-1], 2))
    for given, start in ((h_0, h_0), (None, np.zeros_like(h_0))):
        ys, h_n = rnn(xs, given)
        want, last = loop(state, xs, start[0], nonlinearity, "_l0")
        assert ys.shape == (*shape[:-1], 2)
        assert h_n.shape == h_0.shape
        assert_allclose(ys.data, want, rtol=1e-12, atol=1e-15)
        assert_allclose(h_n.data, last[None], rtol=1e-12, atol=1e-15)
    tg.check_grads(*with_parameters(rnn, lambda: rnn(xs, h_0)[0] + rnn(xs, h_0)[1][0]))


def test_rnn_gradients_by_its_inputs():
    rnn = nn.RNN(3, 2, rng=0)
    tg.check_grads(lambda xs, h_0: rnn(xs, h_0)[0], [rng.normal(size=(4, 2, 3)), rng.normal(size=(1, 2, 2))])


def test_rnn_keeps_float32():
    rnn = nn.RNN(3, 2, dtype=np.float32)
    xs = tg.tensor(rng.normal(size=(4, 2, 3)), dtype=np.float32, requires_grad=True)
    ys, h_n = rnn(xs)
    assert (ys.dtype, h_n.dtype) == (np.float32, np.float32)
    (ys.sum() + h_n.sum()).backward()
    assert {p.grad.dtype for p in (xs, *rnn.parameters())} == {np.dtype(np.float32)}
    assert {node.dtype for node in tg.graph(ys, h_n).nodes} == {"float32"}


def test_rnn_names_its_steps():
    ys, h_n = nn.RNN(3, 2)(rng.normal(size=(3, 2, 3)))
    names = {node.name for node in tg.graph(ys, h_n).nodes}
    assert {"h_1", "h_2", "h_3", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"} <= names


def test_rnn_errors():
    rnn = nn.RNN(3, 2)
    for xs in (np.ones((4, 2)), np.ones((4, 2, 2)), np.ones((0, 2, 3)), np.ones(3), np.ones((1, 4, 2, 3))):
        message = f"RNN: xs must have shape [T, B, 3] or [T, 3], T >= 1; got {xs.shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            rnn(xs)
    for h_0 in (np.ones((1, 2)), np.ones((4, 2)), np.ones((1, 1, 2)), np.ones((1, 4, 3))):
        message = f"RNN: h_0 must have shape [1, 4, 2] for xs of shape (5, 4, 3), got {h_0.shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            rnn(np.ones((5, 4, 3)), h_0)
    with pytest.raises(ValueError, match="RNN: nonlinearity must be 'tanh' or 'relu', got 'gelu'"):
        nn.RNN(3, 2, "gelu")


def test_the_cell_unrolled_is_the_layer():
    rnn, cell = nn.RNN(3, 2, rng=0), nn.RNNCell(3, 2, rng=1)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in rnn.state_dict().items()})
    xs = rng.normal(size=(5, 4, 3))
    h, ys = tg.unroll(lambda h, x: (cell(x, h),) * 2, np.zeros((4, 2)), xs)
    want, h_n = rnn(xs)
    assert_allclose(ys.data, want.data, rtol=1e-13)
    assert_allclose(h.data, h_n.data[0], rtol=1e-13)
    ys.sum().backward()
    want.sum().backward()
    for name, p in rnn.named_parameters():
        assert_allclose(getattr(cell, name.removesuffix("_l0")).grad, p.grad, rtol=1e-12)


def test_a_training_step_lowers_the_loss():
    rnn, head = nn.RNN(3, 8, rng=0), nn.Linear(8, 4, rng=1)
    xs, labels = rng.normal(size=(6, 5, 3)), rng.integers(4, size=(6, 5))
    losses = []
    for _ in range(20):
        loss = functional.cross_entropy(head(rnn(xs)[0]), labels)
        loss.backward()
        losses.append(loss.item())
        for p in (*rnn.parameters(), *head.parameters()):
            p.data -= 0.5 * p.grad
            p.grad = None
    assert all(a > b for a, b in pairwise(losses))
