"""The read-only view of a recorded graph: what a picture, a debugger or a lab may know of the tape.

A view holds no arrays and no tape nodes, so keeping one keeps no memory alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, TypeAlias

from .scope import Scope
from .tape import Tensor

__all__ = ["Graph", "GraphNode", "Graphed", "Scope", "graph"]

Graphed: TypeAlias = Tensor  # what a graph can be asked of


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node: an operation's result, a leaf that takes a gradient, or a named constant.

    `id` numbers nodes in the order in which the tape made them, which is a topological order: `parents` < `id`.
    `grad_norm` is ‖∂L/∂node‖₂ once a backward has run, `None` before.
    """

    id: int
    op: str  # "tanh", "matmul", ...; "" for leaves
    kind: Literal[
        "leaf", "constant", "operation"
    ]  # a leaf takes a gradient; a constant is a named input that takes none
    name: str | None
    shape: tuple[int, ...]
    dtype: str
    scope: Scope
    parents: tuple[int, ...]  # in argument order; an argument that is an unnamed constant has no entry
    grad_norm: float | None


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes that a tensor was computed from, in the tape's order; `outputs` are the ids that were asked for."""

    nodes: tuple[GraphNode, ...]
    outputs: tuple[int, ...]


def graph(*outputs: Tensor) -> Graph:
    """Everything that `outputs` were computed from: leaves, named constants and operations.

    Raises `TypeError` for what is no tensor, `ValueError` for a tensor that the tape knows nothing of.
    """
    for t in outputs:
        if not isinstance(t, Tensor):
            raise TypeError(f"graph: want tensors, got {type(t).__name__}")
    roots = [t.node for t in outputs if t.node is not None]
    if len(roots) != len(outputs) or not roots:
        raise ValueError("graph: want one or more tensors computed from a tensor that has requires_grad=True")
    seen = set(roots)
    stack = list(seen)
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    order = sorted(seen, key=attrgetter("index"))
    number = {node: i for i, node in enumerate(order)}
    nodes = tuple(
        GraphNode(
            id=number[n],
            op=n.plan.primitive.name if n.plan else "",
            kind="operation" if n.plan else "leaf" if n.needs_grad else "constant",
            name=n.name,
            shape=n.shape,
            dtype=str(n.dtype),
            scope=n.scope._replace(line=None),
            parents=tuple(number[p] for p in n.parents if p is not None),
            grad_norm=n.grad_norm,
        )
        for n in order
    )
    return Graph(nodes, tuple(number[n] for n in roots))
