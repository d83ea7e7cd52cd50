"""`checkpoint`: the same numbers as without it, for less memory; and it says so where they could not be the same."""

import gc
import re
import tracemalloc
import weakref
from collections import namedtuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import autograd, checkpoint, nn
from tinygrad_rnn.tree import leaves

rng = np.random.default_rng(3)
W = rng.normal(size=(3, 3))
X = rng.normal(size=3)


def plain(f):
    return f


def assert_same(got, want, rtol=1e-12):
    assert len(leaves(got)) == len(leaves(want))
    for g, w in zip(leaves(got), leaves(want), strict=True):
        g, w = tg.asarray(g), tg.asarray(w)
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        assert_allclose(g.value, w.value, rtol=rtol, atol=1e-14)


# ---------------------------------------------------------------------------------------------------------- the same

State = namedtuple("State", ["h", "c"])


def of_argument(ck, x):
    return (ck(lambda a: tg.tanh(W @ tg.tanh(a)))(x) ** 2).sum()


def of_nested_arguments(ck, x):
    f = lambda s, scale, *, bias, more: State(tg.tanh(s.h * scale["by"] + bias), s.c * more[0])  # noqa: E731
    s = ck(f)(State(x, x * x), {"by": 2.0, "unused": None}, bias=x[::-1], more=[x, "text"])
    return (s.h * s.c).sum()


def of_several_results(ck, x):
    a, (b, c), d = ck(lambda x: (x * 2, (tg.tanh(x).sum(), tg.stack([x, x * x])), {"x": x, "n": np.arange(3)}))(x)
    return (a * d["x"] * d["n"]).sum() * b + (c**2).sum()


def of_results_of_which_one_is_used(ck, x):
    return ck(lambda x: (tg.tanh(x), x.sum(), x**4))(x)[2].sum()


def of_itself(ck, x):
    y = ck(lambda a: a)(x)
    return (y * y * x).sum()


def of_a_captured_argument(ck, x):
    return ck(lambda a: (a * x * tg.tanh(a)).sum())(x)


def of_a_captured_result(ck, x):
    h = tg.tanh(x)
    return (ck(lambda a: a * h * x)(h) * h).sum()


def of_captured_things_only(ck, x):
    h = x * x
    return ck(lambda: (tg.tanh(h) * x).sum())()


def of_a_captured_thing_handed_on(ck, x):
    h = tg.tanh(x)
    a, b = ck(lambda y: (h, h * y))(x)
    return (a * b).sum()


def of_the_same_argument_twice(ck, x):
    return ck(lambda a, b: (a * tg.tanh(b)).sum())(x, x)


def nested(ck, x):
    def outer(a):
        h = tg.tanh(a)
        return ck(lambda b: tg.tanh(W @ b) * h * x)(a * h) + ck(ck(tg.tanh))(a)

    return (ck(outer)(x) * ck(outer)(x * x)).sum()


def in_a_loop(ck, x):
    h = x
    for t in range(5):
        h = ck(lambda h, c: tg.tanh(W @ h + c))(h, x * t)
    return (h * h).sum()


def with_a_gradient_inside(ck, x):
    return ck(lambda a: (tg.grad(lambda y: (tg.tanh(y) * a * x).sum())(a) * a).sum())(x)


PROGRAMS = [
    of_argument,
    of_nested_arguments,
    of_several_results,
    of_results_of_which_one_is_used,
    of_itself,
    of_a_captured_argument,
    of_a_captured_result,
    of_captured_things_only,
    of_a_captured_thing_handed_on,
    of_the_same_argument_twice,
    nested,
    in_a_loop,
    with_a_gradient_inside,
]
V = rng.normal(size=3)
DERIVATIVES = {
    "value": lambda f: f,
    "grad": lambda f: tg.grad(f),
    "grad of grad": lambda f: tg.grad(lambda x: (tg.grad(f)(x) * V).sum()),
    "third": lambda f: tg.grad(lambda x: (tg.grad(lambda x: (tg.grad(f)(x) * V).sum())(x) * V).sum()),
    "pullback": lambda f: lambda x: tg.vjp(lambda x: f(x) * x, x)[1](V)[0],
    "jvp": lambda f: lambda x: tg.jvp(f, (x,), (V,)),
    "jvp of jvp": lambda f: lambda x: tg.jvp(lambda x: tg.jvp(f, (x,), (V,))[1], (x,), (x,))[1],
    "hvp": lambda f: lambda x: tg.hvp(f, x, V),
    "grad of jvp": lambda f: tg.grad(lambda x: tg.jvp(f, (x,), (V,))[1]),
    "rows": lambda f: tg.jacobian(lambda x: f(x) * x, mode="reverse"),
    "columns": lambda f: tg.jacobian(lambda x: f(x) * x, mode="forward"),
    "hessian": lambda f: tg.hessian(f),
    "vmap": lambda f: lambda x: tg.vmap(lambda c: f(x * c))(tg.stack([x, 2 * x])),
    "vmap of grad": lambda f: lambda x: tg.vmap(tg.grad(lambda c: f(x * c)))(tg.stack([x, 2 * x])),
    "vmap of a pullback": lambda f: lambda x: tg.vmap(tg.vjp(lambda x: f(x) * x, x)[1])(W),
}


