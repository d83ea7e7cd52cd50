"""A whole step rewritten: operations on neighbouring parts joined, scales moved into weights, formulas written out."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ..primitive import Part, Primitive
from ..tape import Array
from .algebra import ADD, EACH, MULTIPLY, ONCE, PAST, Rewriting, alike, by_level, identity, levels_of, part_of
from .trace import Equation, Operand, Step, Traced, Var, frozen

__all__ = ["expanded", "in_order", "pruned", "rebuilt", "rewritten", "substituted", "uses_of"]


def rewritten(step: Step, levels: Mapping[Var, int], *, faithful: bool) -> Step:
    """The step with its sums and products regrouped, and with one operation on what were operations on neighbours."""
    step = rebuilt(step, levels, {}, faithful)
    parted = 0
    while True:
        if (group := _neighbours(step.equations)) is not None:
            first = min(group, key=step.equations.index)
            step = rebuilt(step, levels, {first: functools.partial(_join, group)}, faithful)
        elif parted < _PARTED and (whole := _shared_sum(step, levels)) is not None:
            parted += 1
            step = rebuilt(step, levels, {whole.equation: whole.replace}, faithful)
        elif (found := _levelled(step, levels)) is not None:
            step = rebuilt(step, levels, {found.first: found.replace}, faithful)
        elif (product := _scalable(step, levels)) is not None:
            step = rebuilt(step, levels, {product: functools.partial(_scale, product)}, faithful)
        else:
            return step


_PARTED = 8  # sums: what is parted may be joined again with other neighbours, and so on without end


Renewed: TypeAlias = Callable[[Operand], Operand]
Replacement: TypeAlias = Callable[["Rewriting", Renewed, dict[Var, Operand]], None]


def rebuilt(
    step: Step, levels: Mapping[Var, int], replacements: Mapping[Equation, Replacement], faithful: bool
) -> Step:
    """The step's equations, one by one, in a new trace; a replacement says what becomes of an equation, and others."""
    trace = Rewriting(levels, faithful=faithful)
    uses = uses_of(step)
    now: dict[Var, Operand] = {}

    renewed = _renewal(now)
    found = levels_of(step, levels)
    # What is the same in all steps comes first, so that all the rest can use it.
    for equation in sorted(step.equations, key=lambda e: found[e.out] > ONCE):
        if equation.out in now:
            continue
        replacement = replacements.get(equation)
        if replacement is not None:
            replacement(trace, renewed, now)
            continue
        out = now[equation.out] = trace.equation(
            equation.prim, tuple(renewed(a) for a in equation.args), equation.kwargs
        )
        _call(out, equation.out.name)
        if isinstance(out, Var) and len(uses.get(equation.out, ())) == 1:
            trace.passing.add(out)
    return pruned(_with(step, trace.equations, renewed))


def _renewal(now: Mapping[Var, Operand]) -> Renewed:
    """What an operand has become: by `now`, or what it was."""
    return lambda x: now.get(x, x) if isinstance(x, Var) else x


def _call(x: Operand, name: str | None) -> None:
    if isinstance(x, Var) and x.name is None and x.equation is not None:
        x.name = name


def substituted(step: Step, equations: Sequence[Equation], now: Mapping[Var, Operand]) -> Step:
    """The step with these equations, in which other values take the place of some."""
    made, renewed = [], _renewal(now)
    for e in equations:
        args = tuple(map(renewed, e.args))
        if any(a is not b for a, b in zip(args, e.args, strict=True)):
            e.out.equation = e = Equation(e.prim, args, e.kwargs, e.out)
        made.append(e)
    return _with(step, made, renewed)


def in_order(step: Step) -> Step:
    """The step with its equations so arranged that each comes after those whose results it reads."""
    own = {e.out: e for e in step.equations}
    arranged: dict[Equation, None] = {}

    def arrange(e: Equation) -> None:
        if e not in arranged:
            for a in e.inputs:
                if a in own:
                    arrange(own[a])
            arranged[e] = None

    for e in step.equations:
        arrange(e)
    return pruned(replace(step, equations=list(arranged)))


def _with(step: Step, equations: list[Equation], renewed: Renewed) -> Step:
    return replace(
        step,
        equations=equations,
        new_carry=[renewed(v) for v in step.new_carry],
        ys=[renewed(v) for v in step.ys],
        sums=[[renewed(v) for v in terms] for terms in step.sums],
    )


