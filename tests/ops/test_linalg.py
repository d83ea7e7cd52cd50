"""Singular matrices, kinks and extreme sizes, and messages."""

import re

import numpy as np
import pytest
from numpy.linalg import LinAlgError
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import linalg

inf, nan = np.inf, np.nan
rng = np.random.default_rng(9)
singular = {
    "rank 0": np.zeros((2, 2)),
    "rank 1 of 2": np.array([[1.0, 2.0], [2.0, 4.0]]),
    "rank 2 of 3, nearly": np.arange(1.0, 10.0).reshape(3, 3),
    "rank 1 of 3": np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 2.0]),
}
each_singular = pytest.mark.parametrize("x", singular.values(), ids=singular)


def of(*shape):
    return tg.tensor(np.zeros(shape), requires_grad=True)


def gradient(f, x):
    return tg.grad(lambda x: f(x).sum())(np.asarray(x, float)).data


# --------------------------------------------------------------------------------------------------------- determinants


def minors(x):
    """The cofactors by their definition."""
    n = len(x)
    strike = lambda i, j: np.delete(np.delete(x, i, 0), j, 1)  # noqa: E731
    return np.array([[(-1) ** (i + j) * np.linalg.det(strike(i, j)) for j in range(n)] for i in range(n)])


@each_singular
def test_the_gradient_of_det_is_the_cofactors_at_singular_matrices_too(x):
    assert_allclose(gradient(linalg.det, x), minors(x), rtol=1e-13, atol=1e-13)
    many = np.stack([x, x + 3 * np.eye(len(x))])
    assert_allclose(gradient(linalg.det, many), [minors(m) for m in many], rtol=1e-13, atol=1e-13)
    tg.check_grads(linalg.det, [x], order=1)


def test_the_gradient_of_det_where_det_underflows():
    assert_allclose(gradient(linalg.det, np.eye(3) * 1e-150), np.eye(3) * 1e-300, rtol=1e-14)


@each_singular
def test_the_second_derivative_of_det_at_a_singular_matrix_is_refused(x):
    with pytest.raises(LinAlgError, match=r"^inv: .*singular.*: there the second derivative of det isn't known"):
        tg.hvp(linalg.det, x, np.ones(x.shape))


@each_singular
def test_slogdet_of_a_singular_matrix(x):
    if np.linalg.det(x) == 0:
        assert linalg.slogdet(x) == (0, -inf)
    t = tg.tensor(x, requires_grad=True)
    y = linalg.slogdet(t).logabsdet
    with pytest.raises(LinAlgError, match=r"^inv: .*singular.*: there the derivative of slogdet isn't known"):
        y.backward()
    assert t.grad is None


def test_slogdet_is_a_pair():
    x = np.diag([-1e200, 1e200, 1e200])
    sign, logabsdet = linalg.slogdet(tg.tensor(x, requires_grad=True))
    assert sign.item() == -1
    assert_allclose(logabsdet.item(), 600 * np.log(10), rtol=1e-15)
    assert linalg.slogdet(x)._fields == np.linalg.slogdet(x)._fields
    assert_array_equal(gradient(lambda x: linalg.slogdet(x).sign, x), np.zeros((3, 3)))


def test_the_gradient_of_log_det_is_the_inverse_transposed():
    x = rng.normal(size=(2, 4, 4))
    assert_allclose(gradient(lambda x: linalg.slogdet(x).logabsdet, x), np.linalg.inv(x).swapaxes(-1, -2), rtol=1e-12)


# ----------------------------------------------------------------------------------------------- inverses and equations


def test_solve_is_nearer_than_the_inverse():
    hilbert = 1.0 / (np.arange(8)[:, None] + np.arange(8) + 1)
    b = hilbert @ np.ones(8)
    assert np.linalg.norm(hilbert @ linalg.solve(hilbert, b) - b) < 1e-14


