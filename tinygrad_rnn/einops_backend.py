"""Makes einops work on tensors: `import tinygrad_rnn.einops_backend`, then `einops.rearrange(t, "t b c -> b t c")`.

einops finds its backends among the subclasses of its `AbstractBackend`. This one says how its few steps are done here;
all of them are differentiable. einops is not among what the package needs: `pip install einops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from einops._backends import AbstractBackend

from . import ops
from .tape import Array, Tensor

__all__ = ["TensorBackend"]


class TensorBackend(AbstractBackend):
    """The steps that einops makes, on tensors."""

    framework_name = __package__

    def is_appropriate_type(self, tensor: Any) -> bool:
        """Whether it is one of this package's tensors."""
        return isinstance(tensor, Tensor)

    def is_float_type(self, x: Tensor) -> bool:
        """Whether a mean of it can be taken."""
        return x.dtype.kind == "f"

    def from_numpy(self, x: Array) -> Tensor:
        """A constant."""
        return ops.tensor(x)

    def to_numpy(self, x: Tensor) -> Array:
        """The plain numbers."""
        return np.asarray(x.detach())

    def arange(self, start: int, stop: int) -> Tensor:
        """start, …, stop − 1."""
        return ops.arange(start, stop)

    def reduce(self, x: Tensor, operation: str, axes: Sequence[int]) -> Any:
        """The sum, mean, max, min or prod over some axes; of any and all, an array."""
        return getattr(np, operation)(x, axis=tuple(axes))

    def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
        """The tensors along a new first axis."""
        return ops.stack(tensors)

    def add_axis(self, x: Tensor, new_position: int) -> Tensor:
        """An axis of length 1."""
        return ops.expand_dims(x, new_position)

    def tile(self, x: Tensor, repeats: Sequence[int]) -> Tensor:
        """The whole repeated along its axes; einops only repeats axes of length 1."""
        return ops.broadcast_to(x, [n * r for n, r in zip(x.shape, repeats, strict=True)])

    def concat(self, tensors: list[Tensor], axis: int) -> Tensor:
        """The tensors one after the other along an axis."""
        return ops.concatenate(tensors, axis)

    def einsum(self, pattern: str, *x: Tensor) -> Tensor:
        """Products, summed over the letters that the result doesn't have."""
        return ops.einsum(pattern, *x)
