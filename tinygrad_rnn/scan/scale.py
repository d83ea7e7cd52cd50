"""Constants where they cost nothing: what multiplies a product, or is added to a part, goes into weights and biases."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..primitive import Part, Primitive
from ..tape import Array
from .algebra import ADD, EACH, MODEST, MULTIPLY, ONCE, PAST, Rewriting, is_fixed_matrix, level_of, levels_of, part_of
from .rebuild import Renewed, Replacement, Uses, cuts_of, name_if_unnamed, uses_of
from .step import Equation, Operand, Step, Var
from .trace import Traced

__all__ = ["scalable", "spreadable"]

# Numbers that some parts of a value are multiplied by, or that are added to them, become an array for all of it, with
# ones or zeros for the other parts: one operation instead of several, and the parts stay neighbours. Or no operation at
# all, where the array can go into weights, or be added to what is added anyway.


@dataclass(eq=False, repr=False)
class _Spread:
    """The numbers of parts, spread over the whole that they are parts of."""

    parent: Var
    axis: int
    prim: Primitive
    parts: list[tuple[Part, Var, Operand]]  # the part, what it or its multiple was, and its number or vector

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
            name_if_unnamed(now[v], v.name)


def _with_gaps(vectors: list[tuple[Part, Operand]], numbers: Array) -> list[tuple[Part, Operand]]:
    """The vectors in their places, and numbers in between."""
    edges = sorted({0, len(numbers), *(edge for (_, start, stop), _ in vectors for edge in (start, stop))})
    known = {part[1]: v for part, v in vectors}
    return [((0, a, b), known.get(a, numbers[a:b])) for a, b in itertools.pairwise(edges)]


def spreadable(step: Step, given: Mapping[Var, int]) -> tuple[Equation, Replacement] | None:
    """Parts of a value that are multiplied by numbers, or have numbers added, where to do it to the whole pays."""
    levels, uses = levels_of(step, given), uses_of(step)
    for e in step.equations:
        parent = e.out
        if levels[parent] == ONCE or len(uses.get(parent, [])) < 2:
            continue
        parts = cuts_of(parent, uses)
        axis = parts[0][0][0] if parts else 0
        for prim in (MULTIPLY, ADD):
            free = axis == parent.ndim - 1 and _is_free(e, prim, levels, uses)
            wanted = 1 if free else 2 if _pays(parent, levels) else math.inf
            once = levels if free and prim is ADD else {}
            operands = [(part, *_operand_on(u.out, uses, prim, once)) for part, u in parts]
            if sum(x is not None for _, _, x in operands) >= wanted:
                return parts[0][1], _Spread(parent, axis, prim, operands).replace
    return None


def _is_free(e: Equation, prim: Primitive, levels: Mapping[Var, int], uses: Uses) -> bool:
    """Whether a multiple of e's value, or it with a constant added, costs nothing in addition."""
    if prim is MULTIPLY and e.prim is ADD:
        past = _past_terms(e, levels)
        return bool(past) and all(_takes_scale(a, levels, uses) for a in past)
    if prim is MULTIPLY:
        return levels[e.out] == PAST and _has_scalable_matrix(e, levels)
    return levels[e.out] == EACH and e.prim is ADD and any(level_of(a, levels) == ONCE for a in e.inputs)


def _pays(v: Var, levels: Mapping[Var, int]) -> bool:
    """Whether one operation on all of a value is worth while where there are two on parts of it."""
    return levels[v] == PAST and _is_float32(v)


def _operand_on(v: Var, uses: Uses, prim: Primitive, levels: Mapping[Var, int]) -> tuple[Var, Operand]:
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
    if (
        isinstance(other, Var)
        and level_of(other, levels) == ONCE
        and other.shape == v.shape[-1:]
        and other.dtype == v.dtype
    ):
        return e.out, other
    return v, None


def _is_float32(x: Any) -> bool:
    """Whether it is of the type for which joining sigmoids and tanhs is worth an operation on more numbers."""
    return bool(x.dtype == np.float32)


