"""A step changed: taken down anew with replacements, with other values in it, in order, without what nothing needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from ..primitive import Part
from .algebra import ONCE, Rewriting, levels_of, part_of
from .step import Equation, Operand, Step, Var

__all__ = [
    "Renewed",
    "Replacement",
    "Uses",
    "cuts_of",
    "in_order",
    "joint_name",
    "name_if_unnamed",
    "pruned",
    "rebuilt",
    "substituted",
    "uses_of",
]

Renewed: TypeAlias = Callable[[Operand], Operand]
Replacement: TypeAlias = Callable[["Rewriting", Renewed, dict[Var, Operand]], None]
Uses: TypeAlias = Mapping[Var, Sequence[Equation | None]]  # by value the equations that use it; `None` is an output


def rebuilt(step: Step, given: Mapping[Var, int], replacements: Mapping[Equation, Replacement], faithful: bool) -> Step:
    """The step's equations, one by one, in a new trace; a replacement says what becomes of an equation, and others.

    `given` are the levels of the step's inputs.
    """
    trace = Rewriting(given, faithful=faithful)
    uses = uses_of(step)
    now: dict[Var, Operand] = {}

    renewed = _renewal(now)
    levels = levels_of(step, given)
    # What is the same in all steps comes first, so that all the rest can use it.
    for equation in sorted(step.equations, key=lambda e: levels[e.out] > ONCE):
        if equation.out in now:
            continue
        replacement = replacements.get(equation)
        if replacement is not None:
            replacement(trace, renewed, now)
            continue
        out = now[equation.out] = trace.equation(
            equation.prim, tuple(renewed(a) for a in equation.args), equation.kwargs
        )
        name_if_unnamed(out, equation.out.name)
        if isinstance(out, Var) and len(uses.get(equation.out, ())) == 1:
            trace.passing.add(out)
    return pruned(_with(step, trace.equations, renewed))


def _renewal(now: Mapping[Var, Operand]) -> Renewed:
    """What an operand has become: by `now`, or what it was."""
    return lambda x: now.get(x, x) if isinstance(x, Var) else x


def joint_name(parts: Iterable[Var]) -> str | None:
    """The name of values that are joined, if all have one: δi_δf."""
    names = [v.name or "" for v in parts]
    return "_".join(names) if all(names) and sum(map(len, names)) <= _LONG else None


_LONG = 16  # letters


def name_if_unnamed(x: Operand, name: str | None) -> None:
    """Name a value that was computed, unless it has a name."""
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
    """The step with these equations, and with what its outputs have become."""
    return replace(
        step,
        equations=equations,
        new_carry=[renewed(v) for v in step.new_carry],
        ys=[renewed(v) for v in step.ys],
        sums=[[renewed(v) for v in terms] for terms in step.sums],
    )


def pruned(step: Step) -> Step:
    """The step without what nothing needs."""
    needed = {v for v in step.outputs() if isinstance(v, Var)}
    kept = []
    for equation in reversed(step.equations):
        if equation.out in needed:
            kept.append(equation)
            needed.update(equation.inputs)
    return replace(step, equations=kept[::-1])


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


def cuts_of(v: Var, uses: Uses) -> list[tuple[Part, Equation]]:
    """The parts along one axis, none overlapping another, that a value is cut into, if nothing else uses it."""
    cuts = []
    for u in uses.get(v, ()):
        cut = None if u is None else part_of(u.out)
        if u is None or cut is None or cut[0] is not v:
            return []
        cuts.append((cut[1], u))
    edges = sorted(part[1:] for part, _ in cuts)
    if len({part[0] for part, _ in cuts}) > 1 or any(a[1] > b[0] for a, b in itertools.pairwise(edges)):
        return []
    return cuts
