"""What a tensor can do written as an operator or a method: NumPy's, each the function of the same name.

The class is never used itself: its members are attached to `Tensor`, which lies below the operations.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..backward import backward
from ..tape import Array, Lifted, Tensor, innermost
from . import elementwise, indexing, products, reductions, shapes
from .reductions import Axis

__all__ = ["Methods"]


class Methods:
    """Operators and methods of `Tensor`."""

    __slots__ = ()

    if TYPE_CHECKING:
        value: Array
        requires_grad: bool

        @property
        def shape(self) -> tuple[int, ...]: ...

        def item(self) -> float: ...

    __add__ = elementwise.add
    __sub__ = elementwise.subtract
    __mul__ = elementwise.multiply
    __truediv__ = elementwise.divide
    __pow__ = elementwise.power
    __matmul__ = products.matmul
    __neg__ = elementwise.negative

    def __radd__(self, other: ArrayLike) -> Tensor:
        return elementwise.add(other, self)

    def __rsub__(self, other: ArrayLike) -> Tensor:
        return elementwise.subtract(other, self)

    def __rmul__(self, other: ArrayLike) -> Tensor:
        return elementwise.multiply(other, self)

    def __rtruediv__(self, other: ArrayLike) -> Tensor:
        return elementwise.divide(other, self)

    def __rpow__(self, other: ArrayLike) -> Tensor:
        return elementwise.power(other, self)

    def __rmatmul__(self, other: ArrayLike) -> Tensor:
        return products.matmul(other, self)

    def __getitem__(self, index: Any) -> Tensor:
        return indexing.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a tensor can't be assigned to in place: the tape may need the old values. "
            "Build a new one with where() or concatenate(), or write to a leaf's .data"
        )

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor of shape ()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a tensor of shape ()")
        return iter(indexing.unstack(self))

    # Comparisons give plain boolean arrays: they have no gradient.

    def __lt__(self, other: ArrayLike) -> Any:
        return _compare(operator.lt, self, other)

    def __le__(self, other: ArrayLike) -> Any:
        return _compare(operator.le, self, other)

    def __gt__(self, other: ArrayLike) -> Any:
        return _compare(operator.gt, self, other)

    def __ge__(self, other: ArrayLike) -> Any:
        return _compare(operator.ge, self, other)

    def __eq__(self, other: object) -> Any:
        return _compare(operator.eq, self, other)

    def __ne__(self, other: object) -> Any:
        return _compare(operator.ne, self, other)

    __hash__ = object.__hash__  # by identity, as PyTorch's: a tensor can be a dictionary's key

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if self.requires_grad or type(self) is not Tensor:  # recorded, or carrying a tangent
            raise TypeError(
                "np.asarray: this tensor needs a gradient, which an array would drop; "
                "use tinygrad_rnn's function of that name, or .data for the plain array"
            )
        return np.array(self.value, dtype=dtype, copy=copy)

    def backward(self, cotangent: ArrayLike | None = None, *, retain_graph: bool = False) -> None:
        """Add ∂⟨cotangent, self⟩/∂leaf to the `grad` of every leaf that this tensor was computed from.

        Args:
            cotangent: an array of this tensor's shape; a scalar needs none, there it is 1.
            retain_graph: keep the residuals, so that another backward can follow.

        Every node keeps the norm of its cotangent for the drawing. If anything fails, no `grad` has changed.
        """
        backward(cast(Tensor, self), cotangent, retain_graph=retain_graph)

    @property
    def T(self) -> Tensor:  # noqa: N802 - NumPy's name
        """The axes reversed."""
        return shapes.transpose(self)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """See `tinygrad_rnn.astype`."""
        return elementwise.astype(self, dtype)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See `tinygrad_rnn.sum`."""
        return reductions.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See `tinygrad_rnn.mean`."""
        return reductions.mean(self, axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See `tinygrad_rnn.max`."""
        return reductions.max(self, axis, keepdims)

    def reshape(self, *shape: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
        """See `tinygrad_rnn.reshape`; the lengths may come one by one or as a tuple."""
        return shapes.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

    def transpose(self, *axes: SupportsIndex | Sequence[SupportsIndex] | None) -> Tensor:
        """See `tinygrad_rnn.transpose`; the axes may come one by one or as a tuple."""
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
            return shapes.transpose(self, axes[0])
        return shapes.transpose(self, axes or None)  # type: ignore[arg-type]

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """See `tinygrad_rnn.swapaxes`."""
        return shapes.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: int | Sequence[int] | None = None) -> Tensor:
        """See `tinygrad_rnn.squeeze`."""
        return shapes.squeeze(self, axis)


def _compare(op: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """A plain boolean array; inside `vmap`, a tensor of them, one for each example."""
    if isinstance(x, Lifted) or isinstance(y, Lifted):
        return innermost((x, y)).compare(op, x, y)
    return op(x.value, y.value if isinstance(y, Tensor) else y)


for _name, _member in list(vars(Methods).items()):
    if callable(_member) or isinstance(_member, property):
        setattr(Tensor, _name, _member)
