"""NumPy code from a split step: the one place where it becomes text.

Another emitter would start where this one does: from `Sections`, whose equations are in their places, and `Places`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..primitive import Primitive
from ..tape import Array
from .algebra import EACH, ONCE
from .kernels import column_blocks, in_blocks
from .names import WORDS, Names, preamble
from .place import Places, placed
from .split import Sections, Total, is_view, pieces_of
from .trace import Equation, Operand, Var

__all__ = ["Emitted", "emit"]


@dataclass(eq=False, repr=False)
class Emitted:
    """The functions of a program, and what they take and return.

    Args:
        source: their text.
        once: constants → values that are the same in all steps.
        block: n, carries, inputs, constants, those values, arrays to fill (`stored`) → the carries that aren't stacked.
        finish: totals, constants, those values → sums.
    """

    source: str
    once: Callable[..., Any]
    block: Callable[..., Any]
    finish: Callable[..., Any]
    inputs: list[Var]
    stored: list[Var]
    places: Places


_FILLED = 1 << 16  # numbers: up to here a constant is written out

_INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@", "power": "**"}


class _Emitter:
    def __init__(self, program: Sections, names: Names, stored: Sequence[Var], name: str, backwards: bool) -> None:
        self.program, self.names, self.name, self.backwards = program, names, name, backwards
        self.step, self.levels = program.step, program.levels
        self.places = placed(program, set(stored))
        states = {*program.step.carry, *program.step.new_carry}
        self.stored = [v for v in stored if v not in states]
        self.old = {v: i for i, v in enumerate(self.step.carry)}
        self.new = {v: i for i, v in enumerate(self.step.new_carry)}
        self.in_loop = {e.out for e in program.loop}
        self.rows: dict[Any, tuple[str, str]] = {}  # what the loop goes through, row by row: its name, and what it is
        # What is the same in all steps, in the form that the loop wants it in: its name, and what it is.
        self.forms: dict[Any, tuple[str, str]] = {}
        self.views: list[str] = []  # views that statements of the loop need
        self.order = "[::-1]" if backwards else ""
        self.state_names = {i: names(v) for i, v in enumerate(self.step.carry)}

    # ---- values

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

    def whole(self, v: Operand, ndim: int | None = None) -> str:
        """A value of all steps at once; with room for the axes that it lacks, where it is broadcast."""
        if not isinstance(v, Var):
            return self.constant(v, ())
        if v in self.old:
            i = self.old[v]
            text = f"{self.state_names[i]}[{'1:' if self.backwards else ':-1'}]"
        elif v in self.new:
            i = self.new[v]
            text = f"{self.state_names[i]}[{':-1' if self.backwards else '1:'}]"
        else:
            text = self.names(v)
        if ndim is not None and v.ndim < ndim and self.levels.get(v, EACH) > ONCE:
            text = f"{text}[:{', None' * (ndim - v.ndim)}]"
        return text

    def row(self, v: Operand, others: Iterable[Any] = ()) -> str:
        """A value in a step of the loop."""
        if not isinstance(v, Var):
            return self.constant(v, others)
        kind = self.places.kinds.get(v)
        if v in self.old and self.old[v] not in self.places.states:
            return self.state_names[self.old[v]]
        if v in self.in_loop and kind != "stacked" and not self._is_rows(v):
            return self.names(v)
        if v not in self.in_loop and v not in self.old and self.levels.get(v, EACH) == ONCE:
            return self.names(v)
        if v not in self.rows:
            base = self.state_names[self.new[v]] if v in self.new else self.names(v)
            name = self.names.new(f"{base}_prev" if v in self.old and not self.backwards else f"{base}_t")
            self.rows[v] = name, self._rows(f"{self.whole(v)}{self.order}", v)
        return self.rows[v][0]

    def _is_rows(self, v: Var) -> bool:
        """Whether a view or a piece has a row for each step, as what it belongs to."""
        kind = self.places.kinds.get(v)
        if v in self.old:
            return self.old[v] in self.places.states
        if v not in self.in_loop:
            return self.levels.get(v, EACH) > ONCE
        if kind == "view":
            return self._is_rows(v.equation.args[0])  # type: ignore[union-attr]
        if kind == "piece":
            return self._is_rows(self.places.homes[v][0])
        return kind == "stacked"

    # ---- expressions

    def function(self, prim: Primitive) -> str:
        return self.names.thing(prim.name, prim.lowering.numpy or prim.forward)

    def into(self, prim: Primitive, args: Sequence[str], target: str | None, function: str | None = None) -> str:
        """A call of NumPy's function that writes to `target`: by position, which is quicker, but for these two."""
        named = "out=" if prim.lowering.numpy in (np.maximum, np.minimum) else ""
        return f"{function or self.function(prim)}({', '.join([*args, *([named + target] if target else [])])})"

    def keywords(self, kwargs: dict[str, Any]) -> list[str]:
        return [f"{k}={self.literal(v)}" for k, v in kwargs.items()]

    def index(self, index: Any) -> str:
        parts = index if isinstance(index, tuple) else (index,)
        return ", ".join(
            f"{'' if i.start is None else i.start}:{'' if i.stop is None else i.stop}"
            if isinstance(i, slice)
            else repr(i)
            for i in parts
        )

    def once_expression(self, e: Equation) -> str:
        args = [self.whole(a) if isinstance(a, Var) else self.literal_or_constant(a) for a in e.args]
        if e.prim.lowering.part is not None and is_view(e):
            return f"{args[0]}[{self.index(e.kwargs['index'])}]"
        if e.prim.lowering.numpy is not None:
            return f"{self.function(e.prim)}({', '.join([*args, *map(self.literal, e.kwargs.values())])})"
        return f"{self.function(e.prim)}({', '.join([*args, *self.keywords(e.kwargs)])})"

    def literal_or_constant(self, x: Any) -> str:
        return self.constant(x, ()) if isinstance(x, np.ndarray) else self.literal(x)

    def whole_statement(self, e: Equation, target: str | None, reusable: Sequence[Var]) -> str:
        """An equation for all steps at once: `v = …`, or into an array that is there."""
        out, prim, name = e.out, e.prim, self.names(e.out)
        if is_view(e) and prim.lowering.part is not None and target is None:
            return f"{name} = {self.whole(e.args[0])}[:, {self.index(e.kwargs['index'])}]"
        if prim.kind == "elementwise":
            others = [a for a in e.args if hasattr(a, "dtype")]
            if prim.lowering.numpy is not None:
                args = [self.whole(a, out.ndim) if isinstance(a, Var) else self.constant(a, others) for a in e.args]
                into = target or next((self.names(v) for v in reusable), None)
                call = self.into(prim, args, into)
                if target is not None:
                    return call
                return f"{name} = {call}"
            args = [self.whole(a, out.ndim) if isinstance(a, Var) else self.literal_or_constant(a) for a in e.args]
            call = f"{self.function(prim)}({', '.join([*args, *self.keywords(e.kwargs)])})"
        elif self._treats_rows(e):
            x, y = e.args
            rows = "n" if x.ndim == 1 else f"n * {math.prod(x.shape[:-1])}"
            flat = f"{self.whole(x)}.reshape({rows}, {x.shape[-1]})"
            if target is not None:
                return f"{self.function(prim)}({flat}, {self.whole(y)}, {target}.reshape({rows}, {out.shape[-1]}))"
            lead = ", ".join(map(str, ("n", *out.shape)))
            return f"{name} = {self.function(prim)}({flat}, {self.whole(y)}).reshape({lead})"
        else:
            call = self._batched(e)
        return f"{name} = {call}" if target is None else f"{target}[...] = {call}"

    def _treats_rows(self, e: Equation) -> bool:
        if not e.prim.lowering.rows:
            return False
        x, y = e.args
        return (
            isinstance(x, Var)
            and isinstance(y, Var)
            and self.levels.get(x, EACH) > ONCE
            and self.levels.get(y, EACH) == ONCE
            and y.ndim == 2
            and x.ndim >= 1
        )

    def _batched(self, e: Equation) -> str:
        prim = e.prim
        batched = tuple(isinstance(a, Var) and self.levels.get(a, EACH) > ONCE for a in e.args)
        args = [self.whole(a) if isinstance(a, Var) else self.literal_or_constant(a) for a in e.args]
        rule = self.names.thing(f"{prim.name}_all", prim.batch)
        if prim.batch_is_told:
            told = [f"batched={batched!r}"]
        else:
            told = []
            spread = self.names.numpy(np.broadcast_to)
            args = [
                text if flag else f"{spread}({text}, ({', '.join(map(str, ('n', *_shape(a))))},))"
                for text, flag, a in zip(args, batched, e.args, strict=True)
            ]
        return f"{rule}({', '.join([*args, *self.keywords(e.kwargs), *told])})"

    # ---- the loop

    def loop_statement(self, e: Equation) -> str | None:
        """An equation in one step; `None` if there is nothing to do."""
        out, prim = e.out, e.prim
        kind = self.places.kinds[out]
        if kind == "view":
            if self._has_place(out):
                return None
            part = f"[{self.index(e.kwargs['index'])}]" if prim.lowering.part else None
            source = self.row(e.args[0])
            call = f"{source}{part}" if part else self._call(e)
            return f"{self.row(out)} = {call}"
        if pieces_of(e) and kind in ("static", "stacked"):
            return self._join(e)
        target = self.row(out)
        if prim.lowering.numpy is not None:
            if prim.lowering.rows and kind in ("static", "stacked") and all(a.ndim <= 2 for a in e.args):
                return self._product(e, target)
            others = [a for a in e.args if hasattr(a, "dtype")]
            filled = [self._filled(a, out) if prim.kind == "elementwise" else None for a in e.args]
            return self.into(prim, [f or self.row(a, others) for f, a in zip(filled, e.args, strict=True)], target)
        return f"{target} = {self._call(e)}" if kind == "fresh" else f"{target}[...] = {self._call(e)}"

    def _filled(self, x: Operand, out: Var) -> str | None:
        """A constant that is the same along some axes, written out: NumPy takes twice as long where it broadcasts."""
        once = isinstance(x, np.ndarray) or (isinstance(x, Var) and self.levels.get(x, EACH) == ONCE)
        if not once or not x.shape or x.shape == out.shape or math.prod(out.shape) > _FILLED:
            return None
        key = (x if isinstance(x, Var) else id(x), out.shape)
        if key not in self.forms:
            form = self.names.new(f"{self.names(x) if isinstance(x, Var) else 'constant'}_full")
            full, to = self.names.numpy(np.broadcast_to), self.names.numpy(np.ascontiguousarray)
            self.forms[key] = form, f"{to}({full}({self.whole(x)}, {out.shape}))"
        return self.forms[key][0]

    def _product(self, e: Equation, target: str) -> str:
        """A product of matrices or vectors, with its matrix in the form that suits this machine."""
        x, y = e.args
        dot = self.names.numpy(np.dot)  # quicker to start than matmul
        if not (isinstance(y, Var) and self.levels.get(y, EACH) == ONCE and y.ndim == 2 and isinstance(x, Var)):
            return f"{dot}({self.row(x)}, {self.row(y)}, {target})"
        rows = x.shape[0] if x.ndim == 2 else 1
        if rows < 4:
            return f"{dot}({self.row(x)}, {self.row(y)}, {target})"
        k = column_blocks(rows, *y.shape, e.out.dtype)
        if k == 1:
            return f"{dot}({self.row(x)}, {self._form(y, 1)}, {target})"
        return f"{self.names.numpy(np.matmul)}({self.row(x)}, {self._form(y, k)}, {self._in_blocks(e.out, k)})"

    def _form(self, matrix: Var, k: int) -> str:
        """A matrix in C order, or in k blocks of columns: made once."""
        if (matrix, k) not in self.forms:
            name = self.names(matrix)
            form = self.names.new(f"{name}_blocks" if k > 1 else f"{name}_rows")
            function = self.names.thing("in_blocks", in_blocks) if k > 1 else self.names.numpy(np.ascontiguousarray)
            self.forms[matrix, k] = form, f"{function}({name}{f', {k}' if k > 1 else ''})"
        return self.forms[matrix, k][0]

    def _in_blocks(self, out: Var, k: int) -> str:
        """A result's place, seen as blocks of columns."""
        rows, columns = out.shape
        if not self._is_rows(out):
            name = self.names.new(f"{self.names(out)}_blocks")
            self.views.append(f"{name} = {self.base(out)}.reshape({rows}, {k}, {columns // k}).transpose(1, 0, 2)")
            return name
        if (out, k) not in self.rows:
            name = self.names.new(f"{self.names(out)}_blocks_t")
            shape = f"n, {rows}, {k}, {columns // k}"
            self.rows[out, k] = name, f"{self.whole(out)}.reshape({shape}).transpose(0, 2, 1, 3){self.order}"
        return self.rows[out, k][0]

    def _call(self, e: Equation) -> str:
        args = [self.row(a) if isinstance(a, Var) else self.literal_or_constant(a) for a in e.args]
        function = self.names.thing(e.prim.name + ("_" if e.prim.lowering.numpy else ""), e.prim.forward)
        return f"{function}({', '.join([*args, *self.keywords(e.kwargs)])})"

    def _join(self, e: Equation) -> str | None:
        parts = pieces_of(e) or []
        statements = []
        for i, (a, (axis, start, stop)) in enumerate(zip(e.args, parts, strict=True)):
            if self.places.homes.get(a) == (e.out, i):
                continue
            statements.append(f"{self.row(e.out)}[{':, ' * axis}{start}:{stop}] = {self.row(a)}")
        return "; ".join(statements) or None

    def _has_place(self, v: Var) -> bool:
        """Whether a view looks at memory that is the same in every step, or goes through rows."""
        source = v.equation.args[0]  # type: ignore[union-attr]
        if source not in self.in_loop:
            return True
        kind = self.places.kinds[source]
        return self._has_place(source) if kind == "view" else kind != "fresh"

    def settings(self) -> list[str]:
        """Buffers, and views of what is there before the loop begins."""
        lines: list[str] = []
        empty = self.names.numpy(np.empty)
        loop = self.program.loop

        def array(v: Var, lead: str = "") -> str:
            shape = ", ".join([*([lead] if lead else []), *map(str, v.shape)])
            dtype = self.names.thing(v.dtype.name, v.dtype.type)
            return f"{empty}(({shape}{',' if not v.ndim and lead else ''}), {dtype})"

        for i in self.places.copied:
            v = self.step.new_carry[i]
            lines.append(f"{self.names(v)} = {array(v)}")
        for e in loop:
            v, kind = e.out, self.places.kinds[e.out]
            if kind == "stacked" and v not in self.new and v not in self.stored:
                lines.append(f"{self.names(v)} = {array(v, 'n')}")
            if kind == "static" and v not in self.new:
                buffer = self.places.buffers[v]
                lines.append(f"{self.names(v)} = {array(v) if buffer is v else self._buffer(buffer)}")
            if kind == "static" and v in self.new and self.new[v] not in self.places.copied:
                self.names.of[v] = self.state_names[self.new[v]]
        for e in reversed(loop):  # pieces of pieces come after what they are part of
            parts = pieces_of(e)
            if parts is None or self.places.kinds[e.out] == "fresh":
                continue
            for i, (a, (axis, start, stop)) in enumerate(zip(e.args, parts, strict=True)):
                if self.places.homes.get(a) == (e.out, i):
                    rows = ":, " if self._is_rows(a) else ""
                    lines.append(f"{self.names(a)} = {self.base(e.out)}[{rows}{':, ' * axis}{start}:{stop}]")
        views = [e for e in loop if self.places.kinds[e.out] == "view" and self._has_place(e.out)]
        return lines + [f"{self.names(e.out)} = {self._view(e)}" for e in views]

    def _buffer(self, v: Var) -> str:
        return self.state_names[self.old[v]] if v in self.old else self.names(v)

    def base(self, v: Var) -> str:
        """A value's memory: its rows, or its buffer."""
        if v in self.old and self.old[v] not in self.places.states:
            return self.state_names[self.old[v]]
        return self.whole(v) if self._is_rows(v) else self.names(v)

    def _view(self, e: Equation) -> str:
        rows = self._is_rows(e.out)
        source = self.base(e.args[0])
        if e.prim.lowering.part is not None:
            return f"{source}[{':, ' if rows else ''}{self.index(e.kwargs['index'])}]"
        keywords = ", ".join(self.keywords(e.kwargs))
        if rows:
            return f"{self.names.thing(e.prim.name + '_all', e.prim.batch)}({source}, {keywords})"
        return f"{self.function(e.prim)}({source}, {', '.join(self.literal(v) for v in e.kwargs.values())})"

    # ---- functions

    def comment(self, e: Equation | Total) -> str:
        """What a line computes, in the step's own terms."""

        def called(a: Operand) -> str:
            if not isinstance(a, Var):
                return repr(a) if isinstance(a, (int, float)) else "constant"
            if a in self.old:
                return f"{self.names(a)}_t" if self.backwards else f"{self.names(a)}_{{t-1}}"
            return self.names(a) + ("_t" if self.levels.get(a, EACH) > ONCE else "")

        name = e.prim.name if e.prim is not None else "sum"
        args = [called(a) for a in e.args]
        right = f" {_INFIX[name]} ".join(args) if name in _INFIX else f"{name}({', '.join(args)})"
        if isinstance(e, Total):
            return f"Σ_t {right if e.prim is not None else args[0]}"
        return f"{called(e.out)} = {right}"

    def block(self, inputs: Sequence[Var], once_values: Sequence[Var]) -> str:
        names, program = self.names, self.program
        carries = [names(v) for v in self.step.carry]
        outs = [names(v) for v in self.stored]
        body: list[str] = []
        for i, v in enumerate(self.step.carry):
            if i not in self.places.states:
                body.append(f"{names(v)} = {self.names.numpy(np.array)}({names(v)})")
        self._section(body, "before the loop, for all t at once", program.before)
        loop_lines = []
        settings = self.settings()
        for e in program.loop:
            statement = self.loop_statement(e)
            if statement is not None:
                loop_lines.append((statement, self.comment(e)))
        copies = [
            (f"{self.names.numpy(np.copyto)}({self.state_names[i]}, {self.row(self.step.new_carry[i])})", "")
            for i in self.places.copied
        ]
        settings += self.views
        if settings:
            body.append("# where the loop writes")
            body += settings
        if loop_lines or copies:
            body.append("# the loop" + (", from the last step to the first" if self.backwards else ""))
            body += self._loop_head()
            width = max(len(s) for s, _ in (*loop_lines, *copies))
            body += [f"    {s:<{width}}  # {c}" if c else f"    {s}" for s, c in (*loop_lines, *copies)]
        self._section(body, "after the loop, for all t at once", program.after)
        totals = []
        for total in program.totals:
            name = names(total.out)
            body.append(f"{name} = {self._total(total)}  # {self.comment(total)}")
            totals.append(name)
        static = [names(v) for i, v in enumerate(self.step.carry) if i not in self.places.states]
        body.append(f"return {_tuple(static)}, {_tuple(totals)}")
        forms = [form for form, _ in self.forms.values()]
        given = [*map(names, inputs), *map(names, self.step.constants), *map(names, once_values), *forms]
        return _function(self.name, ["n", *carries, *given, *outs], body)

    def _loop_head(self) -> list[str]:
        if not self.rows:
            return [f"for t in {'reversed(range(n))' if self.backwards else 'range(n)'}:"]
        pairs = list(self.rows.values())
        if len(pairs) == 1:
            return [f"for {pairs[0][0]} in {pairs[0][1]}:"]
        left, right = ", ".join(a for a, _ in pairs), ", ".join(b for _, b in pairs)
        return [f"for {left} in zip({right}):"]

    def _rows(self, text: str, v: Var) -> str:
        """What gives a value's rows one by one, as arrays even where they have no axes."""
        return text if v.ndim else f"{self.names.thing('scalars', _scalars)}({text})"

    def _section(self, body: list[str], title: str, equations: list[Equation]) -> None:
        if not equations:
            return
        body.append(f"# {title}")
        lines = []
        used_later: dict[Var, int] = {}
        for i, e in enumerate(equations):
            for a in e.inputs:
                used_later[a] = i
        mine: set[Var] = set()
        elsewhere = self._read_elsewhere(equations)
        for i, e in enumerate(equations):
            reusable = []
            if e.prim.kind == "elementwise" and e.prim.lowering.numpy is not None:
                reusable = [
                    a
                    for a in e.inputs
                    if a in mine
                    and used_later[a] == i
                    and a not in elsewhere
                    and a.shape == e.out.shape
                    and a.dtype == e.out.dtype
                ]
            stored = e.out in self.stored
            target = self.names(e.out) if stored else None
            lines.append((self.whole_statement(e, target, reusable), self.comment(e)))
            if e.prim.kind == "elementwise" and e.prim.lowering.numpy is not None and not stored:
                mine.add(e.out)
        width = min(88, max(len(s) for s, _ in lines))
        body += [f"{s:<{width}}  # {c}" for s, c in lines]

    def _read_elsewhere(self, equations: list[Equation]) -> set[Var]:
        """What is read by more than the equations of a section, or looked at by a view."""
        program = self.program
        found = {
            a for s in (program.before, program.loop, program.after) if s is not equations for e in s for a in e.inputs
        }
        found.update(a for t in program.totals for a in t.args if isinstance(a, Var))
        found.update(
            a for e in equations if e.prim.lowering.numpy is None or e.prim.kind != "elementwise" for a in e.inputs
        )
        return found | set(self.stored)

    def _total(self, total: Total) -> str:
        if total.prim is None:
            (v,) = total.args
            if not isinstance(v, Var) or self.levels.get(v, EACH) == ONCE:
                return f"n * {self.whole(v)}"
            return f"{self.names.thing('add', np.add)}.reduce({self.whole(v)})"
        args = [self.whole(a) for a in total.args]
        rule = self.names.thing(f"{total.prim.name}_summed", total.prim.lowering.summed)
        return f"{rule}({', '.join([*args, *self.keywords(total.kwargs)])})"


