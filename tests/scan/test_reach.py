"""What a cell can get at: whether it is what it was, and what there is among it that no two runs can show."""

import array
import collections
import contextvars
import functools
import itertools
import random
import types

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.scan.reach import Reach

factor = 0.5


class Scaled:
    """A cell with attributes."""

    def __init__(self):
        self.scale, self.inner = 0.5, SlotsOnly()

    def __call__(self, h, x):
        return tg.tanh(h * self.scale * factor), x


class Shared:
    """A cell whose attributes are its class's."""

    count, rng = 1, np.random.default_rng(0)

    def __call__(self, h, x):
        return self.helped(h), x

    def helped(self, h):
        return h if self.rng.random() < 0.5 else 2 * h


class Private:
    __slots__ = ("__count",)

    def __init__(self):
        self.__count = 1

    def up(self):
        self.__count += 1


class Inheriting(Private):
    __slots__ = "other"

    def __init__(self):
        super().__init__()
        self.other = 1


class SlotsOnly:
    __slots__ = ("by",)

    def __init__(self):
        self.by = 2.0


def surroundings():
    weights = [tg.tensor(np.ones(3), requires_grad=True), tg.tensor(np.zeros(3), requires_grad=True)]

    def function(h):
        return h

    function.count = 1
    return types.SimpleNamespace(
        weights=weights,
        count=1,
        array=np.zeros(3),
        table={"a": 1.5},
        cell=Scaled(),
        more=(),
        function=function,
        kind=type("Kind", (), {"count": 1, "__module__": __name__}),
        instance=type("Kind", (), {"count": 1, "__module__": __name__})(),
        queue=collections.deque([1, 0]),
        numbers=array.array("d", [1.0]),
        bytes=bytearray(b"ab"),
        variable=contextvars.ContextVar("variable", default=1),
        user_dict=collections.UserDict(n=1),
        list_of_ones_own=type("List", (list,), {})([object()]),
        dict_of_ones_own=type("Dict", (dict,), {})(),
        inherited=Inheriting(),
        objects=np.array([1, [2]], dtype=object),
    )


def cell_in(s, by=2.0):
    return lambda h, x: (tg.tanh(h * s.weights[0] * by) + s.array * s.table["a"], s.cell(h, x), s.kind.count)


def set_global(value):
    global factor
    factor = value


