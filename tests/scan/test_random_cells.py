"""Random cells: operations put together in ways nobody thought of, looped over compiled and unrolled.

A cell is a list of steps, each an operation on earlier values (`operations.py`): parts of the carry and of x,
parameters, constants, results. It is drawn along with the numbers of its first step of time. The carry's new parts are
bounded by tanh, or are some value as it is; ys are what nothing else uses, and some more.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from operations import OPERATIONS, SEEDS, Step, broadcasts_to, steps_on

import tinygrad_rnn as tg
from tinygrad_rnn.tree import leaves, map_leaves

from .cells import Made
from .runs import ALL, assert_close, assert_equal, floats, run, weighted

# --------------------------------------------------------------------------------------------------------------- cells


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
            values.append(step(tg, values))
        new = [
            values[i] if as_it_is else bounded(old, values[i])
            for old, (i, as_it_is) in zip(carry, self.news, strict=True)
        ]
        return tuple(new), [values[i] for i in self.outs]


def bounded(old, value):
    """A value in the shape of the old part of a carry, between −1 and 1."""
    value = value if broadcasts_to(value.shape, old.shape) else value.mean()
    return tg.tanh(0.5 * old + value)


SHAPES = [(2, 3), (3,), (3, 3), (), (2, 1), (1, 3), (3, 2), (2, 2, 3), (1,)]


def arrays_of(rng, shapes, *lead):
    return tuple(rng.uniform(-1.5, 1.5, (*lead, *shape)) for shape in shapes)


@st.composite
def made_cells(draw, longest=8, among=tuple(OPERATIONS)):
    """A cell, its carry, xs, parameters. Every other operation is to be among some."""
    rng = np.random.default_rng(draw(SEEDS))
    shapes = st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3)
    T = draw(st.sampled_from([3, 1, 2, 5]))
    carry, xs = arrays_of(rng, draw(shapes)), arrays_of(rng, draw(shapes), T)
    parameters, constants = arrays_of(rng, draw(shapes)), arrays_of(rng, draw(shapes)[1:])
    tokens = rng.integers(0, 2, (T, *draw(st.sampled_from([(), (2,)]))))
    given_values = [*carry, *[x[0] for x in xs], tokens[0], *parameters, *constants]

    def first(k, n):  # every third step works on the carry itself
        return range(len(carry)) if k % 3 == 0 else range(n)

    steps, values = draw(steps_on(given_values, longest, among, first))
    assume(any(step.name in among for step in steps))
    cell = Cell(tuple(steps), constants, *draw(ends(values, len(carry), len(given_values), steps)))
    made = Made(cell, carry, (*xs, tokens), parameters)
    with np.errstate(all="ignore"):
        last, ys = tg.scan(lambda c, x: cell(parameters, c, x), carry, made.xs, unroll=True)
    assume(all(np.max(np.abs(t.data), initial=0) < 50 for t in leaves((last, ys))))
    return made


@st.composite
def ends(draw, values, carries, given_values, steps):
    """What becomes of the values: the carry's new parts, and ys."""
    used = {i for step in steps for i in step.places}
    results = list(range(given_values, len(values)))
    numbers = [i for i, v in enumerate(values) if v.dtype.kind == "f"]
    with_elements = [i for i in results if values[i].size] or numbers
    ends = [i for i in results if i not in used]
    news = []
    for k in range(carries):
        same = [i for i in numbers if values[i].shape == values[k].shape and i < given_values]
        as_it_is = draw(st.integers(0, 4)) == 4
        news.append((draw(st.sampled_from(same if as_it_is else with_elements[::-1])), as_it_is))
    return tuple(news), (*ends, *draw(st.lists(st.sampled_from(numbers), max_size=2)))


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
