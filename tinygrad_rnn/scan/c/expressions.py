"""What an equation is in C: an expression in its arguments, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ops import erf, power, where
from ...ops.indexing import _scatter
from ...ops.reductions import _max, _mean, _min, _prod, _sum
from ...ops.shapes import _broadcast_to, _reshape
from ..split import COPY, is_view, pieces_of
from ..trace import DETACHED, Equation, Operand, Var

__all__ = [
    "MOVES",
    "REDUCTIONS",
    "RESERVED",
    "SCATTER",
    "TYPES",
    "NotInCError",
    "dtype_of",
    "is_apart",
    "is_array",
    "is_passed",
    "literal",
    "template",
]


class NotInCError(Exception):
    """Why a loop isn't written in C."""


TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double", np.dtype(np.bool_): "_Bool"}  # in native order

_ARITHMETIC: dict[Any, str] = {
    np.add: "{} + {}",
    np.subtract: "{} - {}",
    np.multiply: "{} * {}",
    np.divide: "{} / {}",
    np.absolute: "fabs({})",
    np.sign: "sign_of({})",
    np.maximum: "maximum({}, {})",
    np.minimum: "minimum({}, {})",
    np.tanh: "hyperbolic_tangent({})",
    np.hypot: "hypot({}, {})",
    np.arctan2: "atan2({}, {})",
    COPY.lowering.numpy: "{}",
    where.primitive.forward: "{} ? {} : {}",  # type: ignore[attr-defined]
    erf.primitive.forward: "erf({})",  # type: ignore[attr-defined]
    power.primitive.forward: "pow({}, {})",  # type: ignore[attr-defined]
    DETACHED.forward: "{}",
}
_SAME = ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh")
_ARITHMETIC |= {getattr(np, name): f"{name}({{}})" for name in (*_SAME, "floor", "ceil")}
_ARITHMETIC |= {getattr(np, f"arc{name}"): f"a{name}({{}})" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
_LOGIC: dict[Any, str] = {
    np.less: "{} < {}",
    np.less_equal: "{} <= {}",
    np.greater: "{} > {}",
    np.greater_equal: "{} >= {}",
    np.equal: "{} == {}",
    np.not_equal: "{} != {}",
    np.logical_and: "{} && {}",
    np.logical_or: "{} || {}",
    np.logical_not: "!{}",
}

# What goes over axes: from what, with what each element, and whether the order doesn't matter.
REDUCTIONS: dict[Any, tuple[str, str, bool]] = {
    _sum.primitive: ("0", "total += {};", True),  # type: ignore[attr-defined]
    _mean.primitive: ("0", "total += {};", True),  # type: ignore[attr-defined]
    _max.primitive: ("-INFINITY", "total = maximum(total, {});", False),  # type: ignore[attr-defined]
    _min.primitive: ("INFINITY", "total = minimum(total, {});", False),  # type: ignore[attr-defined]
    _prod.primitive: ("1", "total *= {};", False),  # type: ignore[attr-defined]
}
SCATTER = _scatter.primitive  # type: ignore[attr-defined]
MOVES = (_reshape.primitive, _broadcast_to.primitive, SCATTER)  # type: ignore[attr-defined]

# Keywords, what stands in loop.h and in the text of loops, and macros of the library: nothing to call a value.
_WORDS = """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    product product_of tanh_single ptrdiff_t n t i j k l m total
    complex imaginary math_errhandling asm typeof linux unix
"""
RESERVED = frozenset(re.findall(r"\w+", _WORDS) + re.findall(r"\w+(?=\()", " ".join((_ARITHMETIC | _LOGIC).values())))


def is_apart(e: Equation) -> bool:
    """Whether it is no part of a pass over memory: a product, or a reduction."""
    return e.prim.lowering.rows or e.prim in REDUCTIONS


def is_passed(e: Equation) -> bool:
    """Whether it can be part of a pass, or needs none."""
    if any(v.dtype not in TYPES for v in (e.out, *e.inputs)):
        return False
    try:
        return is_view(e) or bool(pieces_of(e)) or e.prim in MOVES or bool(template(e))
    except NotInCError:
        return False


def is_array(x: Operand) -> bool:
    """Whether it is a constant array."""
    return isinstance(x, np.ndarray) and x.ndim > 0


def template(e: Equation) -> str:
    """What an elementwise function is in C, with `{}` for its arguments. Raises `NotInCError`."""
    function, dtype = e.prim.lowering.numpy or e.prim.forward, e.out.dtype
    known = _LOGIC if dtype.kind == "b" else _ARITHMETIC
    if e.prim.kind != "elementwise" or e.kwargs or function not in known:
        raise NotInCError(f"there is no {e.prim.name} in C yet")
    if dtype.kind == "f" and not any(dtype_of(a).kind == "f" for a in e.args):
        raise NotInCError(f"{e.prim.name} is of {', '.join(str(dtype_of(a)) for a in e.args)}")
    return known[function]


def dtype_of(x: Operand) -> np.dtype[Any]:
    """The type of a value, a constant or a number."""
    return x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype


def literal(x: Any, others: Sequence[Any]) -> str:
    """A number: of the type of the values among the other arguments, if it is Python's."""
    others = [a.dtype for a in others if isinstance(a, (Var, np.ndarray))]
    dtype = x.dtype if isinstance(x, np.ndarray) else np.result_type(*others, x) if others else np.dtype(float)
    if dtype not in TYPES:
        raise NotInCError(f"{x!r} is of dtype {dtype}")
    number = np.asarray(x).astype(dtype)[()]
    if dtype.kind == "b":
        return str(int(number))
    kind = TYPES[dtype]
    if not np.isfinite(number):
        return f"({kind})NAN" if np.isnan(number) else f"({kind}){'-' if number < 0 else ''}INFINITY"
    digits = str(number)
    digits += "" if set(digits) & set(".e") else ".0"
    digits += "f" if kind == "float" else ""
    return f"({digits})" if digits.startswith("-") else digits
