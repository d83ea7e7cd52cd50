"""What the training steps have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .layout import Columns, Rows
from .output import Inputs, Output

__all__ = ["BLOCK", "Array", "Step", "fitting"]

Array = np.ndarray[Any, np.dtype[Any]]
BLOCK = 32  # time steps whose factors are worked out together, in the processor's cache


def fitting(B: int, H: int, gates: int) -> type[Rows] | type[Columns]:
    """The better layout for these sizes, as measured: columns pay for large products only."""
    return Columns if B * H * H * gates > 2e7 else Rows


class Step:
    """A training step as an object: it owns the buffers, and a call gives L and leaves `gradients`."""

    blocks: ClassVar[int]  # of H rows in the weights

    def __init__(
        self,
        weights: dict[str, Array],
        xs: Array,
        labels: Array,
        layout: type[Rows] | type[Columns] | None = None,
    ) -> None:
        T, B, _ = xs.shape
        H = weights["weight_hh"].shape[1]
        self.weights, self.inputs = weights, Inputs(xs)
        self.layout = (layout or fitting(B, H, self.blocks))(T, B, H, xs.dtype)
        self.output = Output(weights["W_out"], weights["b_out"], labels)
        self.gradients: dict[str, Array] = {}
        self.half, self.one = (np.array(v, xs.dtype) for v in (0.5, 1))
        self.prepare(T, H, xs.dtype)

    def prepare(self, T: int, H: int, dtype: Any) -> None:
        """Make the buffers and the views of them."""
        raise NotImplementedError
