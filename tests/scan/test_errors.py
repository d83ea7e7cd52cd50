"""Bad input to `scan` is refused with a message that says what and where; unusual but good input is not."""

import itertools
import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn

from .runs import assert_close

has_program = pytest.mark.skipif(not hasattr(tg, "scan_program"), reason="checkpoint is not looked at yet")
compiled_and_unrolled = pytest.mark.parametrize("unroll", [False, True], ids=["compiled", "unrolled"])


def leaf(values, dtype=None):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def refused(kind, *parts):
    """An error whose message has these parts, in this order."""
    return pytest.raises(kind, match="(?s)" + ".*".join(map(re.escape, parts)))


def keeps(h, x):
    return h, h


# ----------------------------------------------------------------------------------------------------------- the carry


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("cell", "carry", "place", "old", "new"),
    [
        (lambda h, x: (h[:1], None), np.ones(3), "carry", "(3,)", "(1,)"),
        (lambda h, x: (h.sum(), None), np.ones(3), "carry", "(3,)", "()"),
        (lambda h, x: (h + x, None), np.ones(()), "carry", "()", "(2,)"),
        (lambda h, x: (h[None], None), np.ones(3), "carry", "(3,)", "(1, 3)"),
        (lambda c, x: ((c[0], c[1] + x), None), (np.ones(2), np.ones((1, 2))[:, :1]), "carry[1]", "(1, 1)", "(1, 2)"),
        (lambda c, x: ({"h": c["h"], "c": (c["c"][0] @ x,)}, None), {"h": np.ones(2), "c": (np.ones((3, 2)),)},
         "carry['c'][0]", "(3, 2)", "(3,)"),
    ],
    ids=["cut", "summed", "broadcast", "longer", "in a tuple", "in a dictionary"],
)  # fmt: skip
def test_a_carry_whose_shape_changes(cell, carry, place, old, new, unroll):
    with refused(ValueError, "scan: ", place, "shape", old, new):
        tg.scan(cell, carry, np.ones((3, 2)), unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("cell", "carry", "place", "old", "new"),
    [
        (lambda h, x: (h.astype(np.float32), None), np.ones(2), "carry", "float64", "float32"),
        (lambda h, x: (h + x, None), np.ones(2, np.float32), "carry", "float32", "float64"),
        (lambda h, x: (h / 2, None), np.arange(2), "carry", "int64", "float64"),
        (lambda c, x: ({"n": c["n"] + x, "h": c["h"]}, None), {"h": np.ones(2), "n": np.arange(2)},
         "carry['n']", "int64", "float64"),
    ],
    ids=["narrower", "wider", "from whole numbers", "in a dictionary"],
)  # fmt: skip
def test_a_carry_whose_dtype_changes(cell, carry, place, old, new, unroll):
    with refused(TypeError, "scan: ", place, "dtype", old, new):
        tg.scan(cell, carry, np.ones((3, 2)), unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("cell", "carry", "parts"),
    [
        (lambda h, x: (h[0], None), (np.ones(2),), ["tuple of 1"]),
        (lambda c, x: ((*c, x), None), (np.ones(2), np.ones(2)), ["tuple of 2", "tuple of 3"]),
        (lambda c, x: (list(c), None), (np.ones(2), np.ones(2)), ["tuple", "list"]),
        (lambda c, x: ({"h": c["h"], "C": c["c"]}, None), {"h": np.ones(2), "c": np.ones(2)}, ["'h', 'c'", "'h', 'C'"]),
        (lambda c, x: ({"h": c["h"]}, None), {"h": np.ones(2), "c": np.ones(2)}, ["'h', 'c'", "'h'"]),
        (lambda c, x: ((c[0], {"in": (c[0],)}), None), (np.ones(2), {"in": [np.ones(2)]}), ["list", "tuple", "['in']"]),
        (lambda c, x: ((c[0], c[0]), None), (np.ones(2), None), ["None", "tensor", "[1]"]),
    ],
    ids=["out of its tuple", "more", "list", "key", "fewer", "deep", "out of nothing"],
)
def test_a_carry_whose_nesting_changes(cell, carry, parts, unroll):
    with pytest.raises((TypeError, ValueError), match=r"scan: .*carr") as caught:
        tg.scan(cell, carry, np.ones((3, 2)), unroll=unroll)
    for part in parts:
        assert part in str(caught.value)


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("cell", "carry", "parts"),
    [
        (lambda h, x: ((h, h), None), np.ones(2), ["carry", "tuple of 2"]),
        (lambda h, x: ((h[0], h[1]), None), np.ones(2), ["carry", "tuple of 2"]),
        (lambda h, x: ([h[0], h[1]], None), np.ones(2), ["carry", "list of 2"]),
        (lambda h, x: (None, h), np.ones(2), ["carry", "None"]),
        (lambda c, x: ((c[0], None), None), (np.ones(2), np.ones(2)), ["[1]", "None"]),
        (lambda c, x: ({"h": {"h": c["h"]}}, None), {"h": np.ones(2)}, ["['h']", "dict of 'h'"]),
    ],
    ids=["pair", "pair of halves", "list of halves", "None", "None inside", "dictionary"],
)
def test_a_carry_of_which_an_array_becomes_a_nesting(cell, carry, parts, unroll):
    with pytest.raises((TypeError, ValueError), match=r"scan: .*carr") as caught:
        tg.scan(cell, carry, np.ones((3, 2)), unroll=unroll)
    for part in parts:
        assert part in str(caught.value)


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("cell", "carry", "told"),
    [
        (
            lambda c, x: ([*c], None),
            nn.LSTMState(1.0, 1.0),
            "carry is a LSTMState of 2, but the cell returned a list of 2",
        ),
        (lambda c, x: ((c[0], None), None), (1.0, 1.0), "carry[1] is a tensor, but the cell returned None"),
        (lambda c, x: ((c[0], c[0]), None), (1.0, None), "carry[1] is None, but the cell returned a tensor"),
    ],
)
def test_a_carry_whose_nesting_changes_is_told_from_what_it_was(cell, carry, told, unroll):
    message = f"scan: the cell must return a carry that is nested like the one it gets: {told}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        tg.scan(cell, carry, np.ones(3), unroll=unroll)


