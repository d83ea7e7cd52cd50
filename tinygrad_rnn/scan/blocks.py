"""A program's run over all time steps, block by block.

Time is worked through in blocks of a few dozen steps: what is done for all steps at once, before and after the loop,
is done for a block's, so that its numbers are still in the cache when the loop comes to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ..tape import Array
from .algebra import ONCE
from .backend import Language
from .emit import Emitted, emit
from .errors import UntraceableError
from .split import Sections
from .step import Var

__all__ = ["Blocks", "Ran"]


class _Place(NamedTuple):
    """Where a value is after a run."""

    kind: Literal["state", "array", "input", "constant"]
    number: int
    shift: int = 0  # into a state's rows, which are one more than the steps


class Blocks:
    """A program's functions, and how they go through time.

    Args:
        sections: the program.
        wanted: values of which all steps will be asked for.
        backwards: whether it goes from the last step to the first.
        language: in what its loop is written.
        called: what values, functions and constants are called in its code, if not after themselves.
    """

    def __init__(
        self,
        sections: Sections,
        wanted: Iterable[Var],
        backwards: bool,
        language: Language,
        called: Mapping[Any, str] | None = None,
    ) -> None:
        self.backwards = backwards
        self.step = step = sections.step
        own = {*step.carry, *(e.out for e in step.equations)}
        stored = [v for v in dict.fromkeys(wanted) if v in own]
        if any(sections.levels[v] == ONCE for v in stored):
            raise UntraceableError("one of its outputs is the same in all steps")
        name = "backward" if backwards else "forward"
        self.emitted = emit(sections, stored, name, backwards, language, called or {})
        self.block = _steps_of(self.emitted)
        before, after = (1, 0) if backwards else (0, 1)  # a step
        carried = {v: _Place("state", i, before) for i, v in enumerate(step.carry)}
        carried |= {v: _Place("state", i, after) for i, v in enumerate(step.new_carry)}
        kept = {carried[v].number for v in stored if v in carried}
        self.states = {
            i: i in kept for i in sorted(self.emitted.values.places.states)
        }  # whether all of a state's rows stay
        self.where: dict[Var, _Place] = {
            **carried,
            **{v: _Place("array", i) for i, v in enumerate(self.emitted.values.stored)},
            **{v: _Place("input", i) for i, v in enumerate(self.emitted.inputs)},
            **{v: _Place("constant", i) for i, v in enumerate(step.constants)},
        }

    def run(
        self,
        length: int,
        carry: Sequence[Array],
        inputs: Sequence[Array],
        constants: Sequence[Array],
        once: Sequence[Array] | None = None,
        sums: list[Array] | None = None,
    ) -> Ran:
        """All steps; `once` is made if it isn't given, and what is added up is added to `sums`."""
        emitted, block = self.emitted, min(self.block, length)
        once = emitted.once(*constants) if once is None else once
        arrays = [np.empty((length, *v.shape), v.dtype) for v in emitted.values.stored]
        now = [np.asarray(c, order="C") for c in carry]
        states = {
            i: np.empty(((length if stay else block) + 1, *now[i].shape), now[i].dtype)
            for i, stay in self.states.items()
        }
        moving = [i for i in range(len(now)) if i not in states]
        starts = range(0, length, block)
        first, last = (-1, 0) if self.backwards else (0, -1)
        size = 0
        for start in reversed(starts) if self.backwards else starts:
            stop = min(start + block, length)
            for i, rows in states.items():
                part = rows[start : stop + 1] if self.states[i] else rows[: stop - start + 1]
                part[first] = now[i]
                now[i] = part
            if size != stop - start:  # one block may be shorter
                size = stop - start
                work = emitted.for_length(size, *constants, *once)
            ends, totals = work(*now, *[x[start:stop] for x in inputs], *[a[start:stop] for a in arrays])
            for i, end in zip(moving, ends, strict=True):
                now[i] = end
            for i in states:
                now[i] = now[i][last]
            if sums is None:
                sums = [np.asarray(t) for t in totals]
            else:
                for s, t in zip(sums, totals, strict=True):
                    np.add(s, t, s)
        for i in states:
            now[i] = np.array(now[i])
        return Ran(self.where, now, inputs, constants, arrays, states, sums or [])


@dataclass(eq=False, repr=False)
class Ran:
    """What a run left behind: the last carry, the sums, and the values of all steps that were asked for."""

    where: dict[Var, _Place]
    carry: list[Array]
    inputs: Sequence[Array]
    constants: Sequence[Array]
    arrays: list[Array]
    states: dict[int, Array]
    sums: list[Array]

    def all(self, v: Var, length: int) -> Array:
        """A value in all steps."""
        kind, i, shift = self.where[v]
        if kind == "state":
            return self.states[i][shift : shift + length]
        if kind == "constant":
            return np.broadcast_to(self.constants[i], (length, *v.shape)).copy()
        return self.arrays[i] if kind == "array" else self.inputs[i]


_CACHE = 1 << 21  # bytes: what a block's memory should fit in
_MEMORY = 1 << 24  # bytes: what it shouldn't exceed


def _steps_of(emitted: Emitted) -> int:
    """How many steps make a block: enough to make large products, few enough to stay in the cache."""
    places = emitted.values.places
    own = {b for b in places.buffers.values() if places.kinds.get(b) == "stacked"}
    step = sum(v.dtype.itemsize * math.prod(v.shape) for v in (*own, *emitted.values.stored)) or 1
    return min(64, max(16, _CACHE // step), max(8, _MEMORY // step))
