"""Equations rewritten so that the loop has little to do: sums and products regrouped, slices joined.

What a step computes falls in three levels: what is the same in all steps (ONCE), what differs from step to step but
doesn't need the step before (EACH), and what does (PAST). A chain of sums and products is regrouped so that what has
a lower level comes together: (h W + b) + a becomes h W + (b + a), and ((δ k₁) k₂) becomes δ (k₁ k₂). A loop then has
one sum and one product to do, and the rest is done for all steps at once.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ..ops.elementwise import add, multiply, subtract
from ..ops.indexing import _getitem
from ..ops.shapes import _concatenate
from ..primitive import Part, Primitive
from .trace import Equation, Operand, Step, Trace, Traced, Var, frozen

__all__ = ["EACH", "ONCE", "PAST", "Rewriting", "expanded", "pruned", "rewritten"]

ONCE, EACH, PAST = 0, 1, 2

_VOCABULARY: list[Any] = [add, multiply, subtract, _getitem, _concatenate]
ADD, MULTIPLY, SUBTRACT, GETITEM, CONCATENATE = (f.primitive for f in _VOCABULARY)


class Rewriting(Trace):
    """Takes equations down in their rewritten form.

    `levels` are the inputs'; values that aren't in it, and that no equation here computes, are EACH. What a user wrote
    is rewritten faithfully: only what is added to a sum that has no other use is added to its last term instead. (Else
    a compensated sum, for instance, would lose its compensation.)
    """

    def __init__(self, levels: Mapping[Var, int], *, faithful: bool = False) -> None:
        super().__init__()
        self.levels = dict(levels)
        self.faithful = faithful
        self.passing: set[Var] = set()  # values that are used once
        self._known: dict[Hashable, Var] = {}
        # v = scale · atom + shift, where scale and shift are of a lower level than the atom.
        self._forms: dict[Var, tuple[Operand, Var, Operand]] = {}
        self._pieces: dict[Var, list[tuple[Part, Operand]]] = {}

    def level_of(self, x: Operand) -> int:
        """ONCE, EACH or PAST."""
        return self.levels.get(x, EACH) if isinstance(x, Var) else ONCE

    def equation(self, prim: Primitive, args: tuple[Operand, ...], kwargs: dict[str, Any]) -> Any:
        """The value of prim(*args, **kwargs), which may turn out to be there already, or to be a number."""
        role = prim.lowering.algebra
        if role is not None and _alike(args):
            if role == "sum":
                return self.sum(*args)
            if role == "difference" and self.faithful:
                return self.plain(prim, args, kwargs)
            if role == "difference":
                return self.sum(args[0], self.product(args[1], -1.0))
            return self.product(args[0], -1.0 if role == "negative" else args[1])
        if prim.lowering.part is not None and isinstance(args[0], Var):
            part = prim.lowering.part(kwargs, args[0].shape)
            if part is not None:
                return self.part(args[0], part)
        if prim.lowering.pieces is not None and len({a.dtype for a in args}) == 1 < len(args):
            pieces = prim.lowering.pieces(kwargs, [a.shape for a in args])
            if pieces is not None:
                return self.joined(list(zip(pieces, args, strict=True)))
        return self.plain(prim, args, kwargs)

    def apply(self, prim: Primitive, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """As a trace's, but what has become a number or an array stays one."""
        out = self.equation(prim, tuple([self.operand(a) for a in args]), kwargs)
        return Traced(out, self) if isinstance(out, Var) else out

    def plain(self, prim: Primitive, args: tuple[Operand, ...], kwargs: dict[str, Any]) -> Var:
        """The equation as it is, once."""
        key = (prim, *[_identity(a) for a in args], frozen(kwargs))
        out = self._known.get(key)
        if out is None:
            out = self._known[key] = super().equation(prim, args, kwargs)
            self.levels[out] = max([self.level_of(a) for a in args], default=ONCE)
        return out

    # ---- sums and products

    def _form(self, x: Var, shape: tuple[int, ...]) -> tuple[Operand, Var, Operand]:
        if x.shape != shape or (self.faithful and x not in self.passing):
            return None, x, None
        scale, atom, shift = self._forms.get(x, (None, x, None))
        return (None, x, None) if self.faithful and scale is not None else (scale, atom, shift)

    def _affine(self, scale: Operand, atom: Var, shift: Operand) -> Var:
        if shift is not None:
            if _is_number(scale, -1):
                out = self.plain(SUBTRACT, (shift, atom), {})
            else:
                opposite = self._opposite(shift)
                scaled = self._affine(scale, atom, None)
                prim, other = (ADD, shift) if opposite is None else (SUBTRACT, opposite)
                out = self.plain(prim, (scaled, other), {})
        elif scale is None:
            return atom
        else:
            # Not np.negative: in NumPy 2.4 its results are wrong where the array and `out` are both strided.
            out = self.plain(MULTIPLY, (atom, scale), {})
        if out is not atom:
            self._forms[out] = scale, atom, shift
        return out

    def _opposite(self, x: Operand) -> Operand:
        """What x is the negative of, if it was made so."""
        scale, atom, shift = self._forms.get(x, (None, None, None)) if isinstance(x, Var) else (None, None, None)
        return atom if shift is None and _is_number(scale, -1) else None

    def sum(self, a: Operand, b: Operand) -> Operand:
        """a + b."""
        if not isinstance(a, Var) and not isinstance(b, Var):
            return a + b
        if _is_number(a, 0) and isinstance(b, Var):
            return b
        if _is_number(b, 0) and isinstance(a, Var):
            return a
        if not isinstance(a, Var) or (isinstance(b, Var) and self.level_of(a) < self.level_of(b)):
            a, b = b, a
        shape = np.broadcast_shapes(a.shape, getattr(b, "shape", ()))
        k, atom, c = self._form(a, shape)
        if not isinstance(b, Var) or self.level_of(b) < self.level_of(a):
            if a.shape != shape:
                return self.plain(ADD, (a, b), {})
            return self._affine(k, atom, b if c is None else self.sum(c, b))
        m, other, d = self._form(b, shape)
        shift = c if d is None else d if c is None else self.sum(c, d)
        if atom is other and not self.faithful:
            return self._affine(self.sum(1.0 if k is None else k, 1.0 if m is None else m), atom, shift)
        if _is_number(m, -1):
            both = self.plain(SUBTRACT, (self._affine(k, atom, None), other), {})
        elif _is_number(k, -1):
            both = self.plain(SUBTRACT, (self._affine(m, other, None), atom), {})
        else:
            both = self.plain(ADD, (self._affine(k, atom, None), self._affine(m, other, None)), {})
        return self._affine(None, both, shift)

    def product(self, a: Operand, b: Operand) -> Operand:
        """a · b, elementwise."""
        if not isinstance(a, Var) and not isinstance(b, Var):
            return a * b
        if _is_number(a, 1) and isinstance(b, Var):
            return b
        if not isinstance(a, Var) or (isinstance(b, Var) and self.level_of(a) < self.level_of(b)):
            a, b = b, a
        shape = np.broadcast_shapes(a.shape, getattr(b, "shape", ()))
        if _is_number(b, 1):
            return a
        if isinstance(b, Var) and self.level_of(b) == self.level_of(a):
            return self.plain(MULTIPLY, (a, b), {})
        if a.shape != shape:
            return self.plain(MULTIPLY, (a, b), {})
        if a in self._pieces and self.level_of(a) == PAST:
            return self.joined([(p, self.product(x, self.cut(b, p, len(shape)))) for p, x in self._pieces[a]])
        k, atom, c = self._form(a, shape)
        if c is not None:
            k, atom = None, a
        return self._affine(b if k is None else self.product(k, b), atom, None)

    # ---- parts and what is made of parts

    def part(self, x: Var, part: Part) -> Operand:
        """x[..., start:stop, ...]."""
        axis, start, stop = part
        if (start, stop) == (0, x.shape[axis]):
            return x
        found = part_of(x)
        if found is not None and found[1][0] == axis:
            parent, (_, first, _) = found
            return self.part(parent, (axis, first + start, first + stop))
        for (at, first, last), piece in self._pieces.get(x, ()):
            if at == axis and first <= start and stop <= last:
                return self.part(piece, (axis, start - first, stop - first))
        return self.plain(GETITEM, (x,), {"index": (slice(None),) * axis + (slice(start, stop),)})

    def cut(self, x: Operand, part: Part, ndim: int) -> Operand:
        """What of x goes with a part of something that it is broadcast to."""
        axis = part[0] - (ndim - len(getattr(x, "shape", ())))
        if axis < 0 or not hasattr(x, "shape") or x.shape[axis] == 1:
            return x
        if isinstance(x, np.ndarray):
            cut = x[(slice(None),) * axis + (slice(part[1], part[2]),)]
            return float(cut.flat[0]) if np.all(cut == cut.flat[0]) else cut
        return self.part(x, (axis, part[1], part[2]))

    def joined(self, pieces: list[tuple[Part, Operand]]) -> Operand:
        """Values side by side along an axis."""
        pieces = sorted(pieces, key=lambda p: p[0][1])
        axis = pieces[0][0][0]
        flat: list[Operand] = []
        for _, x in pieces:
            inner = self._pieces.get(x, ()) if isinstance(x, Var) else ()
            flat += [y for _, y in inner] if inner and inner[0][0][0] == axis else [x]
        together: list[Operand] = []
        for x in flat:
            if together and (whole := _adjacent(together[-1], x, axis)):
                together[-1] = self.part(*whole)
            else:
                together.append(x)
        if len(together) == 1:
            return together[0]
        out = self.plain(CONCATENATE, tuple(together), {"axis": axis})
        start, found = 0, []
        for x in together:
            found.append(((axis, start, start + x.shape[axis]), x))
            start += x.shape[axis]
        self._pieces[out] = found
        return out