@compiled_and_unrolled
def test_a_carry_that_changes_at_a_later_step(unroll):
    steps = itertools.count()

    def cell(h, x):
        return (h if next(steps) < 1 else h[:1]), None  # two steps tell whether a cell is compiled

    with refused(ValueError, "scan: carry", "(3,)", "(1,)"):
        tg.scan(cell, np.ones(3), np.ones((9, 2)), unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize(
    "carry", ["text", object(), {"h": "text"}, (np.ones(2), [len])], ids=["text", "object", "inside", "function"]
)
def test_a_carry_that_is_no_array(carry, unroll):
    with pytest.raises((TypeError, ValueError), match=r"scan: .*carry"):
        tg.scan(keeps, carry, np.ones(3), unroll=unroll)


@compiled_and_unrolled
def test_a_new_carry_or_a_y_that_is_no_array(unroll):
    with pytest.raises((TypeError, ValueError), match=r"scan: .*carry"):
        tg.scan(lambda h, x: ("text", h), np.ones(2), np.ones(3), unroll=unroll)
    with pytest.raises((TypeError, ValueError), match=r"scan: .*y\['a'\]"):
        tg.scan(lambda h, x: (h, {"a": "text"}), np.ones(2), np.ones(3), unroll=unroll)


@compiled_and_unrolled
def test_a_python_number_as_carry(unroll):
    last, _ = tg.scan(lambda h, x: (h + x, None), 1.5, np.ones(3), unroll=unroll)
    assert (last.item(), last.dtype) == (4.5, np.float64)
    with tg.default_dtype("float32"):
        last, _ = tg.scan(lambda h, x: (h * 2, None), 1.5, np.ones(3), unroll=unroll)
    assert (last.item(), last.dtype) == (12.0, np.float32)


# -------------------------------------------------------------------------------------------------------------- the xs


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("xs", "parts"),
    [
        ((np.ones((3, 2)), np.ones((4, 2))), ["xs[0]", "3", "xs[1]", "4"]),
        ({"a": np.ones(5), "b": [np.ones(5), np.ones((6, 5))]}, ["xs['b'][1]", "6"]),
        ((np.ones((0, 2)), np.ones((1, 2))), ["xs[0]", "0", "xs[1]", "1"]),
    ],
    ids=["tuple", "deep", "none and one"],
)
def test_xs_of_several_lengths(xs, parts, unroll):
    with refused(ValueError, "scan: ", *parts):
        tg.scan(keeps, 0.0, xs, unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("xs", "place"),
    [
        (1.0, "xs"),
        (np.ones(()), "xs"),
        (leaf(2.0), "xs"),
        ((np.ones(3), np.float64(1)), "xs[1]"),
        ({"a": 3}, "xs['a']"),
    ],
    ids=["number", "array", "tensor", "in a tuple", "in a dictionary"],
)
def test_scalars_as_xs(xs, place, unroll):
    with refused(ValueError, f"scan: {place}", "first axis", "scalar"):
        tg.scan(keeps, 0.0, xs, unroll=unroll)


