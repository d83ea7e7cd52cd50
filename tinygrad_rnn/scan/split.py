"""A step split by one question, "what needs the past?", into what is done before, in and after the loop.

The same function splits the forward step and, with time reversed, the backward step. What is the same in all steps is
done once; what doesn't need the past, for all steps at once before the loop; what the next carry needs, in the loop;
what needs the past but is no part of the next carry, for all steps at once after the loop. Sums over all steps are
taken of as little as possible: Σ f(v) = f(Σ v) where f is linear, and a product that can add up is one large product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..primitive import Lowering, Part, Primitive, primitive
from .algebra import ONCE, PAST, level_of, result_level
from .step import Equation, Operand, Step, Var

__all__ = ["Sections", "Total", "is_view", "pieces_of", "split"]


@dataclass(eq=False, repr=False)
class Total:
    """out = Σ_t f(args_t), of one value as it is (`prim` is None), or of what `prim` makes of several."""

    out: Var
    prim: Primitive | None
    args: tuple[Operand, ...]
    kwargs: dict[str, Any]


@dataclass(eq=False, repr=False)
class Sections:
    """A step in four parts, and what is added up."""

    step: Step
    levels: dict[Var, int]
    once: list[Equation] = field(default_factory=list)
    before: list[Equation] = field(default_factory=list)
    loop: list[Equation] = field(default_factory=list)
    after: list[Equation] = field(default_factory=list)
    totals: list[Total] = field(default_factory=list)
    last: list[Equation] = field(default_factory=list)  # from the totals to the sums
    sums: list[list[Operand]] = field(default_factory=list)
    summed: dict[Var, Var] = field(default_factory=dict)  # what has been added up already
    why: dict[Equation, str] = field(default_factory=dict)  # for explain

    @property
    def equations(self) -> list[Equation]:
        """Those of each block of steps, in the order in which they are worked out."""
        return [*self.before, *self.loop, *self.after]


def _copy(x: Any, out: Any = None) -> Any:
    if out is None:
        return np.array(x)
    np.copyto(out, x)
    return out


@primitive("elementwise", [lambda ct: ct], lowering=Lowering(_copy))
def _copied(x: Any) -> Any:
    return np.array(x)


COPY = _copied.primitive  # type: ignore[attr-defined]


def is_view(equation: Equation | None) -> bool:
    """Whether its result is another look at its argument's memory."""
    if equation is None or not isinstance(equation.args[0], Var):
        return False
    view = equation.prim.lowering.view
    # What NumPy gives where an index leaves no axes is a number of its own.
    return (view(equation.kwargs) and equation.out.ndim > 0) if callable(view) else view


def pieces_of(equation: Equation | None) -> list[Part] | None:
    """Where an equation's arguments are in its result, if it does nothing but put them side by side."""
    if equation is None or equation.prim.lowering.pieces is None or len(equation.inputs) < len(equation.args):
        return None
    if any(a.dtype != equation.out.dtype for a in equation.args):
        return None
    return equation.prim.lowering.pieces(equation.kwargs, [a.shape for a in equation.args])


def split(step: Step, given: Mapping[Var, int]) -> Sections:
    """The step's equations in their places; `given` are the levels of its inputs."""
    own = {e.out for e in step.equations}
    levels = {v: level_of(v, given) for e in step.equations for v in e.inputs if v not in own}
    levels.update(dict.fromkeys(step.carry, PAST) | dict.fromkeys(step.constants, ONCE))
    levels.update({v: level_of(v, given) for v in step.xs})
    program = Sections(_with_own_carry(step), levels)
    step = program.step
    stuck: set[Equation] = set()
    for e in step.equations:
        level = result_level(e.inputs, levels)
        if level > ONCE and e.prim.kind != "elementwise" and e.prim.batch is None:
            level = PAST
            stuck.add(e)
            program.why[e] = f"{e.prim.name} has no rule for many steps at once"
        levels[e.out] = level
    looped = _leading_to([v for v in step.new_carry if isinstance(v, Var)], stuck, step.equations, levels)
    for e in step.equations:
        if e in looped:
            program.loop.append(e)
        else:
            (program.once, program.before, program.after)[levels[e.out]].append(e)
    program.sums = [[_total(program, v) for v in terms if v is not None] for terms in step.sums]
    needed = {v for v in (*step.new_carry, *step.ys) if isinstance(v, Var)}
    needed.update(a for e in (*program.loop, *program.last) for a in e.inputs)
    needed.update(a for t in program.totals for a in t.args if isinstance(a, Var))
    needed.update(v for terms in program.sums for v in terms if isinstance(v, Var))
    for section in (program.after, program.before, program.once):
        for e in section[::-1]:
            if e.out in needed:
                needed.update(e.inputs)
            else:
                section.remove(e)
    return program


