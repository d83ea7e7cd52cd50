"""The backward step: what a step's derivative rules compute, as a step of its own that runs from the last to the first.

Its carry is δ, the cotangent of the carry; its inputs are the cotangents of the ys and the step's own values, which
the forward loop keeps; its ys are the cotangents of the xs; and what it adds up over all steps are the cotangents of
the constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..backward import fitted
from .algebra import EACH, ONCE, PAST, Rewriting
from .rebuild import pruned
from .step import Equation, Operand, Step, Var, is_float
from .trace import Traced

__all__ = ["Backward", "backward_step", "inputs_of"]


@dataclass(eq=False, repr=False)
class Backward:
    """A backward step, and which of the forward step's inputs and outputs its parts belong to."""

    step: Step
    carry: list[int]  # for each of its carries, the forward carry's number
    ys: list[int]  # for each of its first xs, the number of the y whose cotangent it is
    xs: list[int]  # for each of its ys, the number of the x
    constants: list[int]  # for each of its sums, the number of the constant
    levels: dict[Var, int]


def backward_step(
    forward: Step,
    levels: dict[Var, int],
    carry: Sequence[bool],
    xs: Sequence[bool],
    constants: Sequence[bool],
) -> Backward:
    """The derivative of a step.

    Args:
        forward: the step.
        levels: of its values, which say what is known before the backward loop begins: all of them.
        carry: which of the first carries need a gradient.
        xs: which of the inputs do.
        constants: which of the constants do.
    """
    inputs = [*zip(forward.carry, carry, strict=True), *zip(forward.xs, xs, strict=True)]
    wanted = {v for v, flag in (*inputs, *zip(forward.constants, constants, strict=True)) if flag and is_float(v)}
    needs = _reached(forward, wanted)
    deltas = {i: Var(v.shape, v.dtype, f"δ{v.name}_next") for i, v in enumerate(forward.carry) if v in needs}
    given = [i for i, y in enumerate(forward.ys) if isinstance(y, Var) and y in needs]
    cotangents = {i: Var(forward.ys[i].shape, forward.ys[i].dtype, f"ct_{forward.ys[i].name or 'y'}") for i in given}
    known = {v: (ONCE if level == ONCE else EACH) for v, level in levels.items()}
    trace = Rewriting({**known, **dict.fromkeys(deltas.values(), PAST), **dict.fromkeys(cotangents.values(), EACH)})
    walk = _Walk(trace, needs, set(forward.constants))
    for i, delta in deltas.items():
        walk.add(forward.new_carry[i], Traced(delta, trace))
    for i, ct in cotangents.items():
        walk.add(forward.ys[i], Traced(ct, trace))
    for equation in reversed(forward.equations):
        walk.through(equation)
    own = [i for i, v in enumerate(forward.xs) if xs[i] and v in wanted]
    summed = [i for i, v in enumerate(forward.constants) if constants[i] and v in wanted]
    step = Step(
        carry=list(deltas.values()),
        xs=list(cotangents.values()),
        constants=forward.constants,
        equations=trace.equations,
        new_carry=[walk.total(forward.carry[i]) for i in deltas],
        ys=[walk.total(forward.xs[i]) for i in own],
        sums=[walk.terms.get(forward.constants[i], []) for i in summed],
    )
    for i, v in zip(own, step.ys, strict=True):
        if isinstance(v, Var) and v.name is None:
            v.name = f"ct_{forward.xs[i].name}"
    return Backward(pruned(step), list(deltas), given, own, summed, trace.levels)


def _reached(forward: Step, wanted: set[Var]) -> set[Var]:
    """What depends on something wanted, by way of the carry too."""
    needs = set(wanted)
    while True:
        for equation in forward.equations:
            if is_float(equation.out) and any(a in needs for a, _ in _differentiable(equation)):
                needs.add(equation.out)
        more = {
            old
            for old, new in zip(forward.carry, forward.new_carry, strict=True)
            if isinstance(new, Var) and new in needs and old not in needs
        }
        if not more:
            return needs
        needs |= more