@compiled_and_unrolled
def test_xs_that_are_no_arrays(unroll):
    with pytest.raises((TypeError, ValueError), match=r"scan: .*xs\[1\]"):
        tg.scan(keeps, 0.0, (np.ones(3), "abc"), unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize("xs", [None, (), {}, [None, {}]], ids=repr)
def test_neither_xs_nor_length(xs, unroll):
    with refused(ValueError, "scan: ", "no xs", "length"):
        tg.scan(keeps, 0.0, xs, unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("length", "kind", "part"),
    [
        (4, ValueError, " is 4, but the xs have 3 steps"),
        (0, ValueError, " is 0, but the xs have 3 steps"),
        (-1, ValueError, "-1"),
        (2.0, TypeError, "2.0"),
        ("3", TypeError, "'3'"),
        (True, TypeError, "True"),
    ],
)
def test_a_wrong_length(length, kind, part, unroll):
    with refused(kind, "scan: length", part):
        tg.scan(keeps, 0.0, np.ones(3), length=length, unroll=unroll)


@compiled_and_unrolled
def test_a_right_length(unroll):
    for length in (3, np.int64(3)):
        assert tg.scan(keeps, 0.0, np.ones(3), length=length, unroll=unroll)[1].shape == (3,)
        assert tg.scan(keeps, 0.0, None, length=length, unroll=unroll)[1].shape == (3,)


# ------------------------------------------------------------------------------------------------------------ the cell


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (lambda h, x: h, "a tensor"),
        (lambda h, x: (h,), "tuple of 1"),
        (lambda h, x: (h, h, h), "tuple of 3"),
        (lambda h, x: [h, h], "list"),
        (lambda h, x: None, "None"),
        (lambda h, x: {"carry": h, "y": h}, "dict"),
        (lambda h, x: (yield h), "generator"),
    ],
)
def test_a_cell_that_returns_no_pair(returned, got, unroll):
    with refused(TypeError, "scan: the cell must return a pair (carry, y), got", got):
        tg.scan(returned, np.ones(2), np.ones(3), unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize("cell", [None, 3, "tanh", np.ones((2, 2)), leaf([1.0])], ids=lambda c: type(c).__name__)
def test_a_cell_that_is_no_function(cell, unroll):
    with refused(TypeError, "scan: the cell must be a function", type(cell).__name__):
        tg.scan(cell, np.ones(2), np.ones(3), unroll=unroll)


@compiled_and_unrolled
def test_a_cell_of_the_wrong_number_of_arguments(unroll):
    for cell in (lambda h: (h, h), lambda h, x, y: (h, h)):
        with pytest.raises(TypeError, match="positional argument"):
            tg.scan(cell, np.ones(2), np.ones(3), unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("cell", "kind", "message"),
    [
        (lambda h, x: (h @ np.ones((5, 5)), None), ValueError, "matmul: shapes"),
        (lambda h, x: (h, h[7]), IndexError, "7"),
        (lambda h, x: (h, {}["missing"]), KeyError, "missing"),
        (lambda h, x: 1 / 0, ZeroDivisionError, "division"),
        (lambda h, x: (h.nonsense, h), AttributeError, "nonsense"),
    ],
    ids=["matmul", "index", "key", "zero", "attribute"],
)
def test_an_error_in_the_cell_is_the_cell_s_own(cell, kind, message, unroll):
    with pytest.raises(kind, match=message):
        tg.scan(cell, leaf(np.ones(2)), np.ones(3), unroll=unroll)
    last, _ = tg.scan(lambda h, x: (h + x, None), leaf(np.ones(2)), np.ones(3), unroll=unroll)
    assert_array_equal(last.data, [4, 4])
    assert str(leaf(1.0).node.scope) == ""


@compiled_and_unrolled
def test_ys_that_are_different_at_each_step(unroll):
    count = itertools.count(1)

    def cell(h, x):
        return h, h[: next(count)]

    with refused(ValueError, "scan: y must have one shape in all steps; it has (1,) in step 1 and (2,) in step 2"):
        tg.scan(cell, np.ones(5), np.ones(3), unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize(("reverse", "step"), [(False, 3), (True, 2)])
def test_a_y_that_is_sometimes_none(reverse, step, unroll):
    def cell(h, x):
        h = h + x
        return h, (None if h.item() > 2 else h)

    message = f"scan: y must be nested alike in each step; in step {step} it is None, before it was a tensor"
    with pytest.raises(TypeError, match=f"^{message}$"):
        tg.scan(cell, 0.0, np.ones(4), reverse=reverse, unroll=unroll)


@compiled_and_unrolled
@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (lambda h: None, lambda h: h, "it is a tensor, before it was None"),
        (lambda h: h, lambda h: [h], "it is a list of 1, before it was a tensor"),
        (lambda h: [h], lambda h: (h,), "it is a tuple of 1, before it was a list of 1"),
        (lambda h: {"a": h}, lambda h: {"b": h}, "it is a dict of 'b', before it was a dict of 'a'"),
        (lambda h: (h, {"a": h}), lambda h: (h, {"a": None}), "y[1]['a'] is None, before it was a tensor"),
    ],
)
def test_ys_that_are_nested_differently(first, then, told, unroll):
    steps = itertools.count()

    def cell(h, x):
        return h, (then if next(steps) else first)(h)

    with refused(TypeError, f"scan: y must be nested alike in each step; in step 2 {told}"):
        tg.scan(cell, 0.0, np.ones(9), unroll=unroll)


