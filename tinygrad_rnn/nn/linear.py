"""The affine layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..ops.creation import argument, flags_checked
from ..random import Generator
from ..tape import Tensor
from .arguments import floating, generator, sizes_checked
from .functional import linear
from .init import uniform
from .module import Module

__all__ = ["Linear"]


class Linear(Module):
    """y = x Wᵀ + b: x [..., in_features] gives [..., out_features].

    `weight` [out_features, in_features] and `bias` [out_features] start from U(−1/√in, 1/√in), as PyTorch's.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        rng: Generator | np.random.Generator | int | None = None,
    ) -> None:
        sizes_checked("Linear", in_features=in_features, out_features=out_features)
        flags_checked("Linear", bias=bias)
        dtype, draws, bound = floating("Linear", dtype), generator("Linear", rng).numpy, in_features**-0.5
        self.in_features, self.out_features = in_features, out_features
        self.weight = uniform((out_features, in_features), bound, draws, dtype)
        self.bias = uniform((out_features,), bound, draws, dtype) if bias else None

    def forward(self, input: ArrayLike) -> Tensor:  # noqa: A002 (PyTorch's name)
        """x Wᵀ + b."""
        return linear(argument("Linear", "input", input), self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments, as in PyTorch's `repr`."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