def _neighbours(equations: Iterable[Equation]) -> list[Equation] | None:
    """Equations that do the same to neighbouring parts of the same values."""
    groups: dict[Hashable, list[tuple[int, list[Part], Equation]]] = {}
    for equation in equations:
        if equation.prim.kind != "elementwise":
            continue
        key: list[Hashable] = [equation.prim, frozen(equation.kwargs)]
        parts: list[Part] = []
        others: list[Operand] = []
        for a in equation.args:
            found = part_of(a) if isinstance(a, Var) and a.shape == equation.out.shape else None
            if found is None:
                key.append(identity(a))
                others.append(a)
            else:
                key += [found[0], found[1][0]]
                parts.append(found[1])
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
            return [equation for _, _, equation in run]
    return None


def _spans(x: Operand, out: Var, axis: int) -> bool:
    """Whether x has numbers of its own along an axis of the result."""
    shape = getattr(x, "shape", ())
    own = axis - (out.ndim - len(shape))
    return own >= 0 and shape[own] != 1


def _join(group: list[Equation], trace: Rewriting, renewed: Renewed, now: dict[Var, Operand]) -> None:
    first, last = group[0], group[-1]
    args: list[Operand] = []
    for a, z in zip(first.args, last.args, strict=True):
        found, end = part_of(a) if isinstance(a, Var) and a.shape == first.out.shape else None, part_of(z)
        if found is None or end is None:
            args.append(renewed(a))
        else:
            parent, (axis, start, _) = found
            args.append(trace.part(renewed(parent), (axis, start, end[1][2])))
    out = trace.equation(first.prim, tuple(args), first.kwargs)
    names = [e.out.name for e in group if e.out.name is not None]
    _call(out, "_".join(names) if len(names) == len(group) else None)
    start = 0
    for equation in group:
        stop = start + equation.out.shape[axis]
        part = now[equation.out] = trace.part(out, (axis, start, stop))
        _call(part, equation.out.name)
        start = stop


# A sum of which some parts are added to something else again is taken part by part: then those parts' terms come
# together before the loop.


@dataclass(eq=False, repr=False)
class _SharedSum:
    equation: Equation
    past: Var
    other: Operand
    parts: list[tuple[Part, Equation, bool]]  # the part, what cuts it out, whether it has one use

    def replace(self, trace: Rewriting, renewed: Renewed, now: dict[Var, Operand]) -> None:
        for part, cut, once in self.parts:
            own = trace.part(renewed(self.past), part)
            out = now[cut.out] = trace.sum(own, trace.cut(renewed(self.other), part, self.past.ndim))
            _call(out, cut.out.name)
            if once:
                trace.passing.add(out)
        now[self.equation.out] = self.equation.out  # nobody uses it any more


def _shared_sum(step: Step, levels: Mapping[Var, int]) -> _SharedSum | None:
    uses, found = uses_of(step), levels_of(step, levels)
    for e in step.equations:
        if e.prim is not ADD or found[e.out] != PAST:
            continue
        past, other = by_level(e.args, found)
        known = not isinstance(other, Var) or found.get(other, EACH) < PAST
        parts = _cuts(e.out, uses)
        if not known or past.shape != e.out.shape or not alike(e.args) or len(parts) < 2:
            continue
        again = [_is_added_to(cut.out, uses, found) for _, cut in parts]
        if any(again) and not all(again):
            return _SharedSum(e, past, other, [(part, cut, len(uses[cut.out]) == 1) for part, cut in parts])
    return None


def _cuts(v: Var, uses: Mapping[Var, list[Equation | None]]) -> list[tuple[Part, Equation]]:
    """The parts along one axis, none overlapping another, that a value is cut into, if nothing else uses it."""
    found = []
    for u in uses.get(v, ()):
        cut = None if u is None else part_of(u.out)
        if u is None or cut is None or cut[0] is not v:
            return []
        found.append((cut[1], u))
    edges = sorted(part[1:] for part, _ in found)
    if len({part[0] for part, _ in found}) > 1 or any(a[1] > b[0] for a, b in itertools.pairwise(edges)):
        return []
    return found


def _is_added_to(v: Var, uses: Mapping[Var, list[Equation | None]], levels: Mapping[Var, int]) -> bool:
    """Whether the one use of a value is to be added to something that doesn't need the past."""
    used = uses.get(v, [])
    e = used[0] if len(used) == 1 else None
    if e is None or e.prim is not ADD or e.out.shape != v.shape:
        return False
    return all(a is v or not isinstance(a, Var) or levels.get(a, EACH) < PAST for a in e.args)


# Numbers that some parts of a value are multiplied by, or that are added to them, become an array for all of it, with
# ones or zeros for the other parts: one operation instead of several, and the parts stay neighbours. Or no operation at
# all, where the array can go into weights, or be added to what is added anyway.


