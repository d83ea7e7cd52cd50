"""What everyone has to do: a training step of a layer of RNN, LSTM or GRU with an output layer and cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

__all__ = ["CELLS", "GATES", "SHAPES", "Cell", "Sizes", "Task", "task"]

Array = np.ndarray[Any, np.dtype[Any]]
Cell = Literal["RNN", "LSTM", "GRU"]
GATES: dict[Cell, int] = {"RNN": 1, "LSTM": 4, "GRU": 3}
CELLS: tuple[Cell, ...] = ("RNN", "LSTM", "GRU")


class Sizes(NamedTuple):
    """Of an input, a state and the output; the number of steps, and of sequences."""

    I: int  # noqa: E741
    H: int
    V: int
    T: int
    B: int

    def __str__(self) -> str:
        return ", ".join(f"{name}={n}" for name, n in zip(self._fields, self, strict=True))


SHAPES = (
    Sizes(64, 100, 64, 25, 1),
    Sizes(64, 128, 64, 50, 1),
    Sizes(64, 128, 64, 50, 32),
    Sizes(256, 512, 64, 50, 64),
    Sizes(32, 32, 32, 1000, 8),
    Sizes(128, 256, 128, 200, 16),
)


@dataclass(frozen=True)
class Task:
    """The numbers that everyone gets. The state is zeros at first; L is the mean over T · B."""

    cell: Cell
    sizes: Sizes
    weights: dict[str, Array]  # under PyTorch's names, and W_out [V, H], b_out [V]
    xs: Array  # [T, B, I]
    labels: Array  # [T, B]

    @property
    def recurrent(self) -> dict[str, Array]:
        """The weights of the layer."""
        return {name: w for name, w in self.weights.items() if not name.endswith("_out")}

    @property
    def states(self) -> int:
        """How many states a step carries."""
        return 2 if self.cell == "LSTM" else 1

    def h_0(self) -> Array:
        """A state of zeros [B, H]."""
        return np.zeros((self.sizes.B, self.sizes.H), self.xs.dtype)


def task(cell: Cell, sizes: Sizes, dtype: Any = np.float32) -> Task:
    """The task of a cell and sizes, always the same one."""
    I, H, V, T, B = sizes  # noqa: E741
    rng, rows = np.random.default_rng(0), GATES[cell] * H

    def uniform(*size: int) -> Array:
        return rng.uniform(-(H**-0.5), H**-0.5, size).astype(dtype)

    weights = {
        "weight_ih": uniform(rows, I),
        "weight_hh": uniform(rows, H),
        "bias_ih": uniform(rows),
        "bias_hh": uniform(rows),
        "W_out": uniform(V, H),
        "b_out": uniform(V),
    }
    return Task(cell, sizes, weights, rng.standard_normal((T, B, I)).astype(dtype), rng.integers(0, V, (T, B)))
