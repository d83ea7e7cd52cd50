"""Initial values of parameters."""

from __future__ import annotations

import numpy as np

from ..ops import get_default_dtype, tensor
from ..tape import Tensor

__all__ = ["uniform"]


def uniform(
    shape: tuple[int, ...], bound: float, rng: np.random.Generator, dtype: np.typing.DTypeLike | None = None
) -> Tensor:
    """A parameter drawn from U(−bound, bound), in the default dtype unless one is given."""
    return tensor(rng.uniform(-bound, bound, shape), dtype=dtype or get_default_dtype(), requires_grad=True)
