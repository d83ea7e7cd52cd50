"""The equations of a program as statements of NumPy code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..primitive import Primitive
from .algebra import ONCE, is_fixed_matrix, level_of
from .blocking import best_blocks, in_blocks
from .operands import Operands, index_text
from .place import treats_rows, writes
from .split import Total, is_view, pieces_of
from .step import Equation, Operand, Var

__all__ = ["Statements"]

_FILLED = 1 << 16  # numbers: up to here a constant is written out


class Statements:
    """What each equation is in the code: once, for all steps at once, or in one step of the loop."""

    def __init__(self, values: Operands) -> None:
        self.values, self.names, self.places = values, values.names, values.places

    # ---- calls

    def _function(self, prim: Primitive) -> str:
        function = prim.lowering.numpy
        return self.names.thing(prim.name, prim.forward) if function is None else self.names.numpy(function)

    def _into(self, prim: Primitive, args: Sequence[str], target: str) -> str:
        """A call of NumPy's function that writes to `target`: by position, which is quicker, but for these two."""
        named = "out=" if prim.lowering.numpy in (np.maximum, np.minimum) else ""
        return f"{self._function(prim)}({', '.join([*args, named + target])})"

    def _keywords(self, kwargs: dict[str, Any]) -> list[str]:
        return [f"{k}={self.values.literal(v)}" for k, v in kwargs.items()]

    # ---- once

    def once(self, e: Equation) -> str:
        """An equation on what is the same in all steps."""
        values = self.values
        args = [values.whole(a) if isinstance(a, Var) else values.literal_or_constant(a) for a in e.args]
        if e.prim.lowering.part is not None and is_view(e):
            call = f"{args[0]}[{index_text(e.kwargs['index'])}]"
        elif e.prim.lowering.numpy is not None:
            call = f"{self._function(e.prim)}({', '.join([*args, *map(values.literal, e.kwargs.values())])})"
        else:
            call = f"{self._function(e.prim)}({', '.join([*args, *self._keywords(e.kwargs)])})"
        return f"{self.names(e.out)} = {call}"

    # ---- for all steps at once

    def whole(self, e: Equation) -> str | None:
        """An equation for all steps of a block; `None` if there is nothing to do."""
        values, prim, name, kind = self.values, e.prim, self.names(e.out), self.places.kinds[e.out]
        if kind == "view":
            return None if values.is_own(e.out) else self._view(e)
        if kind == "fresh":
            return f"{name} = {self._call_for_all(e)}"
        if writes(prim):
            others = [a for a in e.args if hasattr(a, "dtype")]
            ndim = e.out.ndim
            args = [values.whole(a, ndim) if isinstance(a, Var) else values.constant(a, others) for a in e.args]
            return self._into(prim, args, name)
        if treats_rows(e, values.levels):
            x, y = e.args
            rows = "n" if x.ndim == 1 else f"n * {math.prod(x.shape[:-1])}"
            flat = f"{values.whole(x)}.reshape({rows}, {x.shape[-1]})"
            return self._into(prim, [flat, values.whole(y)], f"{name}.reshape({rows}, {e.out.shape[-1]})")
        if pieces_of(e):
            return self._join(e, ":, ", values.whole)
        return f"{name}[...] = {self._call_for_all(e)}"

    def _call_for_all(self, e: Equation) -> str:
        """A call for all steps of a function that isn't NumPy's elementwise: by its batching rule, if it has one."""
        values, prim = self.values, e.prim
        if prim.kind == "elementwise":
            ndim = e.out.ndim
            args = [values.whole(a, ndim) if isinstance(a, Var) else values.literal_or_constant(a) for a in e.args]
            return f"{self._function(prim)}({', '.join([*args, *self._keywords(e.kwargs)])})"
        batched = tuple(level_of(a, values.levels) > ONCE for a in e.args)
        args = [values.whole(a) if isinstance(a, Var) else values.literal_or_constant(a) for a in e.args]
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
        return f"{rule}({', '.join([*args, *self._keywords(e.kwargs), *told])})"

    def total(self, total: Total) -> str:
        """A sum over the steps of a block."""
        values = self.values
        if total.prim is None:
            (v,) = total.args
            if level_of(v, values.levels) == ONCE:
                call = f"n * {values.whole(v)}"
            else:
                call = f"{self.names.thing('add', np.add)}.reduce({values.whole(v)})"
        else:
            args = [values.whole(a) for a in total.args]
            rule = self.names.thing(f"{total.prim.name}_summed", total.prim.lowering.summed)
            call = f"{rule}({', '.join([*args, *self._keywords(total.kwargs)])})"
        return f"{self.names(total.out)} = {call}"

    # ---- in the loop

    def in_step(self, e: Equation) -> str | None:
        """An equation in one step; `None` if there is nothing to do."""
        values, out, prim, kind = self.values, e.out, e.prim, self.places.kinds[e.out]
        if kind == "view":
            if values.stays(out):
                return None
            part = f"[{index_text(e.kwargs['index'])}]" if prim.lowering.part else None
            return f"{values.row(out)} = {f'{values.row(e.args[0])}{part}' if part else self._call(e)}"
        if pieces_of(e) and kind in ("static", "stacked"):
            return self._join(e, "", values.row)
        target = values.row(out)
        if prim.lowering.numpy is not None:
            if prim.lowering.rows and all(a.ndim <= 2 for a in e.args):
                return self._product(e, target)
            others = [a for a in e.args if hasattr(a, "dtype")]
            filled = [self._filled(a, out) if prim.kind == "elementwise" else None for a in e.args]
            return self._into(prim, [f or values.row(a, others) for f, a in zip(filled, e.args, strict=True)], target)
        return f"{target} = {self._call(e)}" if kind == "fresh" else f"{target}[...] = {self._call(e)}"

    def _call(self, e: Equation) -> str:
        values = self.values
        args = [values.row(a) if isinstance(a, Var) else values.literal_or_constant(a) for a in e.args]
        function = self.names.thing(e.prim.name + ("_" if e.prim.lowering.numpy else ""), e.prim.forward)
        return f"{function}({', '.join([*args, *self._keywords(e.kwargs)])})"

    def _join(self, e: Equation, lead: str, called: Callable[[Operand], str]) -> str | None:
        statements = []
        for i, (a, (axis, start, stop)) in enumerate(zip(e.args, pieces_of(e) or [], strict=True)):
            if self.places.homes.get(a) != (e.out, i):
                statements.append(f"{called(e.out)}[{lead}{':, ' * axis}{start}:{stop}] = {called(a)}")
        return "; ".join(statements) or None

    def _filled(self, x: Operand, out: Var) -> str | None:
        """A constant that is the same along some axes, written out: NumPy takes twice as long where it broadcasts."""
        values = self.values
        if (
            level_of(x, values.levels) > ONCE
            or not np.shape(x)
            or x.shape == out.shape
            or math.prod(out.shape) > _FILLED
        ):
            return None
        key = (x if isinstance(x, Var) else id(x), out.shape)
        full, to = self.names.numpy(np.broadcast_to), self.names.numpy(np.ascontiguousarray)
        base = self.names(x) if isinstance(x, Var) else "constant"
        return values.form(key, f"{base}_full", f"{to}({full}({values.whole(x)}, {out.shape}))")

    def _product(self, e: Equation, target: str) -> str:
        """A product of matrices or vectors, with its matrix in the form that suits this machine."""
        values = self.values
        x, y = e.args
        matmul = self.names.numpy(np.matmul)
        # dot is quicker to start, but wants a place that is in one piece.
        dot = matmul if self.places.kinds[e.out] == "piece" else self.names.numpy(np.dot)
        if not (is_fixed_matrix(y, values.levels) and isinstance(x, Var)):
            return f"{dot}({values.row(x)}, {values.row(y)}, {target})"
        rows = x.shape[0] if x.ndim == 2 else 1
        if rows < 4:
            return f"{dot}({values.row(x)}, {values.row(y)}, {target})"
        r, k = best_blocks(rows, *y.shape, e.out.dtype) if values.stays(x) else (1, 1)
        if r == k == 1:
            return f"{dot}({values.row(x)}, {self._form(y, 1)}, {target})"
        left = values.row(x) if r == 1 else self._in_blocks(x, r, 1)
        return f"{matmul}({left}, {self._form(y, k)}, {self._in_blocks(e.out, r, k)})"

    def _form(self, matrix: Var, k: int) -> str:
        """A matrix in C order, or in k blocks of columns: made once."""
        name = self.names(matrix)
        if k == 1:
            return self.values.form((matrix, 1), f"{name}_rows", f"{self.names.numpy(np.ascontiguousarray)}({name})")
        cut = self.names.thing("in_blocks", in_blocks)
        return self.values.form((matrix, k), f"{name}_blocks", f"{cut}({name}, {k})")

    def _in_blocks(self, v: Var, r: int, k: int) -> str:
        """A matrix's place, seen as r blocks of rows and k of columns."""
        values = self.values
        rows, columns = v.shape
        shape, axes = [r, rows // r, k, columns // k], [0, 2, 1, 3]
        if r == 1:
            shape, axes = shape[1:], [1, 0, 2]
        if (v, r, k) in values.rows:
            return values.rows[v, r, k][0]
        if values.is_rows(v):
            lengths, order = ", ".join(["n", *map(str, shape)]), ", ".join(["0", *(str(a + 1) for a in axes)])
            view = f"{values.whole(v)}.reshape({lengths}).transpose({order})"
            return values.go_through((v, r, k), f"{self.names(v)}_blocks_t", view, v.ndim)
        name = self.names.new(f"{self.names(v)}_blocks")
        view = f"{values.base(v)}.reshape({', '.join(map(str, shape))}).transpose({', '.join(map(str, axes))})"
        values.views.setdefault(v, []).append(f"{name} = {view}")
        return name

    # ---- memory

    def buffers(self) -> list[str]:
        """The program's own memory, and views of it."""
        values, places = self.values, self.places
        lines: list[str] = []
        for e in values.program.equations:
            v = e.out
            buffer = places.buffers.get(v)
            if v in values.unnamed:
                continue
            if buffer is v:
                lines.append(f"{self.names(v)} = {self._empty(v, 'n' if places.kinds[v] == 'stacked' else None)}")
            elif buffer is not None and buffer not in values.old:
                lines.append(f"{self.names(v)} = {self.names(buffer)}")
        return [*lines, *self.pieces(own=True), *self.views(own=True)]

    def pieces(self, *, own: bool) -> list[str]:
        """The places of what is joined, in the program's own memory or in what it is given."""
        values, lines = self.values, []
        for e in reversed(values.program.equations):  # pieces of pieces come after what they are part of
            for i, (a, (axis, start, stop)) in enumerate(zip(e.args, pieces_of(e) or (), strict=False)):
                is_piece = self.places.homes.get(a) == (e.out, i) and a not in values.unnamed
                if is_piece and values.is_own(a) == own:
                    rows = ":, " if values.is_rows(a) else ""
                    lines.append(f"{self.names(a)} = {values.base(e.out)}[{rows}{':, ' * axis}{start}:{stop}]")
        return lines

    def views(self, *, own: bool) -> list[str]:
        """Views that stay the same while a block is worked through; of other memory, those that the loop needs."""
        values = self.values
        views = [e for e in values.program.equations if self.places.kinds[e.out] == "view"]
        views = [e for e in views if e.out not in values.unnamed]
        wanted = [e for e in views if values.is_own(e.out) == own]
        lines = [self._view(e) for e in wanted if (values.stays(e.out) if e.out in values.in_loop else own)]
        return lines + [line for v, more in values.views.items() if values.is_own(v) == own for line in more]

    def _empty(self, v: Var, lead: str | None) -> str:
        shape = ", ".join([*([lead] if lead else []), *map(str, v.shape)])
        dtype = self.names.thing(v.dtype.name, v.dtype.type)
        return f"{self.names.numpy(np.empty)}(({shape}{',' if not v.ndim and lead else ''}), {dtype})"

    def _view(self, e: Equation) -> str:
        values = self.values
        rows = values.is_rows(e.out)
        name, source = self.names(e.out), values.base(e.args[0])
        if e.prim.lowering.part is not None:
            return f"{name} = {source}[{':, ' if rows else ''}{index_text(e.kwargs['index'])}]"
        if rows:
            return f"{name} = {self._call_for_all(e)}"
        return f"{name} = {self._function(e.prim)}({source}, {', '.join(map(values.literal, e.kwargs.values()))})"


def _shape(x: Operand) -> tuple[int, ...]:
    return x.shape if isinstance(x, Var) else np.shape(x)
