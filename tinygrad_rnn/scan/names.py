"""What the values, functions and constants of a program are called in its code."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np

from .step import Var

__all__ = ["WORDS", "Names", "preamble"]

WORDS = {1.0: "one", -1.0: "minus_one", 0.5: "half", 2.0: "two", 0.0: "zero", -0.5: "minus_half"}
_VIEWS = {"transpose": "first"}  # slots, that is
_BUILTINS = frozenset(dir(builtins))


class Names:
    """What values are called, and what the code finds under these names."""

    def __init__(self) -> None:
        self.of: dict[Any, str] = {}
        self.taken: set[str] = {"n", "t", "block", *_BUILTINS}
        self.space: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

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
        key = id(value) if key is None else key
        if key not in self.of:
            name = self.of[key] = self.new(base)
            self.space[name] = value
        return self.of[key]

    def numpy(self, function: Any) -> str:
        """A function of NumPy's, under its own name."""
        return self.thing(function.__name__.strip("_"), function)


def preamble(space: Mapping[str, Any], source: str) -> str:
    """Where the names come from that the code doesn't make itself."""
    used = set(re.findall(r"[^\W\d]\w*", source))
    read = {name: value for name, value in space.items() if name in used}
    numpys = sorted(name for name, value in read.items() if value is getattr(np, name, None))
    lines = [f"from numpy import {', '.join(numpys)}"] if numpys else []
    for name, value in read.items():
        if isinstance(value, np.ndarray) and value.ndim == 0:
            lines.append(f"{name} = array({value.item()!r}, {value.dtype})")
        elif isinstance(value, np.ndarray):
            several = ", ".join(map(repr, sorted(set(value.reshape(-1).tolist()))[:4]))  # np.unique loads numpy.ma
            lines.append(f"# {name}: an array of shape {list(value.shape)} and dtype {value.dtype}, of {several}")
        elif name.endswith("_all"):
            lines.append(f"# {name}: {name.removesuffix('_all')} for all steps at once, by its batching rule")
        elif not callable(value):
            lines.append(f"# {name}: {value!r}"[:100])
        elif name not in numpys:
            lines.append(f"# {name}: {value.__name__.strip('_')} of {value.__module__}")
    return "\n".join(lines)
