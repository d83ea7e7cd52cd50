"""What a tensor can do written as an operator or a method: NumPy's, each the function of the same name.

The class is never used itself: its members are attached to `Tensor`, which lies below the operations.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..backward import backward
from ..tape import Array, Lifted, Tensor, innermost
from . import creation, cumulative, elementwise, indexing, matrices, products, protocols, reductions, shapes
from .reductions import Axis

__all__ = ["Methods"]


class Methods:
    """Operators and methods of `Tensor`."""

    __slots__ = ()

    if TYPE_CHECKING:
        value: Array

        @property
        def dtype(self) -> np.dtype[Any]: ...

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
    __floordiv__ = elementwise.floor_divide
    __mod__ = elementwise.remainder
    __neg__ = elementwise.negative
    __pos__ = elementwise.positive
    __abs__ = elementwise.abs

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

    def __rfloordiv__(self, other: ArrayLike) -> Tensor:
        return elementwise.floor_divide(other, self)

    def __rmod__(self, other: ArrayLike) -> Tensor:
        return elementwise.remainder(other, self)

    def __rmatmul__(self, other: ArrayLike) -> Tensor:
        return products.matmul(other, self)

    def __getitem__(self, index: Any) -> Tensor:
        return indexing.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a tensor can't be assigned to in place: the tape may need the old values. "
            "x.at[index].set(value) and .add(value) make a new one; a leaf's .data can be written to"
        )

    def __contains__(self, value: ArrayLike) -> bool:
        found = _compare(operator.eq, self, value)
        return bool(found) if isinstance(found, Tensor) else bool(np.any(found))

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

    # So do logical operations: of booleans, as in masks, and bit by bit of integers.

    def __and__(self, other: ArrayLike) -> Any:
        return _bitwise("&", operator.and_, self, other)

    def __or__(self, other: ArrayLike) -> Any:
        return _bitwise("|", operator.or_, self, other)

    def __xor__(self, other: ArrayLike) -> Any:
        return _bitwise("^", operator.xor, self, other)

    def __invert__(self) -> Any:
        return _bitwise("~", operator.xor, self, np.array(-1).astype(self.dtype))

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    __hash__ = object.__hash__  # by identity, as PyTorch's: a tensor can be a dictionary's key

    def __bool__(self) -> bool:
        return bool(self.value)

    # No gradient flows through a Python number. NumPy asks for one in `array[i] = t`, where nobody sees it happen.

    def __float__(self) -> float:
        return float(_number(self, "float"))

    def __int__(self) -> int:
        return int(_number(self, "int"))

    def __complex__(self) -> complex:
        return complex(_number(self, "complex"))

    def __index__(self: Any) -> int:
        if self.dtype.kind not in "iu" or self.shape:
            raise TypeError(f"only an integer tensor without axes is an index, this one has {_what(self)}")
        return operator.index(_number(self, "index"))

    def __format__(self: Any, spec: str) -> str:
        if isinstance(self, Lifted) and self.lowered() is not self:
            return format(self.lowered(), spec)
        if isinstance(self, Lifted) or (not spec and self.shape):
            return format(str(self), spec)
        if self.size == 1:
            return format(self.item(), spec)
        raise TypeError(f"format: {spec!r} is for a tensor of one element, this one has {_what(self)}")

    def tolist(self) -> Any:
        """The numbers as nested lists; of a tensor without axes, the number."""
        return self.value.tolist()

    @property
    def itemsize(self: Any) -> int:
        """How many bytes one of its numbers takes."""
        return int(self.dtype.itemsize)

    @property
    def nbytes(self: Any) -> int:
        """How many bytes its numbers take."""
        return int(self.size * self.itemsize)

    # Copies are leaves again, with arrays of their own. A recorded result is a place in a graph, which has no copy.

    def __copy__(self) -> Tensor:
        make, args = self.__reduce__()
        return make(*args)

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self.__copy__()

    def __reduce__(self: Any) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
        if not self.is_leaf or isinstance(self, Lifted):
            raise TypeError(
                "only leaves and constants can be copied or pickled, not what was computed from a tensor that needs a "
                "gradient; detach() it first"
            )
        return creation._remade, (self.value, self.requires_grad, self.name, self.grad)

    __array_ufunc__ = protocols.array_ufunc
    __array_function__ = protocols.array_function

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if isinstance(self, Lifted) and self.lowered() is not self:
            return self.lowered().__array__(dtype, copy)
        if self.requires_grad or isinstance(self, Lifted):  # recorded, or carrying a tangent
            raise TypeError(
                "np.asarray: this tensor needs a gradient, which an array would drop; use tinygrad_rnn's function of "
                "that name (of a list of tensors, stack), or .data for the plain array"
            )
        return np.array(self.value, dtype=dtype, copy=copy)

    def __dlpack__(self: Any, **kwargs: Any) -> Any:
        if self.requires_grad or isinstance(self, Lifted):
            raise BufferError("a tensor that needs a gradient can't be exported by DLPack; detach() it first")
        return self.data.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the host's memory

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

    @property
    def mT(self) -> Tensor:  # noqa: N802 - NumPy's name
        """See `tinygrad_rnn.matrix_transpose`."""
        return shapes.matrix_transpose(self)

    @property
    def at(self) -> indexing.At:
        """`x.at[index].set(value)` and `.add(value)` make a new tensor; see `ops.set_at`, `ops.add_at`."""
        return indexing.At(cast(Tensor, self))

    def astype(self, dtype: DTypeLike) -> Tensor:
        """See `tinygrad_rnn.astype`."""
        return elementwise.astype(self, dtype)

    def round(self, decimals: SupportsIndex = 0) -> Tensor:
        """See `tinygrad_rnn.round`."""
        return elementwise.round(self, decimals)

    def clip(self, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Tensor:  # noqa: A002 - NumPy's names
        """See `tinygrad_rnn.clip`."""
        return elementwise.clip(self, min, max)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See `tinygrad_rnn.sum`."""
        return reductions.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See `tinygrad_rnn.mean`."""
        return reductions.mean(self, axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See `tinygrad_rnn.max`."""
        return reductions.max(self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See `tinygrad_rnn.min`."""
        return reductions.min(self, axis, keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """See `tinygrad_rnn.prod`."""
        return reductions.prod(self, axis, keepdims)

    def var(
        self, axis: Axis = None, ddof: float = 0, keepdims: bool = False, *, correction: float | None = None
    ) -> Tensor:
        """See `tinygrad_rnn.var`."""
        return reductions.var(self, axis, ddof, keepdims, correction=correction)

    def std(
        self, axis: Axis = None, ddof: float = 0, keepdims: bool = False, *, correction: float | None = None
    ) -> Tensor:
        """See `tinygrad_rnn.std`."""
        return reductions.std(self, axis, ddof, keepdims, correction=correction)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """See `tinygrad_rnn.argmax`."""
        return reductions.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """See `tinygrad_rnn.argmin`."""
        return reductions.argmin(self, axis, keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """See `tinygrad_rnn.cumsum`."""
        return cumulative.cumsum(self, axis)

    def cumprod(self, axis: int | None = None) -> Tensor:
        """See `tinygrad_rnn.cumprod`."""
        return cumulative.cumprod(self, axis)

    def reshape(self, *shape: SupportsIndex | Sequence[SupportsIndex]) -> Tensor:
        """See `tinygrad_rnn.reshape`; the lengths may come one by one or as a tuple."""
        return shapes.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

    def ravel(self) -> Tensor:
        """See `tinygrad_rnn.ravel`."""
        return shapes.ravel(self)

    def flatten(self) -> Tensor:
        """The numbers in C order along one axis: a copy, which `ravel` isn't always."""
        return elementwise.astype(shapes.ravel(self), cast(Tensor, self).dtype)

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

    def dot(self, other: ArrayLike) -> Tensor:
        """See `tinygrad_rnn.dot`."""
        return products.dot(self, other)

    def trace(self, offset: SupportsIndex = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """See `tinygrad_rnn.trace`."""
        return matrices.trace(self, offset, axis1, axis2)

    def diagonal(self, offset: SupportsIndex = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """See `tinygrad_rnn.diagonal`."""
        return matrices.diagonal(self, offset, axis1, axis2)

    def repeat(self, repeats: ArrayLike, axis: int | None = None) -> Tensor:
        """See `tinygrad_rnn.repeat`."""
        return indexing.repeat(self, repeats, axis)

    def take(self, indices: ArrayLike, axis: int | None = None, mode: indexing.Mode = "raise") -> Tensor:
        """See `tinygrad_rnn.take`."""
        return indexing.take(self, indices, axis, mode)


def _compare(op: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """A plain boolean array; inside `vmap`, a tensor of them, one for each example."""
    if isinstance(x, Lifted) or isinstance(y, Lifted):
        return innermost((x, y)).compare(op, x, y)
    return op(x.value, y.value if isinstance(y, Tensor) else y)


def _bitwise(symbol: str, op: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """`_compare`, of booleans and integers. Raises `TypeError` for others."""
    for a in (x, y):
        dtype = a.dtype if isinstance(a, Tensor) else np.asarray(a).dtype
        if dtype.kind not in "biu":
            raise TypeError(f"{symbol}: want booleans or integers, got numbers of dtype {dtype}")
    return _compare(op, x, y)


def _number(t: Any, what: str) -> Any:
    """The number of a tensor of one element, with a warning if a gradient stops there."""
    t = t.lowered() if isinstance(t, Lifted) else t
    if isinstance(t, Lifted):
        raise TypeError(
            f"{what}: this tensor carries a tangent, or stands for many examples, which a number would drop; "
            "use detach() or item() if it is not wanted"
        )
    if t.size != 1:
        raise ValueError(f"{what}: only a tensor of one element is a number, this one has shape {t.shape}")
    if t.requires_grad:
        warnings.warn(
            f"{what}() of a tensor that needs a gradient: no gradient flows through a Python number. "
            "If that is what you want, say it with .item(), or .detach()",
            UserWarning,
            stacklevel=3,
        )
    return t.item()


def _what(t: Any) -> str:
    return f"shape {t.shape} and dtype {t.dtype}"


for _name, _member in list(vars(Methods).items()):
    if callable(_member) or isinstance(_member, property):
        setattr(Tensor, _name, _member)
