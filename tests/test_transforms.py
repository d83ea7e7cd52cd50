"""Functions to functions: right values, right nesting, right errors; nothing left on the tape."""

import re
import tracemalloc
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import autograd
from tinygrad_rnn.tape import Node

rng = np.random.default_rng(5)
points = st.floats(-3, 3, allow_nan=False)


def derivative(f):
    """df/dx by forward mode."""
    return lambda x: tg.jvp(f, (x,), (np.ones(np.shape(x)),))[1]


def nth(f, modes):
    """f differentiated once in each of `modes`, the first innermost."""
    for mode in modes:
        f = tg.grad(f) if mode == "reverse" else derivative(f)
    return f


MODES = ("reverse", "forward")
NESTINGS_2 = [(a, b) for a in MODES for b in MODES]
NESTINGS_4 = [(a, *ab, b) for ab in NESTINGS_2 for a in MODES for b in MODES]

# ---------------------------------------------------------------------------------------------------- higher orders


@pytest.mark.parametrize("modes", NESTINGS_4, ids=" ".join)
@pytest.mark.parametrize("x", [-1.3, 0.0, 0.7])
def test_fourth_derivative_of_tanh(modes, x):
    """With t = tanh x: t'''' = 8 t (1 − t²) (2 − 3 t²)."""
    t = np.tanh(x)
    got = nth(tg.tanh, modes)(x)
    assert_allclose(got.item(), 8 * t * (1 - t * t) * (2 - 3 * t * t), rtol=1e-13, atol=1e-14)
    assert not got.requires_grad


@given(points)
def test_fourth_derivative_of_tanh_anywhere(x):
    t = np.tanh(x)
    want = 8 * t * (1 - t * t) * (2 - 3 * t * t)
    assert abs(nth(tg.tanh, ("reverse",) * 4)(x).item() - want) < 1e-13


@pytest.mark.parametrize("modes", NESTINGS_4, ids=" ".join)
def test_fourth_derivatives_of_others(modes):
    assert_allclose(nth(lambda x: x**5, modes)(1.5).item(), 120 * 1.5, rtol=1e-13)
    assert_allclose(nth(tg.exp, modes)(0.5).item(), np.exp(0.5), rtol=1e-13)
    assert_allclose(nth(tg.log, modes)(0.5).item(), -6 / 0.5**4, rtol=1e-13)
    assert_allclose(nth(lambda x: 1 / x, modes)(0.5).item(), 24 / 0.5**5, rtol=1e-13)
    s = 1 / (1 + np.exp(-0.5))
    want = s * (1 - s) * (1 - 2 * s) * (1 - 12 * s + 12 * s**2)
    assert_allclose(nth(tg.sigmoid, modes)(0.5).item(), want, rtol=1e-12)


# -------------------------------------------------------------------------------------- variables that stay apart


def along_1(f):
    return lambda x: tg.jvp(f, (x,), (1.0,))[1]


@pytest.mark.parametrize("inner", [tg.grad, along_1])
@pytest.mark.parametrize("outer", [tg.grad, along_1])
@pytest.mark.parametrize("x", [0.0, 3.0])
def test_nested_variables_are_not_confused(outer, inner, x):
    """d/dx of x · d/dy (x + y) is 1."""
    got = outer(lambda x: x * inner(lambda y: x + y)(x))(x)
    assert got.item() == 1
    assert not got.requires_grad
    # The same where the inner function takes another value, and where it uses x in a product: d/dx x·x = 2x.
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(x).item() == 1
    assert outer(lambda x: x * inner(lambda y: x * y)(1.0))(x).item() == 2 * x


@pytest.mark.parametrize("a", [tg.grad, along_1])
@pytest.mark.parametrize("b", [tg.grad, along_1])
@pytest.mark.parametrize("c", [tg.grad, along_1])
@pytest.mark.parametrize("d", [tg.grad, along_1])
def test_four_nested_variables(a, b, c, d):
    """∂⁴(w x² y³ z⁴)/∂w∂x∂y∂z = 24 x y² z³."""
    f = a(lambda w: b(lambda x: c(lambda y: d(lambda z: w * x**2 * y**3 * z**4)(2.0))(3.0))(5.0))
    got = f(7.0)
    assert got.item() == 24 * 5 * 9 * 8
    assert not got.requires_grad


@pytest.mark.parametrize("inner", [tg.grad, along_1])
@pytest.mark.parametrize("outer", [tg.grad, along_1])
def test_an_inner_variable_that_is_the_outer_one(outer, inner):
    """d/dx [x² at x] differentiated again, the inner function not using the outer x but through its argument."""
    assert outer(lambda x: inner(lambda y: y * y * y)(x) * x)(2.0).item() == 9 * 4
    assert outer(lambda x: inner(lambda y: y * y * y)(2 * x))(2.0).item() == 48


