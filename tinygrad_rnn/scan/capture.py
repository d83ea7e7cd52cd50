"""A cell's step, captured by running it once on traced tensors.

A cell is captured anew at every call of its loop, so that a program never meets a cell that has changed. What has been
captured before is found again on the way: each operation leads from one state to the next, and the last state of a
known structure knows its program.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ops import asarray, getitem
from ..primitive import Primitive
from ..tape import Tensor, enable_grad, grad_enabled
from ..tree import flatten, leaves, map_leaves
from .loop import Loop, part_names
from .trace import Equation, Operand, Step, Trace, Traced, Untraceable, Var, form, frozen

__all__ = ["Capture", "Captured", "State", "capture", "forget"]


class State:
    """What has been captured so far: the operations up to here, as a path from the root."""

    __slots__ = ("dtype", "next", "program", "seen", "shape")

    def __init__(self, shape: tuple[int, ...] = (), dtype: np.dtype[Any] | None = None) -> None:
        self.next: dict[Hashable, State] = {}
        self.shape, self.dtype = shape, dtype  # of what the last operation computed
        self.program: Any = None
        self.seen: set[Any] = set()  # the code of the cells that were found to do the same in each step


_LIMIT = 20_000  # states; more than that are forgotten all at once
_root, _count = State(), 0


def forget() -> None:
    """Forget all structures and their programs."""
    global _root, _count
    _root, _count = State(), 0


def _after(state: State, key: Hashable, prim: Primitive | None, args: Sequence[Operand], kwargs: Any) -> State:
    global _count
    found = State() if prim is None else State(*form(prim, args, kwargs))
    _count += 1
    return state.next.setdefault(key, found)


class _Numbered(Var):
    """A value with its place in the order of capture."""

    __slots__ = ("number",)

    def __init__(self, shape: tuple[int, ...], dtype: Any, name: str | None, number: int) -> None:
        super().__init__(shape, dtype, name)
        self.number = number


class _Capturing(Trace):
    """Follows the states while it takes down the equations; works out the real tensors where they are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.state = _root
        self.count = 0
        self.outer: list[Tensor] = []  # what the cell reads from outside
        self.constants: list[Var] = []
        self.known: dict[int, _Numbered] = {}
        self.recording = grad_enabled.get()
        self.sources: dict[Var, Callable[[], Tensor]] = {}
        self.reals: dict[Var, Tensor] = {}
        self.is_open = True
        self.reason: str | None = None  # why this can't become a program

    def input(self, shape: tuple[int, ...], dtype: Any, name: str | None) -> _Numbered:
        self.count += 1
        return _Numbered(shape, dtype, name, self.count)

    def refuse(self, reason: str) -> None:
        self.reason = self.reason or reason

    def real(self, var: Var) -> Tensor:
        if self.is_open:
            self.refuse("the cell reads the numbers of a tensor that depends on the carry or on x")
        return self.worked_out(var)

    def worked_out(self, var: Var) -> Tensor:
        """The real tensor, by the equations that lead to it."""
        needed = {var}
        for e in reversed(self.equations):
            if e.out in needed and e.out not in self.reals:
                needed.update(e.inputs)
        for v in needed & self.sources.keys():
            if v not in self.reals:
                self.reals[v] = self.sources[v]()
        for e in self.equations:
            if e.out in needed and e.out not in self.reals:
                out = e.prim.apply(*[self.reals[a] if isinstance(a, Var) else a for a in e.args], **e.kwargs)
                self.reals[e.out] = asarray(out)
        return self.reals[var]

    def outside(self, x: Any) -> _Numbered:
        if isinstance(x, Traced):
            self.refuse("the cell keeps tensors from step to step, besides its carry")
            x = x.lowered()
        if not isinstance(x, Tensor):
            x = Tensor(np.asarray(x))
        elif type(x) is not Tensor:
            self.refuse("the cell reads a tensor that carries a tangent, or stands for many examples")
        identity = id(x) if type(x) is not Tensor else id(x.value if x.node is None else x.node)
        var = self.known.get(identity)
        if var is None:
            var = self.known[identity] = self.input(x.shape, x.dtype, x.name)
            self.outer.append(x)
            self.constants.append(var)
            self.reals[var] = x
        return var

    def apply(self, prim: Primitive, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if not self.is_open:
            return prim.apply(*[a.lowered() if isinstance(a, Traced) else a for a in args], **kwargs)
        operands: list[Operand] = []
        ids: list[Hashable] = []
        for a in args:
            if type(a) is Traced and a.trace is self:
                var = a.var
                ids.append(var.number)  # type: ignore[attr-defined]
            elif type(a) in (float, int, bool):
                var = a
                ids.append((type(a), repr(a)))
            else:
                var = self.outside(a)
                ids.append((var.number, var.shape, var.dtype))
            operands.append(var)
        key = (prim, *ids, frozen(kwargs)) if kwargs else (prim, *ids)
        state = self.state.next.get(key)
        if state is None:
            state = self._new_state(key, prim, operands, kwargs)
        self.state = state
        self.count += 1
        out = _Numbered(state.shape, state.dtype, None, self.count)
        # `out.equation` is set when a program is made of it: before, there is no circle of references.
        self.equations.append(Equation(prim, tuple(operands), kwargs, out))
        traced = Traced(out, self)
        if self.recording and not grad_enabled.get():  # within no_grad() in the cell
            with enable_grad():
                return traced.detach()
        return traced

    def _new_state(self, key: Hashable, prim: Primitive, operands: Sequence[Operand], kwargs: dict[str, Any]) -> State:
        try:
            _require_derivatives(prim, operands)
            return _after(self.state, key, prim, operands, kwargs)
        except Exception as error:
            # What is wrong with it, the operation says best itself; if nothing is, then it is only that its result
            # could not be foreseen.
            self.refuse(f"{prim.name}: {error}")
            out = prim.apply(*[self.worked_out(a) if isinstance(a, Var) else a for a in operands], **kwargs)
            return State(out.shape, out.dtype)


def _require_derivatives(prim: Primitive, operands: Sequence[Operand]) -> None:
    """Refuse what the tape would: an argument of real numbers without a derivative by it."""
    if prim.variadic or len(prim.rules) == sum(rule is None for rule in prim.rules):
        return  # nothing flows through a comparison or `detach`, and that is meant
    for rule, a in zip(prim.rules, operands, strict=True):
        if rule is None and isinstance(a, Var) and a.dtype.kind == "f":
            raise Untraceable(f"{prim.name} has no derivative by one of its arguments")


class Capture:
    """What one run of a loop's cell on traced tensors told."""

    def __init__(self, loop: Loop, i: int, carry: Sequence[Callable[[], Tensor]]) -> None:
        old, nest_carry = flatten(loop.carry)
        xs, nest_x = flatten(loop.xs)
        self.trace = trace = _Capturing()
        carry_name, x_name = loop.parameter_names()
        forms = (tuple([(c.shape, c.dtype) for c in old]), tuple([(x.shape[1:], x.dtype) for x in xs]))
        trace.state = trace.state.next.get(forms) or _after(trace.state, forms, None, (), None)
        names = part_names(loop.carry, carry_name)
        self.carry = [trace.input(c.shape, c.dtype, n) for c, n in zip(old, names, strict=True)]
        names = part_names(loop.xs, x_name)
        self.xs = [trace.input(x.shape[1:], x.dtype, n) for x, n in zip(xs, names, strict=True)]
        trace.sources.update(zip(self.carry, carry, strict=True))
        trace.sources.update({v: functools.partial(getitem, x, i) for v, x in zip(self.xs, xs, strict=True)})
        new, y = loop.step(nest_carry(Traced(v, trace) for v in self.carry), nest_x(Traced(v, trace) for v in self.xs))
        made = leaves(y)
        _, self.nest_ys = flatten(map_leaves(lambda _: 0, y))
        self.y_names = part_names(y, "y")
        self.new_carry: list[Any] = [trace.operand(c) for c in leaves(new)]
        self.ys: list[Any] = [trace.operand(leaf) for leaf in made]
        end = ("end", len(self.ys), *[(v.number, v.shape, v.dtype) for v in (*self.new_carry, *self.ys)])
        self.end = trace.state.next.get(end) or _after(trace.state, end, None, (), None)
        self.outer, self.constants, self.equations = trace.outer, trace.constants, trace.equations
        trace.is_open = False
        # Every traced tensor that is still there refers to the trace: then the cell has stored it somewhere.
        del new, y, made
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

    def step(self) -> Step:
        """The equations, in the order in which the cell made them."""
        for e in self.equations:
            e.out.equation = e
        return Step(list(self.carry), list(self.xs), self.constants, self.equations, self.new_carry, self.ys, [])


_REFERENCES = 3  # to a trace: an attribute, a variable and the argument of the function that counts them


class Captured(NamedTuple):
    """The captured step, or why there is none; `done` are the steps that the cell has been run for."""

    step: Capture
    reason: str | None
    done: list[Capture]


def capture(loop: Loop) -> Captured:
    """The cell's step, if the cell does the same in each.

    A cell that draws a random mask, counts its calls or reads the clock shows it when it runs for the second step: then
    the loop goes on from there, step by step, and the cell has been run for each step once.
    """
    if _count > _LIMIT:
        forget()
    order = loop.order()
    first = Capture(loop, order[0], [functools.partial(_given, c) for c in leaves(loop.carry)])
    if first.reason is not None:
        return Captured(first, first.reason, [first])
    code = loop.code()
    if code in first.end.seen and not any(t.node is None for t in first.outer):
        return Captured(first, None, [])
    if len(order) == 1:
        return Captured(first, "one step is no loop", [first])
    carry = [functools.partial(first.trace.worked_out, v) for v in first.new_carry]
    second = Capture(loop, order[1], carry)
    reason = second.reason
    if reason is None and (second.end is not first.end or not all(map(_same, first.outer, second.outer))):
        reason = "the cell isn't the same function in each step: it has side effects, or draws random numbers"
    if reason is not None:
        return Captured(first, reason, [first, second])
    if code is not None:
        first.end.seen.add(code)
    return Captured(first, None, [])


def _given(t: Tensor) -> Tensor:
    return t


def _same(a: Tensor, b: Tensor) -> bool:
    if a.value is b.value or (a.node is not None and a.node is b.node):
        return True
    x, y = a.value.__array_interface__, b.value.__array_interface__
    if x["data"] == y["data"] and x["strides"] == y["strides"]:
        return True
    return np.array_equal(a.value, b.value, equal_nan=a.dtype.kind == "f")
