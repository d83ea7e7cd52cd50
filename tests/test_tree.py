"""Nested tuples, lists and dictionaries: the same nesting comes back, and an error says where two trees part."""

import re
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.tree import NestingError, flatten, leaves, map_leaves, map_places

State = namedtuple("State", ["h", "c"])


@pytest.mark.parametrize(
    ("tree", "doubled"),
    [
        (3, 6),
        ((), ()),
        ([], []),
        ({}, {}),
        (None, None),
        ((1, [2, {"a": 3}]), (2, [4, {"a": 6}])),
        ([None, 1, (None,)], [None, 2, (None,)]),
        (State(1, State(2, None)), State(2, State(4, None))),
        ({"b": 1, "a": {2: (3,)}}, {"b": 2, "a": {2: (6,)}}),
    ],
)
def test_the_nesting_is_kept(tree, doubled):
    got = map_leaves(lambda x: 2 * x, tree)
    assert got == doubled
    assert type(got) is type(tree)
    values, nested = flatten(tree)
    assert values == leaves(tree)
    assert nested(iter([2 * v for v in values])) == doubled


def test_named_tuples_stay_what_they_are():
    got = map_leaves(str, (State(1, 2),))
    assert type(got[0]) is State
    assert got[0].h == "1"


def test_all_else_is_a_leaf():
    array = np.ones((2, 2))
    tensor = tg.tensor([1.0, 2.0])
    text, function = "text", len
    assert leaves([array, (tensor, text), {"f": function}]) == [array, tensor, text, function]
    assert leaves(array)[0] is array


def test_dictionaries_keep_their_own_order():
    tree = {"b": 1, "a": 2, "c": 3}
    assert leaves(tree) == [1, 2, 3]
    assert list(map_leaves(lambda x: x, tree)) == ["b", "a", "c"]


def test_dictionaries_go_together_by_key_and_not_by_order():
    got = map_leaves(lambda x, y: (x, y), {"b": 1, "a": 2}, {"a": 20, "b": 10})
    assert got == {"b": (1, 10), "a": (2, 20)}
    assert list(got) == ["b", "a"]


def test_a_pullback_takes_its_dictionary_in_any_order():
    x = np.array([1.0, 2.0])
    _, pullback = tg.vjp(lambda x: {"square": x * x, "twice": 2 * x}, x)
    (g,) = pullback({"twice": np.array([10.0, 0.0]), "square": np.array([0.0, 1.0])})
    assert g.data.tolist() == [20, 4]


def test_other_trees_may_be_deeper_at_a_leaf():
    assert map_leaves(lambda x, y: (x, y), (1, 2), ({"a": 3}, [4])) == ((1, {"a": 3}), (2, [4]))


def test_places():
    places = []
    tree = ({"w": [1, 2]}, State(3, None), 4)
    map_places(lambda place, x: places.append((place, x)), tree, "argument 0")
    assert places == [
        ("argument 0[0]['w'][0]", 1),
        ("argument 0[0]['w'][1]", 2),
        ("argument 0[1][0]", 3),
        ("argument 0[2]", 4),
    ]


@pytest.mark.parametrize(
    ("tree", "other", "message"),
    [
        ((1, 2), (1, 2, 3), "want a tuple of 2, got a tuple of 3"),
        ((1, 2), [1, 2], "want a tuple of 2, got a list of 2"),
        ([1], 5, "want a list of 1, got a int"),
        (None, 5, "want None, got a int"),
        ((1, None), (1, 2), "want None, got a int at [1]"),
        ((1, (2,)), (1, None), "want a tuple of 1, got None at [1]"),
        ({"a": 1}, {"b": 1}, "want a dict of 'a', got a dict of 'b'"),
        ({"a": 1}, {"a": 1, "b": 2}, "want a dict of 'a', got a dict of 'a', 'b'"),
        ({}, {"a": 1}, "want a dict of nothing, got a dict of 'a'"),
        ({"a": ([1], 2)}, {"a": ([1, 2], 2)}, "want a list of 1, got a list of 2 at ['a'][0]"),
        (State(1, 2), (1, 2, 3), "want a State of 2, got a tuple of 3"),
        (State(1, 2), namedtuple("Pair", "h c")(1, 2), "want a State of 2, got a Pair of 2"),
        (State(1, 2), [1, 2], "want a State of 2, got a list of 2"),
    ],
)
def test_trees_that_are_nested_differently(tree, other, message):
    with pytest.raises(NestingError, match=f"^{re.escape(message)}$"):
        map_leaves(lambda x, y: x, tree, other)
    assert issubclass(NestingError, ValueError)


def test_an_ordered_dictionary_comes_back_as_a_dictionary_with_its_keys():
    got = map_leaves(lambda x: x + 1, OrderedDict(b=1, a=2))
    assert list(got.items()) == [("b", 2), ("a", 3)]


def test_leaves_nested_in_the_places_of_others():
    values, nested = flatten({"a": 1, "b": [2, None, (3,)]})
    assert values == [1, 2, 3]
    assert nested("xyz") == {"a": "x", "b": ["y", None, ("z",)]}


def test_a_plain_tuple_and_a_named_one_are_nested_alike():
    """The first tree says which one is made."""
    assert map_leaves(lambda x, y: x + y, State(1, 2), (10, 20)) == State(11, 22)
    made = map_leaves(lambda x, y: x + y, (1, 2), State(10, 20))
    assert (made, type(made)) == ((11, 22), tuple)
