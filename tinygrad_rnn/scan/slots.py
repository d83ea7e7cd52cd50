"""Gates in slots: what is done to several parts of a value, done by one call on memory that suits it.

The gates of a step are parts of one array [B, S W]. NumPy wants a call for each part, and needs two or three times as
long for a part, whose rows don't lie one after the other, as for an array in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..ops import reshape
from ..primitive import Lowering, Primitive, primitive
from .algebra import (
    CONCATENATE,
    EACH,
    GETITEM,
    MULTIPLY,
    ONCE,
    PAST,
    RESHAPE,
    TRANSPOSE,
    Rewriting,
    by_level,
    level_of,
    levels_of,
)
from .place import writes
from .rebuild import in_order, joint_name, name_if_unnamed, pruned, rebuilt, substituted, uses_of
from .split import pieces_of
from .step import Equation, Operand, Step, Var
from .trace import Trace

__all__ = ["Slotted", "slotted", "with_common_factors"]


@primitive(
    "linear",
    [lambda ct, x_shape: reshape(ct, x_shape)],
    batch=lambda x, shape: np.reshape(x, (len(x), *shape)),
    lowering=Lowering(np.reshape, view=True),
)
def _slots(x: Any, *, shape: tuple[int, ...]) -> Any:
    """`reshape`, where it is a view: an axis is parted, or what is parted lies in one piece."""
    return np.reshape(x, shape)


_SMALL = 1024  # numbers: larger parts are worked on as fast where they are

_SLOTS: Primitive = _slots.primitive  # type: ignore[attr-defined]


def with_common_factors(step: Step, given: Mapping[Var, int]) -> Step:
    """The step, in which neighbouring pieces δ f₁, δ f₂ … of what is joined are one product δ [f₁, f₂, …].

    `given` are the levels of its inputs.
    """
    levels = levels_of(step, given)
    outputs = {v for v in step.outputs() if isinstance(v, Var)}
    joins = [(e, _runs(e, levels, outputs)) for e in step.equations if levels[e.out] == PAST]
    e, runs = max(joins, key=lambda join: _saved(join[1]), default=(None, []))
    if e is None or _saved(runs) < 1:
        return rebuilt(step, given, {}, faithful=False)
    return with_common_factors(_multiplied(step, levels, e, runs), given)


@dataclass(eq=False, repr=False)
class _Run:
    """Neighbouring pieces: products with a common factor, or one of another kind."""

    pieces: list[Var]
    factors: list[Operand]
    common: Var | None

    def takes(self, common: Var, factor: Operand) -> bool:
        """Whether a product goes with these, and stays of its type: int8 and uint8 are int16 when they are joined."""
        joined = np.result_type(factor.dtype, *[f.dtype for f in self.factors])
        return self.common is common and np.result_type(common.dtype, joined) == self.pieces[0].dtype


def _runs(e: Equation, levels: Mapping[Var, int], outputs: set[Var]) -> list[_Run]:
    """The pieces that e joins, those with a common factor together; none if they can't be slots of equal width."""
    parts = pieces_of(e)
    if not parts or {axis for axis, _, _ in parts} != {e.out.ndim - 1} or len({a.shape for a in e.args}) > 1:
        return []
    if math.prod(e.args[0].shape) > _SMALL or sorted(parts) != list(parts):
        return []
    if any(_leads_to(a, b) for a in e.args for b in e.args if a is not b):
        return []
    runs: list[_Run] = []
    for piece in e.args:
        common, factor = (None, piece) if piece in outputs else _factors(piece, levels)
        if common is not None and runs and runs[-1].takes(common, factor):
            runs[-1].pieces.append(piece)
            runs[-1].factors.append(factor)
        else:
            runs.append(_Run([piece], [factor], common))
    return runs


def _saved(runs: Sequence[_Run]) -> int:
    """How many calls fewer it would be in the loop: a piece of another kind must be copied to its place."""
    return sum(len(run.pieces) - 1 if run.common is not None else -1 for run in runs)


def _factors(v: Var, levels: Mapping[Var, int]) -> tuple[Var | None, Operand]:
    """x and f, if v is x f where x needs the past and f doesn't."""
    e = v.equation
    if e is None or e.prim is not MULTIPLY or any(getattr(a, "shape", None) != v.shape for a in e.args):
        return None, v
    x, f = by_level(e.args, levels)
    known = isinstance(f, Var) and level_of(f, levels) == EACH
    return (x, f) if known and level_of(x, levels) == PAST else (None, v)


