"""What one step of a loop computes, as data: values and the equations between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..primitive import Primitive

__all__ = ["Equation", "Operand", "Step", "Var", "is_float"]


class Var:
    """A value of which there is one in each step (or one for all): its shape and dtype, no numbers."""

    __slots__ = ("dtype", "equation", "name", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], name: str | None = None) -> None:
        self.shape, self.dtype, self.name = shape, dtype, name
        self.equation: Equation | None = None  # what computes it; None for an input

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"{self.name or 'var'}{list(self.shape)}"


Operand = Any  # a Var, a Python number, or a constant array


class Equation:
    """out = prim(*args, **kwargs). Those of its arguments that are values of the step are its `inputs`."""

    __slots__ = ("_inputs", "args", "kwargs", "out", "prim")

    def __init__(self, prim: Primitive, args: tuple[Operand, ...], kwargs: dict[str, Any], out: Var) -> None:
        self.prim, self.args, self.kwargs, self.out = prim, args, kwargs, out
        self._inputs: tuple[Var, ...] | None = None  # most equations of a capture are never asked

    @property
    def inputs(self) -> tuple[Var, ...]:
        """Its arguments that are values of the step."""
        if self._inputs is None:
            self._inputs = tuple([a for a in self.args if isinstance(a, Var)])
        return self._inputs


@dataclass(eq=False, repr=False)
class Step:
    """One step of a loop: (carry, x, constants) ↦ (new carry, ys, what is added up over all steps)."""

    carry: list[Var]
    xs: list[Var]
    constants: list[Var]
    equations: list[Equation]
    new_carry: list[Operand]
    ys: list[Operand]
    sums: list[list[Operand]]  # for each total its terms

    def outputs(self) -> list[Operand]:
        """All that the step is computed for."""
        return [*self.new_carry, *self.ys, *(v for terms in self.sums for v in terms)]


def is_float(x: Any) -> bool:
    """Whether a value could have a gradient."""
    return bool(x.dtype.kind == "f")
