"""Points where a derivative is a matter of choice, or where arithmetic runs out of range. Warnings are errors here."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.nn import functional

inf, nan = np.inf, np.nan


def gradient(f, x):
    """∇ Σ f at x."""
    return tg.grad(lambda x: tg.sum(f(x)))(np.asarray(x, float)).data


# --------------------------------------------------------------------------------------------------------- elementwise


def test_relu_at_its_kink():
    assert_array_equal(gradient(tg.relu, [-1.0, -0.0, 0.0, 1e-300, 1.0, inf, -inf]), [0, 0, 0, 1, 1, 1, 0])


def test_maximum_shares_at_a_tie():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    gx, gy = tg.grad(lambda x, y: (tg.maximum(x, y) * [2.0, 10.0, 100.0]).sum(), (0, 1))(x, y)
    assert_array_equal(gx.data, [1, 0, 100])
    assert_array_equal(gy.data, [1, 10, 0])
    assert gradient(lambda x: tg.maximum(x, x), 1.0) == 1.0
    assert gradient(lambda x: tg.maximum(x, 1.0), 1.0) == gradient(lambda x: tg.maximum(1.0, x), 1.0) == 0.5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sigmoid_saturates_quietly(dtype):
    x = tg.tensor([-inf, -1000.0, 0.0, 1000.0, inf], dtype=dtype, requires_grad=True)
    y = tg.sigmoid(x)
    y.sum().backward()
    assert_array_equal(y.data, [0, 0, 0.5, 1, 1])
    assert_array_equal(x.grad, [0, 0, 0.25, 0, 0])


def test_sigmoid_keeps_its_digits_in_the_left_tail():
    assert_allclose(tg.sigmoid(np.array([-30.0, -700.0])), np.exp([-30.0, -700.0]), rtol=1e-12)


def test_sigmoid_of_unsigned_integers():
    assert_allclose(tg.sigmoid(np.array([0, 1], np.uint8)), 1 / (1 + np.exp([-0.0, -1.0])), rtol=1e-3)


def test_tanh_saturates_quietly():
    assert_array_equal(gradient(tg.tanh, [-inf, -1000.0, 0.0, 1000.0, inf]), [0, 0, 1, 0, 0])


def test_where_does_not_look_at_the_branch_not_taken():
    x = np.array([0.0, 4.0])
    safe = tg.grad(lambda x: tg.where(x > 0, tg.sqrt(tg.where(x > 0, x, 1.0)), 0.0).sum())
    assert_array_equal(safe(x).data, [0, 0.25])


def test_power_of_zero():
    assert_array_equal(gradient(lambda x: x**2, [0.0, -3.0]), [0, -6])
    assert_array_equal(gradient(lambda x: x**1, [0.0, -3.0]), [1, 1])
    assert_array_equal(gradient(lambda x: x**0, [0.0, -3.0]), [0, 0])
    by_x, by_y = tg.grad(lambda x, y: (x**y).sum(), (0, 1))(np.zeros(4), np.array([0.0, 1.0, 2.0, 0.0]))
    assert_array_equal(by_x.data, [0, 1, 0, 0])
    assert_array_equal(by_y.data, [0, 0, 0, 0])
    assert_array_equal(gradient(lambda y: 0.0**y, [0.0, 1.0, 2.5]), [0, 0, 0])


@pytest.mark.parametrize("base", [0.0, np.array(0.0), np.array([0.0])])
def test_a_number_as_a_base_is_an_array_as_a_base(base):
    with np.errstate(divide="ignore"):
        assert gradient(lambda y: base**y, [-1.0]) == -inf


def test_power_by_zero_has_a_mixed_derivative():
    """∂²(x^y)/∂x∂y = x^(y−1) (1 + y log x), which is 1/x at y = 0."""
    x = np.array([0.5, 1.0, 3.0])
    mixed = tg.grad(lambda y: tg.grad(lambda x: (x**y).sum())(x).sum())
    assert_allclose(mixed(np.zeros(3)).data, 1 / x, rtol=1e-15)
    swapped = tg.grad(lambda x: tg.grad(lambda y: (x**y).sum())(np.zeros(3)).sum())
    assert_allclose(swapped(x).data, 1 / x, rtol=1e-15)


def test_power_of_a_negative_base():
    assert_array_equal(gradient(lambda x: x**3, [-2.0]), [12])
    assert_array_equal(gradient(lambda x: x ** np.array(3), [-2.0]), [12])
    assert_allclose(gradient(lambda x: x**-2, [-2.0]), [0.25], rtol=1e-15)


# ---------------------------------------------------------------------------------------------------------- reductions


def test_max_shares_among_ties():
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert_allclose(gradient(lambda x: tg.max(x, axis=1), x), [[0, 1 / 2, 1 / 2], [1 / 3] * 3], rtol=1e-15)
    assert_array_equal(gradient(tg.max, x), [[0, 0.5, 0.5], [0, 0, 0]])
    assert_array_equal(gradient(lambda x: tg.max(x, axis=(0, 1), keepdims=True), x), [[0, 0.5, 0.5], [0, 0, 0]])
    assert_array_equal(gradient(tg.max, [-inf, -inf]), [0.5, 0.5])


def test_mean():
    for n in range(1, 200):  # dividing by n, not multiplying by 1/n
        assert tg.mean(np.ones(n)) == 1.0
        assert tg.mean(tg.tensor(np.ones(n))).item() == 1.0
    assert tg.mean(np.array([1, 2])) == 1.5
    assert_array_equal(gradient(tg.mean, np.zeros(4)), [0.25] * 4)


def test_of_nothing():
    x = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    assert_array_equal(tg.sum(x, 0).data, [0, 0, 0])
    assert_array_equal(tg.mean(x, 0).data, [nan] * 3)
    assert_array_equal(tg.logsumexp(x, 0).data, [-inf] * 3)
    assert np.isnan(functional.cross_entropy(x, np.zeros(0, int)).item())
    assert np.isnan(functional.cross_entropy(x.data, np.zeros(0, int)))
    assert functional.cross_entropy(x, np.zeros(0, int), reduction="sum").item() == 0
    for y in (tg.mean(x), tg.logsumexp(x, 0).sum()):
        y.backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_logsumexp_does_not_overflow(dtype):
    large = float(np.finfo(dtype).max) / 2
    x = tg.tensor([large, large, -large], dtype=dtype, requires_grad=True)
    y = tg.logsumexp(x)
    y.backward()
    assert_allclose(y.data, x.data[0], rtol=1e-3)
    assert_array_equal(x.grad, [0.5, 0.5, 0])


def test_logsumexp_of_infinities():
    assert tg.logsumexp(np.array([-inf, 0.0])) == 0
    assert tg.logsumexp(np.array([inf, 1000.0])) == inf
    assert tg.logsumexp(np.array([-inf, -inf])) == -inf
    assert_array_equal(tg.logsumexp(np.array([[-inf, -inf], [0.0, 0.0]]), axis=1), [-inf, np.log(2)])
    assert_array_equal(gradient(tg.logsumexp, [-inf, 0.0, 0.0]), [0, 0.5, 0.5])


def test_softmax_of_masked_scores():
    x = np.array([-inf, 1000.0, 1000.0, -1000.0])
    assert_array_equal(tg.softmax(x), [0, 0.5, 0.5, 0])
    assert_array_equal(gradient(lambda x: tg.softmax(x)[1], x), [0, 0.25, -0.25, 0])
    assert_array_equal(tg.log_softmax(x)[[0, 3]], [-inf, -2000 - np.log(2)])
    assert_array_equal(gradient(lambda x: tg.log_softmax(x)[1], x), [0, 0.5, -0.5, 0])


def test_log_softmax_keeps_its_digits():
    """Of (0, −40), log softmax is −log(1 + e^−40): e^−40 itself, 4e-18, is below the spacing of numbers near 1."""
    assert_allclose(tg.log_softmax(np.array([0.0, -40.0]))[1], -40.0, rtol=1e-15)
    assert_allclose(tg.log_softmax(np.array([1e5, 1e5 - 40.0]))[1], -40.0, rtol=1e-15)


def test_cross_entropy_of_an_impossible_label():
    x = np.array([[0.0, -inf]])
    assert functional.cross_entropy(x, [1]) == inf
    assert_array_equal(gradient(lambda x: functional.cross_entropy(x, [1]), x), [[1, -1]])
    assert_array_equal(gradient(lambda x: functional.cross_entropy(x, [0]), x), [[0, 0]])


@pytest.mark.parametrize("dtype", [int, np.uint8, bool])
@pytest.mark.parametrize("f", [tg.softmax, tg.log_softmax, tg.logsumexp, lambda x: functional.cross_entropy(x, 1)])
def test_the_softmax_family_takes_integers(f, dtype):
    x = np.array([1, 0, 1], dtype)
    assert_allclose(f(x), f(x.astype(float)), rtol=1e-15)


# ------------------------------------------------------------------------------------------------------------ indexing


def test_repeated_indices_add_up():
    assert_array_equal(gradient(lambda x: x[[1, 1, 1, 0]] * [1.0, 2.0, 4.0, 8.0], np.zeros(3)), [8, 7, 0])


def test_an_index_may_be_changed_after_its_use():
    x, index = tg.tensor([1.0, 2.0, 3.0], requires_grad=True), np.array([0, 0])
    y = x[index].sum()
    index[:] = 2
    y.backward()
    assert_array_equal(x.grad, [2, 0, 0])


def test_a_tensor_of_integers_is_an_index():
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x[tg.tensor([2, 2])].sum().backward()
    assert_array_equal(x.grad, [0, 0, 2])
    assert tg.tensor([4.0, 5.0])[tg.tensor(1)].item() == 5


def test_unstack_gives_a_tuple():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    parts = tg.unstack(x)
    assert type(parts) is tuple
    assert_array_equal([p.data for p in parts], x.data)
    (parts[0] * parts[0] + parts[2]).sum().backward()
    assert_array_equal(x.grad, [[2, 4], [0, 0], [1, 1]])
    assert [p.shape for p in tg.unstack(x, -1)] == [(3,), (3,)]
    assert [p.item() for p in tg.tensor([1.0, 2.0])] == [1, 2]
    assert all(type(p) is np.ndarray for p in tg.unstack(x.data))
    assert tg.unstack(np.zeros((0, 2))) == ()


# ------------------------------------------------------------------------------------------- operators and methods


def test_operators_are_the_functions():
    x, y = tg.tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([[2.0, 1.0], [1.0, 3.0]])
    pairs = [
        (x + y, y + x, np.add(x.data, y)),
        (x * y, y * x, x.data * y),
        (x - y, -(y - x), x.data - y),
        (x / y, 1 / (y / x), x.data / y),
    ]
    for left, right, want in pairs:
        assert type(left) is type(right) is tg.Tensor
        assert_allclose(left.data, want, rtol=1e-15)
        assert_allclose(right.data, want, rtol=1e-15)
    assert_array_equal((x @ y).data, x.data @ y)
    assert_array_equal((y @ x).data, y @ x.data)
    assert_array_equal((x**y).data, x.data**y)
    assert_array_equal((y**x).data, y**x.data)
    assert_array_equal((2**x).data, 2**x.data)


def test_methods_are_the_functions():
    x = tg.tensor(np.arange(6.0).reshape(1, 2, 3))
    a = x.data
    for got, want in [
        (x.sum(), a.sum()),
        (x.sum(axis=1, keepdims=True), a.sum(axis=1, keepdims=True)),
        (x.mean(-1), a.mean(-1)),
        (x.max((0, 2)), a.max((0, 2))),
        (x.reshape(3, 2), a.reshape(3, 2)),
        (x.reshape((3, -1)), a.reshape(3, -1)),
        (x.reshape(-1), a.reshape(-1)),
        (x.transpose(), a.transpose()),
        (x.transpose(2, 0, 1), a.transpose(2, 0, 1)),
        (x.transpose((2, 0, 1)), a.transpose(2, 0, 1)),
        (x.swapaxes(0, 2), a.swapaxes(0, 2)),
        (x.squeeze(0), a.squeeze(0)),
        (x.squeeze(), a.squeeze()),
        (x.T, a.T),
        (x.astype(np.float32), a.astype(np.float32)),
    ]:
        assert type(got) is tg.Tensor
        assert got.dtype == np.asarray(want).dtype
        assert_array_equal(got.data, want)
    assert len(x) == 1


def test_ascontiguousarray_lays_out_in_c_order():
    x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = tg.ascontiguousarray(x.T)
    assert y.data.flags.c_contiguous
    assert_array_equal(y.data, x.data.T)
    assert np.shares_memory(tg.ascontiguousarray(x).data, x.data)  # already so: no copy
