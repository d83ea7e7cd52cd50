"""Convolution: textbook values, which way was taken, what each way does with large numbers, and messages."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.ops import convolution

rng = np.random.default_rng(8)


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
def test_textbook_values(method):
    x, kernel = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.5])
    for mode, want in {
        "full": [0, 1, 2.5, 4, 1.5],
        "same": [1, 2.5, 4],
        "valid": [2.5],
        "causal": [0, 1, 2.5],
    }.items():
        assert_allclose(tg.convolve(x, kernel, mode, method=method), want, atol=1e-15)


def test_a_causal_filter_sees_no_future():
    """y_t depends on x_0 … x_t: its Jacobian has nothing above the diagonal, and the kernel along its diagonals."""
    kernel = np.array([1.0, -2.0, 0.5])
    jacobian = np.stack(
        [
            tg.grad(lambda x, t=t: tg.convolve(x, kernel, "causal", method="direct")[t])(np.ones(5)).data
            for t in range(5)
        ]
    )
    want = sum(np.diag(np.full(5 - k, w), -k) for k, w in enumerate(kernel))
    assert_array_equal(jacobian, want)


def test_a_linear_recurrence_is_a_causal_convolution():
    """h_t = a h_{t−1} + x_t is Σ_k a^k x_{t−k}, in values and in gradients."""
    T, a = 60, 0.9
    x = rng.normal(size=(T, 3))

    def by_steps(x, a):
        h, hs = 0.0, []
        for x_t in x:
            h = a * h + x_t
            hs.append(h)
        return (tg.stack(hs) ** 2).sum()

    def by_convolution(x, a):
        return (tg.convolve(x, a ** np.arange(T), "causal", axis=0) ** 2).sum()

    for got, want in zip(tg.grad(by_convolution, (0, 1))(x, a), tg.grad(by_steps, (0, 1))(x, a), strict=True):
        assert_allclose(got.data, want.data, rtol=1e-12)


def test_one_kernel_for_all_channels_gets_the_sum():
    x, kernel = rng.normal(size=(20, 3)), rng.normal(size=4)
    each = tg.grad(lambda k: (tg.convolve(x, k, "causal", axis=0) ** 2).sum())(np.stack([kernel] * 3, axis=1)).data
    shared = tg.grad(lambda k: (tg.convolve(x, k, "causal", axis=0) ** 2).sum())(kernel).data
    assert_allclose(shared, each.sum(axis=1), rtol=1e-13)


def test_a_kernel_beyond_the_sequence_gets_no_gradient():
    g = tg.grad(lambda k: tg.convolve(np.ones(2), k, "causal").sum())(np.ones(4)).data
    assert_array_equal(g, [2, 1, 0, 0])


@pytest.mark.parametrize(
    ("m", "n", "batch", "by_fft"),
    [(500, 3, 4, False), (500, 40, 4, True), (40, 500, 4, True), (500, 40, None, False), (900, 300, None, True)],
)
def test_the_faster_way_is_taken(monkeypatch, m, n, batch, by_fft):
    taken = []
    for name in ("_by_fft", "_directly"):
        way = getattr(convolution, name)
        monkeypatch.setattr(
            convolution, name, lambda *args, way=way, name=name: taken.append(name == "_by_fft") or way(*args)
        )
    x = rng.normal(size=m if batch is None else (batch, m))
    kernel = rng.normal(size=n)
    got = [tg.convolve(x, kernel, method=method) for method in ("auto", "direct", "fft")]
    assert taken == [by_fft, False, True]
    assert_allclose(got[1], got[2], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", [int, bool])
def test_integers_stay_integers(kind):
    x, kernel = rng.integers(0, 2, size=(2, 50)).astype(kind), rng.integers(0, 2, size=20).astype(kind)
    want = np.stack([np.convolve(row, kernel) for row in x])
    assert_array_equal(tg.convolve(x, kernel), want)
    assert tg.convolve(x, kernel).dtype == want.dtype


def test_what_is_not_finite_stays_where_it_is_if_direct():
    x = np.array([1.0, np.nan, 0.0, 0.0, 0.0])
    assert_array_equal(tg.convolve(x, [1.0, 1.0], "causal"), [1, np.nan, np.nan, 0, 0])
    assert np.isnan(tg.convolve(x, [1.0, 1.0], "causal", method="fft")).all()


def test_half_precision_is_summed_in_single():
    x = np.ones(3000, np.float16)
    assert tg.convolve(x, x, "valid").dtype == np.float16
    assert tg.convolve(x, x, "valid").item() == 3000  # sums in half precision stop at 2048


def test_numpys_function_is_this_one():
    x, kernel = tg.tensor([1.0, 2.0, 3.0], requires_grad=True), np.array([1.0, 0.5])
    for mode in ("full", "same", "valid"):
        y = np.convolve(x, kernel, mode)
        assert y.requires_grad
        assert_array_equal(y.data, np.convolve(x.data, kernel, mode))


X = tg.tensor(np.ones((2, 5)), requires_grad=True)

WRONG = {
    "mode": (
        lambda: tg.convolve(X, [1.0], "all"),
        ValueError,
        "convolve: mode must be 'full', 'same', 'valid' or 'causal', got 'all'",
    ),
    "method": (
        lambda: tg.convolve(X, [1.0], method="fast"),
        ValueError,
        "convolve: method must be 'auto', 'direct' or 'fft', got 'fast'",
    ),
    "0-d": (
        lambda: tg.convolve(X, 2.0),
        ValueError,
        "convolve: shapes (2, 5) and (): both arguments need at least one",
    ),
    "empty": (
        lambda: tg.convolve(X, []),
        ValueError,
        "convolve: shapes (2, 5) and (0,): axis -1 must not be of length 0",
    ),
    "rows": (
        lambda: tg.convolve(X, np.ones((3, 2))),
        ValueError,
        "convolve: shapes (2, 5) and (3, 2) don't broadcast in the axes other than axis -1",
    ),
    "axis": (lambda: tg.convolve(X, [1.0], axis=2), ValueError, "convolve: axis 2 is out of range for 2 axes"),
    "float axis": (lambda: tg.convolve(X, [1.0], axis=0.5), TypeError, "convolve: an axis must be an integer, got 0.5"),
    "1-d axis": (lambda: tg.convolve([1.0], [1.0], axis=1), ValueError, "convolve: axis 1 is out of range for 1 axes"),
    "integers by FFT": (
        lambda: tg.convolve([1, 2], [3, 4], method="fft"),
        TypeError,
        "convolve: method 'fft' wants floating-point numbers, got dtype int64",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_message(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        call()
