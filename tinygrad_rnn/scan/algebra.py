"""Equations taken down so that the loop has little to do: sums and products regrouped, parts put together.

What a step computes falls in three levels: what is the same in all steps (ONCE), what differs from step to step but
doesn't need the step before (EACH), and what does (PAST). A chain of sums and products is regrouped so that what has
a lower level comes together: (h W + b) + a becomes h W + (b + a), and ((δ k₁) k₂) becomes δ (k₁ k₂). A loop then has
one sum and one product to do, and the rest is done for all steps at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ops.elementwise import add, divide, multiply, subtract
from ..ops.indexing import _getitem
from ..ops.shapes import _concatenate, _reshape, _transpose
from ..primitive import Part, Primitive
from .form import frozen
from .step import Operand, Step, Var
from .trace import Trace, Traced

__all__ = [
    "ADD",
    "CONCATENATE",
    "EACH",
    "GETITEM",
    "MODEST",
    "MULTIPLY",
    "ONCE",
    "PAST",
    "RESHAPE",
    "TRANSPOSE",
    "Rewriting",
    "alike",
    "by_level",
    "identity",
    "is_fixed_matrix",
    "level_of",
    "levels_of",
    "part_of",
    "result_level",
]

ONCE, EACH, PAST = 0, 1, 2

_VOCABULARY: list[Any] = [add, multiply, subtract, _getitem, _concatenate, _reshape, _transpose]
ADD, MULTIPLY, SUBTRACT, GETITEM, CONCATENATE, RESHAPE, TRANSPOSE = (f.primitive for f in _VOCABULARY)
_ARITHMETIC = frozenset(f.primitive for f in [*_VOCABULARY, divide])


class _Affine(NamedTuple):
    """scale · atom + shift, where scale and shift are of a lower level than the atom; None is 1, or 0."""

    scale: Operand
    atom: Var
    shift: Operand


class Rewriting(Trace):
    """Takes equations down in their rewritten form.

    `given` are the levels of the inputs. What a user wrote is rewritten faithfully: only what is added to a sum that
    has no other use is added to its last term instead, and only where a term is made of products of matrices, which
    add up in an order of their own. (Else a compensated sum, for instance, would lose its compensation.)
    """

    def __init__(self, given: Mapping[Var, int], *, faithful: bool = False) -> None:
        super().__init__()
        self.levels = dict(given)  # and those of what the equations here compute
        self.faithful = faithful
        self.passing: set[Var] = set()  # values that are used once
        self._of_products: set[Var] = set()  # products of matrices, and what arithmetic makes of them
        self._known: dict[Hashable, Var] = {}
        self._affine: dict[Var, _Affine] = {}  # what values were made as
        self._pieces: dict[Var, list[tuple[Part, Operand]]] = {}

    def level_of(self, x: Operand) -> int:
        """ONCE, EACH or PAST."""
        return level_of(x, self.levels)

    def equation(self, prim: Primitive, args: tuple[Operand, ...], kwargs: dict[str, Any]) -> Any:
        """The value of prim(*args, **kwargs), which may turn out to be there already, or to be a number."""
        role = prim.lowering.algebra
        if role is not None and alike(args):
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
        key = (prim, *[identity(a) for a in args], frozen(kwargs))
        out = self._known.get(key)
        if out is None:
            out = self._known[key] = super().equation(prim, args, kwargs)
            self.levels[out] = result_level(args, self.levels)
            is_made_of_some = prim in _ARITHMETIC and any(isinstance(a, Var) and a in self._of_products for a in args)
            if prim.lowering.scaled is not None or is_made_of_some:
                self._of_products.add(out)
        return out

    # ---- sums and products

    def _as_affine(self, x: Var, shape: tuple[int, ...]) -> _Affine:
        """x as scale · atom + shift, in an operation whose result has this shape; as 1 · x + 0, if it is none.

        So is what is broadcast, and in a user's sums what has other uses or a scale: those stay as they were written.
        """
        itself = _Affine(None, x, None)
        if x.shape != shape or (self.faithful and x not in self.passing):
            return itself
        made = self._affine.get(x, itself)
        if self.faithful and (made.scale is not None or x not in self._of_products):
            return itself
        return made

    def _from_affine(self, scale: Operand, atom: Var, shift: Operand) -> Var:
        """The value scale · atom + shift, in as few operations as will do; it is remembered as that."""
        if shift is not None:
            if _is_number(scale, -1):
                out = self.plain(SUBTRACT, (shift, atom), {})
            else:
                opposite = self._opposite(shift)
                scaled = self._from_affine(scale, atom, None)
                prim, other = (ADD, shift) if opposite is None else (SUBTRACT, opposite)
                out = self.plain(prim, (scaled, other), {})
        elif scale is None:
            return atom
        else:
            # Not np.negative: in NumPy 2.4 its results are wrong where the array and `out` are both strided.
            out = self.plain(MULTIPLY, (atom, scale), {})
        if out is not atom:
            self._affine[out] = _Affine(scale, atom, shift)
        return out

    def _may_meet(self, c: Operand, d: Operand) -> bool:
        """Whether shifts may be added before the rest: in a user's sum a large number, which may round, may not."""
        return c is None or d is None or not self.faithful or not (_is_large(c) or _is_large(d))

    def _opposite(self, x: Operand) -> Operand:
        """What x is the negative of, if it was made so."""
        made = self._affine.get(x) if isinstance(x, Var) else None
        return made.atom if made is not None and made.shift is None and _is_number(made.scale, -1) else None

    def sum(self, a: Operand, b: Operand) -> Operand:
        """a + b, where what is of a lower level comes together.

        With a = k·atom + c and b = m·other + d it is (k·atom + m·other) + (c + d), where k, c, m and d are of a lower
        level than the atoms; or k·atom + (c + b), if b is of a lower level than a.
        """
        if not isinstance(a, Var) and not isinstance(b, Var):
            return a + b
        if _is_number(a, 0) and isinstance(b, Var):
            return b
        if _is_number(b, 0) and isinstance(a, Var):
            return a
        if not isinstance(a, Var) or (isinstance(b, Var) and self.level_of(a) < self.level_of(b)):
            a, b = b, a
        shape = np.broadcast_shapes(a.shape, getattr(b, "shape", ()))
        k, atom, c = self._as_affine(a, shape)
        if not isinstance(b, Var) or self.level_of(b) < self.level_of(a):
            if a.shape != shape or not self._may_meet(c, b):
                return self.plain(ADD, (a, b), {})
            return self._from_affine(k, atom, b if c is None else self.sum(c, b))
        m, other, d = self._as_affine(b, shape)
        if not self._may_meet(c, d):
            return self.plain(ADD, (a, b), {})
        shift = c if d is None else d if c is None else self.sum(c, d)
        if atom is other and not self.faithful:
            return self._from_affine(self.sum(1.0 if k is None else k, 1.0 if m is None else m), atom, shift)
        if _is_number(m, -1):
            both = self.plain(SUBTRACT, (self._from_affine(k, atom, None), other), {})
        elif _is_number(k, -1):
            both = self.plain(SUBTRACT, (self._from_affine(m, other, None), atom), {})
        else:
            both = self.plain(ADD, (self._from_affine(k, atom, None), self._from_affine(m, other, None)), {})
        return self._from_affine(None, both, shift)

    def product(self, a: Operand, b: Operand) -> Operand:
        """a · b, elementwise: with a = k·atom it is (k · b)·atom, if b is of a lower level than a.

        What is joined is multiplied piece by piece.
        """
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
        k, atom, c = self._as_affine(a, shape)
        if c is not None:
            k, atom = None, a
        return self._from_affine(b if k is None else self.product(k, b), atom, None)

    # ---- parts and what is made of parts

    def part(self, x: Var, part: Part) -> Operand:
        """x[..., start:stop, ...]."""
        axis, start, stop = part
        if (start, stop) == (0, x.shape[axis]):
            return x
        cut = part_of(x)
        if cut is not None and cut[1][0] == axis:
            parent, (_, first, _) = cut
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
        start, placed = 0, []
        for x in together:
            placed.append(((axis, start, start + x.shape[axis]), x))
            start += x.shape[axis]
        self._pieces[out] = placed
        return out