def _scalars(x: Array) -> list[Array]:
    """The elements of an array with one axis, as arrays that can be written to."""
    return [x[t, ...] for t in range(len(x))]


def _shape(x: Operand) -> tuple[int, ...]:
    return x.shape if isinstance(x, Var) else np.shape(x)


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _function(name: str, arguments: Sequence[str], body: Sequence[str]) -> str:
    return f"def {name}({', '.join(arguments)}):\n" + "\n".join(f"    {line}" for line in body) + "\n"


def emit(program: Sections, stored: Sequence[Var], name: str, backwards: bool) -> Emitted:
    """A program's functions, which write the values `stored` of all steps to arrays that they are given."""
    names = Names()
    step = program.step
    ours: list[Any] = [np.empty, np.dot, np.array, np.copyto, np.broadcast_to, np.ascontiguousarray]
    for function in ours:
        names.taken.add(function.__name__)
        names.of[id(function)] = function.__name__
        names.space[function.__name__] = function
    for e in (*program.once, *program.before, *program.loop, *program.after, *program.last):
        names.thing(e.prim.name, e.prim.lowering.numpy or e.prim.forward)
    for v in (*step.carry, *step.xs, *step.constants):
        names(v)
    emitter = _Emitter(program, names, stored, name, backwards)
    used = dict.fromkeys(a for e in (*program.before, *program.loop, *program.after) for a in e.inputs)
    used |= dict.fromkeys(a for t in program.totals for a in t.args if isinstance(a, Var))
    known = {e.out for e in (*program.once, *program.before, *program.loop, *program.after)}
    known.update(step.carry, step.constants)
    inputs = [*step.xs, *(v for v in used if v not in known and v not in set(step.xs))]
    inputs.sort(key=lambda v: names(v) if v not in step.xs else "")
    later = {a for e in program.last for a in e.inputs} | {
        v for terms in program.sums for v in terms if isinstance(v, Var)
    }
    once_values = [e.out for e in program.once if e.out in used or e.out in later]
    constants = [names(v) for v in step.constants]
    block = emitter.block(inputs, once_values)
    lines = [f"{names(e.out)} = {emitter.once_expression(e)}  # {emitter.comment(e)}" for e in program.once]
    lines += [f"{form} = {text}" for form, text in emitter.forms.values()]
    made = [*map(names, once_values), *(form for form, _ in emitter.forms.values())]
    once = _function(f"{name}_once", constants, [*lines, f"return {_tuple(made)}"])
    ends = [f"{names(e.out)} = {emitter.once_expression(e)}  # {emitter.comment(e)}" for e in program.last]
    sums = [" + ".join(emitter.whole(v) for v in terms) or "None" for terms in program.sums]
    finish = _function(
        f"{name}_finish",
        [*(names(t.out) for t in program.totals), *constants, *made],
        [*ends, f"return [{', '.join(sums)}]"],
    )
    source = "\n\n".join([*([once] if lines else []), block, *([finish] if program.totals else [])])
    source = f"{preamble(names.space, source)}\n\n\n{source}"
    space = dict(names.space)
    exec(compile("\n\n".join([once, block, finish]), f"<scan: {name}>", "exec"), space)
    return Emitted(
        source,
        space[f"{name}_once"],
        space[name],
        space[f"{name}_finish"],
        inputs,
        emitter.stored,
        emitter.places,
    )
