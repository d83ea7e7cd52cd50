"""A time loop as it was asked for: its cell, carry and inputs, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import asarray, get_default_dtype
from ..ops.creation import argument, flags_checked
from ..tape import Tensor
from ..tree import NestingError, flatten, kind, map_leaves, map_places
from .form import Form

__all__ = ["Loop", "described", "part_names"]


class Loop:
    """carry_t, y_t = cell(carry_{t−1}, x_t) for `length` steps, with `reverse` from the last to the first."""

    def __init__(
        self, cell: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any, length: int | None, reverse: bool
    ) -> None:
        if not callable(cell):
            raise TypeError(f"scan: the cell must be a function of a carry and an input, got {type(cell).__name__}")
        flags_checked("scan", reverse=reverse)
        self.cell, self.code, self.reverse = cell, _code(cell), reverse
        self.carry = map_places(_tensor, carry, "carry")
        self.xs = map_places(_tensor, xs, "xs")
        self.starts, self.nest_carry = flatten(self.carry)
        self.sequences, self.nest_x = flatten(self.xs)
        self.length = self._length(length)
        self.nest_y: Any = None  # y's, once there has been a step, with zeros for leaves
        self.taken = 0  # steps

    def _length(self, length: int | None) -> int:
        if length is not None:
            if not isinstance(length, (int, np.integer)) or isinstance(length, bool):
                raise TypeError(f"scan: length must be a whole number, got {length!r}")
            if length < 0:
                raise ValueError(f"scan: length must not be negative, got {length}")
        lengths = {x.shape[:1] for x in self.sequences}
        if () in lengths or len(lengths) > 1:
            self._refuse_lengths()
        if not lengths:
            if length is None:
                raise ValueError("scan: there are no xs, so length must say how many steps to take")
            return int(length)
        ((steps,),) = lengths
        if length is not None and length != steps:
            raise ValueError(f"scan: length is {length}, but the xs have {steps} steps")
        return int(steps)

    def _refuse_lengths(self) -> None:
        found: dict[str, int] = {}

        def measure(place: str, x: Tensor) -> None:
            if x.shape == ():
                raise ValueError(f"scan: {place} must have a first axis, that of the time steps; got a scalar")
            found[place] = x.shape[0]

        map_places(measure, self.xs, "xs")
        told = ", ".join(f"{place} has {n}" for place, n in found.items())
        raise ValueError(f"scan: the xs must have one number of steps, along their first axes; {told}")

    def order(self) -> range:
        """The steps' indices, in the order in which they are taken."""
        return range(self.length - 1, -1, -1) if self.reverse else range(self.length)

    def forms(self) -> tuple[Form, ...]:
        """The shapes and dtypes of what the cell is given: the carry's leaves, then those of one step's input."""
        carry = [(c.shape, c.dtype) for c in self.starts]
        return (*carry, *[(x.shape[1:], x.dtype) for x in self.sequences])

    def names(self) -> list[str]:
        """What the cell calls them."""
        carry, x = self.parameter_names()
        return part_names(self.carry, carry) + part_names(self.xs, x)

    def x(self, i: int) -> Any:
        """The input of the step with index i."""
        return map_leaves(lambda x: x[i], self.xs)

    def step(self, carry: Any, x: Any) -> tuple[Any, Any]:
        """The cell's next carry and y: tensors, the carry of the same nesting, shapes and dtypes as before."""
        returned = self.cell(carry, x)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(f"scan: the cell must return a pair (carry, y), got {kind(returned)}")
        new, y = returned
        try:
            new = map_places(_renewed, self.carry, "carry", new)
        except NestingError as error:
            raise TypeError(
                "scan: the cell must return a carry that is nested like the one it gets: "
                f"{error.place} is {error.wanted}, but the cell returned {error.got}"
            ) from None
        y = map_places(_tensor, y, "y")
        self._check_nesting(y)
        return new, y

    def _check_nesting(self, y: Any) -> None:
        """That of y is the same in each step."""
        if self.taken:
            try:
                map_places(_no_nest, self.nest_y, "y", y)
            except NestingError as error:
                raise TypeError(
                    f"scan: y must be nested alike in each step; in step {self.order()[self.taken] + 1} "
                    f"{'it' if error.place == 'y' else error.place} is {error.got}, before it was {error.wanted}"
                ) from None
        else:
            self.nest_y = map_leaves(lambda _: 0, y)
        self.taken += 1

    def parameter_names(self) -> tuple[str, str]:
        """What the cell calls its carry and its input."""
        code = self.code
        names = [] if code is None else [n for n in code.co_varnames[: code.co_argcount] if n != "self"]
        return (names[0], names[1]) if len(names) >= 2 else ("h", "x")


def described(cell: Any) -> str:
    """The loop over a cell, and where the cell is written."""
    code = _code(cell)
    name = getattr(cell, "__qualname__", type(cell).__name__)
    return f"the loop over {name}" + (f" ({code.co_filename}:{code.co_firstlineno})" if code else "")


def _code(cell: Any) -> Any:
    """A cell's code, if it is written in Python."""
    function = getattr(cell, "forward", cell)
    return getattr(getattr(function, "__func__", function), "__code__", None)


def _tensor(place: str, x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x
    if type(x) is np.ndarray and x.dtype.kind in "fiub":  # as is usual
        return asarray(x)
    found = argument("scan", place, x)
    made_of_python_numbers = not isinstance(x, (np.ndarray, np.generic))
    return asarray(x, get_default_dtype()) if made_of_python_numbers and found.dtype.kind == "f" else found


def _no_nest(place: str, old: Any, new: Any) -> None:
    if new is None or isinstance(new, (tuple, list, dict)):
        raise NestingError(place, "a tensor", kind(new))


def _renewed(place: str, old: Tensor, new: Any) -> Any:
    _no_nest(place, old, new)
    new = _tensor(place, new)
    if new.shape != old.shape:
        raise ValueError(
            f"scan: {place} must keep its shape from step to step; it goes from {old.shape} to {new.shape}"
        )
    if new.dtype != old.dtype:
        raise TypeError(f"scan: {place} must keep its dtype from step to step; it goes from {old.dtype} to {new.dtype}")
    return new


def part_names(tree: Any, name: str) -> list[str]:
    """What the leaves of a tree are called: by fields or keys, or numbered, if the tree has more than one part."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        parts = [(str(key), part) for key, part in tree.items()]
    elif isinstance(tree, (tuple, list)):
        fields = getattr(tree, "_fields", [f"{name}{i + 1}" for i in range(len(tree))])
        parts = list(zip(fields, tree, strict=True))
    else:
        return [name]
    return [leaf for part, below in parts for leaf in part_names(below, part)]
