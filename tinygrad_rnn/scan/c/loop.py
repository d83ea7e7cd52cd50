"""The loop of a program as a function in C: products are calls (product.c), all else is loops over elements.

Its equations are more than NumPy's: `expanded` has written out what NumPy has a function for, and `fused` has moved
what is elementwise into the loop. Neighbours of one shape become one loop over elements, and what nothing else looks at
stays in a register.
"""

from __future__ import annotations

import itertools
import math
import operator
import textwrap
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ...tape import Array
from ..algebra import is_fixed_matrix
from ..comments import comment
from ..operands import Operands
from ..split import pieces_of
from ..step import Equation, Operand, Var
from .arrays import AXES, Arrays, Place
from .blas import gain_of_blas
from .expressions import (
    MOVES,
    REDUCTIONS,
    SCATTER,
    TYPES,
    NotInCError,
    dtype_of,
    is_array,
    literal,
    stands_alone,
    template,
)
from .function import CFunction, gemm

__all__ = ["loop_in_c"]

_MOST = 500  # operations in a step: 5 to 50 ms of the compiler's time each
_GAIN = 1.1  # as fast as that BLAS must be to be called in C
_MUCH = 2.0  # where it can't be, the whole loop is left to NumPy: the rest of it is faster in C


def loop_in_c(values: Operands, name: str) -> tuple[list[str], CFunction]:
    """The lines of NumPy code that call the loop, and its function. Raises `NotInCError`."""
    call, function = _Writer(values, name).written()
    return ["# the loop", call], function


class _Line(NamedTuple):
    """One result of a fused loop: what is computed (None for what is only put somewhere), where it goes, how."""

    out: Var | None
    target: Place
    template: str
    operands: tuple[Operand, ...]
    comment: str


@dataclass(eq=False)
class _Fused:
    """A fused elementwise loop: lines that are worked out together, element by element."""

    shape: tuple[int, ...]
    lines: list[_Line] = field(default_factory=list)
    made: dict[Var, Place] = field(default_factory=dict)
    read: dict[Var | Place, Place] = field(default_factory=dict)
    # Each different place that is written to, or looked at, once.
    targets: dict[Hashable, Place] = field(default_factory=dict)
    places: dict[Hashable, Place] = field(default_factory=dict)


