"""`scan`: the time loop, compiled or unrolled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..ops.creation import flags_checked
from ..tape import Lifted
from ..watch import watchers
from .capture import capture
from .compiled import compiled
from .errors import UntraceableError
from .loop import Loop
from .no_steps import no_steps
from .unrolled import unrolled

__all__ = ["scan"]


def scan(
    cell: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    xs: Any,
    length: int | None = None,
    reverse: bool = False,
    unroll: bool = False,
    checkpoint: int | Literal["sqrt"] | None = None,
) -> tuple[Any, Any]:
    """carry_t, y_t = cell(carry_{t−1}, x_t) for t = 1 … T. Returns carry_T and the ys, stacked along a new first axis.

    The cell is written as one step, in tensor operations; the gradient by the carry, the xs and whatever else it reads
    is BPTT. The loop is compiled: what needn't be done step by step is done before and after it, for all steps at once,
    and so is its backward (docs/time_loop.md). The results are those of the loop step by step, to a few units in the
    last place.

    Args:
        cell: a function or module `(carry, x) -> (carry, y)`. The carry it returns is nested as the one it gets, with
            the same shapes and dtypes. It must do the same in each step: draw random masks outside and give them as xs.
        carry: the carry before the first step: a tensor, or nested tuples, lists and dictionaries of them.
        xs: the inputs, nested likewise, each with a first axis of T steps; `None` if there are none.
        length: T, for a loop without xs. A loop of no steps gives the carry back, and gradients of zero.
        reverse: go from the last step to the first; y_t still belongs to x_t.
        unroll: put each step's operations on the tape one by one, to be drawn, explained and watched.
        checkpoint: keep the carry of every k-th step only (k rounded up to whole blocks of steps; √T for "sqrt") and
            run the steps between once more in the backward: memory for T/k + k steps instead of T, and gradients that
            are the same to the last bit. An unrolled loop keeps everything all the same.

    A cell that reads numbers of its tensors, has side effects or draws random numbers is run step by step, as with
    `unroll`; so is a loop inside `vmap` or forward mode. `scan_program` tells. Second derivatives go through the
    unrolled loop.

    Raises `TypeError` or `ValueError` for a cell that returns no pair or changes the carry's nesting, shapes or dtypes,
    or y's nesting or shapes, and for xs without a first axis in common.

    >>> import tinygrad_rnn as tg
    >>> def cell(h, x):
    ...     h = tg.tanh(0.5 * h + x)
    ...     return h, h
    >>> h, ys = tg.scan(cell, 0.0, tg.tensor([1.0, 0.0, 0.0]))
    >>> ys
    tensor([0.76159416, 0.36339948, 0.17972621])
    """
    flags_checked("scan", unroll=unroll)
    loop = Loop(cell, carry, xs, length, reverse)
    every = _checkpoint(checkpoint, loop.length)
    if loop.length == 0:
        return no_steps(loop)
    if unroll or why_unrolled(loop) is not None:
        return unrolled(loop)
    captured = capture(loop)
    if captured.reason is None:
        try:
            return compiled(loop, captured.step, every)
        except UntraceableError:
            pass
    return unrolled(loop, captured.done)


def _checkpoint(checkpoint: int | str | None, length: int) -> int | None:
    """After how many steps the carry is kept."""
    if checkpoint is None:
        return None
    if checkpoint == "sqrt":
        return max(1, math.isqrt(length))
    if isinstance(checkpoint, str):
        raise ValueError(f"scan: checkpoint must be a number of steps or 'sqrt', got {checkpoint!r}")
    if not isinstance(checkpoint, (int, np.integer)) or isinstance(checkpoint, bool):
        raise TypeError(f"scan: checkpoint must be a number of steps or 'sqrt', got {checkpoint!r}")
    if checkpoint < 1:
        raise ValueError(f"scan: checkpoint must be at least one step, got {checkpoint!r}")
    return int(checkpoint)


def why_unrolled(loop: Loop) -> str | None:
    """Why a loop isn't even captured."""
    if loop.length == 0:
        return "there are no steps"
    if loop.length == 1:
        return "one step is no loop"
    if watchers.get():
        return "somebody watches every operation"
    if any(isinstance(t, Lifted) for t in (*loop.starts, *loop.sequences)):
        return "its arguments carry tangents, stand for many examples, or are of a loop around it"
    return None