def test_a_vector_is_a_vector_whatever_the_stack():
    """NumPy 2's rule: only b of one axis is a vector; b [2, 3] beside A [2, 3, 3] is one matrix."""
    a = rng.normal(size=(3, 3, 3))
    assert linalg.solve(a, np.ones(3)).shape == (3, 3)
    assert linalg.solve(a, np.ones((3, 3))).shape == (3, 3, 3)
    with pytest.raises(ValueError, match=r"solve: for A of shape \(2, 3, 3\), b must have shape \(3,\) or"):
        linalg.solve(a[:2], np.ones((2, 3)))


def test_one_matrix_for_a_stack_is_factorised_once(monkeypatch):
    seen = []
    solve = np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda a, b: seen.append((a.shape, b.shape)) or solve(a, b))
    a, b = rng.normal(size=(3, 3)), rng.normal(size=(5, 3, 2))
    got = linalg.solve(a, b)
    assert seen == [((3, 3), (3, 10))]
    assert_allclose(got, [solve(a, m) for m in b], rtol=1e-12)
    seen.clear()
    assert_allclose(tg.vmap(lambda b: linalg.solve(a, b))(b).data, got, rtol=1e-12)
    assert seen == [((3, 3), (3, 10))]


# ---------------------------------------------------------------------------------------------------------------- norms


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [None, 2, 3, 4, 1.5, 1, inf])
def test_norm_neither_over_nor_underflows(p, dtype):
    limits = np.finfo(dtype)
    one = tg.linalg.norm(np.array([3.0, -4.0]), p)
    slope = gradient(lambda x: tg.linalg.norm(x, p), [3.0, -4.0])
    for scale in (limits.max / 16, limits.tiny * 4):
        x = tg.tensor(np.array([3, -4], dtype) * scale, dtype=dtype, requires_grad=True)
        y = tg.linalg.norm(x, p)
        y.backward()
        assert_allclose(y.data / scale, one, rtol=8 * limits.eps)
        assert_allclose(x.grad, slope, rtol=8 * limits.eps)


def test_norm_of_half_precision_is_of_numbers_whose_squares_overflow():
    x = tg.tensor(np.full(4, 1000.0), dtype=np.float16, requires_grad=True)
    y = tg.linalg.norm(x)
    y.backward()
    assert y.dtype == np.float16
    assert y.item() == 2000
    assert_array_equal(x.grad, np.full(4, 0.5, np.float16))


@pytest.mark.parametrize("p", [None, 2, 3, 4, 1.5, 1, 0.5, inf, -inf, 0])
def test_the_gradient_of_norm_at_zero_is_zero(p):
    assert_array_equal(gradient(lambda x: tg.linalg.norm(x, p), np.zeros(3)), np.zeros(3))
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert_array_equal(gradient(lambda x: tg.linalg.norm(x, p, axis=1), x)[0], [0, 0])


def test_the_second_derivative_of_norm_at_zero_is_zero():
    """As PyTorch's; there is none."""
    assert_array_equal(tg.hvp(tg.linalg.norm, np.zeros(3), np.ones(3)).data, np.zeros(3))


def test_norm_by_its_definition():
    """∇‖x‖₂ = x / ‖x‖₂, and its Hessian (I − x xᵀ/‖x‖²) / ‖x‖."""
    x, v = np.array([3.0, 0.0, -4.0]), np.array([1.0, 2.0, 3.0])
    assert_allclose(gradient(tg.linalg.norm, x), x / 5, rtol=1e-15)
    assert_allclose(tg.hvp(tg.linalg.norm, x, v).data, (v - x * (x @ v) / 25) / 5, rtol=1e-14)


def test_ties_share_the_gradient_of_the_largest():
    assert_array_equal(gradient(lambda x: tg.linalg.norm(x, inf), [2.0, -2.0, 1.0]), [0.5, -0.5, 0])
    assert_array_equal(gradient(lambda x: tg.linalg.norm(x, -inf), [1.0, -1.0, 2.0]), [0.5, -0.5, 0])


