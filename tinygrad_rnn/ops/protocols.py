"""NumPy's functions, called with tensors: `np.tanh(t)`, `array @ t`, `np.linalg.norm(t)`.

NumPy hands such a call to the tensor, through `__array_ufunc__` and `__array_function__`. What becomes of it is
decided by one rule, the same whether a gradient is wanted or not:

- A function that this package has too, under NumPy's name, is this package's: the gradient flows.
- A function whose results are truth values, integers, shapes or text has no gradient to lose: it works on the plain
  numbers and gives what NumPy gives.
- Any other raises `TypeError`. So does whatever would write into an array or a tensor (`out=`, `array += t`), and an
  argument that this package's function doesn't have (`dtype=`, `where=`).

So `t += 1` makes a new tensor and calls it `t`, as `t = t + 1` does, but `array += t` is refused. To become an array
(`np.asarray(t)`, `array[i:j] = t`) is refused to a tensor that needs a gradient and allowed to others; where NumPy asks
for a number (`array[i] = t`, for one without axes), `float(t)` warns that the gradient stops there. `t.detach()`,
`t.data` and `t.item()` say that none is wanted.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..primitive import shape_of
from ..tape import Lifted, Tensor, innermost

__all__ = ["array_function", "array_ufunc", "discrete"]

# NumPy's functions without a gradient to lose. Ufuncs needn't be named: their types tell.
# fmt: off
DISCRETE = {
    "all", "allclose", "any", "argmax", "argmin", "argpartition", "argsort", "argwhere", "array2string", "array_equal",
    "array_equiv", "array_repr", "array_str", "can_cast", "common_type", "count_nonzero", "digitize", "empty_like",
    "flatnonzero", "isclose", "iscomplex", "iscomplexobj", "isin", "isneginf", "isposinf", "isreal", "isrealobj",
    "lexsort", "may_share_memory", "min_scalar_type", "nanargmax", "nanargmin", "ndim", "nonzero", "result_type",
    "searchsorted", "shape", "shares_memory", "size",
}
# fmt: on
AS_COMPARISONS: dict[Any, Callable[[Any], Any]] = {
    np.logical_not: lambda x: x == 0,
    np.isnan: lambda x: x != x,
    np.isinf: lambda x: abs(x) == math.inf,
    np.isfinite: lambda x: abs(x) < math.inf,
}
OF_SHAPE = {"can_cast", "common_type", "empty_like", "iscomplexobj", "ndim", "result_type", "shape", "size"}

# What NumPy keeps under an old name beside the one that this package has.
OLD_FUNCTIONS = {np.amax: np.max, np.amin: np.min, np.around: np.round}
OLD_ARGUMENTS = {"a_max": "max", "a_min": "min"}
METHODS = {
    (np.add, "reduce"): np.sum,
    (np.multiply, "reduce"): np.prod,
    (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min,
    (np.add, "accumulate"): np.cumsum,
    (np.multiply, "accumulate"): np.cumprod,
}


_signature = functools.cache(inspect.signature)


@functools.cache
def _ours() -> dict[Any, Callable[..., Any]]:
    """For each of NumPy's functions, this package's of the same name; NumPy's aliases are the same functions."""
    # Looked up when first needed, in the finished package: this file is imported before most of it is there.
    ops: Any = sys.modules[__package__]
    table = {}
    for numpy, space in ((np, ops), (np.linalg, getattr(ops, "linalg", None))):
        for name in getattr(space, "__all__", ()):
            if callable(getattr(numpy, name, None)):
                table[getattr(numpy, name)] = getattr(space, name)
    return table


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's hook for its elementwise functions, for matmul, and for their methods such as `np.add.reduce`."""
    ours = _ours().get(ufunc)
    if ours is not None and method == "__call__" and not kwargs:
        return ours(*inputs)
    space = "np." if getattr(np, ufunc.__name__, None) is ufunc else ""
    called = f"{space}{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if any(isinstance(x, Tensor) for x in kwargs.get("out", ())):
        raise TypeError(f"{called}: out= can't be a tensor: the tape may need the old values")
    if ours is None and _is_discrete(ufunc) and method != "at":
        return discrete(ufunc if method == "__call__" else getattr(ufunc, method), *inputs, **kwargs)
    if ours is not None and method == "__call__":
        raise _unknown(called, next(iter(kwargs)))
    if ours is not None and method == "outer" and not kwargs:
        x, y = inputs
        return ours(_ours()[np.reshape](x, shape_of(x) + (1,) * len(shape_of(y))), y)
    function = METHODS.get((ufunc, method))
    if function not in _ours():
        raise _no_rule(called)
    return _called(called, function, inputs, {"axis": 0, **kwargs})


