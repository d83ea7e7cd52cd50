"""Products by other ways than NumPy's: shared weights stay one product, also in a batch; messages."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg

rng = np.random.default_rng(7)
weight = rng.normal(size=(4, 3))


def of(*shape):
    return tg.tensor(np.zeros(shape), requires_grad=True)


@pytest.fixture
def products(monkeypatch):
    """The shapes that NumPy's product is called with; of more than two axes, it would multiply one by one."""
    seen = []

    def spy(x, y):
        seen.append((np.shape(x), np.shape(y)))
        return np.matmul(x, y)

    spied = type("numpy", (), {"__getattr__": lambda _, name: spy if name == "matmul" else getattr(np, name)})()
    monkeypatch.setattr("tinygrad_rnn.ops.products.np", spied)
    return seen


SHARED = {
    "rows": (lambda h: h @ weight.T, (5, 3), [((5, 3), (3, 4))]),
    "matrices of rows": (lambda h: h @ weight.T, (5, 2, 3), [((10, 3), (3, 4))]),
    "vectors": (lambda h: tg.matmul(weight, h), (5, 3), []),
    "matrices of columns": (lambda h: tg.matmul(weight, h), (5, 3, 2), []),
    "inner": (lambda h: tg.inner(h, weight), (5, 3), []),
    "inner of matrices": (lambda h: tg.inner(h, weight), (5, 2, 3), []),
    "inner, weight first": (lambda h: tg.inner(weight, h), (5, 3), []),
}


@pytest.mark.parametrize(("f", "shape", "seen"), SHARED.values(), ids=SHARED)
def test_a_shared_weight_multiplies_a_batch_in_one_product(products, f, shape, seen):
    """As `matmul` of two matrices, or as `inner`, which lays its arguments out as two matrices."""
    x = rng.normal(size=shape)
    got = tg.vmap(f)(x)
    assert products == seen
    assert_allclose(got.data, [f(row) for row in x], rtol=1e-14)
    ops = {node.op for node in tg.graph(tg.vmap(f)(tg.tensor(x, requires_grad=True))).nodes}
    assert len(ops & {"matmul", "inner"}) == 1


def test_a_shared_weights_gradient_is_pooled_over_time_in_a_batch():
    """Σ_t of vmapped steps is one product of all steps' and all examples' rows."""
    W = tg.tensor(weight[:3], requires_grad=True)
    xs = rng.normal(size=(6, 5, 3))
    h = tg.tensor(np.zeros((5, 3)))
    for x in xs:
        h = tg.vmap(lambda h, x: tg.tanh(W @ h + x))(h, x)
    h.sum().backward()
    V = tg.tensor(weight[:3], requires_grad=True)
    for k in range(5):
        g = tg.tensor(np.zeros(3))
        for x in xs:
            g = tg.tanh(V @ g + x[k])
        g.sum().backward()
    assert_allclose(W.grad, V.grad, rtol=1e-12)


def test_dot_of_stacks_takes_all_pairs():
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4, 6))
    got = tg.dot(x, y)
    assert got.shape == (2, 3, 5, 6)
    assert_allclose(got[1, 2, 3], x[1, 2] @ y[3], rtol=1e-14)


def test_outer_of_integers_is_of_integers():
    got = tg.outer([1, 2], [3, 4])
    assert got.dtype == int
    assert_array_equal(got, [[3, 4], [6, 8]])


def test_dot_is_a_method():
    x = tg.tensor([[1.0, 2.0]])
    assert_array_equal(x.dot([3.0, 4.0]).data, [11.0])


ERRORS = {
    "dot": (lambda: tg.dot(of(2, 3), of(2)), "dot: shapes (2, 3) and (2,) don't align: 3 != 2"),
    "dot, matrices": (lambda: tg.dot(of(2, 3), of(2, 4)), "dot: shapes (2, 3) and (2, 4) don't align: 3 != 2"),
    "dot, stacks": (lambda: tg.dot(of(2, 3), of(5, 4, 3)), "dot: shapes (2, 3) and (5, 4, 3) don't align: 3 != 4"),
    "method": (lambda: of(2, 3).dot(of(2)), "dot: shapes (2, 3) and (2,) don't align"),
}


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS)
def test_message(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
