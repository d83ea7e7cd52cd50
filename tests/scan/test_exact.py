"""What must keep its digits: sums that cancel, and sigmoids that are nearly 0."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tinygrad_rnn as tg

each_backend = pytest.mark.parametrize("backend", ["numpy", "c"])


def both(cell, carry, xs, backend):
    with tg.scan_backend(backend):
        got = tg.scan(cell, carry, xs)[1].numpy()
    return got, tg.scan(cell, carry, xs, unroll=True)[1].numpy()


ROUND = 1.5 * 2.0**52
SUMS = {
    "a small bias": (lambda h, x: (h, (h + x) + 1e-3), 1e9, -1e9),
    "a small input": (lambda h, x: (h, (h - 1e9) + x), 1e9, 1e-3),
    "a scaled carry": (lambda h, x: (h, (2 * h + x) + 1e-3), 5e8, -1e9),
    "rounded by a large number": (lambda h, x: (h, ((h + x) + ROUND) - ROUND), 0.9, 0.8),
    "a sum of parts": (lambda h, x: (h, (h[:2] + x[:2]) + 1e-3), 1e9, -1e9),
}


@each_backend
@pytest.mark.parametrize("name", SUMS)
def test_sums_without_a_product_stay_as_they_are(name, backend):
    cell, h, x = SUMS[name]
    got, want = both(cell, np.full(3, h), np.full((9, 3), x), backend)
    assert got.tolist() == want.tolist()


W3 = tg.tensor(np.eye(3) * 7.3)
ROUNDED = {
    "a number": lambda h, x: (h, (h @ W3 + ROUND) + (-ROUND)),
    "of the input": lambda h, x: (h, (x @ W3 + ROUND) + (-ROUND)),
    "an input": lambda h, x: (h, (h @ W3 - 1e30) + 1e30 * x),
}


@each_backend
@pytest.mark.parametrize("name", ROUNDED)
def test_a_product_that_is_rounded_by_a_large_number(name, backend):
    got, want = both(ROUNDED[name], np.ones(3), np.ones((9, 3)), backend)
    assert got.tolist() == want.tolist()


def test_what_is_added_to_a_product_is_added_before_the_loop():
    W, b = tg.tensor(np.eye(3)), tg.tensor(np.ones(3))
    cells = {
        "products": lambda h, x: (tg.tanh(h @ W + x + b), None),
        "transposed": lambda h, x: (tg.tanh(tg.inner(h, W) + x + b), None),
        "scaled": lambda h, x: (tg.tanh(0.5 * (h @ W) + x + b), None),
        "parts": lambda h, x: (tg.tanh((h @ W)[:, ::-1][:, :3] + x + b), None),
    }
    for cell in cells.values():
        p = tg.scan_program(cell, np.zeros((2, 3)), np.zeros((9, 2, 3)))
        assert "all t at once" in p.source.split("# the loop")[0]
        assert p.source.split("# the loop")[1].split("return")[0].count("add(") == 1


SIGMOIDS = {
    "put out": lambda h, x, s: s(x),
    "the carry": lambda h, x, s: s(h),
    "its logarithm": lambda h, x, s: tg.log(s(x)),
    "its reciprocal": lambda h, x, s: 1 / s(x),
    "a root": lambda h, x, s: s(x) ** 0.1,
    "silu": lambda h, x, s: tg.silu(x),
    "times its argument": lambda h, x, s: s(h + x) * (h + x),
    "the logarithm of a part": lambda h, x, s: tg.log(s(x)[1:]),
    "the logarithm of a multiple": lambda h, x, s: tg.log(-3 * -s(x)),
    "once for two": lambda h, x, s: tg.log(s(x)) + h * s(x),
    "masked": lambda h, x, s: s(x) * (x < 0),
    "the logarithm of a sum": lambda h, x, s: tg.log(s(x) + 1e-9),
    "in a quotient": lambda h, x, s: 1 / (s(x) * (x * x + 1)),
    "the root of a product": lambda h, x, s: (s(x) * (h * h)) ** 0.5,
    "from one": lambda h, x, s: 1 - s(-x),
}


@each_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SIGMOIDS)
def test_sigmoids_keep_their_digits(name, dtype, backend):
    def cell(h, x):
        return 1.0 * h, SIGMOIDS[name](h, x, tg.sigmoid)

    xs = np.linspace(-40, 3, 27, dtype=dtype).reshape(9, 3)
    assert_allclose(*both(cell, xs[0], xs, backend), rtol=8 * np.finfo(dtype).eps)


def test_a_gate_in_numpy_is_a_tanh():
    """It is multiplied by another value, and added: an absolute error does no harm."""
    W = tg.tensor(np.eye(3, dtype="float32"))
    cells = [
        lambda h, x: (tg.sigmoid(x) * h, None),
        lambda h, x: ((tg.sigmoid(x) * h) @ W, None),
        lambda h, x: (tg.tanh(tg.sigmoid(x) * h), h),
        lambda h, x: 2 * (tg.relu(tg.concatenate([tg.sigmoid(x)[:2] * h[:2], h[:1]])),),
        lambda h, x: ((1 - tg.sigmoid(x)) * h, None),
        lambda h, x: (tg.sigmoid(x)[1:2] * h, None),
    ]
    for cell in cells:
        assert "tanh(" in tg.scan_program(cell, np.zeros(3, "float32"), np.zeros((9, 3), "float32")).source

    def later(h, x):
        return tg.sigmoid(x) * h, tg.log(h)

    assert "tanh(" not in tg.scan_program(later, np.zeros(3, "float32"), np.zeros((9, 3), "float32")).source
