"""What the values, functions and constants of a program are called in its code."""

from __future__ import annotations

import builtins
import keyword
import math
import re
import sys
import types
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..tape import Array
from .step import Var

__all__ = ["WORDS", "Names", "preamble"]

WORDS = {1.0: "one", -1.0: "minus_one", 0.5: "half", 2.0: "two", 0.0: "zero", -0.5: "minus_half"}
_VIEWS = {"transpose": "first"}  # slots, that is
_BUILTINS = frozenset(dir(builtins))
_FUNCTIONS = frozenset(f"{way}ward{part}" for way in ("for", "back") for part in ("", "_once", "_finish"))
_MANY = 1 << 12  # numbers: arrays of more aren't compared
_SHORT = 16  # numbers: an array of so many is written out
_RUNS = 8  # so many of one number after the other


class Names:
    """What values are called, and what the code finds under these names."""

    def __init__(self) -> None:
        self.of: dict[Any, str] = {}
        self.taken: set[str] = {"n", "t", "block", *_FUNCTIONS, *_BUILTINS}
        self.space: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        for function in (np.array, np.dtype):  # with which `preamble` writes constants
            self.numpy(function)

    def new(self, base: str) -> str:
        """A name like this one that nothing has: made an identifier, and numbered."""
        base = unicodedata.normalize("NFKC", base)  # as Python reads names
        base = "".join(c if f"a{c}".isidentifier() else "_" for c in base) or "v"
        if not base.isidentifier() or keyword.iskeyword(base):
            base = f"_{base}" if not base.isidentifier() else f"{base}_"
        base = f"{base}_" if base in _BUILTINS else base
        name, k = base, 2
        while name in self.taken:
            name, k = f"{base}{'_' if base[-1].isdigit() else ''}{k}", k + 1
        self.taken.add(name)
        return name

    def __call__(self, v: Var) -> str:
        """What a value is called."""
        if v not in self.of:
            self.of[v] = self.new(str(v.name)) if v.name else self._unnamed(v)
        return self.of[v]

    def _unnamed(self, v: Var) -> str:
        """What a value without a name is called: W_T, if it is a view, W transposed; else after what computes it."""
        e = v.equation
        if e is None:
            return self.new("v")
        (*others, source) = sorted(e.args, key=lambda a: isinstance(a, Var))
        if e.prim.lowering.view is True:
            kind = "T" if e.prim.name == "swapaxes" and v.ndim == 2 else _VIEWS.get(e.prim.name, e.prim.name)
            return self.new(f"{self(source)}_{kind}")
        if e.prim.lowering.algebra == "product" and source.name and isinstance(others[0], np.ndarray):
            return self.new(f"{source.name}_scaled")
        k = self.counts[e.prim.name] = self.counts.get(e.prim.name, 0) + 1
        return self.new(f"{e.prim.name}_{k}")

    def thing(self, base: str, value: Any, key: Any = None) -> str:
        """A name under which the code finds a function or a constant."""
        key = _key(value) if key is None else key
        if key not in self.of:
            self.of[key] = self.new(base)
        self.space.setdefault(self.of[key], value)
        return self.of[key]

    def things(self) -> dict[Any, str]:
        """What functions and constants are called, by their keys."""
        return {key: name for key, name in self.of.items() if name in self.space}

    def numpy(self, function: Any) -> str:
        """A function of NumPy's, under its own name."""
        return self.thing(function.__name__.strip("_"), function)


def _key(value: Any) -> Any:
    """What is equal for things that need one name only: of arrays their numbers, of others which they are."""
    if isinstance(value, np.ndarray) and value.size <= _MANY and value.flags.c_contiguous:  # which C relies on
        return value.dtype.str, value.shape, value.tobytes()
    return id(value)


