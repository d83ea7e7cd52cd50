"""Elementwise operations, with broadcasting: one rule an argument, which is also its forward-mode rule."""

from __future__ import annotations

import math
from operator import index
from typing import Any, Literal, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..primitive import Lowering, primitive
from ..tape import Tensor

__all__ = [
    "abs",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "astype",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "divide",
    "elu",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_divide",
    "gelu",
    "hypot",
    "leaky_relu",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_sigmoid",
    "logaddexp",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "positive",
    "power",
    "reciprocal",
    "relu",
    "remainder",
    "round",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "softplus",
    "softsign",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "where",
]

_LN2, _LN10 = math.log(2), math.log(10)

# ----------------------------------------------------------------------------------------------------------- arithmetic


@primitive("elementwise", [lambda ct: ct, lambda ct: ct], lowering=Lowering(np.add, algebra="sum"))
def add(x: ArrayLike, y: ArrayLike) -> Any:
    """x + y, with broadcasting."""
    return np.add(x, y)


@primitive("elementwise", [lambda ct: ct, lambda ct: -ct], lowering=Lowering(np.subtract, algebra="difference"))
def subtract(x: ArrayLike, y: ArrayLike) -> Any:
    """x − y, with broadcasting."""
    return np.subtract(x, y)


@primitive(
    "elementwise", [lambda ct, y: ct * y, lambda ct, x: ct * x], lowering=Lowering(np.multiply, algebra="product")
)
def multiply(x: ArrayLike, y: ArrayLike) -> Any:
    """x y, elementwise with broadcasting."""
    return np.multiply(x, y)


@primitive("elementwise", [lambda ct, y: ct / y, lambda ct, out, y: -ct * out / y])
def divide(x: ArrayLike, y: ArrayLike) -> Any:
    """x / y, elementwise with broadcasting (true division)."""
    return np.divide(x, y)


@primitive("elementwise", [lambda ct: -ct], lowering=Lowering(algebra="negative"))
def negative(x: ArrayLike) -> Any:
    """−x."""
    return np.negative(x)


def positive(x: ArrayLike) -> Tensor:
    """+x: the same numbers."""
    return multiply(x, 1)


def square(x: ArrayLike) -> Tensor:
    """x²."""
    return multiply(x, x)


def reciprocal(x: ArrayLike) -> Tensor:
    """1 / x, of integers too (NumPy's rounds those towards 0)."""
    return divide(1, x)


@primitive("elementwise", [lambda ct: _zero(ct), lambda ct: _zero(ct)])
def floor_divide(x: ArrayLike, y: ArrayLike) -> Any:
    """⌊x / y⌋. The derivatives are 0, also where it jumps; PyTorch has none."""
    return np.floor_divide(x, y)


@primitive("elementwise", [lambda ct: ct, lambda ct, x, y: -ct * floor_divide(x, y)])
def remainder(x: ArrayLike, y: ArrayLike) -> Any:
    """x − y ⌊x / y⌋, which has the sign of y. Derivatives: 1 by x, −⌊x / y⌋ by y, also where it jumps."""
    return np.remainder(x, y)


def _power_base(ct: Any, x: Any, y: Any) -> Any:
    # d(x^y)/dx = y x^(y-1); where y = 0 it is 0 at every x, also at 0, where x^(y-1) has no value. Only there is that
    # replaced: elsewhere the derivative by y of this, x^(y-1) at y = 0, is needed.
    if isinstance(y, (int, float)):
        return ct * (y * x ** (y - 1)) if y else _zero(ct)
    return ct * (y * x ** where((x == 0) & (y == 0), 1, y - 1))


def _power_exponent(ct: Any, out: Any, x: Any, y: Any) -> Any:
    # d(x^y)/dy = x^y log x; at x = 0 it is 0 for y >= 0, where log x has no value.
    if isinstance(x, (int, float)):
        x = np.asarray(x, out.dtype)
    at_zero = (x == 0) & (y >= 0)
    return ct * (out * where(at_zero, 0, log(where(at_zero, 1, x))))


def _power_unfused(x: Any, y: Any) -> Any:
    if not isinstance(y, (int, float)):
        return NotImplemented
    return x * x if y == 2 else sqrt(x) if y == 0.5 else 1 / x if y == -1 else NotImplemented  # as `**` of arrays


# Without `numpy`: np.power is slow for x².
@primitive("elementwise", [_power_base, _power_exponent], lowering=Lowering(unfused=_power_unfused))
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


