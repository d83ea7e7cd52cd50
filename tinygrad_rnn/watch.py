"""Watchers: what can look on while operations are computed and cotangents are pulled back.

A watcher sees each result as it is made, each contribution to a cotangent, and each cotangent when it is complete, in
the tape's own order. While one watches, contributions are worked out one by one and not pooled.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .scope import scopes
from .setting import Setting, setting_to
from .tape import Array, Lifted, Node, Tensor

__all__ = [
    "AnomalyError",
    "Contribution",
    "Watcher",
    "detect_anomaly",
    "record_cotangents",
    "record_values",
    "unwatched",
    "watchers",
]

watchers: Setting[tuple[Watcher, ...]] = Setting("watchers", ())


class Watcher(setting_to[tuple["Watcher", ...]], setting=watchers):
    """Looks on within its context. What it doesn't care for it needn't define."""

    def __init__(self) -> None:
        super().__init__(())

    def value_inside(self) -> tuple[Watcher, ...]:
        """Those that look on already, and this one."""
        return (*watchers.get(), self)

    def made(self, op: str, args: Sequence[Any], out: Array, node: Node | None) -> None:
        """An operation has made `out`, recorded as `node` if a gradient is wanted."""

    def contributed(self, source: Node, target: Node, ct: Any) -> None:
        """The rule of `source` gave this cotangent to its argument `target`, where it will be added up."""

    def completed(self, node: Node, ct: Any) -> None:
        """The cotangent of `node` is complete; its own rules are next."""


class unwatched(setting_to[tuple[Watcher, ...]], setting=watchers):  # noqa: N801 - a context manager
    """Within this context nobody looks on."""

    def __init__(self) -> None:
        super().__init__(())


# ------------------------------------------------------------------------------------------------------------ recording


class Contribution(NamedTuple):
    """What one use of a tensor adds to its cotangent."""

    source: Node
    target: Node
    cotangent: Array


class record_cotangents(Watcher):  # noqa: N801 - a context manager, used like a function
    """Keeps every cotangent of the backward passes within this context, in the order in which the tape reached them.

    `cotangents` has (node, ∂L/∂node) for each node, outputs first; `contributions` what each use added to each node,
    in order of arrival. `tensor.node` is a tensor's node. All arrays are copies.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor(2.0, requires_grad=True, name="x")
    >>> y = x * x
    >>> with tg.record_cotangents() as seen:
    ...     y.backward()
    >>> [float(c.cotangent) for c in seen.contributions if c.target is x.node]
    [2.0, 2.0]
    """

    def __init__(self) -> None:
        super().__init__()
        self.cotangents: list[tuple[Node, Array]] = []
        self.contributions: list[Contribution] = []

    def contributed(self, source: Node, target: Node, ct: Any) -> None:
        """Keep a contribution."""
        self.contributions.append(Contribution(source, target, _copy(ct)))

    def completed(self, node: Node, ct: Any) -> None:
        """Keep a cotangent."""
        self.cotangents.append((node, _copy(ct)))


class record_values(Watcher):  # noqa: N801 - a context manager, used like a function
    """Keeps the value of every node that is recorded within this context, and of the leaves that they were made from.

    `values` has a copy of each, by node: `seen.values[tensor.node]`. It is what `draw` shows as values.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> with tg.record_values() as seen:
    ...     y = x * x + 1.0
    >>> [float(v) for v in seen.values.values()]
    [2.0, 4.0, 5.0]
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[Node, Array] = {}

    def made(self, op: str, args: Sequence[Any], out: Array, node: Node | None) -> None:
        """Keep a result, and the leaves and named constants among its arguments."""
        if node is None:
            return
        for parent, value in zip(node.parents, args, strict=True):
            if parent is not None and parent.plan is None:
                self.values[parent] = np.array(value)
        self.values[node] = np.array(out)


def _copy(ct: Any) -> Array:
    while isinstance(ct, Lifted):  # inside `vmap`, those of all examples
        ct = ct.wrapped()[0]
    return np.array(ct.value if isinstance(ct, Tensor) else ct)


# ------------------------------------------------------------------------------------------------------------ anomalies


class AnomalyError(FloatingPointError):
    """A NaN or an infinity, where `detect_anomaly` was looking for them."""


class detect_anomaly(Watcher):  # noqa: N801 - PyTorch's name
    """Within this context, the first NaN or infinity raises `AnomalyError`, in the forward or in the backward pass.

    The error names the operation, the module and time step in which it ran, and the line that called it. For the
    backward to know that line, the forward must run in such a context too. Operations on plain arrays, without a
    tensor, aren't looked at. Looking at every number takes time: use it to find a fault, not to train.
    """

    def made(self, op: str, args: Sequence[Any], out: Array, node: Node | None) -> None:
        """Raise if a result has a NaN or an infinity; else note the line, for the backward."""
        line = _users_line()
        if node is not None:
            node.scope = node.scope._replace(line=line)
        if (found := _anomaly(out)) is not None:
            where = f" in {scopes.get()}" if str(scopes.get()) else ""
            came = [what for a in args if (what := _anomaly(np.asarray(a))) is not None]
            cause = f"an argument had one already: {came[0]}" if came else "its arguments are all finite"
            raise AnomalyError(f"detect_anomaly: the result of {op}{where} has {found}; {cause}. Called at {line}")

    def contributed(self, source: Node, target: Node, ct: Any) -> None:
        """Raise if a rule gave a NaN or an infinity."""
        if (found := _anomaly(_copy(ct))) is not None:
            where = f" in {source.scope}" if str(source.scope) else ""
            line = source.scope.line or "a line that was not noted: run the forward pass in detect_anomaly() too"
            raise AnomalyError(
                f"detect_anomaly: in the backward pass, the derivative of {source}{where} gave {found} to {target}. "
                f"Called at {line}"
            )


def _anomaly(array: Array) -> str | None:
    """The first NaN or infinity of an array, and where it is."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    bad = ~np.isfinite(array)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    place = f" at index {first}" if first else ""
    return f"{array[first]}{place} ({np.count_nonzero(bad)} of {array.size} numbers are not finite)"


_PACKAGE = __file__.rpartition(os.sep)[0] + os.sep


def _users_line() -> str:
    """The file, the line and its text of the innermost call that doesn't come from this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    path, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(path, number).strip()
    return f"{path}:{number}" + (f": {text}" if text else "")
