"""Activations and losses as functions."""

from __future__ import annotations

from typing import Literal

from numpy.typing import ArrayLike

from .. import ops
from ..ops import (
    elu,
    gelu,
    inner,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
)
from ..ops import log_sigmoid as logsigmoid
from ..tape import Tensor

__all__ = [
    "cross_entropy",
    "elu",
    "gelu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "logsumexp",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]


def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Tensor:
    """x Wᵀ + b: x [..., in], weight [out, in], bias [out] give [..., out]."""
    out = inner(x, weight)
    return out if bias is None else ops.add(out, bias)


def cross_entropy(
    logits: ArrayLike, labels: ArrayLike, axis: int = -1, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Tensor:
    """−log softmax(logits)[label], averaged or summed over positions, or one for each.

    Args:
        logits: [..., C], classes on `axis` (the last: NumPy's habit; PyTorch's is the second).
        labels: integers in 0 … C − 1, of the logits' shape without `axis`.
        axis: where the classes are.
        reduction: "mean", "sum" or "none".

    Derivative: ŷ − y for each position (seed 000, the note after equation (5)).
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    losses = ops.cross_entropy(logits, labels, axis)
    if reduction == "none" or losses.shape == ():
        return losses
    return ops.mean(losses) if reduction == "mean" else ops.sum(losses)