# --------------------------------------------------------------------------------------------------------- exponentials


@primitive("elementwise", [lambda ct, out: ct * out])
def exp(x: ArrayLike) -> Any:
    """e^x. Derivative: e^x."""
    return np.exp(x)


@primitive("elementwise", [lambda ct, out: ct * (out * _LN2)])
def exp2(x: ArrayLike) -> Any:
    """2^x. Derivative: 2^x ln 2."""
    return np.exp2(x)


@primitive("elementwise", [lambda ct, x: ct * exp(x)])  # not out + 1, which loses the digits of a small e^x
def expm1(x: ArrayLike) -> Any:
    """e^x − 1, accurate near 0. Derivative: e^x."""
    return np.expm1(x)


@primitive("elementwise", [lambda ct, x: ct / x])
def log(x: ArrayLike) -> Any:
    """The natural logarithm of x. Derivative: 1/x."""
    return np.log(x)


@primitive("elementwise", [lambda ct, x: ct / _LN2 / x])  # x ln 2 may overflow
def log2(x: ArrayLike) -> Any:
    """The logarithm of x to base 2. Derivative: 1 / (x ln 2)."""
    return np.log2(x)


@primitive("elementwise", [lambda ct, x: ct / _LN10 / x])
def log10(x: ArrayLike) -> Any:
    """The logarithm of x to base 10. Derivative: 1 / (x ln 10)."""
    return np.log10(x)


@primitive("elementwise", [lambda ct, x: ct / (1 + x)])
def log1p(x: ArrayLike) -> Any:
    """log(1 + x), accurate near 0. Derivative: 1 / (1 + x)."""
    return np.log1p(x)


def _weighed(ct: Any, x: Any, y: Any) -> Any:
    # Two equal infinities have no difference; it counts as 0.
    same, zero = (x == y) & (abs(x) == np.inf), np.zeros((), ct.dtype)
    return ct * sigmoid(where(same, zero, x) - where(same, zero, y))


def _logaddexp_unfused(x: Any, y: Any) -> Any:
    return where(x == y, x + math.log(2), maximum(x, y) + log1p(exp(-abs(x - y))))


@primitive(
    "elementwise",
    [lambda ct, x, y: _weighed(ct, x, y), lambda ct, x, y: _weighed(ct, y, x)],
    lowering=Lowering(np.logaddexp, unfused=_logaddexp_unfused),
)
def logaddexp(x: ArrayLike, y: ArrayLike) -> Any:
    """log(e^x + e^y), without overflow. Derivatives: σ(x − y) by x, σ(y − x) by y.

    Each is 1/2 where x = y, also where both are −∞ (no probability) or ∞, for which PyTorch gives NaN.
    """
    return np.logaddexp(x, y)


@primitive("elementwise", [lambda ct, out: ct / (2 * out)])
def sqrt(x: ArrayLike) -> Any:
    """√x. Derivative: 1 / (2√x), infinite at 0."""
    return np.sqrt(x)


# ----------------------------------------------------------------------------------------- trigonometric and hyperbolic


def _sin_rule(ct: Any, x: Any) -> Any:
    return ct * cos(x)


@primitive("elementwise", [_sin_rule])
def sin(x: ArrayLike) -> Any:
    """sin x, x in radians. Derivative: cos x."""
    return np.sin(x)


@primitive("elementwise", [lambda ct, x: -ct * sin(x)])
def cos(x: ArrayLike) -> Any:
    """cos x, x in radians. Derivative: −sin x."""
    return np.cos(x)


@primitive("elementwise", [lambda ct, out: ct * (1 + out * out)])
def tan(x: ArrayLike) -> Any:
    """tan x, x in radians. Derivative: 1 + tan² x."""
    return np.tan(x)


@primitive("elementwise", [lambda ct, x: ct / sqrt((1 - x) * (1 + x))])
def arcsin(x: ArrayLike) -> Any:
    """The angle between −π/2 and π/2 whose sine is x. Derivative: 1 / √(1 − x²), infinite at ±1."""
    return np.arcsin(x)


@primitive("elementwise", [lambda ct, x: -ct / sqrt((1 - x) * (1 + x))])
def arccos(x: ArrayLike) -> Any:
    """The angle between 0 and π whose cosine is x. Derivative: −1 / √(1 − x²), infinite at ±1."""
    return np.arccos(x)


