"""The affine layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..tape import Tensor
from .functional import linear
from .init import uniform
from .module import Module

__all__ = ["Linear", "sizes_checked"]


def sizes_checked(what: str, **sizes: int) -> None:
    """Raise `ValueError` for a size that is not a positive whole number."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{what}: {name} must be a positive whole number, got {size!r}")


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
        rng: np.random.Generator | int | None = None,
    ) -> None:
        sizes_checked("Linear", in_features=in_features, out_features=out_features)
        rng = np.random.default_rng(rng)
        bound = in_features**-0.5
        self.in_features, self.out_features = in_features, out_features
        self.weight = uniform((out_features, in_features), bound, rng, dtype)
        self.bias = uniform((out_features,), bound, rng, dtype) if bias else None

    def forward(self, x: ArrayLike) -> Tensor:
        """x Wᵀ + b."""
        return linear(x, self.weight, self.bias)
