"""Tensors as handles, primitives as declarations, and what is recorded when."""

import asyncio
import contextlib
import contextvars
import copy
import pickle
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg


def leaf(values, name=None, dtype=None):
    return tg.tensor(values, dtype=dtype, requires_grad=True, name=name)


# ------------------------------------------------------------------------------------------------------- making tensors


def test_tensor_copies_and_asarray_shares():
    array = np.array([1.0, 2.0])
    copied, shared = tg.tensor(array), tg.asarray(array)
    assert not np.shares_memory(copied.data, array)
    assert shared.data is array
    assert tg.asarray(shared) is shared


@pytest.mark.parametrize(
    "data",
    ["text", ["a", "b"], [1, None], None, object(), 1j, [1.0, 2j], np.array(["2020"], "M8[s]"), {1: 2}],
    ids=repr,
)
def test_only_real_numbers_make_a_tensor(data):
    for make in (tg.tensor, tg.asarray):
        with pytest.raises(TypeError, match=rf"{make.__name__}: want real numbers, got dtype"):
            make(data)


@pytest.mark.parametrize(
    "data", [[[1.0, 2.0], [3.0]], [1.0, [2.0]], [np.zeros(2), np.zeros(3)]], ids=["list", "deep", "arrays"]
)
def test_ragged_lists_make_no_tensor(data):
    with pytest.raises(ValueError, match="tensor: the data is not a regular array"):
        tg.tensor(data)


@pytest.mark.parametrize("dtype", [complex, str, object, "M8[s]"])
def test_a_dtype_that_is_not_a_real_number_is_refused(dtype):
    with pytest.raises(TypeError, match="tensor: want a real number type, got dtype"):
        tg.tensor([1.0], dtype=dtype)


def test_a_tensor_that_needs_a_gradient_makes_no_new_leaf():
    x = leaf([1.0])
    for make in (lambda: tg.tensor(x), lambda: tg.asarray(x, name="copy"), lambda: tg.tensor(x * 2)):
        with pytest.raises(TypeError, match=r"needs a gradient.*detach"):
            make()
    with pytest.raises(TypeError, match="needs a gradient"):
        tg.tensor([leaf(1.0), leaf(2.0)])


@pytest.mark.parametrize("dtype", [int, bool, np.uint8])
def test_only_floating_point_tensors_can_need_a_gradient(dtype):
    for make in (tg.tensor, tg.asarray):
        with pytest.raises(
            TypeError, match=r"requires_grad.*floating-point.*got dtype (int64|bool|uint8).*dtype=float"
        ):
            make(np.ones(2, dtype), requires_grad=True)
    t = tg.tensor(np.ones(2, dtype))
    with pytest.raises(TypeError, match=r"requires_grad: only floating-point .*dtype (int64|bool|uint8)"):
        t.requires_grad = True
    assert not t.requires_grad


def test_python_numbers_take_the_default_dtype_and_arrays_keep_theirs():
    assert tg.tensor(1.0).dtype == np.float64
    assert tg.tensor([1, 2]).dtype == np.int64
    assert tg.tensor(np.float32(1)).dtype == np.float32
    with tg.default_dtype(np.float32):
        assert tg.get_default_dtype() == np.float32
        assert tg.tensor(1.0).dtype == np.float32
        assert tg.tensor([[1.0]]).dtype == np.float32
        assert tg.tensor([1, 2]).dtype == np.int64
        assert tg.tensor(np.ones(2)).dtype == np.float64
        assert tg.tensor(1.0, dtype=np.float64).dtype == np.float64
    assert tg.get_default_dtype() == np.float64


@pytest.mark.parametrize("number", [2, 2.0, True])
def test_python_scalars_never_upcast(number):
    x = leaf([1.0, 3.0], dtype=np.float32)
    for y in (x * number, number * x, x + number, number - x, x / number, number / x, x**number, number**x):
        assert y.dtype == np.float32
        (g,) = tg.autograd.grad(y.sum(), x)
        assert g.dtype == np.float32


# ----------------------------------------------------------------------------------------------------------- the handle


def test_attributes():
    t = tg.tensor(np.ones((2, 3), np.float32))
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((2, 3), 2, 6, np.float32, 2)
    assert (t.is_leaf, t.requires_grad, t.grad, t.name, t.node) == (True, False, None, None, None)