def level_of(x: Operand, levels: Mapping[Var, int]) -> int:
    """ONCE, EACH or PAST: numbers and arrays are ONCE, values that aren't in `levels` are EACH."""
    return levels.get(x, EACH) if isinstance(x, Var) else ONCE


def result_level(args: Sequence[Operand], levels: Mapping[Var, int]) -> int:
    """The level of what is computed from operands: the highest of theirs."""
    return max([level_of(a, levels) for a in args], default=ONCE)


def levels_of(step: Step, given: Mapping[Var, int]) -> dict[Var, int]:
    """The levels of all values of a step; `given` are those of its inputs."""
    levels = dict(given)
    for e in step.equations:
        levels[e.out] = result_level(e.inputs, levels)
    return levels


def by_level(args: Sequence[Operand], levels: Mapping[Var, int]) -> list[Operand]:
    """Operands, those of the highest level first."""
    return sorted(args, key=lambda a: -level_of(a, levels))


def is_fixed_matrix(x: Operand, levels: Mapping[Var, int]) -> bool:
    """Whether it is a matrix that is the same in all steps."""
    return isinstance(x, Var) and x.ndim == 2 and level_of(x, levels) == ONCE


def alike(args: Sequence[Operand]) -> bool:
    """Whether all are of one floating-point type, Python numbers apart: then it doesn't matter who meets whom first."""
    dtypes = {a.dtype for a in args if not isinstance(a, (float, int))}
    return len(dtypes) == 1 and dtypes.pop().kind == "f" and not any(isinstance(a, bool) for a in args)


def _is_number(x: Operand, number: float) -> bool:
    return type(x) in (float, int) and x == number


def _is_large(x: Operand) -> bool:
    return type(x) in (float, int) and not abs(x) <= MODEST


MODEST = 1024.0  # the largest number that is moved in what a user wrote: a larger one may overflow there, or round


def identity(x: Operand) -> Hashable:
    """What tells operands apart: values and arrays are themselves only, numbers of one type may be equal."""
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
