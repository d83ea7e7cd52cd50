"""Nested tuples, lists and dictionaries of tensors: what functions take and return."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .tape import Tensor

__all__ = ["NestingError", "flatten", "kind", "leaves", "map_leaves", "map_places"]


class NestingError(ValueError):
    """Two trees that should be nested alike are not."""


def map_leaves(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same nesting with f of each leaf, and of the leaves in the same places of other trees.

    Tuples (named ones too), lists and dictionaries nest; `None` is a tree without leaves; all else is a leaf. Raises
    `NestingError`, with the place, where another tree is nested differently.

    >>> map_leaves(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, {"a": 10, "b": (20, 30)})
    {'a': 11, 'b': (22, 33)}
    """
    return map_places(lambda place, *parts: f(*parts), tree, "", *others)


def map_places(f: Callable[..., Any], tree: Any, place: str, *others: Any) -> Any:
    """`map_leaves` of a function that is told each leaf's place first, for instance `argument 0['w'][1]`."""
    if tree is not None and not isinstance(tree, (tuple, list, dict)):
        return f(place, tree, *others)
    keys = _keys(tree) or []
    for other in others:
        alike = type(other) is type(tree) or (isinstance(tree, dict) and isinstance(other, dict))
        if not alike or set(_keys(other) or ()) != set(keys):
            raise NestingError(f"{kind(tree)} against {kind(other)}" + (f" at {place.strip()}" if place else ""))
    nested: Any = tree
    parts = [map_places(f, nested[k], f"{place}[{k!r}]", *[other[k] for other in others]) for k in keys]
    if tree is None:
        return None
    if isinstance(tree, dict):
        made = copy.copy(tree)  # an ordered or default one stays one
        made.update(zip(keys, parts, strict=True))
        return made
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def _keys(tree: Any) -> list[Any] | None:
    """How to get at the parts of a tree; `None` of a leaf."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return list(tree)
    return list(range(len(tree))) if isinstance(tree, (tuple, list)) else None


def kind(tree: Any) -> str:
    """What a tree is, for an error: `a tuple of 2`, `None`, `a Tensor`."""
    name = "Tensor" if isinstance(tree, Tensor) else type(tree).__name__
    if isinstance(tree, dict):
        return f"a {name} of {', '.join(map(repr, tree)) or 'nothing'}"
    return "None" if tree is None else f"a {name} of {len(tree)}" if isinstance(tree, (tuple, list)) else f"a {name}"


def leaves(tree: Any) -> list[Any]:
    """The leaves, in order: of a dictionary, in the order of its keys."""
    if isinstance(tree, (tuple, list, dict)):
        return [leaf for part in (tree.values() if isinstance(tree, dict) else tree) for leaf in leaves(part)]
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
