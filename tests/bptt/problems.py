"""Small seeded networks, and the tests' measure of agreement."""

from dataclasses import fields
from typing import NamedTuple

import numpy as np

from tinygrad_rnn.bptt import Activation, Gradients, Parameters
from tinygrad_rnn.bptt.model import FloatArray, IntArray

ACTIVATIONS: tuple[Activation, ...] = ("tanh", "relu", "sigmoid", "identity")
NAMES = tuple(field.name for field in fields(Parameters))


class Problem(NamedTuple):
    parameters: Parameters
    xs: FloatArray
    labels: IntArray


def problem(T: int = 5, I: int = 3, H: int = 4, O: int = 3, seed: int = 0, scale: float = 1.0) -> Problem:  # noqa: E741
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> FloatArray:
        return np.asarray(scale * rng.normal(size=shape) / np.sqrt(shape[-1]))

    parameters = Parameters(
        W_xh=normal(H, I), W_hh=normal(H, H), b_h=normal(H), W_hy=normal(O, H), b_y=normal(O), h0=normal(H)
    )
    return Problem(parameters, rng.normal(size=(T, I)), rng.integers(O, size=T))


def assert_agree(got: Gradients, wanted: Gradients, rtol: float = 1e-12) -> None:
    """Each parameter's gradient, by the largest entry: single entries may cancel."""
    for name in NAMES:
        a, b = getattr(got, name), getattr(wanted, name)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= rtol * np.abs(b).max() + 1e-15, name