@pytest.mark.parametrize("derivative", DERIVATIVES.values(), ids=DERIVATIVES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_same_as_without(program, derivative):
    got, want = (derivative(lambda x, ck=ck: program(ck, x))(X) for ck in (checkpoint, plain))
    assert_same(got, want, rtol=1e-11)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_same_by_leaves_and_on_the_tape(program):
    found = []
    for ck in (checkpoint, plain):
        x = tg.tensor(X, requires_grad=True)
        y = program(ck, x)
        y.backward()
        once = autograd.grad(program(ck, x), x, create_graph=True)[0]
        (twice,) = autograd.grad((once * V).sum(), x, create_graph=True)
        (twice * twice).sum().backward()
        found.append((y.data, x.grad, once.data, twice.data))
    assert_same(*found)


def test_gradients_by_parameters():
    found = []
    for ck in (checkpoint, plain):
        rnn = nn.RNN(3, 3, rng=np.random.default_rng(0))
        w = tg.tensor(W, requires_grad=True)
        segment = ck(lambda xs, h, rnn=rnn, w=w: rnn(xs @ w, h))
        xs, h, total = np.random.default_rng(1).normal(size=(3, 4, 3)), None, 0.0
        for k in range(3):
            ys, h = segment(xs[k], h)
            total = total + (ys**2).sum()
        total.backward()
        found.append([total.data, w.grad, *[p.grad for p in rnn.parameters()]])
    assert_same(*found)


def test_dtypes_are_kept():
    f = checkpoint(lambda x, y: (x * 2, (x.astype(np.float64) * y).sum(), x.astype(np.float16), np.arange(2)))
    x = tg.tensor(np.ones(2, np.float32), requires_grad=True)
    y = tg.tensor(np.array([1.0, 1 + 1e-12]), requires_grad=True)
    a, b, c, n = f(x, y)
    assert [t.dtype for t in (a, b, c, n)] == [np.float32, np.float64, np.float16, np.int64]
    assert b.item() == 2 + 1e-12  # not by way of float32
    (a.sum() + c.sum() + b).backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert_array_equal(x.grad, [4, 4])
    assert_array_equal(y.grad, [1, 1])


def test_results_that_need_no_gradient_come_as_they_are():
    n, s, none = checkpoint(lambda x: (np.arange(3), "text", None))(tg.tensor(X, requires_grad=True))
    assert_array_equal(n, [0, 1, 2])
    assert (s, none) == ("text", None)
    y = checkpoint(lambda x: (x * x, tg.tensor([1, 2])))(tg.tensor(X, requires_grad=True))[1]
    assert not y.requires_grad


def test_in_no_grad_nothing_is_recorded():
    x = tg.tensor(X, requires_grad=True)
    with tg.no_grad():
        assert not checkpoint(tg.tanh)(x).requires_grad
    assert checkpoint(lambda x: tg.no_grad()(tg.tanh)(x))(x).requires_grad is False
    assert not checkpoint(lambda x: x.detach() * 2)(x).requires_grad


def test_size_zero_and_no_axes():
    x = tg.tensor(np.zeros((0, 2)), requires_grad=True)
    y, z = checkpoint(lambda x: (x * x, x.sum()))(x)
    (y.sum() + z).backward()
    assert x.grad.shape == (0, 2)


def test_it_runs_twice_and_no_more():
    calls = []

    def f(x):
        calls.append(1)
        return tg.tanh(x)

    x = tg.tensor(X, requires_grad=True)
    y = checkpoint(f)(x).sum()
    assert len(calls) == 1
    y.backward()
    assert len(calls) == 2


def test_its_name_is_kept():
    @checkpoint
    def cell(x):
        """A cell."""
        return x

    assert (cell.__name__, cell.__doc__) == ("cell", "A cell.")


# --------------------------------------------------------------------------------------------------------- not the same


def test_random_numbers_are_found_out():
    x = tg.tensor(X, requires_grad=True)
    y = checkpoint(lambda x: x * rng.normal(size=3))(x)
    with pytest.raises(
        RuntimeError, match="gave other results than the first time, or read other tensors; it must not draw random"
    ):
        y.sum().backward()
    assert x.grad is None


def _change(t):
    t.data[...] = 5.0


def test_a_change_in_between_is_found_out():
    for change in (lambda w, c: _change(w), lambda w, c: c.fill(5.0)):
        w, c = tg.tensor(X, requires_grad=True, name="w"), np.ones(3)
        x = tg.tensor(X, requires_grad=True)
        y = checkpoint(lambda x: tg.tanh(x * w * c))(x).sum()  # noqa: B023
        change(w, c)
        with pytest.raises(RuntimeError, match=r"checkpoint|written to"):
            y.backward()
        assert x.grad is None


@pytest.mark.parametrize("change", ["parameter", "argument", "leaf argument"])
def test_a_change_that_does_not_show_in_the_results_is_found_out_too(change):
    """x w at x = 0 is 0 whatever w is, and its derivative is w."""
    w, c, x = tg.tensor(2.0, requires_grad=True), np.array(2.0), tg.tensor(0.0, requires_grad=True)
    if change == "parameter":
        y = checkpoint(lambda x: x * w)(x)
        _change(w)
    elif change == "argument":
        y = checkpoint(lambda x, c: x * c)(x, c)
        c[...] = 5.0
    else:
        y = checkpoint(lambda x, w: x * w)(x, w)
        _change(w)
    with pytest.raises(RuntimeError, match=r"checkpoint|written to"):
        y.backward()


def test_another_function_the_second_time_is_found_out():
    fs = [lambda x: (x, x * x), lambda x: (x * x, x), lambda x: x * x * 1.0]
    for second in fs[1:]:
        which = iter([fs[0], second])
        x = tg.tensor(X, requires_grad=True)
        y = checkpoint(lambda x: next(which)(x))(x)  # noqa: B023
        with pytest.raises(RuntimeError, match="gave other results than the first time"):
            y[1].sum().backward()


def test_another_tensor_of_the_same_values_the_second_time_is_found_out():
    """A name that is bound anew in a loop: the gradient must not get lost, or land at the later tensor."""
    h, x = tg.tensor(2.0, requires_grad=True), tg.tensor(1.0, requires_grad=True)
    ys = []
    for _ in range(2):
        state = h * 1.0
        ys.append(checkpoint(lambda a: a * state)(x))  # noqa: B023
    with pytest.raises(RuntimeError, match="checkpoint"):
        (ys[0] + ys[1]).backward()
    assert h.grad is None
    box = [tg.tensor(2.0, requires_grad=True)]
    y = checkpoint(lambda a: a * box[0])(x)
    box[0] = tg.tensor(2.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="checkpoint"):
        y.backward()


def test_the_settings_of_the_first_run_hold_in_the_second():
    with tg.default_dtype(np.float32), tg.scope("cell", step=3):
        x = tg.tensor([1.0, 2.0], requires_grad=True)
        scopes = []

        def f(x):
            y = x * tg.tensor([1.0, 2.0]) ** 2
            scopes.append(str(y.node.scope))
            return y

        y = checkpoint(f)(x).sum()
    y.backward()
    assert_array_equal(x.grad, [1, 4])
    assert scopes == ["t=3/cell"] * 2


def test_an_error_in_the_second_run_gets_out():
    calls = []

    def f(x):
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("second")
        return x * x

    x = tg.tensor(X, requires_grad=True)
    y = checkpoint(f)(x).sum()
    with pytest.raises(KeyError, match="second"):
        y.backward(retain_graph=True)
    assert x.grad is None
    y.backward()  # the third run is well again
    assert_allclose(x.grad, 2 * X)


def test_a_second_backward():
    x = tg.tensor(X, requires_grad=True)
    y = checkpoint(lambda x: tg.tanh(x) * x)(x).sum()
    y.backward(retain_graph=True)
    first = x.grad.copy()
    y.backward()
    assert_array_equal(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match=re.escape("freed what it had kept")):
        y.backward()


# --------------------------------------------------------------------------------------------------------------- memory


def peak(run):
    gc.collect()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_a_long_chain():
    """Of 20 × 20 steps, each of which keeps an array, about 20 + 20 are there at a time."""
    n = 20_000

    def segment(h):
        for _ in range(20):
            h = tg.tanh(h)
        return h

    def run(ck):
        h = tg.tensor(np.full(n, 0.5), requires_grad=True)
        x = h
        for _ in range(20):
            h = ck(segment)(h)
        h.sum().backward()
        return x.grad

    assert_array_equal(run(checkpoint), run(plain))
    assert peak(lambda: run(plain)) > 400 * 8 * n
    assert peak(lambda: run(checkpoint)) < 60 * 8 * n


@pytest.mark.parametrize("after_backward", [True, False])
def test_all_is_freed_without_the_garbage_collector(after_backward):
    gc.collect()
    gc.disable()
    try:
        x = tg.tensor(X, requires_grad=True)
        h = tg.tanh(x)
        y = checkpoint(lambda h, x=x: tg.tanh(h * x))(h)
        inside, result = weakref.ref(h), weakref.ref(y.value)
        if after_backward:
            y.sum().backward()
        del h, y
        assert inside() is None
        assert result() is None
        again = tg.tanh(x)
        seen = weakref.ref(again)
        tg.grad(lambda z, c=again: checkpoint(lambda a: a * c)(z).sum())(X)
        del again
        assert seen() is None
    finally:
        gc.enable()


def test_memory_does_not_grow_from_step_to_step():
    """A training loop with the collector off."""
    w = tg.tensor(W, requires_grad=True)

    def steps(count):
        for _ in range(count):
            checkpoint(lambda x: tg.tanh(w @ x))(tg.tensor(np.ones((3, 10_000)), requires_grad=True)).sum().backward()

    steps(2)
    gc.collect()
    gc.disable()
    try:
        assert peak(lambda: steps(20)) < 1.5 * peak(lambda: steps(2))
    finally:
        gc.enable()