CHANGES = {
    "a weight replaced": lambda s: s.weights.__setitem__(0, s.weights[1]),
    "a list that grows": lambda s: s.weights.append(None),
    "a number counted up": lambda s: setattr(s, "count", s.count + 1),
    "a small array, written to": lambda s: s.array.__iadd__(1),
    "an entry of a dictionary": lambda s: s.table.update(a=2.5),
    "another entry": lambda s: s.table.update(b=2.5),
    "an attribute of an object in reach": lambda s: setattr(s.cell, "scale", 0.25),
    "a slot": lambda s: setattr(s.cell.inner, "by", 3.0),
    "a new attribute": lambda s: setattr(s.cell, "extra", 1),
    "a global name": lambda s: set_global(0.25),
    "an attribute of a function": lambda s: setattr(s.function, "count", 2),
    "an attribute of a class": lambda s: setattr(s.kind, "count", 2),
    "an attribute of an object's class": lambda s: setattr(type(s.instance), "count", 2),
    "a deque": lambda s: s.queue.popleft(),
    "an array of Python's": lambda s: s.numbers.append(2.0),
    "bytes": lambda s: s.bytes.pop(),
    "a context variable": lambda s: s.variable.set(2),
    "an entry of a UserDict": lambda s: s.user_dict.update(n=2),
    "a list of a class of one's own": lambda s: s.list_of_ones_own.append(object()),
    "an attribute of a dictionary": lambda s: setattr(s.dict_of_ones_own, "n", 2),
    "a private slot of a class above": lambda s: s.inherited.up(),
    "a slot of a class below": lambda s: setattr(s.inherited, "other", 2),
    "an array of objects": lambda s: s.objects[1].append(3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_change_in_reach_is_seen(change):
    s = surroundings()
    for cell in (cell_in(s), functools.partial(cell_in(s)), [cell_in(s)]):
        reach = Reach(cell)
        assert reach.is_unchanged()
        assert Reach(cell).settings == reach.settings
    change(s)
    try:
        assert not reach.is_unchanged()
        assert Reach(cell).settings != reach.settings
    finally:
        set_global(0.5)


def test_a_variable_that_is_changed_from_within():
    count = 0

    def cell(h, x):
        nonlocal count
        count += 1
        return h, x

    reach = Reach(cell)
    assert reach.is_unchanged()
    cell(0, 0)
    assert not reach.is_unchanged()


def test_defaults_and_keywords_of_a_function():
    def cell(h, x, by=(1, [2]), *, scale=3.0):
        return h * by[0], x * scale

    reach = Reach(cell)
    cell.__defaults__[0][1].append(3)
    assert not reach.is_unchanged()
    reach = Reach(cell)
    cell.__kwdefaults__["scale"] = 4.0
    assert not reach.is_unchanged()


def test_layers_and_this_package_s_modules_are_looked_into_without_end():
    lstm = nn.LSTMCell(3, 4, rng=0)
    reach = Reach(lambda h, x: (lstm(x, h), tg.tanh(h)))
    assert reach.is_known
    assert not reach.draws
    assert reach.is_unchanged()
    lstm.training = False
    assert not reach.is_unchanged()


def test_generators_and_iterators():
    rng, steps = np.random.default_rng(0), itertools.count()
    reach = Reach(lambda h, x: (h * rng.normal(), x))
    assert (reach.generators, reach.is_known, reach.draws) == ([rng], False, True)
    before = reach.random_states()
    assert reach.random_states() == before
    rng.normal()
    assert reach.random_states() != before
    assert Reach(lambda h, x: (h / next(steps), x)).has_iterator
    reach = Reach(lambda h, x: (h * random.random(), x))
    before = reach.random_states()
    random.random()
    assert reach.random_states() != before


def test_what_a_class_shares():
    reach = Reach(Shared())
    assert Shared.rng in reach.generators
    assert not reach.is_known


def test_what_is_near_comes_first():
    table = {i: (i, str(i)) for i in range(500)}
    cell = types.SimpleNamespace(table=table, rng=np.random.default_rng(0))
    reach = Reach([cell])
    assert reach.generators == [cell.rng]
    assert not reach.is_known


def test_the_system_s_random_numbers():
    system = random.SystemRandom()
    reach = Reach(lambda h, x: (h * system.random(), x))
    assert reach.random_states() != reach.random_states()
    h, _ = tg.scan(lambda h, x: (h + x if system.random() < 0.5 else h, None), 0.0, np.ones(20))
    assert 0 <= h.item() <= 20


def truncated():
    """A cell that counts its steps as an attribute of its own."""
    weight = tg.tensor([0.5, 0.25], requires_grad=True)

    def cell(h, x):
        cell.steps += 1
        h = tg.tanh((h.detach() if cell.steps % 5 == 0 else h) * weight + x)
        return h, None

    cell.steps = 0
    return cell, weight


def chances():
    cell, weight = Shared(), tg.tensor([0.5, 0.25], requires_grad=True)
    Shared.rng = np.random.default_rng(3)
    return lambda h, x: (cell(h * weight + x, x)[0], None), weight


def asking():
    weight = tg.tensor([0.5, 0.25], requires_grad=True)
    return lambda h, x: ((h * weight if h.requires_grad else weight + x), None), weight


@pytest.mark.parametrize("made", [truncated, chances, asking])
def test_what_a_cell_keeps_elsewhere_is_seen(made):
    found = []
    for unroll in (False, True):
        for _ in range(2):
            cell, weight = made()
            h, _ = tg.scan(cell, np.zeros(2), np.full((20, 2), 0.1), unroll=unroll)
            h.sum().backward()
            found.append((h.data, weight.grad))
    for h, grad in found[:-1]:
        np.testing.assert_allclose(h, found[-1][0], rtol=1e-14)
        np.testing.assert_allclose(grad, found[-1][1], rtol=1e-13)


@pytest.mark.parametrize("value", [np.float64(0.5), np.dtype("f4"), 0.5, "text", None, print, tg.tanh, Scaled, (), {}])
def test_what_has_no_parts(value):
    reach = Reach(lambda h, x: (value, x))
    assert reach.is_known
    assert reach.is_unchanged()
    assert not reach.generators


class Refusing:
    def __getattr__(self, name):
        raise RuntimeError(name)


class AttributeDict(dict):
    __getattr__ = dict.__getitem__


class Counts:
    """A cell that counts in a special method."""

    def __init__(self):
        self.seen = []

    def __getitem__(self, k):
        self.seen.append(k)
        return len(self.seen) < 5


ODD = {
    "no attributes": Refusing,
    "entries as attributes": lambda: AttributeDict(a=1.0),
    "no module": type("Odd", (), {"__module__": None}),
    "a class": lambda: tg.nn.Linear,
}


@pytest.mark.parametrize("make", ODD.values(), ids=list(ODD))
def test_what_is_odd_can_be_in_reach(make):
    x = make()

    def cell(h, y):
        _ = x
        return tg.tanh(h + y), h

    h, _ = tg.scan(cell, np.zeros(3), np.ones((9, 3)))
    np.testing.assert_allclose(h.data, tg.scan(cell, np.zeros(3), np.ones((9, 3)), unroll=True)[0].data, rtol=1e-14)


def test_special_methods_are_looked_into():
    def run(**options):
        table = Counts()
        return tg.scan(lambda h, x: (h + x if table[0] else 2 * h, None), 0.0, np.ones(9), **options)[0].item()

    assert run() == run(unroll=True) == 128.0


def test_cycles_around_a_cell():
    around = []
    around.append(around)
    program = tg.scan_program(lambda h, x: (h + x * len(around), None), 0.0, np.ones(9))
    assert program.compiled


def test_a_field_of_a_named_tuple_is_known():
    sizes = collections.namedtuple("Sizes", "by to")(0.5, 2.0)
    assert Reach(lambda h, x: (h * sizes.by, x)).is_known
    assert Reach(lambda h, x: (h, frozenset((1, 2)))).is_known