def _one_plus_square(x: Any) -> tuple[Any, Any]:
    """(a, b) with a b² = 1 + x², which itself may overflow: b = |x| and a = 1 + 1/x² where |x| > 1, else b = 1."""
    large = abs(x) > 1
    b = where(large, abs(x), 1)
    root = where(large, 1, x) / b
    return 1 + root * root, b


def _arctan_rule(ct: Any, x: Any) -> Any:
    a, b = _one_plus_square(x)
    return ct / a / b / b


@primitive("elementwise", [_arctan_rule])
def arctan(x: ArrayLike) -> Any:
    """The angle between −π/2 and π/2 whose tangent is x. Derivative: 1 / (1 + x²)."""
    return np.arctan(x)


def _off_zero(r: Any) -> Any:
    """r, but ∞ for 0: what is divided by it is 0 there."""
    return where(r == 0, np.inf, r)


@primitive("elementwise", [lambda ct, out, x: ct * (x / _off_zero(out)), lambda ct, out, y: ct * (y / _off_zero(out))])
def hypot(x: ArrayLike, y: ArrayLike) -> Any:
    """r = √(x² + y²), without overflow. Derivatives: x/r and y/r.

    Both are 0 at (0, 0), as a norm's and |x|'s are; PyTorch gives NaN there.
    """
    return np.hypot(x, y)


def _turned(ct: Any, x: Any, y: Any) -> Any:
    r = _off_zero(hypot(x, y))  # its square may overflow
    return ct * (x / r) / r


@primitive("elementwise", [lambda ct, y, x: _turned(ct, x, y), lambda ct, y, x: _turned(-ct, y, x)])
def arctan2(y: ArrayLike, x: ArrayLike) -> Any:
    """The angle of the point (x, y), from −π to π. Derivatives: x/r² by y and −y/r² by x, r² = x² + y²; 0 at (0, 0)."""
    return np.arctan2(y, x)


def _sinh_rule(ct: Any, x: Any) -> Any:
    return ct * cosh(x)


@primitive("elementwise", [_sinh_rule])
def sinh(x: ArrayLike) -> Any:
    """sinh x = (e^x − e^−x) / 2. Derivative: cosh x."""
    return np.sinh(x)


@primitive("elementwise", [lambda ct, x: ct * sinh(x)])
def cosh(x: ArrayLike) -> Any:
    """cosh x = (e^x + e^−x) / 2. Derivative: sinh x."""
    return np.cosh(x)


@primitive("elementwise", [lambda ct, out: ct * (1 - out * out)], lowering=Lowering(np.tanh, nonexpansive=True))
def tanh(x: ArrayLike) -> Any:
    """tanh x. Derivative: 1 − tanh² x.

    >>> from tinygrad_rnn import grad
    >>> f"{grad(tanh)(0.5).item():.6f}"
    '0.786448'
    """
    return np.tanh(x)


def _arcsinh_rule(ct: Any, x: Any) -> Any:
    a, b = _one_plus_square(x)
    return ct / sqrt(a) / b


@primitive("elementwise", [_arcsinh_rule])
def arcsinh(x: ArrayLike) -> Any:
    """The inverse of sinh. Derivative: 1 / √(1 + x²)."""
    return np.arcsinh(x)


def _arccosh_rule(ct: Any, x: Any) -> Any:
    return ct / sqrt(x - 1) / sqrt(x + 1)  # x² − 1 may overflow


@primitive("elementwise", [_arccosh_rule])
def arccosh(x: ArrayLike) -> Any:
    """The inverse of cosh, at least 0, for x ≥ 1. Derivative: 1 / √(x² − 1), infinite at 1."""
    return np.arccosh(x)


@primitive("elementwise", [lambda ct, x: ct / ((1 - x) * (1 + x))])
def arctanh(x: ArrayLike) -> Any:
    """The inverse of tanh, for |x| ≤ 1. Derivative: 1 / (1 − x²), infinite at ±1."""
    return np.arctanh(x)


# --------------------------------------------------------------------------------------------- signs, steps and choices


def _where_x(ct: Any, condition: Any) -> Any:
    return where(condition, ct, 0)


def _where_y(ct: Any, condition: Any) -> Any:
    return where(condition, 0, ct)


@primitive("elementwise", [None, _where_x, _where_y])
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Any:
    """x where the condition holds, else y. The gradient goes to the branch taken; the other's numbers don't matter.

    Its derivatives do: 0 times the infinite one of √x at 0 is NaN. Choose the argument as well:

        where(x > 0, sqrt(where(x > 0, x, 1)), 0)
    """
    return np.where(condition, x, y)