def _alike(args: Sequence[Operand]) -> bool:
    """Whether all are of one floating-point type, Python numbers apart: then it doesn't matter who meets whom first."""
    dtypes = {a.dtype for a in args if not isinstance(a, (float, int))}
    return len(dtypes) == 1 and dtypes.pop().kind == "f" and not any(isinstance(a, bool) for a in args)


def _is_number(x: Operand, number: float) -> bool:
    return type(x) in (float, int) and x == number


def _identity(x: Operand) -> Hashable:
    return x if isinstance(x, Var) else id(x) if isinstance(x, np.ndarray) else (type(x), repr(x))


def part_of(x: Operand) -> tuple[Var, Part] | None:
    """The value of which x is a part along one axis, and which part."""
    equation = x.equation if isinstance(x, Var) else None
    if equation is None or equation.prim.lowering.part is None or not isinstance(equation.args[0], Var):
        return None
    parent = equation.args[0]
    part = equation.prim.lowering.part(equation.kwargs, parent.shape)
    return None if part is None else (parent, part)


def _adjacent(x: Operand, y: Operand, axis: int) -> tuple[Var, Part] | None:
    """What x and y are together, if they are neighbouring parts of one value."""
    a, b = part_of(x), part_of(y)
    if a is None or b is None or a[0] is not b[0] or a[1][0] != axis or b[1][0] != axis or a[1][2] != b[1][1]:
        return None
    return a[0], (axis, a[1][1], b[1][2])