# --------------------------------------------------------------------------------------------------------- Hessians


def quartic(x):
    return (tg.tanh(W @ x) ** 2).sum() + (x**3).sum() * tg.exp(x[0])


W = rng.normal(size=(3, 4))
X = rng.normal(size=4)
V = rng.normal(size=4)

PRODUCTS = {
    "forward over reverse": lambda x: tg.jvp(tg.grad(quartic), (x,), (V,))[1],
    "reverse over forward": lambda x: tg.grad(lambda x: tg.jvp(quartic, (x,), (V,))[1])(x),
    "reverse over reverse": lambda x: tg.grad(lambda x: (tg.grad(quartic)(x) * V).sum())(x),
    "forward over forward": lambda x: tg.stack(
        [tg.jvp(lambda x, e=e: tg.jvp(quartic, (x,), (e,))[1], (x,), (V,))[1] for e in np.eye(4)]
    ),
    "hvp": lambda x: tg.hvp(quartic, x, V),
}


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_hessian_vector_products_agree(product):
    step = 1e-5
    numeric = (tg.grad(quartic)(X + step * V).data - tg.grad(quartic)(X - step * V).data) / (2 * step)
    got = product(X)
    assert_allclose(got.data, numeric, rtol=1e-7)
    assert_allclose(got.data, PRODUCTS["hvp"](X).data, rtol=1e-12)
    assert not got.requires_grad


def test_the_hessian_is_symmetric():
    H = np.stack([tg.hvp(quartic, X, e).data for e in np.eye(4)])
    assert_allclose(H, H.T, rtol=1e-12)


# ----------------------------------------------------------------------------------------- what results depend on


@pytest.mark.parametrize(
    "call",
    [
        lambda: tg.grad(tg.tanh)(0.5),
        lambda: tg.grad(tg.grad(tg.tanh))(0.5),
        lambda: tg.value_and_grad(tg.tanh)(0.5)[0],
        lambda: tg.value_and_grad(tg.tanh)(0.5)[1],
        lambda: tg.vjp(tg.tanh, 0.5)[0],
        lambda: tg.vjp(tg.tanh, 0.5)[1](1.0)[0],
        lambda: tg.jvp(tg.tanh, (0.5,), (1.0,))[0],
        lambda: tg.jvp(tg.tanh, (0.5,), (1.0,))[1],
        lambda: tg.hvp(tg.tanh, 0.5, 1.0),
        lambda: tg.grad(lambda x: x)(0.5),
        lambda: tg.vjp(lambda x: x, 0.5)[0],
        lambda: tg.grad(lambda x: tg.grad(lambda y: x * y)(2.0))(0.5),
        lambda: tg.grad(lambda x: tg.vjp(lambda y: x * y, 2.0)[1](x)[0])(0.5),
        lambda: tg.grad(lambda x: tg.jvp(tg.grad(lambda y: x * y * y), (2.0,), (x,))[1])(0.5),
        lambda: tg.jvp(lambda x: tg.grad(lambda y: x * y)(2.0), (0.5,), (1.0,))[1],
        lambda: tg.vjp(lambda x: tg.vjp(lambda y: x * y, 2.0)[0], 0.5)[1](1.0)[0],
    ],
)
def test_nothing_outside_so_nothing_recorded(call):
    assert not call().requires_grad


def test_a_closure_over_a_parameter_stays_differentiable():
    w = tg.tensor(2.0, requires_grad=True, name="w")
    f = lambda x: w**2 * x**3  # noqa: E731
    value, g = tg.value_and_grad(f)(5.0)
    assert (value.item(), g.item()) == (500, 300)
    for result, want in [
        (value, 2 * 2 * 125),
        (g, 2 * 2 * 75),  # ∂/∂w 3 w² x²
        (tg.vjp(f, 5.0)[1](1.0)[0], 2 * 2 * 75),
        (tg.jvp(f, (5.0,), (1.0,))[1], 2 * 2 * 75),
        (tg.hvp(f, 5.0, 1.0), 2 * 2 * 30),
        (tg.grad(tg.grad(f))(5.0), 2 * 2 * 30),
        (tg.grad(lambda x: tg.jvp(f, (x,), (1.0,))[1])(5.0), 2 * 2 * 30),
    ]:
        assert result.requires_grad
        assert autograd.grad(result, w, retain_graph=True)[0].item() == want
    assert w.grad is None  # no transform writes to a leaf
    g.backward()
    assert w.grad == 300


