"""A loop's program: the functions that run its step forward and backward, block by block of time steps.

Time is worked through in blocks of a few dozen steps: what is done for all steps at once, before and after the loop,
is done for a block's, so that its numbers are still in the cache when the loop comes to them.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..tape import Array
from .algebra import EACH, ONCE, PAST, levels_of
from .capture import Capture
from .differentiate import Backward, backward_step
from .emit import Emitted, emit
from .rewrite import expanded, rewritten
from .slots import Slotted, slotted, with_common_factors
from .split import COPY, is_view, split
from .trace import Equation, Step, UntraceableError, Var

__all__ = ["Derivative", "Forward", "LoopProgram"]

_LOCK = threading.RLock()


class LoopProgram:
    """What a captured step compiles to: a forward, and a derivative for each choice of inputs."""

    def __init__(self, found: Capture) -> None:
        step = found.step()
        levels = _levels(step)
        step = expanded(rewritten(step, levels, faithful=True), levels, values_only=False)
        step = rewritten(step, levels, faithful=True)
        self.step = _with_copied_views(step)
        self.levels = levels_of(self.step, levels)
        self._derivatives: dict[Any, Derivative] = {}

    @functools.cached_property
    def forward(self) -> Forward:
        """The forward that keeps nothing but the ys."""
        with _LOCK:
            return Forward(self.lowered)

    @functools.cached_property
    def lowered(self) -> Slotted:
        """The step as it is emitted."""
        return slotted(expanded(self.step, self.levels, values_only=True), self.levels, {})

    def derivative(self, carry: tuple[bool, ...], xs: tuple[bool, ...], constants: tuple[bool, ...]) -> Derivative:
        """The forward that keeps what the backward needs, and the backward, by those inputs that need a gradient."""
        key = (carry, xs, constants)
        found = self._derivatives.get(key)
        if found is None:
            with _LOCK:
                found = self._derivatives.get(key)  # by another thread, meanwhile
                if found is None:
                    found = self._derivatives[key] = Derivative(self, *key)
        return found


def _levels(step: Step) -> dict[Var, int]:
    return {
        **dict.fromkeys(step.carry, PAST),
        **dict.fromkeys(step.xs, EACH),
        **dict.fromkeys(step.constants, ONCE),
    }


def _with_copied_views(step: Step) -> Step:
    """The step, whose ys are computed by it or are inputs: a view of something else becomes a copy."""
    equations, ys = list(step.equations), []
    for y in step.ys:
        if is_view(y.equation):
            out = Var(y.shape, y.dtype, y.name)
            out.equation = Equation(COPY, (y,), {}, out)
            equations.append(out.equation)
            y = out
        ys.append(y)
    return replace(step, equations=equations, ys=ys)


class Forward:
    """The forward functions, which keep the ys and the values `kept` of all steps."""

    def __init__(self, lowered: Slotted, kept: Sequence[Var] = ()) -> None:
        self.sections = split(lowered.step, _levels(lowered.step))
        self.step = step = self.sections.step
        inputs = {*step.xs, *step.constants}
        kept = [lowered.rows.get(v, v) for v in kept]
        stored = dict.fromkeys(v for v in (*step.ys, *kept) if v not in inputs)
        if any(self.sections.levels[v] == ONCE for v in stored):
            raise UntraceableError("one of its outputs is the same in all steps")
        self.emitted = emit(self.sections, list(stored), "forward", backwards=False)
        new = {v: i for i, v in enumerate(step.new_carry)}
        old = {v: i for i, v in enumerate(step.carry)}
        self.states = sorted(self.emitted.places.states)
        self.kept_states = {new.get(v, old.get(v)) for v in stored} & set(self.states)
        self.block = _block(self.emitted)
        self._where = {v: ("state", new[v], 1) if v in new else ("state", old[v], 0) for v in (*old, *new)}
        self._where |= {v: ("array", i, 0) for i, v in enumerate(self.emitted.stored)}
        self._where |= {v: ("x", i, 0) for i, v in enumerate(step.xs)}
        self._where |= {v: ("constant", i, 0) for i, v in enumerate(step.constants)}
        self._where |= {v: self._where[made] for v, made in lowered.rows.items() if made in self._where}
        self._forms = [(v.shape, v.dtype) for v in self.emitted.stored]

    def run(self, length: int, carry: Sequence[Array], xs: Sequence[Array], constants: Sequence[Array]) -> Ran:
        """All steps."""
        emitted, block = self.emitted, min(self.block, length)
        once = emitted.once(*constants)
        work = emitted.of(block, *constants, *once)
        arrays = [np.empty((length, *shape), dtype) for shape, dtype in self._forms]
        now = list(carry)
        states: dict[int, Array] = {}
        for i in self.states:
            steps = length if i in self.kept_states else block
            states[i] = np.empty((steps + 1, *now[i].shape), now[i].dtype)
            states[i][0] = now[i]
        moving = [i for i in range(len(now)) if i not in states]
        for start in range(0, length, block):
            stop = min(start + block, length)
            for i, rows in states.items():
                if i in self.kept_states:
                    now[i] = rows[start : stop + 1]
                else:
                    if start:
                        rows[0] = rows[block]
                    now[i] = rows[: stop - start + 1]
            if stop - start < block:
                work = emitted.of(stop - start, *constants, *once)
            ends, _ = work(*now, *[x[start:stop] for x in xs], *[a[start:stop] for a in arrays])
            for i, end in zip(moving, ends, strict=True):
                now[i] = end
        for i in states:
            now[i] = np.array(now[i][-1])
        return Ran(self, now, xs, constants, arrays, states)


class Ran:
    """What a forward left behind."""

    def __init__(
        self,
        forward: Forward,
        carry: list[Array],
        xs: Sequence[Array],
        constants: Sequence[Array],
        arrays: list[Array],
        states: dict[int, Array],
    ) -> None:
        self.forward, self.carry, self.xs, self.constants = forward, carry, xs, constants
        self.arrays, self.states = arrays, states

    def all(self, v: Var, length: int) -> Array:
        """A value in all steps."""
        kind, i, shift = self.forward._where[v]
        if kind == "state":
            return self.states[i][shift : shift + length]
        if kind == "array":
            return self.arrays[i]
        if kind == "x":
            return np.asarray(self.xs[i])
        return np.broadcast_to(self.constants[i], (length, *v.shape)).copy()


class Derivative:
    """A forward and the backward that goes with it, for one choice of inputs that need a gradient."""

    def __init__(
        self, program: LoopProgram, carry: tuple[bool, ...], xs: tuple[bool, ...], constants: tuple[bool, ...]
    ) -> None:
        step, levels, self._lowered = program.step, program.levels, program.lowered
        found: Backward = backward_step(step, levels, carry, xs, constants)
        self.carry, self.given, self.xs, self.constants = found.carry, found.ys, found.xs, found.constants
        by_carry = [i for i, v in zip(found.carry, found.step.new_carry, strict=True) if v is not None]
        by_x = [len(step.carry) + i for i, v in zip(found.xs, found.step.ys, strict=True) if v is not None]
        before = len(step.carry) + len(step.xs)
        by_constant = [before + i for i, terms in zip(found.constants, found.step.sums, strict=True) if terms]
        self.reached = {*by_carry, *by_x, *by_constant}  # the inputs on which something depends

        def given(step: Step) -> dict[Var, int]:
            return {v: found.levels.get(v, EACH) for v in _inputs(step)}

        backward = rewritten(found.step, given(found.step), faithful=False)
        backward = with_common_factors(backward, given(backward))
        backward = _with_recomputed(backward, step, levels)
        known = {v: levels.get(v, EACH) if levels.get(v) == ONCE else EACH for v in _inputs(backward)}
        known |= dict.fromkeys(backward.carry, PAST) | dict.fromkeys(backward.constants, ONCE)
        full = expanded(backward, known, values_only=True)
        read = set(_inputs(full))
        slots = {v: made for v, made in program.lowered.slots.items() if v in read}
        full = slotted(full, known, slots).step
        known |= dict.fromkeys(slots.values(), EACH)
        self.sections = split(_with_copied_views(_without_nothing(full)), known)
        self.outputs = [i for i, y in enumerate(full.ys) if y is not None]
        self.ys = self.sections.step.ys
        own = {*(e.out for e in self.sections.step.equations), *self.sections.step.carry}
        stored = list(dict.fromkeys(y for y in self.ys if y in own))
        self.emitted = emit(self.sections, stored, "backward", backwards=True)
        cts = set(backward.xs)
        self.kept = [v for v in self.emitted.inputs if v not in cts]
        self.forward = Forward(program.lowered, [v for v in self.kept if v not in set(step.xs)])
        self.states = sorted(self.emitted.places.states)
        new = {v: i for i, v in enumerate(self.sections.step.new_carry)}
        old = {v: i for i, v in enumerate(self.sections.step.carry)}
        self.kept_states = {new.get(v, old.get(v)) for v in self.ys} & set(self.states)
        self._where = {v: ("state", old[v], 1) for v in old} | {v: ("state", new[v], 0) for v in new}
        self._where |= {v: ("array", i, 0) for i, v in enumerate(self.emitted.stored)}
        self._where |= {v: ("ct", i, 0) for i, v in enumerate(self.sections.step.xs)}
        self._where |= {v: ("kept", i, 0) for i, v in enumerate(self.kept)}
        self._where |= {v: ("constant", i, 0) for i, v in enumerate(self.sections.step.constants)}
        self.block = self.forward.block = min(_block(self.emitted), self.forward.block)

    def kept_arrays(self) -> list[Var]:
        """What the forward keeps for the backward, besides the xs: a carry before and after a step is one array."""
        arrays: dict[Any, Var] = {}
        for v in self.kept:
            kind, i, _ = self.forward._where[v]
            if kind != "x":
                arrays.setdefault((kind, i), v)
        return list(arrays.values())

    @functools.cached_property
    def light(self) -> Forward:
        """The forward that keeps nothing, for checkpoints; with the same blocks, so that the same sums round alike."""
        with _LOCK:
            light = Forward(self._lowered)
        light.block = self.block
        return light

    def pull(
        self,
        length: int,
        ran: Ran,
        once: Sequence[Array],
        deltas: list[Array],
        cts: Sequence[Array],
        sums: list[Array] | None,
    ) -> tuple[list[Array], list[Array | None], list[Array]]:
        """The cotangents of the first carry, of the xs and, added to `sums`, what the constants' are made of."""
        emitted, block = self.emitted, min(self.block, length)
        size: int | None = None
        kept = [ran.all(v, length) for v in self.kept]
        arrays = [np.empty((length, *v.shape), v.dtype) for v in emitted.stored]
        states = {
            i: np.empty(((length if i in self.kept_states else block) + 1, *deltas[i].shape), deltas[i].dtype)
            for i in self.states
        }
        now = list(deltas)
        moving = [i for i in range(len(now)) if i not in states]
        for start in range((length - 1) // block * block, -1, -block):
            stop = min(start + block, length)
            n = stop - start
            for i, rows in states.items():
                part = rows[start : stop + 1] if i in self.kept_states else rows[: n + 1]
                part[n] = now[i] if stop == length else (part[n] if i in self.kept_states else now[i][0])
                now[i] = part
            if size != n:  # the first block may be shorter
                size, work = n, emitted.of(n, *ran.constants, *once)
            ends, totals = work(*now, *[a[start:stop] for a in itertools.chain(cts, kept, arrays)])
            for i, end in zip(moving, ends, strict=True):
                now[i] = end
            if sums is None:
                sums = [np.asarray(t) for t in totals]
            else:
                for s, t in zip(sums, totals, strict=True):
                    np.add(s, t, s)
        for i in states:
            now[i] = np.array(now[i][0])
        found: dict[str, Any] = {"state": states, "array": arrays, "ct": cts, "kept": kept, "constant": ran.constants}
        out: list[Array | None] = []
        for v in self.ys:
            kind, i, shift = self._where[v]
            if kind == "state":
                out.append(found[kind][i][shift : shift + length])
            elif kind == "constant":
                out.append(np.broadcast_to(ran.constants[i], (length, *v.shape)))
            else:
                out.append(found[kind][i])
        return now, out, sums or []

    def gradients(self, sums: list[Array], constants: Sequence[Array], once: Sequence[Array]) -> list[Any]:
        """The cotangents of the constants, from what was added up."""
        return list(self.emitted.finish(*sums, *constants, *once))


def _inputs(step: Step) -> Iterator[Var]:
    own = {e.out for e in step.equations}
    for e in step.equations:
        yield from (a for a in e.inputs if a not in own)
    yield from (v for v in step.outputs() if isinstance(v, Var) and v not in own)


def _with_recomputed(backward: Step, forward: Step, levels: dict[Var, int]) -> Step:
    """The backward step, in which what needn't be kept is made anew.

    That is: views of kept values, what is the same in all steps, and sums and products of kept values with numbers.
    """
    order = {e: i for i, e in enumerate(forward.equations)}
    made = {e.out: e for e in forward.equations}
    again: set[Equation] = set()
    while True:
        step = replace(backward, equations=[*sorted(again, key=order.__getitem__), *backward.equations])
        read = dict.fromkeys(v for v in _inputs(step) if v not in forward.carry)
        more = {made[v] for v in read if v in made and _is_cheap(v, made, set(read), levels)}
        if not more:
            return step
        again |= more


def _is_cheap(v: Var, made: dict[Var, Equation], kept: set[Var], levels: dict[Var, int]) -> bool:
    """Whether a value that the backward reads is better made anew than kept."""
    if is_view(made[v]) or levels.get(v) == ONCE:
        return True
    while v in made and len(made[v].inputs) == 1:
        (source,) = made[v].inputs
        if not is_view(made[v]) and (made[v].prim.lowering.algebra is None or source.shape != v.shape):
            return False
        if source in kept:
            return True
        v = source
    return False


def _without_nothing(step: Step) -> Step:
    return replace(step, ys=[y for y in step.ys if y is not None])


_CACHE = 1 << 21  # bytes: what a block's memory should fit in
_MEMORY = 1 << 24  # bytes: what it shouldn't exceed


def _block(emitted: Emitted) -> int:
    """How many steps make a block: enough to make large products, few enough to stay in the cache."""
    places = emitted.places
    own = {b for b in places.buffers.values() if places.kinds.get(b) == "stacked"}
    step = sum(v.dtype.itemsize * math.prod(v.shape) for v in (*own, *emitted.stored)) or 1
    return min(64, max(16, _CACHE // step), max(8, _MEMORY // step))
