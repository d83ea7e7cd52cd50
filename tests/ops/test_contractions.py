"""einsum's sentences: what they cost, what they mean, and what is said of those that don't fit."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg

rng = np.random.default_rng(8)
weight = rng.normal(size=(3, 3))


def ops(y):
    """The operations of a graph, leaves aside, in order."""
    return [node.op for node in tg.graph(y).nodes if node.op]


def leaf(*shape):
    return tg.tensor(rng.normal(size=shape), requires_grad=True)


LOWERED = {
    "ij,jk->ik": (((2, 3), (3, 4)), ["matmul"]),
    "bi,oi->bo": (((2, 3), (4, 3)), ["inner"]),
    "bij,bjk->bik": (((2, 3, 4), (2, 4, 5)), ["matmul"]),
    "i,ij->ij": (((2,), (2, 3)), ["reshape", "multiply"]),
    "ij->ji": (((2, 3),), ["transpose"]),
    "ij->i": (((2, 3),), ["sum"]),
    "ij,jk->ki": (((2, 3), (3, 4)), ["matmul", "transpose"]),
}


@pytest.mark.parametrize("subscripts", LOWERED)
def test_a_pair_is_one_product(subscripts):
    """And no operation more than it takes, so that a weight is what the pool of its uses sees."""
    shapes, want = LOWERED[subscripts]
    assert ops(tg.einsum(subscripts, *[leaf(*s) for s in shapes])) == want


def test_three_operands_make_two_products():
    xs = [leaf(2, 3), leaf(3, 4), leaf(4, 5)]
    assert ops(tg.einsum("ij,jk,kl->il", *xs)) == ["matmul", "matmul"]


def test_optimize_chooses_the_order():
    """(A B) v takes a product of matrices, A (B v) two of a matrix and a vector."""
    xs = [leaf(6, 6), leaf(6, 6), leaf(6)]
    sizes = {}
    for optimize in (False, True, "greedy", "optimal", ["einsum_path", (1, 2), (0, 1)]):
        y = tg.einsum("ij,jk,k->i", *xs, optimize=optimize)
        sizes[str(optimize)] = max(int(np.prod(node.shape)) for node in tg.graph(y).nodes if node.op)
        assert_allclose(y.data, xs[0].data @ xs[1].data @ xs[2].data, rtol=1e-13)
    assert sizes.pop("False") == 36
    assert set(sizes.values()) == {6}


@pytest.mark.parametrize("step", [lambda h, W: tg.einsum("bi,oi->bo", h, W), lambda h, W: tg.einsum("oi,bi->bo", W, h)])
def test_a_weight_used_at_every_step_is_pooled(step, monkeypatch):
    """Its gradient is one product of all steps' rows: no transpose or reshape of W stands between."""
    pooled = []
    join = tg.concatenate
    monkeypatch.setattr("tinygrad_rnn.ops.products.concatenate", lambda xs, *a: pooled.append(len(xs)) or join(xs, *a))

    def gradient(step):
        W = tg.tensor(weight, requires_grad=True)
        h = tg.tensor(np.ones((2, 3)))
        for _ in range(4):
            h = tg.tanh(step(h, W))
        h.sum().backward()
        return W.grad

    got = gradient(step)
    assert pooled == [4, 4]  # the cotangents of all steps, and their inputs
    assert_allclose(got, gradient(lambda h, W: h @ W.T), rtol=1e-13)


def test_implicit_results_are_in_alphabetical_order():
    x = rng.normal(size=(2, 3))
    assert_array_equal(tg.einsum("ba", x), x.T)
    assert_array_equal(tg.einsum("aB", x), x.T)  # capitals come first, as in NumPy
    assert tg.einsum("z...a", np.zeros((2, 3, 4))).shape == (3, 4, 2)


def test_what_numpy_takes_as_an_operand():
    assert tg.einsum("i,i", [1, 2], [3, 4]) == 11
    assert type(tg.einsum("i->i", [1.0, 2.0])) is np.ndarray
    assert type(tg.einsum("i,i", leaf(2), [3, 4])) is tg.Tensor


def test_the_trace_of_a_product():
    """∂ tr(A B)/∂A = Bᵀ."""
    A, B = leaf(2, 3), leaf(3, 2)
    tg.einsum("ij,ji", A, B).backward()
    assert_allclose(A.grad, B.data.T, rtol=1e-15)


def of(*shape):
    return tg.tensor(np.zeros(shape), requires_grad=True)


