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
from .program import Derivative, LoopProgram
from .scan import why_unrolled
from .split import Sections
from .step import Equation, is_float

__all__ = ["Program", "scan_program"]


class Program:
    """What a loop compiles to, or why it doesn't.

    `source` is the NumPy code of one block of time steps: the forward that keeps what a backward by all inputs needs,
    and that backward. It is empty if the loop can't be compiled. Under `scan_backend("c")` its loops are in C, as
    strings; that is how "auto", the default, has long loops run, but it shows them in NumPy.
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
            self._lines = [f"{_beginning(loop)} is run step by step, each operation on the tape: {reason}."]

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
    kept = derivative.kept_arrays()
    size = sum(v.dtype.itemsize * math.prod(v.shape) for v in kept)
    called = derivative.forward.emitted.values.names
    names = ", ".join(f"{v.name or called(v)} {list(v.shape)}" for v in kept) or "nothing"
    return f"For the backward it keeps {size} bytes a step: {names}."


def _told(title: str, emitted: Emitted) -> list[str]:
    sections = emitted.values.program
    rows = [
        ("once, for it is the same in all steps", sections.once),
        ("before the loop, for all steps at once, for it doesn't need the step before", sections.before),
        ("in the loop, for the next step needs it", sections.loop),
        ("after the loop, for all steps at once, for no later step needs it", sections.after),
    ]
    lines = [f"{title}:"]
    for why, equations in rows:
        if equations:
            names = ", ".join(_named(sections, e) for e in equations)
            lines.append(f"  {len(equations)} {why}: {names}")
    if sections.totals:
        names = ", ".join(t.prim.name if t.prim else "sum" for t in sections.totals)
        lines.append(f"  {len(sections.totals)} added up over all steps: {names}")
    return lines


def _named(sections: Sections, e: Equation) -> str:
    why = sections.why.get(e)
    return e.prim.name + (f" ({why})" if why else "")
