"""Linear against the formula, and what all layers and cells have in common."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn

rng = np.random.default_rng(11)
MAKERS = [nn.Linear, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.RNN, nn.LSTM, nn.GRU]


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


@pytest.mark.parametrize("make", MAKERS)
def test_default_dtype(make):
    assert {p.dtype for p in make(3, 2).parameters()} == {np.dtype(np.float64)}
    with tg.default_dtype(np.float32):
        assert {p.dtype for p in make(3, 2).parameters()} == {np.dtype(np.float32)}
    assert {p.dtype for p in make(3, 2, dtype=np.float32).parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("size", [0, -1, 2.0, None])
def test_sizes_are_positive_whole_numbers(make, size):
    with pytest.raises(ValueError, match=f"{make.__name__}: .* must be a positive whole number, got {size}"):
        make(size, 2)
    with pytest.raises(ValueError, match=f"{make.__name__}: .* must be a positive whole number, got {size}"):
        make(2, size)