@pytest.mark.parametrize("name", ["reverse", "unroll"])
@pytest.mark.parametrize("flag", [4, "no", None, np.ones(2), tg.tensor([True, False])], ids=lambda f: type(f).__name__)
def test_what_is_no_flag(name, flag):
    with refused(TypeError, f"scan: {name} must be True or False, got {flag!r}"):
        tg.scan(keeps, 0.0, np.ones(3), **{name: flag})


def test_flags_of_numpy():
    xs = np.arange(3.0)
    last, _ = tg.scan(lambda h, x: (x, h), 0.0, xs, reverse=np.True_, unroll=np.False_)
    assert last.item() == 0


def test_a_backward_in_the_cell_and_one_too_many():
    def cell(h, x):
        h.sum().backward()
        return h, h

    with refused(TypeError, "backward: inside jvp, vmap or the cell of a scan there is no .grad"):
        tg.scan(cell, leaf(1.0), np.ones(9))
    last, _ = tg.scan(lambda h, x: (tg.tanh(h + x), None), leaf(1.0), np.ones(9))
    last.backward()
    with pytest.raises(RuntimeError, match=r"an earlier backward went through scan '9 steps' \(node \d+\) and freed"):
        last.backward()


@has_program
@compiled_and_unrolled
@pytest.mark.parametrize("checkpoint", [0, -1, 1.5, 2.0, True, "half", "SQRT", [2]], ids=repr)
def test_a_wrong_checkpoint(checkpoint, unroll):
    kind = ValueError if isinstance(checkpoint, (int, str)) and checkpoint is not True else TypeError
    with refused(kind, "scan: checkpoint", repr(checkpoint)):
        tg.scan(keeps, 0.0, np.ones(3), checkpoint=checkpoint, unroll=unroll)


# ------------------------------------------------------------------------------------------------ unusual, but not bad


def elman(W, U):
    return lambda h, x: (lambda h: (h, h))(tg.tanh(x @ W + h @ U))


def grads(h, xs, **options):
    rng = np.random.default_rng(0)
    W, U = leaf(rng.uniform(-1, 1, (3, 4))), leaf(rng.uniform(-1, 1, (4, 4)))
    last, ys = tg.scan(elman(W, U), h, xs, **options)
    loss = (last**3).sum() + (ys * ys).sum()
    loss.backward()
    return last.data, ys.data, [t.grad for t in (W, U, h, xs) if isinstance(t, tg.Tensor)]


def test_a_carry_that_needs_no_gradient():
    xs = np.random.default_rng(1).uniform(-1, 1, (5, 2, 3))
    for h in (np.zeros((2, 4)), tg.zeros((2, 4)), tg.ones((2, 4)).detach()):
        assert_close(grads(h, xs), grads(h, xs, unroll=True), 1e-14)
    h = tg.zeros((2, 4))
    grads(h, xs)
    assert h.grad is None