def test_repr_says_what_matters():
    assert repr(leaf([1.0, 2.5], name="w")) == "tensor([1. , 2.5], name='w', requires_grad=True)"
    assert repr(tg.tensor(np.ones(1, np.float32))) == "tensor([1.], dtype=float32)"
    assert repr(tg.tensor([True, False])) == "tensor([ True, False])"
    assert repr(tg.tensor(1)) == "tensor(1)"
    assert repr(leaf(2.0) * 3) == "tensor(6., requires_grad=True)"


def test_truth_length_and_numbers():
    assert bool(tg.tensor(2.0))
    assert not bool(tg.tensor([0.0]))
    with pytest.raises(ValueError, match="ambiguous"):
        bool(tg.tensor([1.0, 2.0]))
    assert float(tg.tensor(2.5)) == 2.5
    assert int(tg.tensor([3.7])) == 3
    assert leaf([[4.0]]).item() == 4.0
    assert type(tg.tensor(3).item()) is int
    with pytest.raises(ValueError, match=r"item: .*one element.*shape \(2,\)"):
        tg.tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError):
        float(tg.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"len\(\)"):
        len(tg.tensor(1.0))


def test_iteration_goes_over_the_first_axis():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    rows = list(x)
    assert [r.data.tolist() for r in rows] == [[1.0, 2.0], [3.0, 4.0]]
    (rows[0] * rows[1]).sum().backward()
    assert x.grad.tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_a_scalar_is_not_iterable():
    with pytest.raises(TypeError):
        iter(leaf(1.0))


def test_comparisons_are_elementwise_and_hash_is_by_identity():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 3.0])
    assert (x == y).tolist() == [True, False]
    assert (x != y).tolist() == [False, True]
    assert (x < y).tolist() == [False, True]
    assert (x >= 2).tolist() == [False, True]
    assert (np.array([0.0, 5.0]) < x).tolist() == [True, False]
    assert (np.array([1.0, 5.0]) == x).tolist() == [True, False]
    assert type(x == y) is np.ndarray
    assert len({x, y, x.detach()}) == 3
    assert {x: 1}[x] == 1
    assert hash(x) != hash(tg.tensor(x.data))


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8])
def test_logical_operators_are_numpys(dtype):
    x, y = np.array([0, 1, 1, 0], dtype), np.array([0, 0, 1, 1], dtype)
    n, m = tg.tensor(x), tg.tensor(y)
    for got, want in [(n & m, x & y), (n | y, x | y), (x ^ m, x ^ y), (~n, ~x), (True & n, True & x), (1 ^ n, 1 ^ x)]:
        assert type(got) is np.ndarray
        assert got.dtype == want.dtype
        assert got.tolist() == want.tolist()


@pytest.mark.parametrize(
    ("symbol", "operation"),
    [("&", lambda x: x & 1), ("|", lambda x: [True] | x), ("^", lambda x: 1 ^ x), ("~", lambda x: ~x)],
)
def test_real_numbers_have_no_logical_operators(symbol, operation):
    with pytest.raises(TypeError) as raised:
        operation(leaf([1.0, 2.0]))
    assert str(raised.value) == f"{symbol}: want booleans or integers, got numbers of dtype float64"


def test_names():
    x = leaf(1.0, name="x")
    x.name = "y"
    assert x.name == "y"
    c = tg.tensor(1.0)
    c.name = None
    assert c.node is None
    c.name = "c"
    assert c.name == "c"
    assert not c.requires_grad
    assert c.is_leaf


def test_detach_shares_values_and_passes_no_gradient():
    x = leaf([2.0])
    y = x * 3
    (y.detach() * x).sum().backward()
    assert x.grad.tolist() == [6.0]
    assert not y.detach().requires_grad
    assert np.shares_memory(y.detach().data, y.data)