def test_a_nan_is_not_hidden():
    assert np.isnan(tg.linalg.norm(np.array([nan, 1.0])))
    assert np.isnan(gradient(tg.linalg.norm, [nan, 1.0])).all()


def test_norm_of_integers_complex_numbers_and_nothing():
    assert tg.linalg.norm([3, 4]) == 5
    assert tg.linalg.norm(np.array([3.0, 4j])) == 5
    assert tg.linalg.norm(np.array([3, 4], np.int8), 3) == np.linalg.norm([3, 4], 3)
    for p in (None, 1, 2, 3, inf):
        assert tg.linalg.norm(np.zeros(0), p) == 0


ERRORS = {
    **{
        f"{name}, {shape}": (
            lambda f=f, shape=shape: f(of(*shape)),
            LinAlgError,
            f"{name}: want square matrices [..., n, n], got shape {shape}",
        )
        for name, f in [("inv", linalg.inv), ("det", linalg.det), ("slogdet", linalg.slogdet)]
        for shape in [(2, 3), (3,), (), (2, 3, 4)]
    },
    "inv": (lambda: linalg.inv(of(2, 2)), LinAlgError, "inv: the matrix is singular"),
    "inv, stack": (
        lambda: linalg.inv(np.stack([np.eye(2), np.ones((2, 2))])),
        LinAlgError,
        "inv: the matrix at [1] of the stack of shape (2, 2, 2) is singular",
    ),
    "solve, singular": (lambda: linalg.solve(of(2, 2), of(2)), LinAlgError, "solve: the matrix is singular"),
    "solve, square": (lambda: linalg.solve(of(2, 3), of(2)), LinAlgError, "solve: want square matrices"),
    "solve, vector": (
        lambda: linalg.solve(np.eye(3), of(2)),
        ValueError,
        "solve: for A of shape (3, 3), b must have shape (3,) or [..., 3, m], got (2,)",
    ),
    "solve, scalar": (
        lambda: linalg.solve(np.eye(3), 1.0),
        ValueError,
        "solve: for A of shape (3, 3), b must have shape (3,) or [..., 3, m], got ()",
    ),
    "solve, stacks": (
        lambda: linalg.solve(of(2, 3, 3), of(4, 3, 1)),
        ValueError,
        "solve: shapes (2, 3, 3) and (4, 3, 1): the leading axes (2,) and (4,) don't broadcast",
    ),
    **{
        f"norm, {p!r} of a matrix": (
            lambda p=p: linalg.norm(of(2, 3), p),
            ValueError,
            f"norm: ord={p!r} of a matrix needs its singular values, which aren't there",
        )
        for p in (2, -2, "nuc")
    },
    **{
        f"norm, {p!r} of a matrix": (
            lambda p=p: linalg.norm(of(2, 3), p),
            ValueError,
            f"norm: ord must be None, 'fro', 1, -1, inf or -inf for matrices, got {p!r}",
        )
        for p in (3, 0, "frob", nan)
    },
    **{
        f"norm, {p!r} of a vector": (
            lambda p=p: linalg.norm(of(3), p),
            ValueError,
            f"norm: ord must be None or a number for vectors, got {p!r}",
        )
        for p in ("fro", 1j, nan)
    },
    "norm, three axes": (
        lambda: linalg.norm(of(2, 2, 2), 1),
        ValueError,
        "norm: ord=1 is for vectors (one axis) and matrices (two), got axis=None of shape (2, 2, 2)",
    ),
    "norm, axis": (lambda: linalg.norm(of(2, 3), axis=2), ValueError, "norm: axis 2 is out of range for 2 axes"),
    "norm, axis twice": (
        lambda: linalg.norm(of(2, 3), axis=(0, 0)),
        ValueError,
        "norm: axis (0, 0) names an axis twice",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_message(call, error, message):
    with pytest.raises(error, match="^" + re.escape(message)):
        call()
