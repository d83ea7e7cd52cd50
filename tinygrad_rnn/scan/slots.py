"""Gates in slots: what is done to several parts of a value, done by one call on memory that suits it.

The gates of a step are parts of one array [B, S W]. NumPy wants a call for each part, and needs two or three times as
long for a part, whose rows don't lie one after the other, as for an array in one piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops import reshape
from ..primitive import Lowering, primitive
from .algebra import CONCATENATE, EACH, MULTIPLY, PAST, Rewriting, levels_of
from .rewrite import in_order, rebuilt, substituted
from .split import pieces_of
from .trace import Equation, Operand, Step, Var

__all__ = ["with_common_factors"]


@primitive(
    "linear",
    [lambda ct, x_shape: reshape(ct, x_shape)],
    batch=lambda x, shape: _seen_as(x, shape=(len(x), *shape)),
    lowering=Lowering(np.reshape, view=True),
)
def _seen_as(x: Any, *, shape: tuple[int, ...]) -> Any:
    """`reshape`, where it is a view: an axis is parted, or what is parted lies in one piece."""
    return np.reshape(x, shape)


_SEEN_AS = _seen_as.primitive  # type: ignore[attr-defined]


def with_common_factors(step: Step, levels: Mapping[Var, int]) -> Step:
    """The step, in which neighbouring pieces δ f₁, δ f₂ … of what is joined are one product δ [f₁, f₂, …]."""
    found = levels_of(step, levels)
    outputs = {v for v in step.outputs() if isinstance(v, Var)}
    joins = [(e, _runs(e, found, outputs)) for e in step.equations if found[e.out] == PAST]
    e, runs = max(joins, key=lambda join: _saved(join[1]), default=(None, []))
    if e is None or _saved(runs) < 1:
        return rebuilt(step, levels, {}, faithful=False)
    return with_common_factors(_multiplied(step, found, e, runs), levels)


@dataclass(eq=False, repr=False)
class _Run:
    """Neighbouring pieces: products with a common factor, or one of another kind."""

    pieces: list[Var]
    factors: list[Operand]
    common: Var | None


def _runs(e: Equation, levels: Mapping[Var, int], outputs: set[Var]) -> list[_Run]:
    """The pieces that e joins, those with a common factor together; none if they can't be slots of equal width."""
    parts = pieces_of(e)
    if not parts or {axis for axis, _, _ in parts} != {e.out.ndim - 1} or len({a.shape for a in e.args}) > 1:
        return []
    if sorted(parts) != list(parts) or any(_leads_to(a, b) for a in e.args for b in e.args if a is not b):
        return []
    runs: list[_Run] = []
    for piece in e.args:
        common, factor = (None, piece) if piece in outputs else _factors(piece, levels)
        if common is not None and runs and runs[-1].common is common:
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
    x, f = sorted(e.args, key=lambda a: -levels.get(a, EACH) if isinstance(a, Var) else 0)
    known = isinstance(f, Var) and levels.get(f, EACH) == EACH
    return (x, f) if known and levels.get(x, EACH) == PAST else (None, v)


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
        column = trace.plain(_SEEN_AS, (factors,), shape)
        if run.common is not None:
            beside = trace.plain(_SEEN_AS, (run.common,), {"shape": (*lead, 1, width)})
            column = trace.plain(MULTIPLY, (beside, column), {})
        columns.append(column)
    joined = columns[0] if len(columns) == 1 else trace.plain(CONCATENATE, tuple(columns), {"axis": len(lead)})
    whole = trace.plain(_SEEN_AS, (joined,), {"shape": e.out.shape})
    now: dict[Var, Operand] = {e.out: whole}
    multiplied = {piece for run in runs if run.common is not None for piece in run.pieces}
    for piece, part in zip(e.args, pieces_of(e) or (), strict=True):
        if piece in multiplied:
            now[piece] = trace.part(whole, part)
    for v, x in now.items():
        x.name = v.name
    kept = [other for other in step.equations if other.out not in now]
    return in_order(substituted(step, [*kept, *trace.equations], now))
