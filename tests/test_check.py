"""The checker itself: it passes what is right and finds what is wrong, in each mode, at each order."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import GradientError, check_grads, primitive

x = np.array([0.3, -0.7])


def with_rule(rule, kind="elementwise"):
    """sin, with whatever derivative is given."""

    @primitive(kind, [rule])
    def sine(x):
        return np.sin(x)

    return sine


@primitive("elementwise", [lambda ct, x: ct * cosine(x)])
def right(x):
    return np.sin(x)


@primitive("elementwise", [lambda ct, x: -ct * right(x)])
def cosine(x):
    return np.cos(x)


def test_what_is_right_passes():
    check_grads(right, [x])
    check_grads(right, [x], order=3)
    check_grads(lambda a, b: right(a) @ tg.exp(b), [x, x])
    check_grads(lambda: tg.tensor(1.0), [])
    check_grads(right, [np.zeros((0, 3))])
    check_grads(right, [tg.tensor(0.5)])
    check_grads(right, [0.5])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("kind", ["elementwise", "general"])
def test_a_wrong_first_derivative_is_found(kind, mode):
    for wrong in (
        with_rule(lambda ct, x: ct * cosine(x) * (1 + 1e-5), kind),  # a part in 10⁵
        with_rule(lambda ct, x: -ct * cosine(x), kind),
        with_rule(lambda ct: ct, kind),
        with_rule(lambda ct: ct * np.nan, kind),
    ):
        with pytest.raises(GradientError, match=f"check_grads: {mode} mode: the derivative differs"):
            check_grads(wrong, [x], order=1, modes=[mode])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_wrong_second_derivative_is_found(mode):
    """The first derivative is right, but its own rule cannot be seen: np.cos drops the dependence on x."""
    wrong = with_rule(lambda ct, x: ct * np.cos(x.data if isinstance(x, tg.Tensor) else x))
    check_grads(wrong, [x], order=1)
    with pytest.raises(GradientError, match=rf"check_grads: {mode} of {mode} mode"):
        check_grads(wrong, [x], order=2, modes=[mode])


def test_a_wrong_sign_in_one_argument_of_two_is_found():
    @primitive("elementwise", [lambda ct, y: ct * y, lambda ct, x: -ct * x])
    def product(x, y):
        return np.multiply(x, y)

    for mode in ("forward", "reverse"):
        with pytest.raises(GradientError):
            check_grads(product, [x, x], order=1, modes=[mode])


def test_the_two_modes_are_told_apart():
    """A primitive said to be linear that is not: reverse mode is right, forward mode is not."""
    wrong = with_rule(lambda ct, x: ct * cosine(x), "linear")
    check_grads(wrong, [x], order=1, modes=["reverse"])
    with pytest.raises(GradientError, match="check_grads: forward mode"):
        check_grads(wrong, [x], order=1, modes=["forward"])


def test_a_kink_is_found_out():
    with pytest.raises(GradientError):
        check_grads(tg.relu, [np.zeros(3)])


def test_the_error_says_by_how_much():
    with pytest.raises(
        GradientError, match=r"differs from finite differences by .* \(largest entry .*\): got .*, want"
    ):
        check_grads(with_rule(lambda ct: ct), [x])


def test_tolerances_are_the_callers():
    slightly = with_rule(lambda ct, x: ct * cosine(x) * (1 + 1e-4))
    check_grads(slightly, [x], order=1, rtol=1e-3)
    with pytest.raises(GradientError):
        check_grads(slightly, [x], order=1)


def test_an_unknown_mode():
    with pytest.raises(ValueError, match="check_grads: modes are 'forward' and 'reverse', got 'backward'"):
        check_grads(right, [x], modes=["backward"])


def test_the_callers_arrays_are_left_alone():
    a = x.copy()
    a.flags.writeable = False
    check_grads(right, [a])


def test_it_is_an_assertion():
    assert issubclass(GradientError, AssertionError)
