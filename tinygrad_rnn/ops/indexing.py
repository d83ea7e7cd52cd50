"""Reading parts of an array. Reading is linear, and its transpose is adding into zeros: repeated indices add up.

Many readings of one array (`x[t]` in a loop) are pooled: their cotangents land in one array, so T readings cost one
array, not T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive, shape_of
from ..tape import Tensor
from .shapes import _axis

__all__ = ["getitem", "unstack"]


def _is_basic(index: Any) -> bool:
    if type(index) is int:
        return True
    parts = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or isinstance(i, (int, slice, np.integer)) for i in parts)


@primitive("linear", lambda ct, indices: tuple(ct[index] for index in indices))
def _scatter(*cts: ArrayLike, indices: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, with each of `cts` added in at its index: the transpose of reading at those indices."""
    total = np.zeros(shape, np.result_type(*cts))
    for ct, index in zip(cts, indices, strict=True):
        if _is_basic(index):
            total[index] += ct
        else:
            np.add.at(total, index, ct)
    return total


@primitive(
    "linear",
    [lambda ct, index, x_shape: _scatter(ct, indices=(index,), shape=x_shape)],
    pooled={0: lambda cts, indices, shapes: _scatter(*cts, indices=tuple(indices), shape=shapes[0])},
)
def _getitem(x: ArrayLike, *, index: Any) -> Any:
    return np.asarray(x)[index]


def getitem(x: ArrayLike, index: Any) -> Tensor:
    """x[index], with NumPy's basic (integers, slices, `...`, `None`) and integer-array indexing.

    An element that is read more than once gets the sum of what comes back. Integer tensors may serve as indices.
    """
    parts = tuple(_index_part(i) for i in index) if isinstance(index, tuple) else _index_part(index)
    return _getitem(x, index=parts)


def _index_part(i: Any) -> Any:
    if i is None or i is Ellipsis or isinstance(i, (int, slice)):
        return i
    array = np.array(i.value if isinstance(i, Tensor) else i)  # a copy: the caller may go on to change theirs
    if array.size == 0 and not isinstance(i, (Tensor, np.ndarray)):
        array = array.astype(int)  # an empty list
    if array.dtype.kind not in "iub":
        raise IndexError(
            f"getitem: an index must be integers, slices, ..., None or integer arrays; got dtype {array.dtype}"
        )
    return array


def unstack(x: ArrayLike, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along an axis, that axis dropped: `x[0], x[1], …` for axis 0."""
    shape = shape_of(x)
    axis = _axis("unstack", axis, len(shape))
    lead = (slice(None),) * axis
    return tuple([_getitem(x, index=(*lead, i) if lead else i) for i in range(shape[axis])])