def _with_own_carry(step: Step) -> Step:
    """The step with a value of its own for each new carry, computed by an equation that needs the past."""
    carry: list[Operand] = []
    equations = list(step.equations)
    own = set(step.equations)
    past: set[Var] = set(step.carry)
    for e in equations:
        if any(a in past for a in e.inputs):
            past.add(e.out)
    for old, new in zip(step.carry, step.new_carry, strict=True):
        source = new
        if new is None:
            source = np.zeros((), old.dtype)
        computed = isinstance(source, Var) and source.equation in own and source in past
        if not computed or source in carry or is_view(source.equation) or pieces_of(source.equation):
            source = Var(old.shape, old.dtype, f"{old.name}_next")
            source.equation = Equation(COPY, (np.zeros((), old.dtype) if new is None else new,), {}, source)
            equations.append(source.equation)
        carry.append(source)
    return replace(step, equations=equations, new_carry=carry)


def _leading_to(
    targets: list[Var], stuck: set[Equation], equations: list[Equation], levels: Mapping[Var, int]
) -> set[Equation]:
    """What the targets, and the equations that must be in the loop, need of the past."""
    wanted = set(targets)
    looped = set()
    for e in reversed(equations):
        if e in stuck or (e.out in wanted and (levels[e.out] == PAST or e.prim is COPY)):
            looped.add(e)
            wanted.update(a for a in e.inputs)
    return looped


def _total(program: Sections, v: Operand) -> Var:
    """Σ_t v_t, as a value after all steps."""
    if isinstance(v, Var) and v in program.summed:
        return program.summed[v]
    out = _summed(program, v)
    if isinstance(v, Var):
        program.summed[v] = out
    return out


def _summed(program: Sections, v: Operand) -> Var:
    """Σ_t v_t, as a sum of as little as possible: of what v is made of, if that comes to the same."""
    if not isinstance(v, Var):
        v = np.asarray(v)
        return _new_total(program, None, (v,), {}, v)
    e = v.equation
    if e is None or not (e in program.before or e in program.after):
        return _new_total(program, None, (v,), {}, v)  # it is there anyway: an input, or of the loop
    varying = [a for a in e.inputs if level_of(a, program.levels) > ONCE]
    if _adds_up(e, varying):
        return _new_total(program, e.prim, e.args, e.kwargs, v)  # Σ xᵀ y is one large product
    parts = _summed_first(e, varying)
    if not parts:
        return _new_total(program, None, (v,), {}, v)
    args = tuple(_total(program, a) if i in parts else a for i, a in enumerate(e.args))
    out = Var(v.shape, v.dtype, v.name)
    out.equation = Equation(e.prim, args, e.kwargs, out)
    program.last.append(out.equation)
    return out


def _adds_up(e: Equation, varying: list[Var]) -> bool:
    """Whether the sum of a function over all steps is one call of another: of matrices, if it is a product."""
    matrices = e.prim.kind != "bilinear" or all(a.ndim == 2 for a in e.inputs)
    return e.prim.lowering.summed is not None and len(varying) == len(e.args) and matrices


def _summed_first(e: Equation, varying: list[Var]) -> set[int]:
    """Of which arguments the sum can be taken before the function, by their places; of none, if it isn't linear."""
    prim, algebra = e.prim, e.prim.lowering.algebra
    same_shape = all(isinstance(a, Var) and a.shape == e.out.shape for a in e.args)
    if prim.kind in ("linear", "bilinear") and prim.variadic:
        return set(range(len(e.args)))  # Σ [a, b] = [Σ a, Σ b]
    linear = prim.kind in ("linear", "bilinear") and len(varying) == 1
    scaled = algebra == "product" and len(varying) == 1 and varying[0].shape == e.out.shape
    if linear or scaled:
        return {i for i, a in enumerate(e.args) if a is varying[0]}  # Σ f(a, W) = f(Σ a, W), if W is the same in all
    if algebra in ("sum", "difference", "negative") and same_shape:
        return set(range(len(e.args)))  # Σ (a + b) = Σ a + Σ b, where none is broadcast
    return set()


def _new_total(
    program: Sections, prim: Primitive | None, args: tuple[Operand, ...], kwargs: dict[str, Any], like: Any
) -> Var:
    """A sum over all steps, of the shape and dtype of a value."""
    out = Var(like.shape, like.dtype)
    program.totals.append(Total(out, prim, args, kwargs))
    return out
