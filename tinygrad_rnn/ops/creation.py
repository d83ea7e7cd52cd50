"""Making tensors from numbers, lists and arrays; the default dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..primitive import real_numbers
from ..setting import Setting, setting_to
from ..tape import Array, Node, Tensor
from .shapes import _shape

__all__ = [
    "arange",
    "asarray",
    "default_dtype",
    "eye",
    "full",
    "full_like",
    "get_default_dtype",
    "linspace",
    "ones",
    "ones_like",
    "set_default_dtype",
    "tensor",
    "zeros",
    "zeros_like",
]

Shape = SupportsIndex | Sequence[SupportsIndex]
Number = int | float | np.number[Any] | Array | Tensor

_default: Setting[np.dtype[Any]] = Setting("default_dtype", np.dtype(np.float64))


def get_default_dtype() -> np.dtype[Any]:
    """The floating-point type of tensors made from Python numbers, and of layers' parameters."""
    return _default.get()


def set_default_dtype(dtype: DTypeLike) -> None:
    """Make `dtype` (a floating-point type) the default from here on, in this thread or task."""
    _default.set(_floating("set_default_dtype", dtype))


class default_dtype(setting_to[np.dtype[Any]], setting=_default):  # noqa: N801 - a context manager, used like a function
    """`dtype` is the default inside this context, or in a function decorated with it.

    >>> with default_dtype(np.float32):
    ...     tensor([1.0, 2.0]).dtype
    dtype('float32')
    """

    def __init__(self, dtype: DTypeLike) -> None:
        super().__init__(_floating("default_dtype", dtype))


def _floating(what: str, dtype: DTypeLike) -> np.dtype[Any]:
    found = _dtype(what, dtype)
    if found.kind != "f":
        raise TypeError(f"{what}: want a floating-point dtype, got {found}")
    return found


def _dtype(what: str, dtype: DTypeLike) -> np.dtype[Any]:
    try:
        return np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{what}: want a dtype, got {dtype!r}") from None


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


def argument(what: str, called: str, x: Any) -> Tensor:
    """`asarray(x)`; where it can't be, the error says so of `what`'s argument: "RNN: input must be real numbers, …"."""
    if not isinstance(x, Tensor):
        real_numbers(f"{what}: {called}", x)
    return asarray(x)


def flags_checked(what: str, **flags: bool) -> None:
    """Raise `TypeError` for a flag that is neither True nor False."""
    for called, flag in flags.items():
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(f"{what}: {called} must be True or False, got {flag!r}")


def _as_array(what: str, data: ArrayLike | Tensor, dtype: DTypeLike | None) -> Array:
    if isinstance(data, Tensor):
        if data.requires_grad or type(data) is not Tensor:  # recorded, or carrying a tangent
            raise TypeError(f"{what}: this tensor needs a gradient, which a new leaf would drop; detach() it first")
        data = data.value
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{what}: the data is not a regular array of numbers: {error}") from None
    except TypeError as error:  # it holds a tensor that needs a gradient
        raise TypeError(f"{what}: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what}: want real numbers, got dtype {array.dtype}")
    return array.astype(_type(what, dtype, array.dtype, data), copy=False)


def _type(what: str, dtype: DTypeLike | None, found: np.dtype[Any], *made_of: Any) -> np.dtype[Any]:
    """The dtype asked for; else the one found, but the default for floats that are made of Python numbers.

    Its bytes are in the machine's own order.
    """
    if dtype is None:
        python_numbers = not any(isinstance(x, (np.ndarray, np.generic, Tensor)) for x in made_of)
        return _default.get() if python_numbers and found == np.float64 else found.newbyteorder("=")
    wanted = _dtype(what, dtype)
    if wanted.kind not in "fiub":
        raise TypeError(f"{what}: want a real number type, got dtype {wanted}")
    return wanted.newbyteorder("=")


# ------------------------------------------------------------------------------------------------------ from a shape


