"""Trading time for memory: a function whose inner results are not kept but worked out again in the backward pass."""

from __future__ import annotations

import contextvars
import functools
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backward import pull_plain, recorded
from .ops import astype, getitem, reshape
from .primitive import Plan, Primitive, Rule, record
from .seal import Seal
from .tape import Array, Lifted, Node, Tensor, grad_enabled
from .transforms import variable
from .tree import flatten, leaves

__all__ = ["checkpoint"]


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, of which the tape keeps the arguments only: the backward pass runs it again to get at what is inside.

    Memory for a long computation in k checkpointed parts is that of the parts' arguments and of one part; the time is
    that of one more forward pass. Gradients are the same, up to the order in which contributions are added, by
    arguments and by whatever f reads from outside, such as a module's parameters. In forward mode nothing is kept
    anyway, and f runs as it is.

    Args:
        f: takes anything, returns tensors, or nested tuples, lists and dictionaries of them. Given the same arguments
            it must give the same results: draw random masks outside.

    Raises `RuntimeError` in the backward pass if the second run's results aren't the first one's.

    >>> from tinygrad_rnn import grad, tanh
    >>> grad(checkpoint(lambda x: tanh(tanh(x))))(0.5).item()
    0.63980...
    """

    @functools.wraps(f)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        given, nested = flatten((args, kwargs))
        if not grad_enabled.get() or any(isinstance(a, Lifted) for a in given):
            return f(*args, **kwargs)
        places = [i for i, a in enumerate(given) if isinstance(a, Tensor) and a.requires_grad]
        settings = contextvars.copy_context()

        def run(xs: Sequence[Tensor]) -> _Run:
            """f, with variables in place of the arguments that need a gradient."""
            variables = [variable(x) for x in xs]
            inside = list(given)
            for i, v in zip(places, variables, strict=True):
                inside[i] = v
            again_args, again_kwargs = nested(inside)
            since = Node(np.zeros(()), needs_grad=False).index
            return _Run(variables, since, settings.copy().run(f, *again_args, **again_kwargs))

        arguments = [given[i] for i in places]
        first = run([x.detach() for x in arguments])
        results, renested = flatten(first.out)
        if any(isinstance(t, Lifted) for t in results):
            return f(*args, **kwargs)  # it reads a lifted tensor from outside
        if not first.made:
            return first.out
        outside, seals = first.reached()
        values = [t.value for t in first.made]
        forms = [(v.shape, v.dtype) for v in values]
        fingerprints = list(map(_fingerprint, values))

        def rule(ct: Any, xs: Any) -> tuple[Any, ...]:
            recording = isinstance(ct, Tensor)
            again = run([x if recording else Tensor(x) for x in xs[: len(places)]])
            if [_fingerprint(t.value) for t in again.made] != fingerprints or set(again.reached()[0]) != set(outside):
                raise RuntimeError(
                    f"checkpoint: run a second time, in the backward pass, {_name(f)} gave other results than the "
                    "first time, or read other tensors; it must not draw random numbers, and what it reads from "
                    "outside must be the same"
                )
            cts = [c if recording else Tensor(c) for c in _parts(ct, forms)]
            inputs = [*again.variables, *_stand_ins(outside)]
            found = pull_plain(again.made, cts, inputs, record=recording, free=not recording, since=again.since)
            nodes = [recorded("checkpoint", x) for x in inputs]
            parts = [Tensor(np.zeros(n.shape, n.dtype)) if g is None else g for g, n in zip(found, nodes, strict=True)]
            return tuple(parts) if recording else tuple(p.value for p in parts)

        joined = _result(_joined(values), rule, [*arguments, *_stand_ins(outside)], seals)
        parts = iter(_parts(joined, forms))
        return renested(next(parts) if isinstance(t, Tensor) and t.requires_grad else t for t in results)

    return checkpointed


class _Run:
    """One run of the function: the variables it got, the first node made after them, and what it returned."""

    def __init__(self, variables: list[Tensor], since: int, out: Any) -> None:
        self.variables, self.since, self.out = variables, since, out
        self.made = [t for t in leaves(out) if isinstance(t, Tensor) and t.requires_grad]

    def reached(self) -> tuple[list[Node], list[Seal]]:
        """The nodes from outside, not variables, that the results were computed from; the seals on what was kept."""
        stack = [recorded("checkpoint", t) for t in self.made]
        seen = dict.fromkeys(stack)
        while stack:
            node = stack.pop()
            for parent in node.parents if node.index >= self.since else ():
                if parent is not None and parent.needs_grad and parent not in seen:
                    seen[parent] = None
                    stack.append(parent)
        own = {v.node for v in self.variables}
        seals = dict.fromkeys(seal for node in seen if node.index >= self.since for seal in node.seals)
        return [n for n in seen if n.index < self.since and n not in own], list(seals)


def _checkpoint(*xs: Any) -> Any:
    """What a checkpoint's node is called after; its value is there already."""


def _result(value: Array, rule: Rule, arguments: Sequence[Tensor], seals: Sequence[Seal]) -> Tensor:
    """The value as the result of one node, with a rule of its own."""
    plan = Plan(Primitive(_checkpoint, "general", rule), [0])
    node = record(plan, [t.node for t in arguments], [t.value for t in arguments], value, {})
    node.seals = (*node.seals, *seals)  # what the second run will read must not be written to before it
    return Tensor(value, node)


def _stand_ins(outside: Sequence[Node]) -> list[Tensor]:
    """Tensors of nodes whose values nobody needs."""
    return [Tensor(np.zeros(()), node) for node in outside]


# A primitive has one result: several are written one after the other.


def _joined(values: Sequence[Array]) -> Array:
    return values[0] if len(values) == 1 else np.concatenate([np.ravel(v) for v in values])


def _parts(joined: Any, forms: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> list[Any]:
    if len(forms) == 1:
        return [joined]
    parts = []
    start = 0
    for shape, dtype in forms:
        stop = start + math.prod(shape)
        parts.append(astype(reshape(getitem(joined, slice(start, stop)), shape), dtype))
        start = stop
    return parts


def _fingerprint(value: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(value).data)


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__qualname__", repr(f))
