"""Nested tuples, lists and dictionaries of tensors: what functions take and return."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from .tape import Tensor

__all__ = ["NestingError", "flatten", "kind", "leaves", "map_leaves", "map_places"]


class NestingError(ValueError):
    """Two trees that should be nested alike are not: `place` is `got`, where `wanted` was wanted."""

    def __init__(self, place: str, wanted: str, got: str) -> None:
        super().__init__(place, wanted, got)
        self.place, self.wanted, self.got = place, wanted, got

    def __str__(self) -> str:
        return f"want {self.wanted}, got {self.got}" + (f" at {self.place}" if self.place else "")


def map_leaves(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same nesting with f of each leaf, and of the leaves in the same places of other trees.

    Tuples (named ones too), lists and dictionaries nest; `None` is a tree without leaves; all else is a leaf. Raises
    `NestingError`, with the place, where another tree is nested differently.

    >>> map_leaves(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, {"a": 10, "b": (20, 30)})
    {'a': 11, 'b': (22, 33)}
    """
    if others:
        return map_places(lambda place, *parts: f(*parts), tree, "", *others)
    if tree is None or isinstance(tree, (tuple, list, dict)):
        return _like(tree, [map_leaves(f, part) for part in _parts(tree)])
    return f(tree)


def map_places(f: Callable[..., Any], tree: Any, place: str, *others: Any) -> Any:
    """`map_leaves` of a function that is told each leaf's place first, for instance `argument 0['w'][1]`."""
    if tree is not None and not isinstance(tree, (tuple, list, dict)):
        return f(place, tree, *others)
    nest: Any = tree
    keys = _keys(nest)
    for other in others:
        if not _alike(tree, other) or (_keys(other) != keys and set(_keys(other)) != set(keys)):
            raise NestingError(place, kind(tree), kind(other))
    return _like(tree, [map_places(f, nest[k], f"{place}[{k!r}]", *[other[k] for other in others]) for k in keys])


def _alike(tree: Any, other: Any) -> bool:
    """Whether two trees are of one kind: any dictionaries, and a plain tuple and a named one, are."""
    both_tuples = isinstance(tree, tuple) and isinstance(other, tuple) and tuple in (type(tree), type(other))
    return type(other) is type(tree) or both_tuples or (isinstance(tree, dict) and isinstance(other, dict))


def _like(tree: Any, parts: list[Any]) -> Any:
    """The same kind of tree of other parts."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        made = copy.copy(tree)  # an ordered or default one stays one
        made.update(zip(tree, parts, strict=True))
        return made
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def _parts(tree: Any) -> Iterable[Any]:
    return tree.values() if isinstance(tree, dict) else tree or ()


def _keys(tree: Any) -> list[Any]:
    """How to get at the parts of a tree."""
    return list(tree) if isinstance(tree, dict) else list(range(len(tree or ())))


def kind(tree: Any) -> str:
    """What a tree is, for an error: `a tuple of 2`, `None`, `a tensor`."""
    name = "tensor" if isinstance(tree, Tensor) else type(tree).__name__
    if isinstance(tree, dict):
        return f"a {name} of {', '.join(map(repr, tree)) or 'nothing'}"
    return "None" if tree is None else f"a {name} of {len(tree)}" if isinstance(tree, (tuple, list)) else f"a {name}"


def leaves(tree: Any) -> list[Any]:
    """The leaves, in order: of a dictionary, in the order of its keys."""
    if isinstance(tree, (tuple, list, dict)):
        return [leaf for part in _parts(tree) for leaf in leaves(part)]
    return [] if tree is None else [tree]


def flatten(tree: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The leaves, and the function that nests others in their places.

    >>> values, nested = flatten({"a": 1, "b": [2, 3]})
    >>> nested(v * v for v in values)
    {'a': 1, 'b': [4, 9]}
    """

    def nested(others: Any) -> Any:
        source = iter(others)
        return map_leaves(lambda _: next(source), tree)

    return leaves(tree), nested