def test_an_argument_that_is_on_the_tape():
    x = tg.tensor(3.0, requires_grad=True)
    g = tg.grad(lambda y: y**3)(x)
    assert (g.item(), g.requires_grad) == (27, True)
    assert autograd.grad(g, x)[0].item() == 18
    y, dy = tg.jvp(lambda y: y**3, (x,), (1.0,))
    assert autograd.grad(dy, x, retain_graph=True)[0].item() == 18
    assert autograd.grad(y, x)[0].item() == 27
    assert tg.grad(lambda y: y * x)(x).item() == 3  # x itself is a constant in there
    assert x.grad is None


def test_a_tangent_or_cotangent_that_is_on_the_tape():
    v = tg.tensor([1.0, 2.0], requires_grad=True)
    x = np.array([3.0, 4.0])
    _, dy = tg.jvp(lambda x: x * x, (x,), (v,))
    assert_array_equal(autograd.grad(dy.sum(), v)[0].data, 2 * x)
    (g,) = tg.vjp(lambda x: x * x, x)[1](v)
    assert_array_equal(autograd.grad(g.sum(), v)[0].data, 2 * x)


def test_parameters_made_inside_the_function():
    made = []

    def f(x):
        if not made:
            made.append(tg.tensor(2.0, requires_grad=True))
        return made[0] * x * x

    g = tg.grad(f)(3.0)
    assert autograd.grad(g, made[0])[0].item() == 6


def test_detach_stops_a_gradient_and_a_tangent():
    f = lambda x: x * x.detach()  # noqa: E731
    assert tg.grad(f)(3.0).item() == 3
    assert tg.jvp(f, (3.0,), (1.0,))[1].item() == 3
    assert tg.grad(lambda x: tg.grad(f)(x))(3.0).item() == 0
    assert tg.grad(lambda x: x.detach() * 1.0)(3.0).item() == 0
    y, dy = tg.jvp(lambda x: x.detach(), (3.0,), (1.0,))
    assert (y.item(), dy.item()) == (3, 0)
    # A detached outer variable is a constant of the inner differentiation and of the outer one.
    assert tg.jvp(lambda x: tg.grad(lambda y: x.detach() * y * y)(x), (3.0,), (1.0,))[1].item() == 6


def test_no_grad_inside_stops_recording():
    def f(x):
        with tg.no_grad():
            factor = x * x
        return factor * x

    assert tg.grad(f)(3.0).item() == 9
    assert tg.grad(lambda x: tg.no_grad()(tg.tanh)(x) + x)(3.0).item() == 1


def test_no_grad_outside_does_not_reach_inside():
    with tg.no_grad():
        assert tg.grad(tg.grad(lambda x: x**3))(2.0).item() == 12
        assert tg.hvp(lambda x: x**3, 2.0, 1.0).item() == 12
        _y, pullback = tg.vjp(lambda x: x**3, 2.0)
        assert pullback(1.0)[0].item() == 12


# ------------------------------------------------------------------------------------------------------ each transform


def test_value_and_grad_argnums():
    f = lambda x, y, z: x * y**2 * z**3  # noqa: E731
    args = (2.0, 3.0, 5.0)
    by_x, by_y, by_z = 9 * 125, 2 * 6 * 125, 2 * 9 * 75
    value, g = tg.value_and_grad(f)(*args)
    assert (value.item(), g.item()) == (2250, by_x)
    assert type(g) is tg.Tensor
    assert tg.grad(f, 1)(*args).item() == by_y
    assert tg.grad(f, -1)(*args).item() == by_z
    for argnums, want in [
        ((0,), (by_x,)),
        ((2, 0), (by_z, by_x)),
        ([-1, 1], (by_z, by_y)),
        ((0, 0), (by_x, by_x)),
        ((0, -3), (by_x, by_x)),
    ]:
        got = tg.grad(f, argnums)(*args)
        assert type(got) is tuple
        assert tuple(g.item() for g in got) == want


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad])
@pytest.mark.parametrize("argnum", [2, -3])
def test_argnums_out_of_range(transform, argnum):
    message = f"{transform.__name__}: argnums names argument {argnum}, but the function was called with 2"
    with pytest.raises(ValueError, match=re.escape(message)):
        transform(lambda x, y: x * y, argnum)(1.0, 2.0)


def test_other_arguments_pass_as_they_are():
    seen = []

    def f(x, *others):
        seen.extend(others)
        return x * others[0]

    array = np.array(2)
    assert tg.grad(f)(3.0, array, "text", None).item() == 2
    assert seen[0] is array
    assert seen[1:] == ["text", None]