@dataclass(eq=False, repr=False)
class _Levelled:
    first: Equation
    parent: Var
    axis: int
    prim: Primitive
    parts: list[tuple[Part, Var, Operand]]  # the part, what it or its multiple was, and by what it is multiplied

    def replace(self, trace: Rewriting, renewed: Renewed, now: dict[Var, Operand]) -> None:
        axis, length = self.axis, self.parent.shape[self.axis]
        numbers: Operand = np.full(length, 1.0 if self.prim is MULTIPLY else 0.0, self.parent.dtype)
        vectors: list[tuple[Part, Operand]] = []
        for (_, start, stop), _, number in self.parts:
            if isinstance(number, Var):
                vectors.append(((0, start, stop), renewed(number)))
            elif number is not None:
                numbers[start:stop] = number
        if vectors:
            numbers = trace.joined(_with_gaps(vectors, numbers))
        if self.parent.ndim - 1 > axis:
            numbers = numbers.reshape((-1,) + (1,) * (self.parent.ndim - 1 - axis))
        if self.prim is ADD and trace.level_of(renewed(self.parent)) == EACH:
            made: Any = self.parent.equation  # (a + b) + v is a + (b + v), where b is a constant too
            a, b = sorted(map(renewed, made.args), key=trace.level_of, reverse=True)
            out = trace.sum(a, trace.sum(b, numbers))
        else:
            out = trace.plain(self.prim, (renewed(self.parent), numbers), {})
        for part, v, _ in self.parts:
            now[v] = trace.part(out, part)
            _call(now[v], v.name)


def _with_gaps(vectors: list[tuple[Part, Operand]], numbers: Array) -> list[tuple[Part, Operand]]:
    """The vectors in their places, and numbers in between."""
    edges = sorted({0, len(numbers), *(edge for (_, start, stop), _ in vectors for edge in (start, stop))})
    known = {part[1]: v for part, v in vectors}
    return [((0, a, b), known.get(a, numbers[a:b])) for a, b in itertools.pairwise(edges)]


def uses_of(step: Step) -> dict[Var, list[Equation | None]]:
    """The equations that use a value; `None` stands for an output."""
    uses: dict[Var, list[Equation | None]] = {}
    for e in step.equations:
        for a in e.inputs:
            uses.setdefault(a, []).append(e)
    for v in step.outputs():
        if isinstance(v, Var):
            uses.setdefault(v, []).append(None)
    return uses


def _levelled(step: Step, levels: Mapping[Var, int]) -> _Levelled | None:
    uses = uses_of(step)
    found = levels_of(step, levels)
    for e in step.equations:
        parent = e.out
        if found[parent] == ONCE or len(uses.get(parent, [])) < 2:
            continue
        parts = _cuts(parent, uses)
        axis = parts[0][0][0] if parts else 0
        for prim in (MULTIPLY, ADD):
            free = axis == parent.ndim - 1 and _is_free(e, prim, found, uses)
            wanted = 1 if free else 2 if _pays(parent, found) else math.inf
            once = found if free and prim is ADD else {}
            told = [(part, *_operand_on(u.out, uses, prim, once)) for part, u in parts]
            if sum(x is not None for _, _, x in told) >= wanted:
                return _Levelled(parts[0][1], parent, axis, prim, told)
    return None


def _is_free(
    e: Equation, prim: Primitive, levels: Mapping[Var, int], uses: Mapping[Var, list[Equation | None]]
) -> bool:
    """Whether a multiple of e's value, or it with a constant added, costs nothing in addition."""
    if prim is MULTIPLY and e.prim is ADD:
        past = _past_terms(e, levels)
        return bool(past) and all(_takes_scale(a, levels, uses) for a in past)
    if prim is MULTIPLY:
        return levels[e.out] == PAST and _has_scalable_matrix(e, levels)
    return levels[e.out] == EACH and e.prim is ADD and any(levels.get(a, EACH) == ONCE for a in e.inputs)


def _pays(v: Var, levels: Mapping[Var, int]) -> bool:
    """Whether one operation on all of a value is worth while where there are two on parts of it."""
    return levels[v] == PAST and _is_float32(v)


def _operand_on(
    v: Var, uses: Mapping[Var, list[Equation | None]], prim: Primitive, levels: Mapping[Var, int]
) -> tuple[Var, Operand]:
    """The one multiple, or sum, of a value that is used in its stead, and the number, or the vector that is added.

    A vector must be known, by `levels`, to be the same in all steps.
    """
    used = uses.get(v, [])
    e = used[0] if len(used) == 1 else None
    if e is None or e.prim is not prim or e.out.shape != v.shape:
        return v, None
    other = next((a for a in e.args if a is not v), None)
    if e.args[0] is v and isinstance(other, (int, float)) and not isinstance(other, bool):
        return e.out, float(other)
    vector = isinstance(other, Var) and levels.get(other, EACH) == ONCE
    if isinstance(other, Var) and vector and other.shape == v.shape[-1:] and other.dtype == v.dtype:
        return e.out, other
    return v, None


