"""Diagonals and triangles: what is cut off, and messages."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg

inf, nan = np.inf, np.nan


def of(*shape):
    return tg.tensor(np.zeros(shape), requires_grad=True)


@pytest.mark.parametrize("f", [tg.tril, tg.triu])
def test_a_nan_that_is_cut_off_is_in_no_gradient(f):
    x = tg.tensor(np.where(f(np.ones((3, 3), bool)), 2.0, [[nan, inf, -inf]]), requires_grad=True)
    y = f(x)
    (y * y).sum().backward()
    assert_array_equal(x.grad, f(np.full((3, 3), 4.0)))


def test_types_are_kept():
    assert tg.tril(np.ones((2, 2), bool)).dtype == bool  # a causal mask
    assert tg.triu(np.ones((2, 2), np.int8)).dtype == np.int8
    assert tg.diag(np.array([1, 2], np.uint8)).dtype == np.uint8


def test_every_offset_is_numpys():
    for m in range(4):
        for n in range(4):
            x = np.arange(1.0, m * n + 1).reshape(m, n)
            for k in range(-4, 5):
                for f, g in (
                    (tg.diagonal, np.diagonal),
                    (tg.diag, np.diag),
                    (tg.trace, np.trace),
                    (tg.tril, np.tril),
                    (tg.triu, np.triu),
                ):
                    assert_array_equal(f(x, k), g(x, k), err_msg=f"{f.__name__} of {(m, n)}, {k}")


def test_the_gradient_of_the_trace_is_the_identity():
    x = of(3, 3)
    x.trace().backward()
    assert_array_equal(x.grad, np.eye(3))


def test_methods_are_the_functions():
    x = tg.tensor(np.arange(24.0).reshape(2, 3, 4))
    assert_array_equal(x.diagonal(1, 2, 0).data, x.data.diagonal(1, 2, 0))
    assert_array_equal(x.trace(-1, axis1=1, axis2=2).data, x.data.trace(-1, axis1=1, axis2=2))


ERRORS = {
    **{
        f"{f.__name__}, vector": (
            lambda f=f: f(of(3)),
            ValueError,
            f"{f.__name__}: want at least two axes, got shape (3,)",
        )
        for f in (tg.trace, tg.diagonal, tg.tril, tg.triu)
    },
    **{
        f"{f.__name__}, axis": (lambda f=f: f(of(2, 3), 0, 0, 2), ValueError, f"{f.__name__}: axis 2 is out of range")
        for f in (tg.trace, tg.diagonal)
    },
    **{
        f"{f.__name__}, axis twice": (
            lambda f=f: f(of(2, 3), 0, 1, -1),
            ValueError,
            f"{f.__name__}: axis (1, -1) names an axis twice",
        )
        for f in (tg.trace, tg.diagonal)
    },
    **{
        f"{f.__name__}, offset": (
            lambda f=f: f(of(2, 3), 0.5),
            TypeError,
            f"{f.__name__}: {name} must be an integer, got 0.5",
        )
        for f, name in ((tg.trace, "offset"), (tg.diagonal, "offset"), (tg.diag, "k"), (tg.tril, "k"), (tg.triu, "k"))
    },
    "diag, scalar": (lambda: tg.diag(of()), ValueError, "diag: want a vector or a matrix, got shape ()"),
    "diag, stack": (lambda: tg.diag(of(2, 2, 2)), ValueError, "diag: want a vector or a matrix, got shape (2, 2, 2)"),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_message(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
