"""The form of a value, its shape and dtype: that of a result is known before there are numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from ..primitive import Primitive, shape_of
from ..tape import Array
from .step import Operand, Var

__all__ = ["Form", "form", "frozen"]

Form: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]  # a shape and a dtype

_forms: dict[Hashable, Form] = {}


def form(prim: Primitive, args: Sequence[Operand], kwargs: dict[str, Any]) -> Form:
    """That of a result: found out once, by working it out on other numbers."""
    key = (prim, tuple([(a.shape, a.dtype) if hasattr(a, "dtype") else (type(a), repr(a)) for a in args]))
    if kwargs:
        key = (*key, frozen(kwargs))  # type: ignore[assignment]
    known = _forms.get(key)
    if known is None:
        if len(_forms) > 4096:
            _forms.clear()
        known = _forms[key] = _worked_out(prim, args, kwargs)
    return known


def _worked_out(prim: Primitive, args: Sequence[Operand], kwargs: dict[str, Any]) -> Form:
    with np.errstate(all="ignore"):
        if prim.kind == "elementwise":
            small = [_numbers((1,) * len(a.shape), a.dtype) if hasattr(a, "dtype") else a for a in args]
            out = np.asarray(prim.forward(*small, **kwargs))
            return np.broadcast_shapes(*map(shape_of, args)), out.dtype
        out = prim.forward(*[_numbers(a.shape, a.dtype) if isinstance(a, Var) else a for a in args], **kwargs)
    out = np.asarray(out)
    return out.shape, out.dtype


@cache
def _generator() -> np.random.Generator:
    return np.random.default_rng(0)


def _numbers(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Numbers that most functions can take: small, of well-conditioned matrices; zeros for integers."""
    if dtype.kind != "f":
        return np.zeros(shape, dtype)
    small = _generator().uniform(0.1, 0.2, shape)
    if len(shape) >= 2 and shape[-1] == shape[-2]:
        small += shape[-1] * np.eye(shape[-1])
    return small.astype(dtype)


def frozen(x: Any) -> Hashable:
    """A setting as something that can be looked up: equal for equal settings only."""
    if isinstance(x, slice):
        return (slice, x.start, x.stop, x.step)
    if isinstance(x, dict):
        return tuple(zip(x, map(frozen, x.values()), strict=True))
    if isinstance(x, (tuple, list)):
        return (type(x), *map(frozen, x))
    if isinstance(x, np.ndarray):
        return (x.shape, x.dtype, x.tobytes())
    if isinstance(x, (float, int, np.generic)):
        return (type(x), repr(x))
    return x  # type: ignore[no-any-return]