def _leads_to(a: Var, b: Var) -> bool:
    """Whether b is computed from a."""
    seen, left = set(), [b]
    while left:
        v = left.pop()
        if v is a:
            return True
        if v not in seen and v.equation is not None:
            seen.add(v)
            left += v.equation.inputs
    return False


def _multiplied(step: Step, levels: Mapping[Var, int], e: Equation, runs: list[_Run]) -> Step:
    """The step in which `e` joins the runs' products, and its pieces are parts of what is joined."""
    trace = Rewriting(levels)
    *lead, width = e.args[0].shape
    columns: list[Operand] = []
    for run in runs:
        shape = {"shape": (*lead, len(run.pieces), width)}
        factors = run.factors[0]
        if len(run.factors) > 1:
            factors = trace.plain(CONCATENATE, tuple(run.factors), {"axis": len(lead)})
        column = trace.plain(_SLOTS, (factors,), shape)
        if run.common is not None:
            beside = trace.plain(_SLOTS, (run.common,), {"shape": (*lead, 1, width)})
            column = trace.plain(MULTIPLY, (beside, column), {})
            name_if_unnamed(column, joint_name(run.pieces))
        columns.append(column)
    joined = columns[0] if len(columns) == 1 else trace.plain(CONCATENATE, tuple(columns), {"axis": len(lead)})
    name_if_unnamed(joined, e.out.name or joint_name(e.args))
    whole = trace.plain(_SLOTS, (joined,), {"shape": e.out.shape})
    now: dict[Var, Operand] = {e.out: whole}
    multiplied = {piece for run in runs if run.common is not None for piece in run.pieces}
    for piece, part in zip(e.args, pieces_of(e) or (), strict=True):
        if piece in multiplied:
            now[piece] = trace.part(whole, part)
    for v, x in now.items():
        if v is not e.out:
            x.name = v.name
    kept = [other for other in step.equations if other.out not in now]
    return in_order(substituted(step, [*kept, *trace.equations], now))


# ------------------------------------------------------------------------------------------- values with slots in front


@dataclass(eq=False, repr=False)
class Slotted:
    """A step whose gates are in slots, and what the values of the step before are in it.

    Args:
        step: its equations and their results are new, its inputs are the old ones.
        rows: for a value before its counterpart of the same shape.
        slots: for a value [B, S W] before its counterpart [S, B, W].
    """

    step: Step
    rows: dict[Var, Operand]
    slots: dict[Var, Var]


def slotted(step: Step, given: Mapping[Var, int], known: Mapping[Var, Var]) -> Slotted:
    """The step with values [B, S W] that are cut into parts as [S, B, W], where a part lies in one piece.

    Those are values that elementwise functions make, and that only elementwise functions and cuts at multiples of W
    use. `given` are the levels of the inputs, `known` those inputs that come as [S, B, W].
    """
    made = _Slotting(_widths(step, levels_of(step, given), known), known)
    for e in step.equations:
        made.renew(e)
    renewed = substituted(replace(step, equations=made.trace.equations), made.trace.equations, made.rows)
    return Slotted(pruned(renewed), made.rows, made.slots)


def _widths(step: Step, levels: Mapping[Var, int], known: Mapping[Var, Var]) -> dict[Var, int]:
    """The values that can be slotted, and W."""
    uses = uses_of(step)
    own = {e.out: e for e in step.equations}
    widths: dict[Var, int] = {}
    for e in reversed(step.equations):  # from the cuts to what they are made of
        for v in e.inputs:
            if level_of(v, levels) == ONCE or v.ndim < 2 or math.prod(v.shape[:-1]) == 1:
                continue
            if (cut := _cut(e, v)) is not None:
                widths[v] = math.gcd(widths.get(v, v.shape[-1]), *cut, widths.get(e.out, 0))
            elif e.out in widths and writes(e.prim) and v.shape == e.out.shape:
                widths[v] = math.gcd(widths.get(v, 0), widths[e.out])

    def fits(v: Var) -> bool:
        made, width = own.get(v), widths[v]
        if v in known:
            if width != known[v].shape[-1]:
                return False
        elif made is None or not (writes(made.prim) or _is_cut_of(made, widths)):
            return False
        if not 0 < width < v.shape[-1] or math.prod(v.shape[:-1]) * width > _SMALL:
            return False
        return all(follows(u, v, width) for u in uses.get(v, ()))

    def follows(u: Equation | None, v: Var, width: int) -> bool:
        if u is None:
            return False
        cut = _cut(u, v)
        if cut is not None and cut[0] % width == 0 and cut[1] - cut[0] == width:
            return True
        return widths.get(u.out) == width and (cut is not None or (writes(u.prim) and u.out.shape == v.shape))

    while bad := [v for v in widths if not fits(v)]:
        for v in bad:
            del widths[v]
    return widths