def test_a_pullback_can_be_called_many_times():
    x = rng.normal(size=3)
    _y, pullback = tg.vjp(lambda x: tg.tanh(x) * x.sum(), x)
    first, other, again = (pullback(ct)[0].data for ct in (np.ones(3), np.arange(3.0), np.ones(3)))
    assert_array_equal(first, again)
    assert not np.shares_memory(first, again)
    J = np.diag((1 - np.tanh(x) ** 2) * x.sum()) + np.tanh(x)[:, None]
    assert_allclose(first, np.ones(3) @ J, rtol=1e-13)
    assert_allclose(other, np.arange(3.0) @ J, rtol=1e-13)


def test_a_pullback_of_several_arguments():
    _y, pullback = tg.vjp(lambda a, b, c: a @ b, np.eye(2), np.array([1.0, 2.0]), 7.0)
    a, b, c = pullback(np.array([1.0, 10.0]))
    assert_array_equal(a.data, [[1, 2], [10, 20]])
    assert_array_equal(b.data, [1, 10])
    assert c.item() == 0  # unused: zeros


def test_a_pullback_notices_a_write():
    x = np.array([1.0, 2.0])
    _y, pullback = tg.vjp(lambda x: x * x, x)
    pullback(np.ones(2))
    x[0] = 5.0
    with pytest.raises(RuntimeError, match="was written to"):
        pullback(np.ones(2))


def test_a_function_that_does_not_depend_on_its_argument():
    assert tg.grad(lambda x: tg.tensor(1.0))(2.0).item() == 0
    _y, dy = tg.jvp(lambda x: tg.tensor([1.0, 2.0]), (2.0,), (1.0,))
    assert_array_equal(dy.data, [0, 0])
    assert tg.hvp(lambda x: x * 2, 3.0, 1.0).item() == 0
    assert tg.grad(tg.grad(lambda x: x * 2))(3.0).item() == 0


def test_jvp_of_several_arguments():
    y, dy = tg.jvp(lambda a, b: a * b, (2.0, 3.0), (1.0, 10.0))
    assert (y.item(), dy.item()) == (6, 23)


def test_jvp_leaves_nothing_behind():
    first = Node(np.zeros(()), False).index
    tg.jvp(lambda x: tg.sum(tg.tanh(x @ W)) / x.sum(), (W[:, :3],), (W[:, :3],))
    assert Node(np.zeros(()), False).index == first + 1


@pytest.mark.parametrize("transform", [tg.grad, along_1, tg.value_and_grad, lambda f: lambda x: tg.vjp(f, x)[0]])
def test_a_function_must_return_a_tensor(transform):
    for wrong, name in ((lambda x: 3.0, "float"), (lambda x: None, "NoneType"), (lambda x: "x", "str")):
        with pytest.raises(TypeError, match=f"the function must return a tensor, got {name}"):
            transform(wrong)(1.0)


