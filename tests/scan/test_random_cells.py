"""Random cells: operations put together in ways nobody thought of, looped over compiled and unrolled.

A cell is a list of steps, each an operation on earlier values: parts of the carry and of x, parameters, constants,
results. It is drawn along with the numbers of its first step of time, so that none comes near a kink or a tie, and none
grows: a result beyond 3 is scaled down, by a factor that is then part of the cell. The carry's new parts are bounded by
tanh, or are some value as it is; ys are what nothing else uses, and some more.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.tree import leaves, map_leaves

from .cells import Made
from .runs import ALL, assert_close, assert_equal, floats, run, weighted

# ---------------------------------------------------------------------------------------------------------- operations


@dataclass(frozen=True)
class Operation:
    """An operation on tensors.

    Args:
        f: takes the operands and the settings.
        operands: how many it takes.
        draw: draws settings for operands; `None` if there are none for these.
        gap: how far its operands are from where it has no derivative.
        looks_up: whether its second operand is the token.

    """

    f: Callable[..., Any]
    operands: int = 1
    draw: Callable[..., dict[str, Any] | None] = lambda draw, *xs: {}
    gap: Callable[..., Any] = lambda *xs, **settings: math.inf
    looks_up: bool = False


def axis_of(draw, x):
    return {"axis": draw(st.integers(-x.ndim, x.ndim - 1))} if x.ndim else None


def axes_of(draw, x):
    axes = tuple(draw(st.lists(st.integers(0, x.ndim - 1), unique=True))) if x.ndim else ()
    return {"axis": draw(st.sampled_from([axes, None])), "keepdims": draw(st.booleans())} if x.size else None


def second_place(x, axis):
    """How far apart the two largest numbers along the axis are."""
    ordered = np.sort(x, axis=axis)
    return np.diff(np.take(ordered, [-2, -1], axis=axis), axis=axis) if x.shape[axis] > 1 else math.inf


def some_index(draw, x):
    kinds = [npst.basic_indices(x.shape, allow_newaxis=True, max_dims=3)]
    if x.ndim and x.size:
        kinds.append(npst.integer_array_indices(x.shape, result_shape=npst.array_shapes(max_dims=2, max_side=3)))
    return {"index": draw(st.one_of(kinds))}


def some_shape(draw, x):
    return {"shape": draw(st.sampled_from([(-1,), (*x.shape, 1), (1, *x.shape), x.shape[::-1], (x.size, 1)]))}


def repeats_of(draw, x):
    return {"repeats": draw(st.integers(1, 2)), **axis_of(draw, x)} if x.ndim else None


def joined_along(draw, x, y):
    axis = draw(st.integers(-x.ndim, x.ndim - 1)) if x.ndim and x.ndim == y.ndim else None
    agree = axis is not None and np.delete(x.shape, axis).tolist() == np.delete(y.shape, axis).tolist()
    return {"axis": axis} if agree else None


def alike(draw, x, y):
    return {"axis": draw(st.integers(-x.ndim - 1, x.ndim))} if x.shape == y.shape else None


def mask_for(draw, x, y):
    return {"mask": draw(npst.arrays(bool, np.broadcast_shapes(x.shape, y.shape), fill=st.nothing()))}


def place_for(draw, x, y):
    index = draw(npst.basic_indices(x.shape)) if x.ndim else ()
    fits = np.shape(np.zeros(x.shape)[index]) == y.shape
    return {"index": index} if fits else None


def labels_for(draw, x):
    rows = x.ndim and x.shape[-1]
    return {"labels": draw(npst.arrays(int, x.shape[:-1], elements=st.integers(0, x.shape[-1] - 1)))} if rows else None


def if_there_are_rows(draw, x, *others):
    return {} if x.ndim and x.shape[0] > 1 else None


def if_a_matrix(draw, x):
    return {} if x.ndim == 2 and x.shape[0] else None


def solved(x, y):
    """A linear system of a matrix that has an inverse, whatever x is."""
    return tg.linalg.solve(4 * np.eye(x.shape[-1]) + tg.tanh(x.T @ x), y)


OPERATIONS = {
    **{name: Operation(getattr(tg, name)) for name in ("tanh", "sigmoid", "sin", "softplus", "square", "gelu")},
    "exp": Operation(lambda x: tg.exp(-x)),
    "log": Operation(lambda x: tg.log(1 + x * x)),
    "sqrt": Operation(lambda x: tg.sqrt(1 + x * x)),
    "cube": Operation(lambda x: x**3 / 3),
    "negative": Operation(lambda x: 1 - x),
    "scaled": Operation(lambda x, by: by * x, draw=lambda draw, x: {"by": draw(st.sampled_from([2, -1, 0.5, True]))}),
    "abs": Operation(tg.abs, gap=np.abs),
    "relu": Operation(tg.relu, gap=np.abs),
    "clip": Operation(lambda x: tg.clip(x, -1, 1), gap=lambda x: np.abs(np.abs(x) - 1)),
    **{name: Operation(getattr(tg, name), 2) for name in ("add", "subtract", "multiply", "logaddexp")},
    "divide": Operation(lambda x, y: x / (1 + y * y), 2),
    "power": Operation(lambda x, y: (1 + x * x) ** tg.tanh(y), 2),
    "arctan2": Operation(lambda x, y: tg.arctan2(x, 1 + y * y), 2),
    "maximum": Operation(tg.maximum, 2, gap=np.subtract),
    "minimum": Operation(tg.minimum, 2, gap=np.subtract),
    "where": Operation(lambda x, y, mask: tg.where(mask, x, y), 2, mask_for),
    **{name: Operation(getattr(tg, name), draw=axes_of) for name in ("sum", "mean", "logsumexp", "var")},
    "max": Operation(tg.max, draw=axis_of, gap=second_place),
    **{name: Operation(getattr(tg, name), draw=axis_of) for name in ("softmax", "log_softmax", "cumsum", "flip")},
    "cross_entropy": Operation(ops.cross_entropy, draw=labels_for),
    "matmul": Operation(tg.matmul, 2),
    "times its transpose": Operation(lambda x: x @ x.T, draw=if_a_matrix),
    "inner": Operation(tg.inner, 2),
    "tensordot": Operation(lambda x, y: tg.tensordot(x, y, 1), 2),
    "outer": Operation(lambda x, y: tg.outer(tg.ravel(x), tg.ravel(y)), 2),
    "einsum": Operation(lambda x, y: tg.einsum("...i,...i->...", x, y), 2),
    "solve": Operation(solved, 2, lambda draw, x, y: {} if x.ndim == 2 and y.ndim else None),
    "getitem": Operation(lambda x, index: x[index], draw=some_index),
    "table": Operation(lambda x, token: x[token], draw=if_there_are_rows, looks_up=True),
    "reshape": Operation(lambda x, shape: x.reshape(shape), draw=some_shape),
    "transpose": Operation(lambda x: x.T),
    "new axis": Operation(lambda x: x[..., None]),
    "roll": Operation(lambda x, axis: tg.roll(x, 1, axis), draw=axis_of),
    "repeat": Operation(lambda x, repeats, axis: tg.repeat(x, repeats, axis), draw=repeats_of),
    "broadcast_to": Operation(lambda x: tg.broadcast_to(x, (2, *x.shape))),
    "pad": Operation(lambda x: tg.pad(x, 1)),
    "concatenate": Operation(lambda x, y, axis: tg.concatenate([x, y], axis), 2, joined_along),
    "stack": Operation(lambda x, y, axis: tg.stack([x, y], axis), 2, alike),
    "half": Operation(lambda x: tg.split(x, [1])[1], draw=if_there_are_rows),
    "set_at": Operation(lambda x, y, index: ops.set_at(x, index, y), 2, place_for),
    "add_at": Operation(lambda x, y, index: ops.add_at(x, index, y), 2, place_for),
}

# --------------------------------------------------------------------------------------------------------------- cells


@dataclass(frozen=True)
class Step:
    """An operation on earlier values: `values[i]` for i in places."""

    name: str
    places: tuple[int, ...]
    settings: dict[str, Any]
    factor: float

    def __call__(self, values):
        out = OPERATIONS[self.name].f(*[values[i] for i in self.places], **self.settings)
        return out if self.factor == 1 else out * self.factor


@dataclass(frozen=True)
class Cell:
    """Values are parts of the carry, of x, the token, parameters, constants, and the steps' results, in this order.

    Args:
        steps: the operations.
        constants: arrays.
        news: for each part of the carry, a value, and whether it is taken as it is or brought into shape and bounds.
        outs: the values that are ys.

    """

    steps: tuple[Step, ...]
    constants: tuple[np.ndarray, ...]
    news: tuple[tuple[int, bool], ...]
    outs: tuple[int, ...]

    def __call__(self, parameters, carry, x):
        values = [*carry, *x, *parameters, *self.constants]
        for step in self.steps:
            values.append(step(values))
        new = [
            values[i] if as_it_is else bounded(old, values[i])
            for old, (i, as_it_is) in zip(carry, self.news, strict=True)
        ]
        return tuple(new), [values[i] for i in self.outs]


def bounded(old, value):
    """A value in the shape of the old part of a carry, between −1 and 1."""
    value = value if broadcasts_to(value.shape, old.shape) else value.mean()
    return tg.tanh(0.5 * old + value)


def broadcasts_to(small, large):
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


SHAPES = [(2, 3), (3,), (3, 3), (), (2, 1), (1, 3), (3, 2), (2, 2, 3), (1,)]
GAP = 0.02  # from where a function has no derivative


def arrays_of(rng, shapes, *lead):
    return tuple(rng.uniform(-1.5, 1.5, (*lead, *shape)) for shape in shapes)


@st.composite
def made_cells(draw, longest=8, among=tuple(OPERATIONS)):
    """A cell, its carry, xs, parameters. Every other operation is to be among some."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes = st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3)
    T = draw(st.sampled_from([3, 1, 2, 5]))
    carry, xs = arrays_of(rng, draw(shapes)), arrays_of(rng, draw(shapes), T)
    parameters, constants = arrays_of(rng, draw(shapes)), arrays_of(rng, draw(shapes)[1:])
    tokens = rng.integers(0, 2, (T, *draw(st.sampled_from([(), (2,)]))))
    given_values = [*carry, *[x[0] for x in xs], tokens[0], *parameters, *constants]
    token = len(carry) + len(xs)
    names = rng.permutation(list(OPERATIONS)).tolist()
    values, steps = [tg.tensor(v) for v in given_values], []
    wanted = draw(st.sampled_from(range(longest, 0, -1)))
    for k in range(3 * wanted):  # not every step that is drawn will do
        some = range(len(carry)) if k % 3 == 0 else range(len(values))  # every third works on the carry itself
        step = draw(steps_on(values, token, among if k % 2 == 0 else names, some)) if len(steps) < wanted else None
        if step is None:
            continue
        out = step(values)
        top = np.max(np.abs(out.data), initial=0)
        if not 0 < out.size <= 64 or out.ndim > 4 or not np.isfinite(top):
            continue
        factor = 1.0 if top <= 3 else 2.5 / float(top)
        steps.append(Step(step.name, step.places, step.settings, factor))
        values.append(out * factor)
    assume(any(step.name in among for step in steps))
    cell = Cell(tuple(steps), constants, *draw(ends(values, len(carry), token, len(given_values), steps)))
    made = Made(cell, carry, (*xs, tokens), parameters)
    last, ys = tg.scan(lambda c, x: cell(parameters, c, x), carry, made.xs, unroll=True)
    assume(all(np.max(np.abs(t.data), initial=0) < 50 for t in leaves((last, ys))))
    return made