def preamble(space: Mapping[str, Any], source: str) -> str:
    """Where the names come from that the code doesn't make itself; a comment tells of what Python can't be told."""
    used = _words(source)
    constants = [_constant(name, x) for name, x in space.items() if name in used and not callable(x)]
    used |= _words("\n".join(constants))
    imports: dict[str, list[str]] = {}
    rules = []
    for name, function in space.items():
        if name not in used or not callable(function):
            continue
        module, there, rule = _origin(function)
        if module is None:
            rules.append(f"# {name}: {there}")
            continue
        imports.setdefault(module, []).append(name if name == there else f"{there} as {name}")
        if rule:
            rules.append(f"{name} = {name}{rule}  # for all steps at once")
    lines = [f"from {module} import {', '.join(sorted(imports[module]))}" for module in sorted(imports)]
    return "\n".join([*lines, *([""] if rules or constants else []), *rules, *constants])


def _words(source: str) -> set[str]:
    return set(re.findall(r"[^\W\d]\w*", source))


def _origin(function: Any) -> tuple[str | None, str, str]:
    """The module in which Python finds a function, its name there, and which of its functions it is, if not itself."""
    name, module = getattr(function, "__name__", type(function).__name__), getattr(function, "__module__", "")
    if vars(np).get(name) is function:
        return "numpy", name, ""
    there = dict(getattr(sys.modules.get(module), "__dict__", {}))
    if there.get(name) is function:
        return module, name, ""
    for operation, apply in there.items():
        prim = apply.__dict__.get("primitive") if isinstance(apply, types.FunctionType) else None
        if prim is not None and prim.apply is apply:
            if prim.forward is function:  # of arrays, the operation is just that
                return module, operation, ""
            if prim.batch is function:
                return module, operation, ".primitive.batch"
    return None, f"{name.strip('_')} of {module}", ""


def _constant(name: str, x: Any) -> str:
    """The line that makes a constant or a setting."""
    try:
        return f"{name} = {_written(x)}"
    except ValueError:
        if not isinstance(x, np.ndarray):
            return f"# {name}: {x!r}".replace("\n", " ")[:100]
        several = ", ".join(map(repr, sorted(set(x.reshape(-1).tolist()))[:4]))  # np.unique loads numpy.ma
        return f"# {name}: an array of shape {list(x.shape)} and dtype {x.dtype}, of {several}"


def _written(x: Any) -> str:
    """Python that gives x. Raises `ValueError` if it is long, or x is nothing of Python's or NumPy's."""
    if type(x) is float and not math.isfinite(x):
        return f"float('{x}')"
    if x is None or x is Ellipsis or type(x) in (bool, int, float, str) or isinstance(x, np.dtype):
        return repr(x)
    if isinstance(x, np.ndarray):
        return _written_array(x)
    if type(x) is slice:
        return f"slice({_several((x.start, x.stop, x.step))})"
    if type(x) is tuple:
        return f"({_several(x)}{',' if len(x) == 1 else ''})"
    if type(x) is list:
        return f"[{_several(x)}]"
    raise ValueError


def _several(xs: Iterable[Any]) -> str:
    return ", ".join(map(_written, xs))


def _written_array(x: Array) -> str:
    """A short one number by number; a longer one as runs of one number, if they are few."""
    if x.dtype.kind not in "fiub" or x.itemsize > 8 or not x.size:
        raise ValueError
    if x.size <= _SHORT:
        return f"array({_written(x.tolist())}, '{x.dtype}')"
    flat = np.ascontiguousarray(x).reshape(-1)
    bits = flat.view(f"u{x.itemsize}")  # so that 0 isn't -0, and NaN is itself
    starts = [0, *(np.flatnonzero(bits[1:] != bits[:-1]) + 1).tolist()]
    if len(starts) > _RUNS:
        raise ValueError
    lengths = np.diff([*starts, x.size]).tolist()
    runs = " + ".join(f"{_written([v])} * {n}" for v, n in zip(flat[starts].tolist(), lengths, strict=True))
    return f"array({runs}, '{x.dtype}')" + (f".reshape{x.shape}" if x.ndim > 1 else "")
