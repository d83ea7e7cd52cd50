"""Softmax and its kin where arithmetic runs out of range. Warnings are errors here."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.nn import functional

inf, nan = np.inf, np.nan


def gradient(f, x):
    """∇ Σ f at x."""
    return tg.grad(lambda x: tg.sum(f(x)))(np.asarray(x, float)).data


def test_of_nothing():
    x = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    assert_array_equal(tg.logsumexp(x, 0).data, [-inf] * 3)
    assert np.isnan(functional.cross_entropy(x, np.zeros(0, int)).item())
    assert np.isnan(functional.cross_entropy(x.data, np.zeros(0, int)))
    assert functional.cross_entropy(x, np.zeros(0, int), reduction="sum").item() == 0
    for f in (tg.softmax, tg.log_softmax):
        assert f(x, 0).shape == f(x, 1).shape == (0, 3)
    tg.logsumexp(x, 0).sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_logsumexp_does_not_overflow(dtype):
    large = float(np.finfo(dtype).max) / 2
    x = tg.tensor([large, large, -large], dtype=dtype, requires_grad=True)
    y = tg.logsumexp(x)
    y.backward()
    assert_allclose(y.data, x.data[0], rtol=1e-3)
    assert_array_equal(x.grad, [0.5, 0.5, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_and_the_smallest_number_there_are(dtype):
    limits = np.array([np.finfo(dtype).max, np.finfo(dtype).min])
    assert tg.logsumexp(limits) == limits[0]
    assert_array_equal(tg.softmax(limits), [1, 0])
    assert_array_equal(tg.log_softmax(limits), [0, -inf])


@pytest.mark.parametrize("n", [1000, 100_000])
def test_many_classes_in_float16(n):
    """Their exponentials add up to more than float16 holds, 65,504."""
    x = tg.tensor(np.zeros(n), dtype=np.float16, requires_grad=True)
    assert_allclose(tg.logsumexp(x).item(), np.log(n), rtol=1e-3)
    assert_allclose(tg.log_softmax(x).data, -np.log(n), rtol=1e-3)
    assert_array_equal(tg.softmax(x).data, np.full(n, 1 / n, np.float16))
    loss = ops.cross_entropy(x, 3)
    assert loss.dtype == np.float16
    assert_allclose(loss.item(), np.log(n), rtol=1e-3)
    loss.backward()
    assert x.grad[3] == -1 + np.float16(1 / n)
    assert_array_equal(x.grad[4:], np.full(n - 4, 1 / n, np.float16))


# ---------------------------------------------------------------------------------------------------------- infinities


def test_logsumexp_of_infinities():
    assert tg.logsumexp(np.array([-inf, 0.0])) == 0
    assert tg.logsumexp(np.array([inf, 1000.0])) == inf
    assert tg.logsumexp(np.array([inf, -inf])) == inf
    assert tg.logsumexp(np.array([-inf, -inf])) == -inf
    assert_array_equal(tg.logsumexp(np.array([inf, nan])), nan)
    assert_array_equal(tg.logsumexp(np.array([[-inf, -inf], [0.0, 0.0]]), axis=1), [-inf, np.log(2)])
    assert_array_equal(gradient(tg.logsumexp, [-inf, 0.0, 0.0]), [0, 0.5, 0.5])
    assert_array_equal(gradient(tg.logsumexp, [-inf, -inf]), [nan, nan])
    assert_array_equal(gradient(tg.logsumexp, [inf, 0.0]), [nan, nan])
    assert_array_equal(gradient(tg.logsumexp, [1e4, 0.0]), [1, 0])


def test_softmax_of_masked_scores():
    x = np.array([-inf, 1000.0, 1000.0, -1000.0])
    assert_array_equal(tg.softmax(x), [0, 0.5, 0.5, 0])
    assert_array_equal(gradient(lambda x: tg.softmax(x)[1], x), [0, 0.25, -0.25, 0])
    assert_array_equal(tg.log_softmax(x)[[0, 3]], [-inf, -2000 - np.log(2)])
    assert_array_equal(gradient(lambda x: tg.log_softmax(x)[1], x), [0, 0.5, -0.5, 0])


FAMILY = {
    "softmax": (lambda x: tg.softmax(x)[0], lambda torch, x: torch.softmax(x, -1)[0]),
    "log_softmax": (lambda x: tg.log_softmax(x)[1], lambda torch, x: torch.log_softmax(x, -1)[1]),
    "cross_entropy": (
        lambda x: functional.cross_entropy(x, 0),
        lambda torch, x: torch.nn.functional.cross_entropy(x, torch.tensor(0)),
    ),
    "logsumexp": (tg.logsumexp, lambda torch, x: torch.logsumexp(x, -1)),
}
POINTS = [
    (-inf, -inf),
    (inf, inf),
    (inf, 0.0),
    (-inf, 0.0),
    (0.0, -inf),
    (inf, -inf),
    (1e4, 0.0),
    (1e4, 1e4),
    (-1e4, 1e4),
    (nan, 0.0),
]


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_extremes_are_pytorchs(name, point):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    f, in_torch = FAMILY[name]
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    want = in_torch(torch, x)
    want.backward()
    y = tg.tensor(point, requires_grad=True)
    got = f(y)
    got.backward()
    assert_allclose(got.data, want.detach().numpy(), rtol=1e-15)
    if name == "logsumexp" and inf in point and point != (inf, inf):
        assert_array_equal(x.grad.numpy(), [nan, 0])  # where ours is NaN throughout, as softmax
        assert_array_equal(y.grad, [nan, nan])
    else:
        # PyTorch's gradient of logsumexp is e^(x − y), which loses the digits that a large y has before the point.
        assert_allclose(y.grad, x.grad.numpy(), rtol=1e-12 if name == "logsumexp" else 1e-15)


def test_one_class():
    x = np.array([[3.0], [-1e4]])
    assert_array_equal(tg.log_softmax(x), [[0], [0]])
    assert_array_equal(tg.softmax(x), [[1], [1]])
    assert_array_equal(gradient(lambda x: tg.log_softmax(x) * [[2.0], [0.3]], x), [[0], [0]])
    assert_array_equal(gradient(lambda x: tg.softmax(x) * [[2.0], [0.3]], x), [[0], [0]])
    assert_array_equal(gradient(lambda x: ops.cross_entropy(x, [0, 0]), x), [[0], [0]])


def test_log_softmax_keeps_its_digits():
    """Of (0, −40), log softmax is −log(1 + e^−40): e^−40 itself, 4e-18, is below the spacing of numbers near 1."""
    assert_allclose(tg.log_softmax(np.array([0.0, -40.0]))[1], -40.0, rtol=1e-15)
    assert_allclose(tg.log_softmax(np.array([1e5, 1e5 - 40.0]))[1], -40.0, rtol=1e-15)


@pytest.mark.parametrize("n", [1, 2, 64, 2000])
@pytest.mark.parametrize("spread", [1, 30])
@pytest.mark.parametrize("height", [0, 5, 70, 1000, -1, -90, -1000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_at_any_height_as_in_extended_precision(dtype, height, spread, n):
    """Where every Σ e^x is in range nothing is shifted; else all rows are."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(20, n)) * spread + height).astype(dtype)
    x[0] -= dtype(height)
    labels = rng.integers(0, n, 20)
    exact = x - np.max(x, -1, keepdims=True).astype(np.longdouble)
    exact -= np.log(np.sum(np.exp(exact), -1, keepdims=True))
    eps = np.finfo(dtype).eps
    # x − max x is rounded, and so e to it is off by that much.
    assert_allclose(tg.softmax(x), np.exp(exact), rtol=(8 + 2 * spread) * eps, atol=np.finfo(dtype).tiny / eps)
    assert_allclose(tg.log_softmax(x), exact, rtol=8 * eps, atol=8 * eps)
    assert_allclose(ops.cross_entropy(x, labels), -exact[np.arange(20), labels], rtol=4 * eps, atol=4 * eps)
    assert_allclose(tg.logsumexp(x, 1), (x - exact)[:, 0], rtol=2 * eps, atol=2 * eps)


