"""Reverse mode: right gradients, owned by nobody else, all or nothing, and errors that say what is wrong."""

import math

import numpy as np
import pytest

import tinygrad_rnn as tg


def leaf(values, name=None, dtype=None):
    return tg.tensor(values, dtype=dtype, requires_grad=True, name=name)


def scatter(shape, index, values):
    out = np.zeros(shape)
    np.add.at(out, index, values)
    return out


# ------------------------------------------------------------------------------------------------------ right gradients


def test_used_twice_and_added_to_itself():
    x = leaf([2.0, 3.0])
    (x * x + x + x).sum().backward()
    assert x.grad.tolist() == [6.0, 8.0]
    x.grad = None
    (x - x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    x.grad = None
    y = x + x
    (y + y).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]
    x.grad = None
    (x @ x).backward()
    assert x.grad.tolist() == [4.0, 6.0]
    x.grad = None
    tg.concatenate([x, x, x * 2]).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]


def test_diamonds():
    x = leaf(0.5)
    y = tg.tanh(x)
    left, right = y * 2, tg.exp(y)
    (left * right + y).backward()
    h, s = np.tanh(0.5), 1 - np.tanh(0.5) ** 2
    np.testing.assert_allclose(x.grad, s * (2 * np.exp(h) + 2 * h * np.exp(h) + 1), rtol=1e-14)


def test_a_ladder_of_diamonds_is_walked_once_a_node():
    """2^60 paths, 60 nodes."""
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad == 2.0**60


def test_a_branch_that_leads_nowhere_is_not_walked():
    @tg.primitive("elementwise", [lambda ct: 1 / 0])
    def never(x):
        return x * 1

    x = leaf(2.0)
    never(x)
    (x * never(tg.tensor(3.0))).backward()
    assert x.grad == 3.0


def test_constants_get_no_gradient():
    x, c = leaf([1.0, 2.0]), tg.tensor([3.0, 4.0], name="c")
    (x * c).sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert c.grad is None


def test_a_leaf_is_its_own_output():
    x = leaf(2.0)
    x.backward()
    assert x.grad == 1.0
    v = leaf([1.0, 2.0])
    v.backward([3.0, 4.0])
    assert v.grad.tolist() == [3.0, 4.0]


VIEWS = {
    "reshape": (lambda x: x.reshape(3, 4), lambda c: c.reshape(2, 6)),
    "transpose": (lambda x: x.T, lambda c: c.T),
    "swapaxes": (lambda x: x.swapaxes(0, 1), lambda c: c.T),
    "row": (lambda x: x[1], lambda c: scatter((2, 6), np.s_[1], c)),
    "slice": (lambda x: x[:, 1:5:2], lambda c: scatter((2, 6), np.s_[:, 1:5:2], c)),
    "backwards": (lambda x: x[::-1, ::-2], lambda c: scatter((2, 6), np.s_[::-1, ::-2], c)),
    "gather": (lambda x: x[:, [0, 0, 3]], lambda c: scatter((2, 6), np.s_[:, [0, 0, 3]], c)),
    "broadcast": (lambda x: tg.broadcast_to(x, (3, 2, 6)), lambda c: c.sum(0)),
    "expand": (lambda x: x[:, None], lambda c: c[:, 0]),
    "of a view": (lambda x: x.T[1:].reshape(-1)[::-1], lambda c: scatter((6, 2), np.s_[1:], c[::-1].reshape(5, 2)).T),
}


@pytest.mark.parametrize("of", ["leaf", "intermediate"])
@pytest.mark.parametrize("view", VIEWS)
def test_views(view, of):
    forward, back = VIEWS[view]
    x = leaf(np.random.default_rng(0).standard_normal((2, 6)))
    v = forward(x if of == "leaf" else x * 3)
    ct = np.random.default_rng(1).standard_normal(v.shape)
    (v * ct).sum().backward()
    np.testing.assert_allclose(x.grad, back(ct) * (1 if of == "leaf" else 3), rtol=1e-14)


def test_overlapping_views_add_up():
    x = leaf(np.arange(4.0))
    (x[:3] * x[1:] + x[::-1][:3]).sum().backward()
    assert x.grad.tolist() == [1.0, 3.0, 5.0, 3.0]


