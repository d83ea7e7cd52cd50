"""The compiled loop on the tape: one node, whose backward is the backward program."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..backward import pull_plain
from ..ops import getitem, stack
from ..primitive import Plan, Primitive
from ..seal import Seal, find, seal
from ..tape import Array, Node, Tensor, enable_grad, grad_enabled
from ..transforms import variable
from .backend import Language, backend
from .capture import Capture
from .choice import decided, give_up
from .loop import Loop
from .trace import CompilerError, Step, UntraceableError, Var

if TYPE_CHECKING:
    from .program import Derivative, Forward, LoopProgram, Ran, Wanted

__all__ = ["compiled"]


def _program(captured: Capture, language: Language, wanted: Wanted | None) -> LoopProgram:
    """A captured step's program, compiled if there is none yet; in NumPy, if none of its loops can be in C."""
    programs = captured.end.programs
    program = programs.get(language)
    if program is None:
        from .program import LoopProgram  # the compiler, loaded when there is something to compile

        try:
            program = programs[language] = LoopProgram(captured, language)
        except UntraceableError as error:
            program = programs[language] = str(error)
    if isinstance(program, str):
        raise UntraceableError(program)
    if language == "c" and not program.is_in_c(wanted):
        return _program(captured, "numpy", wanted)
    found_program: LoopProgram = program
    return found_program


def compiled(loop: Loop, captured: Capture, checkpoint: int | None) -> tuple[Any, Any]:
    """The last carry and the ys. Raises `UntraceableError` if the step can't be compiled."""
    language = decided(captured, loop.length)
    try:
        try:
            tensors = _outputs(language, loop, captured, checkpoint)
        except CompilerError as error:
            if backend.get() != "auto":
                raise
            give_up(error)
            tensors = _outputs("numpy", loop, captured, checkpoint)
    except UntraceableError:
        raise
    except Exception as error:
        error.add_note(_WHERE.format(loop.described()))
        raise
    c = len(loop.starts)
    return loop.nest_carry(tensors[:c]), captured.nest_ys(tensors[c:])


_WHERE = "This is in {}, which is compiled; scan(…, unroll=True) shows the line of the cell."


def _outputs(language: Language, loop: Loop, captured: Capture, checkpoint: int | None) -> list[Tensor]:
    inputs = [*loop.starts, *loop.sequences, *captured.outer]
    needs = [t.node is not None and t.node.needs_grad for t in inputs]
    c, x = len(loop.starts), len(loop.sequences)
    if not any(needs) or not grad_enabled.get():
        forward = _program(captured, language, None).forward
        return [*map(Tensor, _apart(_forward(forward, loop, [t.value for t in inputs], c, x), inputs))]
    wanted = tuple(needs[:c]), tuple(needs[c : c + x]), tuple(needs[c + x :])
    program = _program(captured, language, wanted)
    return _Run(program.derivative(*wanted), loop, inputs, program.step, checkpoint).recorded()


def _forward(forward: Forward, loop: Loop, values: Sequence[Array], c: int, x: int) -> list[Array]:
    """The last carry and the ys, with nothing kept."""
    xs = [v[::-1] if loop.reverse else v for v in values[c : c + x]]
    ran = forward.run(loop.length, values[:c], xs, values[c + x :])
    ys = [ran.all(y, loop.length) for y in forward.step.ys]
    return [np.asarray(v) for v in (*ran.carry, *(y[::-1] if loop.reverse else y for y in ys))]


def _own(t: Tensor) -> Array:
    """The value in memory that nobody outside can write to while a backward is pending."""
    if t.node is not None and t.node.plan is not None and t.node.origin is None:
        return t.value
    return np.array(t.value, order="K")


def _seal(t: Tensor) -> Seal:
    called = t.name or "xs"
    return find(t.value) or seal(t.value, lambda: called)


def _apart(results: Sequence[Array], inputs: Sequence[Tensor]) -> list[Array]:
    """Results that share memory neither with an input, if one was handed through, nor with each other."""
    taken = [t.value for t in inputs]
    for v in results:
        taken.append(np.array(v) if any(np.may_share_memory(v, other) for other in taken) else v)
    return taken[len(inputs) :]