@st.composite
def ends(draw, values, carries, token, given_values, steps):
    """What becomes of the values: the carry's new parts, and ys."""
    used = {i for step in steps for i in step.places}
    results = list(range(given_values, len(values)))
    numbers = [i for i in range(len(values)) if i != token]
    ends = [i for i in results if i not in used]
    news = []
    for k in range(carries):
        same = [i for i in numbers if values[i].shape == values[k].shape and i < given_values]
        as_it_is = draw(st.integers(0, 4)) == 4
        news.append((draw(st.sampled_from(same if as_it_is else results[::-1])), as_it_is))
    return tuple(news), (*ends, *draw(st.lists(st.sampled_from(numbers), max_size=2)))


@st.composite
def steps_on(draw, values, token, names, first):
    """A step on one of the first and any other values, late ones preferred; `None` if what was drawn doesn't fit."""
    name = draw(st.sampled_from(names))
    operation = OPERATIONS[name]
    numbers = [i for i in range(len(values)) if i != token]
    ones = [i for i in first if i != token]
    places = [draw(st.sampled_from((numbers if k else ones)[::-1])) for k in range(operation.operands)]
    places += [token] * operation.looks_up
    xs = [values[i].data for i in places]
    try:
        chosen = operation.draw(draw, *xs)
        if chosen is None or np.min(np.abs(operation.gap(*xs, **chosen)), initial=math.inf) < GAP:
            return None
        operation.f(*[values[i] for i in places], **chosen)
    except (ValueError, IndexError):  # shapes that don't go together
        return None
    return Step(name, tuple(places), chosen, 1.0)


