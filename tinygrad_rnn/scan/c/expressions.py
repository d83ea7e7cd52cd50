"""What an equation is in C: an expression in its arguments, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...ops import erf, power, sigmoid, softplus, where
from ...ops.indexing import _scatter
from ...ops.reductions import _max, _mean, _min, _prod, _sum
from ...ops.shapes import _broadcast_to, _reshape
from ..split import COPY, is_view, pieces_of
from ..step import Equation, Operand, Var
from ..trace import DETACHED

__all__ = [
    "MOVES",
    "REDUCTIONS",
    "RESERVED",
    "SCATTER",
    "TYPES",
    "NotInCError",
    "dtype_of",
    "has_template",
    "is_array",
    "is_fusible",
    "literal",
    "stands_alone",
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
    np.sign: "sign_of({})",
    np.maximum: "maximum({}, {})",
    np.minimum: "minimum({}, {})",
    COPY.lowering.numpy: "{}",
    where.primitive.forward: "{} ? {} : {}",  # type: ignore[attr-defined]
    DETACHED.forward: "{}",
}
_LOGIC: dict[Any, str] = {
    np.less: "{} < {}",
    np.less_equal: "{} <= {}",
    np.greater: "{} > {}",
    np.greater_equal: "{} >= {}",
    np.equal: "{} == {}",
    np.not_equal: "{} != {}",
    np.bitwise_and: "{} & {}",
    np.bitwise_or: "{} | {}",
    np.bitwise_xor: "{} ^ {}",
    np.logical_and: "{} && {}",
    np.logical_or: "{} || {}",
    np.logical_xor: "!{} != !{}",
}

# Functions of loop.h, and of the C library.
_OWN: dict[Any, str] = {getattr(np, name): name for name in ("tanh", "exp", "expm1", "log", "log1p")}
_OWN |= {f.primitive.forward: f.__name__ for f in (sigmoid, softplus)}  # type: ignore[attr-defined]
_SAME = ("exp2", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "floor", "ceil")
_LIBRARY: dict[Any, str] = {getattr(np, name): name for name in _SAME} | {np.absolute: "fabs"}
_LIBRARY[erf.primitive.forward] = "erf"  # type: ignore[attr-defined]
_LIBRARY |= {getattr(np, f"arc{name}"): f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}


def _known(own: str, library: str) -> dict[Any, str]:
    """What there is for a type, for which a function's name ends so."""
    names = {f: f"{name}_{own}" for f, name in _OWN.items()} | {f: f"{name}{library}" for f, name in _LIBRARY.items()}
    of_two = {np.hypot: f"hypot{library}", np.arctan2: f"atan2{library}", power.primitive.forward: f"pow{library}"}  # type: ignore[attr-defined]
    calls = {f: f"{name}({{}})" for f, name in names.items()} | {f: f"{name}({{}}, {{}})" for f, name in of_two.items()}
    return _ARITHMETIC | calls


_KNOWN = {"float": _known("float", "f"), "double": _known("double", ""), "_Bool": _LOGIC}

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

# Keywords, what stands in the text of loops, and what compilers may define: nothing to call a value.
_WORDS = """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    product gemm CblasRowMajor CblasNoTrans pack_float pack_double n t i j k l m total asm typeof linux unix
"""
_HEADER = re.sub(r"/\*.*?\*/", "", Path(__file__).with_name("loop.h").read_text(encoding="utf-8"), flags=re.DOTALL)
_TEMPLATES = " ".join(text for known in _KNOWN.values() for text in known.values())
RESERVED = frozenset(_WORDS.split()).union(  # with functions, macros and types
    re.findall(r"(?<![\w#])\w+(?=\()", _TEMPLATES + _HEADER), re.findall(r"(?<=#define )\w+|(?<=_TYPE__ )\w+", _HEADER)
)


def stands_alone(e: Equation) -> bool:
    """Whether it is a product or a reduction, which nothing is fused with."""
    return e.prim.lowering.rows or e.prim in REDUCTIONS


def is_fusible(e: Equation) -> bool:
    """Whether it can be part of a fused loop, or needs none: a view, for instance."""
    if any(v.dtype not in TYPES for v in (e.out, *e.inputs)):
        return False
    return is_view(e) or bool(pieces_of(e)) or e.prim in MOVES or has_template(e)


def is_array(x: Operand) -> bool:
    """Whether it is a constant array."""
    return isinstance(x, np.ndarray) and x.ndim > 0


def template(e: Equation) -> str:
    """What an elementwise function is in C, with `{}` for its arguments. Raises `NotInCError`."""
    function, dtype = e.prim.lowering.numpy or e.prim.forward, e.out.dtype
    known = _KNOWN[TYPES[dtype]] if dtype in TYPES else {}
    if e.prim.kind != "elementwise" or e.kwargs or function not in known:
        raise NotInCError(f"there is no {e.prim.name} in C yet")
    if dtype.kind == "f" and not any(dtype_of(a).kind == "f" for a in e.args):
        raise NotInCError(f"{e.prim.name} is of {', '.join(str(dtype_of(a)) for a in e.args)}")
    return known[function]


def has_template(e: Equation) -> bool:
    """Whether it is an elementwise function that there is in C."""
    try:
        return bool(template(e))
    except NotInCError:
        return False


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
