"""Sums, means, spreads, products and extremes where there is a choice to make. Warnings are errors here."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg

inf, nan = np.inf, np.nan


def gradient(f, x):
    """∇ Σ f at x."""
    return tg.grad(lambda x: tg.sum(f(x)))(np.asarray(x, float)).data


def second(f, x):
    """The Hessian of Σ f at x, row by row."""
    x = np.asarray(x, float)
    return np.array([tg.hvp(lambda x: tg.sum(f(x)), x, unit).data for unit in np.eye(x.size)])


# ------------------------------------------------------------------------------------------------------ sum and mean


def test_mean():
    for n in range(1, 200):  # dividing by n, not multiplying by 1/n
        assert tg.mean(np.ones(n)) == 1.0
        assert tg.mean(tg.tensor(np.ones(n))).item() == 1.0
    assert tg.mean(np.array([1, 2])) == 1.5
    assert tg.mean([True, False]) == 0.5
    assert tg.mean(3) == 3.0
    assert_array_equal(gradient(tg.mean, np.zeros(4)), [0.25] * 4)


def test_mean_of_integers_that_overflow():
    assert tg.mean(np.array([2**62, 2**62])) == np.mean(np.array([2**62, 2**62])) == 2.0**62


@pytest.mark.parametrize("n", [30, 70_000])
def test_mean_of_float16_is_numpys(n):
    """NumPy adds up in float32: 70,000 threes are more than float16 holds."""
    a = np.full(n, 3, np.float16)
    x = tg.tensor(a, requires_grad=True)
    y = tg.mean(x)
    assert y.dtype == np.float16
    assert y.item() == tg.mean(a) == np.mean(a) == 3
    y.backward()
    assert_array_equal(x.grad, np.full(n, 1 / n, np.float16))  # also where n itself is too large for float16
    assert x.grad[0] > 0
    assert tg.var(a) == 0


def test_sums_of_float16_are_numpys():
    a = np.random.default_rng(0).normal(size=(100, 300)).astype(np.float16)
    for got, want in [
        (tg.sum(tg.tensor(a), 1), a.sum(1)),
        (tg.cumsum(tg.tensor(a), 1), a.cumsum(1)),
        (tg.mean(tg.tensor(a), 0), a.mean(0)),
        (tg.prod(tg.tensor(a), 1), a.prod(1)),
    ]:
        assert got.dtype == want.dtype == np.float16
        assert_array_equal(got.data, want)


def test_of_nothing():
    x = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    for f, want in [(tg.sum, 0), (tg.prod, 1), (tg.mean, nan), (tg.var, nan), (tg.std, nan)]:
        assert_array_equal(f(x, 0).data, [want] * 3)
        assert_array_equal(f(x.data, 0), [want] * 3)
        assert f(x, 1).shape == (0,)
        for y in (f(x), f(x, 0).sum()):
            y.backward()
            assert x.grad.shape == (0, 3)
    for f in (tg.cumsum, tg.cumprod):
        assert f(x).shape == (0,)
        assert f(x, 0).shape == (0, 3)


def test_integers_stay_integers():
    a = np.array([[1, 2], [3, 4]], np.int32)
    for f in ("sum", "prod", "max", "min", "cumsum", "cumprod", "mean", "var", "std"):
        got, want = getattr(tg, f)(a, axis=0), getattr(np, f)(a, axis=0)
        assert got.dtype == want.dtype
        assert_array_equal(got, want)


# ------------------------------------------------------------------------------------------------------- var and std


def test_var_of_a_textbook():
    x = np.array([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert tg.var(x) == 4
    assert tg.std(x) == 2
    assert tg.var(x, ddof=1) == tg.var(x, correction=1) == 32 / 7
    assert_array_equal(gradient(tg.var, x), 2 * (x - 5) / 8)
    assert_array_equal(gradient(tg.std, x), (x - 5) / (8 * 2))


def test_std_of_equal_elements_has_no_gradient():
    """PyTorch's choice too. The kink is a cone's: 0 is the mean of its slopes."""
    assert_array_equal(gradient(tg.std, [2.0, 2.0, 2.0]), [0, 0, 0])
    assert_array_equal(gradient(lambda x: tg.std(x, ddof=1), [2.0, 2.0]), [0, 0])
    assert_array_equal(gradient(tg.std, 5.0), 0)
    assert_array_equal(second(tg.std, [2.0, 2.0]), np.zeros((2, 2)))
    mixed = [[1.0, 1.0], [1.0, 3.0]]
    assert_array_equal(gradient(lambda x: tg.std(x, axis=1), mixed), [[0, 0], [-0.5, 0.5]])
    assert tg.jvp(tg.std, (np.ones(3),), (np.arange(3.0),))[1].item() == 0


def test_var_far_from_zero_keeps_its_digits():
    """Deviations of 1e-6 from a mean of 1: the mean's rounding is 1e-10 of them, and PyTorch's gradient has it."""
    tiny = 2.0**-20
    x = np.array([1.0, 1.0, 1.0 + tiny])
    assert_allclose(tg.var(x), tiny**2 * 2 / 9, rtol=1e-15)
    assert_allclose(gradient(tg.var, x), np.array([-1, -1, 2]) * tiny * 2 / 9, rtol=1e-15)


@pytest.mark.parametrize("f", [tg.var, tg.std])
def test_no_degrees_of_freedom(f):
    assert_array_equal(f(np.array([2.0]), ddof=1), nan)
    assert_array_equal(f(np.array([2.0, 2.0]), ddof=5), nan)
    assert_array_equal(f(np.array([2.0, 3.0]), ddof=2), inf)
    assert_array_equal(f(np.array([2.0, 3.0]), ddof=3), inf)
    assert_array_equal(gradient(lambda x: f(x, ddof=1), [2.0]), [nan])
    assert_array_equal(gradient(lambda x: f(x, ddof=2), [2.0, 3.0]), [nan, nan])


@pytest.mark.parametrize("f", ["var", "std"])
def test_values_without_degrees_of_freedom_are_numpys(f):
    for x, ddof in [([2.0], 1), ([2.0, 3.0], 2), ([2.0, 3.0], 3), ([], 0)]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = getattr(np, f)(np.array(x), ddof=ddof)
        assert_array_equal(getattr(tg, f)(np.array(x), ddof=ddof), want)


# ------------------------------------------------------------------------------------------------------------ products


def test_prod_with_zeros():
    assert_array_equal(gradient(tg.prod, [2.0, 3.0, 4.0]), [12, 8, 6])
    assert_array_equal(gradient(tg.prod, [2.0, 0.0, 4.0]), [0, 8, 0])
    assert_array_equal(gradient(tg.prod, [0.0, 0.0, 4.0]), [0, 0, 0])
    assert_array_equal(second(tg.prod, [0.0, 0.0, 4.0]), [[0, 4, 0], [4, 0, 0], [0, 0, 0]])
    assert_array_equal(second(tg.prod, [2.0, 0.0, 4.0]), [[0, 4, 0], [4, 0, 2], [0, 2, 0]])
    by_all = tg.grad(lambda x: tg.hvp(tg.prod, x, np.array([1.0, 0, 0])) @ np.array([0, 1.0, 0]))
    assert_array_equal(by_all(np.zeros(3)).data, [0, 0, 1])  # the third derivative by all three


def test_prod_with_infinity_and_nan():
    assert_array_equal(gradient(tg.prod, [inf, 2.0, 3.0]), [6, inf, inf])
    with np.errstate(invalid="ignore"):  # NumPy's warning about 0 · ∞, in the product itself
        assert_array_equal(gradient(tg.prod, [inf, 0.0]), [0, inf])
    assert_array_equal(gradient(tg.prod, [nan, 0.0, 2.0]), [0, nan, nan])


def test_prod_of_one_or_none():
    assert tg.prod(np.zeros((0, 3))) == 1
    assert gradient(tg.prod, 5.0) == 1
    assert_array_equal(gradient(lambda x: tg.prod(x, axis=()), [5.0, 0.0]), [1, 1])


# ------------------------------------------------------------------------------------------------------------ extremes


def test_ties_share_equally():
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    assert_allclose(gradient(lambda x: tg.max(x, axis=1), x), [[0, 1 / 2, 1 / 2], [1 / 3] * 3], rtol=1e-15)
    assert_array_equal(gradient(tg.max, x), [[0, 0.5, 0.5], [0, 0, 0]])
    assert_array_equal(gradient(lambda x: tg.max(x, axis=(0, 1), keepdims=True), x), [[0, 0.5, 0.5], [0, 0, 0]])
    assert_array_equal(gradient(tg.max, [-inf, -inf]), [0.5, 0.5])
    assert_array_equal(gradient(tg.min, [inf, inf]), [0.5, 0.5])
    assert_array_equal(gradient(tg.min, [0.0, -0.0, 1.0]), [0.5, 0.5, 0])
    assert_array_equal(gradient(lambda x: tg.min(x, axis=0), x), [[1, 0, 0], [0, 1, 1]])


@pytest.mark.parametrize("f", [tg.max, tg.min])
def test_nans_share_what_they_win(f):
    assert_array_equal(f(np.array([1.0, nan])), nan)
    assert_array_equal(gradient(f, [1.0, nan, inf, nan, -inf]), [0, 0.5, 0, 0.5, 0])


def test_more_ties_than_float16_can_count():
    x = tg.tensor(np.zeros(70_000), dtype=np.float16, requires_grad=True)
    tg.max(x).backward()
    assert x.grad.dtype == np.float16
    assert_array_equal(x.grad, np.full(70_000, 1 / 70_000, np.float16))


# ------------------------------------------------------------------------------------------------- argmax and argmin


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places_are_plain_integers(name):
    f, numpys = getattr(tg, name), getattr(np, name)
    for shape in [(), (1,), (4,), (2, 3), (2, 3, 2), (0, 3)]:
        a = np.random.default_rng(1).integers(0, 3, shape).astype(float)  # with ties
        for axis in [*([None] if a.size else []), *range(-a.ndim, a.ndim)]:
            if axis is not None and a.shape[axis] == 0:
                continue
            for keepdims in (False, True):
                want = numpys(a, axis, keepdims=keepdims)
                for x in (a, tg.tensor(a), tg.tensor(a, requires_grad=True), a.tolist() if a.size else a):
                    got = f(x, axis, keepdims)
                    assert not isinstance(got, tg.Tensor)
                    assert np.asarray(got).dtype == np.int64
                    assert np.shape(got) == np.shape(want)
                    assert_array_equal(got, want)
    x = tg.tensor([1.0, 3.0, 3.0, 0.0], requires_grad=True)
    assert f(x) == getattr(x, name)() == numpys(x.data)
    assert [10, 20, 30, 40][f(x)] in (20, 40)  # an index into anything


def test_places_of_nan_and_ties_are_the_first():
    assert tg.argmax([1.0, 3.0, 3.0]) == 1
    assert tg.argmin([1.0, 0.0, 0.0]) == 1
    assert tg.argmax([1.0, nan, nan]) == tg.argmin([1.0, nan, nan]) == 1


def test_places_inside_the_transforms():
    x = np.array([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]])
    assert_array_equal(tg.grad(lambda x: x[tg.argmax(x)])(x[0]).data, [0, 1, 0])
    assert tg.jvp(lambda x: x * float(tg.argmin(x)), (x[1],), (np.ones(3),))[1].data.tolist() == [1, 1, 1]
    assert_array_equal(tg.vmap(tg.argmax)(x).data, [1, 0])
    assert_array_equal(tg.vmap(lambda x: tg.argmin(x, axis=0), in_axes=1)(x).data, [0, 1, 0])
    assert_array_equal(tg.vmap(lambda x: tg.argmax(x, keepdims=True))(x[None]).data, [[[1]]])
    assert_array_equal(tg.vmap(tg.vmap(tg.argmax))(x[None]).data, [[1, 0]])
    one_hot = lambda x: tg.where(np.arange(3) == tg.argmax(x), x * x, 0.0)  # noqa: E731
    assert_array_equal(tg.vmap(lambda x: tg.grad(lambda x: one_hot(x).sum())(x))(x).data, [[0, 10, 0], [8, 0, 0]])
    moved = tg.jvp(lambda x: tg.vmap(one_hot)(x), (x,), (np.ones((2, 3)),))[1]
    assert_array_equal(moved.data, [[0, 10, 0], [8, 0, 0]])
    moved = tg.vmap(lambda x: tg.jvp(one_hot, (x,), (np.ones(3),))[1])(x)
    assert_array_equal(moved.data, [[0, 10, 0], [8, 0, 0]])


# -------------------------------------------------------------------------------------------------- methods and errors


def test_methods():
    x = tg.tensor(np.random.default_rng(2).normal(size=(2, 3, 4)))
    a = x.data
    for name in ("sum", "mean", "prod", "max", "min", "var", "std"):
        for args, kwargs in [((), {}), ((1,), {}), (((0, 2),), {"keepdims": True}), ((), {"axis": -1})]:
            got, want = getattr(x, name)(*args, **kwargs), getattr(a, name)(*args, **kwargs)
            assert type(got) is tg.Tensor
            assert_array_equal(got.data, want)
    assert_array_equal(x.var(0, 1).data, a.var(0, ddof=1))
    assert_array_equal(x.std(0, correction=1).data, a.std(0, ddof=1))
    for name in ("cumsum", "cumprod"):
        for args in ((), (1,), (-1,)):
            assert_array_equal(getattr(x, name)(*args).data, getattr(a, name)(*args))


x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
s = tg.tensor(1.0, requires_grad=True)
nothing = tg.tensor(np.zeros((0, 3)), requires_grad=True)

MESSAGES = {
    **{
        f"{name}, {axis!r}": (lambda name=name, axis=axis: getattr(tg, name)(x, axis=axis), error, f"{name}: {message}")
        for name in ("sum", "mean", "prod", "max", "min", "var", "std", "argmax", "argmin", "cumsum", "cumprod")
        for axis, error, message in [
            (2, ValueError, "axis 2 is out of range for 2 axes"),
            (-3, ValueError, "axis -3 is out of range for 2 axes"),
            (1.0, TypeError, "an axis must be an integer, got 1.0"),
            ("0", TypeError, "an axis must be an integer, got '0'"),
        ]
    },
    **{
        f"{name}, twice": (
            lambda name=name: getattr(x, name)(axis=(0, -2)),
            ValueError,
            f"{name}: axis (0, -2) names an axis twice",
        )
        for name in ("sum", "mean", "prod", "max", "min", "var", "std")
    },
    **{
        f"{name}, two axes": (
            lambda name=name: getattr(x, name)(axis=(0, 1)),
            TypeError,
            f"{name}: an axis must be an integer, got (0, 1)",
        )
        for name in ("argmax", "argmin", "cumsum", "cumprod")
    },
    "sum of a scalar": (lambda: tg.sum(s, 0), ValueError, "sum: axis 0 is out of range for 0 axes"),
    "max of nothing": (
        lambda: tg.max(nothing, axis=0),
        ValueError,
        "max: there is no largest of no elements: shape (0, 3) over axis (0,)",
    ),
    "min of nothing": (
        lambda: nothing.min(),
        ValueError,
        "min: there is no smallest of no elements: shape (0, 3) over axis (0, 1)",
    ),
    "argmax of nothing": (
        lambda: tg.argmax(nothing, axis=0),
        ValueError,
        "argmax: there is no largest of no elements: shape (0, 3) over axis 0",
    ),
    "argmin of nothing": (
        lambda: tg.argmin(nothing),
        ValueError,
        "argmin: there is no smallest of no elements: shape (0, 3) over axis None",
    ),
    "ddof": (lambda: tg.var(x, ddof="1"), TypeError, "var: ddof must be a number, got '1'"),
    "ddof and correction": (
        lambda: tg.std(x, ddof=1, correction=2),
        ValueError,
        "std: ddof and correction are the same, got 1 and 2",
    ),
    "dtype": (lambda: tg.sum(x, dtype=np.float32), TypeError, "unexpected keyword argument 'dtype'"),
    "out": (lambda: x.mean(out=np.zeros(())), TypeError, "unexpected keyword argument 'out'"),
}


@pytest.mark.parametrize(("call", "error", "message"), MESSAGES.values(), ids=MESSAGES)
def test_message(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


# ------------------------------------------------------------------------------------------------------------ PyTorch


@pytest.mark.parametrize("point", [[0.0, 0.0, 2.0], [0.0, 3.0, 2.0], [0.0, 0.0, 0.0]], ids=str)
@pytest.mark.parametrize(("name", "options"), [("prod", {}), ("cumprod", {"axis": 0}), ("var", {"correction": 1})])
def test_second_order_is_pytorchs_at_awkward_points(name, options, point):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    c, v = np.array([1.0, 10.0, 100.0]), np.array([0.3, -1.2, 0.7])
    t = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad((getattr(torch, name)(t, **options) * torch.tensor(c)).sum(), t, create_graph=True)
    (want,) = torch.autograd.grad(first, t, torch.tensor(v))
    f = lambda x: (getattr(tg, name)(x, **options) * c).sum()  # noqa: E731
    assert_allclose(tg.grad(f)(np.array(point)).data, first.detach().numpy(), rtol=1e-13)
    assert_allclose(tg.hvp(f, np.array(point), v).data, want.numpy(), rtol=1e-13, atol=1e-13)
