"""Whether a cell has read the same in two steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tape import Node, Tensor
from .form import frozen

__all__ = ["equal", "is_constant", "read_the_same"]


def read_the_same(first: Sequence[Tensor], second: Sequence[Tensor], since: int) -> bool:
    """Whether two steps read the same leaves, or what each made of them in the same way.

    Then its derivative is the same, too. What they made themselves has an index from `since` on.
    """
    if not all(a.value is b.value or equal(a.value, b.value) for a, b in zip(first, second, strict=True)):
        return False
    waiting = [(a.node, b.node) for a, b in zip(first, second, strict=True)]
    seen: set[tuple[int, int]] = set()
    while waiting:
        a, b = waiting.pop()
        if a is b or (id(a), id(b)) in seen:
            continue
        if is_constant(a) and is_constant(b):
            continue
        if a is None or b is None or a.index < since or not _made_alike(a, b):
            return False
        seen.add((id(a), id(b)))
        waiting += zip(a.parents, b.parents, strict=True)
    return True


def is_constant(node: Node | None) -> bool:
    """Whether it is a tensor's that nothing was computed for, and that needs no gradient."""
    return node is None or (node.plan is None and not node.needs_grad)


def _made_alike(a: Node, b: Node) -> bool:
    """Whether it was by the same operation, with the same settings."""
    if a.plan is None or a.plan is not b.plan or len(a.parents) != len(b.parents):
        return False
    one, other = a.saved or (), b.saved or ()
    return len(one) == len(other) and all(map(_equal_setting, one, other))


def _equal_setting(x: Any, y: Any) -> bool:
    return equal(x, y) if isinstance(x, np.ndarray) else bool(frozen(x) == frozen(y))


def equal(a: Any, b: Any) -> bool:
    """Whether both are arrays of one dtype with the same numbers; NaN is the same as NaN."""
    return (
        isinstance(b, np.ndarray)
        and a.shape == b.shape
        and a.dtype == b.dtype
        and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    )
