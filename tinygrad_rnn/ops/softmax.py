"""Softmax, its logarithm, and the loss made of it. All are shifted by the maximum, so that no exponential overflows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive, shape_of
from ..tape import Array, Lifted, Tensor
from .elementwise import astype, exp, multiply
from .reductions import Axis, _over, _restore, sum
from .shapes import expand_dims, inward

__all__ = ["cross_entropy", "log_softmax", "logsumexp", "softmax"]


def _shifted(x: ArrayLike, axis: tuple[int, ...]) -> tuple[Array, Array]:
    """x − max x, and max x. Where that is infinite, the difference is NaN."""
    x = np.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(float)
    top = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        return x - top, top


def _total(e: Array, axis: tuple[int, ...]) -> Array:
    """The sum of exponentials; of float16 in float32, where that of 100,000 classes doesn't overflow."""
    return np.add.reduce(e, axis=axis, keepdims=True, dtype=np.float32 if e.dtype.char == "e" else None)


def _log_total(shifted: Array, axis: tuple[int, ...]) -> Array:
    with np.errstate(divide="ignore"):  # of nothing it is log 0 = −∞
        return np.log(_total(np.exp(shifted), axis))


@primitive(
    "general",
    [lambda ct, x, axis: _restore(ct, x.shape, axis) * softmax(x, axis)],
    batch=lambda x, axis, keepdims: logsumexp(x, inward(axis), keepdims),
)
def _logsumexp(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    shifted, top = _shifted(x, axis)
    out = np.where(np.isinf(top), top, _log_total(shifted, axis) + top).astype(top.dtype)
    return out if keepdims else np.squeeze(out, axis)


def logsumexp(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log Σ e^x over the axes, without overflow; of nothing, −∞. Derivative: softmax(x).

    Where all x are −∞, it is −∞; where one is +∞, it is +∞. There softmax, and so the gradient, is NaN. (PyTorch's is
    0 at the finite elements beside a +∞.)
    """
    return _logsumexp(x, axis=_over("logsumexp", x, axis), keepdims=keepdims)


@primitive(
    "general",
    [lambda ct, out, axis: ct - multiply(exp(out), sum(ct, axis, keepdims=True))],
    batch=lambda x, axis: log_softmax(x, inward(axis)),
)
def _log_softmax(x: ArrayLike, *, axis: tuple[int, ...]) -> Any:
    shifted, _ = _shifted(x, axis)
    return (shifted - _log_total(shifted, axis)).astype(shifted.dtype, copy=False)


def log_softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Tensor:
    """x − log Σ e^x: the logarithm of softmax, without loss of accuracy. Derivative: c − softmax(x) Σ c.

    Of one class it is 0, with a gradient of 0. NaN where softmax is.
    """
    return _log_softmax(x, axis=_over("log_softmax", x, axis))


@primitive(
    "general",
    [lambda ct, out, axis: out * (ct - sum(ct * out, axis, keepdims=True))],
    batch=lambda x, axis: softmax(x, inward(axis)),
)
def _softmax(x: ArrayLike, *, axis: tuple[int, ...]) -> Any:
    shifted, _ = _shifted(x, axis)
    e = np.exp(shifted)
    return (e / _total(e, axis)).astype(e.dtype, copy=False)


def softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Tensor:
    """ŷ = e^x / Σ e^x along an axis. Derivative: ŷ ⊙ (c − ⟨c, ŷ⟩).

    An x of −∞ has the share 0 and the gradient 0. If all are −∞, or one is +∞, then everything is NaN, as PyTorch's.
    """
    return _softmax(x, axis=_over("softmax", x, axis))


def _cross_entropy_rule(ct: Any, x: Any, labels: Any, axis: int) -> Any:
    """∂L/∂z = ŷ − y: the softmax less one at the label."""
    classes = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    one_hot = astype(expand_dims(labels, axis) == classes, x.dtype)
    return (softmax(x, axis) - one_hot) * _restore(ct, x.shape, (axis,))


@primitive("general", [_cross_entropy_rule, None], batch=lambda x, labels, axis: cross_entropy(x, labels, axis + 1))
def _cross_entropy(x: ArrayLike, labels: ArrayLike, *, axis: int) -> Any:
    shifted, _ = _shifted(x, (axis,))
    labels = np.asarray(labels)
    rows = np.moveaxis(shifted, axis, -1).reshape(labels.size, shifted.shape[axis])
    chosen = rows[np.arange(labels.size), labels.reshape(-1)].reshape(labels.shape)
    return (_log_total(shifted, (axis,)).reshape(labels.shape) - chosen).astype(shifted.dtype, copy=False)


def cross_entropy(x: ArrayLike, labels: ArrayLike, axis: int = -1) -> Tensor:
    """−log softmax(x)[label] for each position: logits [..., C], integer labels [...], result [...].

    Derivative: ŷ − y, softmax less one-hot (seed 000, the note after equation (5)). NaN where softmax is.
    """
    (axis,) = _over("cross_entropy", x, axis)
    shape = shape_of(x)
    plain = labels.value if type(labels) is Tensor else labels
    index: Any = plain if isinstance(plain, Lifted) else np.asarray(plain)
    if index.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: labels must be integers, got dtype {index.dtype}")
    if index.shape != shape[:axis] + shape[axis + 1 :]:
        raise ValueError(
            f"cross_entropy: logits of shape {shape} with classes on axis {axis} want labels of shape "
            f"{shape[:axis] + shape[axis + 1 :]}, got {index.shape}"
        )
    # Lifted labels are looked at when the batching rule calls this with those of all examples.
    if not isinstance(index, Lifted) and index.size and not (index.min() >= 0 and index.max() < shape[axis]):
        raise ValueError(
            f"cross_entropy: labels must lie in 0 … {shape[axis] - 1}, got {int(index.min())} … {int(index.max())}"
        )
    return _cross_entropy(x, index, axis=axis)
