"""Points where a derivative is a matter of choice, or where arithmetic runs out of range. Warnings are errors here."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg

inf, nan = np.inf, np.nan


def gradient(f, x):
    """∇ Σ f at x."""
    return tg.grad(lambda x: tg.sum(f(x)))(np.asarray(x, float)).data


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
