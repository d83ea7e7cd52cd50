"""A loop's program to read: its NumPy code, and what went where and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .backend import backend
from .capture import Capture, capture
from .choice import chosen
from .emit import Emitted
from .errors import UntraceableError
from .loop import Loop, described
from .place import Places
from .program import Derivative, LoopProgram
from .scan import why_unrolled
from .split import Sections, is_view, pieces_of
from .step import Equation, is_float

__all__ = ["Program", "scan_program"]


class Program:
    """What a loop compiles to, or why it doesn't.

    `source` is the NumPy code of one block of time steps: the forward that keeps what a backward by all inputs needs,
    and that backward. It is empty if the loop can't be compiled. Under `scan_backend("c")` its loops are in C, as
    strings; that is how "auto", the default, has long loops run, but it shows them in NumPy.

    The NumPy code is Python that can be run, the forward and the backward each by itself or both together, unless a
    comment at its top tells of something that can't be written down or imported.
    """

    def __init__(self, loop: Loop) -> None:
        self.compiled = False
        self.source = ""
        self._loop = loop
        self._lines: list[str] = []
        reason = why_unrolled(loop)
        if reason is None:
            captured = capture(loop, named=True)
            reason = captured.reason
            if reason is None:
                try:
                    self._compile(captured.step)
                except UntraceableError as error:
                    reason = str(error)
        if reason is not None:
            self._lines = [
                f"{_beginning(loop)} is run step by step, each operation on the tape: {reason}.",
                "It takes no notice of `checkpoint`: all of its steps stay on the tape until the backward.",
            ]

    def _compile(self, step: Capture) -> None:
        # Not the programs that are run, which have the names of the cell that they were first made for.
        language, why = chosen(step, self._loop.length)
        shown = run = _by_all(LoopProgram(step, "numpy"))
        how = [f" (its loop is run in NumPy: {why})" if why else ""] * 2
        if language == "c":
            in_c = _by_all(LoopProgram(step, "c"))
            why_nots = in_c.forward.emitted.why_not, in_c.emitted.why_not
            how = [f" (its loop is run in {f'NumPy: {why_not}' if why_not else 'C'})" for why_not in why_nots]
            run = in_c if in_c.is_in_c else run
            shown = run if backend.get() == "c" else shown
        self.compiled = True
        self.source = f"{shown.forward.emitted.source}\n\n{shown.emitted.source}"
        self._lines = [
            f"{_beginning(self._loop)} is compiled, and run in blocks of up to {run.block} steps.",
            *_told(f"Forward{how[0]}", shown.forward.emitted),
            *_told(f"Backward, from the last step to the first{how[1]}", shown.emitted),
            _kept(run),
            *([] if run is shown else ["In C what is elementwise is done in the loop; the lists above are NumPy's."]),
            "Second derivatives, forward mode and vmap go step by step through the same equations, unrolled.",
        ]

    def explain(self) -> str:
        """What is done before, in and after the loop, forward and backward, and how much is kept for each step."""
        return "\n".join(self._lines)

    def __repr__(self) -> str:
        return self.explain()


def scan_program(
    cell: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, length: int | None = None, reverse: bool = False
) -> Program:
    """The program that `scan` runs for these arguments, to read: `source` and `explain()`."""
    return Program(Loop(cell, carry, xs, length, reverse))


def _by_all(program: LoopProgram) -> Derivative:
    """The derivative by everything that can have one."""
    step = program.step
    carry, xs, constants = (tuple(map(is_float, part)) for part in (step.carry, step.xs, step.constants))
    return Derivative(program, carry, xs, constants)


def _beginning(loop: Loop) -> str:
    text = described(loop.cell)
    return text[0].upper() + text[1:]


def _kept(derivative: Derivative) -> str:
    forward, kept = derivative.forward, derivative.kept_arrays()
    values = forward.emitted.values
    size = sum(v.dtype.itemsize * math.prod(v.shape) for v in kept)
    called = {"state": values.step.carry, "array": values.stored, "constant": values.step.constants}
    places = [(v, forward.where[v]) for v in kept]
    names = ", ".join(f"{values.names(called[kind][i])} {list(v.shape)}" for v, (kind, i, _) in places) or "nothing"
    return f"For the backward it keeps {size} bytes a step: {names}."


def _told(title: str, emitted: Emitted) -> list[str]:
    sections, places = emitted.values.program, emitted.values.places
    rows = [
        ("once, for it is the same in all steps", sections.once),
        ("before the loop, for all steps at once, for it doesn't need the step before", sections.before),
        ("in the loop, for the next step needs it", sections.loop),
        ("after the loop, for all steps at once, for no later step needs it", sections.after),
    ]
    lines = []
    for why, equations in rows:
        names = [_named(sections, e) for e in equations if not _is_free(e, places)]
        if equations is sections.loop:
            names += ["copied"] * len(places.copied)
        if names:
            lines.append(f"  {len(names)} {why}: {', '.join(names)}")
    if sections.totals:
        names = [t.prim.name if t.prim else "sum" for t in sections.totals]
        lines.append(f"  {len(names)} added up over all steps: {', '.join(names)}")
    return [f"{title}:", *(lines or ["  nothing"])]


def _is_free(e: Equation, places: Places) -> bool:
    """Whether nothing is computed: it is another look at a value, or joins what is in its place already."""
    if is_view(e):
        return places.kinds.get(e.out, "view") == "view"  # those that are the same in all steps have no place
    return bool(pieces_of(e)) and all(places.homes.get(a) == (e.out, i) for i, a in enumerate(e.args))


def _named(sections: Sections, e: Equation) -> str:
    why = sections.why.get(e)
    return e.prim.name + (f" ({why})" if why else "")
