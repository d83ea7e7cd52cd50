"""A program's loop made ready for fusion: what is elementwise moved into it, and what fits together made neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..split import Sections, is_view, pieces_of
from ..step import Equation, Var
from .expressions import is_fusible, stands_alone

__all__ = ["fused"]


def fused(program: Sections) -> Sections:
    """The program with what is elementwise moved into its loop: there it shares loops over elements, and cache.

    That is: before the loop what only the loop looks at, after it what the loop has, or nothing but what it has.
    """
    moved: set[Equation] = set()
    kept = {v for v in (*program.step.ys, *program.step.new_carry) if isinstance(v, Var)}
    kept.update(a for total in program.totals for a in total.args if isinstance(a, Var))
    read_by: dict[Var, list[Equation]] = {}
    for e in (*program.before, *program.after, *program.last):
        for a in e.inputs:
            read_by.setdefault(a, []).append(e)
    missing: set[Var] = set()
    for e in program.after:
        if is_fusible(e) and missing.isdisjoint(e.inputs):
            moved.add(e)
        else:
            missing.add(e.out)
    for e in reversed(program.before):
        if is_fusible(e) and e.out not in kept and all(r in moved for r in read_by.get(e.out, ())):
            moved.add(e)
    before, after = ([e for e in part if e not in moved] for part in (program.before, program.after))
    early, late = ([e for e in part if e in moved] for part in (program.before, program.after))
    return replace(program, before=before, loop=_in_long_runs([*early, *program.loop, *late]), after=after)


def _in_long_runs(equations: Sequence[Equation]) -> list[Equation]:
    """The same equations in an order in which those of one shape follow each other.

    What stands alone comes as soon as it can; then what goes on with the run; then the first in the old order.
    """
    waiting, missing = list(equations), {e.out for e in equations}
    order: list[Equation] = []
    shape: tuple[int, ...] | None = None
    made: set[Var] = set()  # in the current run, and views of that

    def is_free(e: Equation) -> bool:
        return is_view(e) or bool(pieces_of(e))

    def goes_on(e: Equation) -> bool:
        looks_elsewhere = any(a in made and is_view(a.equation) for a in e.inputs)
        return not stands_alone(e) and e.out.shape == shape and not looks_elsewhere

    while waiting:
        ready = [e for e in waiting if missing.isdisjoint(e.inputs)]
        e = next(filter(is_free, ready), None) or next(filter(stands_alone, ready), None)
        e = e or next(filter(goes_on, ready), ready[0])
        if not is_free(e):
            made = made if goes_on(e) else set()
            shape = None if stands_alone(e) else e.out.shape
        if not is_free(e) or not made.isdisjoint(e.inputs):
            made.add(e.out)
        order.append(e)
        waiting.remove(e)
        missing.remove(e.out)
    return order
