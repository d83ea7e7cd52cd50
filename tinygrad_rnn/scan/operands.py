"""How a program's code calls its values, where it reads them and where it writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..tape import Array
from .algebra import ONCE, level_of
from .names import WORDS, Names
from .place import Places
from .split import Sections
from .step import Operand, Var

__all__ = ["PREVIOUS", "Operands", "index_text"]

PREVIOUS = "_prev"  # what follows the name of the value of the step before


class Operands:
    """The values of a program as text; it remembers what the code needs for it."""

    def __init__(
        self,
        program: Sections,
        names: Names,
        places: Places,
        stored: Sequence[Var],
        backwards: bool,
    ) -> None:
        self.program, self.names, self.backwards = program, names, backwards
        self.step, self.levels = program.step, program.levels
        self.places = places
        states = {*program.step.carry, *program.step.new_carry}
        self.stored = [v for v in stored if v not in states]
        self.old = {v: i for i, v in enumerate(self.step.carry)}
        self.new = {v: i for i, v in enumerate(self.step.new_carry)}
        self.in_loop = {e.out for e in program.loop}
        self.totals = {t.out: t for t in program.totals}
        self.at_the_end = {*self.totals, *(e.out for e in program.last)}  # of no step
        self.own = {e.out for e in (*program.once, *program.equations)} | self.at_the_end  # not inputs
        self.state_names = {i: names(v) for i, v in enumerate(self.step.carry)}
        self.rows: dict[Any, tuple[str, str]] = {}  # what the loop goes through, row by row: its name, and what it is
        # What is the same in all steps, in the form that the loop wants it in: its name, and what it is.
        self.forms: dict[Any, tuple[str, str]] = {}
        self.views: dict[Var, list[str]] = {}  # by value: views of its memory that statements need
        self.unnamed: set[Var] = set()  # those that the code does without
        for v, i in self.new.items():  # a carry that stays put goes by one name
            if self.places.kinds.get(v) == "static" and i not in self.places.copied:
                names.of[v] = self.state_names[i]

    def constant(self, x: Any, others: Iterable[Any]) -> str:
        """A number as an array without axes, which NumPy takes up faster than a Python number."""
        if isinstance(x, np.ndarray):
            return self.names.thing("constant", x)
        dtypes = [a.dtype for a in others if hasattr(a, "dtype")]
        dtype = np.result_type(*dtypes, x) if dtypes else np.asarray(x).dtype
        word = WORDS.get(float(x), f"k{x!r}".replace(".", "_").replace("-", "m").replace("+", ""))
        try:
            return self.names.thing(word, np.array(x, dtype), key=("constant", repr(x), str(dtype)))
        except OverflowError:  # not a number of the others' type: NumPy says what comes of it
            return self.literal(x)

    def literal(self, x: Any) -> str:
        """A number or a setting, as text."""
        if isinstance(x, (tuple, list)) and all(isinstance(i, (int, slice, type(None))) for i in x):
            return repr(x)
        if type(x) in (int, float, bool, str) and repr(x) not in ("nan", "inf", "-inf"):
            return repr(x)
        if x is None or type(x) is slice:
            return repr(x)
        return self.names.thing("setting", x)

    def literal_or_constant(self, x: Any) -> str:
        """A number or a setting as text, an array by a name."""
        return self.constant(x, ()) if isinstance(x, np.ndarray) else self.literal(x)

    def whole(self, v: Operand, ndim: int | None = None) -> str:
        """A value of all steps at once; with room for the axes that it lacks, where it is broadcast."""
        if not isinstance(v, Var):
            return self.constant(v, ())
        if v in self.old:
            text = f"{self.state_names[self.old[v]]}[{'1:' if self.backwards else ':-1'}]"
        elif v in self.new:
            text = f"{self.state_names[self.new[v]]}[{':-1' if self.backwards else '1:'}]"
        else:
            text = self.names(v)
        if ndim is not None and v.ndim < ndim and level_of(v, self.levels) > ONCE:
            text = f"{text}[:{', None' * (ndim - v.ndim)}]"
        return text

    def row(self, v: Operand, others: Iterable[Any] = ()) -> str:
        """A value in a step of the loop."""
        if not isinstance(v, Var):
            return self.constant(v, others)
        if v in self.old and self.old[v] not in self.places.states:
            return self.state_names[self.old[v]]
        same_in_all = v not in self.in_loop and v not in self.old and level_of(v, self.levels) == ONCE
        if same_in_all or (v in self.in_loop and not self.is_rows(v)):
            return self.names(v)
        if v not in self.rows:
            base = self.state_names[self.new[v]] if v in self.new else self.names(v)
            suffix = PREVIOUS if v in self.old and not self.backwards else "_t"
            self.go_through(v, f"{base}{suffix}", self.whole(v), v.ndim)
        return self.rows[v][0]

    def form(self, key: Any, base: str, text: str) -> str:
        """A name for what is the same in all steps, in the form that the loop wants it in: made once, by `text`."""
        if key not in self.forms:
            self.forms[key] = self.names.new(base), text
        return self.forms[key][0]

    def go_through(self, key: Any, name: str, whole: str, ndim: int) -> str:
        """Let the loop go through the rows of `whole`; what a row is called."""
        text = f"{whole}[::-1]" if self.backwards else whole
        if not ndim:  # as arrays all the same
            text = f"{self.names.thing('scalars', _scalars)}({text})"
        self.rows[key] = self.names.new(name), text
        return self.rows[key][0]

    def is_rows(self, v: Var) -> bool:
        """Whether a value, or what it is a view or a piece of, has a row for each step."""
        v = self.places.home(v)
        if v in self.old:
            return self.old[v] in self.places.states
        return self.places.kinds[v] == "stacked" if v in self.in_loop else level_of(v, self.levels) > ONCE

    def base(self, v: Var) -> str:
        """A value's memory: its rows, or its buffer."""
        if v in self.old and self.old[v] not in self.places.states:
            return self.state_names[self.old[v]]
        return self.whole(v) if self.is_rows(v) else self.names(v)

    def is_own(self, v: Var) -> bool:
        """Whether a value's memory is a buffer of the program's own."""
        buffer = self.places.buffers.get(self.places.home(v))
        return buffer is not None and buffer not in self.old

    def stays(self, v: Var) -> bool:
        """Whether a value is in the same memory in every step, or goes through rows."""
        home = self.places.home(v)
        return home not in self.in_loop or self.places.kinds[home] != "fresh"


def _scalars(x: Array) -> list[Array]:
    """The elements of an array with one axis, as arrays that can be written to."""
    return [x[t, ...] for t in range(len(x))]


def index_text(index: Any) -> str:
    """An index, as it is written between brackets."""

    def part(i: Any) -> str:
        if not isinstance(i, slice):
            return "..." if i is Ellipsis else repr(i)
        start, stop, step = ("" if edge is None else str(edge) for edge in (i.start, i.stop, i.step))
        return f"{start}:{stop}{step and f':{step}'}"

    return ", ".join(map(part, index if isinstance(index, tuple) else (index,))) or "..."