@pytest.mark.parametrize(
    "xs",
    [
        lambda a: np.asfortranarray(a),
        lambda a: a[::-1],
        lambda a: a[:, ::-1, ::-1],
        lambda a: a.transpose(1, 0, 2),
        lambda a: a[::2],
        lambda a: np.broadcast_to(a[0], a.shape),
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: a.astype(">f8"),
    ],
    ids=["Fortran", "reversed", "mirrored", "turned", "every other", "broadcast", "strided", "big-endian"],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_xs_that_are_not_contiguous(xs, reverse):
    xs = xs(np.random.default_rng(1).uniform(-1, 1, (4, 4, 3)))
    h = np.random.default_rng(2).uniform(-1, 1, (xs.shape[1], 4))
    plain = np.ascontiguousarray(xs, dtype=float)
    want = grads(leaf(h), leaf(plain), reverse=reverse, unroll=True)
    assert_close(grads(leaf(np.asfortranarray(h)), leaf(xs, dtype=float), reverse=reverse), want, 1e-13)
    got = grads(np.asfortranarray(h), tg.asarray(xs), reverse=reverse)
    assert_close((*got[:2], got[2][:2]), (*want[:2], want[2][:2]), 1e-13)


def test_a_tensor_of_xs_that_is_a_view_on_the_tape():
    def by_the_whole(**options):
        whole = leaf(np.random.default_rng(1).uniform(-1, 1, (3, 2, 5)))
        last, ys, _ = grads(leaf(np.zeros((2, 4))), whole.transpose(2, 1, 0)[::-1], **options)
        return last, ys, whole.grad

    assert_close(by_the_whole(), by_the_whole(unroll=True), 1e-13)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["carry", "xs", "weight"])
def test_nans_and_infinities_stay_where_they_belong(value, where):
    """The same numbers are NaN, forward and backward; those of other examples and earlier steps are not."""
    W = np.random.default_rng(0).uniform(-1, 1, (3, 4))
    h, xs = np.full((2, 4), 0.1), np.full((4, 2, 3), 0.2)
    {"carry": h[0], "xs": xs[2, 1], "weight": W[0]}[where][1] = value

    def both_ways(**options):
        parameter, carry, inputs = leaf(W), leaf(h), leaf(xs)
        with np.errstate(all="ignore"):
            last, ys = tg.scan(lambda h, x: (lambda h: (h, h))(tg.tanh(x @ parameter) * h), carry, inputs, **options)
            ((last * 2).sum() + ys.sum()).backward()
        return [a for t in (last, ys) for a in (t.data,)] + [t.grad for t in (parameter, carry, inputs)]

    for got, want in zip(both_ways(), both_ways(unroll=True), strict=True):
        assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=1e-13)


def test_an_empty_batch():
    xs, h = np.zeros((4, 0, 3)), np.zeros((0, 4))
    last, ys, found = grads(leaf(h), leaf(xs))
    assert (last.shape, ys.shape) == ((0, 4), (4, 0, 4))
    assert not any(np.any(g) for g in found)


@compiled_and_unrolled
def test_a_sequence_without_steps(unroll):
    """The carry comes back, ys are empty, and no parameter gets a gradient but zero."""
    W, U, h = leaf(np.ones((3, 4))), leaf(np.ones((4, 4))), leaf(np.full((2, 4), 0.5))
    xs = leaf(np.zeros((0, 2, 3)))
    last, ys = tg.scan(elman(W, U), h, xs, unroll=unroll)
    assert_array_equal(last.data, h.data)
    assert (ys.shape, ys.dtype) == ((0, 2, 4), np.float64)
    (last.sum() + ys.sum()).backward()
    assert_array_equal(h.grad, np.ones((2, 4)))
    assert not any(t.grad is not None and np.any(t.grad) for t in (W, U, xs))


def test_inputs_are_left_as_they_are():
    rng = np.random.default_rng(3)
    arrays = [rng.uniform(-1, 1, shape) for shape in ((3, 4), (4, 4), (2, 4), (5, 2, 3))]
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    W, U = (tg.asarray(a, requires_grad=True) for a in arrays[:2])
    last, ys = tg.scan(elman(W, U), arrays[2], arrays[3])
    (last.sum() + ys.sum()).backward()
    for a, copy in zip(arrays, copies, strict=True):
        assert_array_equal(a, copy)