# --------------------------------------------------------------------------------------------------------------- tests


def assert_same(got, want):
    """As near as operations on badly conditioned numbers allow."""
    assert_close((got.carry, got.ys), (want.carry, want.ys), 1e-12)
    assert_close(got.gradients, want.gradients, 1e-11)


@pytest.mark.parametrize("name", OPERATIONS)
@given(data=st.data())
@settings(max_examples=3)
def test_each_operation_in_a_loop(name, data):
    made = data.draw(made_cells(longest=4, among=(name,)))
    assert_same(run(made), run(made, unroll=True))


@given(made_cells(longest=12), st.booleans(), st.sets(st.sampled_from(ALL)))
@settings(max_examples=100)
def test_random_cells(made, reverse, wanted):
    options = {"reverse": reverse, "wanted": tuple(wanted)}
    assert_same(run(made, **options), run(made, unroll=True, **options))


@given(made_cells(), st.sampled_from([1, 2, "sqrt"]), st.booleans())
@settings(max_examples=30)
def test_checkpoints_of_random_cells(made, checkpoint, reverse):
    plain, checked = run(made, reverse=reverse), run(made, reverse=reverse, checkpoint=checkpoint)
    assert_equal((checked.carry, checked.ys, checked.gradients), (plain.carry, plain.ys, plain.gradients))


