"""Activations and losses as functions."""

from __future__ import annotations

from typing import Any, Literal

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
from ..ops.creation import argument, flags_checked
from ..tape import Tensor
from .arguments import generator, probability

__all__ = [
    "cross_entropy",
    "dropout",
    "elu",
    "gelu",
    "layer_norm",
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


def layer_norm(
    x: ArrayLike, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
) -> Tensor:
    """(x − μ) / √(σ² + ε) ⊙ weight + bias, with the mean μ and the variance σ² of the last axis (Ba et al. 2016)."""
    centred = ops.subtract(x, ops.mean(x, -1, keepdims=True))
    out = centred / ops.sqrt(ops.mean(ops.square(centred), -1, keepdims=True) + eps)
    if weight is not None:
        out = ops.multiply(out, weight)
    return out if bias is None else ops.add(out, bias)


def dropout(x: ArrayLike, p: float = 0.5, training: bool = True, rng: Any = None) -> Tensor:
    """x ⊙ m / (1 − p), each element of m being 0 with probability p, else 1; x itself when not training.

    `rng` is what `tinygrad_rnn.random.default_rng` takes. Raises `ValueError` for a p that isn't a number in 0 … 1.
    """
    x, p = argument("dropout", "x", x), probability("dropout", "p", p)
    flags_checked("dropout", training=training)
    if not training or p == 0:
        return x
    kept = generator("dropout", rng).bernoulli(1 - p, x.shape, x.dtype)
    return ops.multiply(x, kept if p == 1 else kept / (1 - p))


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
    return ops.cross_entropy(logits, labels, axis, reduction)