class _Cotangents(np.ndarray):
    """The cotangents of several results, some of which may be missing: an empty array that carries them."""

    parts: dict[int, Any]

    def __add__(self, other: Any) -> Any:
        parts = dict(self.parts)
        for k, ct in other.parts.items():
            parts[k] = parts[k] + ct if k in parts else ct
        return _cotangents(parts)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """⟨x, x⟩, for the norm, is that of all that it carries."""
        if function is np.vdot:
            return sum(np.vdot(part, part) for part in self.parts.values())
        return super().__array_function__(function, types, args, kwargs)


_NO_VALUE = np.empty(0)


def _cotangents(parts: dict[int, Any]) -> _Cotangents:
    made = _NO_VALUE.view(_Cotangents)
    made.parts = parts
    return made


def _scan(*inputs: Any, run: _Run) -> Any:
    """What the node is called after; its value is there already."""


def _output(loop: Any, *, number: int) -> Any:
    """One of the loop's results."""


_SCAN = Plan(Primitive(_scan, "general", lambda ct, run: run.pull(ct)), [0])
_OUTPUT = Plan(Primitive(_output, "general", [lambda ct, number: _cotangents({number: ct})]), [0])


@functools.lru_cache(256)
def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.broadcast_to(np.zeros((), dtype), shape)


def _is_finite(x: Array) -> bool:
    """Whether no element is NaN or infinite: ‖x‖² tells in no time, unless it overflows."""
    return math.isfinite(np.vdot(x, x)) or bool(np.isfinite(x).all())


class _Segment(NamedTuple):
    """Some steps of a run, and the carry before them; what they left for the backward, unless it is made anew."""

    start: int
    stop: int
    carry: list[Array]
    ran: Ran | None