# --------------------------------------------------------------------------------------------- rewriting a whole step


def rewritten(step: Step, levels: Mapping[Var, int], *, faithful: bool) -> Step:
    """The step with its sums and products regrouped, and with one operation on what were operations on neighbours."""
    step = _rebuilt(step, levels, {}, faithful)
    while True:
        if (group := _neighbours(step.equations)) is not None:
            first = min(group, key=step.equations.index)
            step = _rebuilt(step, levels, {first: functools.partial(_join, group)}, faithful)
        elif (whole := _shared_sum(step, levels)) is not None:
            step = _rebuilt(step, levels, {whole.equation: whole.replace}, faithful)
        elif (found := _levelled(step, levels)) is not None:
            step = _rebuilt(step, levels, {found.first: found.replace}, faithful)
        elif (product := _scalable(step, levels)) is not None:
            step = _rebuilt(step, levels, {product: functools.partial(_scale, product)}, faithful)
        else:
            return step


Renewed: TypeAlias = Callable[[Operand], Operand]
Replacement: TypeAlias = Callable[["Rewriting", Renewed, dict[Var, Operand]], None]


def _rebuilt(
    step: Step, levels: Mapping[Var, int], replacements: Mapping[Equation, Replacement], faithful: bool
) -> Step:
    """The step's equations, one by one, in a new trace; a replacement says what becomes of an equation, and others."""
    trace = Rewriting(levels, faithful=faithful)
    uses = _uses(step)
    now: dict[Var, Operand] = {}

    def renewed(x: Operand) -> Operand:
        return now.get(x, x) if isinstance(x, Var) else x

    for equation in step.equations:
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


