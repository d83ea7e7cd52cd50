"""A whole step rewritten, round by round: neighbours joined, sums parted, constants moved; formulas written out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from ..primitive import Part
from .algebra import (
    ADD,
    PAST,
    Rewriting,
    alike,
    by_level,
    identity,
    level_of,
    levels_of,
    part_of,
    result_level,
)
from .form import frozen
from .rebuild import Renewed, Replacement, Uses, cuts_of, joint_name, name_if_unnamed, rebuilt, uses_of
from .scale import scalable, spreadable
from .split import is_view, pieces_of
from .step import Equation, Operand, Step, Var
from .trace import Traced

__all__ = ["expanded", "rewritten", "weighs_only"]


def rewritten(step: Step, given: Mapping[Var, int], *, faithful: bool, fewer_calls: bool) -> Step:
    """The step with its sums and products regrouped; with `fewer_calls`, operations on neighbours become one.

    `given` are the levels of its inputs, here as in what follows.
    """
    step = rebuilt(step, given, {}, faithful)
    parted = 0
    while True:
        for find in (_neighbours, _shared_sum, spreadable, scalable):
            if (find is _neighbours and not fewer_calls) or (find is _shared_sum and parted == _PARTED):
                continue
            found = find(step, given)
            if found is not None:
                break
        else:
            return step
        parted += find is _shared_sum
        equation, replacement = found
        step = rebuilt(step, given, {equation: replacement}, faithful)


_PARTED = 8  # sums: what is parted may be joined again with other neighbours, and so on without end


def _neighbours(step: Step, given: Mapping[Var, int]) -> tuple[Equation, Replacement] | None:
    """Equations that do the same to neighbouring parts of the same values."""
    groups: dict[Hashable, list[tuple[int, list[Part], Equation]]] = {}
    for equation in step.equations:
        if equation.prim.kind != "elementwise":
            continue
        key: list[Hashable] = [equation.prim, frozen(equation.kwargs)]
        parts: list[Part] = []
        others: list[Operand] = []
        for a in equation.args:
            cut = part_of(a) if isinstance(a, Var) and a.shape == equation.out.shape else None
            if cut is None:
                key.append(identity(a))
                others.append(a)
            else:
                key += [cut[0], cut[1][0]]
                parts.append(cut[1])
        axes = {axis for axis, _, _ in parts}
        if len(axes) != 1 or any(_spans(a, equation.out, parts[0][0]) for a in others):
            continue
        groups.setdefault(tuple(key), []).append((parts[0][1], parts, equation))
    for members in groups.values():
        members.sort(key=lambda m: m[0])
        run = [members[0]]
        for member in members[1:]:
            if all(a[2] == b[1] for a, b in zip(run[-1][1], member[1], strict=True)):
                run.append(member)
            elif len(run) > 1:
                break
            else:
                run = [member]
        if len(run) > 1:
            group = [equation for _, _, equation in run]
            return min(group, key=step.equations.index), functools.partial(_join, group)
    return None


def _spans(x: Operand, out: Var, axis: int) -> bool:
    """Whether x has numbers of its own along an axis of the result."""
    shape = getattr(x, "shape", ())
    own = axis - (out.ndim - len(shape))
    return own >= 0 and shape[own] != 1


def _join(group: list[Equation], trace: Rewriting, renewed: Renewed, now: dict[Var, Operand]) -> None:
    """One operation on what the neighbours are together; each result is a part of its result."""
    first, last = group[0], group[-1]
    args: list[Operand] = []
    for a, z in zip(first.args, last.args, strict=True):
        cut, end = part_of(a) if isinstance(a, Var) and a.shape == first.out.shape else None, part_of(z)
        if cut is None or end is None:
            args.append(renewed(a))
        else:
            parent, (axis, start, _) = cut
            args.append(trace.part(renewed(parent), (axis, start, end[1][2])))
    out = trace.equation(first.prim, tuple(args), first.kwargs)
    name_if_unnamed(out, joint_name(e.out for e in group))
    start = 0
    for equation in group:
        stop = start + equation.out.shape[axis]
        part = now[equation.out] = trace.part(out, (axis, start, stop))
        name_if_unnamed(part, equation.out.name)
        start = stop


# A sum of which some parts are added to something else again is taken part by part: then those parts' terms come
# together before the loop.


@dataclass(eq=False, repr=False)
class _SharedSum:
    """A sum of what needs the past and something else, and the parts that it is cut into."""

    equation: Equation
    past: Var
    other: Operand
    parts: list[tuple[Part, Equation, bool]]  # the part, what cuts it out, whether it has one use

    def replace(self, trace: Rewriting, renewed: Renewed, now: dict[Var, Operand]) -> None:
        for part, cut, once in self.parts:
            own = trace.part(renewed(self.past), part)
            out = now[cut.out] = trace.sum(own, trace.cut(renewed(self.other), part, self.past.ndim))
            name_if_unnamed(out, cut.out.name)
            if once:
                trace.passing.add(out)
        now[self.equation.out] = self.equation.out  # nobody uses it any more


def _shared_sum(step: Step, given: Mapping[Var, int]) -> tuple[Equation, Replacement] | None:
    """A sum of which some parts, but not all, are added to something that doesn't need the past."""
    levels, uses = levels_of(step, given), uses_of(step)
    for e in step.equations:
        if e.prim is not ADD or levels[e.out] != PAST:
            continue
        past, other = by_level(e.args, levels)
        parts = cuts_of(e.out, uses)
        if level_of(other, levels) == PAST or past.shape != e.out.shape or not alike(e.args) or len(parts) < 2:
            continue
        again = [_is_added_to(cut.out, uses, levels) for _, cut in parts]
        if any(again) and not all(again):
            return e, _SharedSum(e, past, other, [(part, cut, len(uses[cut.out]) == 1) for part, cut in parts]).replace
    return None


