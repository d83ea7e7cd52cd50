"""Forward mode: right tangents, nothing recorded, and memory that doesn't grow with the length of a loop."""

import gc
import tracemalloc

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

RNG = np.random.default_rng(0)


def along(f, x, v, step=1e-6):
    """The derivative of f at x along v, by central differences."""
    ahead, behind = (f(tg.tensor(x + s * step * v)).data for s in (1, -1))
    return (ahead - behind) / (2 * step)


GENERAL = {
    "max": lambda x: tg.max(x, axis=1),
    "max of all": tg.max,
    "max, keepdims": lambda x: tg.max(x, axis=0, keepdims=True),
    "logsumexp": lambda x: tg.logsumexp(x, axis=-1),
    "logsumexp, keepdims": lambda x: tg.logsumexp(x, axis=(0, 1), keepdims=True),
    "softmax": lambda x: tg.softmax(x, axis=0),
    "log_softmax": lambda x: tg.log_softmax(x, axis=1),
    "cross_entropy": lambda x: nn.functional.cross_entropy(x, np.array([0, 2, 1]), reduction="none"),
    "mean cross_entropy": lambda x: nn.functional.cross_entropy(x, np.array([0, 2, 1])),
    "of the same": lambda x: tg.softmax(x) * tg.max(x, axis=1, keepdims=True) + tg.logsumexp(x),
}


@pytest.mark.parametrize("f", GENERAL)
def test_general_primitives(f):
    x, v = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))
    y, tangent = tg.jvp(GENERAL[f], (x,), (v,))
    np.testing.assert_array_equal(y.data, GENERAL[f](tg.tensor(x)).data)
    np.testing.assert_allclose(tangent.data, along(GENERAL[f], x, v), rtol=1e-6, atol=1e-8)
    tg.check_grads(GENERAL[f], [x])


def test_constants_on_every_side():
    c, t = np.array([1.0, 2.0]), tg.tensor([3.0, 4.0])

    def f(x):
        return (c * x + x * t + x @ c * 2 + 1 - x) / t + tg.concatenate([x, c])[1:3] + tg.where(c > 1, x, t) + t

    x, v = np.array([0.3, 0.7]), np.array([1.0, -2.0])
    np.testing.assert_allclose(tg.jvp(f, (x,), (v,))[1].data, along(f, x, v), rtol=1e-8)


def test_a_result_that_doesn_t_depend_on_the_argument():
    y, tangent = tg.jvp(lambda x: tg.tensor([1.0, 2.0]) * 3, (np.array(1.0),), (np.array(1.0),))
    assert y.data.tolist() == [3.0, 6.0]
    assert tangent.data.tolist() == [0.0, 0.0]


def test_several_arguments():
    x, y, vx, vy = (RNG.standard_normal(s) for s in ((2, 3), (3,), (2, 3), (3,)))
    value, tangent = tg.jvp(lambda x, y: tg.tanh(x * y) @ y, (x, y), (vx, vy))
    s = 1 - np.tanh(x * y) ** 2
    np.testing.assert_allclose(tangent.data, (s * (vx * y + x * vy)) @ y + np.tanh(x * y) @ vy, rtol=1e-13)
    np.testing.assert_allclose(value.data, np.tanh(x * y) @ y)


def test_an_argument_that_is_broadcast():
    f = lambda x: x + np.zeros((2, 3))  # noqa: E731
    _, tangent = tg.jvp(f, (np.ones(3),), (np.arange(3.0),))
    assert tangent.data.tolist() == [[0.0, 1.0, 2.0]] * 2
    _, tangent = tg.jvp(lambda x: tg.maximum(x, np.zeros((2, 3))), (np.ones(3),), (np.arange(3.0),))
    assert tangent.data.tolist() == [[0.0, 1.0, 2.0]] * 2


def test_mixed_dtypes():
    x, y = np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0])
    value, tangent = tg.jvp(lambda x, y: x * y + tg.tensor([1, 2]), (x, y), (np.ones(2, np.float32), np.ones(2)))
    assert (value.dtype, tangent.dtype) == (np.float64, np.float64)
    assert tangent.data.tolist() == [4.0, 6.0]
    value, tangent = tg.jvp(lambda x: tg.tanh(x) * 2, (x,), (np.array([1.0, 0.5]),))
    assert (value.dtype, tangent.dtype) == (np.float32, np.float32)
    value, tangent = tg.jvp(lambda x: x.astype(np.float64) * y, (x,), (np.ones(2),))
    assert (value.dtype, tangent.dtype) == (np.float64, np.float64)
    assert tangent.data.tolist() == [3.0, 4.0]


def test_python_numbers_and_empty_arrays():
    y, tangent = tg.jvp(lambda x: x**2, (3,), (1,))
    assert (y.item(), tangent.item()) == (9.0, 6.0)
    _, tangent = tg.jvp(lambda x: (x * x).sum(), (np.zeros((0, 2)),), (np.zeros((0, 2)),))
    assert tangent.item() == 0.0


def test_variadic_primitives():
    def f(x, y):
        return tg.stack([x, y * y, np.ones(2)]) @ tg.concatenate([x, y])[::2]

    args = [RNG.standard_normal(2), RNG.standard_normal(2)]
    tg.check_grads(f, args)


