"""A loop's program: what a captured step compiles to, forward and backward."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from ..tape import Array
from .algebra import EACH, ONCE, PAST, level_of, levels_of
from .backend import Language
from .blocks import Blocks, Ran
from .capture import Capture
from .differentiate import Backward, backward_step, inputs_of
from .emit import compile_loops
from .operands import PREVIOUS
from .rebuild import uses_of
from .rewrite import expanded, rewritten, weighs_only
from .slots import Slotted, slotted, with_common_factors
from .split import COPY, is_view, split
from .step import Equation, Step, Var

__all__ = ["Derivative", "Forward", "LoopProgram", "Ran", "Wanted"]

_LOCK = threading.RLock()


def _renew_lock() -> None:
    """In a process that was forked off while a thread held the lock: that thread isn't there."""
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)

# The inputs that need a gradient: of the carries, of the xs, of the constants.
Wanted: TypeAlias = tuple[tuple[bool, ...], tuple[bool, ...], tuple[bool, ...]]


class LoopProgram:
    """What a captured step compiles to: a forward, and a derivative for each choice of inputs."""

    def __init__(self, captured: Capture, language: Language) -> None:
        self.language = language
        step = captured.step()
        given = _input_levels(step)
        step = rewritten(step, given, faithful=True, fewer_calls=language == "numpy")
        if language == "numpy":
            uses = uses_of(step)
            step = expanded(step, given, ["formula"], but=lambda e: not weighs_only(e, step, uses))
            step = rewritten(step, given, faithful=True, fewer_calls=True)
        self.step = _with_copied_views(step)
        self.levels = levels_of(self.step, given)
        self._derivatives: dict[Any, Derivative] = {}

    @functools.cached_property
    def forward(self) -> Forward:
        """The forward that keeps nothing but the ys."""
        with _LOCK:
            return Forward(self.lowered, self.language)

    @functools.cached_property
    def lowered(self) -> Slotted:
        """The step as it is emitted."""
        step = _written_out(self.step, self.levels, self.language)
        return slotted(step, self.levels, {}) if self.language == "numpy" else Slotted(step, {}, {})

    def derivative(self, carry: tuple[bool, ...], xs: tuple[bool, ...], constants: tuple[bool, ...]) -> Derivative:
        """The forward that keeps what the backward needs, and the backward, by those inputs that need a gradient."""
        key = (carry, xs, constants)
        found = self._derivatives.get(key)
        if found is None:
            with _LOCK:
                found = self._derivatives.get(key)  # by another thread, meanwhile
                if found is None:
                    found = self._derivatives[key] = Derivative(self, *key)
            compile_loops(found.forward.emitted, found.emitted)
        return found

    def is_in_c(self, wanted: Wanted | None) -> bool:
        """Whether a loop of the derivative by what is `wanted`, or of the forward, if nothing is, is in C."""
        return self.forward.emitted.in_c is not None if wanted is None else self.derivative(*wanted).is_in_c


def _written_out(step: Step, given: dict[Var, int], language: Language) -> Step:
    """The step in operations that are there, and cheap, in a language; `given` are the levels of its inputs."""
    if language == "numpy":
        return expanded(step, given, ["values"])
    from .c import has_template

    return expanded(expanded(step, given, ["unfused"]), given, ["values"], but=has_template)


def _input_levels(step: Step) -> dict[Var, int]:
    """Those of a forward step's inputs."""
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


class Forward(Blocks):
    """The forward functions, which keep the ys and the values `kept` of all steps."""

    def __init__(
        self,
        lowered: Slotted,
        language: Language,
        kept: Sequence[Var] = (),
        called: Mapping[Any, str] | None = None,
    ) -> None:
        sections = split(lowered.step, _input_levels(lowered.step))
        wanted = [*sections.step.ys, *(lowered.rows.get(v, v) for v in kept)]
        super().__init__(sections, wanted, backwards=False, language=language, called=called)
        self.where |= {v: self.where[made] for v, made in lowered.rows.items() if made in self.where}


