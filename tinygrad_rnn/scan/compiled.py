"""The compiled loop on the tape: one node, whose backward is the backward program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backward import pull_plain
from ..ops import getitem, stack
from ..primitive import Plan, Primitive, record
from ..tape import Array, Lifted, Node, Tensor, enable_grad, grad_enabled
from ..tree import flatten
from ..watch import watchers
from .capture import Capture, capture
from .loop import Loop
from .program import Derivative, LoopProgram, Ran
from .trace import Step, Untraceable, Var

__all__ = ["compiled", "program_of"]


def program_of(loop: Loop) -> tuple[Capture, LoopProgram]:
    """The loop's captured step and its program, compiled if there is none yet."""
    if watchers.get():
        raise Untraceable("somebody watches every operation")
    try:
        found = capture(loop)
        if found.end.program is None:
            found.end.program = LoopProgram(found)
    except Untraceable:
        raise
    except Exception as error:
        raise Untraceable(f"{type(error).__name__}: {error}") from error
    return found, found.end.program


def compiled(loop: Loop) -> tuple[Any, Any]:
    """The last carry and the ys. Raises `Untraceable` if the loop can't be compiled."""
    carry, nest_carry = flatten(loop.carry)
    xs, _ = flatten(loop.xs)
    if any(isinstance(t, Lifted) for t in (*carry, *xs)):
        raise Untraceable("its arguments carry tangents, or stand for many examples")
    if loop.length == 0:
        raise Untraceable("there are no steps")
    found, program = program_of(loop)
    inputs = [*carry, *xs, *found.outer]
    needs = [t.node is not None and t.node.needs_grad for t in inputs]
    derivative = None
    if any(needs) and grad_enabled.get():
        c, x = len(carry), len(xs)
        derivative = program.derivative(tuple(needs[:c]), tuple(needs[c : c + x]), tuple(needs[c + x :]))
    values = [t.value if derivative is None else _own(t) for t in inputs]
    length, c, x = loop.length, len(carry), len(xs)
    sequences = [v[::-1] if loop.reverse else v for v in values[c : c + x]]
    forward = program.forward if derivative is None else derivative.forward
    ran = forward.run(length, values[:c], sequences, values[c + x :])
    ys = [ran.all(y, length) for y in forward.step.ys]
    outputs = [*ran.carry, *(y[::-1] if loop.reverse else y for y in ys)]
    if derivative is None:
        tensors = [Tensor(_safe(v, inputs)) for v in outputs]
    else:
        run = _Run(derivative, ran, length, loop.reverse, inputs, values, program.step, len(carry))
        tensors = run.recorded(outputs)
    return nest_carry(tensors[:c]), found.nest_ys(tensors[c:])


def _own(t: Tensor) -> Array:
    """The value in memory that nobody outside can write to while a backward is pending."""
    if t.node is not None and t.node.plan is not None and t.node.origin is None:
        return t.value
    return t.value.copy(order="K")


def _safe(v: Array, inputs: Sequence[Tensor]) -> Array:
    return v.copy() if any(v is t.value or v.base is t.value for t in inputs) else v


class _Cotangents(np.ndarray):  # type: ignore[type-arg]
    """The cotangents of several results, some of which may be missing: an empty array that carries them."""

    parts: dict[int, Any]

    def __add__(self, other: Any) -> Any:
        parts = dict(self.parts)
        for k, ct in other.parts.items():
            parts[k] = parts[k] + ct if k in parts else ct
        return _cotangents(parts)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        return self


def _cotangents(parts: dict[int, Any]) -> _Cotangents:
    made = np.empty(0).view(_Cotangents)
    made.parts = parts
    return made


def _scan(*inputs: Any, run: _Run) -> Any:
    """What the node is called after; its value is there already."""


def _output(loop: Any, *, number: int) -> Any:
    """One of the loop's results."""


_SCAN = Plan(Primitive(_scan, "general", lambda ct, run: run.pull(ct)), [0])
_OUTPUT = Plan(Primitive(_output, "general", [lambda ct, number: _cotangents({number: ct})]), [0])


