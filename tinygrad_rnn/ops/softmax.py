"""Softmax, its logarithm, and the loss made of it, shifted by the maximum where exponentials would leave the range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import Lowering, primitive, shape_of
from ..tape import Array, Lifted, Tensor
from .elementwise import exp, log, multiply, where
from .products import _rows
from .reductions import Axis, _over, _restore, max, sum
from .shapes import _axis, broadcast_to, expand_dims, inward, moveaxis, reshape, squeeze

__all__ = ["cross_entropy", "log_softmax", "logsumexp", "softmax"]


def _exponentials(x: Array, axis: tuple[int, ...]) -> tuple[Array, Array, Array, Array | float]:
    """x − s, e^(x − s) in an array of its own, Σ e^(x − s) over the axes, and the shift s.

    s is 0 if every Σ e^x is finite and not below ½: then no term has overflowed, and a share in the sum that its term's
    underflow has spoilt is no normal number either. To see that takes less time than the maxima of many short rows, and
    e^x itself is more exact. Else s is max x over the axes; where that is infinite, x − s is NaN. float16 is worked out
    in float32, where the sum of 100,000 classes doesn't overflow.
    """
    top: Array | float = 0.0
    wide = np.float32 if x.dtype.char == "e" else None
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.asarray(np.exp(x, order="C", dtype=wide))
        total = _total(e, axis)
        if not (total.min(initial=1) >= 0.5 and total.max(initial=1) < np.inf):
            top = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
            x = x - top
            e = np.asarray(np.exp(x, order="C", dtype=wide))
            total = _total(e, axis)
    return x, e, total, top


def _total(e: Array, axis: tuple[int, ...]) -> Array:
    """Σ e over the axes, kept with length 1. Many short rows are multiplied by ones: NumPy adds up each by itself."""
    if axis == (e.ndim - 1,) and e.shape[-1] <= 256:  # the sum of a long one is more exact in NumPy's way
        total: Array = _rows(e).dot(np.ones(e.shape[-1], e.dtype)).reshape(*e.shape[:-1], 1)
        return total
    return np.add.reduce(e, axis=axis, keepdims=True)


def _log_share(x: Array, e: Array, total: Array, places: Any = ...) -> Array:
    """log(e / Σ e) of e at some places: x − log Σ e, but that loses the digits of a share near 1 where x is large."""
    share: Array = e[places] / total
    least = _least_share(e.dtype)
    if share.min(initial=1) > least:
        return np.log(share)
    with np.errstate(divide="ignore"):
        return np.where(share > least, np.log(share), x[places] - np.log(total))


def _least_share(dtype: np.dtype[Any]) -> float:
    """What is smaller has lost its digits."""
    return 2.0 ** (8 - np.finfo(dtype).maxexp)


def _floats(x: ArrayLike) -> Array:
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(float)


def _unfused(formula: Callable[[Any, Any, Any, Any], Any]) -> Lowering:
    """A function of x − s, e^(x − s), Σ e^(x − s) and s, where s is always max x, in simple operations."""

    def unfused(x: Any, axis: tuple[int, ...], keepdims: bool = True) -> Any:
        if x.dtype.char not in "fd":  # float16 is worked out in float32
            return NotImplemented
        top = max(x, axis, keepdims=True)
        e = exp(x - top)
        out = formula(x - top, e, sum(e, axis, keepdims=True), top)
        return out if keepdims else squeeze(out, axis)

    return Lowering(unfused=unfused)


@primitive(
    "general",
    [lambda ct, x, axis: _restore(ct, x.shape, axis) * softmax(x, axis)],
    batch=lambda x, axis, keepdims: logsumexp(x, inward(axis), keepdims),
    lowering=_unfused(lambda shifted, e, total, top: where(abs(top) == np.inf, top, log(total) + top)),
)
def _logsumexp(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    x = _floats(x)
    _, _, total, top = _exponentials(x, axis)
    with np.errstate(divide="ignore"):  # of nothing it is log 0 = −∞
        out = np.log(total)
    out = np.where(np.isinf(top), top, out + top)
    return (out if keepdims else np.squeeze(out, axis)).astype(x.dtype, copy=False)


def logsumexp(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log Σ e^x over the axes, without overflow; of nothing, −∞. Derivative: softmax(x).

    Where all x are −∞, it is −∞; where one is +∞, it is +∞. There softmax, and so the gradient, is NaN. (PyTorch's is
    0 at the finite elements beside a +∞.)
    """
    return _logsumexp(x, axis=_over("logsumexp", x, axis), keepdims=keepdims)


def _log_share_unfused(shifted: Any, e: Any, total: Any, top: Any) -> Any:
    share, least = e / total, _least_share(e.dtype)
    return where(share > least, log(share), shifted - log(total))


@primitive(
    "general",
    [lambda ct, out, axis: ct - multiply(exp(out), sum(ct, axis, keepdims=True))],
    batch=lambda x, axis: log_softmax(x, inward(axis)),
    lowering=_unfused(_log_share_unfused),
)
def _log_softmax(x: ArrayLike, *, axis: tuple[int, ...]) -> Any:
    x = _floats(x)
    shifted, e, total, _ = _exponentials(x, axis)
    return _log_share(shifted, e, total).astype(x.dtype, copy=False)


