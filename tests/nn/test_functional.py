"""Layer normalisation and dropout as functions."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.nn import functional

rng = np.random.default_rng(31)


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_layer_norm(shape):
    x, weight, bias = rng.normal(2, 3, size=shape), rng.normal(size=5), rng.normal(size=5)
    centred = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    assert_allclose(functional.layer_norm(x).data, centred, rtol=1e-12)
    assert_allclose(functional.layer_norm(x, weight).data, centred * weight, rtol=1e-12)
    assert_allclose(functional.layer_norm(x, weight, bias).data, centred * weight + bias, rtol=1e-12)
    wide = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.5)
    assert_allclose(functional.layer_norm(x, eps=0.5).data, wide, rtol=1e-12)
    tg.check_grads(functional.layer_norm, [x, weight, bias])
    assert functional.layer_norm(x.astype(np.float32)).dtype == np.float32


def test_layer_norm_is_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    x, weight, bias = rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=5)
    want = torch.nn.functional.layer_norm(torch.tensor(x), (5,), torch.tensor(weight), torch.tensor(bias))
    assert_allclose(functional.layer_norm(x, weight, bias).data, want.numpy(), rtol=1e-12, atol=1e-14)


def test_equal_numbers_are_normalised_to_zero():
    x = tg.tensor(np.full(4, 3.0), requires_grad=True)
    y = functional.layer_norm(x)
    y.backward(np.ones(4))
    assert_array_equal(y.data, np.zeros(4))
    assert np.isfinite(x.grad).all()


def test_dropout():
    x = tg.tensor(rng.normal(size=(200, 300)), requires_grad=True)
    y = functional.dropout(x, 0.3, rng=5)
    kept = y.data != 0
    assert kept.mean() == pytest.approx(0.7, abs=0.01)
    assert_allclose(y.data[kept], x.data[kept] / 0.7, rtol=1e-14)
    y.sum().backward()
    assert_allclose(x.grad, kept / 0.7, rtol=1e-14)
    assert_array_equal(functional.dropout(x, 0.3, rng=5).data, y.data)
    assert not np.array_equal(functional.dropout(x, 0.3).data, functional.dropout(x, 0.3).data)
    generator = tg.random.default_rng(5)
    assert_array_equal(functional.dropout(x, 0.3, rng=generator).data, y.data)
    assert not np.array_equal(functional.dropout(x, 0.3, rng=generator).data, y.data)  # it went on


def test_no_dropout_and_nothing_but():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    assert functional.dropout(x, 0.0) is x
    assert functional.dropout(x, 0.5, training=False) is x
    assert functional.dropout(x, 1.0).data.tolist() == [0.0, 0.0]
    assert functional.dropout(np.ones(1000, np.float32), 0.5).dtype == np.float32


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), "a", True, None, [0.5]], ids=repr)
def test_dropout_wants_a_probability(p):
    with pytest.raises(ValueError, match=re.escape(f"dropout: p must be a number in 0 … 1, got {p!r}")):
        functional.dropout(np.ones(3), p)