class _Run:
    """One run of a compiled loop, of which a gradient is wanted."""

    def __init__(
        self, derivative: Derivative, ran: Ran, length: int, reverse: bool, inputs: Sequence[Tensor],
        values: Sequence[Array], step: Step, carries: int,
    ) -> None:
        self.derivative, self.ran, self.length, self.reverse = derivative, ran, length, reverse
        self.nodes = [t.node for t in inputs]
        self.values, self.step, self.carries = values, step, carries
        self.forms = [(v.shape, v.dtype) for v in values]

    def recorded(self, outputs: Sequence[Array]) -> list[Tensor]:
        """The results as tensors of the tape."""
        self.outputs = [(v.shape, v.dtype) for v in outputs]
        whole = np.empty(0)
        node = record(_SCAN, self.nodes, self.values, whole, {"run": self})
        tensors = []
        for k, v in enumerate(outputs):
            if v.dtype.kind != "f":
                tensors.append(Tensor(v))
                continue
            tensors.append(Tensor(v, Node(v, True, _OUTPUT, (node,), (k,))))
        return tensors

    def pull(self, ct: _Cotangents) -> tuple[Any, ...]:
        """The cotangents of all inputs: arrays, or tensors if those that come are tensors."""
        if any(isinstance(part, Tensor) for part in ct.parts.values()):
            return self._pull_recorded(ct)
        derivative, step, length, c = self.derivative, self.step, self.length, self.carries
        deltas = []
        for i in derivative.carry:
            part = ct.parts.get(i)
            deltas.append(np.zeros(*self.outputs[i]) if part is None else np.array(part))
        cts = []
        for i in derivative.given:
            part = ct.parts.get(c + i)
            if part is None:
                part = np.broadcast_to(np.zeros((), self.outputs[c + i][1]), self.outputs[c + i][0])
            cts.append(part[::-1] if self.reverse else part)
        deltas, by_xs, sums = derivative.pull(length, self.ran, deltas, cts, None)
        by_constants = derivative.gradients(sums, self.ran.constants)
        out: list[Any] = [None] * len(self.values)
        for i, delta in zip(derivative.carry, deltas, strict=True):
            out[i] = delta
        for k, found in zip(derivative.outputs, by_xs, strict=True):
            out[c + derivative.xs[k]] = found[::-1] if self.reverse and found is not None else found
        for i, found in zip(derivative.constants, by_constants, strict=True):
            out[c + len(step.xs) + i] = found
        return tuple(
            np.zeros(*form) if found is None else np.asarray(found) for found, form in zip(out, self.forms, strict=True)
        )

    def _pull_recorded(self, ct: _Cotangents) -> tuple[Any, ...]:
        """The same through the unrolled loop, recorded, so that it can be differentiated again."""
        since = Node(np.zeros(()), needs_grad=False).index
        inputs = [Tensor(v, node) for v, node in zip(self.values, self.nodes, strict=True)]
        with enable_grad():
            outputs = self._unrolled(inputs)
        pairs = [
            (outputs[k], part if isinstance(part, Tensor) else Tensor(np.asarray(part)))
            for k, part in ct.parts.items()
            if outputs[k].requires_grad
        ]
        wanted = [t for t in inputs if t.requires_grad]
        found = pull_plain([o for o, _ in pairs], [p for _, p in pairs], wanted, record=True, free=False, since=since)
        by_node = {id(t): f for t, f in zip(wanted, found, strict=True)}
        zeros = [Tensor(np.zeros(*form)) for form in self.forms]
        return tuple(z if by_node.get(id(t)) is None else by_node[id(t)] for t, z in zip(inputs, zeros, strict=True))

    def _unrolled(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        step, c, x = self.step, self.carries, len(self.step.xs)
        carry: list[Any] = list(inputs[:c])
        constants = inputs[c + x :]
        ys: list[list[Any]] = [[] for _ in step.ys]
        for t in range(self.length - 1, -1, -1) if self.reverse else range(self.length):
            values: dict[Var, Any] = dict(zip(step.carry, carry, strict=True))
            values |= {v: getitem(s, t) for v, s in zip(step.xs, inputs[c : c + x], strict=True)}
            values |= dict(zip(step.constants, constants, strict=True))
            for e in step.equations:
                values[e.out] = e.prim.apply(*[values[a] if isinstance(a, Var) else a for a in e.args], **e.kwargs)
            carry = [values[v] for v in step.new_carry]
            for column, v in zip(ys, step.ys, strict=True):
                column.append(values[v])
        stacked = [stack(column[::-1] if self.reverse else column) for column in ys]
        return [*carry, *stacked]
