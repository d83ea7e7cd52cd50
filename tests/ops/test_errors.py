"""Every message names the operation, the argument, what came and what was wanted."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.nn import functional

x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
v = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
s = tg.tensor(1.0, requires_grad=True)
c = tg.tensor([1.0, 2.0])


def of(*shape):
    return tg.tensor(np.zeros(shape), requires_grad=True)


CASES = {
    # Shapes that don't fit each other.
    "add": (lambda: x + of(2), ValueError, "add: shapes (2, 3) and (2,) don't broadcast"),
    "subtract": (lambda: x - of(4, 3), ValueError, "subtract: shapes (2, 3) and (4, 3) don't broadcast"),
    "multiply": (lambda: of(2) * x, ValueError, "multiply: shapes (2,) and (2, 3) don't broadcast"),
    "divide": (lambda: x / np.ones(2), ValueError, "divide: shapes (2, 3) and (2,) don't broadcast"),
    "power": (lambda: x ** of(2), ValueError, "power: shapes (2, 3) and (2,) don't broadcast"),
    "maximum": (lambda: tg.maximum(x, of(2)), ValueError, "maximum: shapes (2, 3) and (2,) don't broadcast"),
    "where": (
        lambda: tg.where(np.ones(5), x, x),
        ValueError,
        "where: shapes (5,) and (2, 3) and (2, 3) don't broadcast",
    ),
    "matmul": (lambda: of(3, 4) @ of(5, 6), ValueError, "matmul: shapes (3, 4) and (5, 6) don't align: 4 != 5"),
    "matmul, vector": (lambda: x @ of(2), ValueError, "matmul: shapes (2, 3) and (2,) don't align: 3 != 2"),
    "matmul, scalar": (
        lambda: x @ s,
        ValueError,
        "matmul: shapes (2, 3) and (): both arguments need at least one axis",
    ),
    "matmul, stacks": (
        lambda: of(2, 3, 4) @ of(3, 4, 5),
        ValueError,
        "matmul: shapes (2, 3, 4) and (3, 4, 5): the leading axes (2,) and (3,) don't broadcast",
    ),
    "inner": (lambda: tg.inner(x, of(4, 2)), ValueError, "inner: shapes (2, 3) and (4, 2) don't align: 3 != 2"),
    "inner, scalar": (lambda: tg.inner(x, 2.0), ValueError, "inner: shapes (2, 3) and (): both arguments need"),
    "linear": (lambda: functional.linear(v, of(4, 2)), ValueError, "inner: shapes (3,) and (4, 2) don't align: 3 != 2"),
    "broadcast_to": (
        lambda: tg.broadcast_to(x, (2, 4)),
        ValueError,
        "broadcast_to: shape (2, 3) doesn't broadcast to (2, 4)",
    ),
    "broadcast_to, fewer axes": (
        lambda: tg.broadcast_to(x, 3),
        ValueError,
        "broadcast_to: shape (2, 3) doesn't broadcast to (3,)",
    ),
    "reshape": (lambda: x.reshape(4, 2), ValueError, "reshape: cannot reshape array of size 6 into shape (4,2)"),
    "reshape, two unknowns": (lambda: x.reshape(-1, -1), ValueError, "reshape: can only specify one unknown dimension"),
    "concatenate": (
        lambda: tg.concatenate([x, of(2, 4), x]),
        ValueError,
        "concatenate: shapes (2, 3), (2, 4) don't agree in the axes other than axis 0",
    ),
    "concatenate, axes": (
        lambda: tg.concatenate([x, v], axis=-1),
        ValueError,
        "concatenate: shapes (2, 3), (3,) don't agree in the axes other than axis 1",
    ),
    "stack": (lambda: tg.stack([x, x, v]), ValueError, "stack: want arrays of one shape, got (2, 3), (3,)"),
    # Nothing to work on.
    "concatenate, none": (lambda: tg.concatenate([]), ValueError, "concatenate: want at least one array, got none"),
    "stack, none": (lambda: tg.stack([]), ValueError, "stack: want at least one array, got none"),
    "concatenate, scalars": (
        lambda: tg.concatenate([s, s]),
        ValueError,
        "concatenate: axis 0 is out of range for 0 axes",
    ),
    "max of nothing": (
        lambda: tg.max(of(0, 3), axis=0),
        ValueError,
        "max: there is no largest of no elements: shape (0, 3) over axis (0,)",
    ),
    # Wrong, repeated or nonsensical axes.
    **{
        f"{f.__name__}, axis": (
            lambda f=f: f(x, axis=2),
            ValueError,
            f"{f.__name__}: axis 2 is out of range for 2 axes",
        )
        for f in (tg.sum, tg.mean, tg.max, tg.logsumexp, tg.softmax, tg.log_softmax, tg.unstack)
    },
    **{
        f"{f.__name__}, axis twice": (
            lambda f=f: f(x, axis=(0, -2)),
            ValueError,
            f"{f.__name__}: axis (0, -2) names an axis twice",
        )
        for f in (tg.sum, tg.mean, tg.max, tg.logsumexp)
    },
    **{
        f"{f.__name__}, float axis": (
            lambda f=f: f(x, axis=1.0),
            TypeError,
            f"{f.__name__}: an axis must be an integer, got 1.0",
        )
        for f in (tg.sum, tg.mean, tg.max, tg.logsumexp, tg.softmax, tg.unstack, tg.expand_dims, tg.squeeze)
    },
    "sum, axes of text": (lambda: tg.sum(x, axis="01"), TypeError, "sum: an axis must be an integer, got '01'"),
    "stack, axis": (lambda: tg.stack([x, x], axis=3), ValueError, "stack: axis 3 is out of range for 3 axes"),
    "stack, float axis": (lambda: tg.stack([x], axis=0.5), TypeError, "stack: an axis must be an integer, got 0.5"),
    "concatenate, axis": (lambda: tg.concatenate([x], axis=-3), ValueError, "concatenate: axis -3 is out of range"),
    "swapaxes": (lambda: x.swapaxes(0, 2), ValueError, "swapaxes: axis 2 is out of range for 2 axes"),
    "swapaxes of an array": (lambda: tg.swapaxes(x.data, 0, 2), ValueError, "swapaxes: axis 2 is out of range"),
    "swapaxes, float": (lambda: x.swapaxes(0, 1.0), TypeError, "swapaxes: an axis must be an integer, got 1.0"),
    "transpose, repeated": (
        lambda: x.transpose(0, 0),
        ValueError,
        "transpose: axes (0, 0) are not a permutation of the 2 axes of x",
    ),
    "transpose, too few": (
        lambda: x.transpose((0,)),
        ValueError,
        "transpose: axes (0,) are not a permutation of the 2 axes of x",
    ),
    "transpose, range": (lambda: x.transpose(0, 2), ValueError, "transpose: axis 2 is out of range for 2 axes"),
    "transpose, float": (
        lambda: tg.transpose(x, (0.0, 1.0)),
        TypeError,
        "transpose: an axis must be an integer, got 0.0",
    ),
    "expand_dims": (lambda: tg.expand_dims(x, 3), ValueError, "expand_dims: axis 3 is out of range for 3 axes"),
    "expand_dims, twice": (
        lambda: tg.expand_dims(x, (0, -4)),
        ValueError,
        "expand_dims: axis (0, -4) names an axis twice",
    ),
    "squeeze": (lambda: x.squeeze(0), ValueError, "squeeze: axis 0 of a tensor of shape (2, 3) is not of length 1"),
    "squeeze, range": (lambda: x.squeeze(2), ValueError, "squeeze: axis 2 is out of range for 2 axes"),
    "squeeze, twice": (lambda: of(1, 2).squeeze((0, 0)), ValueError, "squeeze: axis (0, 0) names an axis twice"),
    "unstack, scalar": (lambda: tg.unstack(s), ValueError, "unstack: axis 0 is out of range for 0 axes"),
    # Shapes that are no shapes.
    "reshape, float": (
        lambda: tg.reshape(x, (2.0, 3)),
        TypeError,
        "reshape: shape must be an integer or a sequence of integers, got (2.0, 3)",
    ),
    "broadcast_to, float": (
        lambda: tg.broadcast_to(s, 2.5),
        TypeError,
        "broadcast_to: shape must be an integer or a sequence of integers, got 2.5",
    ),
    # Indices.
    "getitem, range": (lambda: x[2], IndexError, "getitem: index 2 is out of bounds for axis 0 with size 2"),
    "getitem, array": (lambda: x[[0, 9]], IndexError, "take: index 9 is out of bounds for axis 0 with size 2"),
    "getitem, too many": (lambda: x[0, 0, 0], IndexError, "getitem: too many indices"),
    "getitem, float": (lambda: x[1.0], IndexError, "getitem: an index must be integers, slices"),
    "getitem, floats": (lambda: x[np.array([0.0])], IndexError, "arrays of integers or booleans, got dtype float64"),
    "getitem, tensor of floats": (
        lambda: x[tg.tensor([0.0])],
        IndexError,
        "arrays of integers or booleans, got dtype float64",
    ),
    "getitem, text": (lambda: x["a"], IndexError, "getitem: an index must be integers"),
    "getitem, mask": (lambda: x[np.array([True, False, True])], IndexError, "getitem: boolean index did not match"),
    "getitem, arrays": (lambda: x[[0, 1], [0, 1, 2]], IndexError, "getitem: shape mismatch"),
    # Labels.
    "labels, range": (
        lambda: functional.cross_entropy(x, [0, 3]),
        ValueError,
        "cross_entropy: labels must lie in 0 … 2, got 0 … 3",
    ),
    "labels, negative": (
        lambda: functional.cross_entropy(x, [-1, 0]),
        ValueError,
        "cross_entropy: labels must lie in 0 … 2, got -1 … 0",
    ),
    "labels, floats": (
        lambda: functional.cross_entropy(x, [0.0, 1.0]),
        TypeError,
        "cross_entropy: labels must be integers, got dtype float64",
    ),
    "labels, shape": (
        lambda: functional.cross_entropy(x, [0, 1, 2]),
        ValueError,
        "cross_entropy: logits of shape (2, 3) with classes on axis 1 want labels of shape (2,), got (3,)",
    ),
    "labels, axis": (
        lambda: functional.cross_entropy(x, [0, 1], axis=2),
        ValueError,
        "cross_entropy: axis 2 is out of range for 2 axes",
    ),
    "reduction": (
        lambda: functional.cross_entropy(x, [0, 1], reduction="average"),
        ValueError,
        "cross_entropy: reduction must be 'mean', 'sum' or 'none', got 'average'",
    ),
    # Things that are no arrays, and gradients that are none.
    "add, None": (lambda: x + None, TypeError, "add: argument 2 must be real numbers, got None"),
    "tanh, text": (lambda: tg.tanh("a"), TypeError, "tanh: argument 1 must be real numbers, got 'a'"),
    "stack, None": (lambda: tg.stack([c, None]), TypeError, "stack: argument 2 must be real numbers, got None"),
    "stack, text": (lambda: tg.stack([c, "a"]), TypeError, "stack: argument 2 must be real numbers, got 'a'"),
    "stack, None in a list": (
        lambda: tg.stack([c, [1, None]]),
        TypeError,
        "stack: argument 2 must be real numbers, got [1",
    ),
    "stack, ragged": (
        lambda: tg.stack([c, [[1], []]]),
        ValueError,
        "stack: argument 2 must be a regular array of numb",
    ),
    "where, None": (lambda: tg.where(True, c, None), TypeError, "where: argument 3 must be real numbers, got None"),
    "where, objects": (
        lambda: tg.where(True, c, np.array([1, None])),
        TypeError,
        "where: argument 3 must be real numbers, got dtype object",
    ),
    "stack, array of text": (
        lambda: tg.stack([c, np.array(["a", "b"])]),
        TypeError,
        "stack: argument 2 must be real numb",
    ),
    "add, array of complex numbers": (
        lambda: c + np.array([1j, 1]),
        TypeError,
        "add: argument 2 must be real numbers, got dtype complex128",
    ),
    "stack, None, for many examples": (
        lambda: tg.vmap(lambda v: tg.stack([v, None]))(c),
        TypeError,
        "stack: argument 2 must be real numbers, got None",
    ),
    "stack, objects, for many examples": (
        lambda: tg.vmap(lambda v: tg.stack([v, np.array(None)]))(c),
        TypeError,
        "stack: argument 2 must be real numbers, got dtype object",
    ),
    "where, by condition": (
        lambda: tg.where(x, x, x),
        TypeError,
        "where: there is no derivative by argument 'condition'",
    ),
    "astype, integers": (
        lambda: x.astype(int),
        TypeError,
        "astype: only real floating-point results have a gradient, got dtype int64",
    ),
    "complex": (
        lambda: x * 1j,
        TypeError,
        "multiply: argument 2 must be real numbers, got 1j",
    ),
    "complex array": (
        lambda: x * np.array(1j),
        TypeError,
        "multiply: only real floating-point results have a gradient, got dtype complex",
    ),
    # Tensors as Python objects.
    "item": (lambda: x.item(), ValueError, "item: only a tensor of one element has an item, this one has shape (2, 3)"),
    "float": (
        lambda: float(x),
        ValueError,
        "float: only a tensor of one element is a number, this one has shape (2, 3)",
    ),
    "bool": (lambda: bool(x), ValueError, "truth value"),
    "len": (lambda: len(s), TypeError, "len() of a tensor of shape ()"),
    "iter": (lambda: iter(s), TypeError, "iteration over a tensor of shape ()"),
    "setitem": (lambda: x.__setitem__(0, 1.0), TypeError, "can't be assigned to in place"),
    "np.asarray": (
        lambda: np.asarray(x),
        TypeError,
        "np.asarray: this tensor needs a gradient, which an array would drop",
    ),
    # Making tensors.
    "tensor, text": (lambda: tg.tensor(["a"]), TypeError, "tensor: want real numbers, got dtype <U1"),
    "tensor, complex": (lambda: tg.tensor(1j), TypeError, "tensor: want real numbers, got dtype complex128"),
    "tensor, ragged": (
        lambda: tg.tensor([[1], [2, 3]]),
        ValueError,
        "tensor: the data is not a regular array of numbers",
    ),
    "tensor, dtype": (
        lambda: tg.tensor(1.0, dtype=complex),
        TypeError,
        "tensor: want a real number type, got dtype complex",
    ),
    "tensor, recorded": (
        lambda: tg.tensor(x),
        TypeError,
        "tensor: this tensor needs a gradient, which a new leaf would drop",
    ),
    "tensor, integers": (
        lambda: tg.tensor([1, 2], requires_grad=True),
        TypeError,
        "tensor: requires_grad=True wants a floating-point tensor, got dtype int64",
    ),
    "asarray, integers": (
        lambda: tg.asarray(np.array([1]), requires_grad=True),
        TypeError,
        "asarray: requires_grad=True wants a floating-point tensor, got dtype int64",
    ),
    "default dtype": (
        lambda: tg.set_default_dtype(int),
        TypeError,
        "set_default_dtype: want a floating-point dtype, got int64",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), CASES.values(), ids=CASES)
def test_message(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize("f", [tg.add, tg.multiply, tg.maximum, tg.matmul, tg.inner])
def test_arrays_get_the_same_messages(f):
    with pytest.raises(ValueError, match=re.escape(f"{f.__name__}: shapes (2, 3) and (2,)")):
        f(np.ones((2, 3)), np.ones(2))


def test_a_dual_cannot_lose_its_tangent_by_becoming_an_array():
    for lose in (np.asarray, tg.tensor):
        with pytest.raises(TypeError, match="this tensor needs a gradient, which"):
            tg.jvp(lambda z, lose=lose: tg.asarray(lose(z)) * z, (2.0,), (1.0,))


def test_where_by_its_condition_in_forward_mode():
    with pytest.raises(TypeError, match="where: there is no derivative by argument 'condition'"):
        tg.jvp(lambda z: tg.where(z, 1.0, 2.0), (1.0,), (1.0,))


def test_integers_have_no_tangent():
    with pytest.raises(TypeError, match="astype: only real floating-point results have a gradient, got dtype int64"):
        tg.jvp(lambda z: (z * 1.5).astype(int), (1.0,), (1.0,))


def test_nothing_is_recorded_by_a_call_that_fails():
    with pytest.raises(ValueError, match="add"):
        x + of(2)
    y = (x * 2).sum()
    y.backward()
    assert np.all(x.grad == 2)
    x.grad = None


def test_getitem_is_named_after_its_operator():
    assert ops.getitem.__name__ == "getitem"
    with pytest.raises(IndexError, match=r"^getitem: "):
        ops.getitem(np.zeros(2), 5)
