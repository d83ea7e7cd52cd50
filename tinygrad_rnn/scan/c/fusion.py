"""A program's loop made ready for fusion: what is elementwise moved into it, and what fits together made neighbours."""

from __future__ import annotations

from bisect import insort
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

    Views come as soon as they can, and what stands alone; then what goes on with the run; then the first in the old
    order.
    """
    numbers = {e: k for k, e in enumerate(equations)}
    made_here = {e.out for e in equations}
    missing = {e: len(made_here.intersection(e.inputs)) for e in equations}
    readers: dict[Var, list[Equation]] = {}
    for e in equations:
        for a in set(e.inputs):
            readers.setdefault(a, []).append(e)
    rank = {e: 0 if is_view(e) or pieces_of(e) else 1 if stands_alone(e) else 2 for e in equations}
    ready = [[e for e in equations if not missing[e] and rank[e] == k] for k in range(3)]  # each in the old order
    order: list[Equation] = []
    shape: tuple[int, ...] | None = None
    made: set[Var] = set()  # in the current run, and views of that

    def goes_on(e: Equation) -> bool:
        looks_elsewhere = any(a in made and is_view(a.equation) for a in e.inputs)
        return rank[e] == 2 and e.out.shape == shape and not looks_elsewhere

    while any(ready):
        candidates = next(filter(None, ready))
        e = next(filter(goes_on, candidates), candidates[0])
        if rank[e] > 0:
            made = made if goes_on(e) else set()
            shape = None if rank[e] == 1 else e.out.shape
        if rank[e] > 0 or not made.isdisjoint(e.inputs):
            made.add(e.out)
        order.append(e)
        candidates.remove(e)
        for reader in readers.get(e.out, ()):
            missing[reader] -= 1
            if not missing[reader]:
                insort(ready[rank[reader]], reader, key=numbers.__getitem__)
    return order
