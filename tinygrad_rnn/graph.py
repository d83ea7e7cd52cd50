"""The read-only view of a recorded graph: what a picture, a debugger or a lab may know of the tape.

A view holds no arrays and no tape nodes, so keeping one keeps no memory alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import numpy as np

from .scope import Scope
from .tape import Node, Tensor
from .watch import record_cotangents, record_values

__all__ = [
    "Arrival",
    "BackwardStep",
    "Graph",
    "GraphNode",
    "Scope",
    "Tensor",
    "graph",
    "record_cotangents",
    "record_values",
]

_FEW = 6  # how many numbers of a value are kept


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node: an operation's result, a leaf that takes a gradient, or a named constant.

    `id` numbers nodes in the order in which the tape made them, which is a topological order: `parents` < `id`.
    `grad_norm` is ‖∂L/∂node‖₂ once a backward has run, `None` before; of a leaf, ‖grad‖₂ as it is now. `value` is its
    first few numbers, if they were recorded.
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
    value: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A contribution to the cotangent of `target`: its norm, and that of the sum of all that have arrived so far."""

    target: int
    norm: float
    total: float


@dataclass(frozen=True, slots=True)
class BackwardStep:
    """The backward pass at one node: its cotangent is complete, and its rules send their contributions on."""

    node: int
    norm: float
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes that a tensor was computed from, in the tape's order; `outputs` are the ids that were asked for.

    `backward` has the backward pass step by step, in the order in which it went, if it was recorded.
    """

    nodes: tuple[GraphNode, ...]
    outputs: tuple[int, ...]
    backward: tuple[BackwardStep, ...] = ()


def graph(*outputs: Tensor, values: record_values | None = None, cotangents: record_cotangents | None = None) -> Graph:
    """Everything that `outputs` were computed from: leaves, named constants and operations.

    Args:
        outputs: recorded tensors.
        values: what `record_values` kept of the forward pass.
        cotangents: what `record_cotangents` kept of a backward pass.

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
            value=None if values is None or n not in values.values else _few(values.values[n]),
        )
        for n in order
    )
    steps = () if cotangents is None else _backward(cotangents, number)
    return Graph(nodes, tuple(number[n] for n in roots), steps)


def _few(value: Any) -> tuple[float, ...]:
    return tuple(value.reshape(-1)[:_FEW].tolist())


def _backward(seen: record_cotangents, number: dict[Node, int]) -> tuple[BackwardStep, ...]:
    """What was recorded, of the nodes in the graph. Of several backward passes, all, one after the other."""
    sent: dict[Node, list[Arrival]] = {}
    totals: dict[Node, Any] = {}
    for source, target, ct in seen.contributions:
        if source in number and target in number:
            totals[target] = totals.get(target, 0) + ct
            arrival = Arrival(number[target], _norm(ct), _norm(totals[target]))
            sent.setdefault(source, []).append(arrival)
    return tuple(BackwardStep(number[n], _norm(ct), tuple(sent.pop(n, ()))) for n, ct in seen.cotangents if n in number)


def _norm(ct: Any) -> float:
    return float(np.linalg.norm(ct))
