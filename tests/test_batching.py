"""`vmap` against a loop over the examples: values, derivatives on either side of it, and what it refuses."""

import itertools
import re
from collections import namedtuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import autograd, nn
from tinygrad_rnn.tree import leaves, map_leaves

rng = np.random.default_rng(7)
XS = rng.normal(size=(4, 3))
CS = rng.normal(size=(4, 3))
W = rng.normal(size=(3, 3))


def loop(f, in_axes=0):
    """What vmap is measured by: one example after the other, the results stacked in front."""

    def looped(*args):
        axes = [in_axes] * len(args) if in_axes is None or isinstance(in_axes, int) else in_axes
        (size,) = {leaf.shape[a] for arg, a in zip(args, axes, strict=True) if a is not None for leaf in leaves(arg)}

        def example(k, arg, a):
            return map_leaves(lambda x: tg.moveaxis(tg.asarray(x), a, 0)[k] if a is not None else x, arg)

        each = [f(*[example(k, arg, a) for arg, a in zip(args, axes, strict=True)]) for k in range(size)]
        return map_leaves(lambda *ys: tg.stack(ys), *each)

    return looped


def assert_same(got, want, rtol=1e-12, atol=1e-13):
    assert len(leaves(got)) == len(leaves(want))
    for g, w in zip(leaves(got), leaves(want), strict=True):
        assert g.shape == w.shape
        assert g.dtype == w.dtype
        assert_allclose(tg.asarray(g).value, tg.asarray(w).value, rtol=rtol, atol=atol)


# ------------------------------------------------------------------------------------------------------------ the axes


def test_the_examples_axis_of_each_argument_and_of_the_result():
    a, b = rng.normal(size=(2, 4, 3)), rng.normal(size=(3, 5))
    f = lambda a, b: a @ b  # noqa: E731
    for in_axes in [(0, None), (1, None), [-2, None], (-3, None)]:
        for out_axes in range(-2, 2):
            want = np.moveaxis(np.stack([row @ b for row in np.moveaxis(a, in_axes[0], 0)]), 0, out_axes)
            assert_allclose(tg.vmap(f, in_axes, out_axes)(a, b).data, want, rtol=1e-13)
    x = rng.normal(size=(3, 2, 4))
    for i, o in itertools.product(range(-3, 3), range(-3, 3)):
        assert_array_equal(tg.vmap(lambda x: 2 * x, i, o)(x).data, np.moveaxis(2 * x, i, o))


def test_a_scalar_example():
    assert_array_equal(tg.vmap(lambda x: x * x)(np.array([1.0, 2.0])).data, [1, 4])
    assert_array_equal(tg.vmap(lambda x, c: x * c, (0, None))(np.array([1.0, 2.0]), 3.0).data, [3, 6])


def test_examples_of_different_ranks_broadcast_as_one_example_does():
    """(3,) with (2, 3) in each example, not (n, 3) with (n, 2, 3)."""
    for n in (2, 3):
        x, y, s = rng.normal(size=(n, 3)), rng.normal(size=(n, 2, 3)), rng.normal(size=n)
        assert_same(tg.vmap(lambda x, y: x * y + x)(x, y), loop(lambda x, y: x * y + x)(x, y))
        assert_same(tg.vmap(lambda s, y: s * y)(s, y), loop(lambda s, y: s * y)(s, y))
        outside = rng.normal(size=(2, 3))
        f = lambda s, x, o=outside: tg.where(x > s, o - s, x)  # noqa: E731
        assert_same(tg.vmap(f)(s, x), loop(f)(s, x))
        by = lambda s, x, o=outside: tg.grad(lambda s: (o * s * x).sum())(s)  # noqa: E731
        assert_same(tg.vmap(by)(s, x), loop(by)(s, x))


def test_results_that_do_not_depend_on_the_example():
    constant = np.arange(3.0)
    for result in (lambda x: tg.asarray(constant), lambda x: constant, lambda x: tg.tanh(tg.asarray(constant))):
        got = tg.vmap(result, out_axes=1)(np.ones(2))
        assert got.shape == (3, 2)
        assert_array_equal(got.data[:, 0], tg.asarray(result(0)).data)
    assert_array_equal(tg.vmap(lambda x: 3.0)(np.ones(2)).data, [3, 3])
    assert tg.vmap(lambda x: None)(np.ones(2)) is None


Pair = namedtuple("Pair", ["a", "b"])


def test_nested_arguments_and_results():
    tree = {"w": XS, "more": (CS, [XS[:, 0], None])}

    def f(p, s):
        return Pair(p["w"] * s, {"sum": p["more"][0].sum(), "one": (p["more"][1][0],)})

    got = tg.vmap(f, (0, None))(tree, 2.0)
    assert type(got) is Pair
    assert_array_equal(got.a.data, 2 * XS)
    assert_allclose(got.b["sum"].data, CS.sum(1), rtol=1e-13)
    assert_array_equal(got.b["one"][0].data, XS[:, 0])