def test_a_share_too_small_for_a_number_costs_the_others_nothing():
    x = np.array([[80.0, 60.0], [0.0, -200.0]], np.float32)
    want = np.log1p(np.exp(np.array([-20.0, 200.0]))) * [1, 1]
    assert_allclose(ops.cross_entropy(x, [0, 1]), want, rtol=1e-6, atol=1e-7)
    assert_allclose(tg.log_softmax(x)[:, 0], [0, 0], atol=1e-7)


@pytest.mark.parametrize("dtype", [int, np.uint8, bool])
@pytest.mark.parametrize("f", [tg.softmax, tg.log_softmax, tg.logsumexp, lambda x: functional.cross_entropy(x, 1)])
def test_the_softmax_family_takes_integers(f, dtype):
    x = np.array([1, 0, 1], dtype)
    assert_allclose(f(x), f(x.astype(float)), rtol=1e-15)


# ------------------------------------------------------------------------------------------------------- cross-entropy


def test_cross_entropy_of_an_impossible_label():
    x = np.array([[0.0, -inf]])
    assert functional.cross_entropy(x, [1]) == inf
    assert_array_equal(gradient(lambda x: functional.cross_entropy(x, [1]), x), [[1, -1]])
    assert_array_equal(gradient(lambda x: functional.cross_entropy(x, [0]), x), [[0, 0]])


LABELS = np.array([2, 0, 1, 2])


