"""Elementwise operations, with broadcasting: one rule an argument, which is also its forward-mode rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..primitive import primitive
from ..tape import Tensor

__all__ = [
    "add",
    "astype",
    "divide",
    "exp",
    "log",
    "maximum",
    "multiply",
    "negative",
    "power",
    "relu",
    "sigmoid",
    "sqrt",
    "subtract",
    "tanh",
    "where",
]

# ----------------------------------------------------------------------------------------------------------- arithmetic


@primitive("elementwise", [lambda ct: ct, lambda ct: ct])
def add(x: ArrayLike, y: ArrayLike) -> Any:
    """x + y, with broadcasting."""
    return np.add(x, y)


@primitive("elementwise", [lambda ct: ct, lambda ct: -ct])
def subtract(x: ArrayLike, y: ArrayLike) -> Any:
    """x − y, with broadcasting."""
    return np.subtract(x, y)


@primitive("elementwise", [lambda ct, y: ct * y, lambda ct, x: ct * x])
def multiply(x: ArrayLike, y: ArrayLike) -> Any:
    """x y, elementwise with broadcasting."""
    return np.multiply(x, y)


@primitive("elementwise", [lambda ct, y: ct / y, lambda ct, out, y: -ct * out / y])
def divide(x: ArrayLike, y: ArrayLike) -> Any:
    """x / y, elementwise with broadcasting (true division)."""
    return np.divide(x, y)


@primitive("elementwise", [lambda ct: -ct])
def negative(x: ArrayLike) -> Any:
    """−x."""
    return np.negative(x)


def _power_base(ct: Any, x: Any, y: Any) -> Any:
    # d(x^y)/dx = y x^(y-1); where y = 0 it is 0 at every x, also at 0, where x^(y-1) has no value. Only there is that
    # replaced: elsewhere the derivative by y of this, x^(y-1) at y = 0, is needed.
    if isinstance(y, (int, float)):
        return ct * (y * x ** (y - 1)) if y else ct * 0
    return ct * (y * x ** where((x == 0) & (y == 0), 1, y - 1))


def _power_exponent(ct: Any, out: Any, x: Any, y: Any) -> Any:
    # d(x^y)/dy = x^y log x; at x = 0 it is 0 for y >= 0, where log x has no value.
    if isinstance(x, (int, float)):
        x = np.asarray(x, out.dtype)
    at_zero = (x == 0) & (y >= 0)
    return ct * (out * where(at_zero, 0, log(where(at_zero, 1, x))))


@primitive("elementwise", [_power_base, _power_exponent])
def power(x: ArrayLike, y: ArrayLike) -> Any:
    """x^y, elementwise with broadcasting.

    The derivative by x is 0 where y = 0; the derivative by y is 0 where x = 0 and y ≥ 0, NaN where x < 0. Both are
    PyTorch's.
    """
    return np.asarray(x) ** y if isinstance(x, (int, float)) and isinstance(y, (int, float)) else x**y  # type: ignore[operator]


@primitive("elementwise", [lambda ct: ct])
def _astype(x: ArrayLike, *, dtype: np.dtype[Any]) -> Any:
    return np.asarray(x).astype(dtype)


def astype(x: ArrayLike, dtype: DTypeLike) -> Tensor:
    """The same numbers in another floating-point type; the gradient comes back in the type of x."""
    return _astype(x, dtype=np.dtype(dtype))


# ------------------------------------------------------------------------------------------------------------ functions


@primitive("elementwise", [lambda ct, out: ct * out])
def exp(x: ArrayLike) -> Any:
    """e^x. Derivative: e^x."""
    return np.exp(x)


@primitive("elementwise", [lambda ct, x: ct / x])
def log(x: ArrayLike) -> Any:
    """The natural logarithm of x. Derivative: 1/x."""
    return np.log(x)


@primitive("elementwise", [lambda ct, out: ct / (2 * out)])
def sqrt(x: ArrayLike) -> Any:
    """√x. Derivative: 1 / (2√x), infinite at 0."""
    return np.sqrt(x)


@primitive("elementwise", [lambda ct, out: ct * (1 - out * out)])
def tanh(x: ArrayLike) -> Any:
    """tanh x. Derivative: 1 − tanh² x.

    >>> from tinygrad_rnn import grad
    >>> round(grad(tanh)(0.5).item(), 6)
    0.786448
    """
    return np.tanh(x)


@primitive("elementwise", [lambda ct, out: ct * (out * (1 - out))])
def sigmoid(x: ArrayLike) -> Any:
    """σ(x) = 1 / (1 + e^−x). Derivative: σ (1 − σ), at most 1/4."""
    with np.errstate(over="ignore"):  # e^−x = inf gives 0, which is right
        return 1 / (1 + np.exp(np.multiply(x, -1.0)))


def _relu_rule(ct: Any, out: Any) -> Any:
    return where(out > 0, ct, 0)


@primitive("elementwise", [_relu_rule])
def relu(x: ArrayLike) -> Any:
    """max(x, 0). Derivative: 1 where x > 0, else 0 (0 at the kink, as PyTorch)."""
    return np.maximum(x, 0)


def _share(ct: Any, mine: Any, other: Any) -> Any:
    return where(mine > other, ct, where(mine == other, ct * 0.5, 0))


@primitive("elementwise", [lambda ct, x, y: _share(ct, x, y), lambda ct, x, y: _share(ct, y, x)])
def maximum(x: ArrayLike, y: ArrayLike) -> Any:
    """The larger of x and y, elementwise with broadcasting. Where they tie, each takes half of the gradient."""
    return np.maximum(x, y)


def _where_x(ct: Any, condition: Any) -> Any:
    return where(condition, ct, 0)


def _where_y(ct: Any, condition: Any) -> Any:
    return where(condition, 0, ct)


@primitive("elementwise", [None, _where_x, _where_y])
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Any:
    """x where the condition holds, else y. The gradient goes to the branch taken."""
    return np.where(condition, x, y)
