"""Initial values of parameters."""

from __future__ import annotations

import numpy as np

from ..ops import tensor
from ..tape import Tensor

__all__ = ["uniform"]


def uniform(shape: tuple[int, ...], bound: float, rng: np.random.Generator, dtype: np.typing.DTypeLike) -> Tensor:
    """A parameter drawn from U(−bound, bound)."""
    return tensor(rng.uniform(-bound, bound, shape), dtype=dtype, requires_grad=True)
