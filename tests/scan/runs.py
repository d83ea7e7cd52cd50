"""One run of a loop, forward and backward, as plain arrays, to be compared with another run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.tree import leaves, map_leaves, map_places

__all__ = ["Run", "assert_close", "assert_equal", "assert_same_run", "floats", "run", "tensors", "weighted"]

ALL = ("parameters", "carry", "xs")


@dataclass(frozen=True)
class Run:
    """What a loop gave, and the gradients by parameters, carry and xs: trees of arrays."""

    carry: Any
    ys: Any
    gradients: Any


def tensors(tree, wanted=True):
    """The tree with its floating-point arrays as leaves that need a gradient, unless they are called frozen."""

    def leaf(place, a):
        a = np.asarray(a)
        return tg.tensor(a, requires_grad=wanted and a.dtype.kind == "f" and "frozen" not in place)

    return map_places(leaf, tree, "")


def weighted(*trees, seed=1):
    """A scalar: the sum of all floating-point numbers in the trees, with fixed random weights."""
    rng = np.random.default_rng(seed)
    total = tg.tensor(0.0)
    for t in leaves(trees):
        weights = rng.standard_normal(t.shape)
        if t.dtype.kind == "f":
            total = total + (t * weights.astype(t.dtype)).sum()
    return total


def arrays(tree):
    return map_leaves(lambda t: np.array(t.data), tree)


def gradients(tree):
    """Nothing, and a gradient that nothing reached, are zeros."""
    return map_leaves(lambda t: np.zeros(t.shape, t.dtype) if t.grad is None else t.grad, tree)


def run(made, wanted=ALL, loss=lambda carry, ys: weighted(carry, ys), **options):
    """The loop over a cell of the table, and the gradients of a loss by what is wanted."""
    parameters, carry, xs = (tensors(getattr(made, name), name in wanted) for name in ALL)
    last, ys = tg.scan(lambda c, x: made.cell(parameters, c, x), carry, xs, made.length, **options)
    total = loss(last, ys)
    if total.requires_grad:
        total.backward()
    return Run(arrays(last), arrays(ys), gradients({"parameters": parameters, "carry": carry, "xs": xs}))


def floats(made):
    """All floating-point arrays, and the function that makes (parameters, carry, xs) of others in their places."""
    everything = (made.parameters, made.carry, made.xs)
    found = [np.asarray(a) for a in leaves(everything) if np.asarray(a).dtype.kind == "f"]

    def nested(others):
        source = iter(others)
        return map_leaves(lambda a: next(source) if np.asarray(a).dtype.kind == "f" else tg.asarray(a), everything)

    return found, nested


def assert_close(got, want, tolerance):
    """The same nesting, shapes and dtypes, and values to a tolerance relative to the largest of all.

    The tolerance is for float64. Where some are float32, it is as many ulps of theirs.
    """
    pairs = []
    map_places(lambda place, g, w: pairs.append((place, np.asarray(g), np.asarray(w))), got, "", want)
    kinds = [w.dtype for _, _, w in pairs if w.dtype.kind == "f"]
    coarsest = max((float(np.finfo(d).eps) for d in kinds), default=0.0)
    largest = max((float(np.max(np.abs(w), initial=0)) for _, _, w in pairs if w.dtype.kind == "f"), default=0.0)
    room = tolerance * coarsest / np.finfo(float).eps * largest
    for place, g, w in pairs:
        assert (g.shape, g.dtype) == (w.shape, w.dtype), place
        if w.dtype.kind == "f":
            np.testing.assert_allclose(g, w, rtol=0, atol=room, err_msg=place)
        else:
            assert_array_equal(g, w, err_msg=place)


def assert_equal(got, want):
    """The same to the last bit."""

    def check(place, g, w):
        assert (g.shape, g.dtype) == (w.shape, w.dtype), place
        assert_array_equal(g, w, err_msg=place)

    map_places(check, got, "", want)


def assert_same_run(got, want, forward=4e-15, backward=1e-12):
    """Forward to some ulps, gradients to rounding."""
    assert_close((got.carry, got.ys), (want.carry, want.ys), forward)
    assert_close(got.gradients, want.gradients, backward)
