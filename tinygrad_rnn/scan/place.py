"""Where the values of a loop are written: to a row for each step, to a shared buffer, or into others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .split import Sections, is_view, pieces_of
from .trace import Equation, Var

__all__ = ["Places", "placed"]

Kind = Literal["stacked", "static", "view", "piece", "fresh"]


@dataclass(eq=False, repr=False)
class Places:
    """For each value of the loop its kind of place.

    `stacked` has a row for each step; `static` is one buffer, written to in every step (`buffers` says which);
    a `view` looks at another value, a `piece` is written into a part of what it is joined to; `fresh` is a new array in
    each step.
    """

    kinds: dict[Var, Kind] = field(default_factory=dict)
    states: set[int] = field(default_factory=set)  # carries that are stacked: n + 1 rows, the first before the loop
    buffers: dict[Var, Var] = field(default_factory=dict)  # static: the value that the buffer was made for
    homes: dict[Var, tuple[Var, int]] = field(default_factory=dict)  # piece: what it is joined to, and its place there
    copied: list[int] = field(default_factory=list)  # carries whose new value must be copied at the end of a step


def placed(program: Sections, stored: set[Var]) -> Places:
    """The places of a loop's values, of which those `stored` must outlive it."""
    places = Places()
    step, loop = program.step, program.loop
    position = {e: i for i, e in enumerate(loop)}
    outs = {e.out for e in loop}
    new = {v: i for i, v in enumerate(step.new_carry) if isinstance(v, Var)}
    old = {v: i for i, v in enumerate(step.carry)}

    def root(v: Var) -> Var:
        while v.equation in position and is_view(v.equation):
            v = v.equation.args[0]
        return v

    outside = set(stored)
    outside.update(a for e in (*program.before, *program.after) for a in e.inputs)
    outside.update(a for t in program.totals for a in t.args if isinstance(a, Var))
    rows = {root(v) for v in outside if v in outs or v in old}
    for v in rows:
        number = new.get(v, old.get(v))
        if number is not None:
            places.states.add(number)
    for e in loop:
        v = e.out
        if is_view(e):
            places.kinds[v] = "view"
        elif v in new:
            places.kinds[v] = "stacked" if new[v] in places.states else "static"
        elif v in rows:
            places.kinds[v] = "stacked"
        elif e.prim.lowering.numpy is not None or pieces_of(e):
            places.kinds[v] = "static"
        else:
            places.kinds[v] = "fresh"
    _settle_pieces(places, loop, stored, new)
    _share_buffers(places, program, root, new)
    return places


def _settle_pieces(places: Places, loop: Sequence[Equation], stored: set[Var], new: Mapping[Var, int]) -> None:
    """Let what is joined be written in its place at once."""
    joins = [e for e in loop if pieces_of(e) and places.kinds[e.out] in ("stacked", "static")]
    for e in joins:
        for i, v in enumerate(e.args):
            writable = (
                isinstance(v, Var)
                and v.equation in loop
                and v.equation.prim.lowering.numpy is not None  # type: ignore[union-attr]
                and places.kinds.get(v) in ("stacked", "static")
                and v not in new
                and v not in stored
                and v not in places.homes
            )
            if writable and (places.kinds[v] == "static" or places.kinds[e.out] == "stacked"):
                places.kinds[v] = "piece"
                places.homes[v] = e.out, i


def _share_buffers(places: Places, program: Sections, root: Callable[[Var], Var], new: Mapping[Var, int]) -> None:
    """Give each static value a buffer, one that is free again if there is one; find the carries that can stay put."""
    loop, step = program.loop, program.step
    last: dict[Var, int] = {}

    def home(v: Var) -> Var:
        v = root(v)
        while v in places.homes:
            v = places.homes[v][0]
        return v

    for i, e in reversed(list(enumerate(loop))):
        # What a function gave that isn't NumPy's elementwise may be a view of its arguments.
        until = max(i, last.get(home(e.out), i)) if places.kinds[e.out] == "fresh" else i
        for a in e.inputs:
            last[home(a)] = max(until, last.get(home(a), until))
    for v, i in new.items():
        if places.kinds.get(v) != "static" or v.equation is None:
            continue
        carry, at = step.carry[i], loop.index(v.equation)
        read_there = [a for a in v.equation.inputs if home(a) is carry]
        safe = v.equation.prim.kind == "elementwise" and all(a is carry for a in read_there)
        if last.get(carry, -1) < at or (last[carry] == at and (safe or not read_there)):
            places.buffers[v] = carry
        else:
            places.buffers[v] = v
            places.copied.append(i)
    kept = set(new)
    free: list[Var] = []
    made: set[Var] = set()  # a joined value's buffer is there from its first piece on
    for i, e in enumerate(loop):
        dying = [
            v for v, at in last.items() if at == i and places.kinds.get(v) == "static" and v not in kept and v in made
        ]
        v = home(e.out)
        aliasing = e.prim.kind == "elementwise" and e.prim.lowering.numpy is not None and v is e.out
        if aliasing:
            direct = {a for a in e.inputs if a.shape == e.out.shape and root(a) is a}
            through_views = {home(a) for a in e.inputs if a not in direct}
            free += [places.buffers[d] for d in dying if d in direct and d not in through_views]
            dying = [d for d in dying if d not in direct or d in through_views]
        if places.kinds.get(v) == "static" and v not in kept and v not in made:
            made.add(v)
            found = next((b for b in free if (b.shape, b.dtype) == (v.shape, v.dtype)), None)
            if found is not None:
                free.remove(found)
            places.buffers[v] = found or v
        free += [places.buffers[d] for d in dying]