KINDS = [LABELS, tg.tensor(LABELS), LABELS.tolist(), *[LABELS.astype(kind) for kind in (np.uint8, np.uint64, ">i4")]]


@pytest.mark.parametrize("labels", KINDS)
def test_labels_may_be_arrays_tensors_or_lists(labels):
    x = np.random.default_rng(0).normal(size=(4, 3))
    want = functional.cross_entropy(x, LABELS)
    assert functional.cross_entropy(x, labels) == want
    t = tg.tensor(x, requires_grad=True)
    functional.cross_entropy(t, labels).backward()
    assert_allclose(t.grad, (tg.softmax(x) - np.eye(3)[LABELS]) / 4, rtol=1e-12, atol=1e-16)
    tg.check_grads(lambda x: functional.cross_entropy(x, labels), (x,))


def test_gradients_of_each_example_with_its_label():
    rng = np.random.default_rng(0)
    W, x = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))

    def loss(W, x, label):
        return ops.cross_entropy(W @ x, label)

    per_example = tg.vmap(tg.grad(loss), in_axes=(None, 0, 0))
    want = np.stack([np.outer(tg.softmax(W @ x[k]) - np.eye(3)[LABELS[k]], x[k]) for k in range(4)])
    for labels in (LABELS, tg.tensor(LABELS)):
        assert_allclose(per_example(W, x, labels).data, want, rtol=1e-12, atol=1e-15)
    losses = tg.vmap(loss, in_axes=(None, 0, 0))(W, x, LABELS)
    assert_allclose(losses.data, [loss(W, x[k], LABELS[k]) for k in range(4)], rtol=1e-14)


def test_labels_that_differ_and_logits_that_dont():
    z = np.random.default_rng(0).normal(size=(2, 3))
    labels = np.array([[0, 1], [2, 2], [1, 0]])
    got = tg.vmap(lambda labels: ops.cross_entropy(z, labels))(labels)
    assert_allclose(got.data, [ops.cross_entropy(z, row) for row in labels], rtol=1e-15)
    first = tg.vmap(lambda z: ops.cross_entropy(z, labels[0], axis=0), in_axes=2)(np.stack([z.T, 2 * z.T], -1))
    assert_allclose(first.data, [ops.cross_entropy(k * z, labels[0]) for k in (1, 2)], rtol=1e-15)


def test_labels_in_two_batches_at_once_and_in_forward_mode():
    z = np.random.default_rng(0).normal(size=(2, 4, 3))
    labels = np.stack([LABELS, LABELS[::-1]])
    nested = tg.vmap(tg.vmap(tg.grad(ops.cross_entropy)))(z, labels)
    assert_allclose(nested.data, tg.softmax(z) - np.eye(3)[labels], rtol=1e-12, atol=1e-15)
    dz = np.ones_like(z) * [1.0, 2.0, 4.0]
    tangents = tg.vmap(lambda z, dz, y: tg.jvp(lambda z: ops.cross_entropy(z, y), (z,), (dz,))[1])(z, dz, labels)
    assert_allclose(tangents.data, np.sum((tg.softmax(z) - np.eye(3)[labels]) * dz, -1), rtol=1e-12)
    hessians = tg.vmap(lambda z, v, y: tg.hvp(lambda z: ops.cross_entropy(z, y).sum(), z, v))(z, dz, labels)
    p = tg.softmax(z)
    assert_allclose(hessians.data, p * (dz - np.sum(p * dz, -1, keepdims=True)), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("label", [-1, 3, np.int8(-128), np.uint64(2**64 - 1), np.int64(-(2**63))])
def test_labels_out_of_range(label):
    labels = np.array([1, label], np.asarray(label).dtype)
    with pytest.raises(ValueError, match=rf"labels must lie in 0 … 2, got {labels.min()} … {labels.max()}"):
        ops.cross_entropy(np.zeros((2, 3)), labels)


def test_wrong_labels_inside_vmap():
    z = np.zeros((2, 3))
    for labels, error, message in [
        ([0, 3], ValueError, "cross_entropy: labels must lie in 0 … 2, got 0 … 3"),
        ([0.0, 1.0], TypeError, "cross_entropy: labels must be integers, got dtype float64"),
        ([[0], [1]], ValueError, "cross_entropy: logits of shape (3,) with classes on axis 0 want labels of shape ()"),
    ]:
        with pytest.raises(error, match=re.escape(message)):
            tg.vmap(ops.cross_entropy)(z, np.array(labels))


def test_labels_that_change_afterwards_are_noticed():
    x, labels = tg.tensor(np.zeros((2, 3)), requires_grad=True), np.array([0, 1])
    loss = functional.cross_entropy(x, labels)
    labels[0] = 2
    with pytest.raises(RuntimeError, match="argument 2 of cross_entropy"):
        loss.backward()