@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad])
def test_a_gradient_is_of_a_scalar(transform):
    message = (
        f"{transform.__name__}: the function must return a scalar, got a tensor of shape (2,); vjp takes any shape"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        transform(lambda x: x * x)(np.ones(2))
    with pytest.raises(ValueError, match="must return a scalar"):
        tg.hvp(lambda x: x * x, np.ones(2), np.ones(2))


def test_wrong_cotangents_and_tangents():
    _, pullback = tg.vjp(lambda x: x * x, np.ones(2))
    with pytest.raises(
        RuntimeError, match=re.escape("vjp: the cotangent can be left out only for a scalar, and this tensor has shape")
    ):
        pullback(None)
    with pytest.raises(ValueError, match=re.escape("vjp: the cotangent must have the tensor's shape (2,), got (3,)")):
        pullback(np.ones(3))
    with pytest.raises(ValueError, match=re.escape("jvp: tangent 0 must have the tensor's shape (2,), got ()")):
        tg.jvp(lambda x: x, (np.ones(2),), (1.0,))
    with pytest.raises(ValueError, match="jvp: 1 primals want as many tangents, got 2"):
        tg.jvp(lambda x: x, (1.0,), (1.0, 1.0))


# --------------------------------------------------------------------------------------------------- kinds of arguments


def test_python_numbers_take_the_default_dtype():
    for number in (3, 3.0, True):
        assert tg.grad(lambda x: tg.sum(x * x))(number).dtype == np.float64
        with tg.default_dtype(np.float32):
            value, g = tg.value_and_grad(lambda x: tg.sum(x * x))(number)
            assert (value.dtype, g.dtype) == (np.float32, np.float32)
            ones = np.ones(np.shape(number))
            assert tg.jvp(lambda x: x * x, (number,), (ones,))[1].dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_kept(dtype):
    x = np.array([1.0, 2.0], dtype)
    f = lambda x: (x**3).sum()  # noqa: E731
    for result in (
        tg.grad(f)(x),
        tg.hvp(f, x, np.ones(2)),
        tg.jvp(f, (x,), (np.ones(2),))[1],
        tg.vjp(f, x)[1](1.0)[0],
        tg.grad(lambda x: tg.jvp(f, (x,), (np.ones(2),))[1])(x),
    ):
        assert result.dtype == dtype


@pytest.mark.parametrize("x", [np.array([1, 2]), np.array(True), tg.tensor([1, 2]), np.int64(3)])
def test_integers_are_refused(x):
    for name, call in [
        ("grad", lambda: tg.grad(tg.sum)(x)),
        ("value_and_grad", lambda: tg.value_and_grad(tg.sum)(x)),
        ("vjp", lambda: tg.vjp(tg.sum, x)),
        ("jvp", lambda: tg.jvp(tg.sum, (x,), (x,))),
    ]:
        message = f"{name}: argument 0 must be of floating-point numbers to differentiate by it, got dtype {x.dtype}"
        with pytest.raises(TypeError, match=re.escape(message)):
            call()


def test_the_callers_arrays_are_left_alone():
    x, v = np.array([1.0, 2.0]), np.array([1.0, 1.0])
    x.flags.writeable = v.flags.writeable = False
    f = lambda x: (x * x).sum()  # noqa: E731
    for result in (tg.grad(f)(x), tg.hvp(f, x, v), tg.jvp(lambda x: x, (x,), (v,))[1], tg.vjp(lambda x: x, x)[1](v)[0]):
        assert not np.shares_memory(result.data, x)
        assert not np.shares_memory(result.data, v)


# ----------------------------------------------------------------------------------------------- autograd.grad


def graph():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    w = tg.tensor(3.0, requires_grad=True, name="w")
    h = x * w
    return x, w, h, (h * h).sum()


def test_autograd_grad():
    x, w, h, y = graph()
    found = autograd.grad(y, (x, w, h))
    assert type(found) is tuple
    assert_array_equal(found[0].data, [18, 36])
    assert found[1].item() == 2 * 3 * 5
    assert_array_equal(found[2].data, [6, 12])
    assert all(not g.requires_grad for g in found)
    assert x.grad is w.grad is h.grad is None


def test_autograd_grad_of_several_outputs():
    _, w, h, y = graph()
    (g,) = autograd.grad((y, h), [w], [2.0, np.array([10.0, 100.0])])
    assert g.item() == 2 * 30 + 210
    _, w, h, y = graph()
    (g,) = autograd.grad([y, h], w, (None, np.ones(2)))
    assert g.item() == 30 + 3
    _x, w, h, y = graph()
    (g,) = autograd.grad((y, y), w)  # twice the same
    assert g.item() == 60


def test_autograd_grad_of_an_input_that_is_an_output():
    x, _, h, _ = graph()
    g, through = autograd.grad(h, (h, x), np.array([1.0, 10.0]))
    assert_array_equal(g.data, [1, 10])
    assert_array_equal(through.data, [3, 30])


def test_autograd_grad_of_an_input_given_twice():
    x, _, _, y = graph()
    a, b = autograd.grad(y, (x, x))
    assert_array_equal(a.data, b.data)
    assert_array_equal(a.data, [18, 36])


def test_autograd_grad_frees_and_retains():
    x, _, _, y = graph()
    autograd.grad(y, x, retain_graph=True)
    autograd.grad(y, x, create_graph=True)
    autograd.grad(y, x)
    with pytest.raises(RuntimeError, match="freed what it had kept"):
        autograd.grad(y, x)
    x, _w, _, y = graph()
    (_g,) = autograd.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="freed what it had kept"):
        autograd.grad(y, x)


def test_autograd_grad_creates_a_graph():
    x, w, _, y = graph()
    (g,) = autograd.grad(y, x, create_graph=True)  # 2 w² x
    (second,) = autograd.grad(g.sum(), w, create_graph=True)  # 4 w Σx
    assert second.item() == 4 * 3 * 3
    assert autograd.grad(second, x, retain_graph=True)[0].data.tolist() == [12, 12]
    (g * g).sum().backward()  # 4 w⁴ x²
    assert_array_equal(x.grad, 8 * 81 * np.array([1.0, 2.0]))