class _Writer:
    """Writes the loop: fused loops, reductions and products, one after the other, and the function around them."""

    def __init__(self, values: Operands, name: str) -> None:
        self.values, self.name = values, f"{name}_loop"
        self.program, self.kinds, self.homes = values.program, values.places.kinds, values.places.homes
        self.arrays = Arrays(values)
        self.readers: dict[Var, list[Equation]] = {}
        self.real: str | None = None  # what products are of
        self.multiply: dict[tuple[str, str], None] = {}  # the functions that multiply, and of what type

    def written(self) -> tuple[str, CFunction]:
        """The line of NumPy code that calls the loop, and its function."""
        program = self.program
        if not program.loop:
            raise NotInCError("there is no loop")
        if len(program.loop) > _MOST:
            raise NotInCError(f"{len(program.loop)} operations would take the C compiler long")
        for e in program.loop:
            for v in (e.out, *e.inputs):
                if v.dtype not in TYPES or 0 in v.shape or v.ndim > len(AXES):
                    raise NotInCError(f"{e.prim.name} has to do with numbers of dtype {v.dtype} and shape {v.shape}")
            for a in e.inputs:
                self.readers.setdefault(a, []).append(e)
        body: list[str] = []
        for part in self._parts():
            if isinstance(part, _Fused):
                body += self._fused_loop(part)
            else:
                body += self._reduction(part, **part.kwargs) if part.prim in REDUCTIONS else self._product(part)
        arguments = self.arrays.arguments()
        forms = [form for _, form in arguments]
        function = CFunction(self.name, self._assembled(body), forms, [*self.multiply])
        names = [called for called, _ in arguments]
        self.values.unnamed = self._unnamed(set(names))
        return f"{self.values.names.thing(self.name, function)}({', '.join(['n', *names])})", function

    def _unnamed(self, called: set[str]) -> set[Var]:
        """The loop's values that are nobody's business outside it: the code in NumPy needs no names for them."""
        program, places, names = self.program, self.values.places, self.values.names
        waiting = [a for e in (*program.before, *program.after) for a in (e.out, *e.inputs)]
        waiting += [a for total in program.totals for a in total.args if isinstance(a, Var)]
        waiting += [v for v in places.buffers.values() if names(v) in called]
        named: set[Var] = set()
        while waiting:
            v = waiting.pop()
            if v not in named:
                named.add(v)
                waiting += [places.buffers.get(v, v), places.home(v)]
                if v in self.homes:
                    waiting.append(self.homes[v][0])
                elif self.kinds.get(v) == "view" and v.equation is not None:
                    waiting.append(v.equation.args[0])
        return {e.out for e in program.loop} - named

    def _parts(self) -> Iterator[_Fused | Equation]:
        """What the loop is made of: fused loops, and equations that stand alone."""
        current = _Fused(())
        for item in self._lines():
            if isinstance(item, _Line) and current.lines and self._fits(current, item):
                self._add(current, item)
                continue
            if current.lines:
                yield current
            current = _Fused(item.target.look.shape) if isinstance(item, _Line) else _Fused(())
            if isinstance(item, _Line):
                self._add(current, item)
            else:
                yield item
        if current.lines:
            yield current

    def _lines(self) -> Iterator[_Line | Equation]:
        """What is to be done for each equation: lines of fused loops, or the equation itself, if it stands alone."""
        step = self.program.step
        for e in self.program.loop:
            if self.kinds[e.out] == "view":
                continue
            if stands_alone(e):
                yield e
            elif pieces_of(e) is not None:
                told = f"{self.values.names(e.out)}, a part of it"
                for i, a in enumerate(e.args):
                    if self.homes.get(a) != (e.out, i):
                        yield _Line(None, self.arrays.piece(e.out, i), "{}", (a,), told)
            elif e.prim in MOVES:
                yield from self._moved(e)
            else:
                yield _Line(e.out, self.arrays.place(e.out), template(e), e.args, comment(e, self.values))
        for i in self.values.places.copied:
            yield _Line(None, self.arrays.place(step.carry[i]), "{}", (step.new_carry[i],), "for the next step")

    def _moved(self, e: Equation) -> Iterator[_Line]:
        """A value that is put elsewhere as it is."""
        target, told = self.arrays.place(e.out), comment(e, self.values)
        if any(not isinstance(a, Var) or a.dtype != e.out.dtype for a in e.args):
            raise NotInCError(f"{e.prim.name} is of {', '.join(str(dtype_of(a)) for a in e.args)}")
        if e.prim is not SCATTER:
            source = self.arrays.part(self.arrays.place(e.args[0]), lambda x: e.prim.forward(x, **e.kwargs))
            yield _Line(None, target, "{}", (source,), told)
            return
        yield _Line(None, target, "{}", (0.0,), told)
        for a, index in zip(e.args, e.kwargs["indices"], strict=True):
            part = self.arrays.part(target, operator.itemgetter(index))
            yield _Line(None, part, "{} + {}", (part, a), f"{told}, a part of it")

    # ---- fused loops

    def _fits(self, part: _Fused, line: _Line) -> bool:
        """Whether a line can be worked out together with those of a fused loop, element by element."""
        shape = line.target.look.shape
        if shape != part.shape:
            return False
        inputs = [self.arrays.place(a) for a in line.operands if isinstance(a, Var) and a not in part.made]
        inputs += [a for a in line.operands if isinstance(a, Place)]
        if any(p.meets(target) for p in inputs for target in part.targets.values()):
            return False
        return not any(line.target.meets(p) and not line.target.is_same(p, shape) for p in part.places.values())

    def _add(self, part: _Fused, line: _Line) -> None:
        """Let a line be the fused loop's last."""
        for a in line.operands:
            if isinstance(a, Place):
                part.read[a] = a
            elif isinstance(a, Var) and a not in part.made:
                part.read.setdefault(a, self.arrays.place(a))
            else:
                continue
            part.places.setdefault(part.read[a].key, part.read[a])
        part.targets.setdefault(line.target.key, line.target)
        part.places.setdefault(line.target.key, line.target)
        part.lines.append(line)
        if line.out is not None:
            part.made[line.out] = line.target

    def _is_stored(self, part: _Fused, line: _Line) -> bool:
        """Whether a result is looked at by others than the lines of its fused loop."""
        v = line.out
        if v is None or v in self.homes or v in self.values.new or line.target.shift is not None:
            return True
        return any(e.out not in part.made for e in self.readers.get(v, ()))

    def _fused_loop(self, part: _Fused) -> list[str]:
        """Nested loops over the elements; each line is a variable, and is written to memory if others read it."""
        stored = [line.target for line in part.lines if self._is_stored(part, line)]
        constants = {id(a): self.arrays.constant(a) for line in part.lines for a in line.operands if is_array(a)}
        places = [*part.read.values(), *constants.values(), *stored]
        lengths, axes = _merged(part.shape, [p.strides(part.shape) for p in places])

        def element(p: Place) -> str:
            return self.arrays.element(p, [p.strides(part.shape)[axis] for axis in axes])

        local: dict[Var, str] = {}
        inner: list[str] = []

        def operand(a: Operand, line: _Line) -> str:
            if isinstance(a, Place):
                return element(a)
            if is_array(a):
                return element(constants[id(a)])
            if not isinstance(a, Var):
                return literal(a, line.operands)
            if a not in local:
                local[a] = self.arrays.name(a, self.values.names(a))
                inner.append(f"{TYPES[a.dtype]} {local[a]} = {element(part.read[a])};")
            return local[a]

        for line in part.lines:
            value = line.template.format(*[operand(a, line) for a in line.operands])
            if line.out is not None:
                local[line.out] = self.arrays.name(line.out, self.values.names(line.out))
                inner.append(f"{TYPES[line.out.dtype]} {local[line.out]} = {value};  // {line.comment}")
                value = local[line.out]
            if self._is_stored(part, line):
                self.arrays.written.add(line.target.array)
                inner.append(f"{element(line.target)} = {value};" + ("" if line.out else f"  // {line.comment}"))
        return _nested(lengths, AXES, inner, "#pragma omp simd")  # no element depends on another: only such are fused

    # ---- reductions and products

    def _reduction(self, e: Equation, axis: tuple[int, ...], keepdims: bool, count: float = 1.0) -> list[str]:
        """What goes over axes, worked out in double precision, and divided by `count`."""
        (x,) = e.args
        if not isinstance(x, Var) or x.dtype.kind != "f" or e.out.dtype != x.dtype:
            raise NotInCError(f"{e.prim.name} is of {dtype_of(x)}")
        start, each, any_order = REDUCTIONS[e.prim]
        over = {a % x.ndim for a in axis}
        order = [*(a for a in range(x.ndim) if a not in over), *sorted(over)]
        source, target = self.arrays.place(x), self.arrays.place(e.out)
        self.arrays.written.add(target.array)
        shape = [x.shape[a] for a in order]
        to = target.strides(e.out.shape)
        if keepdims:
            to = tuple(stride for a, stride in enumerate(to) if a not in over)
        strides = source.strides(x.shape)
        element = self.arrays.element(source, [strides[a] for a in order])
        split = len(order) - len(over)
        pragma = "#pragma omp simd reduction(+ : total)" if any_order else None
        inner = _nested(shape[split:], AXES[split:], [each.format(element)], pragma)
        total = "total" if count == 1 else f"total / {literal(float(count), ())}"
        last = f"{self.arrays.element(target, to)} = {total};  // {comment(e, self.values)}"
        return _nested(shape[:split], AXES, [f"double total = {start};", *inner, last], None)

    def _product(self, e: Equation) -> list[str]:
        """A call of `product`: of one matrix that is put in panels before the loop, or of any two."""
        x, y = e.args
        if not dtype_of(x) == dtype_of(y) == e.out.dtype:
            raise NotInCError(f"{e.prim.name} is of different dtypes")
        real = TYPES[e.out.dtype]
        if self.real not in (None, real):
            raise NotInCError("its products are of different dtypes")
        self.real = real
        self.arrays.written.add(self.arrays.place(e.out).array)
        if self._is_fixed_matrix(y) and isinstance(x, Var):
            return [self._product_of_rows(e, x, y, turned=False)]
        if self._is_fixed_matrix(x) and isinstance(y, Var) and y.shape[1:] in ((), (1,)):  # W h is h Wᵀ
            return [self._product_of_rows(e, y, x, turned=True)]
        return self._product_of_any(e)

    def _product_of_rows(self, e: Equation, x: Var, matrix: Operand, turned: bool) -> str:
        """The product of rows, or of one column, with a matrix that is the same in all steps."""
        inner, columns = matrix.shape[::-1] if turned else matrix.shape
        source, target = self.arrays.place(x), self.arrays.place(e.out)
        look, out = (p.look.reshape(1, -1) if turned else p.look for p in (source, target))
        rows, x_row, x_step = _rows_of(look)
        _, out_row, out_step = _rows_of(out)
        is_plain = not turned and x_step == out_step == 1 and x_row >= inner and out_row >= columns  # as BLAS wants it
        by_blas = is_plain and self._is_for_blas(e, rows, inner, columns)
        if not by_blas:
            self._check_product(e, rows, inner, columns, out_step)
        self.multiply["gemm" if by_blas else "product", TYPES[e.out.dtype]] = None
        w = self.arrays.address(self._place_of(matrix), ()) if by_blas else self.arrays.panels(matrix, turned)
        left, to = (self.arrays.address(p, ()) for p in (source, target))
        if by_blas:
            plain = "CblasRowMajor, CblasNoTrans, CblasNoTrans"
            call = f"gemm({plain}, {rows}, {columns}, {inner}, 1, {left}, {x_row}, {w}, {columns}, 0, {to}, {out_row});"
        else:
            call = f"product({rows}, {inner}, {columns}, {left}, {x_row}, {x_step}, {w}, {to}, {out_row});"
        return f"{call}  // {comment(e, self.values)}"

    def _product_of_any(self, e: Equation) -> list[str]:
        """The product of any two, matrix by matrix; the second one is put in panels first."""
        places = [self._place_of(a) for a in (*e.args, e.out)]
        x, y, out = (p.look for p in places)
        if y.ndim == 1:
            y, out = y[:, None], out[..., None]
        if x.ndim == 1:
            x, out = x[None], np.expand_dims(out, -2)
        *lead, rows, columns = out.shape
        inner = x.shape[-1]
        strides = [
            tuple(s // a.itemsize for s in np.broadcast_to(a, (*lead, *a.shape[-2:])).strides) for a in (x, y, out)
        ]
        (x_row, x_step), (y_row, y_step), (out_row, out_step) = (s[-2:] for s in strides)
        self._check_product(e, rows, inner, columns, out_step)
        self.multiply["product", TYPES[e.out.dtype]] = None
        lengths, axes = _merged(tuple(lead), [s[:-2] for s in strides])
        left, right, to = (
            self.arrays.address(p, [s[axis] for axis in axes]) for p, s in zip(places, strides, strict=True)
        )
        packed = self.arrays.packed(inner, columns, e.out.dtype)
        lines = [
            f"pack_{self.real}({inner}, {columns}, {right}, {y_row}, {y_step}, {packed});",
            f"product({rows}, {inner}, {columns}, {left}, {x_row}, {x_step}, {packed}, {to}, {out_row});"
            f"  // {comment(e, self.values)}",
        ]
        return _nested(lengths, AXES, lines, None) if lengths else lines

    def _place_of(self, a: Operand) -> Place:
        return self.arrays.constant(a) if is_array(a) else self.arrays.place(a)

    def _is_for_blas(self, e: Equation, rows: int, inner: int, columns: int) -> bool:
        """Whether BLAS can be called, and is faster."""
        dtype = e.out.dtype
        return gemm(TYPES[dtype]) is not None and gain_of_blas(rows, inner, columns, dtype) >= _GAIN

    def _check_product(self, e: Equation, rows: int, inner: int, columns: int, out_step: int) -> None:
        if out_step != 1 and columns > 1:
            raise NotInCError("a row of a product's result is not in one piece")
        if gain_of_blas(rows, inner, columns, e.out.dtype) > _MUCH:
            raise NotInCError(f"BLAS multiplies {[rows, inner]} by {[inner, columns]} in less than half the time")

    def _is_fixed_matrix(self, x: Operand) -> bool:
        """Whether it is a matrix that is the same in all steps: the loop makes none anew."""
        if is_array(x):
            return bool(x.ndim == 2)
        return is_fixed_matrix(x, self.values.levels) and x not in self.values.in_loop

    # ---- all of it

    def _assembled(self, body: Sequence[str]) -> str:
        """The function's text: its parameters, and the loop over time around the body."""
        multiply = [f"{which}_of({real})" for which, real in self.multiply]
        parameters = ", ".join(_in_one_piece(p) for p in (*multiply, "ptrdiff_t n", *self.arrays.parameters()))
        indent = " " * (len(self.name) + 6)
        head = textwrap.wrap(
            f"void {self.name}({parameters})",
            110,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        down = self.values.backwards
        over_time = "for (ptrdiff_t t = n - 1; t >= 0; t--) {" if down else "for (ptrdiff_t t = 0; t < n; t++) {"
        lines = [
            '#include "loop.h"',
            "",
            *(line.replace(_NO_BREAK, " ") for line in head),
            "{",
            f"    {over_time}",
            *(f"        {line}" for line in (*self.arrays.rows(), *body)),
            "    }",
            "}",
        ]
        return "\n".join(lines) + "\n"


def _rows_of(look: Array) -> tuple[int, int, int]:
    """How many rows there are, and how many elements it is from one, and from one column, to the next."""
    strides = [s // look.itemsize for s in look.strides]
    lead = [(n, s) for n, s in zip(look.shape[:-1], strides[:-1], strict=True) if n > 1]
    for (_, outer), (n, s) in itertools.pairwise(lead):
        if outer != n * s:
            raise NotInCError("the rows of a product are not at equal distances")
    return math.prod(look.shape[:-1]), lead[-1][1] if lead else look.shape[-1], strides[-1]


_NO_BREAK = "\N{NO-BREAK SPACE}"


def _in_one_piece(text: str) -> str:
    return text.replace(" ", _NO_BREAK)


def _nested(lengths: Sequence[int], letters: str, body: Sequence[str], pragma: str | None) -> list[str]:
    """Loops in one another around statements; the innermost with a pragma."""
    heads = [f"for (ptrdiff_t {i} = 0; {i} < {n}; {i}++) {{" for n, i in zip(lengths, letters, strict=False)]
    text = [f"{'    ' * k}{head}" for k, head in enumerate(heads or ["{"])]
    if heads and pragma:
        text.insert(-1, f"{'    ' * (len(heads) - 1)}{pragma}")
    text += [f"{'    ' * max(1, len(heads))}{statement}" for statement in body]
    return text + [f"{'    ' * k}}}" for k in reversed(range(max(1, len(heads))))]


def _merged(shape: tuple[int, ...], strides: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """The lengths of as few loops as will do, and the axis that each counts along: neighbours become one."""
    lengths: list[int] = []
    axes: list[int] = []
    for axis in [axis for axis, n in enumerate(shape) if n > 1]:
        if axes and all(s[axes[-1]] == s[axis] * shape[axis] for s in strides):
            lengths[-1] *= shape[axis]
            axes[-1] = axis
        else:
            lengths.append(shape[axis])
            axes.append(axis)
    return lengths, axes
