"""How the numbers of a time step lie in memory, and the products that this makes possible.

In rows, a state is [B, H] and a step multiplies h [B, H] by W [H, G]; in columns, a state is [H, B] and a step
multiplies W [G, H] by h [H, B]. OpenBLAS prefers rows while a product is small, columns when it is large.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["Columns", "Layout", "Product", "Rows"]

Array = np.ndarray[Any, np.dtype[Any]]


class Product:
    """out_t = a_t W in a loop over t, W being [K, N]: in one piece, or in blocks that OpenBLAS need not pack.

    OpenBLAS has a kernel for products of up to 10⁶ multiplications that leaves W where it is; a larger one copies
    W at every step, which is most of its time for few rows. Blocks below that bound, in one call of matmul, are up to
    2.5 times as fast. Which is best is measured here.
    """

    def __init__(self, B: int, K: int, N: int, dtype: Any) -> None:
        self.shape = B, K, N
        a, W, out = np.ones((1, *self._sized(K)), dtype), np.ones((K, N), dtype), np.ones((1, *self._sized(N)), dtype)
        took = {}
        for blocks in self._candidates():
            self.rows, self.columns = blocks
            took[blocks] = _time(self.call, self.left(a)[0], self.prepared(W), self.out(out)[0])
        self.rows, self.columns = min(took, key=lambda blocks: took[blocks])

    def _sized(self, n: int) -> tuple[int, int]:
        return self.shape[0], n

    def _candidates(self) -> Iterator[tuple[int, int]]:
        """Into how many blocks the rows of a and the columns of W might be cut."""
        B, _, N = self.shape
        for rows, columns in itertools.product((1, 2, 4, 8), (1, 2, 4, 8, 16)):
            if B == 1 and columns > 1:
                continue
            if B % rows == N % columns == 0 and (rows == 1 or B // rows >= 4) and (columns == 1 or N // columns >= 32):
                yield rows, columns

    @property
    def call(self) -> Callable[[Array, Array, Array], Any]:
        """What to call in the loop: with one of `left`, `prepared` and one of `out`."""
        return np.dot if self.rows * self.columns == 1 else np.matmul

    def prepared(self, W: Array) -> Array:
        """W, once a training step. For a single row it doesn't matter how W lies."""
        if self.shape[0] == 1:
            return W
        if self.columns == 1:
            return np.ascontiguousarray(W)
        return np.ascontiguousarray(W.reshape(len(W), self.columns, -1).transpose(1, 0, 2))

    def left(self, a: Array) -> list[Array]:
        """Views of a_t, for all t."""
        T, B, K = a.shape
        return list(a if self.rows == 1 else a.reshape(T, self.rows, 1, B // self.rows, K))

    def out(self, out: Array) -> list[Array]:
        """Views of out_t, for all t."""
        T, B, N = out.shape
        if self.rows * self.columns == 1:
            return list(out)
        blocks = out.reshape(T, self.rows, B // self.rows, self.columns, N // self.columns).transpose(0, 1, 3, 2, 4)
        return list(blocks if self.rows > 1 else blocks[:, 0])


class _Turned(Product):
    """out_t = Wᵀ a_t with a_t [K, B] and out_t [N, B]; W in blocks of columns again."""

    def _sized(self, n: int) -> tuple[int, int]:
        return n, self.shape[0]

    def _candidates(self) -> Iterator[tuple[int, int]]:
        return ((1, columns) for columns in (1, 2, 4, 8, 16, 32) if self.shape[2] % columns == 0)

    @property
    def call(self) -> Callable[[Array, Array, Array], Any]:
        product = super().call
        return lambda a, W, out: product(W, a, out)

    def prepared(self, W: Array) -> Array:
        W = W.T if self.shape[0] == 1 else np.ascontiguousarray(W.T)
        return W if self.columns == 1 else W.reshape(self.columns, -1, W.shape[1])

    def left(self, a: Array) -> list[Array]:
        return list(a)

    def out(self, out: Array) -> list[Array]:
        return list(out if self.columns == 1 else out.reshape(len(out), self.columns, -1, out.shape[2]))


class Layout:
    """Arrays of T steps. Slots are things of a state's size (gates, say): [S, T, *state], a step's in one piece.

    A ufunc takes 0.8 µs if its arguments lie in one piece, and 2 to 3.5 µs if they don't, or are broadcast.
    """

    state: tuple[int, int]

    def __init__(self, T: int, B: int, H: int, dtype: Any) -> None:
        self.T, self.B, self.H, self.dtype = T, B, H, dtype

    def states(self, T: int) -> Array:
        """[T, *state]"""
        return np.zeros((T, *self.state), self.dtype)

    def slots(self, S: int, T: int) -> Array:
        """Slots for elementwise work."""
        return np.zeros((T, S, *self.state), self.dtype).swapaxes(0, 1)


class Rows(Layout):
    """States [B, H]; what a step multiplies is [B, S H]."""

    def __init__(self, T: int, B: int, H: int, dtype: Any) -> None:
        super().__init__(T, B, H, dtype)
        self.state = (B, H)

    def together(self, S: int, T: int) -> tuple[Array, Array]:
        """Slots for products, and the same as matrices [T, B, S H]."""
        a = np.zeros((T, self.B, S, self.H), self.dtype)
        return a.transpose(2, 0, 1, 3), a.reshape(T, self.B, -1)

    def within(self, matrices: Array, i: int, j: int) -> Array:
        """Slots i to j as matrices."""
        return matrices[:, :, i * self.H : j * self.H]

    def product(self, K: int, N: int) -> Product:
        """For the loop."""
        return Product(self.B, K, N, self.dtype)

    def flat(self, a: Array) -> Array:
        """The steps' matrices one below the other, [T B, n]; a view."""
        return np.lib.stride_tricks.as_strided(a, (self.B * len(a), a.shape[2]), a.strides[1:])

    def hoisted(self, x: Array, W: Array, out: Array) -> None:
        """Slots out = x_t Wᵀ for all t: x [T, B, K], W [S H, K]."""
        T, B, H, S = self.T, self.B, self.H, len(out)
        x = x.reshape(T * B, -1)
        if B == 1:
            np.matmul(x, W.T, out=np.lib.stride_tricks.as_strided(out, (T, S * H), out.strides[1::2]))
        elif S == 1 and out[0].flags.c_contiguous:
            np.matmul(x, W.T, out=out.reshape(T * B, H))
        else:
            out[...] = np.matmul(x, W.T).reshape(T, B, S, H).transpose(2, 0, 1, 3)


class Columns(Layout):
    """States [H, B]; what a step multiplies is [S H, B]."""

    def __init__(self, T: int, B: int, H: int, dtype: Any) -> None:
        super().__init__(T, B, H, dtype)
        self.state = (H, B)

    def together(self, S: int, T: int) -> tuple[Array, Array]:
        a: Array = np.zeros((T, S, self.H, self.B), self.dtype)
        return a.transpose(1, 0, 2, 3), a.reshape(T, -1, self.B)

    def within(self, matrices: Array, i: int, j: int) -> Array:
        return matrices[:, i * self.H : j * self.H]

    def product(self, K: int, N: int) -> Product:
        return _Turned(self.B, K, N, self.dtype)

    def flat(self, a: Array) -> Array:
        return np.ascontiguousarray(a.transpose(1, 0, 2)).reshape(a.shape[1], -1).T

    def hoisted(self, x: Array, W: Array, out: Array) -> None:
        S = len(out)
        np.matmul(W.reshape(S, 1, self.H, -1), x.transpose(0, 2, 1), out=out)


def _time(f: Callable[..., Any], *arguments: Any) -> float:
    f(*arguments)
    best = np.inf
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(5):
            f(*arguments)
        best = min(best, time.perf_counter() - start)
    return best
