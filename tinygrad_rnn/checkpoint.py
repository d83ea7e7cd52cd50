"""Trading time for memory: a function whose inner results are not kept but worked out again in the backward pass."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backward import pull_plain, recorded
from .ops import astype, getitem, reshape
from .primitive import primitive
from .tape import Array, Lifted, Node, Tensor, enable_grad, grad_enabled
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

        def run(xs: Sequence[Tensor]) -> tuple[list[Tensor], int, Any]:
            """Variables in place of the arguments that need a gradient, the first node after them, f's result."""
            variables = [variable(x) for x in xs]
            inside = list(given)
            for i, v in zip(places, variables, strict=True):
                inside[i] = v
            again_args, again_kwargs = nested(inside)
            since = Node(np.zeros(()), needs_grad=False).index
            with enable_grad():
                return variables, since, f(*again_args, **again_kwargs)

        arguments = [given[i] for i in places]
        variables, since, out = run([x.detach() for x in arguments])
        results, renested = flatten(out)
        if any(isinstance(t, Lifted) for t in results):
            return f(*args, **kwargs)  # it reads a lifted tensor from outside
        made = [t for t in results if isinstance(t, Tensor) and t.requires_grad]
        if not made:
            return out
        outside = _reached(made, variables, since)
        values = [t.value for t in made]
        fingerprints = list(map(_fingerprint, values))

        def rule(ct: Any, xs: Any) -> tuple[Any, ...]:
            record = isinstance(ct, Tensor)
            variables, since, out = run([x if record else Tensor(x) for x in xs[: len(places)]])
            again = [t for t in leaves(out) if isinstance(t, Tensor) and t.requires_grad]
            if [_fingerprint(t.value) for t in again] != fingerprints:
                raise RuntimeError(
                    f"checkpoint: run a second time, in the backward pass, {_name(f)} gave other results than the "
                    "first time; it must not draw random numbers, and what it reads must not change in between"
                )
            cts = [c if record else Tensor(c) for c in _parts(ct, values)]
            stand_ins = [Tensor(np.zeros(()), node) for node in outside]
            found = pull_plain(again, cts, [*variables, *stand_ins], record=record, free=not record, since=since)
            nodes = [recorded("checkpoint", v) for v in variables] + outside
            parts = [Tensor(np.zeros(n.shape, n.dtype)) if g is None else g for g, n in zip(found, nodes, strict=True)]
            return tuple(parts) if record else tuple(p.value for p in parts)

        def forward(*xs: Any) -> Any:
            return _joined(values)

        forward.__name__ = "checkpoint"
        # The primitive's arguments stand for nodes; those read from outside need no value.
        joined = primitive("general", rule)(forward)(*arguments, *[Tensor(np.zeros(()), node) for node in outside])
        parts = iter(_parts(joined, values))
        return renested(next(parts) if isinstance(t, Tensor) and t.requires_grad else t for t in results)

    return checkpointed


def _reached(results: Sequence[Tensor], variables: Sequence[Tensor], since: int) -> list[Node]:
    """The nodes from before `since`, other than the variables, that the results were computed from directly."""
    own = {v.node for v in variables}
    stack = [t.node for t in results if t.node is not None]
    seen = set(stack)
    found = [n for n in stack if n.index < since and n not in own]
    while stack:
        node = stack.pop()
        for parent in node.parents if node.index >= since else ():
            if parent is not None and parent.needs_grad and parent not in seen:
                seen.add(parent)
                stack.append(parent)
                if parent.index < since and parent not in own:
                    found.append(parent)
    return list(dict.fromkeys(found))


# A primitive has one result: several are written one after the other.


def _joined(values: Sequence[Array]) -> Array:
    return values[0] if len(values) == 1 else np.concatenate([np.ravel(v) for v in values])


def _parts(joined: Any, values: Sequence[Array]) -> list[Any]:
    if len(values) == 1:
        return [joined]
    ends = np.cumsum([v.size for v in values]).tolist()
    return [
        astype(reshape(getitem(joined, slice(end - v.size, end)), v.shape), v.dtype)
        for v, end in zip(values, ends, strict=True)
    ]


def _fingerprint(value: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(value).data)


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__qualname__", repr(f))