def test_autograd_grad_errors():
    x, _w, h, y = graph()
    other = tg.tensor(1.0, requires_grad=True, name="other")
    constant = tg.tensor(1.0)
    cases = [
        ((y, (x, other)), {}, RuntimeError, "autograd.grad: inputs[1] ('other') was not used to compute the outputs"),
        ((y, constant), {}, RuntimeError, "autograd.grad: inputs[0]: this tensor (shape ()) needs no gradient"),
        ((constant, x), {}, RuntimeError, "autograd.grad: outputs[0]: this tensor (shape ()) needs no gradient"),
        ((h, x), {}, RuntimeError, "autograd.grad: the cotangent of outputs[0] can be left out only for a scalar"),
        (
            ((y, h), x, [1.0, np.ones(3)]),
            {},
            ValueError,
            "the cotangent of outputs[1] must have the tensor's shape (2,), got (3,)",
        ),
        (((y, h), x, [1.0]), {}, ValueError, "autograd.grad: 2 outputs want as many cotangents, got 1"),
        ((y, x, 1j), {}, TypeError, "the cotangent of outputs[0] must be of real numbers, got dtype complex128"),
    ]
    for args, kwargs, error, message in cases:
        with pytest.raises(error, match=re.escape(message)):
            autograd.grad(*args, **{"retain_graph": True, **kwargs})
    assert_array_equal(autograd.grad(y, x)[0].data, [18, 36])  # none of that harmed the graph


def test_autograd_grad_inside_a_transform():
    """The tape's own `grad` may be used inside a function that is being differentiated."""

    def f(x):
        y = x**3
        (g,) = autograd.grad(y, x, create_graph=True)
        return g * x

    assert tg.grad(f)(2.0).item() == 3 * 3 * 4  # d/dx 3x³
    assert tg.grad(tg.grad(f))(2.0).item() == 18 * 2


# ------------------------------------------------------------------------------------------------- trees, argnums, aux

Layer = namedtuple("Layer", ["w", "b"])


def tree_loss(p, x):
    h = tg.tanh(p["first"].w @ x + p["first"].b)
    return (p["more"][0] * h).sum() ** 2


TREE = {"first": Layer(rng.normal(size=(2, 3)), rng.normal(size=2)), "more": [rng.normal(size=2), None]}
DIRECTION = {"first": Layer(rng.normal(size=(2, 3)), rng.normal(size=2)), "more": [rng.normal(size=2), None]}
INPUT = rng.normal(size=3)


def moved(step):
    return {
        "first": Layer(*[p + step * d for p, d in zip(TREE["first"], DIRECTION["first"], strict=True)]),
        "more": [TREE["more"][0] + step * DIRECTION["more"][0], None],
    }


def inner_product(a, b):
    pairs = [*zip(a["first"], b["first"], strict=True), (a["more"][0], b["more"][0])]
    return sum((np.asarray(x.data) * y).sum() for x, y in pairs)


def test_gradients_are_nested_like_the_argument():
    value, g = tg.value_and_grad(tree_loss)(TREE, INPUT)
    assert value.item() == tree_loss(moved(0), tg.tensor(INPUT)).item()
    assert list(g) == ["first", "more"]
    assert type(g["first"]) is Layer
    assert type(g["more"]) is list
    assert g["more"][1] is None
    assert g["first"].w.shape == (2, 3)
    step = 1e-6
    f = lambda s: tree_loss(moved(s), tg.tensor(INPUT)).item()  # noqa: E731
    numeric = (f(step) - f(-step)) / (2 * step)
    assert_allclose(inner_product(g, DIRECTION), numeric, rtol=1e-8)
    y, dy = tg.jvp(lambda p: tree_loss(p, INPUT), (TREE,), (DIRECTION,))
    assert_allclose((y.item(), dy.item()), (value.item(), numeric), rtol=1e-8)
    (pulled,) = tg.vjp(lambda p: tree_loss(p, INPUT), TREE)[1](1.0)
    assert_allclose(inner_product(pulled, DIRECTION), numeric, rtol=1e-8)
    assert type(pulled["first"]) is Layer


def test_a_hessian_vector_product_of_a_tree():
    f = lambda p: tree_loss(p, INPUT)  # noqa: E731
    got = tg.hvp(f, TREE, DIRECTION)
    assert type(got["first"]) is Layer
    assert got["more"][1] is None
    step = 1e-5
    ahead, behind = (tg.grad(f)(moved(s)) for s in (step, -step))
    assert_allclose(got["first"].w.data, (ahead["first"].w.data - behind["first"].w.data) / (2 * step), rtol=1e-6)
    assert_allclose(got["more"][0].data, (ahead["more"][0].data - behind["more"][0].data) / (2 * step), rtol=1e-6)


