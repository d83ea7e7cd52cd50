"""What a line of a program computes, said in terms of step t: `a_t = h_{t-1} @ W_hhᵀ + (x_t @ W_xhᵀ + b_h)`.

What has a name goes by it; what has none is written out, as long as that is short.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .algebra import ONCE, level_of
from .operands import PREVIOUS, Operands, index_text
from .split import COPY, Total, is_view, pieces_of
from .step import Equation, Operand, Var

__all__ = ["Formulas", "comment"]

_LONG, _DEEP = 36, 6  # characters, and operations in one another: what has more goes by its name in the code
_SUM, _PRODUCT, _MATMUL, _POWER, _ATOM = range(5)  # what binds tighter than what
_INFIX = {
    "add": (" + ", _SUM),
    "subtract": (" - ", _SUM),
    "multiply": (" * ", _PRODUCT),
    "divide": (" / ", _PRODUCT),
    "matmul": (" @ ", _MATMUL),
    "inner": (" @ ", _MATMUL),
    "power": ("**", _POWER),
}


def comment(e: Equation | Total, values: Operands) -> str:
    """What a line computes, after the name of the value, if it has one that isn't made up."""
    made = Formulas(values)
    if isinstance(e, Total):
        return made.total(e)[0]
    formula = made.of(e)[0]
    name = made.name(e.out) if e.out.name or e.out in values.new else formula
    return formula if name == formula else f"{name} = {formula}"


class Formulas:
    """Formulas, each with how tightly its outermost operation binds."""

    def __init__(self, values: Operands) -> None:
        self.values = values
        self.depth = 0

    def of(self, e: Equation) -> tuple[str, int]:
        """The formula of an equation's result."""
        name, args = e.prim.name, e.args
        if e.prim is COPY:
            return self.operand(args[0])
        if is_view(e) or (name in ("swapaxes", "reshape", "slots", "transpose") and len(args) == 1):
            return self._look(e)
        if pieces_of(e):
            return f"[{', '.join(self.operand(a)[0] for a in args)}]", _ATOM
        if name == "negative" or (name == "multiply" and _is(args[1], -1.0)):
            return f"-{_within(self.operand(args[0]), _PRODUCT)}", _SUM
        if (name == "multiply" and args[0] is args[1]) or (name in ("square", "power") and _is(args[-1], 2.0)):
            return f"{_within(self.operand(args[0]), _ATOM)}²", _POWER
        if name in _INFIX and len(args) == 2:
            sign, binds = _INFIX[name]
            left, right = map(self.operand, args)
            right = (self._turned(right), _ATOM) if name == "inner" else right
            # What binds as loosely on the side that isn't worked out first is in brackets.
            left_binds, right_binds = (binds + 1, binds) if name == "power" else (binds, binds + 1)
            if name == "add" or (name == "multiply" and right[1] != _MATMUL):
                right_binds = binds
            elif name in ("multiply", "divide"):
                right_binds = _POWER
            return f"{_within(left, left_binds)}{sign}{_within(right, right_binds)}", binds
        return f"{name}({', '.join(self.operand(a)[0] for a in args)})", _ATOM

    def total(self, t: Total) -> tuple[str, int]:
        """A sum over all steps."""
        made = self.operand(t.args[0]) if t.prim is None else self.of(Equation(t.prim, t.args, t.kwargs, t.out))
        return f"Σ_t {_within(made, _PRODUCT)}", _SUM

    def operand(self, x: Operand) -> tuple[str, int]:
        """An operand: by its name, or written out."""
        if not isinstance(x, Var):
            if isinstance(x, np.ndarray):
                return self.values.constant(x, ()), _ATOM
            return repr(x), _ATOM if isinstance(x, bool) or not x < 0 else _SUM
        if x in self.values.totals and x.name is None:
            return self.total(self.values.totals[x])
        is_named = x.name is not None or x in self.values.old or x in self.values.new
        if is_named or x.equation is None:
            return self.name(x), _ATOM
        if self.depth < _DEEP:
            self.depth += 1
            found = self.of(x.equation)
            self.depth -= 1
            if len(found[0]) <= _LONG:
                return found
        return self.name(x) if x in self.values.own or x in self.values.names.of else "…", _ATOM

    def name(self, v: Var) -> str:
        """A value's name, and the step."""
        values = self.values
        if v in values.old:
            return f"{values.state_names[values.old[v]]}_t" if values.backwards else f"{self._base(v)}_{{t-1}}"
        if v in values.new:
            state = values.state_names[values.new[v]]
            return f"{state}_{{t-1}}" if values.backwards else f"{state}_t"
        base = self._base(v)
        if base.endswith(PREVIOUS):
            return f"{base.removesuffix(PREVIOUS)}_{{t-1}}"
        return base + ("_t" if level_of(v, values.levels) > ONCE and v not in values.at_the_end else "")

    def _base(self, v: Var) -> str:
        names = self.values.names
        return names.of[v] if v in names.of else v.name or names(v)

    def _look(self, e: Equation) -> tuple[str, int]:
        """Another look at a value: the same numbers, transposed or a part of them."""
        source = self.operand(e.args[0])
        if e.prim.name == "swapaxes" or (e.prim.name == "transpose" and e.out.ndim == 2):
            return self._turned(source), _ATOM
        if e.prim.lowering.part is not None:
            return f"{_within(source, _ATOM)}[{index_text(e.kwargs['index'])}]", _ATOM
        return source

    def _turned(self, made: tuple[str, int]) -> str:
        text = _within(made, _ATOM)
        return text.removesuffix("ᵀ") if text.endswith("ᵀ") else f"{text}ᵀ"


def _within(made: tuple[str, int], binds: int) -> str:
    """A formula as part of another, in brackets if it binds more loosely."""
    return made[0] if made[1] >= binds else f"({made[0]})"


def _is(x: Any, number: float) -> bool:
    return type(x) in (float, int) and x == number