def test_errors_say_what_is_wrong():
    x = np.ones(2)
    with pytest.raises(ValueError, match="jvp: 1 primals want as many tangents, got 2"):
        tg.jvp(tg.tanh, (x,), (x, x))
    with pytest.raises(ValueError, match=r"jvp: tangent 0 must have the tensor's shape \(2,\), got \(3,\)"):
        tg.jvp(tg.tanh, (x,), (np.ones(3),))
    with pytest.raises(TypeError, match="jvp: the function must return a tensor, got float"):
        tg.jvp(lambda x: 1.0, (x,), (x,))
    with pytest.raises(TypeError, match="jvp: argument 0 must be of floating-point numbers"):
        tg.jvp(tg.tanh, (np.array([1, 2]),), (x,))


def test_an_argument_without_a_rule_has_no_tangent():
    with pytest.raises(TypeError, match="where: there is no derivative by argument 'condition'"):
        tg.jvp(lambda x: tg.where(x, x, 0.0), (np.array([3.0]),), (np.array([1.0]),))


@pytest.mark.parametrize(
    "drop",
    [np.asarray, np.array, lambda x: np.stack([x, x]), tg.tensor, lambda x: tg.asarray(x, name="x"), np.tanh],
    ids=["asarray", "array", "stack", "tensor", "named", "tanh"],
)
def test_no_conversion_drops_a_tangent_silently(drop):
    """As np.asarray of a tensor that needs a gradient: an error, not the derivative 0."""

    def f(x):
        return tg.asarray(drop(x)).sum() * 1.0

    x = np.array([0.5, 0.7])
    try:
        _, tangent = tg.jvp(f, (x,), (np.ones(2),))
    except TypeError:
        return
    np.testing.assert_allclose(tangent.data, along(f, x, np.ones(2)), rtol=1e-6)


def test_detach_drops_the_tangent():
    _, tangent = tg.jvp(lambda x: x.detach() * x, (np.array(3.0),), (np.array(1.0),))
    assert tangent.item() == 3.0


def test_nested_forward_modes_keep_their_variables_apart():
    def df(f):
        return lambda x: tg.jvp(f, (x,), (np.ones(np.shape(getattr(x, "value", x))),))[1]

    assert df(lambda x: x * df(lambda y: x + y)(tg.tensor(2.0)))(3.0).item() == 1.0
    assert df(lambda x: x * df(lambda y: x * y)(x))(3.0).item() == 6.0
    assert df(df(df(lambda x: x**4)))(2.0).item() == 48.0
    assert tg.grad(lambda x: df(lambda y: x * x * y)(1.0))(3.0).item() == 6.0
    assert df(tg.grad(lambda x: x**3))(2.0).item() == 12.0


def test_tangents_of_a_recurrent_network():
    rnn = nn.RNN(2, 3, rng=0)
    xs, v = RNG.standard_normal((5, 2)), RNG.standard_normal((5, 2))
    f = lambda xs: tg.logsumexp(rnn(xs)[0])  # noqa: E731
    np.testing.assert_allclose(tg.jvp(f, (xs,), (v,))[1].data, along(f, xs, v), rtol=1e-7)


# --------------------------------------------------------------------------------------------------- no tape, no growth


def loop(steps):
    W = RNG.standard_normal((64, 64)) / 8

    def f(h):
        for _ in range(steps):
            h = tg.tanh(h @ W + 0.1) * tg.softmax(h) + tg.max(h, axis=1, keepdims=True)
            h = h / (1 + tg.logsumexp(h * h))
        return nn.functional.cross_entropy(h, np.arange(32))

    return f


def peak(steps):
    x, v = RNG.standard_normal((32, 64)), RNG.standard_normal((32, 64))
    f = loop(steps)
    gc.collect()
    tracemalloc.start()
    try:
        tg.jvp(f, (x,), (v,))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_doesn_t_grow_with_the_loop():
    peak(5)
    assert peak(500) < 2 * peak(50)  # Python's own free lists fill up a little


def test_nothing_is_recorded():
    y, tangent = tg.jvp(loop(3), (np.ones((32, 64)),), (np.ones((32, 64)),))
    assert y.node is None
    assert tangent.node is None


def test_parameters_inside_no_grad_record_nothing_either():
    W, b = tg.tensor(np.ones((3, 3)), requires_grad=True), tg.tensor(np.ones(3), requires_grad=True)
    with tg.no_grad():
        y, tangent = tg.jvp(lambda x: tg.softmax(tg.tanh(x @ W) * b), (np.ones((2, 3)),), (np.ones((2, 3)),))
    assert y.node is None
    assert tangent.node is None


def test_outside_no_grad_a_tangent_can_be_differentiated_by_a_parameter():
    w = tg.tensor([2.0, 3.0], requires_grad=True)
    x, v = np.array([0.5, 0.1]), np.array([1.0, 10.0])
    _, tangent = tg.jvp(lambda x: w * w * x, (x,), (v,))
    tangent.sum().backward()
    np.testing.assert_allclose(w.grad, 2 * w.data * v)