def test_requires_grad_can_be_switched_on_leaves_only():
    x = tg.tensor([1.0], name="x")
    x.requires_grad = True
    assert x.name == "x"
    x.requires_grad = True
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0]
    y = x * 2
    with pytest.raises(RuntimeError, match=r"requires_grad: .*multiply.* is not a leaf.*detach"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad
    assert x.name == "x"


def test_a_gradient_is_not_lost_when_a_leaf_is_frozen_for_a_while():
    x = leaf([1.0, 2.0], name="x")
    x.grad = [10.0, 10.0]
    loss = (x * x).sum()
    x.requires_grad = False
    x.requires_grad = True
    assert x.grad.tolist() == [10.0, 10.0]
    loss.backward()
    assert x.grad.tolist() == [12.0, 14.0]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_leaves_copy_and_pickle(again):
    x = leaf([1.0, 2.0], name="x")
    y = again(x)
    (y * y).sum().backward()
    assert y.name == "x"
    assert y.data.tolist() == [1.0, 2.0]
    assert y.grad.tolist() == [2.0, 4.0]


# ------------------------------------------------------------------------------------------------------ what may be set


def test_data_of_a_leaf_is_its_array():
    x = leaf([1.0, 2.0])
    x.data[0] = 5.0
    x.data -= 1
    assert x.numpy().tolist() == [4.0, 1.0]
    x.data = np.array([7.0, 8.0])
    assert x.data.tolist() == [7.0, 8.0]


@pytest.mark.parametrize(
    ("new", "got"),
    [
        (np.zeros(3), r"got \(3,\) and float64"),
        (np.zeros(2, np.float32), r"got \(2,\) and float32"),
        ([1, 2], "int64"),
        (0.0, r"\(\)"),
    ],
)
def test_data_keeps_its_shape_and_dtype(new, got):
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=rf"data: want shape \(2,\) and dtype float64.*{got}"):
        x.data = new
    assert x.data.tolist() == [1.0, 2.0]


def test_data_of_a_result_is_read_only():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 1.0
    with pytest.raises(RuntimeError, match=r"data: .*multiply.* is not a leaf.*detach"):
        y.data = np.zeros(2)
    with pytest.raises(ValueError, match="read-only"):
        y.numpy()[...] = 0
    with pytest.raises(ValueError, match="read-only"):
        y.detach().data[...] = 0


@pytest.mark.parametrize(
    "make", [lambda: leaf([1.0, 2.0]), lambda: leaf([1.0, 2.0]) * 2, lambda: tg.tensor([1.0, 2.0])]
)
def test_no_assignment_in_place(make):
    t = make()
    with pytest.raises(TypeError, match=r"in place.*\.at\[index\]\.set.*\.data"):
        t[0] = 1.0


def test_operators_in_place_make_new_tensors():
    x = leaf([1.0, 2.0])
    y = x
    y += 1
    y *= 2
    assert x.data.tolist() == [1.0, 2.0]
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_grad_can_be_set_on_leaves():
    x = leaf([1.0, 2.0])
    given = np.array([3.0, 4.0])
    x.grad = given
    assert x.grad.tolist() == [3.0, 4.0]
    assert not np.shares_memory(x.grad, given)
    x.grad *= 0.5
    assert x.grad.tolist() == [1.5, 2.0]
    x.grad = None
    assert x.grad is None
    for wrong in (np.zeros(3), np.zeros((2, 1)), np.zeros(2, np.float32), [1, 2], 0.0):
        with pytest.raises(ValueError, match=r"grad: want shape \(2,\) and dtype float64, got"):
            x.grad = wrong
    with pytest.raises(RuntimeError, match=r"grad: .* is not a leaf"):
        (x * 2).grad = np.zeros(2)


@pytest.mark.parametrize("name", [None, "c"])
def test_grad_of_a_tensor_that_needs_none_is_not_dropped_silently(name):
    t = tg.tensor([1.0, 2.0], name=name)
    t.grad = None
    with contextlib.suppress(RuntimeError, TypeError):  # refusing is fine
        t.grad = np.ones(2)
        assert t.grad is not None


# ---------------------------------------------------------------------------------------------------- NumPy on a tensor


def test_asarray_of_a_tensor_that_needs_a_gradient_is_refused():
    for t in (leaf([1.0, 2.0]), leaf([1.0, 2.0]) * 2):
        for convert in (
            np.asarray,
            np.array,
            lambda t: np.array([t, t]),
            np.ascontiguousarray,
        ):
            with pytest.raises(TypeError, match=r"needs a gradient.*data"):
                convert(t)
    with pytest.raises(TypeError, match="needs a gradient"):
        np.zeros(2)[:] = leaf([1.0, 2.0])


def test_asarray_of_a_tensor_that_needs_none_is_its_array():
    t = tg.tensor([1.0, 2.0])
    assert np.asarray(t) is t.data
    assert np.array(t) is not t.data
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    assert np.stack([t, t]).shape == (2, 2)