def _is_float32(x: Any) -> bool:
    """Whether it is of the type for which joining sigmoids and tanhs is worth an operation on more numbers."""
    return bool(x.dtype == np.float32)


# What multiplies a product with a matrix that is the same in all steps can multiply the matrix, once.

_ROWS = 4  # for fewer, scaling the matrix takes longer than scaling the product in a few dozen steps


def _scalable(step: Step, levels: Mapping[Var, int]) -> Equation | None:
    found, uses = levels_of(step, levels), uses_of(step)
    for e in step.equations:
        if e.prim is MULTIPLY and found[e.out] == PAST and isinstance(e.args[0], Var):
            scale = e.args[1]
            constant = not isinstance(scale, Var) or found.get(scale, EACH) == ONCE
            vector = np.ndim(scale) <= 1 if not isinstance(scale, Var) else scale.ndim <= 1
            if constant and vector and e.args[0].shape == e.out.shape and _takes_scale(e.args[0], found, uses):
                return e
    return None


def _takes_scale(v: Operand, levels: Mapping[Var, int], uses: Mapping[Var, list[Equation | None]]) -> bool:
    e = v.equation if isinstance(v, Var) else None
    if e is None or len(uses.get(e.out, [])) != 1:
        return False
    if e.prim is ADD:
        past = _past_terms(e, levels)
        return bool(past) and all(_takes_scale(a, levels, uses) or _is_part_of_scalable(a, levels, uses) for a in past)
    return _has_scalable_matrix(e, levels)


def _past_terms(e: Equation, levels: Mapping[Var, int]) -> list[Var]:
    """The terms of a sum that need the past; none if one of them is broadcast."""
    past = [a for a in e.inputs if levels.get(a, EACH) == PAST]
    return past if all(a.shape == e.out.shape for a in past) else []


def _has_scalable_matrix(e: Equation, levels: Mapping[Var, int]) -> bool:
    """Whether it is a product with a matrix that is the same in all steps, of enough rows that it pays to scale it."""
    if e.prim.lowering.scaled is None or math.prod(e.out.shape[:-1]) < _ROWS:
        return False
    return isinstance(e.args[1], Var) and levels.get(e.args[1], EACH) == ONCE and e.args[1].ndim == 2


def _is_part_of_scalable(v: Operand, levels: Mapping[Var, int], uses: Mapping[Var, list[Equation | None]]) -> bool:
    """Whether it is one part of such a product, of which only parts are used: `_levelled` goes on with it."""
    found = part_of(v)
    if found is None or len(uses.get(v, [])) != 1:
        return False
    parent, (axis, _, _) = found
    e = parent.equation
    return e is not None and axis == parent.ndim - 1 and _has_scalable_matrix(e, levels) and bool(_cuts(parent, uses))


def _scale(e: Equation, trace: Rewriting, renewed: Renewed, now: dict[Var, Operand]) -> None:
    now[e.out] = _scaled(trace, e.args[0], renewed(e.args[1]), renewed)
    _call(now[e.out], e.out.name)


def _scaled(trace: Rewriting, v: Operand, scale: Operand, renewed: Renewed) -> Operand:
    e = v.equation if isinstance(v, Var) else None
    scaled = None if e is None else e.prim.lowering.scaled
    if e is not None and scaled is not None and trace.level_of(renewed(e.args[1])) == ONCE and e.args[1].ndim == 2:
        x, y = map(renewed, e.args)
        s = Traced(scale, trace) if isinstance(scale, Var) else scale
        return trace.plain(e.prim, (x, trace.operand(scaled(Traced(y, trace), s))), {})
    if e is not None and e.prim is ADD:
        return trace.sum(*[_scaled(trace, a, scale, renewed) for a in e.args])
    return trace.product(renewed(v), scale)


def expanded(step: Step, levels: Mapping[Var, int], *, values_only: bool) -> Step:
    """The step with primitives that have a formula in simpler operations written out; their results stay the same."""
    levels, equations = dict(levels), []
    for equation in step.equations:
        lowering = equation.prim.lowering
        trace = Rewriting(levels)
        made = None
        for formula in (lowering.formula, lowering.values) if values_only else (lowering.formula,):
            if formula is not None and made is None:
                made = _written_out(trace, formula, equation)
        if made is not None:
            levels.update(trace.levels)
        equations += [equation] if made is None else made
        levels[equation.out] = max([trace.level_of(a) for a in equation.args], default=ONCE)
    return replace(step, equations=equations)


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


def pruned(step: Step) -> Step:
    """The step without what nothing needs."""
    needed = {v for v in step.outputs() if isinstance(v, Var)}
    kept = []
    for equation in reversed(step.equations):
        if equation.out in needed:
            kept.append(equation)
            needed.update(equation.inputs)
    return replace(step, equations=kept[::-1])