def test_gradients_of_trees_by_several_arguments():
    f = lambda a, b, c: (a["x"] * b[0] * c).sum()  # noqa: E731
    x, y, z = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array(7.0)
    gb, ga = tg.grad(f, (-2, 0))({"x": x}, (y,), z)
    assert_array_equal(gb[0].data, x * z)
    assert_array_equal(ga["x"].data, y * z)
    assert type(gb) is tuple


@pytest.mark.parametrize("dictionary", [OrderedDict, lambda d: defaultdict(list, d), dict])
def test_dictionaries_of_every_kind(dictionary):
    p, v = dictionary({"b": 2.0, "a": 3.0}), dictionary({"a": 10.0, "b": 1.0})
    f = lambda p: p["a"] ** 2 * p["b"]  # noqa: E731
    g = tg.grad(f)(p)
    assert (g["a"].item(), g["b"].item()) == (12, 9)
    assert tg.jvp(f, (p,), (v,))[1].item() == 129
    _, pullback = tg.vjp(lambda p: dictionary({"y": f(p)}), p)
    (g,) = pullback(dictionary({"y": 2.0}))
    assert g["a"].item() == 24
    assert tg.hvp(f, p, v)["a"].item() == 10 * 2 * 2 + 1 * 6


def test_results_of_vjp_and_jvp_may_be_trees():
    f = lambda x: {"a": x * x, "b": (x.sum(), None)}  # noqa: E731
    x, v = np.array([1.0, 2.0]), np.array([1.0, 10.0])
    y, dy = tg.jvp(f, (x,), (v,))
    assert_array_equal(dy["a"].data, [2, 40])
    assert dy["b"][0].item() == 11
    assert dy["b"][1] is None
    y, pullback = tg.vjp(f, x)
    assert y["b"][0].item() == 3
    (g,) = pullback({"a": np.array([1.0, 1.0]), "b": (100.0, None)})
    assert_array_equal(g.data, [102, 104])


def test_auxiliary_results():
    f = lambda x: (x**3, {"twice": 2 * x, "note": "text", "steps": [1, None]})  # noqa: E731
    for out, aux in (
        tg.grad(f, has_aux=True)(2.0),
        tg.value_and_grad(f, has_aux=True)(2.0)[::-1],
        tg.vjp(f, 2.0, has_aux=True)[::2],
        tg.jvp(f, (2.0,), (1.0,), has_aux=True)[1:],
    ):
        aux = aux[1] if isinstance(aux, tuple) else aux
        assert out.item() in (12, 8)
        assert aux["twice"].item() == 4
        assert type(aux["twice"]) is tg.Tensor
        assert not aux["twice"].requires_grad
        assert (aux["note"], aux["steps"]) == ("text", [1, None])
    (value, _), gradient = tg.value_and_grad(f, has_aux=True)(2.0)
    assert (value.item(), gradient.item()) == (8, 12)


