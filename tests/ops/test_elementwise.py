"""Elementwise operations where a derivative is a matter of choice, or arithmetic runs out of range.

Warnings are errors here.
"""

import math
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.nn import functional

inf, nan = np.inf, np.nan
DTYPES = [np.float16, np.float32, np.float64]


def gradients(f, *xs, dtype=float):
    """The derivative of each element of f by the elements of each argument that it was computed from."""
    out, pullback = tg.vjp(f, *[np.asarray(x, dtype) for x in xs])
    return [g.data for g in pullback(np.ones(out.shape))]


def gradient(f, x, dtype=float):
    return gradients(f, x, dtype=dtype)[0]


def second(f, x):
    return gradient(lambda x: tg.vjp(f, x)[1](np.ones(x.shape))[0], x)


# ---------------------------------------------------------------------------------------------------------- arithmetic


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


def test_remainder_and_floor_divide():
    x, y = np.array([7.5, -7.5, 1.0, 6.0]), np.array([2.0, 2.0, 0.1, 2.0])
    assert_array_equal(tg.remainder(x, y), x % y)
    assert_array_equal(tg.floor_divide(x, y), [3, -4, 9, 3])  # 1 / 0.1 is 10, but 0.1 is a little more than a tenth
    by_x, by_y = gradients(tg.remainder, x, y)
    assert_array_equal(by_x, [1, 1, 1, 1])
    assert_array_equal(by_y, [-3, 4, -9, -3])
    for g in gradients(tg.floor_divide, x, y):
        assert_array_equal(g, [0, 0, 0, 0])


def test_reciprocal_of_integers():
    assert_array_equal(tg.reciprocal(np.array([2, -4])), [0.5, -0.25])


def test_reciprocal_of_zero():
    with np.errstate(divide="ignore"):
        assert_array_equal(tg.reciprocal(np.array([0.0, -0.0])), [inf, -inf])
        assert_array_equal(gradient(tg.reciprocal, [0.0, -0.0]), [-inf, -inf])


# -------------------------------------------------------------------------------------------------------- exponentials


def test_roots_and_logarithms_are_infinitely_steep_at_zero():
    with np.errstate(divide="ignore"):
        for f in (tg.sqrt, tg.log, tg.log2, tg.log10, lambda x: tg.log1p(x - 1)):
            assert_array_equal(gradient(f, [0.0, inf]), [inf, 0])


def test_powers_of_two_and_ten():
    assert_array_equal(tg.exp2(np.array([-inf, -2.0, 10.0])), [0, 0.25, 1024])
    assert_array_equal(tg.log2(np.array([0.25, 1024.0])), [-2, 10])
    assert_array_equal(tg.log10(np.array([0.01, 1e4])), [-2, 4])
    assert_array_equal(gradient(tg.exp2, [-inf, 0.0]), [0, math.log(2)])
    assert_allclose(gradient(tg.log2, 4.0), 0.25 / math.log(2), rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_logarithms_of_large_numbers_have_a_derivative(dtype):
    """x ln 10 would overflow."""
    x = np.finfo(dtype).max
    for f, base in ((tg.log2, 2), (tg.log10, 10)):
        want = 1 / math.log(base) / float(x)
        assert_allclose(
            gradient(f, x, dtype), want, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).smallest_subnormal
        )


def test_near_zero_no_digits_are_lost():
    x = np.array([1e-20, -1e-20])
    assert_array_equal(tg.expm1(x), x)
    assert_array_equal(tg.log1p(x), x)
    assert_allclose(gradient(tg.expm1, [-40.0]), np.exp(-40.0), rtol=1e-15)
    assert_array_equal(gradient(tg.expm1, [-inf, -1e4, 0.0]), [0, 0, 1])
    assert_allclose(gradient(tg.log1p, [0.0, 1e4, inf]), [1, 1 / 10001, 0], rtol=1e-15)


