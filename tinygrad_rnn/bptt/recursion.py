"""The first way: the backward recursion, one step of time after the other, as a person writes it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .model import Activation, FloatArray, Gradients, Parameters, check_sequence


@dataclass(frozen=True, eq=False)
class Recursion:
    """The gradients and every intermediate quantity; row t-1 of a [T, ...] array is step t, row t of `h` is h_t."""

    loss: float  # L
    gradients: Gradients
    losses: FloatArray  # [T]       L_t
    h: FloatArray  # [T + 1, H]     h_0 … h_T
    delta_z: FloatArray  # [T, O]   δz_t = dL/dz_t
    delta_h: FloatArray  # [T, H]   δh_t = dL/dh_t, the total one: from the output at t and from every later step
    delta: FloatArray  # [T, H]     δ_t = dL/da_t, with a_t = W_hh h_{t-1} + W_xh x_t + b_h


def recursion(parameters: Parameters, xs: ArrayLike, labels: ArrayLike, activation: Activation = "tanh") -> Recursion:
    """Backpropagation through time, for t = T … 1, with δ_{T+1} = 0:

        δz_t    = ŷ_t - e_label(t)
        dL/dh_t = W_hyᵀ δz_t + W_hhᵀ δ_{t+1}
        δ_t     = f'(a_t) ⊙ dL/dh_t

        dL/dW_hy = Σ δz_t h_tᵀ      dL/dW_hh = Σ δ_t h_{t-1}ᵀ     dL/dh_0 = W_hhᵀ δ_1
        dL/db_y  = Σ δz_t           dL/dW_xh = Σ δ_t x_tᵀ         dL/db_h = Σ δ_t

    Shapes: xs [T, I], labels [T] of integers in 0 … O-1. relu'(0) is taken as 0.
    Source: 000, (4), (5) and the note after them; 001's "gradient calculation: hidden states" with the activation's
    derivative put back.
    Raises ValueError if xs or labels don't fit the parameters, or the activation is unknown.

    >>> one = np.ones((1, 1))
    >>> scalar = Parameters(W_xh=one, W_hh=one, b_h=one[0], W_hy=one, b_y=one[0], h0=one[0])
    >>> recursion(scalar, xs=[[0.0]], labels=[0]).loss  # one class: nothing to be wrong about
    0.0
    """
    inputs, targets = check_sequence("recursion", parameters, xs, labels, activation)
    T, H = len(inputs), len(parameters.h0)
    W_xh, W_hh, b_h = parameters.W_xh, parameters.W_hh, parameters.b_h
    W_hy, b_y = parameters.W_hy, parameters.b_y

    losses = np.empty(T)
    h = np.empty((T + 1, H))
    delta_z = np.empty((T, len(b_y)))
    h[0] = parameters.h0
    for t in range(1, T + 1):
        h[t] = _f(activation, W_hh @ h[t - 1] + W_xh @ inputs[t - 1] + b_h)
        z = W_hy @ h[t] + b_y
        exponentials = np.exp(z - z.max())
        label = targets[t - 1]
        losses[t - 1] = np.log(exponentials.sum()) - (z[label] - z.max())
        delta_z[t - 1] = exponentials / exponentials.sum()  # ŷ_t
        delta_z[t - 1, label] -= 1

    dW_xh, dW_hh, db_h = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(b_h)
    dW_hy, db_y = np.zeros_like(W_hy), np.zeros_like(b_y)
    delta_h, delta = np.empty((T, H)), np.empty((T, H))
    delta_next = np.zeros(H)
    for t in range(T, 0, -1):
        delta_h[t - 1] = W_hy.T @ delta_z[t - 1] + W_hh.T @ delta_next
        delta[t - 1] = _derivative(activation, h[t]) * delta_h[t - 1]
        dW_hy += np.outer(delta_z[t - 1], h[t])
        db_y += delta_z[t - 1]
        dW_hh += np.outer(delta[t - 1], h[t - 1])
        dW_xh += np.outer(delta[t - 1], inputs[t - 1])
        db_h += delta[t - 1]
        delta_next = delta[t - 1]
    gradients = Gradients(W_xh=dW_xh, W_hh=dW_hh, b_h=db_h, W_hy=dW_hy, b_y=db_y, h0=W_hh.T @ delta_next)
    return Recursion(float(losses.sum()), gradients, losses, h, delta_z, delta_h, delta)


def _f(activation: Activation, a: FloatArray) -> FloatArray:
    match activation:
        case "tanh":
            return np.tanh(a)
        case "sigmoid":
            return np.exp(-np.logaddexp(0.0, -a))  # 1 / (1 + e^-a), where e^-a would overflow too
        case "relu":
            return np.maximum(a, 0.0)
        case "identity":
            return a


def _derivative(activation: Activation, h: FloatArray) -> FloatArray:
    """f'(a) as a function of h = f(a): the backward pass needs nothing of the forward but h."""
    match activation:
        case "tanh":
            return 1 - h * h
        case "sigmoid":
            return h * (1 - h)
        case "relu":
            return (h > 0).astype(np.float64)
        case "identity":
            return np.ones_like(h)
