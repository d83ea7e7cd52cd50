"""Running sums and products at zeros, infinities and over long axes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg

inf, nan = np.inf, np.nan


def gradient(f, x):
    """∇ Σ f at x."""
    return tg.grad(lambda x: tg.sum(f(x)))(np.asarray(x, float)).data


def test_cumsum():
    assert_array_equal(tg.cumsum(np.array([1.0, 2.0, 4.0])), [1, 3, 7])
    assert_array_equal(gradient(lambda x: tg.cumsum(x) * [1.0, 10.0, 100.0], np.zeros(3)), [111, 110, 100])
    assert_array_equal(gradient(tg.cumsum, [inf, 1.0]), [2, 1])
    assert_array_equal(tg.cumsum([1, 2, 3]), [1, 3, 6])
    assert tg.cumsum(np.int32([1, 2])).dtype == np.cumsum(np.int32([1, 2])).dtype
    assert tg.cumsum(5.0).shape == tg.cumprod(5.0).shape == (1,)  # as NumPy


def test_cumprod_with_zeros():
    """∂(y_1 + … + y_n)/∂x_i = (x_1 ⋯ x_{i−1}) (1 + x_{i+1} + x_{i+1} x_{i+2} + …)."""
    assert_array_equal(gradient(tg.cumprod, [2.0, 3.0, 4.0]), [1 + 3 + 12, 2 * (1 + 4), 6])
    assert_array_equal(gradient(tg.cumprod, [2.0, 0.0, 4.0]), [1, 2 * (1 + 4), 0])
    assert_array_equal(gradient(tg.cumprod, [0.0, 0.0, 4.0]), [1, 0, 0])
    assert_array_equal(gradient(tg.cumprod, [0.0, 3.0, 0.0]), [4, 0, 0])
    assert_array_equal(gradient(tg.cumprod, [-0.0]), [1])
    hessian = [tg.hvp(lambda x: tg.cumprod(x).sum(), np.array([0.0, 0.0, 4.0]), e).data for e in np.eye(3)]
    assert_array_equal(hessian, [[0, 5, 0], [5, 0, 0], [0, 0, 0]])


def test_cumprod_with_infinity_and_nan():
    assert_array_equal(gradient(tg.cumprod, [inf, 2.0, 3.0]), [1 + 2 + 6, inf, inf])
    with np.errstate(invalid="ignore"):  # NumPy's warning about 0 · ∞, in the product itself
        assert_array_equal(gradient(tg.cumprod, [0.0, inf]), [inf, 0])
    assert_array_equal(gradient(tg.cumprod, [2.0, nan, 1.0]), [nan, 4, nan])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33])
def test_cumprod_of_every_length(n):
    """The derivative is made by doubling: is it whole at lengths around the powers of two?"""
    rng = np.random.default_rng(n)
    x, c = rng.normal(size=n), rng.normal(size=n)
    x[rng.random(n) < 0.1] = 0
    jacobian = [[np.prod(np.delete(x[: k + 1], i)) if i <= k else 0 for i in range(n)] for k in range(n)]
    _, pullback = tg.vjp(tg.cumprod, x)
    assert_allclose(pullback(c)[0].data, c @ np.array(jacobian), rtol=1e-12, atol=1e-14)


def test_cumprod_in_float32_keeps_it():
    x = tg.tensor([2.0, 0.0, 3.0], dtype=np.float32, requires_grad=True)
    y = x.cumprod()
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32
    assert_array_equal(x.grad, [1, 8, 0])
