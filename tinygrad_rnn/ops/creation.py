"""Making tensors from numbers, lists and arrays; the default dtype."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..tape import Array, Node, Tensor

__all__ = ["asarray", "default_dtype", "get_default_dtype", "set_default_dtype", "tensor"]

_FLOAT64 = np.dtype(np.float64)
_default: ContextVar[np.dtype[Any]] = ContextVar("default_dtype", default=_FLOAT64)


def get_default_dtype() -> np.dtype[Any]:
    """The floating-point type of tensors made from Python numbers, and of layers' parameters."""
    return _default.get()


def set_default_dtype(dtype: DTypeLike) -> None:
    """Make `dtype` (a floating-point type) the default from here on, in this thread or task."""
    _default.set(_floating("set_default_dtype", dtype))


@contextmanager
def default_dtype(dtype: DTypeLike) -> Iterator[None]:
    """`dtype` is the default inside this context.

    >>> with default_dtype(np.float32):
    ...     tensor([1.0, 2.0]).dtype
    dtype('float32')
    """
    token = _default.set(_floating("default_dtype", dtype))
    try:
        yield
    finally:
        _default.reset(token)


def _floating(what: str, dtype: DTypeLike) -> np.dtype[Any]:
    found = np.dtype(dtype)
    if found.kind != "f":
        raise TypeError(f"{what}: want a floating-point dtype, got {found}")
    return found


def tensor(
    data: ArrayLike | Tensor, dtype: DTypeLike | None = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """A new tensor that holds a copy of `data`.

    Args:
        data: numbers, nested lists, an array or a tensor. Arrays keep their dtype; Python floats take the default
            dtype.
        dtype: the type to convert to.
        requires_grad: whether `backward` should fill in `grad`; floating-point tensors only.
        name: what pictures and errors call it.

    >>> tensor([1.0, 2.0], requires_grad=True, name="w")
    tensor([1., 2.], name='w', requires_grad=True)
    """
    return _leaf("tensor", np.array(_as_array("tensor", data, dtype)), requires_grad, name)


def asarray(
    data: ArrayLike | Tensor, dtype: DTypeLike | None = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """A tensor that shares memory with `data` where that is an array of the right dtype; else as `tensor`.

    A tensor that comes in goes out as it is, unless something is asked of it.
    """
    if isinstance(data, Tensor) and dtype in (None, data.dtype) and not requires_grad and name is None:
        return data
    return _leaf("asarray", _as_array("asarray", data, dtype), requires_grad, name)


def _as_array(what: str, data: ArrayLike | Tensor, dtype: DTypeLike | None) -> Array:
    if isinstance(data, Tensor):
        if data.requires_grad or type(data) is not Tensor:  # recorded, or carrying a tangent
            raise TypeError(f"{what}: this tensor needs a gradient, which a new leaf would drop; detach() it first")
        data = data.value
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{what}: the data is not a regular array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what}: want real numbers, got dtype {array.dtype}")
    if dtype is None:
        made_of_python_numbers = not isinstance(data, (np.ndarray, np.generic))
        dtype = _default.get() if made_of_python_numbers and array.dtype == np.float64 else array.dtype
    if np.dtype(dtype).kind not in "fiub":
        raise TypeError(f"{what}: want a real number type, got dtype {np.dtype(dtype)}")
    return array.astype(dtype, copy=False)


def _leaf(what: str, array: Array, requires_grad: bool, name: str | None) -> Tensor:
    if requires_grad and array.dtype.kind != "f":
        raise TypeError(
            f"{what}: requires_grad=True wants a floating-point tensor, got dtype {array.dtype}; "
            "pass dtype=float, or write the numbers with a point"
        )
    node = Node(array, True) if requires_grad else None
    made = Tensor(array, node)
    if name is not None:
        made.name = name
    return made