def test_an_auxiliary_result_is_differentiated_by_an_outer_transform():
    def outer(x):
        g, aux = tg.grad(lambda y: (x * y * y, x * y), has_aux=True)(x)
        return g * aux  # 2x² · x²

    assert tg.grad(outer)(2.0).item() == 2 * 4 * 8
    assert tg.jvp(outer, (2.0,), (1.0,))[1].item() == 64

    def forward(x):
        _, dy, aux = tg.jvp(lambda y: (x * y * y, x * y), (x,), (1.0,), has_aux=True)
        return dy * aux

    assert tg.grad(forward)(2.0).item() == 64
    assert tg.jvp(forward, (2.0,), (1.0,))[1].item() == 64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tg.grad(tg.sum)({"a": [1.0, "x"]}), "grad: argument 0['a'][1]"),
        (lambda: tg.grad(tg.sum, 1)(1.0, {"a": np.array([1])}), "grad: argument 1['a'] must be of floating-point"),
        (lambda: tg.vjp(tg.sum, 1.0, (np.array(True),)), "vjp: argument 1[0] must be of floating-point numbers"),
        (lambda: tg.jvp(tg.sum, (1.0, [np.array(1)]), (1.0, [1])), "jvp: argument 1[0] must be of floating-point"),
        (lambda: tg.grad(tg.sum)(lambda: 1), "grad: argument 0"),
        (lambda: tg.hvp(lambda x: x, "x", 1.0), "hvp: argument 0"),
        (lambda: tg.hvp(lambda x: x, np.array(1), 1.0), "hvp: argument 0 must be of floating-point numbers"),
        (lambda: tg.hvp(lambda x: x * x, np.ones(2), np.ones(2)), "hvp: the function must return a scalar"),
        (lambda: tg.hvp(lambda x: x * x, 1.0, np.ones(2)), "hvp: "),
        (
            lambda: tg.jvp(lambda p: p["a"], ({"a": 1.0},), ({"b": 1.0},)),
            "jvp: tangent 0 must be nested like its primal: want a dict of 'a', got a dict of 'b'",
        ),
        (
            lambda: tg.jvp(lambda p: p["a"][0], ({"a": (1.0, 2.0)},), ({"a": (1.0,)},)),
            "jvp: tangent 0 must be nested like its primal: want a tuple of 2, got a tuple of 1 at tangent 0['a']",
        ),
        (
            lambda: tg.jvp(lambda x, p: p["a"], (1.0, {"a": 1.0}), (1.0, {"a": np.ones(2)})),
            "jvp: tangent 1['a'] must have the tensor's shape (), got (2,)",
        ),
        (
            lambda: tg.vjp(lambda x: {"a": x}, 1.0)[1]({"a": np.ones(3)}),
            "vjp: the cotangent['a'] must have the tensor's shape (), got (3,)",
        ),
        (
            lambda: tg.vjp(lambda x: {"a": x}, 1.0)[1](1.0),
            "vjp: the cotangent must be nested like the result: want a dict of 'a', got a float",
        ),
        (
            lambda: tg.grad(lambda x: x, has_aux=True)(1.0),
            "grad: with has_aux=True the function must return a pair (result, auxiliary), got a Tensor",
        ),
        (
            lambda: tg.value_and_grad(lambda x: (x, x, x), has_aux=True)(1.0),
            "value_and_grad: with has_aux=True the function must return a pair (result, auxiliary), got a tuple of 3",
        ),
        (lambda: tg.grad(lambda x: (x, x))(1.0), "grad: the function must return a tensor, got tuple"),
        (lambda: tg.grad(lambda x: {"a": x})(1.0), "grad: the function must return a tensor, got dict"),
        (lambda: tg.jvp(lambda x: (x, 1), (1.0,), (1.0,)), "jvp: the function must return a tensor, got int"),
        (lambda: tg.grad(lambda x: x, "a")(1.0), "grad: argnums"),
        (lambda: tg.grad(lambda x: x, 0.5)(1.0), "grad: argnums"),
        (
            lambda: tg.grad(lambda: tg.tensor(1.0))(),
            "grad: argnums names argument 0, but the function was called with 0",
        ),
        (lambda: tg.jvp(lambda x: x, 1.0, 1.0), "jvp: "),
    ],
)
def test_errors_name_the_transform_the_argument_and_the_place(call, message):
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(message)):
        call()


def test_no_variables_at_all():
    """Trees without leaves have gradients without leaves."""
    assert tg.grad(lambda p: tg.tensor(2.0))(None) is None
    assert tg.grad(lambda p: tg.tensor(2.0))({}) == {}
    assert tg.vjp(lambda p: tg.tensor(2.0), ())[1](1.0) == ((),)
    assert not tg.value_and_grad(lambda p: tg.tensor(2.0))({})[0].requires_grad


# ---------------------------------------------------------------------------------------------- memory of forward mode

P = tg.tensor(1.0, requires_grad=True)
LONG = np.linspace(-1, 1, 500)


@pytest.mark.parametrize(
    "run",
    [
        lambda loop: tg.jvp(loop, (LONG,), (LONG,)),
        lambda loop: tg.jvp(lambda w: tg.jvp(loop, (w,), (w,))[1], (LONG,), (LONG,)),
        lambda loop: tg.vmap(lambda v: tg.jvp(loop, (LONG,), (v,))[1])(np.stack([LONG, 2 * LONG])),
        lambda loop: tg.no_grad()(tg.jvp)(lambda w: loop(w * P), (LONG,), (LONG,)),
    ],
    ids=["jvp", "jvp of jvp", "vmap of jvp", "a parameter in no_grad"],
)
def test_memory_of_forward_mode_does_not_grow_with_time(run):
    """A state kept at each step would make it a megabyte."""

    def peak(T):
        def loop(w):
            h = tg.asarray(np.ones(500))
            for _ in range(T):
                h = tg.softmax(tg.tanh(w * h)) * h.sum()
            return h

        tracemalloc.start()
        try:
            run(loop)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(300) < peak(20) + 300_000