def inputs_of(step: Step, results: Sequence[Operand]) -> set[Var]:
    """From what a gradient could flow to these results, by way of the carry too: the other way round."""
    leading = {v for v in results if isinstance(v, Var)}
    while True:
        for equation in reversed(step.equations):
            if equation.out in leading:
                leading.update(a for a, _ in _differentiable(equation))
        more = {new for old, new in zip(step.carry, step.new_carry, strict=True) if old in leading} - leading
        if not any(isinstance(v, Var) for v in more):
            return leading
        leading |= more


def _differentiable(equation: Equation) -> list[tuple[Var, int]]:
    """The arguments that a gradient flows to, and their places."""
    prim = equation.prim
    return [
        (a, i)
        for i, a in enumerate(equation.args)
        if isinstance(a, Var) and is_float(a) and (prim.variadic or prim.rules[i] is not None)
    ]


class _Walk:
    """The way back through a step's equations, with cotangents adding up as on the tape."""

    def __init__(self, trace: Rewriting, needs: set[Var], constants: set[Var]) -> None:
        self.trace, self.needs, self.constants = trace, needs, constants
        self.totals: dict[Var, Any] = {}
        self.waiting: dict[Var, dict[Any, tuple[Any, list[tuple[Any, ...]]]]] = {}
        self.terms: dict[Var, list[Operand]] = {}

    def add(self, v: Operand, ct: Any) -> None:
        """Add to a value's cotangent."""
        if not isinstance(v, Var) or v not in self.needs:
            return
        ct = fitted(ct, v) if isinstance(ct, Traced) else ct
        if v in self.constants:
            self.terms.setdefault(v, []).append(self._operand(ct))
            return
        total = self.totals.get(v)
        self.totals[v] = ct if total is None else total + ct

    def _operand(self, ct: Any) -> Operand:
        return ct.symbol if isinstance(ct, Traced) else ct

    def total(self, v: Var) -> Operand:
        """A value's cotangent, complete; `None` if nothing depends on it."""
        self._multiply_out(v)
        ct = self.totals.get(v)
        return None if ct is None else self._operand(ct)

    def _multiply_out(self, v: Var) -> None:
        for rule, (pooled, uses) in self.waiting.pop(v, {}).items():
            together = NotImplemented if len(uses) == 1 else pooled(*map(list, zip(*uses, strict=True)))
            if together is not NotImplemented:
                self.add(v, together)
            else:
                for use in uses:
                    self.add(v, rule(*use))

    def through(self, equation: Equation) -> None:
        """From the cotangent of an equation's result to those of its arguments."""
        out, prim = equation.out, equation.prim
        if out not in self.needs or not any(a in self.needs for a, _ in _differentiable(equation)):
            return
        self._multiply_out(out)
        ct = self.totals.pop(out, None)
        if ct is None:
            return
        if isinstance(ct, Traced) and ct.symbol.name is None and out.name is not None:
            ct.symbol.name = f"δ{out.name}"
        args = [Traced(a, self.trace) if isinstance(a, Var) else a for a in equation.args]
        if prim.variadic:
            residuals = [prim.residual(n, args, Traced(out, self.trace), equation.kwargs) for n in prim.asks[0]]
            for a, part in zip(equation.args, prim.rules[0](ct, *residuals), strict=True):
                self.add(a, part)
            return
        for a, i in _differentiable(equation):
            if a not in self.needs:
                continue
            residuals = [prim.residual(n, args, Traced(out, self.trace), equation.kwargs) for n in prim.asks[i]]
            pooled = prim.pooled.get(i)
            if pooled is not None and a not in self.constants:
                uses = self.waiting.setdefault(a, {}).setdefault(prim.rules[i], (pooled, []))[1]
                uses.append((ct, *residuals))
            else:
                self.add(a, prim.rules[i](ct, *residuals))
