"""The third way: no derivation at all. The loss, computed again with one parameter's entry moved a little."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .model import Activation, FloatArray, IntArray, Parameters, check_sequence

# float64 or complex128: the loss is one formula for both.
_Number: TypeAlias = NDArray[np.inexact[Any]]

# Perturbed copies of a parameter that are in memory at one time.
_COPIES = 64


@dataclass(frozen=True, eq=False)
class Samples:
    """values[s] is dL/d of the entry indices[s] of one parameter, counted in its flattened (C) order."""

    indices: IntArray  # [S]
    values: FloatArray  # [S]

    def of(self, gradient: FloatArray) -> FloatArray:
        """The same entries of a gradient found another way, to set beside `values`."""
        return gradient.ravel()[self.indices]


def complex_step(
    parameters: Parameters,
    xs: ArrayLike,
    labels: ArrayLike,
    activation: Activation = "tanh",
    *,
    samples: int | None = None,
    seed: int = 0,
    step: float = 1e-30,
) -> dict[str, Samples]:
    """dL/dw = Im L(w + i·step) / step, to machine precision: nothing is subtracted, so `step` may be tiny.

    For each parameter's name, `samples` entries drawn without replacement by `seed` (all of them with None).
    The loss must be analytic: softmax and cross-entropy are shifted by the *real* maximum, and the sigmoid is
    (1 + tanh(a/2))/2. relu goes by the sign of the real part; that is right away from its kink, and at it gives 0.

    Shapes: xs [T, I], labels [T] of integers in 0 … O-1.
    Source: Squire and Trapp, "Using complex variables to estimate derivatives of real functions", 1998.
    Raises ValueError if xs or labels don't fit the parameters, or the activation is unknown, or samples < 1, or
    step isn't positive and finite.
    """
    inputs, targets = check_sequence("complex_step", parameters, xs, labels, activation)
    _check_options("complex_step", samples, step)
    found: dict[str, Samples] = {}
    for name, indices in _draw(parameters, samples, seed):
        losses = _perturbed_losses(parameters, name, indices, 1j * step, inputs, targets, activation)
        found[name] = Samples(indices, losses.imag.astype(np.float64) / step)
    return found


def central_difference(
    parameters: Parameters,
    xs: ArrayLike,
    labels: ArrayLike,
    activation: Activation = "tanh",
    *,
    samples: int | None = None,
    seed: int = 0,
    step: float = 1e-5,
) -> dict[str, Samples]:
    """dL/dw = (L(w + step) - L(w - step)) / (2·step), with an error of about step² + 1e-16·L/step.

    For each parameter's name, `samples` entries drawn without replacement by `seed` (all of them with None); the same
    seed draws the same entries as in `complex_step`. At relu's kink it gives half the slope, where the others give 0.

    Shapes: xs [T, I], labels [T] of integers in 0 … O-1.
    Raises ValueError if xs or labels don't fit the parameters, or the activation is unknown, or samples < 1, or
    step isn't positive and finite.
    """
    inputs, targets = check_sequence("central_difference", parameters, xs, labels, activation)
    _check_options("central_difference", samples, step)
    found: dict[str, Samples] = {}
    for name, indices in _draw(parameters, samples, seed):
        above = _perturbed_losses(parameters, name, indices, step, inputs, targets, activation)
        below = _perturbed_losses(parameters, name, indices, -step, inputs, targets, activation)
        found[name] = Samples(indices, (above - below).astype(np.float64) / (2 * step))
    return found


def _check_options(function: str, samples: int | None, step: float) -> None:
    if samples is not None and samples < 1:
        raise ValueError(f"{function}: samples is {samples}, wanted at least 1, or None for every entry")
    if not 0 < step < np.inf:
        raise ValueError(f"{function}: step is {step}, wanted a positive finite number")


def _draw(parameters: Parameters, samples: int | None, seed: int) -> Iterator[tuple[str, IntArray]]:
    rng = np.random.default_rng(seed)
    for field in fields(parameters):
        size = getattr(parameters, field.name).size
        count = size if samples is None else min(samples, size)
        yield field.name, np.sort(rng.choice(size, count, replace=False)).astype(np.int64)


def _perturbed_losses(
    parameters: Parameters,
    name: str,
    indices: IntArray,
    step: complex,
    inputs: FloatArray,
    targets: IntArray,
    activation: Activation,
) -> _Number:
    """[S]: the loss with `step` added to one entry at a time."""
    batch: dict[str, _Number] = {
        field.name: getattr(parameters, field.name)[np.newaxis] for field in fields(parameters)
    }
    losses = []
    for start in range(0, len(indices), _COPIES):
        chosen = indices[start : start + _COPIES]
        copies = np.repeat(batch[name], len(chosen), axis=0) + 0 * step  # complex if the step is
        copies.reshape(len(chosen), -1)[np.arange(len(chosen)), chosen] += step
        losses.append(_loss(batch | {name: copies}, inputs, targets, activation))
    return np.concatenate(losses)


def _loss(batch: dict[str, _Number], inputs: FloatArray, targets: IntArray, activation: Activation) -> _Number:
    """L of every copy in the batch: each parameter has a leading axis, of the copies or of length 1."""
    h = batch["h0"]
    total: _Number = np.zeros(1)
    for x, label in zip(inputs, targets, strict=True):
        h = _f(activation, _product(batch["W_hh"], h) + batch["W_xh"] @ x + batch["b_h"])
        z = _product(batch["W_hy"], h) + batch["b_y"]
        shift = z.real.max(axis=-1, keepdims=True)  # a constant: it cancels, and carries no derivative
        total = total + np.log(np.exp(z - shift).sum(axis=-1)) - (z - shift)[:, label]
    return total


def _product(matrices: _Number, vectors: _Number) -> _Number:
    return np.asarray((matrices @ vectors[..., np.newaxis])[..., 0])


def _f(activation: Activation, a: _Number) -> _Number:
    match activation:
        case "tanh":
            return np.tanh(a)
        case "sigmoid":
            return np.asarray((1 + np.tanh(a / 2)) / 2)
        case "relu":
            return np.where(a.real > 0, a, 0)
        case "identity":
            return a
