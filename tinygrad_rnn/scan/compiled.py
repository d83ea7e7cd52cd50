"""The compiled loop on the tape: one node, whose backward is the backward program."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
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
from .cotangents import NO_VALUE, Cotangents
from .errors import CompilerError, UntraceableError
from .loop import Loop, described
from .same import equal
from .step import Step, Var

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
        error.add_note(_WHERE.format(described(loop.cell)))
        raise
    c = len(loop.starts)
    return loop.nest_carry(tensors[:c]), captured.nest_ys(tensors[c:])


_WHERE = "This is in {}, which is compiled; scan(…, unroll=True) shows the line of the cell."


def _outputs(language: Language, loop: Loop, captured: Capture, checkpoint: int | None) -> list[Tensor]:
    """The tensors of the last carry and of the ys."""
    inputs = [*loop.starts, *loop.sequences, *captured.outer]
    needs = [t.node is not None and t.node.needs_grad for t in inputs]
    if not any(needs) or not grad_enabled.get():
        forward = _program(captured, language, None).forward
        return [*map(Tensor, _apart(_forward(forward, loop, [t.value for t in inputs]), inputs))]
    carry, xs, constants = _parted(needs, len(loop.starts), len(loop.sequences))
    wanted = tuple(carry), tuple(xs), tuple(constants)
    program = _program(captured, language, wanted)
    return _Run(program.derivative(*wanted), loop, inputs, program.step, checkpoint).recorded()


class _Parted(NamedTuple):
    """Something for each input of a loop: for its carries, its xs, and what it reads from outside."""

    carry: list[Any]
    xs: list[Any]
    constants: list[Any]


def _parted(inputs: Sequence[Any], carries: int, xs: int) -> _Parted:
    return _Parted([*inputs[:carries]], [*inputs[carries : carries + xs]], [*inputs[carries + xs :]])


def _along_time(arrays: Iterable[Array], reverse: bool) -> list[Array]:
    """Arrays of all steps, turned from the order of time to that in which the steps are taken, or back."""
    return [a[::-1] for a in arrays] if reverse else [*arrays]


def _forward(forward: Forward, loop: Loop, values: Sequence[Array]) -> list[Array]:
    """The last carry and the ys, with nothing kept."""
    carry, xs, constants = _parted(values, len(loop.starts), len(loop.sequences))
    ran = forward.run(loop.length, carry, _along_time(xs, loop.reverse), constants)
    ys = [ran.all(y, loop.length) for y in forward.step.ys]
    return [np.asarray(v) for v in (*ran.carry, *_along_time(ys, loop.reverse))]


def _own(t: Tensor) -> Array:
    """The value in memory that nobody outside can write to while a backward is pending."""
    if t.node is not None and t.node.plan is not None and t.node.origin is None:
        return t.value
    return np.array(t.value, order="K")


def _seal(t: Tensor) -> Seal:
    """What notices a write to its array."""
    called = t.name or "xs"
    return find(t.value) or seal(t.value, lambda: called)


def _apart(results: Sequence[Array], inputs: Sequence[Tensor]) -> list[Array]:
    """Results that share memory neither with an input, if one was handed through, nor with each other."""
    taken = [t.value for t in inputs]
    for v in results:
        taken.append(np.array(v) if any(np.may_share_memory(v, other) for other in taken) else v)
    return taken[len(inputs) :]


def _scan(*inputs: Any, run: _Run) -> Any:
    """What the node is called after; its value is there already."""


def _output(loop: Any, *, number: int) -> Any:
    """One of the loop's results."""