class Derivative:
    """A forward and the backward that goes with it, for one choice of inputs that need a gradient."""

    def __init__(
        self, program: LoopProgram, carry: tuple[bool, ...], xs: tuple[bool, ...], constants: tuple[bool, ...]
    ) -> None:
        back = backward_step(program.step, program.levels, carry, xs, constants)
        self.carry, self.given, self.constants = back.carry, back.ys, back.constants
        self.reached = _reached(back, program.step)
        step, given = _as_emitted(back, program)
        there = [i for i, y in enumerate(step.ys) if y is not None]
        self.xs = [back.xs[i] for i in there]
        step = _with_copied_views(replace(step, ys=[step.ys[i] for i in there]))
        sections = split(step, given)
        self.ys = sections.step.ys
        for i, terms in zip(self.constants, sections.sums, strict=True):
            if len(terms) == 1 and isinstance(terms[0], Var) and terms[0].name is None:
                terms[0].name = step.constants[i].name and f"δ{step.constants[i].name}"
        before = {v: f"{v.name}{PREVIOUS}" for v in program.step.carry}
        self.backward = Blocks(sections, self.ys, backwards=True, language=program.language, called=before)
        self.emitted = self.backward.emitted
        self.kept = self.emitted.inputs[len(step.xs) :]
        self._lowered, self._language = program.lowered, program.language
        self._step = program.step
        self._leading: dict[frozenset[int], set[int]] = {}
        # By one name both texts mean one thing, so that they can be run together.
        self.forward = Forward(program.lowered, program.language, self.kept, self.emitted.values.names.things())
        self.block = self.backward.block = self.forward.block = min(self.backward.block, self.forward.block)

    @property
    def is_in_c(self) -> bool:
        """Whether one of its loops is."""
        return (self.forward.emitted.in_c or self.emitted.in_c) is not None

    def kept_arrays(self) -> list[Var]:
        """What the forward keeps for the backward, besides the xs: a carry before and after a step is one array."""
        arrays: dict[Any, Var] = {}
        for v in self.kept:
            place = self.forward.where[v]
            if place.kind != "input":
                arrays.setdefault((place.kind, place.number), v)
        return list(arrays.values())

    @functools.cached_property
    def light(self) -> Forward:
        """The forward that keeps nothing, for checkpoints; with the same blocks, so that the same sums round alike."""
        with _LOCK:
            light = Forward(self._lowered, self._language)
        light.block = self.block
        return light

    def leading_to(self, results: frozenset[int]) -> set[int]:
        """The inputs from which a gradient could flow to these of the results: the carries and then the ys."""
        found = self._leading.get(results)
        if found is None:
            step = self._step
            leading = inputs_of(step, [v for k, v in enumerate([*step.new_carry, *step.ys]) if k in results])
            inputs = enumerate([*step.carry, *step.xs, *step.constants])
            found = self._leading[results] = {i for i, v in inputs if v in leading}
        return found

    def pull(
        self,
        length: int,
        ran: Ran,
        once: Sequence[Array],
        deltas: list[Array],
        cts: Sequence[Array],
        sums: list[Array] | None,
    ) -> tuple[list[Array], list[Array], list[Array]]:
        """The cotangents of the first carry, of the xs and, added to `sums`, what the constants' are made of."""
        kept = [ran.all(v, length) for v in self.kept]
        back = self.backward.run(length, deltas, [*cts, *kept], ran.constants, once, sums)
        return back.carry, [back.all(v, length) for v in self.ys], back.sums

    def gradients(self, sums: list[Array], constants: Sequence[Array], once: Sequence[Array]) -> list[Any]:
        """The cotangents of the constants, from what was added up."""
        return list(self.emitted.finish(*sums, *constants, *once))


def _reached(back: Backward, forward: Step) -> set[int]:
    """The inputs on which something depends, by their numbers: carries, xs, constants."""
    c, x = len(forward.carry), len(forward.xs)
    reached = {i for i, v in zip(back.carry, back.step.new_carry, strict=True) if v is not None}
    reached |= {c + i for i, v in zip(back.xs, back.step.ys, strict=True) if v is not None}
    return reached | {c + x + i for i, terms in zip(back.constants, back.step.sums, strict=True) if terms}


def _as_emitted(back: Backward, program: LoopProgram) -> tuple[Step, dict[Var, int]]:
    """The backward step as it is emitted, and the levels of its inputs."""

    def input_levels(step: Step) -> dict[Var, int]:
        return {v: level_of(v, back.levels) for v in _inputs(step)}

    fewer_calls = program.language == "numpy"
    step = rewritten(back.step, input_levels(back.step), faithful=False, fewer_calls=fewer_calls)
    step = with_common_factors(step, input_levels(step)) if fewer_calls else step
    step = _with_recomputed(step, program.step, program.levels)
    step = _written_out(step, input_levels(step), program.language)
    if fewer_calls:
        read = set(_inputs(step))
        slots = {v: made for v, made in program.lowered.slots.items() if v in read}
        step = slotted(step, input_levels(step), slots).step
    return step, input_levels(step)


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
    if is_view(made[v]) or level_of(v, levels) == ONCE:
        return True
    while v in made and len(made[v].inputs) == 1:
        (source,) = made[v].inputs
        if not is_view(made[v]) and (made[v].prim.lowering.algebra is None or source.shape != v.shape):
            return False
        if source in kept:
            return True
        v = source
    return False
