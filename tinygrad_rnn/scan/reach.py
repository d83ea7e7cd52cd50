"""What is in the reach of a cell: whether anything there could make one step another function than the next.

A cell should be a function of its carry, its input and of tensors that stay what they are. Python can't promise that,
so a cell is run for two steps before it is compiled. What two runs can't show, generators of random numbers and
iterators, is looked for where the cell could get it from: its closure, the globals that it names, its attributes, and
those of what is found there.
"""

from __future__ import annotations

import dis
import functools
import itertools
import operator
import random
import sys
import types
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..tape import Tensor

__all__ = ["Reach", "closed_over"]

_LIMIT = 400  # objects
_SMALL = 100  # numbers of an array
_OURS = __name__.split(".")[0]
_OURS_DOT = f"{_OURS}."
_FAMILIAR = ("numpy", "math", _OURS)  # modules that aren't looked into
_CONTAINERS = (tuple, list, set, frozenset, deque, Mapping)
_PLAIN = frozenset({float, int, str, bytes, bool, type(None), operator.attrgetter, operator.itemgetter})


class Reach:
    """What a cell can get at.

    `settings` are the numbers, tensors and functions there, to be compared with those of another time. Unless
    `is_known`, there is also something whose state can't be told: then the cell has to be run for two steps each time.
    """

    def __init__(self, cell: Any) -> None:
        self.generators: list[Any] = []
        self.draws = False
        self.has_iterator = False
        self.is_known = True
        self._read: list[tuple[Callable[[Any], Sequence[Any]], Any, Sequence[Any]]] = []
        self._settings: list[Any] = []
        self._names: frozenset[str] = frozenset()  # the global names that code there reads
        self._spaces: dict[Any, frozenset[str]] = {}  # modules and classes, and the names that were looked for in each
        self._walk(cell)
        self.settings = tuple(self._settings)

    def _walk(self, cell: Any) -> None:
        """Look at everything there, what is near first."""
        settings, spaces = self._settings, self._spaces
        seen: dict[int, Any] = {}
        waiting = deque([cell])
        while waiting or (left := [s for s, asked in spaces.items() if asked != self._names]):
            if not waiting:
                spaces[left[0]] = self._names
                waiting += self._look(functools.partial(_named, self._names), left[0])
                continue
            x = waiting.popleft()
            kind = type(x)
            if kind is Tensor:
                settings.append(None if x.node is None else x.node.index)
            elif kind in _PLAIN:
                settings.append((kind, repr(x)))
            elif id(x) not in seen:
                seen[id(x)] = x  # what lives has an id of its own
                if len(seen) > _LIMIT:
                    self.is_known = False
                    break
                try:
                    waiting += self._parts_of(x, kind)
                except Exception:  # it can't be looked at
                    self.is_known = False

    def _parts_of(self, x: Any, kind: type) -> Sequence[Any]:
        """Note what an object means for the cell, and give what it refers to."""
        settings = self._settings
        if kind is types.FunctionType:
            return self._parts_of_function(x)
        if isinstance(x, types.ModuleType):
            if str(x.__name__).split(".")[0] not in _FAMILIAR:
                self._spaces.setdefault(x, frozenset())
            return ()
        if isinstance(x, np.ndarray):  # a counter, perhaps; that of a larger one is looked at when it is used
            if x.dtype.kind == "O":
                return self._parts_of_object(x, kind)
            settings.append(self._look(np.ndarray.tobytes, x) if x.size <= _SMALL else None)
        elif isinstance(x, (array, bytearray)):
            settings.append(self._look(bytes, x))
        elif isinstance(x, (np.generic, np.dtype)):
            settings.append((kind, repr(x)))
        elif isinstance(x, Tensor):
            settings.append(None)
        elif isinstance(x, type):
            settings.append(x)
            if not _is_a_library_s(x):
                self._spaces.setdefault(x, frozenset())
        elif isinstance(x, (np.random.Generator, np.random.RandomState, random.Random)):
            self.generators.append(x)
            self.is_known, self.draws = False, True
        elif hasattr(kind, "__next__"):
            self.has_iterator = True
        else:
            return self._parts_of_object(x, kind)
        return ()

    def _parts_of_function(self, x: types.FunctionType) -> Sequence[Any]:
        self._settings.append(x.__code__)
        if hasattr(x, "primitive"):
            return ()
        parts: Sequence[Any] = self._look(_parts, x)
        if not _is_ours(x):
            names = _names(x.__code__)
            self._names, self.draws = self._names | names, self.draws or _can_draw(names)
        return parts

    def _parts_of_object(self, x: Any, kind: type) -> Sequence[Any]:
        self._settings.append(kind)
        if not _is_a_library_s(kind):
            self._spaces.setdefault(kind, frozenset())
        parts: Sequence[Any] = self._look(_parts, x)
        if isinstance(x, (*_CONTAINERS, np.ndarray)):
            self._settings.append(len(x))
            self.is_known &= len(parts) <= _LIMIT
            # Numbers there may be changed by the cell, and not be seen to.
            self.is_known &= isinstance(x, (tuple, frozenset)) or not any(isinstance(p, (float, int)) for p in parts)
        else:
            self.is_known &= bool(parts)
        return parts

    def _look(self, read: Callable[[Any], Sequence[Any]], x: Any) -> Any:
        found = read(x)
        self._read.append((read, x, found))
        return found

    def is_unchanged(self) -> bool:
        """Whether everything there still refers to the very same objects, and arrays hold the same bytes."""
        for read, x, found in self._read:
            try:
                now = read(x)
            except Exception:  # it can't be looked at any more
                return False
            if len(now) != len(found) or not all(map(operator.is_, now, found)):
                return False
        return True

    def random_states(self) -> list[Any]:
        """The states of the generators of random numbers, of Python's and NumPy's own if it could draw from them."""
        if not self.draws:
            return []
        numpys: Any = np.random.get_state(legacy=True)
        states: list[Any] = [random.getstate(), numpys[1].tobytes(), *numpys[2:]]
        for g in self.generators:
            if isinstance(g, np.random.Generator):
                states.append(repr(g.bit_generator.state))
            else:
                states.append(_state_of(g))
        return states


