"""The cotangents of a loop's results as one value, which the walk back adds up like any others."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["NO_VALUE", "Cotangents"]

NO_VALUE = np.empty(0)  # what a node has whose results are nodes of their own


class Cotangents(np.ndarray):
    """The cotangents of several results, some of which may be missing: an empty array that carries them."""

    parts: dict[int, Any]  # by the result's number

    @classmethod
    def of(cls, parts: dict[int, Any]) -> Cotangents:
        """The array that carries these."""
        made = NO_VALUE.view(cls)
        made.parts = parts
        return made

    def __add__(self, other: Any) -> Any:
        parts = dict(self.parts)
        for k, ct in other.parts.items():
            parts[k] = parts[k] + ct if k in parts else ct
        return Cotangents.of(parts)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """Itself: each part has a dtype of its own."""
        return self

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """⟨x, x⟩, for the norm, is that of all that it carries."""
        if function is np.vdot:
            return sum(np.vdot(part, part) for part in self.parts.values())
        return super().__array_function__(function, types, args, kwargs)
