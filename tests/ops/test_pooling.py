"""A tensor used T times gets the sum of the gradients that T separate ones get, however its uses are multiplied out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn import autograd

rng = np.random.default_rng(3)

SHAPES = {
    "matmul": [
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((3,), (4, 3, 2)),
        ((5, 3), (3,)),
        ((5, 3), (3, 2)),
        ((5, 3), (4, 3, 2)),
        ((4, 5, 3), (3,)),
        ((4, 5, 3), (3, 2)),
        ((4, 5, 3), (4, 3, 2)),
        ((1, 5, 3), (4, 3, 2)),
        ((4, 5, 3), (1, 3, 2)),
        ((2, 1, 5, 3), (4, 3, 2)),
        ((0, 3), (3, 2)),
        ((5, 0), (0, 2)),
    ],
    "inner": [
        ((3,), (3,)),
        ((3,), (2, 3)),
        ((5, 3), (3,)),
        ((5, 3), (2, 3)),
        ((4, 5, 3), (2, 3)),
        ((5, 3), (4, 2, 3)),
        ((0, 3), (2, 3)),
        ((5, 0), (2, 0)),
    ],
}
PRODUCTS = [(getattr(tg, name), a, b) for name, shapes in SHAPES.items() for a, b in shapes]

INDICES = [
    2,
    -1,
    (1, 2),
    slice(None, None, -2),
    (slice(None), 1),
    np.array([0, 0, 3]),
    np.array([[1, 1], [2, 1]]),
    (np.array([0, 0, 3]), np.array([1, 1, 0])),
    np.array([True, False, True, True]),
    None,
    (),
]


def compare(uses, x, rtol=1e-13):
    """Functions of one x against the same functions of an x each, to second order."""
    one = tg.tensor(x, requires_grad=True)
    many = [tg.tensor(x, requires_grad=True) for _ in uses]
    rows = [(use(one), use(own)) for use, own in zip(uses, many, strict=True)]
    cts = [rng.normal(size=a.shape) for a, _ in rows]
    # Squares: so that the gradient depends on x, and the second order has something to find.
    loss = sum((0.5 * y * y * c).sum() for (y, _), c in zip(rows, cts, strict=True))
    apart = sum((0.5 * y * y * c).sum() for (_, y), c in zip(rows, cts, strict=True))

    (plain,) = autograd.grad(loss, one, retain_graph=True)
    (recorded,) = autograd.grad(loss, one, create_graph=True)
    separate = autograd.grad(apart, many, create_graph=True)
    want = sum(g.data for g in separate)
    scale = np.max(np.abs(want), initial=0.0) + 1e-300
    assert_allclose(plain.data, want, rtol=0, atol=rtol * scale)
    assert_allclose(recorded.data, want, rtol=0, atol=rtol * scale)

    v = rng.normal(size=x.shape)
    (second,) = autograd.grad((recorded * v).sum(), one)
    seconds = autograd.grad(sum((g * v).sum() for g in separate), many)
    want = sum(g.data for g in seconds)
    assert_allclose(second.data, want, rtol=0, atol=rtol * (np.max(np.abs(want), initial=0.0) + 1e-300))


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("f", "left", "right"), PRODUCTS)
def test_products(f, left, right, side, T):
    mine, others = (left, right) if side == 0 else (right, left)
    arrays = [rng.normal(size=others) for _ in range(T)]
    compare([lambda x, a=a: f(x, a) if side == 0 else f(a, x) for a in arrays], rng.normal(size=mine))


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_reading(index):
    compare([lambda x: x[index]] * 3, rng.normal(size=(4, 3)))


def test_reading_in_different_ways():
    compare([lambda x, i=i: x[i] for i in INDICES], rng.normal(size=(4, 3)))


def test_a_matrix_used_in_every_way():
    """Vectors, matrices and stacks, on either side, in different products, in one pool or several."""
    left = [rng.normal(size=shape) for shape in ((4,), (5, 4), (2, 5, 4), (0, 4), (1, 4))]
    right = [rng.normal(size=shape) for shape in ((4,), (4, 3), (2, 4, 3), (4, 0))]
    uses = [lambda x, a=a: a @ x for a in left] + [lambda x, a=a: x @ a for a in right]
    uses += [lambda x, a=a: tg.inner(a, x) for a in left] + [lambda x, a=a: tg.inner(x, a) for a in left]
    uses += [lambda x: x, lambda x: x[1], lambda x: x[[1, 1]], lambda x: x @ x, lambda x: x.T @ x, tg.tanh]
    compare(uses, rng.normal(size=(4, 4)))


@given(st.lists(st.sampled_from(["left", "right", "inner", "row", "rows", "add"]), min_size=1, max_size=12))
def test_any_mixture_of_uses(kinds):
    def use(kind):
        a = rng.normal(size=(3, 4))
        return {
            "left": lambda x: a @ x,
            "right": lambda x: x @ a.T,
            "inner": lambda x: tg.inner(a, x),
            "row": lambda x: x[2],
            "rows": lambda x: x[np.array([0, 0, 2])],
            "add": lambda x: x + 1.0,
        }[kind]

    compare([use(kind) for kind in kinds], rng.normal(size=(4, 4)))


def test_a_pool_that_drains_before_it_is_complete():
    """25 cotangents of 8192 numbers: more than three times what may wait."""
    arrays = [rng.normal(size=(128, 64)) for _ in range(25)]
    x = rng.normal(size=(64, 64))
    compare([lambda x, a=a: a @ x for a in arrays], x)
    compare([lambda x, a=a: tg.inner(a, x) for a in arrays], x)
    compare([lambda x, a=a: x @ a.T for a in arrays], x)


def test_readings_that_drain():
    compare([lambda x, t=t: x[t % 3] for t in range(40)], rng.normal(size=(3, 5000)))
    compare([lambda x, t=t: x[[0, t % 3, 0]] for t in range(12)], rng.normal(size=(3, 5000)))


def test_an_intermediate_result_is_pooled_too():
    a, w = rng.normal(size=(6, 5, 4)), rng.normal(size=(4, 4))
    f = lambda w: sum((x @ tg.tanh(w)).sum() ** 2 for x in a)  # noqa: E731
    tg.check_grads(f, [w])


def test_pooling_keeps_float32():
    w = tg.tensor(rng.normal(size=(4, 4)), dtype=np.float32, requires_grad=True)
    x = rng.normal(size=(3, 4))  # float64: the products are wider than w
    sum((x @ w).sum() + tg.inner(x, w).sum() + w[t].sum() for t in range(4)).backward()
    assert w.grad.dtype == np.float32


def test_a_retained_graph_gives_the_same_again():
    w = tg.tensor(rng.normal(size=(4, 4)), requires_grad=True)
    loss = sum((rng.normal(size=(3, 4)) @ w).sum() for _ in range(5))
    loss.backward(retain_graph=True)
    once = w.grad.copy()
    loss.backward()
    assert_allclose(w.grad, 2 * once, rtol=1e-15)


# ------------------------------------------------------------------------------------------- a small unrolled RNN


def rnn_loss(T, B, I, H):  # noqa: E741
    """A loss of the weights of an RNN on fixed inputs."""
    xs, h0 = rng.normal(size=(T, B, I)), rng.normal(size=(B, H))
    target = rng.normal(size=(T, B, H))

    def loss(W_xh, W_hh, b):
        h, ys = tg.scan(lambda h, x: (tg.tanh(x @ W_xh + tg.inner(h, W_hh) + b),) * 2, h0, xs, unroll=True)
        return ((ys - target) ** 2).sum() + h.sum()

    return loss, [rng.normal(size=shape) / 2 for shape in ((I, H), (H, H), (H,))]


def test_an_unrolled_rnn_to_second_order():
    loss, parameters = rnn_loss(T=4, B=2, I=2, H=3)
    tg.check_grads(loss, parameters)


def test_hvp_of_an_unrolled_rnn_is_the_difference_of_gradients():
    """48,000 numbers at every use of W_hh, so that pools drain on the way, in recorded walks too."""
    loss, (W_xh, W_hh, b) = rnn_loss(T=6, B=800, I=3, H=60)
    f = lambda W: loss(W_xh, W, b) / 1000  # noqa: E731
    v = rng.normal(size=W_hh.shape)
    v /= np.linalg.norm(v)
    step = 1e-5
    numeric = (tg.grad(f)(W_hh + step * v).data - tg.grad(f)(W_hh - step * v).data) / (2 * step)
    scale = np.max(np.abs(numeric))
    assert_allclose(tg.hvp(f, W_hh, v).data, numeric, rtol=0, atol=1e-7 * scale)
    reverse = tg.grad(lambda W: (tg.grad(f)(W) * v).sum())(W_hh)
    assert_allclose(reverse.data, numeric, rtol=0, atol=1e-7 * scale)