def zeros(shape: Shape, dtype: DTypeLike | None = None, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """A tensor of zeros, in the default dtype unless another is given."""
    return _filled("zeros", shape, 0.0, dtype, requires_grad, name)


def ones(shape: Shape, dtype: DTypeLike | None = None, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """A tensor of ones, in the default dtype unless another is given."""
    return _filled("ones", shape, 1.0, dtype, requires_grad, name)


def full(
    shape: Shape,
    fill_value: ArrayLike | Tensor,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
    name: str | None = None,
) -> Tensor:
    """A tensor of a shape, filled with a number or with what broadcasts to it; of its dtype unless one is given."""
    return _filled("full", shape, fill_value, dtype, requires_grad, name)


def zeros_like(
    x: ArrayLike | Tensor, dtype: DTypeLike | None = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """Zeros of x's shape and dtype. x is not asked for its numbers: no gradient comes from it."""
    return _like("zeros_like", x, 0, dtype, requires_grad, name)


def ones_like(
    x: ArrayLike | Tensor, dtype: DTypeLike | None = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """Ones of x's shape and dtype."""
    return _like("ones_like", x, 1, dtype, requires_grad, name)


def full_like(
    x: ArrayLike | Tensor,
    fill_value: ArrayLike | Tensor,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
    name: str | None = None,
) -> Tensor:
    """A tensor of x's shape and dtype, filled with a number or with what broadcasts to it."""
    return _like("full_like", x, fill_value, dtype, requires_grad, name)


def _like(
    what: str, x: Any, fill: ArrayLike | Tensor, dtype: DTypeLike | None, requires_grad: bool, name: str | None
) -> Tensor:
    like = x if isinstance(x, Tensor) else _as_array(what, x, None)
    return _filled(what, like.shape, fill, like.dtype if dtype is None else dtype, requires_grad, name)


def _filled(
    what: str,
    shape: Shape,
    fill: ArrayLike | Tensor,
    dtype: DTypeLike | None,
    requires_grad: bool,
    name: str | None,
) -> Tensor:
    array = _explained(what, np.full, _shape(what, shape), _as_array(what, fill, dtype))
    return _leaf(what, array, requires_grad, name)


# ---------------------------------------------------------------------------------------------------- sequences, eye


def arange(
    start: Number,
    stop: Number | None = None,
    step: Number = 1,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
    name: str | None = None,
) -> Tensor:
    """start, start + step, … as far as it is below stop; `arange(stop)` starts at 0. Integers give integers."""
    given = [start, step] if stop is None else [start, stop, step]
    bounds = [_number("arange", x) for x in given]
    if not bounds[-1]:
        raise ValueError("arange: step must not be 0")
    if stop is None:
        bounds.insert(0, 0)
    # Worked out in full width, then rounded: with a step in a narrow type the errors would add up.
    array = _explained("arange", np.arange, *bounds)
    return _leaf("arange", array.astype(_type("arange", dtype, array.dtype, *given), copy=False), requires_grad, name)


def linspace(
    start: Number,
    stop: Number,
    num: SupportsIndex = 50,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
    name: str | None = None,
) -> Tensor:
    """`num` numbers evenly spaced from start to stop, `stop` itself among them if `endpoint`."""
    bounds = [_number("linspace", x) for x in (start, stop)]
    array = _explained("linspace", np.linspace, *bounds, _integer("linspace", "num", num), endpoint)
    dtype = _type("linspace", dtype, array.dtype, start, stop)
    return _leaf("linspace", array.astype(dtype, copy=False), requires_grad, name)


def eye(
    N: SupportsIndex,
    M: SupportsIndex | None = None,
    k: SupportsIndex = 0,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
    name: str | None = None,
) -> Tensor:
    """The N × M matrix (N × N without M) with ones on its k-th diagonal and zeros elsewhere."""
    lengths = _shape("eye", (N,) if M is None else (N, M))
    array = _explained(
        "eye", np.eye, *lengths, k=_integer("eye", "k", k), dtype=_type("eye", dtype, np.dtype(np.float64))
    )
    return _leaf("eye", array, requires_grad, name)


def _number(what: str, x: Any) -> Any:
    """A Python or NumPy number."""
    array = _as_array(what, x, None)
    if array.ndim:
        raise ValueError(f"{what}: want a single number, got an array of shape {array.shape}")
    return x if isinstance(x, (int, float)) else array[()]


def _integer(what: str, called: str, x: Any) -> int:
    try:
        return index(x)
    except TypeError:
        raise TypeError(f"{what}: {called} must be an integer, got {x!r}") from None


def _explained(what: str, make: Callable[..., Array], *args: Any, **kwargs: Any) -> Array:
    try:
        return make(*args, **kwargs)
    except (ValueError, TypeError, OverflowError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{what}: {str(error).removeprefix(f'{what}: ')}") from None


# ------------------------------------------------------------------------------------------------------------- leaves


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


def _remade(value: Array, requires_grad: bool, name: str | None, grad: Array | None) -> Tensor:
    """A leaf or constant, copied or unpickled, with arrays of its own."""
    made = _leaf("copy", value.copy(), requires_grad, name)
    if grad is not None:
        made.grad = grad
    return made
