"""A cell's step, captured by running it once on traced tensors.

A cell is captured anew at every call of its loop, so that a program never meets a cell that has changed. What has been
captured before is found again on the way: each operation leads from one state to the next, and the last state of a
known structure knows its programs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ops import asarray, getitem
from ..primitive import Primitive
from ..seal import eras_begun
from ..tape import Array, Node, Tensor, enable_grad, grad_enabled
from ..tree import flatten, leaves, map_leaves
from .errors import UntraceableError
from .form import Form, form, frozen
from .loop import Loop
from .reach import Reach
from .same import equal, is_constant, read_the_same
from .step import Equation, Operand, Step, Var, is_float
from .trace import Trace, Traced
from .variables import name_inputs, name_results, named_after_variables

__all__ = ["Capture", "Captured", "State", "capture", "forget"]


class State:
    """What has been captured so far: the operations up to here, as a path from the root."""

    __slots__ = ("dtype", "in_c", "next", "numbers", "programs", "seen", "shape")

    def __init__(self, shape: tuple[int, ...] = (), dtype: Any = None) -> None:
        self.next: dict[Hashable, State] = {}
        self.shape, self.dtype = shape, dtype  # of what the last operation computed
        self.programs: dict[str, Any] = {}  # by what their loops are written in
        self.in_c: bool | None = None  # whether its loop is in C by default; None until that is decided
        self.seen: set[Any] = set()  # the cells that were found to do the same in each step
        self.numbers: dict[Any, int] = {}  # by a cell's code: how often it went on with new ones


_LIMIT = 20_000  # states; more than that are forgotten all at once
_root, _count = State(), 0


def forget() -> None:
    """Forget all structures and their programs."""
    global _root, _count
    _root, _count = State(), 0


def _after(state: State, key: Hashable, new: State) -> State:
    global _count
    _count += 1
    return state.next.setdefault(key, new)


class _Numbered(Var):
    """A value with its place in the order of capture."""

    __slots__ = ("number",)

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], number: int) -> None:
        self.shape, self.dtype, self.number = shape, dtype, number
        self.name = self.equation = None


class _Capturing(Trace):
    """Follows the states and notes the operations; works out the real tensors where they are asked for.

    The first `inputs` values are the carry's and the input's leaves; `given` has their real tensors, by number. `code`
    is the cell's.
    """

    def __init__(self, inputs: Sequence[Form], given: Callable[[int], Tensor], code: Any) -> None:
        super().__init__()
        self.given, self.code = given, code
        self.count = self.inputs = len(inputs)
        self.values: list[Var] = [_Numbered(shape, dtype, i + 1) for i, (shape, dtype) in enumerate(inputs)]
        self.state = _root.next.get(inputs) or _after(_root, inputs, State())
        self.outer: list[Tensor] = []  # what the cell reads from outside
        self.arrays: list[Array] = []
        self.constants: list[Var] = []
        self.known: dict[int, _Numbered] = {}
        self.settings: dict[Primitive, Hashable] = {}
        self.recording = grad_enabled.get()
        self.reals: dict[Var, Tensor] = {}
        self.is_open = True
        self.reason: str | None = None  # why this can't become a program

    def refuse(self, reason: str) -> None:
        self.reason = self.reason or reason

    def real(self, var: Var) -> Tensor:
        if self.is_open:
            self.refuse(f"the cell reads the numbers of a tensor that depends on the carry or on x{self._line()}")
        return self.worked_out(var)

    def _line(self) -> str:
        """Where in the cell's code it is called from."""
        frame = sys._getframe()
        while frame.f_back is not None and frame.f_code is not self.code:
            frame = frame.f_back
        return f" ({frame.f_code.co_filename}:{frame.f_lineno})" if frame.f_code is self.code else ""

    def worked_out(self, var: Any) -> Tensor:
        """The real tensor, by the operations that lead to it."""
        needed = {var}
        for e in reversed(self.equations):
            if e.out in needed and e.out not in self.reals:
                needed.update(e.inputs)
        for v in needed:
            if v not in self.reals and v.number <= self.inputs:
                self.reals[v] = self.given(v.number)
        for e in self.equations:
            if e.out in needed and e.out not in self.reals:
                found = e.prim.apply(*[self.reals[a] if isinstance(a, Var) else a for a in e.args], **e.kwargs)
                self.reals[e.out] = asarray(found)
        return self.reals[var]

    def outside(self, x: Any) -> _Numbered:
        if isinstance(x, Traced):
            self.refuse("the cell keeps tensors from step to step, besides its carry")
            x = x.lowered()
        if not isinstance(x, Tensor):
            x = Tensor(np.asarray(x))
        elif type(x) is not Tensor:
            self.refuse("the cell reads a tensor that carries a tangent, or stands for many examples")
        if type(x) is Tensor and x.node is None:
            return self._array(x.value)
        identity = id(x.node) if type(x) is Tensor else id(x)
        return self.known.get(identity) or self._read(identity, x)

    def _read(self, identity: int, x: Tensor) -> _Numbered:
        self.count += 1
        var = self.known[identity] = _Numbered(x.shape, x.dtype, self.count)
        self.outer.append(x)
        self.constants.append(var)
        self.reals[var] = x
        return var

    def _array(self, array: Array) -> _Numbered:
        """An array, as it is now: the cell may go on to write to it."""
        var = self.known.get(id(array))
        if var is None or not equal(self.reals[var].value, array):
            self.arrays.append(array)  # while it lives, no other has its id
            var = self._read(id(array), Tensor(np.array(array, order="K")))
        return var

    def apply(self, prim: Primitive, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if not self.is_open:
            return prim.apply(*[a.lowered() if isinstance(a, Traced) else a for a in args], **kwargs)
        operands: list[Operand] = []
        ids: list[Hashable] = [prim]
        for a in args:
            if type(a) is Traced and a.tracer is self:
                operand: Any = a.symbol
                ids.append(operand.number)
            elif type(a) in _NUMBERS or type(a) is bool:
                operand = a
                ids.append((type(a), repr(a)))
            elif type(a) is Tensor and (operand := self.known.get(id(a.node))) is not None:
                ids.append(operand.number)
            else:
                operand = self.outside(a)
                ids.append((operand.number, operand.shape, operand.dtype))
            operands.append(operand)
        if kwargs:
            ids.append(frozen(kwargs))
        if not prim.is_ours:  # its rules become part of the program, and may read what changes
            ids.append(self._settings_of(prim, kwargs))
        key = tuple(ids)
        state = self.state.next.get(key)
        if state is None:
            if (dtype := self._of_changing_numbers(prim, args)) is not None:
                return self.apply(prim, [np.array(a, dtype) if type(a) in _NUMBERS else a for a in args], kwargs)
            state = self._new_state(key, prim, operands, kwargs)
        self.state = state
        self.count += 1
        out = _Numbered(state.shape, state.dtype, self.count)
        self.equations.append(Equation(prim, tuple(operands), kwargs, out))
        traced = Traced(out, self)
        if _recording().value is not self.recording:  # within no_grad() in the cell, or enable_grad()
            if not self.recording:
                self.refuse("the cell wants gradients, where none are recorded")
                return traced
            with enable_grad():
                return traced.detach()
        return traced

    def _settings_of(self, prim: Primitive, kwargs: dict[str, Any]) -> Hashable:
        """What the rules of an operation could get at, found out once, and what its own settings refer to."""
        if prim not in self.settings:
            self.settings[prim] = Reach(prim.traced()).settings
        return self.settings[prim], Reach(list(kwargs.values())).settings if kwargs else ()

    def _of_changing_numbers(self, prim: Primitive, args: Sequence[Any]) -> np.dtype[Any] | None:
        """The dtype of an operation in which the cell has had one Python number after another, if it can be an input.

        Numbers are part of a program, which a temperature that is lowered at each call would have made anew each time.
        """
        others = [a.dtype for a in args if isinstance(a, (Tensor, np.ndarray))]
        differentiable = set(map(callable, prim.rules))
        if _NUMBERS.isdisjoint(map(type, args)) or prim.kind != "elementwise" or len(differentiable) > 1 or not others:
            return None
        numbers = self.state.numbers
        numbers[self.code] = numbers.get(self.code, 0) + 1
        dtype = np.result_type(*others)
        return dtype if numbers[self.code] > _SEVERAL and dtype.kind == "f" else None

    def _new_state(self, key: Hashable, prim: Primitive, operands: Sequence[Operand], kwargs: dict[str, Any]) -> State:
        try:
            new = State(*form(prim, operands, kwargs))
            _require_derivatives(prim, operands, new.dtype)
            return _after(self.state, key, new)
        except Exception as error:
            # What is wrong with it, the operation says best itself; if nothing is, then it is only that its result
            # could not be foreseen.
            self.refuse(f"{prim.name}: {error}")
            out = prim.apply(*[self.worked_out(a) if isinstance(a, Var) else a for a in operands], **kwargs)
            return State(out.shape, out.dtype)


def _require_derivatives(prim: Primitive, operands: Sequence[Operand], dtype: np.dtype[Any]) -> None:
    """Refuse what the tape would: an argument of real numbers without a derivative by it, or integers made of such."""
    if prim.variadic or len(prim.rules) == sum(rule is None for rule in prim.rules):
        return  # nothing flows through a comparison or `detach`, and that is meant
    for rule, a in zip(prim.rules, operands, strict=True):
        if isinstance(a, Var) and is_float(a) and (rule is None or dtype.kind != "f"):
            raise UntraceableError(f"{prim.name} has no derivative by one of its arguments")


_NUMBERS = frozenset({float, int})
_SEVERAL = 3  # Python numbers of a cell in one place that are part of its programs
_recording = grad_enabled.stack


class Capture:
    """What one run of a loop's cell on traced tensors told."""

    def __init__(self, loop: Loop, i: int, carry: Callable[[int], Tensor]) -> None:
        c, xs = len(loop.starts), loop.sequences

        def given(number: int) -> Tensor:
            return carry(number - 1) if number <= c else getitem(xs[number - 1 - c], i)

        self.loop = loop
        self.since = Node(_NOTHING, needs_grad=False).index  # what is made from here on, the cell makes
        self.trace = trace = _Capturing(loop.forms(), given, loop.code)
        traced = [Traced(v, trace) for v in trace.values]
        new, y = loop.step(loop.nest_carry(traced[:c]), loop.nest_x(traced[c:]))
        made = leaves(y)
        _, self.nest_ys = flatten(map_leaves(lambda _: 0, y))
        self.new_carry: list[Any] = [trace.operand(leaf) for leaf in leaves(new)]
        self.ys: list[Any] = [trace.operand(leaf) for leaf in made]
        end = ("end", len(self.ys), *[(v.number, v.shape, v.dtype) for v in (*self.new_carry, *self.ys)])
        self.end = trace.state.next.get(end) or _after(trace.state, end, State())
        self.outer = trace.outer
        trace.is_open = False
        # Every traced tensor that is still there refers to the trace: then the cell has stored it somewhere.
        del new, y, made, traced
        if sys.getrefcount(trace) > _REFERENCES:
            trace.refuse("the cell stores tensors away")

    @property
    def reason(self) -> str | None:
        """Why this step can't become a program."""
        return self.trace.reason

    def results(self) -> tuple[list[Tensor], Any]:
        """The real new carry, leaf by leaf, and y."""
        carry = [self.trace.worked_out(v) for v in self.new_carry]
        return carry, self.nest_ys(self.trace.worked_out(v) for v in self.ys)

    def all_values(self) -> list[Var]:
        """The inputs, and what the equations compute."""
        return [*self.trace.values, *(e.out for e in self.trace.equations)]

    def step(self) -> Step:
        """The equations, in the order in which the cell made them."""
        trace, c = self.trace, len(self.loop.starts)
        for e in trace.equations:
            e.out.equation = e
        for v, t in zip(trace.constants, trace.outer, strict=True):
            v.name = t.name
        name_inputs(self.loop, trace.values, self.new_carry, trace.known)
        name_results(trace.equations, trace.values[:c], self.new_carry)
        return Step(trace.values[:c], trace.values[c:], trace.constants, trace.equations, self.new_carry, self.ys, [])


_NOTHING = np.zeros(())
_REFERENCES = 3  # to a trace: an attribute, a variable and the argument of the function that counts them


class Captured(NamedTuple):
    """The captured step, or why there is none; `done` are the steps that the cell has been run for."""

    step: Capture
    reason: str | None
    done: list[Capture]


def capture(loop: Loop, *, named: bool = False) -> Captured:
    """The cell's step, if the cell does the same in each; `named` with the names of the cell's variables.

    A cell that draws a random mask, counts its calls or reads another weight in each step shows it when it runs for
    the second step: it reads other values, leads to another state, or a random generator has moved on. Then the loop
    goes on from there, step by step, and the cell has been run for each step once. A cell that was found to do the
    same in each step isn't run for a second one again while all in its reach is what it was.
    """
    if _count > _LIMIT:
        forget()
    order, code, reach = loop.order(), loop.code, Reach(loop.cell)
    dice, before = reach.random_states(), eras_begun()
    first = Capture(loop, order[0], loop.starts.__getitem__)
    if first.reason is not None:
        return Captured(first, first.reason, [first])
    if reach.has_iterator:
        return Captured(first, "the cell can get at an iterator, which may give something else in each step", [first])
    if dice != reach.random_states():
        return Captured(first, "the cell draws random numbers", [first])
    cell = (code, reach.settings)
    # Arrays of which nobody knows whence they came.
    loose = any(is_constant(n := t.node) and (n is None or n.index >= first.since) for t in first.outer)
    if not named and not loose and cell in first.end.seen and reach.is_unchanged():
        return Captured(first, None, [first])
    with named_after_variables(None if first.end.programs and not named else code):
        second = Capture(loop, order[1], lambda k: first.trace.worked_out(first.new_carry[k]))
    reason = second.reason or _why_not_the_same(first, second, reach, dice, before)
    if reason is not None:
        return Captured(first, reason, [first, second])
    if reach.is_known:
        if len(first.end.seen) > _CELLS:
            first.end.seen.clear()
        first.end.seen.add(cell)
    for one, other in zip(first.all_values(), second.all_values(), strict=True):
        one.name = one.name or other.name
    return Captured(first, None, [first, second])


def _why_not_the_same(first: Capture, second: Capture, reach: Reach, dice: list[Any], eras: int) -> str | None:
    """What the second run shows that the first doesn't: why the cell isn't one function of its arguments."""
    if second.end is not first.end or not read_the_same(first.outer, second.outer, first.since):
        return "the cell isn't the same function in each step: it has side effects, or draws random numbers"
    if dice != reach.random_states():
        return "the cell draws random numbers"
    if Reach(second.loop.cell).settings != reach.settings:
        return "the cell changes something that it reads"
    if eras_begun() != eras:
        return "the cell gets at the array of a parameter (.data), which it may write to"
    return None


_CELLS = 100  # cells that share a structure and are remembered