def _state_of(g: Any) -> Any:
    try:
        return g.getstate() if isinstance(g, random.Random) else repr(g.get_state(legacy=False))
    except NotImplementedError:  # the system's has none that could be told: it is always another
        return object()


def _is_a_library_s(kind: type) -> bool:
    """Whether a class is Python's, NumPy's or this package's, which keep no state in their classes."""
    module = str(kind.__module__).split(".")[0]
    return module in _FAMILIAR or module in sys.stdlib_module_names


def _parts(x: Any) -> Sequence[Any]:
    """What an object refers to; of a function of this package, its closure only."""
    parts: list[Any]
    if isinstance(x, types.FunctionType):
        parts = closed_over(x) if x.__closure__ else []
        parts += vars(x).values()
        if not _is_ours(x):
            parts += x.__defaults__ or ()
            parts += (x.__kwdefaults__ or {}).values()
            parts += _named(_names(x.__code__), x)
        return parts
    if isinstance(x, types.MethodType):
        return (x.__self__, x.__func__)
    if isinstance(x, functools.partial):
        return (x.func, *x.args, *x.keywords.values())
    if isinstance(x, types.BuiltinFunctionType):
        return (x.__self__,)
    if isinstance(x, ContextVar):
        return (x.get(None),)
    if isinstance(x, weakref.ref):
        return (x(),)
    kind: Any = type(x)
    contents: Iterable[Any] = ()
    if isinstance(x, Mapping):
        contents = x.values()
    elif isinstance(x, _CONTAINERS):
        contents = x
    elif isinstance(x, np.ndarray):
        contents = x.flat
    parts = list(itertools.islice(contents, _LIMIT + 1))
    parts += [f for f in (kind.__call__, getattr(kind, "forward", None)) if isinstance(f, types.FunctionType)]
    parts += _attributes(x).values()
    parts += [object.__getattribute__(x, name) for name in _slots(kind) if _has(x, name)]
    return parts