def log_softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Tensor:
    """x − log Σ e^x: the logarithm of softmax, without loss of accuracy. Derivative: c − softmax(x) Σ c.

    Of one class it is 0, with a gradient of 0. NaN where softmax is.
    """
    return _log_softmax(x, axis=_over("log_softmax", x, axis))


@primitive(
    "general",
    [lambda ct, out, axis: out * (ct - sum(ct * out, axis, keepdims=True))],
    batch=lambda x, axis: softmax(x, inward(axis)),
    lowering=_unfused(lambda shifted, e, total, top: e / total),
)
def _softmax(x: ArrayLike, *, axis: tuple[int, ...]) -> Any:
    x = _floats(x)
    _, e, total, _ = _exponentials(x, axis)
    return np.divide(e, total, e).astype(x.dtype, copy=False)


def softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Tensor:
    """ŷ = e^x / Σ e^x along an axis. Derivative: ŷ ⊙ (c − ⟨c, ŷ⟩).

    An x of −∞ has the share 0 and the gradient 0. If all are −∞, or one is +∞, then everything is NaN, as PyTorch's.
    """
    return _softmax(x, axis=_over("softmax", x, axis))


def _at_labels(labels: Array, classes: int) -> Array:
    """Where in an array of logits, taken as one row, those of the labels are."""
    return np.arange(0, labels.size * classes, classes) + labels.reshape(-1).astype(np.intp, copy=False)


def _error_x(ct: Any, x: Any, weights: Any) -> Any:
    ct, y = ct * expand_dims(weights, -1), softmax(x)
    return y * (ct - sum(ct * y, -1, keepdims=True))


def _error_weights(ct: Any, x: Any, labels: Any, weights_shape: Any) -> Any:
    found = ct * _error(x, labels, np.ones(weights_shape, x.dtype))
    return sum(found, -1 if weights_shape else None)


def _errors_of_examples(x: Any, labels: Any, weights: Any) -> Any:
    positions = x.shape[:-1]
    aligned = reshape(weights, (*weights.shape, *(1,) * (len(positions) - weights.ndim)))
    return _error(x, labels, broadcast_to(aligned, positions))


@primitive("general", [_error_x, None, _error_weights], batch=_errors_of_examples)
def _error(x: ArrayLike, labels: ArrayLike, weights: ArrayLike) -> Any:
    """(ŷ − y) w: softmax less one at the label, for each position by a number, or for all by one."""
    x, labels, weights = _floats(x), np.asarray(labels), np.asarray(weights)
    _, e, total, _ = _exponentials(x, (x.ndim - 1,))
    flat, places = e.reshape(-1), _at_labels(labels, x.shape[-1])
    at_labels = ((flat[places] / total.reshape(-1) - 1).reshape(labels.shape) * weights).reshape(-1)
    e *= weights[..., None] / total
    flat[places] = at_labels
    return e.astype(x.dtype, copy=False)


def _cross_entropy_batch(x: Any, labels: Any, count: float | None) -> Any:
    losses = cross_entropy(x, labels)
    return losses if count is None else sum(losses, tuple(range(1, losses.ndim))) / count


@primitive(
    "general",
    [lambda ct, x, labels, count: _error(x, labels, ct if count is None else ct / count), None],
    batch=_cross_entropy_batch,
)
def _cross_entropy(x: ArrayLike, labels: ArrayLike, *, count: float | None) -> Any:
    x, labels = _floats(x), np.asarray(labels)
    shifted, e, total, _ = _exponentials(x, (x.ndim - 1,))
    shares = _log_share(shifted.reshape(-1), e.reshape(-1), total.reshape(-1), _at_labels(labels, x.shape[-1]))
    out = -shares.reshape(labels.shape) if count is None else np.asarray(-np.add.reduce(shares) / count)
    return out.astype(x.dtype, copy=False)


def cross_entropy(
    x: ArrayLike, labels: ArrayLike, axis: int = -1, reduction: Literal["mean", "sum", "none"] = "none"
) -> Tensor:
    """−log softmax(x)[label]: logits [..., C], integer labels [...], result [...]; or their mean or sum.

    Derivative: ŷ − y, softmax less one-hot (seed 000, the note after equation (5)). NaN where softmax is; the mean of
    no positions is NaN.
    """
    shape = shape_of(x)
    axis = _axis("cross_entropy", axis, len(shape))
    wanted = shape[:axis] + shape[axis + 1 :]
    plain = labels.value if type(labels) is Tensor else labels
    index: Any = plain if isinstance(plain, Lifted) else np.asarray(plain)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    if index.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: labels must be integers, got dtype {index.dtype}")
    if index.shape != wanted:
        raise ValueError(
            f"cross_entropy: logits of shape {shape} with classes on axis {axis} want labels of shape {wanted}, "
            f"got {index.shape}"
        )
    # Lifted labels are looked at when the batching rule calls this with those of all examples.
    if not isinstance(index, Lifted) and index.size and index.astype(np.uintp).max() >= shape[axis]:  # −1 is very large
        raise ValueError(
            f"cross_entropy: labels must lie in 0 … {shape[axis] - 1}, got {int(index.min())} … {int(index.max())}"
        )
    count = None if reduction == "none" or not wanted else 1.0 if reduction == "sum" else math.prod(wanted) or math.nan
    return _cross_entropy(x if axis == len(wanted) else moveaxis(x, axis, -1), index, count=count)