def _zero(ct: Any) -> Any:
    """What a step lets through: 0, even if the cotangent is infinite."""
    return where(False, ct, 0)


@primitive("elementwise", [_zero])
def sign(x: ArrayLike) -> Any:
    """−1, 0 or 1, the sign of x; NaN of NaN. The derivative is 0, also at 0."""
    return np.sign(x)


@primitive("elementwise", [lambda ct, x: ct * sign(x)])
def abs(x: ArrayLike) -> Any:
    """|x|. Derivative: sign x, which is 0 at 0 (and NaN at NaN, where PyTorch's is 0)."""
    return np.abs(x)


@primitive("elementwise", [_zero])
def floor(x: ArrayLike) -> Any:
    """The largest integer ≤ x. The derivative is 0, also where it jumps."""
    return np.floor(x)


@primitive("elementwise", [_zero])
def ceil(x: ArrayLike) -> Any:
    """The smallest integer ≥ x. The derivative is 0, also where it jumps."""
    return np.ceil(x)


@primitive("elementwise", [_zero])
def _round(x: ArrayLike, *, decimals: int) -> Any:
    return np.round(np.asarray(x), decimals)


def round(x: ArrayLike, decimals: SupportsIndex = 0) -> Tensor:
    """x to that many decimals; a half goes to the even neighbour. The derivative is 0, also where it jumps."""
    try:
        decimals = index(decimals)
    except TypeError:
        raise TypeError(f"round: decimals must be an integer, got {decimals!r}") from None
    return _round(x, decimals=decimals)


def _share(ct: Any, lost: Any, tied: Any) -> Any:
    return where(lost, 0, where(tied, ct * 0.5, ct))


@primitive("elementwise", [lambda ct, x, y: _share(ct, x < y, x == y), lambda ct, x, y: _share(ct, y < x, x == y)])
def maximum(x: ArrayLike, y: ArrayLike) -> Any:
    """The larger of x and y. Where they tie, each takes half of the gradient; where one is NaN, each takes it all."""
    return np.maximum(x, y)


@primitive("elementwise", [lambda ct, x, y: _share(ct, x > y, x == y), lambda ct, x, y: _share(ct, y > x, x == y)])
def minimum(x: ArrayLike, y: ArrayLike) -> Any:
    """The smaller of x and y. Where they tie, each takes half of the gradient; where one is NaN, each takes it all."""
    return np.minimum(x, y)


# An end left open. Known by identity and left out: as a bound, a float would make floats of integers.
_OPEN_BELOW, _OPEN_ABOVE = float("-inf"), float("inf")


@primitive(
    "elementwise",
    [
        lambda ct, x, low, high: where((low <= x) & (x <= high), ct, 0),
        lambda ct, x, low, high: where((x < low) & (low <= high), ct, 0),
        lambda ct, x, low, high: where((x > high) | (low > high), ct, 0),
    ],
    lowering=Lowering(unfused=lambda x, low, high: minimum(maximum(x, low), high)),
)
def _clip(x: ArrayLike, low: ArrayLike, high: ArrayLike) -> Any:
    x = x if low is _OPEN_BELOW else np.maximum(x, low)
    return x if high is _OPEN_ABOVE else np.minimum(x, high)