def test_logaddexp_far_out():
    x, y = np.array([1e4, -1e4, 1e4, -inf, inf]), np.array([-1e4, 1e4, 1e4, 0.0, 0.0])
    assert_array_equal(tg.logaddexp(x, y), [1e4, 1e4, 1e4 + math.log(2), 0, inf])
    by_x, by_y = gradients(tg.logaddexp, x, y)
    assert_array_equal(by_x, [1, 0, 0.5, 0, 1])
    assert_array_equal(by_y, [0, 1, 0.5, 1, 0])


def test_logaddexp_of_equal_infinities():
    x = np.array([-inf, inf])
    assert_array_equal(tg.logaddexp(x, x), x)
    for g in gradients(tg.logaddexp, x, x):
        assert_array_equal(g, [0.5, 0.5])
    assert_array_equal(second(lambda x: tg.logaddexp(x, x.data), x), [0, 0])


def test_logaddexp_bends_at_a_tie():
    """Its second derivative there is σ(0) σ(0) = 1/4: nothing is special about a tie of finite numbers."""
    assert_array_equal(second(lambda x: tg.logaddexp(x, [0.0, 5.0]), [0.0, 5.0]), [0.25, 0.25])


@pytest.mark.parametrize("dtype", DTYPES)
def test_softplus_and_log_sigmoid_far_out(dtype):
    x = np.array([-inf, -1e4, 0.0, 1e4, inf], dtype)
    assert_array_equal(tg.softplus(x), np.array([0, 0, math.log(2), 1e4, inf], dtype))
    assert_array_equal(tg.log_sigmoid(x), -tg.softplus(-x))
    assert_array_equal(gradient(tg.softplus, x, dtype), [0, 0, 0.5, 1, 1])
    assert_array_equal(gradient(tg.log_sigmoid, x, dtype), [1, 1, 0.5, 0, 0])
    assert_array_equal(second(tg.softplus, x), [0, 0, 0.25, 0, 0])


def test_softplus_keeps_its_digits_in_the_left_tail():
    x = np.array([-40.0, -700.0])
    assert_allclose(tg.softplus(x), np.exp(x), rtol=1e-15)
    assert_allclose(gradient(tg.softplus, x), np.exp(x), rtol=1e-12)


def test_log_sigmoid_of_unsigned_integers():
    assert_allclose(tg.log_sigmoid(np.array([0, 1], np.uint8)), -np.log(1 + np.exp([-0.0, -1.0])), rtol=1e-3)


# ----------------------------------------------------------------------------------------- trigonometric and hyperbolic


@pytest.mark.parametrize("dtype", DTYPES)
def test_inverse_functions_of_large_numbers_have_a_derivative(dtype):
    """The squares overflow, the derivatives don't."""
    tiny, eps = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).eps
    big = float(np.finfo(dtype).max) / 2
    x = np.array([-big, -300.0, 300.0, big, inf], dtype)
    wide = x.astype(np.longdouble)
    assert_allclose(gradient(tg.arctan, x, dtype), 1 / (1 + wide * wide), rtol=4 * eps, atol=tiny)
    assert_allclose(gradient(tg.arcsinh, x, dtype), 1 / np.sqrt(1 + wide * wide), rtol=4 * eps, atol=tiny)
    assert_allclose(gradient(tg.arccosh, x[2:], dtype), 1 / np.sqrt(wide[2:] ** 2 - 1), rtol=4 * eps, atol=tiny)
    by_y, by_x = gradients(tg.arctan2, x[2:4], x[3:1:-1], dtype=dtype)
    r = wide[2] ** 2 + wide[3] ** 2
    assert_allclose(by_y, wide[3:1:-1] / r, rtol=4 * eps, atol=tiny)
    assert_allclose(by_x, -wide[2:4] / r, rtol=4 * eps, atol=tiny)


