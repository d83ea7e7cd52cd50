"""What is in the reach of a cell: whether anything there could make one step another function than the next.

A cell should be a function of its carry, its input and of tensors that stay what they are. Python can't promise that,
so a cell is run for two steps before it is compiled. What two runs can't show, generators of random numbers and
iterators, is looked for where the cell could get it from: its closure, the globals that it names, its attributes, and
those of what is found there.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import random
import types
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from ..tape import Lifted, Tensor

__all__ = ["Reach"]

_LIMIT = 400  # objects
_SMALL = 100  # numbers of an array
_OURS = __name__.split(".")[0]
_PLAIN = (float, int, str, bytes, bool, type(None), np.generic, np.dtype, operator.attrgetter, operator.itemgetter)


class Reach:
    """What a cell can get at.

    `settings` are the numbers, tensors and functions there, to be compared with those of another time. Unless
    `is_known`, there is also something whose state can't be told: then the cell has to be run for two steps each time.
    """

    def __init__(self, cell: Any) -> None:
        self.generators: list[Any] = []
        self.draws = True
        self.has_iterator = False
        settings: list[Hashable] = []
        known = True
        seen: set[int] = set()
        names: set[str] = set()
        modules: list[types.ModuleType] = []
        waiting = [cell]
        while waiting or modules:
            if not waiting:  # what of a module the code could have named
                module = modules.pop()
                if id(module) not in seen and module.__name__.split(".")[0] not in ("numpy", "math", _OURS):
                    seen.add(id(module))
                    waiting += [vars(module)[n] for n in names if n in vars(module)]
                continue
            x = waiting.pop()
            if isinstance(x, Tensor):
                node = None if isinstance(x, Lifted) else x.node
                settings.append(None if node is None else node.index)
                continue
            if isinstance(x, np.ndarray):  # a counter, perhaps; that of a larger one is looked at when it is used
                settings.append(x.tobytes() if x.size <= _SMALL and x.dtype.kind != "O" else None)
                continue
            if isinstance(x, types.ModuleType):
                modules.append(x)
                continue
            if isinstance(x, _PLAIN):
                settings.append((type(x), repr(x)))
                continue
            if id(x) in seen:
                continue
            seen.add(id(x))
            settings.append(x.__code__ if isinstance(x, types.FunctionType) else x if isinstance(x, type) else type(x))
            if len(seen) > _LIMIT:
                known = False
                break
            if isinstance(x, (np.random.Generator, np.random.RandomState, random.Random)):
                self.generators.append(x)
                known = False
            elif isinstance(x, type) or hasattr(x, "primitive"):
                continue
            elif isinstance(x, types.FunctionType) and (x.__module__ or "").split(".")[0] == _OURS:
                waiting += _contents(x)
            elif hasattr(x, "__next__"):
                self.has_iterator = True
            else:
                if isinstance(x, types.FunctionType):
                    names |= _names(x.__code__)
                parts = list(_parts(x))
                waiting += parts
                known = known and (bool(parts) or isinstance(x, (tuple, list, dict, types.FunctionType)))
                if isinstance(x, (list, dict, set)):  # may be changed by the cell, and not be seen to
                    known = known and not any(isinstance(p, (float, int)) for p in parts)
        self.settings = tuple(settings)
        self.is_known = known
        self.draws = bool(self.generators) or any(name.startswith("rand") for name in names)

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
                states.append(g.getstate() if isinstance(g, random.Random) else repr(g.get_state(legacy=False)))
        return states


def _parts(x: Any) -> Iterator[Any]:
    """What an object refers to."""
    if isinstance(x, (tuple, list, set, frozenset)):
        yield from x
    elif isinstance(x, dict):
        yield from x.values()
    elif isinstance(x, types.MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, functools.partial):
        yield from (x.func, *x.args, *x.keywords.values())
    elif isinstance(x, types.BuiltinFunctionType):
        yield x.__self__
    elif isinstance(x, types.FunctionType):
        yield from _contents(x)
        yield from x.__defaults__ or ()
        yield from (x.__kwdefaults__ or {}).values()
        yield from (x.__globals__[n] for n in _names(x.__code__) if n in x.__globals__)
    else:
        yield from (
            f for f in (type(x).__call__, getattr(type(x), "forward", None)) if isinstance(f, types.FunctionType)
        )
        yield from getattr(x, "__dict__", {}).values()
        for name in getattr(type(x), "__slots__", ()):
            yield getattr(x, name, None)


def _names(code: types.CodeType) -> set[str]:
    """The global names that code reads, and the code of functions and comprehensions in it."""
    return set(code.co_names).union(*[_names(c) for c in code.co_consts if isinstance(c, types.CodeType)])


def _contents(function: types.FunctionType) -> list[Any]:
    contents = []
    for c in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not yet set
            contents.append(c.cell_contents)
    return contents
