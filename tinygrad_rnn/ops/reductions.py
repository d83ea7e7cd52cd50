"""Reductions over axes, and the softmax family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive, shape_of
from ..tape import Array, Tensor
from .elementwise import divide, exp, multiply, where
from .shapes import _axes, broadcast_to, inward, reshape

__all__ = ["cross_entropy", "log_softmax", "logsumexp", "max", "mean", "softmax", "sum"]

Axis = int | Sequence[int] | None


def _over(what: str, x: ArrayLike, axis: Axis) -> tuple[int, ...]:
    """The axes to reduce over, sorted: all of them for `None`."""
    return tuple(range(len(shape_of(x)))) if axis is None else tuple(sorted(_axes(what, axis, len(shape_of(x)))))


def _restore(reduced: Any, x_shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """A reduced array with its lost axes back, of length 1."""
    return reshape(reduced, tuple(1 if i in axis else n for i, n in enumerate(x_shape)))


@primitive(
    "linear",
    [lambda ct, x_shape, axis: broadcast_to(_restore(ct, x_shape, axis), x_shape)],
    batch=lambda x, axis, keepdims: sum(x, inward(axis), keepdims),
)
def _sum(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return np.sum(x, axis=axis, keepdims=keepdims)


def sum(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x over an axis, several, or all. Every element gets the gradient of the sum that it is in."""
    return _sum(x, axis=_over("sum", x, axis), keepdims=keepdims)


def mean(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes divided by how many there are; of none, NaN."""
    axes = _over("mean", x, axis)
    shape = shape_of(x)
    count = int(np.prod([shape[a] for a in axes], dtype=int))
    return divide(_sum(x, axis=axes, keepdims=keepdims), count or float("nan"))


def _max_rule(ct: Any, x: Any, out: Any, axis: Any) -> Any:
    chosen = x == _restore(out, x.shape, axis)
    share = 1 / np.add.reduce(chosen, axis=axis, keepdims=True, dtype=ct.dtype)
    return where(chosen, _restore(ct, x.shape, axis) * share, 0)


@primitive("general", [_max_rule])
def _max(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    try:
        return np.max(np.asarray(x), axis=axis, keepdims=keepdims)
    except ValueError:
        raise ValueError(f"there is no largest of no elements: shape {shape_of(x)} over axis {axis}") from None


def max(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over the axes. Elements that tie for it share its gradient equally."""
    return _max(x, axis=_over("max", x, axis), keepdims=keepdims)


# ----------------------------------------------------------------------------------------------- softmax and its log


def _shifted(x: ArrayLike, axis: tuple[int, ...]) -> tuple[Array, Array]:
    """x − max x, and max x: no exponential overflows. An infinite maximum counts as the largest finite number."""
    x = np.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(float)
    limit = np.finfo(x.dtype).max
    top = np.minimum(np.max(x, axis=axis, keepdims=True, initial=-limit), limit)
    with np.errstate(over="ignore"):
        return x - top, top


@primitive("general", [lambda ct, x, axis: _restore(ct, x.shape, axis) * softmax(x, axis)])
def _logsumexp(x: ArrayLike, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    shifted, top = _shifted(x, axis)
    with np.errstate(divide="ignore"):  # log 0 = -inf is the right sum of no probability
        out = np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis)


def logsumexp(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log Σ e^x over the axes, without overflow. Derivative: softmax(x)."""
    return _logsumexp(x, axis=_over("logsumexp", x, axis), keepdims=keepdims)


@primitive("general", [lambda ct, out, axis: ct - multiply(exp(out), sum(ct, axis, keepdims=True))])
def _log_softmax(x: ArrayLike, *, axis: tuple[int, ...]) -> Any:
    shifted, _ = _shifted(x, axis)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True))


def log_softmax(x: ArrayLike, axis: int = -1) -> Tensor:
    """x − log Σ e^x: the logarithm of softmax, without loss of accuracy."""
    return _log_softmax(x, axis=_over("log_softmax", x, axis))


@primitive("general", [lambda ct, out, axis: out * (ct - sum(ct * out, axis, keepdims=True))])
def _softmax(x: ArrayLike, *, axis: tuple[int, ...]) -> Any:
    shifted, _ = _shifted(x, axis)
    e = np.exp(shifted)
    return e / np.add.reduce(e, axis=axis, keepdims=True)


def softmax(x: ArrayLike, axis: int | tuple[int, ...] = -1) -> Tensor:
    """ŷ = e^x / Σ e^x along an axis. Derivative: ŷ ⊙ (c − ⟨c, ŷ⟩)."""
    return _softmax(x, axis=_over("softmax", x, axis))


def _cross_entropy_rule(ct: Any, x: Any, labels: Any, axis: int) -> Any:
    """∂L/∂z = ŷ − y: the softmax less one at the label."""
    classes = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    index = np.expand_dims(getattr(labels, "value", labels), axis)
    one_hot = (classes == index).astype(x.dtype)
    return (softmax(x, axis) - one_hot) * _restore(ct, x.shape, (axis,))


@primitive("general", [_cross_entropy_rule, None])
def _cross_entropy(x: ArrayLike, labels: ArrayLike, *, axis: int) -> Any:
    shifted, _ = _shifted(x, (axis,))
    index = np.expand_dims(np.asarray(labels), axis)
    total = np.log(np.add.reduce(np.exp(shifted), axis=axis))
    return total - np.squeeze(np.take_along_axis(shifted, index, axis), axis)


def cross_entropy(x: ArrayLike, labels: ArrayLike, axis: int = -1) -> Tensor:
    """−log softmax(x)[label] for each position: logits [..., C], integer labels [...], result [...].

    Derivative: ŷ − y, softmax less one-hot (seed 000, the note after equation (5)).
    """
    (axis,) = _over("cross_entropy", x, axis)
    shape = shape_of(x)
    index = np.asarray(getattr(labels, "value", labels))
    if index.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: labels must be integers, got dtype {index.dtype}")
    if index.shape != shape[:axis] + shape[axis + 1 :]:
        raise ValueError(
            f"cross_entropy: logits of shape {shape} with classes on axis {axis} want labels of shape "
            f"{shape[:axis] + shape[axis + 1 :]}, got {index.shape}"
        )
    if index.size and not (index.min() >= 0 and index.max() < shape[axis]):
        raise ValueError(
            f"cross_entropy: labels must lie in 0 … {shape[axis] - 1}, got {int(index.min())} … {int(index.max())}"
        )
    return _cross_entropy(x, index, axis=axis)
