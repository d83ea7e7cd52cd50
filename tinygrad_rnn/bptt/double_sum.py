"""The second way: the double sum over the step t of the loss and the step k of the weights' use."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .model import Activation, FloatArray, Gradients, Parameters, check_sequence


@dataclass(frozen=True, eq=False)
class DoubleSum:
    """The gradients and the terms they are sums of; index [t-1, k-1] is the pair (t, k), zero where k > t."""

    loss: float  # L
    gradients: Gradients
    delta_h: FloatArray  # [T, T, H]  dL_t/dh_k = δz_tᵀ W_hy J_t … J_{k+1}
    terms: FloatArray  # [T, T]     Frobenius norm of the (t, k) term of dL/dW_hh


def double_sum(parameters: Parameters, xs: ArrayLike, labels: ArrayLike, activation: Activation = "tanh") -> DoubleSum:
    """The sums over pairs of steps, with the product's newest Jacobian on the left and the empty product I:

        dL/dW_hh = Σ_t Σ_{k<=t} δz_tᵀ W_hy (J_t J_{t-1} … J_{k+1}) ∂⁺h_k/∂W_hh        J_j = diag(f'(a_j)) W_hh

    and the same with W_xh and b_h. ∂⁺ is the immediate derivative, h_{k-1} held fixed: for a row vector r,
    r ∂⁺h_k/∂W_hh is the matrix (f'(a_k) ⊙ r) h_{k-1}ᵀ; with W_xh, x_k stands for h_{k-1}, and with b_h, 1.
    If h_0 = 0 the terms with k = 1 are zero: the first use of W_hh multiplies nothing.

    Shapes: xs [T, I], labels [T] of integers in 0 … O-1. relu'(0) is taken as 0. T²/2 products of [H, H] matrices.
    Source: 000, (4), (5), (7)-(13), put right as `MISPRINTS` says.
    Raises ValueError if xs or labels don't fit the parameters, or the activation is unknown.

    >>> half = np.full((1, 1), 0.5)
    >>> p = Parameters(W_xh=half, W_hh=half, b_h=half[0], W_hy=[[1], [-1]], b_y=[0, 0], h0=half[0])
    >>> double_sum(p, xs=np.zeros((3, 1)), labels=[0, 0, 0], activation="identity").terms.round(4)
    array([[0.1824, 0.    , 0.    ],
           [0.074 , 0.2221, 0.    ],
           [0.0332, 0.0997, 0.2327]])
    """
    inputs, targets = check_sequence("double_sum", parameters, xs, labels, activation)
    p, T, H = parameters, len(inputs), len(parameters.h0)

    # h[k] is h_k, so that h[:-1] are the states that the steps start from; the other arrays are from step 1 on.
    h = np.vstack([p.h0, np.empty((T, H))])
    slopes = np.empty((T, H))
    for t, driven in enumerate(inputs @ p.W_xh.T + p.b_h):
        h[t + 1], slopes[t] = _f_and_slope(activation, driven + p.W_hh @ h[t])
    z = h[1:] @ p.W_hy.T + p.b_y
    log_probabilities = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    one_hot = np.eye(len(p.b_y))[targets]
    delta_z = np.exp(log_probabilities) - one_hot
    J = slopes[:, :, np.newaxis] * p.W_hh  # diag(f'(a_j)) W_hh: row i of W_hh times f'(a_j)_i

    delta_h, terms = np.zeros((T, T, H)), np.zeros((T, T))
    dW_xh, dW_hh = np.zeros_like(p.W_xh), np.zeros_like(p.W_hh)
    db_h, dh0 = np.zeros_like(p.b_h), np.zeros_like(p.h0)
    for t in range(T):
        row = delta_z[t] @ p.W_hy
        product = np.eye(H)
        for k in range(t, -1, -1):
            delta_h[t, k] = row @ product
            through_f = delta_h[t, k] * slopes[k]
            term = np.outer(through_f, h[k])
            terms[t, k] = np.linalg.norm(term)
            dW_hh += term
            dW_xh += np.outer(through_f, inputs[k])
            db_h += through_f
            product = product @ J[k]  # older steps join on the right
        dh0 += row @ product
    gradients = Gradients(W_xh=dW_xh, W_hh=dW_hh, b_h=db_h, W_hy=delta_z.T @ h[1:], b_y=delta_z.sum(axis=0), h0=dh0)
    return DoubleSum(float(-(one_hot * log_probabilities).sum()), gradients, delta_h, terms)


def _f_and_slope(activation: Activation, a: FloatArray) -> tuple[FloatArray, FloatArray]:
    """f(a) and f'(a). The exponentials have negative arguments, so that none overflows and no digits cancel."""
    match activation:
        case "tanh":
            u = np.exp(-2 * np.abs(a))
            return np.sign(a) * (1 - u) / (1 + u), 4 * u / (1 + u) ** 2
        case "sigmoid":
            u = np.exp(-np.abs(a))
            return np.where(a < 0, u, 1.0) / (1 + u), u / (1 + u) ** 2
        case "relu":
            on = a > 0
            return np.where(on, a, 0.0), on.astype(np.float64)
        case "identity":
            return a, np.ones_like(a)