ERRORS = {
    "length": (
        lambda: tg.einsum("ij,jk", of(2, 3), of(4, 2)),
        ValueError,
        "einsum: 'ij,jk': 'j' has length 3 in operand 0 of shape (2, 3), but 4 in operand 1 of shape (4, 2)",
    ),
    "length, third": (
        lambda: tg.einsum("i,i,i", of(1), of(3), of(2)),
        ValueError,
        "einsum: 'i,i,i': 'i' has length 3 in operand 1 of shape (3,), but 2 in operand 2 of shape (2,)",
    ),
    "diagonal": (
        lambda: tg.einsum("ii", of(1, 3)),
        ValueError,
        "einsum: 'ii': 'i' has length 1 in operand 0 of shape (1, 3), but 3 in operand 0 of shape (1, 3)",
    ),
    "ellipsis": (
        lambda: tg.einsum("...a,...", of(2, 3), of(3)),
        ValueError,
        "einsum: '...a,...': an axis of '...' has length 2 in operand 0 of shape (2, 3), "
        "but 3 in operand 1 of shape (3,)",
    ),
    "few": (
        lambda: tg.einsum("i->i", of(2, 3)),
        ValueError,
        "einsum: 'i->i': 'i' has too few letters for operand 0 of shape (2, 3)",
    ),
    "many": (
        lambda: tg.einsum("ij...,k", of(2), of(3)),
        ValueError,
        "einsum: 'ij...,k': 'ij...' has too many letters for operand 0 of shape (2,)",
    ),
    "operands": (
        lambda: tg.einsum("i,j", of(2)),
        ValueError,
        "einsum: 'i,j': the number of operands must be 2, got 1",
    ),
    "no operands": (lambda: tg.einsum("i"), ValueError, "einsum: 'i': the number of operands must be 1, got 0"),
    "twice": (lambda: tg.einsum("i->ii", of(2)), ValueError, "einsum: 'i->ii': the result has 'i' more than once"),
    "unknown": (
        lambda: tg.einsum("ij->k", of(2, 3)),
        ValueError,
        "einsum: 'ij->k': the result's 'k' is not an axis of any operand",
    ),
    "ellipsis lost": (
        lambda: tg.einsum("...i->i", of(2, 3)),
        ValueError,
        "einsum: '...i->i': the result 'i' must have a '...' for the axes that the operands' stand for",
    ),
    **{
        f"character {bad!r}": (
            lambda bad=bad: tg.einsum(bad, of(2)),
            ValueError,
            f"einsum: {bad!r}: {bad!r} is not of letters and at most one '...'",
        )
        for bad in ("i_", "1", "..i", "ä", "......")
    },
    "two arrows": (
        lambda: tg.einsum("i->i->i", of(2)),
        ValueError,
        "einsum: 'i->i->i': 'i->i' is not of letters and at most one '...'",
    ),
    "lists of axes": (
        lambda: tg.einsum(of(2), [0], [0]),
        TypeError,
        "einsum: the subscripts must be a string such as 'ij,jk->ik', got Tensor; NumPy's other form",
    ),
    **{
        f"optimize {bad!r}": (
            lambda bad=bad: tg.einsum("i,i,i", of(2), of(2), of(2), optimize=bad),
            ValueError,
            "einsum: 'i,i,i': optimize must be False, True, 'greedy', 'optimal' or a path from np.einsum_path, got "
            + repr(bad),
        )
        for bad in ("best", 1.5, ("einsum_path", (0, 7)), ("einsum_path", (0, 1)))
    },
    "tensordot": (
        lambda: tg.tensordot(of(2, 3), of(2, 3)[:, :1]),
        ValueError,
        "tensordot: shapes (2, 3) and (2, 1) don't align: axis 1 of x has length 3, axis 1 of y 1",
    ),
    "tensordot, too many": (
        lambda: tg.tensordot(of(2, 3), of(2), 2),
        ValueError,
        "tensordot: shapes (2, 3) and (2,) don't have 2 axes each to sum over",
    ),
    "tensordot, negative": (
        lambda: tg.tensordot(of(2, 3), of(2), -1),
        ValueError,
        "tensordot: shapes (2, 3) and (2,) don't have -1 axes each to sum over",
    ),
    "tensordot, unequal": (
        lambda: tg.tensordot(of(2, 3), of(2, 3), (0, (0, 1))),
        ValueError,
        "tensordot: axes (0, (0, 1)) name 1 axes of x, but 2 of y",
    ),
    "tensordot, range": (
        lambda: tg.tensordot(of(2, 3), of(2, 3), (0, 2)),
        ValueError,
        "tensordot: axis 2 is out of range for 2 axes",
    ),
    "tensordot, twice": (
        lambda: tg.tensordot(of(2, 2), of(2, 2), ((0, 0), (0, 1))),
        ValueError,
        "tensordot: axis (0, 0) names an axis twice",
    ),
    "tensordot, float": (
        lambda: tg.tensordot(of(2), of(2), 1.0),
        TypeError,
        "tensordot: axes must be a number or a pair (x's axes, y's axes), got 1.0",
    ),
    "tensordot, three": (
        lambda: tg.tensordot(of(2), of(2), (0, 0, 0)),
        ValueError,
        "tensordot: axes must be a number or a pair (x's axes, y's axes), got (0, 0, 0)",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_message(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