def array_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """NumPy's hook for its other functions."""
    if not all(issubclass(t, (Tensor, np.ndarray)) for t in types):
        return NotImplemented
    called = f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"
    function = OLD_FUNCTIONS.get(function, function)
    if function in _ours():
        return _called(called, function, args, kwargs)
    if function.__module__ == "numpy" and function.__name__ in DISCRETE:
        return discrete(function, *args, **kwargs)
    raise _no_rule(called)


def _called(called: str, function: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What NumPy's function was called with, passed on to this package's by the names of the arguments."""
    ours = _ours()[function]
    try:
        theirs = _signature(function)
    except ValueError:  # some of NumPy's older compiled functions don't tell
        return ours(*args, **kwargs)
    known = _signature(ours).parameters
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, value in theirs.bind(*args, **kwargs).arguments.items():
        parameter = theirs.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            named |= value
        elif parameter.default is parameter.empty:
            positional.append(value)
        elif value is not parameter.default:
            named[name if name in known else OLD_ARGUMENTS.get(name, name)] = value
    for name in named:
        if name not in known:
            raise _unknown(called, name)
    # Bound by our own signature, so that arrays come by position, as primitives want them.
    try:
        bound = _signature(ours).bind(*positional, **named)
    except TypeError as error:
        raise TypeError(f"{called}: {error}") from None
    return ours(*bound.args, **bound.kwargs)


def discrete(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A function without a gradient, of the plain numbers; inside `vmap`, a tensor of its results."""
    if getattr(function, "__name__", "") in OF_SHAPE:
        return function(*_plain(args, _blank), **_plain(kwargs, _blank))
    if isinstance(function, np.ufunc) and not kwargs and any(isinstance(x, Lifted) for x in args):
        if function in AS_COMPARISONS:
            return AS_COMPARISONS[function](*args)
        x, y = (*args, 0)[:2]
        op = function if len(args) == 2 else lambda x, y: discrete(function, x)
        return innermost(args).compare(op, x, y)
    return function(*_plain(args, _value), **_plain(kwargs, _value))


def _is_discrete(ufunc: Any) -> bool:
    """Whether it never gives floating-point numbers."""
    results = {kind for types in ufunc.types if "O" not in types for kind in types.split("->")[1]}
    return bool(results) and all(np.dtype(kind).kind in "biu" for kind in results)


def _value(t: Tensor) -> Any:
    return t.value


def _blank(t: Tensor) -> Any:
    """An array of the same shape and dtype: all that is known of one of many examples."""
    return np.broadcast_to(np.zeros((), t.dtype), t.shape)


def _plain(x: Any, convert: Callable[[Tensor], Any]) -> Any:
    if isinstance(x, Tensor):
        return convert(x)
    if type(x) in (list, tuple):
        return type(x)([_plain(item, convert) for item in x])
    return {key: _plain(item, convert) for key, item in x.items()} if type(x) is dict else x


def _unknown(called: str, name: str) -> TypeError:
    if name == "out":
        return TypeError(
            f"{called}: out= (or an in-place operator on an array) would drop the gradient; "
            "use what the function returns, or call it on .data"
        )
    return TypeError(f"{called}: {name}= is not supported for tensors; leave it out, or call it on .data")


def _no_rule(called: str) -> TypeError:
    if called.startswith("np.fft."):
        return TypeError(
            f"{called}: complex numbers are not differentiated here; convolve() differentiates convolutions by FFT, "
            "and for plain numbers there is .data"
        )
    return TypeError(
        f"{called}: it has no derivative rule here; for plain numbers, without a gradient, call it on .data"
    )