def _call(x: Operand, name: str | None) -> None:
    if isinstance(x, Var) and x.name is None and x.equation is not None:
        x.name = name


def _with(step: Step, equations: list[Equation], renewed: Callable[[Operand], Operand]) -> Step:
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
                key.append(_identity(a))
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
    uses, found = _uses(step), _levels_of(step, levels)
    for e in step.equations:
        if e.prim is not ADD or found[e.out] != PAST:
            continue
        past, other = sorted(e.args, key=lambda a: -found.get(a, EACH) if isinstance(a, Var) else 0)
        known = not isinstance(other, Var) or found.get(other, EACH) < PAST
        parts = _cuts(e.out, uses)
        if not known or past.shape != e.out.shape or not _alike(e.args) or len(parts) < 2:
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
# ones or zeros for the other parts: one operation instead of several, and the parts stay neighbours.


@dataclass(eq=False, repr=False)
class _Levelled:
    first: Equation
    parent: Var
    axis: int
    prim: Primitive
    parts: list[tuple[Part, Var, float | None]]  # the part, what it or its multiple was, and by what it is multiplied

    def replace(self, trace: Rewriting, renewed: Renewed, now: dict[Var, Operand]) -> None:
        numbers = np.full(self.parent.shape[self.axis], 1.0 if self.prim is MULTIPLY else 0.0, self.parent.dtype)
        for (_, start, stop), _, number in self.parts:
            if number is not None:
                numbers[start:stop] = number
        numbers = numbers.reshape((-1,) + (1,) * (self.parent.ndim - 1 - self.axis))
        out = trace.plain(self.prim, (renewed(self.parent), numbers), {})
        for part, v, _ in self.parts:
            now[v] = trace.part(out, part)
            _call(now[v], v.name)


def _uses(step: Step) -> dict[Var, list[Equation | None]]:
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
    uses = _uses(step)
    past = _levels_of(step, levels)
    for e in step.equations:
        parent, used = e.out, uses.get(e.out, [])
        if past[parent] != PAST or not is_float32(parent) or len(used) < 2:
            continue
        parts = _cuts(parent, uses)
        for prim in (MULTIPLY, ADD):
            told = [(part, *_number_on(u.out, uses, prim)) for part, u in parts]
            if sum(number is not None for _, _, number in told) >= 2:
                return _Levelled(parts[0][1], parent, parts[0][0][0], prim, told)
    return None


def _number_on(v: Var, uses: Mapping[Var, list[Equation | None]], prim: Primitive) -> tuple[Var, float | None]:
    """The one multiple, or sum, of a value that is used in its stead, and the number."""
    used = uses.get(v, [])
    e = used[0] if len(used) == 1 else None
    if e is not None and e.prim is prim and e.args[0] is v and type(e.args[1]) in (int, float):
        return e.out, float(e.args[1])
    return v, None


def is_float32(x: Any) -> bool:
    """Whether it is of the type for which joining sigmoids and tanhs is worth an operation on more numbers."""
    return bool(x.dtype == np.float32)


def _levels_of(step: Step, levels: Mapping[Var, int]) -> dict[Var, int]:
    found = dict(levels)
    for e in step.equations:
        found[e.out] = max([found.get(a, EACH) for a in e.inputs], default=ONCE)
    return found


# What multiplies a product with a matrix that is the same in all steps can multiply the matrix, once.


def _scalable(step: Step, levels: Mapping[Var, int]) -> Equation | None:
    found, uses = _levels_of(step, levels), _uses(step)
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
    if e.prim.lowering.scaled is not None:
        return isinstance(e.args[1], Var) and levels.get(e.args[1], EACH) == ONCE and e.args[1].ndim == 2
    if e.prim is ADD:
        past = [a for a in e.inputs if levels.get(a, EACH) == PAST]
        return bool(past) and all(a.shape == e.out.shape and _takes_scale(a, levels, uses) for a in past)
    return False


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