BASE = np.random.default_rng(2).standard_normal((4, 6))
LAYOUTS = {
    "C": lambda: BASE.copy(),
    "Fortran": lambda: np.asfortranarray(BASE),
    "negative strides": lambda: BASE[::-1, ::-1].copy()[::-1, ::-1],
    "every other": lambda: np.repeat(np.repeat(BASE, 2, 0), 3, 1)[::2, ::3],
    "transposed": lambda: BASE.T.copy().T,
    "inside": lambda: np.pad(BASE, 1)[1:-1, 1:-1],
    "broadcast": lambda: np.broadcast_to(BASE[:1], BASE.shape),
    "big-endian": lambda: BASE.astype(">f8"),
    "unaligned": lambda: np.frombuffer(b"\0" + BASE.tobytes(), np.uint8)[1:].view(np.float64).reshape(BASE.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("make", [tg.tensor, tg.asarray])
def test_any_memory_layout(layout, make):
    array = LAYOUTS[layout]()
    array.flags.writeable = False
    before = array.copy()
    w = np.random.default_rng(3).standard_normal((6, 2))

    def loss(x):
        return (tg.tanh(x @ w) @ w.T * x + x.T.reshape(4, 6)[::-1] * array).sum()

    x = make(array, requires_grad=True)
    loss(x).backward()
    plain = leaf(before.astype(float))
    loss(plain).backward()
    np.testing.assert_allclose(x.grad, plain.grad, rtol=1e-13)
    np.testing.assert_array_equal(array, before)
    assert x.grad.flags.writeable
    assert x.grad.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    tg.check_grads(loss, [before.astype(float)], order=1)


@pytest.mark.parametrize("ct_layout", ["C", "Fortran", "negative strides", "broadcast"])
def test_cotangents_of_any_memory_layout(ct_layout):
    ct = LAYOUTS[ct_layout]()
    ct.flags.writeable = False
    x, y = leaf(BASE), leaf(BASE)
    (x + y.T.T).backward(ct)
    np.testing.assert_array_equal(x.grad, ct)
    np.testing.assert_array_equal(y.grad, ct)
    x.grad += 1
    y.grad += 1


def test_empty_tensors():
    x = leaf(np.zeros((0, 3)))
    y = x * x + 1
    y.backward(np.ones((0, 3)))
    assert x.grad.shape == (0, 3)
    x.grad = None
    (y.detach().sum() + x.sum() + (x @ np.ones((3, 2))).sum()).backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("lead", [(), (0,), (7,), (3, 5), (4, 1, 3)])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_what_was_broadcast_in_front_gets_the_sum(lead, dtype, layout):
    b, x = leaf([1.0, 2.0], dtype=dtype), leaf(np.zeros((*lead, 2)), dtype=dtype)
    ct = layout(np.random.default_rng(0).integers(-9, 9, (*lead, 2)).astype(dtype))
    (x + b).backward(ct)
    np.testing.assert_array_equal(b.grad, ct.sum(axis=tuple(range(len(lead)))))
    assert b.grad.dtype == dtype
    assert parts_apart(b.grad, x.grad, ct)


def test_a_sum_over_what_was_broadcast_keeps_infinities_to_their_columns():
    b = leaf([1.0, 2.0, 3.0])
    (b + np.zeros((2, 3))).backward(np.array([[math.inf, 1.0, math.nan], [1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(b.grad, [math.inf, 3.0, math.nan])


def test_mixed_dtypes_each_gradient_in_its_own():
    x, y = leaf([1.0, 2.0], dtype=np.float32), leaf([3.0, 4.0])
    z = x * y
    assert z.dtype == np.float64
    z.backward(np.array([1, 10]))  # integers are numbers too
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert x.grad.tolist() == [3.0, 40.0]
    assert y.grad.tolist() == [1.0, 20.0]
    n = tg.tensor([2, 3])
    assert tg.autograd.grad((x * n).sum(), x)[0].dtype == np.float32


# ------------------------------------------------------------------------------------------------------------- the grad


def test_grad_is_an_array_that_accumulates():
    x = leaf([1.0, 2.0])
    assert x.grad is None
    (x * x).sum().backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.flags.writeable
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    x.grad = None
    assert x.grad is None
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_the_grad_of_a_scalar_is_an_array_too():
    x = leaf(3.0)
    for _ in range(2):
        (x * x).backward()
        assert type(x.grad) is np.ndarray
        assert x.grad.shape == ()
    assert x.grad == 12.0
    x.grad[...] = 1.0


def test_a_set_grad_is_added_to():
    x = leaf([1.0, 2.0])
    x.grad = [10.0, 20.0]
    x.sum().backward()
    assert x.grad.tolist() == [11.0, 21.0]


def test_the_grad_of_an_intermediate_stays_none():
    x = leaf([1.0])
    y = x * 2
    (y * 3).sum().backward()
    assert y.grad is None


def parts_apart(*arrays):
    return not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


ALIASING = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "reshape": lambda x, y: x.reshape(4).reshape(2, 2) + y.reshape(4).reshape(2, 2),
    "transpose": lambda x, y: x.T + y.T,
    "itself": lambda x, y: x + x + y,
    "where": lambda x, y: tg.where(True, x, 0.0) + tg.where(False, 0.0, y),
    "stack": lambda x, y: tg.stack([x, y])[0] + tg.concatenate([x, y])[2:],
    "astype": lambda x, y: x.astype(np.float64) + y.astype(np.float64),
    "slice": lambda x, y: x[:] + y[::-1],
    "broadcast": lambda x, y: tg.broadcast_to(x, (2, 2)) + y,
    "times one": lambda x, y: x * 1 + y * 1.0,
}


@pytest.mark.parametrize("what", ALIASING)
def test_gradients_share_no_memory(what):
    x, y, ct = leaf(np.ones((2, 2))), leaf(np.ones((2, 2))), np.full((2, 2), 5.0)
    ALIASING[what](x, y).backward(ct)
    assert parts_apart(x.grad, y.grad, ct, x.data, y.data)
    first = x.grad
    kept = first.copy()
    ct[...] = -1
    ALIASING[what](x, y).backward(ct)
    x.grad[...] = 7
    assert (kept == first).all() or first is x.grad
    y.grad[...] = 8
    assert (x.grad == 7).all()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("what", ALIASING)
def test_gradients_on_request_share_no_memory(what, create_graph):
    x, y, ct = leaf(np.ones((2, 2))), leaf(np.ones((2, 2))), np.full((2, 2), 5.0)
    gx, gy = tg.autograd.grad(ALIASING[what](x, y), [x, y], cotangents=ct, create_graph=create_graph)
    assert parts_apart(gx.data, gy.data, ct, x.data, y.data)


def test_a_gradient_asked_for_twice_is_two_arrays():
    x = leaf([1.0, 2.0])
    first, second = tg.autograd.grad((x * x).sum(), [x, x])
    assert parts_apart(first.data, second.data)


def test_gradients_of_a_result_and_what_it_is_a_view_of_share_no_memory():
    x = leaf([1.0, 2.0])
    y = x.reshape(2, 1)
    z = y.reshape(1, 2)
    grads = tg.autograd.grad(z, [x, y, z], cotangents=np.ones((1, 2)))
    assert parts_apart(*[g.data for g in grads])


def test_a_leaf_that_is_the_output_copies_the_cotangent():
    x, ct = leaf([1.0, 2.0]), np.ones(2)
    x.backward(ct)
    assert parts_apart(x.grad, ct)


def test_a_joint_rule_that_gives_one_array_to_all_makes_no_alias():
    @tg.primitive("linear", lambda ct: (ct * 2,) * 2)
    def twice_the_sum(*xs):
        return 2 * (xs[0] + xs[1])

    def joint(ct):
        part = ct * 2
        return part, part

    @tg.primitive("linear", joint)
    def twice_the_sum_too(*xs):
        return 2 * (xs[0] + xs[1])

    for f in (twice_the_sum, twice_the_sum_too):
        x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
        f(x, y).sum().backward()
        assert parts_apart(x.grad, y.grad)
        x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
        (f(x, y) + x).sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]
        assert y.grad.tolist() == [2.0, 2.0]


def test_a_rule_may_give_away_an_array_that_it_was_given():
    @tg.primitive("general", [lambda ct, y: y, lambda ct, x: x])
    def odd(x, y):
        return (x * y).sum()

    x, y = leaf([1.0, 2.0]), leaf([1.0, 3.0])
    (odd(x, y) + odd(x, y)).backward()
    assert parts_apart(x.grad, y.grad, x.data, y.data)
    assert (x.grad.tolist(), y.grad.tolist()) == ([2.0, 6.0], [2.0, 4.0])
    assert (x.data.tolist(), y.data.tolist()) == ([1.0, 2.0], [1.0, 3.0])


# --------------------------------------------------------------------------------------------------------------- errors


def test_a_freed_graph_is_not_walked_again():
    x = leaf([2.0], name="x")
    y = (x * x).sum()
    y.backward()
    with pytest.raises(
        RuntimeError, match=r"backward: an earlier backward went through .*(sum|multiply).*retain_graph=True"
    ):
        y.backward()
    with pytest.raises(RuntimeError, match=r"earlier backward.*retain_graph=True"):
        tg.autograd.grad(y, x)
    assert x.grad.tolist() == [4.0]


def test_retain_graph_keeps_it():
    x = leaf([2.0])
    y = (x * x).sum()
    for k in (1, 2, 3):
        y.backward(retain_graph=True)
        assert x.grad.tolist() == [4.0 * k]
    y.backward()
    with pytest.raises(RuntimeError, match="earlier backward"):
        y.backward()


def test_what_another_output_s_backward_freed_is_not_walked_again():
    x, z = leaf([2.0]), leaf([3.0])
    shared = tg.tanh(x)
    a, b = (shared * 2).sum(), (shared * z).sum()
    a.backward()
    before = x.grad.copy()
    with pytest.raises(RuntimeError, match=r"earlier backward went through tanh.*retain_graph"):
        b.backward()
    assert x.grad.tolist() == before.tolist()
    assert z.grad is None


def test_other_graphs_over_the_same_leaves_are_not_freed():
    x = leaf([2.0])
    a, b = (x * x).sum(), (x * 3).sum()
    a.backward()
    b.backward()
    assert x.grad.tolist() == [7.0]


def test_autograd_grad_frees_by_default_and_not_with_create_graph():
    x = leaf([2.0])
    y = (x * x).sum()
    tg.autograd.grad(y, x, retain_graph=True)
    tg.autograd.grad(y, x, create_graph=True)
    tg.autograd.grad(y, x)
    with pytest.raises(RuntimeError, match="earlier backward"):
        tg.autograd.grad(y, x)
    assert x.grad is None


@pytest.mark.parametrize("shape", [(2,), (1,), (0,), (1, 1)])
def test_only_a_scalar_needs_no_cotangent(shape):
    y = leaf(np.ones(shape), name="y") * 2
    with pytest.raises(
        RuntimeError, match=rf"backward: the cotangent .*only for a scalar.*shape \({shape[0]},.*\.sum\(\)"
    ):
        y.backward()
    y.backward(np.ones(shape))


@pytest.mark.parametrize("ct", [np.ones(3), np.ones((2, 1)), 1.0, [[1.0, 1.0]], tg.tensor(1.0)], ids=repr)
def test_a_cotangent_has_the_output_s_shape(ct):
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"backward: the cotangent must have the tensor's shape \(2,\), got \("):
        (x * 2).backward(ct)
    with pytest.raises(
        ValueError, match=r"autograd.grad: the cotangent of outputs\[0\] must have the tensor.s shape \(2,\), got \("
    ):
        tg.autograd.grad(x * 2, x, cotangents=ct)
    assert x.grad is None


@pytest.mark.parametrize("ct", [np.array([1j, 0]), np.array(["a", "b"]), np.array([None, None])], ids=repr)
def test_a_cotangent_is_of_real_numbers(ct):
    with pytest.raises(TypeError, match="backward: the cotangent must be of real numbers, got dtype"):
        (leaf([1.0, 2.0]) * 2).backward(ct)


def test_a_cotangent_can_be_a_list_or_a_tensor():
    x = leaf([1.0, 2.0])
    (x * 2).backward([1.0, 10.0])
    (x * 2).backward(tg.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [4.0, 40.0]


def test_a_tensor_that_needs_no_gradient_has_no_backward():
    x = leaf(1.0)
    with tg.no_grad():
        unrecorded = x * 2
    for t in (tg.tensor(1.0), tg.tensor(1.0, name="c"), x.detach(), unrecorded, tg.tensor(2.0) * 3):
        with pytest.raises(
            RuntimeError, match=r"backward: this tensor \(shape \(\)\) needs no gradient.*requires_grad=True.*no_grad"
        ):
            t.backward()
        with pytest.raises(RuntimeError, match=r"autograd.grad: outputs\[0\]: .*needs no gradient"):
            tg.autograd.grad(t, x)
        with pytest.raises(RuntimeError, match=r"autograd.grad: inputs\[0\]: .*needs no gradient"):
            tg.autograd.grad(x * 2, t)


def test_an_input_without_influence_is_named():
    x, other = leaf(1.0), leaf(1.0, name="other")
    with pytest.raises(RuntimeError, match=r"autograd.grad: inputs\[1\] \('other'\) was not used"):
        tg.autograd.grad(x * 2, [x, other])
    with pytest.raises(ValueError, match=r"autograd.grad: 2 outputs want as many cotangents, got 1"):
        tg.autograd.grad([x * 2, x * 3], x, cotangents=[None])


def test_autograd_grad_of_several_outputs_and_intermediates():
    x = leaf([1.0, 2.0])
    y = x * x
    a, b = y.sum(), y * 3
    gy, gx = tg.autograd.grad([a, b, a], [y, x], cotangents=[None, np.array([1.0, 10.0]), 2.0], retain_graph=True)
    assert gy.data.tolist() == [6.0, 33.0]
    assert gx.data.tolist() == [12.0, 132.0]
    assert tg.autograd.grad(a, a)[0].item() == 1.0


# ------------------------------------------------------------------------------------------------------- all or nothing


def test_a_rule_that_raises_leaves_every_grad_as_it_was():
    def fails(ct):
        raise ZeroDivisionError("this rule fails")

    @tg.primitive("elementwise", [fails])
    def broken(x):
        return x * 1

    x = leaf([1.0])
    out = broken(x * 2)
    y, z = leaf([2.0]), leaf([3.0])  # younger than the broken operation: they are reached before it
    y.grad = [7.0]
    loss = ((y * z) * out + z + y).sum()
    with pytest.raises(ZeroDivisionError, match="this rule fails"):
        loss.backward()
    assert (x.grad, y.grad.tolist(), z.grad) == (None, [7.0], None)
    assert {n.grad_norm for n in tg.graph(loss).nodes} == {None, 7.0}  # a leaf's is that of its grad


@pytest.mark.parametrize("got", [(2, 2), (4,), (3, 2), (), (1, 3), (6,)])
def test_a_rule_of_the_wrong_shape_is_an_error(got):
    @tg.primitive("general", [lambda ct: np.ones(got)])
    def wrong(x):
        return x * 1

    x, y = leaf(np.ones((2, 3)), name="x"), leaf(1.0)
    with pytest.raises(RuntimeError, match="a rule gave a cotangent of shape"):
        (wrong(x) * y).sum().backward()
    assert x.grad is None
    assert y.grad is None


def test_a_joint_rule_of_the_wrong_length_is_an_error():
    @tg.primitive("general", lambda ct: (ct,))
    def pair(*xs):
        return xs[0] + xs[1]

    x = leaf(1.0)
    with pytest.raises((ValueError, RuntimeError)):
        pair(x, x).backward()
    assert x.grad is None


# ---------------------------------------------------------------------------------------------------------------- scale


def test_a_chain_of_a_million_operations():
    """Forward, backward and the end of it, without recursion."""
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = tg.tanh(y)
    y.backward()
    h, product = 1.0, 1.0
    for _ in range(1_000_000):
        h = math.tanh(h)
        product *= 1 - h * h
    np.testing.assert_allclose(y.data, h, rtol=1e-6)
    np.testing.assert_allclose(x.grad, product, rtol=1e-6)
    del y


def test_a_deep_chain_is_freed_without_a_backward():
    y = leaf(1.0)
    for _ in range(200_000):
        y = tg.tanh(y)
    del y


def test_a_deep_recorded_backward():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y * 1.0001
    (g,) = tg.autograd.grad(y * y, x, create_graph=True)
    (h,) = tg.autograd.grad(g, x)
    np.testing.assert_allclose(h.data, 2 * 1.0001**40_000, rtol=1e-9)
    del y, g


def test_many_uses_of_one_leaf():
    x = leaf(2.0)
    total = tg.stack([x * k for k in range(20_000)]).sum()
    total.backward()
    assert x.grad == sum(range(20_000))