class _Run:
    """One run of a compiled loop, of which a gradient is wanted."""

    def __init__(
        self, derivative: Derivative, loop: Loop, inputs: Sequence[Tensor], step: Step, checkpoint: int | None
    ) -> None:
        self.derivative, self.step, self.length, self.reverse = derivative, step, loop.length, loop.reverse
        self.described = loop.described()
        self.nodes = [t.node if i in derivative.reached else None for i, t in enumerate(inputs)]
        c, x = self.carries, self.sequences = len(step.carry), len(step.xs)
        # Long sequences aren't copied where memory is short: a write to them is found out, as elsewhere on the tape.
        self.seals = [] if checkpoint is None else [_seal(t) for t in inputs[c : c + x]]
        self.values = [t.value if checkpoint is not None and c <= i < c + x else _own(t) for i, t in enumerate(inputs)]
        self.constants = self.values[c + x :]
        self.xs = [v[::-1] if self.reverse else v for v in self.values[c : c + x]]
        self.segments: list[_Segment] = []
        if checkpoint is None:
            ran = derivative.forward.run(self.length, self.values[:c], self.xs, self.constants)
            self.segments.append(_Segment(0, self.length, self.values[:c], ran))
            self.outputs = [*ran.carry, *(ran.all(y, self.length) for y in derivative.forward.step.ys)]
        else:
            self.outputs = self._run_in_segments(-(-checkpoint // derivative.block) * derivative.block)

    def _run_in_segments(self, k: int) -> list[Array]:
        """The last carry and the ys, with the carry kept at every k-th step only."""
        light, length = self.derivative.light, self.length
        carry = list(self.values[: self.carries])
        ys = [np.empty((length, *y.shape), y.dtype) for y in light.step.ys]
        for start in range(0, length, k):
            stop = min(start + k, length)
            self.segments.append(_Segment(start, stop, carry, None))
            ran = light.run(stop - start, carry, [x[start:stop] for x in self.xs], self.constants)
            carry = ran.carry
            for whole, y in zip(ys, light.step.ys, strict=True):
                whole[start:stop] = ran.all(y, stop - start)
        return [*carry, *ys]

    def recorded(self) -> list[Tensor]:
        """The results as tensors of the tape."""
        node = Node(_NO_VALUE, True, _SCAN, self.nodes, (self,), self.seals)
        node.name = f"{self.length} steps"
        c, tensors = self.carries, []
        depend = {*self.derivative.carry, *(c + i for i in self.derivative.given)}
        for k, v in enumerate(self.outputs):
            value = np.asarray(v)[::-1] if k >= c and self.reverse else np.asarray(v)
            # What has no gradient can be written to, and is no part of what the backward reads.
            own = Node(value, True, _OUTPUT, (node,), (k,)) if k in depend else None
            tensors.append(Tensor(np.array(value) if own is None else value, own))
        self.forms = [(np.shape(v), v.dtype) for v in self.outputs]
        self.count = len(depend)
        del self.outputs
        return tensors

    def pull(self, ct: _Cotangents) -> tuple[Any, ...]:
        """The cotangents of the inputs that need one: arrays, or tensors if those that come are tensors."""
        if any(isinstance(part, Tensor) for part in ct.parts.values()):
            return self._pull_unrolled(ct, record=True)
        try:
            found = self._pull(ct)
        except Exception as error:
            error.add_note(_WHERE.format(f"the backward of {self.described}"))
            raise
        if len(ct.parts) == self.count:
            return found
        # A result that nobody used counted as one with the cotangent 0, and 0 times infinity is NaN.
        if not all(f is None or _is_finite(f) for f in found):
            return self._pull_unrolled(ct, record=False)
        reached = self.derivative.leading_to(frozenset(ct.parts))
        return tuple([f if i in reached else None for i, f in enumerate(found)])

    def _pull(self, ct: _Cotangents) -> tuple[Any, ...]:
        derivative, c = self.derivative, self.carries
        deltas = [self._cotangent(ct, i).copy() for i in derivative.carry]
        cts = [self._cotangent(ct, c + i) for i in derivative.given]
        cts = [part[::-1] for part in cts] if self.reverse else cts
        once = derivative.emitted.once(*self.constants)
        sums: list[Array] | None = None
        by_xs: list[Any] = []
        for start, stop, carry, kept in reversed(self.segments):
            n = stop - start
            ran = kept or derivative.forward.run(n, carry, [x[start:stop] for x in self.xs], self.constants)
            deltas, found, sums = derivative.pull(n, ran, once, deltas, [part[start:stop] for part in cts], sums)
            if len(self.segments) == 1:
                by_xs = found
                break
            by_xs = by_xs or [None if f is None else np.empty((self.length, *f.shape[1:]), f.dtype) for f in found]
            for whole, f in zip(by_xs, found, strict=True):
                if f is not None:
                    whole[start:stop] = f
        out: list[Any] = [None] * len(self.values)
        for i, delta in zip(derivative.carry, deltas, strict=True):
            out[i] = delta
        for i, by_x in zip(derivative.xs, by_xs, strict=True):
            out[c + i] = by_x[::-1] if self.reverse else by_x
        by_constants = derivative.gradients(sums or [], self.constants, once)
        for i, by_constant in zip(derivative.constants, by_constants, strict=True):
            out[c + self.sequences + i] = by_constant
        return tuple([None if found is None else np.asarray(found) for found in out])

    def _cotangent(self, ct: _Cotangents, k: int) -> Array:
        """That of the k-th result; if none came, zeros without memory."""
        part = ct.parts.get(k)
        return _zeros(*self.forms[k]) if part is None else part

    def _pull_unrolled(self, ct: _Cotangents, *, record: bool) -> tuple[Any, ...]:
        """The same through the unrolled loop; recorded, so that it can be differentiated again."""
        # A variable for each input: one tensor may be several of them.
        inputs = [Tensor(v, node) for v, node in zip(self.values, self.nodes, strict=True)]
        inputs = [variable(t) if t.requires_grad else t for t in inputs]
        since = Node(np.zeros(()), needs_grad=False).index
        with enable_grad():
            outputs = self._unrolled(inputs)
        pairs = [
            (outputs[k], part if isinstance(part, Tensor) else Tensor(np.asarray(part)))
            for k, part in ct.parts.items()
            if outputs[k].requires_grad
        ]
        wanted = [t for t in inputs if t.requires_grad]
        ys, cts = [y for y, _ in pairs], [c for _, c in pairs]
        found = pull_plain(ys, cts, wanted, record=record, free=not record, since=since)
        by_input = {id(t): f for t, f in zip(wanted, found, strict=True)}
        out = []
        for t in inputs:
            f = by_input.get(id(t))
            out.append(f if record or f is None else f.value)
        return tuple(out)

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
