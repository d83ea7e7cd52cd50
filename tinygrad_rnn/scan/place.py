"""Where a program's values are written: to a row for each step, to a buffer for all steps, or into others.

What is written to memory of the program's own is given buffers, as few as will do: they are made once for a run and
used again for each block of steps, while they are in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..primitive import Primitive
from .algebra import ONCE, is_fixed_matrix, level_of
from .split import Sections, is_view, pieces_of
from .step import Equation, Var

__all__ = ["Places", "numpy_takes_out", "placed", "treats_rows", "writes"]

Kind = Literal["stacked", "static", "view", "piece", "fresh"]


@dataclass(eq=False, repr=False)
class Places:
    """For each value that isn't the same in all steps its kind of place.

    `stacked` has a row for each step: a carry's, an array's that outlives the program, or a buffer's; `static` is
    one buffer, written to in every step; a `view` looks at another value, a `piece` is written into a part of what it
    is joined to; `fresh` is a new array each time.
    """

    kinds: dict[Var, Kind] = field(default_factory=dict)
    states: set[int] = field(default_factory=set)  # carries that are stacked: n + 1 rows, the first before the loop
    buffers: dict[Var, Var] = field(default_factory=dict)  # of stacked and static values: whose buffer it was first
    homes: dict[Var, tuple[Var, int]] = field(default_factory=dict)  # piece: what it is joined to, and its place there
    copied: list[int] = field(default_factory=list)  # carries whose new value must be copied at the end of a step

    def home(self, v: Var) -> Var:
        """The value in whose memory it is: itself, unless it is a view or a piece."""
        while True:
            if self.kinds.get(v) == "view" and v.equation is not None:
                v = v.equation.args[0]
            elif v in self.homes:
                v, _ = self.homes[v]
            else:
                return v


def writes(prim: Primitive) -> bool:
    """Whether it is an elementwise function of NumPy's, which takes `out`: where to write."""
    return prim.kind == "elementwise" and prim.lowering.numpy is not None


def treats_rows(e: Equation, levels: Mapping[Var, int]) -> bool:
    """Whether it is a product with a matrix that is the same in all steps: for all steps it is one product."""
    if not e.prim.lowering.rows:
        return False
    x, y = e.args
    return level_of(x, levels) > ONCE and x.ndim >= 1 and is_fixed_matrix(y, levels)


def placed(program: Sections, stored: set[Var], takes_out: Callable[[Equation], bool]) -> Places:
    """The places of a program's values, of which those `stored` must outlive it.

    `takes_out` says of an equation of the loop whether its result can be written where one wants it, as NumPy's
    functions do that take `out`.
    """
    return _Placing(program, stored, takes_out).places


def numpy_takes_out(e: Equation) -> bool:
    """Whether NumPy's function takes `out`, or the result is put together in its place."""
    return e.prim.lowering.numpy is not None or bool(pieces_of(e))