def test_arctan_bends_at_zero():
    """arctan x = x − x³/3 + …: its third derivative at 0 is −2."""
    assert_array_equal(second(lambda x: tg.grad(lambda x: tg.arctan(x).sum())(x), [0.0]), [-2])
    assert_array_equal(second(lambda x: tg.grad(lambda x: tg.arcsinh(x).sum())(x), [0.0]), [-1])


def test_inverse_functions_at_the_ends_of_their_domain():
    with np.errstate(divide="ignore"):
        assert_array_equal(gradient(tg.arcsin, [-1.0, 0.0, 1.0]), [inf, 1, inf])
        assert_array_equal(gradient(tg.arccos, [-1.0, 0.0, 1.0]), [-inf, -1, -inf])
        assert_array_equal(gradient(tg.arctanh, [-1.0, 0.0, 1.0]), [inf, 1, inf])
        assert_array_equal(gradient(tg.arccosh, [1.0, inf]), [inf, 0])


def test_near_the_end_of_their_domain_no_digits_are_lost():
    """At 1 − ε, 1 − x² is ε (2 − ε)."""
    e = 2.0**-50
    assert_allclose(gradient(tg.arcsin, [1 - e]), 1 / math.sqrt(e * (2 - e)), rtol=1e-15)
    assert_allclose(gradient(tg.arctanh, [1 - e]), 1 / (e * (2 - e)), rtol=1e-15)


def test_the_origin_has_no_angle_and_no_direction():
    zero = np.array([0.0, -0.0])
    for f in (tg.hypot, tg.arctan2):
        for g in gradients(f, zero, zero):
            assert_array_equal(g, [0, 0])
        for i in (0, 1):
            nth = lambda x, y, i=i, f=f: tg.grad(lambda x, y: f(x, y).sum(), i)(x, y)  # noqa: E731
            for g in gradients(nth, zero, zero):
                assert_array_equal(g, [0, 0])


def test_hypot_does_not_overflow():
    by_x, by_y = gradients(tg.hypot, [3e200, 3e-200], [4e200, 4e-200])
    assert_allclose(by_x, [0.6, 0.6], rtol=1e-15)
    assert_allclose(by_y, [0.8, 0.8], rtol=1e-15)


def test_tanh_saturates_quietly():
    assert_array_equal(gradient(tg.tanh, [-inf, -1000.0, 0.0, 1000.0, inf]), [0, 0, 1, 0, 0])


# --------------------------------------------------------------------------------------------- signs, steps and choices


def test_abs_and_sign():
    x = [-inf, -2.0, -0.0, 0.0, 2.0, inf]
    assert_array_equal(gradient(tg.abs, x), [-1, -1, 0, 0, 1, 1])
    assert_array_equal(second(tg.abs, x), [0] * 6)
    assert not np.signbit(tg.abs(tg.tensor(-0.0)).data)


