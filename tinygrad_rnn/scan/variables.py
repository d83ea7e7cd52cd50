"""What a cell's own code calls the values of its step: its programs call them so too."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..tape import Tensor
from ..tree import leaves
from .loop import Loop, part_names
from .reach import closed_over
from .step import Equation, Operand, Var
from .trace import Traced

__all__ = ["name_inputs", "name_results", "named_after_variables"]

_MANY = 1000  # parts of a list or dictionary: they aren't looked through for tensors with a name


@contextlib.contextmanager
def named_after_variables(code: Any) -> Iterator[None]:
    """Within this context, what a function with this code computes is called as its variables are."""
    before = sys.getprofile()

    def look(frame: types.FrameType, event: str, arg: Any) -> None:
        if event == "return" and frame.f_code is code:
            for name, value in frame.f_locals.items():
                if isinstance(value, Traced) and name.strip("_"):
                    value.name = name

    if before is None and code is not None:
        sys.setprofile(look)
    try:
        yield
    finally:
        if before is None:
            sys.setprofile(None)


def name_inputs(loop: Loop, inputs: Sequence[Var], new_carry: Sequence[Operand], outer: Mapping[int, Var]) -> None:
    """Name what a step is given.

    Carries and xs are called after the cell's variables, or else after its parameters; the parts of a tuple that have
    no variable of their own any more, after the new values that take their place.

    Args:
        loop: what the step is of.
        inputs: its carries and xs.
        new_carry: the carries after the step.
        outer: what the step reads from outside, by the ids of nodes or arrays; what has a name keeps it.
    """
    parameters = loop.parameter_names()
    for k, (v, name) in enumerate(zip(inputs, loop.names(), strict=True)):
        new = new_carry[k] if k < len(new_carry) else None
        if name in parameters:
            v.name = name
        elif v.name is None:
            v.name = name
            if isinstance(new, Var) and new.equation is not None and name[-1].isdigit():
                v.name = new.name or name
    with contextlib.suppress(Exception):  # of objects that can't be looked at; it is only about names
        for name, x in _around(loop.cell):
            known = outer.get(id(x.value if x.node is None else x.node) if isinstance(x, Tensor) else id(x))
            if known is not None and known.name is None:
                known.name = name


def name_results(equations: Sequence[Equation], carry: Sequence[Var], new_carry: Sequence[Operand]) -> None:
    """Name those results that have no variable: σ of f is sigmoid_f, a new h that is returned at once is h."""
    for e in equations:
        source = e.inputs[0] if e.inputs else None
        if e.out.name is None and source is not None and len(e.args) == 1 and e.prim.kind == "elementwise":
            e.out.name = source.name and f"{e.prim.name}_{source.name}"
    for old, new in zip(carry, new_carry, strict=True):
        if isinstance(new, Var) and new.name is None and new.equation is not None:
            new.name = old.name


def _around(cell: Any) -> Iterator[tuple[str, Tensor | np.ndarray[Any, Any]]]:
    """The tensors and arrays that a cell's code can name: in variables around it, globals, attributes."""
    method = getattr(cell, "forward", cell)
    function = getattr(method, "__func__", method)
    owner = getattr(method, "__self__", None if function is cell else cell)
    spaces: list[tuple[str, Any]] = list(getattr(owner, "__dict__", {}).items())
    if isinstance(function, types.FunctionType):
        spaces += zip(function.__code__.co_freevars, closed_over(function), strict=True)
        used = function.__code__.co_names
        spaces += [(name, function.__globals__[name]) for name in used if name in function.__globals__]
    for name, value in spaces:
        if isinstance(value, (Tensor, np.ndarray)):
            yield name, value
        elif isinstance(value, (tuple, list, dict)) and len(value) <= _MANY:
            for part, x in zip(part_names(value, name), leaves(value), strict=True):
                if isinstance(x, (Tensor, np.ndarray)):
                    yield part, x
        elif not isinstance(value, type) and hasattr(type(value), "named_parameters"):
            yield from ((part.replace(".", "_"), x) for part, x in value.named_parameters())