def test_no_examples_and_one():
    f = lambda x: tg.softmax(tg.tanh(W @ x)) * x.sum()  # noqa: E731
    for transformed in (f, tg.grad(lambda x: f(x).sum()), tg.jacobian(f), lambda x: tg.jvp(f, (x,), (x,))[1]):
        one = tg.vmap(transformed)(XS[:1])
        assert_same(one, loop(transformed)(XS[:1]))
        assert tg.vmap(transformed)(XS[:0]).shape == (0, *one.shape[1:])


def test_dtypes_are_kept():
    x = XS.astype(np.float32)

    def f(x):
        y = tg.where(x > 0, x, 0.5 * x) ** 2 + 1
        return tg.stack([y, x]).sum(0) / 3, x @ x, (x > 0).astype(np.float32)

    for y in tg.vmap(f)(x):
        assert y.dtype == np.float32
    assert tg.vmap(tg.grad(lambda x: f(x)[0].sum()))(x).dtype == np.float32
    assert tg.vmap(tg.jacobian(lambda x: f(x)[0], mode="reverse"))(x).dtype == np.float32
    assert tg.vmap(tg.jacobian(lambda x: f(x)[0], mode="forward"))(x).dtype == np.float32


def test_integers_are_fine():
    assert_array_equal(tg.vmap(lambda i: i + 1)(np.arange(3)).data, [1, 2, 3])
    f = lambda x, i: x[i]  # noqa: E731
    assert_same(tg.vmap(f)(XS, np.array([0, 2, 1, 2])), loop(f)(XS, np.array([0, 2, 1, 2])))


def test_the_result_is_an_ordinary_tensor_on_the_tape():
    x = tg.tensor(XS, requires_grad=True)
    y = tg.vmap(lambda x: tg.tanh(x).sum())(x)
    assert type(y) is tg.Tensor
    (y * np.arange(4.0)).sum().backward()
    assert_allclose(x.grad, (1 - np.tanh(XS) ** 2) * np.arange(4.0)[:, None], rtol=1e-13)


# -------------------------------------------------------------------------------- derivatives, inside and outside of it

# Scalar functions of an example x and of another vector c.
FUNCTIONS = {
    "tanh": lambda x, c: (tg.tanh(W @ x) * c).sum(),
    "product": lambda x, c: (x @ c) ** 3 + (x * x * c).sum(),
    "max": lambda x, c: tg.max(x * c) * x.sum(),
    "relu": lambda x, c: (tg.relu(W @ x + c) ** 2).sum(),
    "softmax": lambda x, c: (tg.softmax(x) * tg.log_softmax(c * x)).sum(),
    "logsumexp": lambda x, c: tg.logsumexp(tg.stack([x, c * x]), axis=1).sum() ** 2,
    "where": lambda x, c: tg.where((x > 0) & ~(c > x) | (x < -1), x**3, c * x).sum(),
    "where, either or": lambda x, c: tg.where((x > 0) ^ (c > x), x**3, c * x).sum(),
    "indexing": lambda x, c: (x[::-1] * x[np.array([0, 0, 2])] * c[1]).sum() + x[-1] ** 3,
    "concatenate": lambda x, c: (tg.concatenate([x, c, x * c])[1:7] ** 2).sum(),
    "outer": lambda x, c: ((x[:, None] * c[None, :]) @ W @ x).sum(),
    "reshape": lambda x, c: ((tg.reshape(tg.stack([x, c]).T, (3, 2)) @ tg.stack([c, x])) ** 2).sum(),
    "cell": lambda x, c: cell_loss(x, c),
    "checkpoint": lambda x, c: tg.checkpoint(lambda x: tg.tanh(W @ x * c).sum() * x[0])(x),
    "independent of x": lambda x, c: tg.asarray(c * c).sum(),
    "linear in x": lambda x, c: (c * x).sum(),
    "a constant": lambda x, c: tg.tensor(2.0),
    "a gradient": lambda x, c: tg.grad(lambda y: (tg.tanh(x * y) * c).sum())(x).sum(),
    "a tangent": lambda x, c: tg.jvp(lambda y: (tg.tanh(x * y) * c).sum(), (x,), (c,))[1],
    "a batch": lambda x, c: (tg.vmap(lambda xi: tg.tanh(xi * c) * x)(x) ** 2).sum(),
    "gradients of a batch": lambda x, c: (tg.vmap(tg.grad(lambda xi: (tg.tanh(xi * c) * x).sum()))(x) * c).sum(),
}