_SCAN = Plan(Primitive(_scan, "general", lambda ct, run: run.pull(ct)), [0])
_OUTPUT = Plan(Primitive(_output, "general", [lambda ct, number: Cotangents.of({number: ct})]), [0])


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
        self.cell = loop.cell
        self.nodes = [t.node if i in derivative.reached else None for i, t in enumerate(inputs)]
        c, x = self.carries, self.sequences = len(step.carry), len(step.xs)  # how many
        # Long sequences aren't copied where memory is short: a write to them is found out, as elsewhere on the tape.
        self.seals = [] if checkpoint is None else [_seal(t) for t in inputs[c : c + x]]
        self.values = [t.value if checkpoint is not None and c <= i < c + x else _own(t) for i, t in enumerate(inputs)]
        carry, xs, self.constants = _parted(self.values, c, x)
        self.xs = _along_time(xs, self.reverse)
        self.segments: list[_Segment] = []
        if checkpoint is None:
            ran = derivative.forward.run(self.length, carry, self.xs, self.constants)
            self.segments.append(_Segment(0, self.length, carry, ran))
            self.outputs = [*ran.carry, *(ran.all(y, self.length) for y in derivative.forward.step.ys)]
        else:
            self.outputs = self._run_in_segments(carry, -(-checkpoint // derivative.block) * derivative.block)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same loop over the same numbers."""
        return (
            isinstance(other, _Run)
            and self.derivative is other.derivative
            and (self.length, self.reverse) == (other.length, other.reverse)
            and len(self.segments) == len(other.segments)
            and all(map(equal, self.values, other.values))
        )

    __hash__ = object.__hash__

    def _run_in_segments(self, carry: list[Array], k: int) -> list[Array]:
        """The last carry and the ys, with the carry kept at every k-th step only."""
        light, length = self.derivative.light, self.length
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
        node = Node(NO_VALUE, True, _SCAN, self.nodes, (self,), self.seals)
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

    def pull(self, ct: Cotangents) -> tuple[Any, ...]:
        """The cotangents of the inputs that need one: arrays, or tensors if those that come are tensors."""
        if any(isinstance(part, Tensor) for part in ct.parts.values()):
            return self._pull_unrolled(ct, record=True)
        try:
            pulled = self._pull(ct)
        except Exception as error:
            error.add_note(_WHERE.format(f"the backward of {described(self.cell)}"))
            raise
        if len(ct.parts) == self.count:
            return pulled
        # A result that nobody used counted as one with the cotangent 0, and 0 times infinity is NaN.
        if not all(g is None or _is_finite(g) for g in pulled):
            return self._pull_unrolled(ct, record=False)
        reached = self.derivative.leading_to(frozenset(ct.parts))
        return tuple([g if i in reached else None for i, g in enumerate(pulled)])

    def _pull(self, ct: Cotangents) -> tuple[Any, ...]:
        """The cotangents of the inputs, by the backward program: segment by segment, from the last to the first."""
        derivative, c = self.derivative, self.carries
        deltas = [self._cotangent(ct, i).copy() for i in derivative.carry]
        cts = _along_time([self._cotangent(ct, c + i) for i in derivative.given], self.reverse)
        once = derivative.emitted.once(*self.constants)
        sums: list[Array] | None = None
        by_xs: list[Any] = []
        for start, stop, carry, kept in reversed(self.segments):
            n = stop - start
            ran = kept or derivative.forward.run(n, carry, [x[start:stop] for x in self.xs], self.constants)
            deltas, parts, sums = derivative.pull(n, ran, once, deltas, [part[start:stop] for part in cts], sums)
            if len(self.segments) == 1:
                by_xs = parts
                break
            by_xs = by_xs or [np.empty((self.length, *part.shape[1:]), part.dtype) for part in parts]
            for whole, part in zip(by_xs, parts, strict=True):
                whole[start:stop] = part
        out: list[Any] = [None] * len(self.values)
        for i, delta in zip(derivative.carry, deltas, strict=True):
            out[i] = delta
        for i, by_x in zip(derivative.xs, _along_time(by_xs, self.reverse), strict=True):
            out[c + i] = by_x
        by_constants = derivative.gradients(sums or [], self.constants, once)
        for i, by_constant in zip(derivative.constants, by_constants, strict=True):
            out[c + self.sequences + i] = by_constant
        return tuple([None if g is None else np.asarray(g) for g in out])

    def _cotangent(self, ct: Cotangents, k: int) -> Array:
        """That of the k-th result; if none came, zeros without memory."""
        part = ct.parts.get(k)
        return _zeros(*self.forms[k]) if part is None else part

    def _pull_unrolled(self, ct: Cotangents, *, record: bool) -> tuple[Any, ...]:
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
        pulled = pull_plain(ys, cts, wanted, record=record, free=not record, since=since)
        by_input = {id(t): g for t, g in zip(wanted, pulled, strict=True)}
        gradients = [by_input.get(id(t)) for t in inputs]
        return tuple([g if record or g is None else g.value for g in gradients])

    def _unrolled(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The last carry and the ys, by the step's equations on the tape."""
        step = self.step
        carry, xs, constants = _parted(inputs, self.carries, self.sequences)
        ys: list[list[Any]] = [[] for _ in step.ys]
        for t in range(self.length - 1, -1, -1) if self.reverse else range(self.length):
            values: dict[Var, Any] = dict(zip(step.carry, carry, strict=True))
            values |= {v: getitem(s, t) for v, s in zip(step.xs, xs, strict=True)}
            values |= dict(zip(step.constants, constants, strict=True))
            for e in step.equations:
                values[e.out] = e.prim.apply(*[values[a] if isinstance(a, Var) else a for a in e.args], **e.kwargs)
            carry = [values[v] for v in step.new_carry]
            for column, v in zip(ys, step.ys, strict=True):
                column.append(values[v])
        stacked = [stack(column[::-1] if self.reverse else column) for column in ys]
        return [*carry, *stacked]