@pytest.mark.parametrize(
    "ufunc", [np.tanh, np.exp, np.negative, np.cbrt, lambda t: np.add(np.ones(2), t), lambda t: np.add(t, 1)]
)
def test_a_ufunc_gives_a_tensor_or_a_type_error(ufunc):
    """No NumPy call drops a gradient silently: it is differentiable, or refused."""
    try:
        y = ufunc(leaf([1.0, 2.0]))
    except TypeError:
        return
    assert isinstance(y, tg.Tensor)
    assert y.requires_grad


@pytest.mark.parametrize(
    "function",
    [np.sum, np.mean, np.max, np.cumsum, np.dot, np.linalg.norm, np.where, np.concatenate, np.transpose, np.clip],
)
def test_a_numpy_function_gives_a_tensor_or_a_type_error(function):
    x = leaf(np.ones((2, 2)))
    args = {np.dot: (np.ones((2, 2)), x), np.where: (True, x, 0.0), np.concatenate: ([x, x],), np.clip: (x, 0.0, 0.5)}
    try:
        y = function(*args.get(function, (x,)))
    except TypeError:
        return
    assert isinstance(y, tg.Tensor)
    assert y.requires_grad


def test_arrays_and_numpy_scalars_on_the_left():
    x = leaf([1.0, 2.0])
    a = np.array([3.0, 4.0])
    total = (a + x) * 1 + (a - x) + a * x + a / x + a**x + np.float64(2) * x + np.float64(2) ** x
    assert isinstance(total, tg.Tensor)
    assert total.requires_grad
    assert isinstance(np.ones((3, 2)) @ x, tg.Tensor)
    with pytest.raises(TypeError):
        a += x  # an array can't hold a gradient


# ----------------------------------------------------------------------------------------------------------- primitives


def elementwise_cube():
    @tg.primitive("elementwise", [lambda ct, x: ct * 3 * x * x])
    def cube(x):
        return x * x * x

    return cube


def test_an_elementwise_primitive_in_five_lines():
    cube = elementwise_cube()
    x = leaf([1.0, 2.0])
    cube(x).sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]
    assert tg.jvp(cube, (np.array([2.0]),), (np.array([10.0]),))[1].data.tolist() == [120.0]
    tg.check_grads(cube, [np.array([0.5, -1.5])])


def test_an_elementwise_primitive_broadcasts():
    @tg.primitive("elementwise", [lambda ct, y: ct * y * y, lambda ct, x, y: 2 * ct * x * y])
    def scaled_square(x, y):
        return x * y * y

    rng = np.random.default_rng(0)
    for shapes in [((2, 3), (3,)), ((), (2, 2)), ((2, 1), (1, 3)), ((0, 3), (1, 3)), ((1,), ())]:
        tg.check_grads(scaled_square, [rng.standard_normal(s) for s in shapes])