def cell_loss(x, c):
    def cell(h, v):
        h = tg.tanh(W @ h + v * c)
        return h, h * v

    h, ys = tg.scan(cell, c, x)
    return (ys * x).sum() + h.sum()


# Functions of x that are made of one of those and give arrays.
TRANSFORMS = {
    "f": lambda f: f,
    "grad": lambda f: tg.grad(f),
    "grad of grad": lambda f: tg.grad(lambda x: (tg.grad(f)(x) * V).sum()),
    "jvp": lambda f: lambda x: tg.jvp(f, (x,), (V,)),
    "jvp along x": lambda f: lambda x: tg.jvp(f, (x,), (x,)),
    "pullback": lambda f: lambda x: tg.vjp(lambda x: f(x) * x, x)[1](x * x)[0],
    "hvp": lambda f: lambda x: tg.hvp(f, x, V),
    "jvp of jvp": lambda f: lambda x: tg.jvp(lambda x: tg.jvp(f, (x,), (V,))[1], (x,), (x,))[1],
    "grad of jvp": lambda f: tg.grad(lambda x: tg.jvp(f, (x,), (V,))[1]),
    "hessian": lambda f: tg.hessian(f),
    "rows": lambda f: tg.jacobian(lambda x: f(x) * x, mode="reverse"),
    "columns": lambda f: tg.jacobian(lambda x: f(x) * x, mode="forward"),
    "rows of rows": lambda f: tg.jacobian(tg.jacobian(f, mode="reverse"), mode="reverse"),
    "columns of columns": lambda f: tg.jacobian(tg.jacobian(f, mode="forward"), mode="forward"),
    "rows of columns": lambda f: tg.jacobian(tg.jacobian(f, mode="forward"), mode="reverse"),
    "value and grad": lambda f: tg.value_and_grad(f),
}
V = rng.normal(size=3)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_vmap_of_a_derivative(f, transform):
    for in_axes in [(0, 0), (0, None), (None, 0)]:
        args = [a if axis == 0 else a[0] for a, axis in zip((XS, CS), in_axes, strict=True)]

        def of_x(x, c):
            return transform(lambda x: f(x, c))(x)  # c is captured

        assert_same(tg.vmap(of_x, in_axes)(*args), loop(of_x, in_axes)(*args), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_derivative_of_vmap(f, transform):
    """By the x that all examples have in common, and by the c of each."""

    def over_cs(vmapped, x):
        return (vmapped(lambda c: f(x, c) * c[0])(CS) * np.arange(1.0, 5)).sum()

    got, want = (transform(lambda x, v=v: over_cs(v, x))(XS[0]) for v in (tg.vmap, loop))
    assert_same(got, want, rtol=1e-10, atol=1e-11)

    def over_rows(vmapped, c):
        """Examples made of the variable, which is captured besides."""
        return (vmapped(lambda x: f(x, c) + f(c, x))(c * XS) * np.arange(1.0, 5)).sum()

    got, want = (transform(lambda c, v=v: over_rows(v, c))(CS[0]) for v in (tg.vmap, loop))
    assert_same(got, want, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("f", [FUNCTIONS[k] for k in ("tanh", "max", "where", "independent of x", "cell")])
def test_vmap_in_vmap(f, transform):
    """With everything captured from the outer one, and by the inner one's variable or the outer one's."""

    def both(vmapped):
        by_inner = vmapped(lambda c: vmapped(lambda x: transform(lambda y: f(y * x, c) * c[0])(x))(XS[:2]))(CS)
        by_outer = vmapped(lambda c: vmapped(lambda x: transform(lambda d: f(x, d) * c[0])(c))(XS[:2]))(CS)
        by_captured = vmapped(lambda c: transform(lambda d: vmapped(lambda x: f(x, d) * c[0])(XS[:2]).sum())(c))(CS)
        return by_inner, by_outer, by_captured

    assert_same(both(tg.vmap), both(loop), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("outer", ["grad", "jvp", "hvp", "rows", "columns"])
@pytest.mark.parametrize("inner", ["grad", "jvp", "hvp", "rows", "columns", "hessian"])
@pytest.mark.parametrize("f", [FUNCTIONS[k] for k in ("tanh", "softmax", "where")])
def test_a_derivative_of_vmap_of_a_derivative(f, inner, outer):
    weights = np.arange(1.0, 5)

    def total(vmapped, c):
        each = vmapped(lambda x: TRANSFORMS[inner](lambda y: f(y, c) * c[1])(x * c))(XS)
        return sum((leaf * weights.reshape(-1, *[1] * (leaf.ndim - 1))).sum() for leaf in leaves(each))

    got, want = (TRANSFORMS[outer](lambda c, v=v: total(v, c))(CS[0]) for v in (tg.vmap, loop))
    assert_same(got, want, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("f", [FUNCTIONS[k] for k in ("tanh", "max", "softmax", "cell", "checkpoint", "a gradient")])
def test_a_leaf_in_the_closure_of_all_examples(f, transform):
    """Recorded through and through: what the transforms give can be differentiated by it, and again."""
    found = []
    for vmapped in (tg.vmap, loop):
        w = tg.tensor(V, requires_grad=True, name="w")
        each = vmapped(lambda x, w=w: transform(lambda y: f(y, w * x) * w[0])(x))(XS)
        total = sum((tg.tanh(leaf) ** 2).sum() for leaf in leaves(each))
        (once,) = autograd.grad(total, w, create_graph=True)
        (twice,) = autograd.grad((once * CS[0]).sum(), w)
        found.append((each, once, twice))
    assert_same(*found, rtol=1e-9, atol=1e-10)


# ----------------------------------------------------------------------------------------------- per-example gradients


def loss(p, x):
    return (tg.tanh(p["W"] @ x + p["b"]) ** 2).sum()


PARAMETERS = {"W": W, "b": V}


def test_gradients_of_each_example_by_weights_that_all_share():
    got = tg.vmap(tg.grad(loss), (None, 0))(PARAMETERS, XS)
    assert got["W"].shape == (4, 3, 3)
    assert_same(got, loop(tg.grad(loss), (None, 0))(PARAMETERS, XS))
    assert_same(got, tg.vmap(lambda x: tg.grad(loss)(PARAMETERS, x))(XS))  # not an argument of vmap at all
    whole = tg.grad(lambda p: tg.vmap(loss, (None, 0))(p, XS).sum())(PARAMETERS)
    assert_allclose(got["W"].data.sum(0), whole["W"].data, rtol=1e-12)


def test_gradients_of_each_example_by_weights_on_the_tape():
    """Its own variable is each example's; the tape's leaf gets the sum, as ever."""
    p = {k: tg.tensor(v, requires_grad=True, name=k) for k, v in PARAMETERS.items()}
    got = tg.vmap(tg.grad(loss), (None, 0))(p, XS)
    assert_same(got, tg.vmap(tg.grad(loss), (None, 0))(PARAMETERS, XS))
    (got["W"] ** 2).sum().backward()
    for k in p:
        want = tg.grad(lambda q: sum((tg.grad(loss)(q, x)["W"] ** 2).sum() for x in XS))(PARAMETERS)[k]
        assert_allclose(p[k].grad, want.data, rtol=1e-11)


def test_each_example_has_weights_of_its_own():
    several = {"W": rng.normal(size=(4, 3, 3)), "b": CS}
    assert_same(tg.vmap(tg.grad(loss))(several, XS), loop(tg.grad(loss))(several, XS))
    shared = {"W": several["W"][0], "b": CS[0]}
    assert_same(tg.vmap(tg.grad(loss), (0, None))(several, XS[0]), loop(tg.grad(loss), (0, None))(several, XS[0]))
    assert_same(tg.vmap(tg.grad(loss), (None, 0))(shared, XS), loop(tg.grad(loss), (None, 0))(shared, XS))


def test_several_argnums_of_which_some_are_batched():
    f = lambda a, b, c: (a * b * c).sum() ** 2  # noqa: E731
    for axes in itertools.product([0, None], repeat=3):
        if axes == (None,) * 3:
            continue
        args = [x if axis == 0 else x[0] for x, axis in zip((XS, CS, XS + 1), axes, strict=True)]
        g = tg.grad(f, (0, 2))
        assert_same(tg.vmap(g, axes)(*args), loop(g, axes)(*args))


def test_gradients_of_a_recurrent_module_for_each_sequence():
    rnn = nn.RNN(2, 3, rng=np.random.default_rng(0))
    weights = dict(rnn.named_parameters())
    xs = rng.normal(size=(4, 5, 2))
    one = lambda x: (rnn(x)[0] ** 2).sum()  # noqa: E731
    assert_same(tg.vmap(one)(xs), loop(one)(xs))
    assert_same(tg.vmap(tg.grad(one))(xs), loop(tg.grad(one))(xs), rtol=1e-10)
    got = {}
    for vmapped in (tg.vmap, loop):
        (vmapped(one)(xs) * np.arange(4.0)).sum().backward()
        got[vmapped] = {k: p.grad for k, p in weights.items()}
        for p in weights.values():
            p.grad = None
    for k in weights:
        assert_allclose(got[tg.vmap][k], got[loop][k], rtol=1e-10)


def test_gradients_through_an_unrolled_loop_of_named_tensors():
    """An unrolled scan names its tensors; shared weights, a shared first state, a shared input."""

    def f(W, h, xs):
        h, ys = tg.scan(lambda h, x: (tg.tanh(W @ h + x),) * 2, h, xs, unroll=True)
        return (ys**2).sum() + h[0]

    args = (W, V, rng.normal(size=(4, 6, 3)))
    for argnums in ((0,), (1,), (2,), (0, 1, 2)):
        for axes, given in [((None, None, 0), args), ((None, 0, None), (W, CS, args[2][0]))]:
            g = tg.grad(f, argnums)
            assert_same(tg.vmap(g, axes)(*given), loop(g, axes)(*given), rtol=1e-10)


# --------------------------------------------------------------------------------------- where silent mistakes may lurk


def test_a_leaf_that_is_also_the_examples():
    """The example's own gradient doesn't take in the others', though they share a node."""
    x = tg.tensor(XS[:, 0], requires_grad=True)
    s = XS[:, 0].sum()
    (got,) = tg.vmap(lambda xi: autograd.grad(xi * x.sum(), xi))(x)
    assert_allclose(got.data, [s] * 4, rtol=1e-13)
    (got,) = tg.vmap(lambda a, b: autograd.grad(a * b, a))(x, x)
    assert_array_equal(got.data, x.data)


def test_the_tapes_own_grad_inside():
    x = tg.tensor(XS, requires_grad=True)

    def f(x):
        y = (x**3).sum()
        (g,) = autograd.grad(y, x, create_graph=True)
        return autograd.grad((g * V).sum(), x)[0]

    assert_allclose(tg.vmap(f)(x).data, 6 * XS * V, rtol=1e-12)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_by_a_tensor_from_outside_is_not_added_up(create_graph):
    w = tg.tensor(V, requires_grad=True)
    x = tg.tensor(XS, requires_grad=True)
    message = "a gradient by a tensor from outside, of results that differ from example to example, would add up"
    for f in (
        lambda x: autograd.grad((w * x).sum(), w, create_graph=create_graph),
        lambda x: autograd.grad((w * x).sum(), (x, w), create_graph=create_graph),
        lambda x: tg.vmap(lambda c: autograd.grad((w * x * c).sum(), x, create_graph=create_graph))(CS),
        lambda x: tg.jvp(lambda v: autograd.grad((w * x * v).sum(), w, create_graph=create_graph)[0], (x,), (x,)),
    ):
        with pytest.raises(TypeError, match=message):
            tg.vmap(f)(x)
    assert w.grad is x.grad is None


def test_a_gradient_of_what_all_examples_have_in_common():
    """Nothing differs from example to example, but for the cotangent."""
    w = tg.tensor(V, requires_grad=True)
    f = lambda c: autograd.grad(w * w, w, c)[0]  # noqa: E731
    assert_allclose(tg.vmap(f)(CS).data, 2 * V * CS, rtol=1e-13)
    pullback = tg.vjp(lambda x: tg.tanh(W @ x), V)[1]
    assert_same(tg.vmap(pullback)(CS), loop(pullback)(CS))


def test_pullbacks_with_pooled_rules_get_batched_cotangents():
    """Many uses of one weight wait to be multiplied out together."""

    def f(W, b, h):
        for t in range(7):
            h = tg.tanh(h @ W + b * XS[t % 4]) + b[t % 3] + h[t % 2]
        return h

    for shape in [(3,), (2, 3)]:
        pullback = tg.vjp(f, W, V, np.ones(shape))[1]
        cts = rng.normal(size=(4, *shape))
        assert_same(tg.vmap(pullback)(cts), loop(pullback)(cts), rtol=1e-10)
        got, want = (
            vmapped(lambda c, v=vmapped, p=pullback, cts=cts: v(lambda d: p(c * d))(cts))(cts)
            for vmapped in (tg.vmap, loop)
        )
        assert_same(got, want, rtol=1e-10)


def test_a_pullback_of_a_recorded_function_with_batched_cotangents_stays_differentiable():
    w = tg.tensor(V, requires_grad=True)
    pullback = tg.vjp(lambda x: tg.tanh(x * w), XS[0])[1]
    for vmapped in (tg.vmap, loop):
        w.grad = None
        (g,) = vmapped(pullback)(CS)
        (g**2).sum().backward(retain_graph=True)
        want = tg.grad(lambda w: sum(((c * w * (1 - tg.tanh(XS[0] * w) ** 2)) ** 2).sum() for c in CS))(V)
        assert_allclose(w.grad, want.data, rtol=1e-11)


def test_a_pullback_made_outside_of_what_is_lifted_otherwise():
    """Reverse inside forward: the pullback goes through duals, the cotangents are batched."""

    def f(x):
        pullback = tg.vjp(lambda y: tg.tanh(W @ y * x), x)[1]
        return tg.vmap(lambda c: pullback(c)[0])(CS)

    def looped(x):
        pullback = tg.vjp(lambda y: tg.tanh(W @ y * x), x)[1]
        return tg.stack([pullback(c)[0] for c in CS])

    assert_same(tg.jvp(f, (XS[0],), (V,)), tg.jvp(looped, (XS[0],), (V,)))
    assert_same(tg.vmap(f)(XS), loop(looped)(XS))
    assert_same(tg.vmap(lambda x: tg.jvp(f, (x,), (V,)))(XS), loop(lambda x: tg.jvp(looped, (x,), (V,)))(XS))


def test_tangents_batched_and_primals_not_and_the_reverse():
    for f in (tg.tanh, tg.softmax, tg.logsumexp, lambda x: tg.max(x * W, axis=1), lambda x: tg.where(x > 0, x * x, x)):
        g = lambda x, v: tg.jvp(f, (x,), (v,))  # noqa: E731, B023
        for in_axes, args in [((None, 0), (XS[0], CS)), ((0, None), (XS, CS[0])), ((0, 0), (XS, CS))]:
            assert_same(tg.vmap(g, in_axes)(*args), loop(g, in_axes)(*args))
            both = lambda x, v: tg.grad(lambda v: (g(x, v)[1] ** 2).sum())(v)  # noqa: E731, B023
            assert_same(tg.vmap(both, in_axes)(*args), loop(both, in_axes)(*args))


def test_duals_captured_from_outside():
    def along(vmapped, x, v):
        return tg.jvp(lambda d: vmapped(lambda c: tg.tanh(c * d) * d.sum() + tg.max(c * d))(CS), (x,), (v,))

    assert_same(along(tg.vmap, V, XS[0]), along(loop, V, XS[0]))
    grads = lambda vmapped: lambda d: vmapped(lambda c: tg.grad(lambda e: (c * d * e * e).sum())(d))(CS)  # noqa: E731
    assert_same(tg.jvp(grads(tg.vmap), (V,), (XS[0],)), tg.jvp(grads(loop), (V,), (XS[0],)))


def test_shapes_of_what_carries_both_a_tangent_and_examples():
    seen = []

    def f(x):
        seen.append((x.shape, x.ndim, x.size, len(x), x.dtype))
        return x * x

    tg.vmap(lambda x: tg.jvp(f, (x,), (x,))[1])(XS)
    tg.jvp(tg.vmap(f), (XS,), (XS,))
    tg.vmap(lambda x: tg.jvp(tg.vmap(f), (x,), (x,))[1])(np.ones((2, 4, 3)))
    assert seen == [((3,), 1, 3, 3, np.float64)] * 3


def test_a_gradient_of_what_does_not_depend_on_the_variable():
    """Zeros, in whatever it is lifted."""
    one = np.ones(2)
    for f in (
        lambda a: tg.grad(lambda w: a * a)(1.0),
        lambda a: tg.vmap(lambda b: tg.grad(lambda w: a * a)(b))(one),
        lambda a: tg.vmap(lambda b: tg.grad(lambda w: b * a)(1.0))(one),
        lambda a: tg.hvp(lambda v: a * a, 2.0, 1.0),
        lambda a: tg.jvp(tg.grad(lambda v: a * a), (2.0,), (1.0,))[1],
        lambda a: tg.jvp(lambda v: tg.grad(lambda w: v * a)(1.0), (a,), (1.0,))[1],
        lambda a: tg.grad(lambda v: tg.vmap(lambda b: v * b)(one).sum())(1.0) * 0,
    ):
        got = tg.vmap(f)(XS[:, 0])
        assert got.shape[0] == 4
        assert_array_equal(got.data, np.zeros(got.shape))
    _, dy = tg.jvp(lambda x: tg.vmap(lambda b: tg.grad(lambda w: x * x)(b))(one), (2.0,), (1.0,))
    assert_array_equal(dy.data, [0, 0])


def test_a_pullback_called_outside_of_the_vmap_that_made_it_gives_no_numbers():
    kept = []
    tg.vmap(lambda x: (kept.append(tg.vjp(lambda y: y * y, x)[1]), x)[1])(XS)
    (g,) = kept[0](np.ones(3))
    with pytest.raises(TypeError, match="one of many examples"):
        g.data  # noqa: B018


def test_examples_that_escaped_are_not_mixed_with_others():
    kept = []
    tg.vmap(lambda x: (kept.append(x), x)[1])(XS)
    with pytest.raises(TypeError, match="one of many examples"):
        (kept[0] * 2).data  # noqa: B018
    got = tg.vmap(lambda y: kept[0] * y)(CS)  # as one of an outer vmap, if that were still running
    with pytest.raises(TypeError, match="one of many examples"):
        got.data  # noqa: B018


def test_levels_are_not_confused():
    """d/dx of x · d/dy (x + y) in every mixture with a vmap between them."""
    x = XS[:, 0]
    for inner in (tg.grad, lambda f: lambda x: tg.jvp(f, (x,), (1.0,))[1]):
        f = tg.grad(lambda x: x * inner(lambda y: x + y)(x))  # noqa: B023
        assert_array_equal(tg.vmap(f)(x).data, np.ones(4))
        g = tg.grad(lambda x: (tg.vmap(lambda b: x * inner(lambda y: x * b + y)(x))(CS[0])).sum())  # noqa: B023
        assert_array_equal(tg.vmap(g)(x).data, np.full(4, 3.0))


def test_nothing_outside_so_nothing_recorded():
    for f in (tg.tanh, tg.grad(tg.tanh), lambda x: tg.hvp(tg.tanh, x, 1.0), lambda x: tg.jvp(tg.tanh, (x,), (x,))[1]):
        assert not tg.vmap(f)(XS[:, 0]).requires_grad


def test_nothing_recorded_in_no_grad():
    x = tg.tensor(XS, requires_grad=True)
    with tg.no_grad():
        assert not tg.vmap(tg.tanh)(x).requires_grad


# ------------------------------------------------------------------------------------------------------ where and masks


def masked(x):
    inside = (x > -1) & (x <= 1)
    return tg.where(inside, x * x, tg.where(~inside | (x == 0), -x, x)) * (x != 2)


def test_masks_of_batched_comparisons():
    x = np.array([[-2.0, -1.0], [0.0, 0.5], [1.0, 2.0]])
    want = np.where((x > -1) & (x <= 1), x * x, -x) * (x != 2)
    slope = np.where((x > -1) & (x <= 1), 2 * x, -1) * (x != 2)
    assert_array_equal(tg.vmap(masked)(x).data, want)
    assert_array_equal(tg.vmap(tg.vmap(masked))(x).data, want)
    for derivative in (
        tg.vmap(tg.grad(lambda x: masked(x).sum())),
        tg.grad(lambda x: tg.vmap(masked)(x).sum()),
        tg.vmap(lambda x: tg.jvp(masked, (x,), (np.ones(2),))[1]),
        lambda x: tg.jvp(tg.vmap(masked), (x,), (np.ones(x.shape),))[1],
        lambda x: tg.jvp(tg.vmap(tg.vmap(masked)), (x,), (np.ones(x.shape),))[1],
    ):
        assert_array_equal(derivative(x).data, slope)


def test_masks_combined_with_arrays_and_with_masks_from_an_outer_vmap():
    keep = np.array([True, False, True])
    for f in (
        lambda x: tg.where(keep & (x > 0), x, 0.0),
        lambda x: tg.where((x > 0) | keep, x, 0.0),
        lambda x: tg.where(True & (x > 0), x, 0.0),
        lambda x: tg.where((V > 0) & (x > V), x, 0.0),
    ):
        assert_same(tg.vmap(f)(XS), loop(f)(XS))
    got = tg.vmap(lambda x: tg.vmap(lambda c: tg.where((x > 0) & (c > x) | ~(x > c), x, c))(CS))(XS)
    x, c = XS[:, None], CS[None]
    assert_array_equal(got.data, np.where((x > 0) & (c > x) | ~(x > c), x + 0 * c, c + 0 * x))


def test_a_mask_is_a_result_like_any():
    assert_array_equal(tg.vmap(lambda x: x > 0)(XS).data, XS > 0)
    _, dy, mask = tg.jvp(tg.vmap(lambda x: (x, x > 0)), (XS,), (XS,), has_aux=True)
    assert_array_equal(tg.asarray(mask).data, XS > 0)
    assert_array_equal(dy.data, XS)
    counts = lambda x: (x > 0).astype(float).sum() * x  # noqa: E731
    want = (XS > 0).sum(1)[:, None] * XS
    assert_array_equal(tg.vmap(counts)(XS).data, want)
    assert_array_equal(tg.jvp(tg.vmap(counts), (XS,), (XS,))[1].data, want)


# -------------------------------------------------------------------------------------------------- primitives by users


@tg.primitive("general", [lambda ct, x: ct * 3 * x * x, lambda ct, y: ct * y * 0 + ct])
def cubed_plus(x, y):
    """x³ + y, without a batching rule."""
    assert x.shape == y.shape == (3,)
    return x**3 + y


def test_a_primitive_without_a_batching_rule_is_looped_over():
    for axes, args in [((0, 0), (XS, CS)), ((0, None), (XS, V)), ((None, 0), (V, CS))]:
        assert_same(tg.vmap(cubed_plus, axes)(*args), loop(cubed_plus, axes)(*args))
        g = tg.grad(lambda x, y: (cubed_plus(x, y) ** 2).sum(), (0, 1))
        assert_same(tg.vmap(g, axes)(*args), loop(g, axes)(*args))
        d = lambda x, y: tg.jvp(cubed_plus, (x, y), (y, x))[1]  # noqa: E731
        assert_same(tg.vmap(d, axes)(*args), loop(d, axes)(*args))
        with pytest.raises(TypeError, match="vmap: cubed_plus has no batching rule, and there is no example"):
            tg.vmap(cubed_plus, axes)(*[a[:0] if axis == 0 else a for a, axis in zip(args, axes, strict=True)])


@tg.primitive("bilinear", [lambda ct, y: ct * y, lambda ct, x: (ct * x).sum()], batch=lambda x, y: x * y[:, None])
def scaled(x, y):
    """A vector times a number; its batching rule wants both batched."""
    return x * y


def test_a_batching_rule_that_is_not_told_gets_everything_batched():
    y = XS[:, 0]
    for axes, args in [((0, 0), (XS, y)), ((0, None), (XS, y[0])), ((None, 0), (V, y)), ((0, None), (XS, 2.0))]:
        assert_same(tg.vmap(scaled, axes)(*args), loop(scaled, axes)(*args))
    assert tg.vmap(scaled, (0, None))(XS.astype(np.float32), 2.0).dtype == np.float32


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x if x[0] > 0 else -x,
        lambda x: float(x[0]) * x,
        lambda x: int(x[0]) * x,
        lambda x: x[0].item() * x,
        lambda x: x.data,
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
        lambda x: np.array([x, x]),
        lambda x: tg.tensor(x),
        lambda x: not x[0],
        lambda x: max(x[0], 0.0),
        lambda x: setattr(x, "requires_grad", True),
    ],
)
def test_values_can_not_be_read(read):
    with pytest.raises(TypeError, match=r"one of many examples|np\.asarray: this tensor|detach"):
        tg.vmap(read)(XS)
    with pytest.raises(TypeError, match=r"one of many examples|np\.asarray: this tensor|detach"):
        tg.vmap(lambda x: tg.jvp(read, (x,), (x,)))(XS)


def test_backward_inside():
    for x in (XS, tg.tensor(XS, requires_grad=True)):
        with pytest.raises(TypeError, match=r"backward: inside jvp, vmap or the cell of a scan there is no \.grad"):
            tg.vmap(lambda x: x.sum().backward())(x)


@pytest.mark.parametrize("in_axes", [2, -3, (2,), (-3,)])
def test_in_axes_out_of_range(in_axes):
    number = in_axes if isinstance(in_axes, int) else in_axes[0]
    with pytest.raises((ValueError, IndexError), match=rf"vmap: .*argument 0.*{number}|vmap: .*{number}.*argument 0"):
        tg.vmap(lambda x: x, in_axes)(XS)


def test_out_axes_out_of_range():
    for out_axes in (3, -4):
        with pytest.raises(ValueError, match=f"vmap: .*{out_axes}"):
            tg.vmap(lambda x: x, 0, out_axes)(XS)


def test_arguments_without_the_axis():
    for wrong in (1.0, [1.0, 2.0], {"a": XS, "b": 2.0}):
        with pytest.raises((ValueError, IndexError), match=r"vmap: .*argument 1"):
            tg.vmap(lambda x, y: x)(XS, wrong)


def test_sizes_that_differ():
    message = "vmap: the arguments must have one number of examples in common, got 4 (argument 0), 3 (argument 1)"
    with pytest.raises(ValueError, match=re.escape(message)):
        tg.vmap(lambda x, y: x)(XS, CS[:3])
    with pytest.raises(ValueError, match="must have one number of examples in common, got 4"):
        tg.vmap(lambda x: x["a"])({"a": XS, "b": CS[:3]})
    with pytest.raises(ValueError, match="must have one number of examples in common, got none"):
        tg.vmap(lambda x: x, None)(XS)
    with pytest.raises(ValueError, match="must have one number of examples in common, got none"):
        tg.vmap(lambda x: x)(None)


def test_in_axes_of_the_wrong_length():
    message = "vmap: in_axes names 1 arguments, but the function was called with 2"
    with pytest.raises(ValueError, match=message):
        tg.vmap(lambda x, y: x, (0,))(XS, CS)


def test_after_an_error_all_is_as_before():
    with pytest.raises(ZeroDivisionError):
        tg.vmap(lambda x: 1 / 0)(XS)
    assert tg.grad(lambda x: x * x)(3.0).item() == 6  # not batched by the vmap that failed
    assert type(tg.grad(lambda x: x * x)(3.0)) is tg.Tensor