# Numbers that multiply a product with a matrix that is the same in all steps can multiply the matrix, once. They must
# be of modest size, lest the matrix overflow where the product wouldn't; of a tensor nobody knows.

_ROWS = 4  # for fewer, scaling the matrix takes longer than scaling the product in a few dozen steps


def scalable(step: Step, given: Mapping[Var, int]) -> tuple[Equation, Replacement] | None:
    """The multiple of a product by numbers, where its matrix can take them up."""
    levels, uses = levels_of(step, given), uses_of(step)
    for e in step.equations:
        if e.prim is MULTIPLY and levels[e.out] == PAST and isinstance(e.args[0], Var):
            same = e.args[0].shape == e.out.shape
            if same and _is_modest(e.args[1], e.out.dtype) and _takes_scale(e.args[0], levels, uses):
                return e, functools.partial(_scale, e)
    return None


def _is_modest(scale: Operand, dtype: np.dtype[Any]) -> bool:
    """Whether it is a number, or a vector of numbers, none of them very large or very small."""
    if isinstance(scale, Var) or np.ndim(scale) > 1 or dtype == np.float16:
        return False
    size = np.abs(scale)
    return bool(np.all((size <= MODEST) & (size >= 1 / MODEST)))


def _takes_scale(v: Operand, levels: Mapping[Var, int], uses: Uses) -> bool:
    """Whether it is such a product, or a sum of such, and nothing else uses it."""
    e = v.equation if isinstance(v, Var) else None
    if e is None or len(uses.get(e.out, [])) != 1:
        return False
    if e.prim is ADD:
        past = _past_terms(e, levels)
        return bool(past) and all(_takes_scale(a, levels, uses) or _is_part_of_scalable(a, levels, uses) for a in past)
    return _has_scalable_matrix(e, levels)


def _past_terms(e: Equation, levels: Mapping[Var, int]) -> list[Var]:
    """The terms of a sum that need the past; none if one of them is broadcast."""
    past = [a for a in e.inputs if level_of(a, levels) == PAST]
    return past if all(a.shape == e.out.shape for a in past) else []


def _has_scalable_matrix(e: Equation, levels: Mapping[Var, int]) -> bool:
    """Whether it is a product with a matrix that is the same in all steps, of enough rows that it pays to scale it."""
    if e.prim.lowering.scaled is None or math.prod(e.out.shape[:-1]) < _ROWS:
        return False
    return is_fixed_matrix(e.args[1], levels)


def _is_part_of_scalable(v: Operand, levels: Mapping[Var, int], uses: Uses) -> bool:
    """Whether it is one part of such a product, of which only parts are used: `spreadable` goes on with it."""
    cut = part_of(v)
    if cut is None or len(uses.get(v, [])) != 1:
        return False
    parent, (axis, _, _) = cut
    e = parent.equation
    return e is not None and axis == parent.ndim - 1 and _has_scalable_matrix(e, levels) and bool(cuts_of(parent, uses))


def _scale(e: Equation, trace: Rewriting, renewed: Renewed, now: dict[Var, Operand]) -> None:
    now[e.out] = _scaled(trace, e.args[0], renewed(e.args[1]), renewed)
    name_if_unnamed(now[e.out], e.out.name)


def _scaled(trace: Rewriting, v: Operand, scale: Operand, renewed: Renewed) -> Operand:
    """The multiple of v: x (scale · W) for a product x W, term by term for a sum."""
    e = v.equation if isinstance(v, Var) else None
    scaled = None if e is None else e.prim.lowering.scaled
    if e is not None and scaled is not None and is_fixed_matrix(renewed(e.args[1]), trace.levels):
        x, y = map(renewed, e.args)
        return trace.plain(e.prim, (x, trace.operand(scaled(Traced(y, trace), scale))), {})
    if e is not None and e.prim is ADD:
        return trace.sum(*[_scaled(trace, a, scale, renewed) for a in e.args])
    return trace.product(renewed(v), scale)
