"""Nested tuples, lists and dictionaries of tensors: what functions take and return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["flatten", "leaves", "map_leaves"]


def map_leaves(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The same nesting with f of each leaf, and of the leaves in the same place of other trees.

    Tuples (named ones too), lists and dictionaries nest; `None` is a tree without leaves; all else is a leaf. Raises
    `ValueError`, with the place, where another tree is nested differently.

    >>> map_leaves(lambda x, y: x + y, {"a": 1, "b": (2, 3)}, {"a": 10, "b": (20, 30)})
    {'a': 11, 'b': (22, 33)}
    """
    return _map(f, tree, others, "")


def _map(f: Callable[..., Any], tree: Any, others: tuple[Any, ...], place: str) -> Any:
    keys = _keys(tree)
    if keys is None:
        return f(tree, *others)
    for other in others:
        theirs = _keys(other)
        if type(other) is not type(tree) or theirs is None or set(theirs) != set(keys):
            raise ValueError(f"{place or 'the whole'} is {_kind(tree)} in one and {_kind(other)} in another")
    parts = [_map(f, tree[k], tuple(other[k] for other in others), f"{place}[{k!r}]") for k in keys]
    if tree is None:
        return None
    if isinstance(tree, dict):
        return dict(zip(keys, parts, strict=True))
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def _keys(tree: Any) -> list[Any] | None:
    """How to get at the parts of a tree; `None` of a leaf."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return list(tree)
    return list(range(len(tree))) if isinstance(tree, (tuple, list)) else None


def _kind(tree: Any) -> str:
    keys = _keys(tree)
    name = type(tree).__name__
    return "None" if tree is None else f"a {name}" if keys is None else f"a {name} of {len(keys)}"


def leaves(tree: Any) -> list[Any]:
    """The leaves, in order: of a dictionary, in the order of its keys."""
    found: list[Any] = []
    map_leaves(found.append, tree)
    return found


def flatten(tree: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The leaves, and the function that nests others in their place.

    >>> values, nested = flatten({"a": 1, "b": [2, 3]})
    >>> nested(v * v for v in values)
    {'a': 1, 'b': [4, 9]}
    """

    def nested(others: Any) -> Any:
        source = iter(others)
        return map_leaves(lambda _: next(source), tree)

    return leaves(tree), nested