def clip(
    x: ArrayLike,
    a_min: ArrayLike | None = None,
    a_max: ArrayLike | None = None,
    *,
    min: ArrayLike | None = None,  # noqa: A002 - NumPy's names
    max: ArrayLike | None = None,  # noqa: A002
) -> Tensor:
    """The smaller of a_max and the larger of a_min and x, with broadcasting; `min` and `max` are other names for them.

    The gradient goes to x if it lies within the bounds, or on one, else to the bound taken (by PyTorch, to
    neither of two equal bounds); of NaN, nowhere.

    Args:
        x: numbers.
        a_min: the lower bound; `None` for none.
        a_max: the upper bound; `None` for none. Where the bounds are the wrong way round, this one wins.
        min: instead of `a_min`.
        max: instead of `a_max`.
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise TypeError("clip: a bound was given twice: min is another name for a_min, max for a_max")
    low = min if a_min is None else a_min
    high = max if a_max is None else a_max
    return _clip(x, _OPEN_BELOW if low is None else low, _OPEN_ABOVE if high is None else high)


# ---------------------------------------------------------------------------------------------------------- activations


def _sigmoid_by_tanh(x: Any) -> Any:
    # In float32 tanh is the cheaper one. Its error is of a unit in the last place of 1.
    return 0.5 * tanh(0.5 * x) + 0.5 if x.dtype == np.float32 else NotImplemented


def _sigmoid_by_exp(x: Any) -> Any:
    return 1 / (1 + exp(-x))


@primitive(
    "elementwise",
    [lambda ct, out: ct * (out * (1 - out))],
    lowering=Lowering(formula=_sigmoid_by_tanh, values=_sigmoid_by_exp, nonexpansive=True),
)
def sigmoid(x: ArrayLike) -> Any:
    """σ(x) = 1 / (1 + e^−x). Derivative: σ (1 − σ), at most 1/4."""
    with np.errstate(over="ignore"):  # e^−x = inf gives 0, which is right
        return 1 / (1 + np.exp(np.multiply(x, -1.0)))


@primitive("elementwise", [lambda ct, x: ct * sigmoid(x)])
def softplus(x: ArrayLike) -> Any:
    """log(1 + e^x), without overflow. Derivative: σ(x)."""
    return np.maximum(x, 0) + np.log1p(np.exp(np.multiply(np.abs(x), -1.0)))


def log_sigmoid(x: ArrayLike) -> Tensor:
    """log σ(x) = −log(1 + e^−x), without overflow. Derivative: σ(−x)."""
    return negative(softplus(multiply(x, -1.0)))


@primitive(
    "elementwise",
    [lambda ct, out: where(out <= 0, 0, ct)],
    lowering=Lowering(values=lambda x: maximum(x, 0), nonexpansive=True),
)
def relu(x: ArrayLike) -> Any:
    """max(x, 0). Derivative: 1 where x > 0, else 0 (0 at the kink, 1 at NaN: as PyTorch)."""
    return np.maximum(x, 0)


def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 0.01) -> Tensor:
    """x where x > 0, else `negative_slope` x. Derivative: 1 or `negative_slope`, which it is at 0 too."""
    z = _operand(x)
    return multiply(z, where(z > 0, np.ones((), z.dtype), negative_slope))


def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Tensor:
    """x where x > 0, else α (e^x − 1). Derivative: 1 or α e^x, at 0 the latter."""
    z = _operand(x)
    return relu(z) + alpha * expm1(where(z <= 0, z, 0))


def silu(x: ArrayLike) -> Tensor:
    """x σ(x), also called swish. It is NaN at −∞, its derivative at ±∞: PyTorch's too."""
    return multiply(x, sigmoid(x))


def softsign(x: ArrayLike) -> Tensor:
    """x / (1 + |x|), NaN at ±∞ (PyTorch's too). Derivative: 1 / (1 + |x|)²."""
    return divide(x, 1 + abs(x))


def _erf_rule(ct: Any, x: Any) -> Any:
    x = clip(x, -28, 28)  # beyond that e^(−x²) is 0 in float64, and the square of a float16 soon overflows
    return ct * (2 / math.sqrt(math.pi) * exp(-(x * x)))


@primitive("elementwise", [_erf_rule])
def erf(x: ArrayLike) -> Any:
    """2/√π ∫₀ˣ e^(−t²) dt. Derivative: 2/√π e^(−x²).

    NumPy has none: this is `math.erf` of one number after the other, some 50 times as slow as tanh.
    """
    x = np.asarray(x)
    values = np.fromiter(map(math.erf, x.ravel().tolist()), float, x.size)
    return values.reshape(x.shape).astype(np.result_type(x, np.float16))


def gelu(x: ArrayLike, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """x Φ(x) = x (1 + erf(x/√2)) / 2, Φ the normal distribution's.

    With `approximate="tanh"` it is x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2: within 0.0005 of it, and much faster.
    Both are NaN at −∞, their derivatives at ±∞: PyTorch's too.
    """
    if approximate == "none":
        shape = erf(multiply(x, math.sqrt(0.5)))
    elif approximate == "tanh":
        z = clip(x, -10, 10)  # beyond that tanh is ±1 in float64, and the cube of a float16 soon overflows
        shape = tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * (z * z * z)))
    else:
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return multiply(multiply(x, 0.5), 1 + shape)


def _operand(x: ArrayLike) -> Any:
    """x as something with operators: a tensor or an array."""
    return x if isinstance(x, Tensor) else np.asarray(x)
