"""What all three have in common outside the loop: inputs with their bias, the output layer and the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Inputs", "Output"]

Array = np.ndarray[Any, np.dtype[Any]]


class Inputs:
    """x_t with a 1 after it: the bias goes along with the product, and its gradient with the weight's."""

    def __init__(self, xs: Array) -> None:
        self.xs = xs
        self.array = np.ones((*xs.shape[:2], xs.shape[2] + 1), xs.dtype)

    def __call__(self) -> Array:
        """[T, B, I + 1]"""
        self.array[:, :, :-1] = self.xs
        return self.array


class Output:
    """z = W h + b [V, N], L = mean over N of −log softmax(z)[label]; ∂L/∂z = (softmax(z) − onehot) / N.

    Classes come first: sums over a short last axis are slow.
    """

    def __init__(self, W: Array, b: Array, labels: Array) -> None:
        self.W, self.b = W, b
        V, N = len(W), labels.size
        self.z, self.row = np.empty((V, N), W.dtype), np.empty(N, W.dtype)
        self.places = labels.reshape(-1) * N + np.arange(N)  # of z's entries for the labels
        self.ones = np.ones(V, W.dtype)

    def __call__(self, h: Array) -> tuple[float, Array, dict[str, Array]]:
        """L, ∂L/∂zᵀ [N, V] and the gradients of W and b; h is [N, H]."""
        z, row = self.z, self.row
        N = len(row)
        np.matmul(self.W, h.T, out=z)
        z += self.b[:, None]
        z -= np.maximum.reduce(z, 0, out=row)
        loss = -float(z.reshape(-1).take(self.places).sum(dtype=np.float64))
        np.exp(z, z)
        np.dot(self.ones, z, row)
        loss += float(np.log(row).sum(dtype=np.float64))
        np.divide(1 / N, row, row)
        z *= row
        z.reshape(-1)[self.places] -= 1 / N
        return loss / N, z.T, {"W_out": np.matmul(z, h), "b_out": np.add.reduce(z, 1)}
