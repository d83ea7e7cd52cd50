"""A cell's step, captured by running it once on traced tensors.

A cell is captured anew at every call of its loop, so that a program never meets a cell that has changed. What has been
captured before is found again on the way: each operation leads from one state to the next, and the last state of a
known structure knows its program.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ..primitive import Primitive
from ..tape import Tensor, enable_grad, grad_enabled
from ..tree import flatten, leaves
from .loop import Loop, part_names
from .trace import Operand, Step, Trace, Traced, Untraceable, Var, form, frozen

__all__ = ["Capture", "State", "capture", "forget"]


class State:
    """What has been captured so far: the operations up to here, as a path from the root."""

    __slots__ = ("dtype", "next", "program", "shape")

    def __init__(self, shape: tuple[int, ...] = (), dtype: np.dtype[Any] | None = None) -> None:
        self.next: dict[Hashable, State] = {}
        self.shape, self.dtype = shape, dtype  # of what the last operation computed
        self.program: Any = None


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
    """Follows the states while it takes down the equations."""

    def __init__(self) -> None:
        super().__init__()
        self.state = _root
        self.count = 0
        self.outer: list[Tensor] = []  # what the cell reads from outside
        self.constants: list[Var] = []
        self.known: dict[int, _Numbered] = {}
        self.recording = grad_enabled.get()

    def input(self, shape: tuple[int, ...], dtype: Any, name: str | None) -> _Numbered:
        self.count += 1
        return _Numbered(shape, dtype, name, self.count)

    def outside(self, x: Any) -> _Numbered:
        if type(x) is not Tensor:
            if isinstance(x, Tensor):
                raise Untraceable("it reads a tensor that carries a tangent, or stands for many examples")
            x = Tensor(np.asarray(x))
        identity = id(x.value if x.node is None else x.node)
        var = self.known.get(identity)
        if var is None:
            var = self.known[identity] = self.input(x.value.shape, x.value.dtype, x.name)
            self.outer.append(x)
            self.constants.append(var)
        return var

    def apply(self, prim: Primitive, args: Sequence[Any], kwargs: dict[str, Any]) -> Traced:
        operands: list[Operand] = []
        ids: list[Hashable] = []
        for a in args:
            if type(a) is Traced:
                var = a.var
                if a.trace is not self:
                    raise Untraceable("it uses a tensor of another traced loop")
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
            _require_derivatives(prim, operands)
            state = _after(self.state, key, prim, operands, kwargs)
        self.state = state
        self.count += 1
        out = _Numbered(state.shape, state.dtype, None, self.count)
        self.note(prim, tuple(operands), kwargs, out)
        traced = Traced(out, self)
        if self.recording and not grad_enabled.get():  # within no_grad() in the cell
            with enable_grad():
                return traced.detach()  # type: ignore[return-value]
        return traced


def _require_derivatives(prim: Primitive, operands: Sequence[Operand]) -> None:
    """Refuse what the tape would: an argument of real numbers without a derivative by it."""
    if prim.variadic or len(prim.rules) == sum(rule is None for rule in prim.rules):
        return  # nothing flows through a comparison or `detach`, and that is meant
    for rule, a in zip(prim.rules, operands, strict=True):
        if rule is None and isinstance(a, Var) and a.dtype.kind == "f":
            raise Untraceable(f"{prim.name} has no derivative by one of its arguments")


class Capture:
    """What one run of a loop's cell on traced tensors told."""

    def __init__(self, loop: Loop) -> None:
        carry, nest_carry = flatten(loop.carry)
        xs, nest_x = flatten(loop.xs)
        trace = _Capturing()
        carry_name, x_name = loop.parameter_names()
        forms = (tuple([(c.shape, c.dtype) for c in carry]), tuple([(x.shape[1:], x.dtype) for x in xs]))
        trace.state = trace.state.next.get(forms) or _after(trace.state, forms, None, (), None)
        self.carry = [
            trace.input(c.shape, c.dtype, n) for c, n in zip(carry, part_names(loop.carry, carry_name), strict=True)
        ]
        self.xs = [
            trace.input(x.shape[1:], x.dtype, n) for x, n in zip(xs, part_names(loop.xs, x_name), strict=True)
        ]
        new, y = loop.step(
            nest_carry(Traced(v, trace) for v in self.carry), nest_x(Traced(v, trace) for v in self.xs)
        )
        self.ys, self.nest_ys = flatten(y)
        self.y_names = part_names(y, "y")
        self.new_carry = [trace.operand(c) for c in leaves(new)]
        self.ys = [trace.operand(leaf) for leaf in self.ys]
        end = ("end", *[(v.number, v.shape, v.dtype) for v in (*self.new_carry, *self.ys)])
        self.end = trace.state.next.get(end) or _after(trace.state, end, None, (), None)
        self.outer, self.constants, self.equations = trace.outer, trace.constants, trace.equations

    def step(self) -> Step:
        """The equations, in the order in which the cell made them."""
        return Step(list(self.carry), list(self.xs), self.constants, self.equations, self.new_carry, self.ys, [])


def capture(loop: Loop) -> Capture:
    """The cell's step. Raises `Untraceable` if the cell isn't the same function each time that it runs."""
    if _count > _LIMIT:
        forget()
    found = Capture(loop)
    # A cell that draws a random mask, counts its calls or reads the clock shows it when it is run again: at the first
    # time, and whenever it used an array of which nobody knows whence it came.
    if found.end.program is None or any(t.node is None for t in found.outer):
        again = Capture(loop)
        if again.end is not found.end or not all(map(_same, found.outer, again.outer)):
            raise Untraceable("it isn't the same function each time that it runs: it has side effects or draws numbers")
    return found


def _same(a: Tensor, b: Tensor) -> bool:
    if a.value is b.value or (a.node is not None and a.node is b.node):
        return True
    x, y = a.value.__array_interface__, b.value.__array_interface__
    if x["data"] == y["data"] and x["strides"] == y["strides"]:
        return True
    return np.array_equal(a.value, b.value, equal_nan=a.dtype.kind == "f")
