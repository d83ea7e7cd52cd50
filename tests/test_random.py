"""Random tensors: NumPy's numbers, the default dtype, reparametrised gradients, a state that can be kept."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg

DRAWS = {
    "random": (lambda g: g.random((2, 3)), lambda g: g.random((2, 3))),
    "standard_normal": (lambda g: g.standard_normal(4), lambda g: g.standard_normal(4)),
    "standard_exponential": (lambda g: g.standard_exponential(4), lambda g: g.standard_exponential(4)),
    "normal": (lambda g: g.normal(1.0, 2.0, (2, 2)), lambda g: g.normal(1.0, 2.0, (2, 2))),
    "normal, one": (lambda g: g.normal(), lambda g: g.normal()),
    "normal, broadcast": (lambda g: g.normal([0.0, 9.0], [[1.0], [2.0]]), lambda g: g.normal([0, 9], [[1], [2]])),
    "uniform": (lambda g: g.uniform(-1, 3, size=[5]), lambda g: g.uniform(-1, 3, size=[5])),
    "exponential": (lambda g: g.exponential(0.5, 3), lambda g: g.exponential(0.5, 3)),
    "integers": (lambda g: g.integers(10, size=5), lambda g: g.integers(10, size=5)),
    "integers, both ends": (lambda g: g.integers(1, 6, 9, endpoint=True), lambda g: g.integers(1, 6, 9, endpoint=True)),
    "permutation": (lambda g: g.permutation(6), lambda g: g.permutation(6)),
    "choice": (lambda g: g.choice(9, 4, replace=False), lambda g: g.choice(9, 4, replace=False)),
    "choice, p": (lambda g: g.choice(3, (2, 2), p=[0.2, 0.3, 0.5]), lambda g: g.choice(3, (2, 2), p=[0.2, 0.3, 0.5])),
    "choice of slices": (
        lambda g: g.choice(np.arange(6.0).reshape(2, 3), 4, axis=1),
        lambda g: g.choice(np.arange(6.0).reshape(2, 3), 4, axis=1),
    ),
}


@pytest.mark.parametrize(("ours", "numpys"), DRAWS.values(), ids=DRAWS)
def test_numpys_numbers(ours, numpys):
    got, want = ours(tg.random.default_rng(5)), np.asarray(numpys(np.random.default_rng(5)))
    assert type(got) is tg.Tensor
    assert not got.requires_grad
    assert got.dtype == want.dtype
    assert_allclose(got.data, want, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    "name", ["random", "standard_normal", "standard_exponential", "normal", "uniform", "exponential"]
)
def test_the_default_dtype(name, dtype):
    with tg.default_dtype(dtype):
        drawn = getattr(tg.random.default_rng(0), name)(size=1000)
        assert name != "normal" or tg.random.default_rng(0).normal([0.0, 1.0], 2).dtype == dtype
        assert drawn.dtype == tg.random.default_rng(0).bernoulli(0.5, 3).dtype == dtype
    single = {"normal": "standard_normal", "uniform": "random", "exponential": "standard_exponential"}.get(name, name)
    want = getattr(np.random.default_rng(0), single)(1000, np.float32)  # drawn in single precision, not rounded to it
    assert_array_equal(drawn.data, want.astype(dtype))


def test_a_dtype_may_be_asked_for():
    assert tg.random.default_rng(0).standard_normal(3, dtype=np.float32).dtype == np.float32
    assert tg.random.default_rng(0).normal(np.zeros(3, np.float32)).dtype == np.float32


def test_permuted_slices():
    x = np.arange(12.0).reshape(3, 4)
    assert_array_equal(np.sort(tg.random.default_rng(1).permutation(x).data, axis=0), x)
    columns = tg.random.default_rng(2).permutation(x, axis=-1).data
    assert_array_equal(np.sort(columns, axis=1), x)
    assert not np.array_equal(columns, x)


def test_bernoulli():
    mask = tg.random.default_rng(3).bernoulli(0.25, 10_000).data
    assert set(mask) == {0.0, 1.0}
    assert abs(mask.mean() - 0.25) < 0.02
    g = tg.random.default_rng(3)
    assert (g.bernoulli(0.0, 100).data.any(), g.bernoulli(1.0, 100).data.all()) == (False, True)


# ------------------------------------------------------------------------------------------------------------ gradients


def test_gradients_flow_to_the_parameters():
    loc, scale = np.array([1.0, -1.0]), np.array([0.5, 2.0])
    noise = np.random.default_rng(2).standard_normal(2)
    by_loc, by_scale = tg.grad(lambda m, s: (tg.random.default_rng(2).normal(m, s) ** 2).sum(), (0, 1))(loc, scale)
    x = loc + scale * noise
    assert_allclose(by_loc.data, 2 * x, rtol=1e-14)
    assert_allclose(by_scale.data, 2 * x * noise, rtol=1e-14)
    u = np.random.default_rng(2).random(2)
    by_low, by_high = tg.grad(lambda a, b: tg.random.default_rng(2).uniform(a, b).sum(), (0, 1))(loc, loc + scale)
    assert_allclose(by_low.data, 1 - u, rtol=1e-14)
    assert_allclose(by_high.data, u, rtol=1e-14)
    by_scale = tg.grad(lambda s: tg.random.default_rng(2).exponential(s).sum())(scale)
    assert_allclose(by_scale.data, np.random.default_rng(2).standard_exponential(2), rtol=1e-14)


def test_gradients_flow_to_the_slices_drawn():
    x = np.array([1.0, 2.0, 3.0])
    drawn = np.random.default_rng(4).choice(3, 5)
    g = tg.grad(lambda x: tg.random.default_rng(4).choice(x, 5).sum())(x)
    assert_array_equal(g.data, np.bincount(drawn, minlength=3))
    assert_array_equal(tg.grad(lambda x: tg.random.default_rng(4).permutation(x).sum())(x).data, np.ones(3))


def test_a_gradient_that_would_be_dropped_is_refused():
    p = tg.tensor([0.5, 0.5], requires_grad=True)
    with pytest.raises(TypeError, match="needs a gradient"):
        tg.random.default_rng(0).choice(2, 3, p=p)
    with pytest.raises(TypeError, match="bernoulli: p must be a number"):
        tg.random.default_rng(0).bernoulli(p[0], 3)


# ---------------------------------------------------------------------------------------------------------------- state


def test_a_state_can_be_kept():
    g = tg.random.default_rng(7)
    g.normal(size=3)
    state = g.bit_generator.state
    first = g.normal(size=3)
    g.bit_generator.state = state
    assert_array_equal(g.normal(size=3).data, first.data)
    other = tg.random.default_rng(0)
    other.bit_generator.state = state
    assert_array_equal(other.normal(size=3).data, first.data)


def test_nothing_is_global():
    a, b = tg.random.default_rng(1), tg.random.default_rng(1)
    a.normal(size=100)
    np.random.default_rng(1).normal(size=10)
    assert_array_equal(b.normal(size=2).data, tg.random.default_rng(1).normal(size=2).data)
    assert not np.array_equal(tg.random.default_rng().random(3).data, tg.random.default_rng().random(3).data)


def test_a_generator_of_numpys_is_shared():
    numpys = np.random.default_rng(1)
    g = tg.random.default_rng(numpys)
    assert g.numpy is numpys
    assert tg.random.default_rng(g) is g
    assert repr(g) == "Generator(PCG64)"
    assert len({child.random().item() for child in g.spawn(3)}) == 3


WRONG = {
    "scale": (lambda g: g.normal(0.0, -1.0), ValueError, "normal: scale must not be negative, got -1.0"),
    "scale, tensor": (
        lambda g: g.exponential(tg.tensor([1.0, -1.0])),
        ValueError,
        "exponential: scale must not be neg",
    ),
    "size": (lambda g: g.random(2.5), TypeError, "random: shape must be an integer or a sequence of integers, got 2.5"),
    "shapes": (
        lambda g: g.normal([0.0, 1.0], [1.0] * 3),
        ValueError,
        "normal: shapes (2,) and (3,) don't broadcast to",
    ),
    "size and shape": (
        lambda g: g.uniform([0.0, 1.0], 2.0, size=3),
        ValueError,
        "uniform: shapes (2,) and () don't broadcast to size 3",
    ),
    "p": (lambda g: g.bernoulli(1.5, 3), ValueError, "bernoulli: p must lie in 0 … 1, got 1.5"),
    "dtype": (lambda g: g.random(3, dtype=int), TypeError, "random: want a floating-point dtype, got int64"),
    "permutation": (
        lambda g: g.permutation(2.5),
        TypeError,
        "permutation: want an array of at least one axis or an int",
    ),
    "axis": (lambda g: g.permutation([1.0, 2.0], axis=1), ValueError, "permutation: axis 1 is out of range for 1 axes"),
    "choice, axis": (lambda g: g.choice([1.0, 2.0], axis=-2), ValueError, "choice: axis -2 is out of range for 1 axes"),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_message(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        call(tg.random.default_rng(0))