@pytest.mark.parametrize("f", [tg.sign, tg.floor, tg.ceil, tg.round, lambda x: x // 1.0, lambda x: x**0])
def test_steps_pass_nothing_on(f):
    """Not even an infinite cotangent; but they are recorded, and the gradient is there."""
    x = tg.tensor([-inf, -0.5, 0.0, 1.0, inf], requires_grad=True)
    with np.errstate(invalid="ignore"):  # NumPy's ∞ // 1 is NaN
        y = f(x)
    y.backward(np.full(5, inf))
    assert_array_equal(x.grad, [0, 0, 0, 0, 0])


def test_round_goes_to_the_even_neighbour():
    assert_array_equal(tg.round(np.array([0.5, 1.5, 2.5, -0.5])), [0, 2, 2, 0])
    assert_array_equal(tg.round(np.array([1.25, 1.35]), 1), [1.2, 1.4])
    assert_array_equal(tg.round(np.array([1234, 1250]), np.int64(-2)), [1200, 1200])


def test_maximum_shares_at_a_tie():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    gx, gy = tg.grad(lambda x, y: (tg.maximum(x, y) * [2.0, 10.0, 100.0]).sum(), (0, 1))(x, y)
    assert_array_equal(gx.data, [1, 0, 100])
    assert_array_equal(gy.data, [1, 10, 0])
    assert gradient(lambda x: tg.maximum(x, x), 1.0) == 1.0
    assert gradient(lambda x: tg.maximum(x, 1.0), 1.0) == gradient(lambda x: tg.maximum(1.0, x), 1.0) == 0.5


def test_minimum_shares_at_a_tie():
    by_x, by_y = gradients(tg.minimum, [1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert_array_equal(by_x, [0.5, 1, 0])
    assert_array_equal(by_y, [0.5, 0, 1])
    assert_array_equal(tg.minimum(np.array([1, 2], np.uint8), np.uint8(1)), [1, 1])


@pytest.mark.parametrize("f", [tg.maximum, tg.minimum])
def test_the_larger_or_smaller_of_nan_is_nan(f):
    x, y = [nan, 1.0, nan], [1.0, nan, nan]
    assert_array_equal(f(np.array(x), np.array(y)), [nan, nan, nan])
    for g in gradients(f, x, y):
        assert_array_equal(g, [1, 1, 1])


def test_clip_on_and_beyond_its_bounds():
    x = [-inf, -1.0, 0.0, 0.5, 1.0, 2.0, inf, nan]
    assert_array_equal(gradient(lambda x: tg.clip(x, 0, 1), x), [0, 0, 1, 1, 1, 0, 0, 0])
    assert_array_equal(gradient(lambda x: tg.clip(x, 0, None), x), [0, 0, 1, 1, 1, 1, 1, 0])
    assert_array_equal(gradient(lambda x: tg.clip(x, max=1), x), [1, 1, 1, 1, 1, 0, 0, 0])
    assert_array_equal(gradient(tg.clip, x), [1] * 7 + [0])
    by_x, low, high = gradients(tg.clip, x, [0.0] * 8, [1.0] * 8)
    assert_array_equal(by_x, [0, 0, 1, 1, 1, 0, 0, 0])
    assert_array_equal(low, [1, 1, 0, 0, 0, 0, 0, 0])
    assert_array_equal(high, [0, 0, 0, 0, 0, 1, 1, 0])


def test_clip_between_equal_bounds_gives_all_to_one_of_them():
    """PyTorch's gives nothing to anybody below them."""
    by_x, low, high = gradients(tg.clip, [0.0, 1.0, 2.0], [1.0] * 3, [1.0] * 3)
    assert_array_equal([by_x, low, high], [[0, 1, 0], [1, 0, 0], [0, 0, 1]])


def test_clip_of_integers_is_of_integers():
    x = np.array([1, 5, 9])
    for got, want in [(tg.clip(x, 2), [2, 5, 9]), (tg.clip(x, None, 6), [1, 5, 6]), (tg.clip(x, 2, 6), [2, 5, 6])]:
        assert got.dtype == int
        assert_array_equal(got, want)
    assert tg.clip(x, -inf, 6).dtype == float  # as NumPy's


def test_where_does_not_look_at_the_branch_not_taken():
    x = np.array([0.0, 4.0])
    safe = tg.grad(lambda x: tg.where(x > 0, tg.sqrt(tg.where(x > 0, x, 1.0)), 0.0).sum())
    assert_array_equal(safe(x).data, [0, 0.25])
    assert_array_equal(second(lambda x: tg.where(x > 0, tg.sqrt(tg.where(x > 0, x, 1.0)), 0.0), x), [0, -1 / 32])
    by_x, by_y = gradients(lambda x, y: tg.where([True, False], x, y), [1.0, nan], [inf, 2.0])
    assert_array_equal(by_x, [1, 0])
    assert_array_equal(by_y, [0, 1])


# --------------------------------------------------------------------------------------------------------- activations


def test_relu_at_its_kink():
    assert_array_equal(gradient(tg.relu, [-1.0, -0.0, 0.0, 1e-300, 1.0, inf, -inf, nan]), [0, 0, 0, 1, 1, 1, 0, 1])


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


def test_leaky_relu_and_elu_at_their_kink():
    x = [-inf, -1e4, 0.0, 1e4, inf, nan]
    assert_array_equal(gradient(tg.leaky_relu, x), [0.01, 0.01, 0.01, 1, 1, 0.01])
    assert_array_equal(gradient(tg.elu, x), [0, 0, 1, 1, 1, 1])
    assert_array_equal(gradient(lambda x: tg.elu(x, 2.0), x), [0, 0, 2, 1, 1, 1])
    assert_array_equal(tg.elu(np.array(x)), [-1, -1, 0, 1e4, inf, nan])
    assert_allclose(gradient(tg.elu, [-40.0]), np.exp(-40.0), rtol=1e-15)
    assert_array_equal(second(tg.elu, [0.0, 1.0]), [1, 0])


def test_a_slope_can_be_learned():
    slope = tg.tensor(0.25, requires_grad=True)
    tg.leaky_relu(np.array([-2.0, -3.0, 4.0]), slope).sum().backward()
    assert slope.grad == -5


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_far_out(dtype):
    x = np.array([-1e4, 0.0, 1e4], dtype)
    for f in (tg.gelu, tg.silu, lambda x: tg.gelu(x, "tanh")):
        assert_array_equal(f(x), [0, 0, x[-1]])
        assert_array_equal(gradient(f, x, dtype), [0, 0.5, 1])
    assert_allclose(tg.softsign(x), [-1, 0, 1], rtol=1.1e-4)
    assert_allclose(
        gradient(tg.softsign, x, dtype), [1e-8, 1, 1e-8], rtol=1e-3, atol=np.finfo(dtype).smallest_subnormal
    )


def test_gelu_is_x_times_the_normal_distribution():
    x = np.array([-1.0, 0.0, 1.0, 2.0])
    assert_allclose(
        tg.gelu(x) / [-1, 1, 1, 2], [0.15865525393145707, 0, 0.8413447460685429, 0.9772498680518208], rtol=1e-15
    )
    near = np.linspace(-6, 6, 1001)
    difference = np.max(np.abs(tg.gelu(near) - tg.gelu(near, "tanh")))
    assert 4e-4 < difference < 5e-4


@pytest.mark.parametrize("dtype", DTYPES)
def test_erf(dtype):
    x = np.array([-inf, -1e4, 0.0, 0.5, 1e4, inf], dtype)
    got = tg.erf(x)
    assert got.dtype == dtype
    assert_allclose(got, [-1, -1, 0, 0.5204998778130465, 1, 1], rtol=np.finfo(dtype).eps)
    assert_allclose(
        gradient(tg.erf, [-inf, -1e4, 0.0, 1e4, inf], dtype),
        np.array([0, 0, 2 / math.sqrt(math.pi), 0, 0], dtype),
        rtol=np.finfo(dtype).eps,
    )
    assert tg.erf(1) == math.erf(1)
    assert tg.erf(np.array([1, 2], np.int8)).dtype == np.exp(np.array([1, 2], np.int8)).dtype


def test_pytorchs_names():
    assert functional.logsigmoid is tg.log_sigmoid
    assert functional.gelu is tg.gelu


# ----------------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("number", [2.0, 2, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("f", [tg.minimum, tg.hypot, tg.arctan2, tg.logaddexp, tg.remainder, tg.floor_divide, tg.clip])
def test_python_numbers_never_widen(f, dtype, number):
    for args in ((0, number), (number, 0)):
        x = tg.tensor([1.5, 2.0], dtype=dtype, requires_grad=True)
        out = f(*[x if a is args[args.index(0)] else number for a in args])
        assert out.dtype == dtype
        g = tg.autograd.grad(out.sum(), x, create_graph=True)[0]
        assert g.dtype == dtype
        if g.requires_grad:
            assert {node.dtype for node in tg.graph(g).nodes} == {np.dtype(dtype).name}


PAIRS = [tg.add, tg.subtract, tg.multiply, tg.divide, tg.remainder, tg.floor_divide, tg.arctan2, tg.hypot]
PAIRS += [tg.logaddexp, tg.maximum, tg.minimum, tg.clip, tg.leaky_relu, tg.elu]


@pytest.mark.parametrize("f", PAIRS)
def test_lists_are_arrays(f):
    a, b = [0.5, 1.5], [2.0, 0.75]
    x, y = np.array(a), np.array(b)
    assert_array_equal(f(a, b), f(x, y))
    for left, right in ((lambda z: f(z, b), lambda z: f(z, y)), (lambda z: f(a, z), lambda z: f(x, z))):
        assert_array_equal(gradient(left, x), gradient(right, x))
        assert_array_equal(tg.jvp(left, (x,), (y,))[1].data, tg.jvp(right, (x,), (y,))[1].data)


@pytest.mark.parametrize("f", [tg.abs, tg.positive, tg.round, tg.clip, tg.leaky_relu, tg.elu, tg.gelu, tg.silu, tg.erf])
def test_a_number_is_an_array(f):
    assert_array_equal(f(-1.5), f(np.array(-1.5)))
    assert_array_equal(f([-1.5, 2.0]), f(np.array([-1.5, 2.0])))


def test_operators_and_methods():
    a = np.array([-3.7, 2.5])
    x = tg.tensor(a)
    for got, want in [
        (abs(x), abs(a)),
        (+x, +a),
        (x // 2, a // 2),
        (2 // x, 2 // a),
        (a // x, a // a),
        (x % 2, a % 2),
        (2 % x, 2 % a),
        (a % x, a % a),
        (x.round(), a.round()),
        (x.round(1), a.round(1)),
        (x.clip(-1, 1), a.clip(-1, 1)),
        (x.clip(max=1), a.clip(max=1)),
    ]:
        assert type(got) is tg.Tensor
        assert_array_equal(got.data, want)


# -------------------------------------------------------------------------------------------------------------- errors

x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
ERRORS = {
    "round": (lambda: x.round(1.5), TypeError, "round: decimals must be an integer, got 1.5"),
    "clip, twice": (
        lambda: tg.clip(x, 0, min=1),
        TypeError,
        "clip: a bound was given twice: min is another name for a_min, max for a_max",
    ),
    "clip, shapes": (
        lambda: tg.clip(x, np.zeros(2), 1.0),
        ValueError,
        "clip: shapes (2, 3) and (2,) and () don't broadcast",
    ),
    "gelu": (
        lambda: tg.gelu(x, "erf"),
        ValueError,
        "gelu: approximate must be 'none' or 'tanh', got 'erf'",
    ),
    "erf, text": (lambda: tg.erf("a"), TypeError, "erf: argument 1 must be real numbers, got 'a'"),
    "erf, complex": (lambda: tg.erf(1j), TypeError, "erf: argument 1 must be real numbers, got 1j"),
    "sin, text": (lambda: tg.sin("a"), TypeError, "sin: argument 1 must be real numbers, got 'a'"),
    "abs, None": (lambda: tg.abs(None), TypeError, "abs: argument 1 must be real numbers, got None"),
    "hypot": (lambda: tg.hypot(x, np.ones(2)), ValueError, "hypot: shapes (2, 3) and (2,) don't broadcast"),
    "remainder": (lambda: x % np.ones(2), ValueError, "remainder: shapes (2, 3) and (2,) don't broadcast"),
    "floor_divide": (lambda: x // np.ones(2), ValueError, "floor_divide: shapes (2, 3) and (2,) don't broadcast"),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_message(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