def _cut(e: Equation, v: Var) -> tuple[int, int] | None:
    """Where e cuts v along its last axis."""
    part = e.prim.lowering.part
    cut = part(e.kwargs, v.shape) if part is not None and e.args[0] is v else None
    return cut[1:] if cut is not None and cut[0] == v.ndim - 1 else None


def _is_cut_of(e: Equation, widths: Mapping[Var, int]) -> bool:
    return any(a in widths and _cut(e, a) is not None for a in e.inputs)


class _Slotting:
    """Takes a step's equations down anew: `rows` has what became of values, `slots` of those that are [S, B, W] now."""

    def __init__(self, widths: Mapping[Var, int], known: Mapping[Var, Var]) -> None:
        self.trace, self.widths = Trace(), widths
        self.rows: dict[Var, Operand] = {}
        self.slots = {v: slots for v, slots in known.items() if v in widths}
        self.views: dict[tuple[Var, tuple[int, ...]], Var] = {}
        for v, slots in known.items():
            if v not in widths:  # used in other ways too
                turned = self.equation(TRANSPOSE, (slots,), {"axes": (*range(1, v.ndim), 0, v.ndim)})
                self.rows[v] = self.equation(RESHAPE, (turned,), {"shape": v.shape}, v.name)

    def equation(
        self, prim: Primitive, args: tuple[Operand, ...], kwargs: dict[str, Any], name: str | None = None
    ) -> Var:
        out = self.trace.equation(prim, args, kwargs)
        out.name = name
        return out

    def renew(self, e: Equation) -> None:
        """Take an equation down: as a cut of slots, on slots, or as it was."""
        v = e.out
        parent = next((a for a in e.inputs if a in self.slots and _cut(e, a) is not None), None)
        if parent is not None:
            self.cut(e, parent)
        elif v in self.widths:
            self.slots[v] = self.equation(e.prim, tuple([self.in_slots(a, v) for a in e.args]), e.kwargs, v.name)
        else:
            args = tuple([self.rows.get(a, a) if isinstance(a, Var) else a for a in e.args])
            self.rows[v] = self.trace.note(e.prim, args, e.kwargs, Var(v.shape, v.dtype, v.name))

    def cut(self, e: Equation, parent: Var) -> None:
        """One slot, or several."""
        start, stop = (edge // self.widths[parent] for edge in _cut(e, parent) or ())
        single = stop - start == 1
        index = start if single else slice(start, stop)
        (self.rows if single else self.slots)[e.out] = self.equation(
            GETITEM, (self.slots[parent],), {"index": (index,)}, e.out.name
        )

    def in_slots(self, x: Operand, v: Var) -> Operand:
        """An argument of what makes v, so that it meets the slots of v."""
        width, shape = self.widths[v], getattr(x, "shape", ())
        if not shape or shape[-1] == 1:
            return x
        split = (*(1,) * (v.ndim - len(shape)), *shape[:-1], v.shape[-1] // width, width)
        axes = (v.ndim - 1, *range(v.ndim - 1), v.ndim)
        if not isinstance(x, Var):
            return np.transpose(x.reshape(split), axes)
        if x in self.slots:
            return self.slots[x]
        if (x, split) not in self.views:
            apart = self.equation(_SLOTS, (self.rows.get(x, x),), {"shape": split})
            self.views[x, split] = self.equation(TRANSPOSE, (apart,), {"axes": axes})
        return self.views[x, split]