def _attributes(x: Any) -> dict[str, Any]:
    """An object's own, whatever its `__getattr__` would say."""
    found: dict[str, Any] = object.__getattribute__(x, "__dict__") if _has(x, "__dict__") else {}
    return found


def _has(x: Any, name: str) -> bool:
    try:
        object.__getattribute__(x, name)
    except AttributeError:
        return False
    return True


@functools.lru_cache(1000)
def _slots(kind: Any) -> tuple[str, ...]:
    """The names of a class's slots, private ones as Python has them."""
    names: list[str] = []
    for base in kind.__mro__:
        own = vars(base).get("__slots__", ())
        for name in (own,) if isinstance(own, str) else own:
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return tuple(names)


def _is_ours(function: types.FunctionType) -> bool:
    return str(function.__module__).startswith(_OURS_DOT)


@functools.lru_cache(1000)
def _names(code: types.CodeType) -> frozenset[str]:
    """The names that code reads, the strings that may be some, and those of functions and comprehensions in it."""
    inner = [_names(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    strings = [c for c in code.co_consts if isinstance(c, str) and c.isidentifier()]
    return frozenset([*code.co_names, *strings]).union(*inner)


@functools.lru_cache(1000)
def _imports(code: types.CodeType) -> tuple[str, ...]:
    """The modules that code imports itself."""
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in _imports(c)]
    return (*(i.argval for i in dis.get_instructions(code) if i.opname == "IMPORT_NAME"), *inner)


@functools.lru_cache(1000)
def _can_draw(names: frozenset[str]) -> bool:
    """Whether code with these names may draw from Python's or NumPy's own random generator."""
    return any(name.startswith("rand") for name in names)


def _named(names: frozenset[str], x: types.ModuleType | types.FunctionType | type) -> list[Any]:
    """What the names mean in a module, in a class or to a function; a class's special methods need no name."""
    if isinstance(x, type):
        shared = [(n, v) for base in x.__mro__ if not _is_a_library_s(base) for n, v in vars(base).items()]
        return [_function_of(v) for n, v in shared if (n in names or _is_special(n, v)) and not _is_field(v)]
    if isinstance(x, types.FunctionType):
        imported = [sys.modules[m] for m in _imports(x.__code__) if m in sys.modules]
        return [*imported, *(x.__globals__[n] for n in names if n in x.__globals__)]
    return [vars(x)[n] for n in names if n in vars(x)]


def _is_special(name: str, v: Any) -> bool:
    """Whether it is a method that operators and the like call, which may run in a step."""
    return name.startswith("__") and isinstance(v, types.FunctionType) and name not in _OUTSIDE


_OUTSIDE = frozenset(
    ["__init__", "__new__", "__post_init__", "__init_subclass__", "__del__", "__repr__", "__str__", "__reduce__"]
)


def _is_field(v: Any) -> bool:
    """Whether it is what a slot, or a field of a named tuple, is to the class: its values are the instances'."""
    kind = type(v)
    return hasattr(kind, "__set__") and kind is not property and kind.__module__ in ("builtins", "_collections")


def _function_of(v: Any) -> Any:
    """The function of a method or a property."""
    return getattr(v, "__func__", None) or getattr(v, "fget", None) or v


def closed_over(function: types.FunctionType) -> list[Any]:
    """The values of the variables around a function that it reads; `None` for one that isn't set yet."""
    contents = []
    for c in function.__closure__ or ():
        try:
            contents.append(c.cell_contents)
        except ValueError:
            contents.append(None)
    return contents
