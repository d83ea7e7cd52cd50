"""Shapes: what the table doesn't say: values from textbooks, cost, and messages."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg

x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
s = tg.tensor(1.0, requires_grad=True)


def gradient(f, a):
    """Of the sum of f, each number weighed by its place."""
    t = tg.tensor(a, requires_grad=True)
    y = f(t)
    y.backward(np.arange(1.0, y.size + 1).reshape(y.shape))
    return t.grad


def test_copies_add_up():
    assert_array_equal(gradient(lambda x: tg.tile(x, 2), np.zeros(2)), [1 + 3, 2 + 4])
    assert_array_equal(gradient(lambda x: tg.repeat(x, 2), np.zeros(2)), [1 + 2, 3 + 4])
    assert_array_equal(gradient(lambda x: tg.repeat(x, [3, 0]), np.zeros(2)), [1 + 2 + 3, 0])
    assert_array_equal(gradient(lambda x: tg.broadcast_to(x, (2, 2)), np.zeros(2)), [1 + 3, 2 + 4])
    assert_array_equal(gradient(lambda x: tg.pad(x, 1, "wrap"), np.zeros(2)), [2 + 4, 1 + 3])
    assert_array_equal(gradient(lambda x: tg.pad(x, (2, 0), "edge"), np.zeros(2)), [1 + 2 + 3, 4])


def test_what_is_around_has_no_gradient():
    assert_array_equal(gradient(lambda x: tg.pad(x, (2, 1)), np.zeros(2)), [3, 4])
    assert_array_equal(tg.pad(x, 1, constant_values=np.inf).data[1:-1, 1:-1], x.data)


def test_pad_keeps_integers():
    padded = tg.pad(np.array([1, 2]), 1, constant_values=1.9)
    assert padded.dtype == int
    assert_array_equal(padded, np.pad(np.array([1, 2]), 1, constant_values=1.9))


def test_the_parts_are_a_list():
    assert [type(parts) for parts in (tg.split(x, 3, 1), tg.array_split(x, 2, 1))] == [list, list]
    assert [p.shape for p in tg.array_split(x, 2, 1)] == [(2, 2), (2, 1)]
    assert all(type(p) is np.ndarray for p in tg.split(x.data, 2))


@pytest.mark.parametrize("cut", [lambda x: tg.split(x, 50), tg.unstack, list], ids=["split", "unstack", "iteration"])
def test_cutting_up_costs_one_array(cut):
    """However many parts, their cotangents land in one array, once."""
    t = tg.tensor(np.ones((50, 2)), requires_grad=True)
    y = tg.concatenate([part * 2 for part in cut(t)])
    (g,) = tg.autograd.grad((y * y).sum(), [t], create_graph=True)
    assert [node.op for node in tg.graph(g).nodes].count("scatter") == 1


def test_the_parts_of_a_tensor_may_be_given_as_one():
    assert_array_equal(tg.concatenate(x).data, np.concatenate(x.data))
    assert_array_equal(tg.stack(x, 1).data, np.stack(x.data, 1))


def test_joined_types_are_numpys():
    half, double, integer = np.ones(2, np.float16), np.ones(2), np.ones(2, int)
    for join in (tg.concatenate, tg.stack):
        assert join([tg.tensor(half), half]).dtype == np.float16
        assert join([tg.tensor(half), double]).dtype == np.float64
        assert join([tg.tensor(integer), integer]).dtype == int
    t = tg.tensor(half, requires_grad=True)
    tg.concatenate([t, integer, double], axis=None).sum().backward()
    assert t.grad.dtype == np.float16


def test_methods():
    a = x.data
    for got, want in [
        (x.ravel(), a.ravel()),
        (x.flatten(), a.flatten()),
        (x.mT, a.mT),
        (x.repeat(2, 1), a.repeat(2, 1)),
        (x.take([1, 1], 1), a.take([1, 1], 1)),
        (x.take([0, -7], mode="wrap"), a.take([0, -7], mode="wrap")),
        (x.reshape(-1, 2), a.reshape(-1, 2)),
    ]:
        assert type(got) is tg.Tensor
        assert_array_equal(got.data, want)


def test_flatten_copies_and_views_dont():
    plain = tg.tensor(np.zeros((2, 3)))
    assert not np.shares_memory(plain.flatten().data, plain.data)
    for view in (plain.ravel(), plain.T, tg.flip(plain), tg.moveaxis(plain, 0, 1), tg.broadcast_to(plain, (2, 2, 3))):
        assert np.shares_memory(view.data, plain.data)


def test_permute_dims_is_transpose():
    assert tg.permute_dims is tg.transpose


def test_a_batch_of_none_has_its_shape():
    """An unknown length is worked out for the example, not for the batch, which may hold no number."""
    assert tg.vmap(lambda x: x.reshape(-1, 2))(np.zeros((0, 6))).shape == (0, 3, 2)


CASES = {
    "reshape, no fit": (
        lambda: x.reshape(-1, 4),
        ValueError,
        "reshape: no length for the unknown one in (-1, 4) makes shape (2, 3) fit",
    ),
    "reshape, size 0": (
        lambda: tg.reshape(np.zeros((0, 3)), (-1, 0)),
        ValueError,
        "reshape: no length for the unknown",
    ),
    "transpose, no tuple": (
        lambda: tg.transpose(x, 1),
        TypeError,
        "transpose: axes must be a tuple or list of integers, got 1",
    ),
    "moveaxis": (
        lambda: tg.moveaxis(x, (0, 1), 0),
        ValueError,
        "moveaxis: source (0, 1) and destination 0 must name as many axes",
    ),
    "moveaxis, twice": (
        lambda: tg.moveaxis(x, (0, 0), (0, 1)),
        ValueError,
        "moveaxis: axis (0, 0) names an axis twice",
    ),
    "moveaxis, range": (lambda: tg.moveaxis(x, 0, 2), ValueError, "moveaxis: axis 2 is out of range for 2 axes"),
    "matrix_transpose": (lambda: s.mT, ValueError, "matrix_transpose: want at least two axes, got shape ()"),
    "broadcast_arrays": (
        lambda: tg.broadcast_arrays(x, np.ones(2)),
        ValueError,
        "broadcast_arrays: shapes (2, 3), (2,) don't broadcast",
    ),
    "concatenate, a number": (
        lambda: tg.concatenate(5),
        TypeError,
        "concatenate: want a tuple or list of arrays, got 5",
    ),
    "concatenate, 0-d": (
        lambda: tg.concatenate(s),
        TypeError,
        "concatenate: want a tuple or list of arrays, got tensor",
    ),
    "stack, a generator": (
        lambda: tg.stack(a for a in [x]),
        TypeError,
        "stack: want a tuple or list of arrays, got <gen",
    ),
    "split, unequal": (
        lambda: tg.split(x, 2, 1),
        ValueError,
        "split: axis 1 of length 3 can't be cut into 2 equal parts",
    ),
    "split, none": (lambda: tg.split(x, 0), ValueError, "split: want at least one part, got 0"),
    "array_split, none": (lambda: tg.array_split(x, -1), ValueError, "array_split: want at least one part, got -1"),
    "split, float": (
        lambda: tg.split(x, 1.5),
        TypeError,
        "split: want a number of parts or a sequence of indices, got 1.5",
    ),
    "split, floats": (lambda: tg.split(x, [0.5]), TypeError, "split: want a number of parts or a sequence of indices"),
    "split, axis": (lambda: tg.split(x, 1, 4), ValueError, "split: axis 4 is out of range for 2 axes"),
    "flip, axis": (lambda: tg.flip(x, 2), ValueError, "flip: axis 2 is out of range for 2 axes"),
    "flip, twice": (lambda: tg.flip(x, (0, -2)), ValueError, "flip: axis (0, -2) names an axis twice"),
    "roll, float": (
        lambda: tg.roll(x, 1.5),
        TypeError,
        "roll: shift must be an integer or a sequence of integers, got 1.5",
    ),
    "roll, lengths": (
        lambda: tg.roll(x, (1, 2), (0, 1, 1)),
        ValueError,
        "roll: shift (1, 2) and axis (0, 1, 1) must be of one length",
    ),
    "roll, no axes": (lambda: tg.roll(x, 1, ()), ValueError, "roll: shift 1 and axis () must be of one length"),
    "roll, axis": (lambda: tg.roll(x, 1, 2), ValueError, "roll: axis 2 is out of range for 2 axes"),
    "tile, float": (
        lambda: tg.tile(x, 1.5),
        TypeError,
        "tile: reps must be an integer or a sequence of integers, got 1.5",
    ),
    "tile, negative": (lambda: tg.tile(x, (1, -2)), ValueError, "tile: reps must not be negative, got (1, -2)"),
    "repeat, negative": (lambda: tg.repeat(x, -1), ValueError, "repeat: repeats must not be negative, got -1"),
    "repeat, length": (
        lambda: tg.repeat(x, [1, 2], 1),
        ValueError,
        "repeat: 2 repeats don't fit axis 1 of length 3",
    ),
    "repeat, float": (
        lambda: x.repeat(1.5),
        TypeError,
        "repeat: repeats must be an integer or integers along one axis, got 1.5",
    ),
    "repeat, two axes": (
        lambda: x.repeat([[1]]),
        TypeError,
        "repeat: repeats must be an integer or integers along one",
    ),
    "pad, mode": (
        lambda: tg.pad(x, 1, "linear_ramp"),
        ValueError,
        "pad: mode must be one of 'constant', 'edge', 'reflect', 'symmetric', 'wrap', got 'linear_ramp'",
    ),
    "pad, negative": (lambda: tg.pad(x, -1), ValueError, "pad: pad_width must not be negative, got -1"),
    "pad, float": (lambda: tg.pad(x, 1.5), TypeError, "pad: pad_width must be of integers, got 1.5"),
    "pad, axes": (
        lambda: tg.pad(x, ((1, 1), (1, 1), (1, 1))),
        ValueError,
        "pad: pad_width ((1, 1), (1, 1), (1, 1)) is neither a number, a pair nor a pair for each of 2 axes",
    ),
    "pad, values": (
        lambda: tg.pad(x, 1, constant_values=[1, 2, 3]),
        ValueError,
        "pad: constant_values [1, 2, 3] is neither a number, a pair nor a pair for each of 2 axes",
    ),
    "pad, values of no use": (
        lambda: tg.pad(x, 1, "edge", constant_values=1),
        ValueError,
        "pad: constant_values are for mode 'constant', not 'edge'",
    ),
    "pad, nothing": (
        lambda: tg.pad(np.zeros((0, 2)), 1, "wrap"),
        ValueError,
        "pad: there is nothing along axis 0, of length 0, that mode 'wrap' could go on with",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), CASES.values(), ids=CASES)
def test_message(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
