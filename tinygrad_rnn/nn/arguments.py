"""What layers and cells ask of their arguments, besides what the operations do."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..ops import get_default_dtype
from ..ops.creation import _floating
from ..random import Generator, default_rng

__all__ = ["floating", "generator", "probability", "sizes_checked"]


def sizes_checked(what: str, **sizes: int) -> None:
    """Raise `ValueError` for a size that is not a positive whole number."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{what}: {name} must be a positive whole number, got {size!r}")


def probability(what: str, name: str, p: Any) -> float:
    """A number in 0 … 1. Raises `ValueError` for all else."""
    if not isinstance(p, Real) or isinstance(p, bool) or not 0 <= float(p) <= 1:
        raise ValueError(f"{what}: {name} must be a number in 0 … 1, got {p!r}")
    return float(p)


def generator(what: str, rng: Any) -> Generator:
    """The generator that `rng` is or seeds. Raises `TypeError` or `ValueError` for what is neither."""
    try:
        return default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{what}: rng must be a seed (a whole number from 0 on) or a generator, got {rng!r}"
        ) from None


def floating(what: str, dtype: DTypeLike | None) -> np.dtype[Any]:
    """The dtype of a layer's parameters, the default one if none is given."""
    return get_default_dtype() if dtype is None else _floating(what, dtype)