@given(made_cells(longest=5), st.data())
@settings(max_examples=30)
def test_random_cells_one_after_the_other(made, data):
    """Cells that differ in one step, on the same numbers: none gets another's program."""
    cell = made.cell
    k = data.draw(st.integers(0, len(cell.steps) - 1))
    step = cell.steps[k]
    halved = Step(step.name, step.places, step.settings, step.factor / 2)
    other = Cell((*cell.steps[:k], halved, *cell.steps[k + 1 :]), cell.constants, cell.news, cell.outs)
    turned = Cell(cell.steps, tuple(-c for c in cell.constants), cell.news, cell.outs[::-1])
    for each in (cell, other, turned, cell):
        assert_same(run(made._replace(cell=each)), run(made._replace(cell=each), unroll=True))


@given(made_cells(longest=6))
@settings(max_examples=15)
def test_second_derivatives_of_random_cells(made):
    found, nested = floats(made)
    direction = map_leaves(lambda a: np.cos(np.arange(a.size)).reshape(a.shape), found)

    def product(unroll):
        def f(values):
            parameters, carry, xs = nested(values)
            return tg.sin(weighted(*tg.scan(lambda c, x: made.cell(parameters, c, x), carry, xs, unroll=unroll)))

        return [t.data for t in tg.hvp(f, found, direction)]

    assert_close(product(False), product(True), 1e-10)