def _is_added_to(v: Var, uses: Uses, levels: Mapping[Var, int]) -> bool:
    """Whether the one use of a value is to be added to something that doesn't need the past."""
    used = uses.get(v, [])
    e = used[0] if len(used) == 1 else None
    if e is None or e.prim is not ADD or e.out.shape != v.shape:
        return False
    return all(a is v or level_of(a, levels) < PAST for a in e.args)


Way: TypeAlias = Literal["formula", "values", "unfused"]  # of writing a primitive out: a field of its `Lowering`


def expanded(
    step: Step, given: Mapping[Var, int], ways: Sequence[Way], but: Callable[[Equation], bool] = lambda e: False
) -> Step:
    """The step with primitives written out in simpler operations, in the first of these ways that they have.

    Their results stay the same. Those equations stay as they are of which `but` says so.
    """
    levels, equations = dict(given), []
    for equation in step.equations:
        lowering = equation.prim.lowering
        trace = Rewriting(levels)
        made = None
        for way in ways:
            formula = getattr(lowering, way)
            if formula is not None and made is None and not but(equation):
                made = _written_out(trace, formula, equation)
        if made is not None:
            levels.update(trace.levels)
        equations += [equation] if made is None else made
        levels[equation.out] = result_level(equation.args, levels)
    return replace(step, equations=equations)


def weighs_only(e: Equation, step: Step, uses: Uses) -> bool:
    """Whether an absolute error does no harm to a result: all that comes of it is large, or of the carry.

    That is: it is multiplied by values other than its own argument, and added; what comes of that enters products of
    matrices, functions that make no error greater, or the next step; and none of it is a y alone.
    """
    waiting, seen = [e.out], set()
    while waiting:
        v = waiting.pop()
        if v in seen:
            continue
        seen.add(v)
        carried = [old for old, new in zip(step.carry, step.new_carry, strict=True) if new is v]
        waiting += carried
        for u in uses.get(v, ()):
            if u is None and not carried:
                return False
            if u is None or u.prim.lowering.scaled is not None:
                continue
            moves = is_view(u) or bool(pieces_of(u)) or u.prim.lowering.nonexpansive
            if not moves and (u.prim.lowering.algebra is None or not set(e.inputs).isdisjoint(u.inputs)):
                return False
            waiting.append(u.out)
    return True


def _written_out(trace: Rewriting, formula: Callable[..., Any], equation: Equation) -> list[Equation] | None:
    """A formula's equations, the last of which computes what the equation did; `None` if it doesn't apply."""
    if any(isinstance(a, np.ndarray) for a in equation.args):
        return None
    made = formula(*[Traced(a, trace) if isinstance(a, Var) else a for a in equation.args], **equation.kwargs)
    last = made.symbol.equation if isinstance(made, Traced) else None
    out = equation.out
    if last is None or last not in trace.equations or (made.shape, made.dtype) != (out.shape, out.dtype):
        return None
    out.equation = Equation(last.prim, last.args, last.kwargs, out)
    return [*(e for e in trace.equations if e is not last), out.equation]