def test_a_linear_primitive():
    @tg.primitive("linear", [lambda ct: flip(ct)])
    def flip(x):
        return x[::-1]

    x = leaf([1.0, 2.0, 3.0])
    flip(x).backward(np.array([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [100.0, 10.0, 1.0]
    tg.check_grads(lambda x: flip(x) ** 2, [np.array([1.0, -2.0, 3.0])])


def test_a_bilinear_primitive():
    @tg.primitive("bilinear", [lambda ct, y: ct[:, None] * y, lambda ct, x: ct[:, None] * x])
    def row_dots(x, y):
        return (x * y).sum(axis=1)

    rng = np.random.default_rng(0)
    tg.check_grads(row_dots, [rng.standard_normal((3, 2)), rng.standard_normal((3, 2))])


def test_a_general_primitive():
    @tg.primitive("general", [lambda ct, x, out: ct * x / out])
    def norm(x):
        return np.sqrt(np.sum(x * x))

    tg.check_grads(norm, [np.array([3.0, -4.0])])
    assert tg.grad(norm)(np.array([3.0, -4.0])).data.tolist() == [0.6, -0.8]


def test_a_variadic_primitive_with_keywords_and_shapes():
    @tg.primitive("linear", lambda ct, xs_shape, scale: tuple(tg.broadcast_to(ct * scale, s) for s in xs_shape))
    def scaled_total(*xs, scale):
        return sum(x.sum() for x in xs) * scale

    a, b = leaf([1.0, 2.0]), leaf([[3.0]])
    y = scaled_total(a, np.ones(4), b, scale=2.0)
    assert y.item() == 20.0
    assert y.node.saved is not None
    assert not any(isinstance(s, np.ndarray) for s in y.node.saved)
    y.backward()
    assert a.grad.tolist() == [2.0, 2.0]
    assert b.grad.tolist() == [[2.0]]


def test_a_variadic_primitive_that_saves_its_inputs():
    def rule(ct, xs):
        parts = []
        for i in range(len(xs)):
            part = ct
            for j, x in enumerate(xs):
                part = part * x if j != i else part
            parts.append(part)
        return tuple(parts)

    @tg.primitive("general", rule)
    def product(*xs):
        out = xs[0]
        for x in xs[1:]:
            out = out * x
        return out

    x, y = leaf([2.0, 3.0]), leaf([5.0, 7.0])
    product(x, y, x).sum().backward()
    assert x.grad.tolist() == [20.0, 42.0]
    assert y.grad.tolist() == [4.0, 9.0]
    args = [np.array([2.0, 3.0]), np.array([0.5, -1.0]), np.array([1.5, 1.0])]
    tg.check_grads(product, args, modes=["reverse"])
    tg.check_grads(lambda x, y: product(x, 2.0, y), args[:2], modes=["reverse"])


def test_a_variadic_general_primitive_in_forward_mode():
    @tg.primitive("general", lambda ct, xs: (ct * xs[1], ct * xs[0]))
    def product(*xs):
        return xs[0] * xs[1]

    _, tangent = tg.jvp(product, (np.array([2.0]), np.array([5.0])), (np.array([1.0]), np.array([10.0])))
    assert tangent.data.tolist() == [25.0]


def test_called_on_arrays_a_primitive_gives_an_array():
    cube = elementwise_cube()
    assert type(cube(np.array([1.0, 2.0]))) is np.ndarray
    assert type(cube([1.0, 2.0] * np.array([1, 1]))) is np.ndarray
    assert cube(2.0) == 8.0
    assert isinstance(cube(tg.tensor([1.0])), tg.Tensor)
    assert cube(tg.tensor([1.0])).node is None


def test_a_primitive_keeps_its_function_s_name_and_docstring():
    @tg.primitive("elementwise", [lambda ct: ct])
    def same(x):
        """The same again."""
        return x * 1

    assert same.__name__ == "same"
    assert same.__doc__ == "The same again."
    assert "same" in repr(same(leaf(1.0)).node)


def test_a_rule_that_asks_for_an_unknown_name_is_refused_at_definition():
    with pytest.raises(TypeError, match="halve: a rule asks for 'y'; it can have 'out', 'x', 'x_shape', 'by'"):

        @tg.primitive("elementwise", [lambda ct, y: ct / y])
        def halve(x, *, by):
            return x / by

    with pytest.raises(TypeError, match="total: a rule asks for 'ys'"):

        @tg.primitive("general", lambda ct, ys: ys)
        def total(*xs):
            return sum(xs)


@pytest.mark.parametrize("rules", [[], [lambda ct: ct], [lambda ct: ct] * 3])
def test_a_wrong_number_of_rules_is_refused_at_definition(rules):
    with pytest.raises(TypeError, match=f"plus: 2 arguments want as many rules, got {len(rules)}"):

        @tg.primitive("elementwise", rules)
        def plus(x, y):
            return x + y


def test_an_argument_without_a_rule_has_no_derivative():
    @tg.primitive("elementwise", [lambda ct, n: ct * n, None])
    def times(x, n):
        return x * n

    x = leaf([2.0])
    times(x, 3.0).backward(np.ones(1))
    assert x.grad.tolist() == [3.0]
    with pytest.raises(TypeError, match="times: there is no derivative by argument 'n'"):
        times(x, leaf([3.0]))
    with pytest.raises(TypeError, match="where: there is no derivative by argument 'condition'"):
        tg.where(leaf([1.0]), 1.0, 2.0)
    with tg.no_grad():
        assert times(x, leaf([3.0])).data.tolist() == [6.0]


def test_a_result_that_is_no_real_number_has_no_gradient():
    @tg.primitive("elementwise", [lambda ct: ct])
    def turned(x):
        return x * 1j

    with pytest.raises(TypeError, match=r"turned: .*complex128"):
        turned(leaf([1.0]))


def test_errors_of_the_forward_name_the_operation():
    @tg.primitive("elementwise", [lambda ct: ct, lambda ct: ct])
    def plus(x, y):
        return x + y

    with pytest.raises(ValueError, match=r"plus: shapes \(2,\) and \(3,\) don't broadcast"):
        plus(leaf([1.0, 2.0]), np.ones(3))


# ---------------------------------------------------------------------------------------------------------------- modes


def recorded():
    return (leaf(1.0) * 2).requires_grad


def test_no_grad_and_enable_grad_nest():
    x = leaf(1.0)
    with tg.no_grad():
        assert not recorded()
        with tg.enable_grad():
            assert recorded()
            with tg.no_grad():
                assert not recorded()
            assert recorded()
        assert not recorded()
        assert (x * 2).is_leaf
        assert leaf(1.0).requires_grad
    assert recorded()


def test_modes_are_restored_after_an_exception():
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert recorded()
    with pytest.raises(KeyError), tg.default_dtype(np.float32):
        raise KeyError
    assert tg.get_default_dtype() == np.float64


def test_one_mode_object_can_be_entered_twice():
    off = tg.no_grad()
    with off:
        with off:
            assert not recorded()
        assert not recorded()
    assert recorded()


def test_modes_as_decorators():
    @tg.no_grad()
    def off(depth):
        """Nothing recorded."""
        return (recorded(), *(off(depth - 1) if depth else on()))

    @tg.enable_grad()
    def on():
        return (recorded(),)

    assert off(2) == (False, False, False, True)
    assert off.__doc__ == "Nothing recorded."
    assert recorded()

    @tg.no_grad()
    def fails():
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert recorded()


def test_modes_belong_to_a_thread():
    entered, seen = threading.Barrier(2), {}

    def other():
        with tg.enable_grad(), tg.default_dtype(np.float32):
            entered.wait(5)
            seen["other"] = recorded(), tg.get_default_dtype()
            entered.wait(5)

    thread = threading.Thread(target=other)
    thread.start()
    with tg.no_grad():
        entered.wait(5)
        seen["here"] = recorded(), tg.get_default_dtype()
        entered.wait(5)
    thread.join()
    assert seen == {"other": (True, np.float32), "here": (False, np.float64)}


def test_a_decorated_function_can_run_in_two_threads_at_once():
    both_in, first_out, errors = threading.Barrier(2), threading.Event(), []

    @tg.no_grad()
    def body(first):
        both_in.wait(5)
        if not first:
            first_out.wait(5)

    def run(first):
        try:
            body(first)
        except ValueError as error:
            errors.append(error)
        finally:
            first_out.set()

    threads = [threading.Thread(target=run, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_modes_belong_to_a_task():
    async def task(mode, dtype, seen):
        with mode(), tg.default_dtype(dtype):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append((recorded(), tg.get_default_dtype() == dtype))

    async def main():
        off, on = [], []
        await asyncio.gather(task(tg.no_grad, np.float32, off), task(tg.enable_grad, np.float16, on))
        return off, on

    assert asyncio.run(main()) == ([(False, True)] * 3, [(True, True)] * 3)
    assert recorded()


def test_set_default_dtype_stays_in_its_context():
    def inside():
        tg.set_default_dtype(np.float32)
        return tg.tensor(1.0).dtype

    assert contextvars.copy_context().run(inside) == np.float32
    assert tg.get_default_dtype() == np.float64
    for wrong in (int, complex, str):
        with pytest.raises(TypeError, match="set_default_dtype: want a floating-point dtype, got"):
            tg.set_default_dtype(wrong)
        with pytest.raises(TypeError, match="default_dtype: want a floating-point dtype, got"), tg.default_dtype(wrong):
            pass


def test_threads_record_and_differentiate_side_by_side():
    weight, results = leaf(np.eye(4)), {}

    def run(k):
        x = leaf(np.full((4, 4), k + 1.0))
        for _ in range(50):
            x.grad = None
            y = x
            for _ in range(10):
                y = y @ weight
            (g,) = tg.autograd.grad((y * y).sum(), x)
        results[k] = g.data

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {k: float(g[0, 0]) for k, g in results.items()} == {k: 2.0 * (k + 1) for k in range(4)}