class _Placing:
    """Finds the places: first of what kind each is, then which values share a buffer."""

    def __init__(self, program: Sections, stored: set[Var], takes_out: Callable[[Equation], bool]) -> None:
        self.program, self.stored, self.takes_out, self.places = program, stored, takes_out, Places()
        step = program.step
        self.in_loop = {e.out: e for e in program.loop}
        self.new = {v: i for i, v in enumerate(step.new_carry) if isinstance(v, Var)}
        self.old = {v: i for i, v in enumerate(step.carry)}
        self._in_loop()
        self._outside()
        for equations in (program.before, program.loop, program.after):
            self._settle_pieces(equations)
        self._share_static()
        self._share_stacked()

    # ---- kinds

    def _in_loop(self) -> None:
        program, places = self.program, self.places
        for e in program.loop:
            places.kinds[e.out] = "view" if is_view(e) else "static"
        outside = set(self.stored)
        outside.update(a for e in (*program.before, *program.after) for a in e.inputs)
        outside.update(a for t in program.totals for a in t.args if isinstance(a, Var))
        rows = {places.home(v) for v in outside if v in self.in_loop or v in self.old}
        for v in rows:
            number = self.new.get(v, self.old.get(v))
            if number is not None:
                places.states.add(number)
        for e in program.loop:
            v = e.out
            if places.kinds[v] == "view":
                continue
            if v in self.new:
                places.kinds[v] = "stacked" if self.new[v] in places.states else "static"
            elif v in rows:
                places.kinds[v] = "stacked"
            elif not self.takes_out(e):
                places.kinds[v] = "fresh"

    def _outside(self) -> None:
        for e in (*self.program.before, *self.program.after):
            if is_view(e) and e.out not in self.stored:
                self.places.kinds[e.out] = "view"
            elif e.out in self.stored or writes(e.prim) or treats_rows(e, self.program.levels) or pieces_of(e):
                self.places.kinds[e.out] = "stacked"
            else:
                self.places.kinds[e.out] = "fresh"

    def _settle_pieces(self, equations: Sequence[Equation]) -> None:
        """Let what is joined be written in its place at once."""
        kinds, homes = self.places.kinds, self.places.homes
        here = {e.out: e for e in equations}
        for e in equations:
            if not pieces_of(e) or kinds[e.out] not in ("stacked", "static"):
                continue
            for i, v in enumerate(e.args):
                made = here.get(v)
                writable = made is not None and (
                    writes(made.prim) or (v in self.in_loop and made.prim.lowering.numpy is not None)
                )
                free = v not in self.new and v not in self.stored and v not in homes
                if writable and free and (kinds[v] == "static" or kinds[v] == kinds[e.out] == "stacked"):
                    kinds[v] = "piece"
                    homes[v] = e.out, i

    # ---- buffers

    def _last_uses(self, equations: Sequence[tuple[int, Equation]], later: Iterable[Var] = ()) -> dict[Var, int]:
        """By the memory of a value, where it is looked at for the last time; those of `later` are after all."""
        home = self.places.home
        last = {home(v): len(equations) for v in later}
        for i, e in reversed(equations):
            # What a function gave that isn't NumPy's elementwise may be a view of its arguments.
            until = max(i, last.get(home(e.out), i)) if self.places.kinds[e.out] == "fresh" else i
            for a in e.inputs:
                last[home(a)] = max(until, last.get(home(a), until))
        return last

    def _share_static(self) -> None:
        """Give each static value a buffer, one that is free again if there is one; find the carries that stay put."""
        places, step, home = self.places, self.program.step, self.places.home
        order = list(enumerate(self.program.loop))
        last = self._last_uses(order)
        for v, i in self.new.items():
            if places.kinds.get(v) != "static" or v.equation is None:
                continue
            carry, at = step.carry[i], self.program.loop.index(v.equation)
            read_there = [a for a in v.equation.inputs if home(a) is carry]
            safe = v.equation.prim.kind == "elementwise" and all(a is carry for a in read_there)
            if last.get(carry, -1) < at or (last[carry] == at and (safe or not read_there)):
                places.buffers[v] = carry
            else:
                places.buffers[v] = v
                places.copied.append(i)
        mine = {v for v, kind in places.kinds.items() if kind == "static" and v not in self.new}
        self._share(order, mine, last)

    def _share_stacked(self) -> None:
        """The same for what has a row for each step and needn't outlive the program."""
        program = self.program
        # The loop is one event: what it reads it reads once more in its next step.
        end = len(program.before)
        order = [*enumerate(program.before), *((end, e) for e in program.loop), *enumerate(program.after, end + 1)]
        last = self._last_uses(order, [a for total in program.totals for a in total.args if isinstance(a, Var)])
        kept = {*self.stored, *self.new}
        mine = {v for v, kind in self.places.kinds.items() if kind == "stacked" and v not in kept}
        self._share(order, mine, last)

    def _share(self, order: Iterable[tuple[int, Equation]], mine: set[Var], last: Mapping[Var, int]) -> None:
        places = self.places
        free: list[Var] = []
        live: dict[Var, int] = {}  # until when; what is joined is there from its first piece on
        for i, e in order:
            v = places.home(e.out)
            for d in [d for d, until in live.items() if until < i]:
                del live[d]
                free.append(places.buffers[d])
            if v not in mine or v in live:
                continue
            reused = None
            if writes(e.prim) and v is e.out and not (v in self.in_loop and places.kinds[v] == "stacked"):
                reused = self._in_place(e, i, live)
            if reused is not None:
                del live[reused]
                places.buffers[v] = places.buffers[reused]
            else:
                fits = (b for b in free if (b.shape, b.dtype) == (v.shape, v.dtype))
                places.buffers[v] = next(fits, v)
                free = [b for b in free if b is not places.buffers[v]]
            live[v] = last.get(v, i)

    def _in_place(self, e: Equation, i: int, live: Mapping[Var, int]) -> Var | None:
        """An argument of an elementwise function that nobody looks at any more, so that the result can replace it."""
        home = self.places.home
        through_views = {home(a) for a in e.inputs if home(a) is not a}
        for a in e.inputs:
            dies = live.get(a) == i and a not in through_views
            if dies and (a.shape, a.dtype) == (e.out.shape, e.out.dtype):
                return a
        return None
