"""The time loop, unrolled: every step's nodes go on the tape, to be drawn, explained and differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..ops import asarray, stack
from ..scope import scope
from ..tape import Tensor

__all__ = ["unroll"]

Carry = TypeVar("Carry")


def unroll(
    cell: Callable[[Carry, Any], tuple[Carry, Any]], carry: Carry, xs: Any, *, output: str = "y"
) -> tuple[Carry, Any]:
    """carry_t, y_t = cell(carry_{t−1}, x_t) for t = 1 … T; returns carry_T and the y's, stacked along a new first axis.

    Args:
        cell: a function or module of a carry and an input, in tensor operations.
        carry: the carry before the first step: a tensor, or a tuple (or named tuple) of them.
        xs: the inputs, stacked along the first axis: an array or tensor, or a (named) tuple of them, all of one length.
        output: what pictures call a y that has no name yet.

    In pictures, the cell's own parameter names are the names of the carry and the input: a cell `(h, x)` makes h_1,
    x_1, h_2, …; the parts of a named tuple go by their fields' names. Step t's nodes are in the scope t. Raises
    `ValueError` for no steps or unequal lengths, `TypeError` if the cell returns no pair.
    """
    sequences = tuple(asarray(x) for x in xs) if isinstance(xs, tuple) else (asarray(xs),)
    lengths = [len(s) if s.shape else 0 for s in sequences]
    if not lengths or min(lengths) == 0 or min(lengths) != max(lengths):
        shapes = ", ".join(str(s.shape) for s in sequences)
        raise ValueError(f"unroll: xs must have one first axis in common, of at least one step; got shapes {shapes}")
    carry_name, x_name = _parameter_names(cell)
    _name(carry, carry_name, 0)
    ys = []
    with scope() as here:
        for t in range(1, lengths[0] + 1):
            here.at(step=t)
            parts = tuple([s[t - 1] for s in sequences])
            x = parts[0] if not isinstance(xs, tuple) else type(xs)(*parts) if hasattr(xs, "_fields") else parts
            _name(x, x_name, t)
            returned = cell(carry, x)
            if not isinstance(returned, tuple) or len(returned) != 2:
                got = type(returned).__name__
                raise TypeError(f"unroll: the cell must return a pair (carry, y), got {got} at step {t}")
            carry, y = returned
            _name(carry, carry_name, t)
            _name(y, output, t)
            ys.append(y)
    return carry, _stacked(ys)


def _stacked(ys: Sequence[Any]) -> Any:
    if isinstance(ys[0], tuple):
        return tuple(_stacked(column) for column in zip(*ys, strict=True))
    return None if ys[0] is None else stack(ys)


def _parameter_names(cell: Callable[..., Any]) -> tuple[str, str]:
    """What the cell calls its carry and its input."""
    function = getattr(cell, "forward", cell)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    names = [] if code is None else [n for n in code.co_varnames[: code.co_argcount] if n != "self"]
    return (names[0], names[1]) if len(names) >= 2 else ("h", "x")


def _name(tree: Any, name: str, t: int) -> None:
    """Call a tensor name_t, unless it has a name; the parts of a tuple by their fields, or numbered."""
    if isinstance(tree, Tensor):
        if tree.name is None:
            tree.name = f"{name}_{t}"
    elif isinstance(tree, tuple):
        names = getattr(tree, "_fields", [f"{name}{i + 1}" for i in range(len(tree))])
        for part, part_name in zip(tree, names, strict=True):
            _name(part, part_name, t)
