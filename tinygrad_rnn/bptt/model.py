"""What the three derivations share: the parameters' shapes and the activation's name. No maths.

    h_t = f(W_hh h_{t-1} + W_xh x_t + b_h)        z_t = W_hy h_t + b_y
    ŷ_t = softmax(z_t)                            L = -Σ_t log ŷ_t[label_t]

Source: 000, (1)-(3), column vectors. I, H, O are the input, hidden and output sizes, T the number of steps.
"""

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Activation: TypeAlias = Literal["tanh", "relu", "sigmoid", "identity"]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parameters:
    """W_xh [H, I], W_hh [H, H], b_h [H], W_hy [O, H], b_y [O] and h0 [H], held as float64.

    Raises ValueError, naming the parameter, if a shape doesn't fit the others, or a value isn't a finite real number.
    """

    W_xh: FloatArray
    W_hh: FloatArray
    b_h: FloatArray
    W_hy: FloatArray
    b_y: FloatArray
    h0: FloatArray

    def __post_init__(self) -> None:
        for field in fields(self):
            array = _finite("Parameters", field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, array)  # the dataclass is frozen once it is built
        for name, sizes in (("W_xh", "[H, I]"), ("W_hy", "[O, H]")):
            shape = getattr(self, name).shape
            if len(shape) != 2 or 0 in shape:
                raise ValueError(f"Parameters: {name} has shape {shape}, wanted {sizes} with no size 0")
        (H, I), O = self.W_xh.shape, self.W_hy.shape[0]  # noqa: E741  # the field's names
        wanted = {"W_xh": (H, I), "W_hh": (H, H), "b_h": (H,), "W_hy": (O, H), "b_y": (O,), "h0": (H,)}
        for name, shape in wanted.items():
            if (got := getattr(self, name).shape) != shape:
                raise ValueError(
                    f"Parameters: {name} has shape {got}, wanted {shape}: W_xh says H = {H}, W_hy says O = {O}"
                )


@dataclass(frozen=True, eq=False)
class Gradients:
    """dL/d of each of `Parameters`, by the same names and shapes."""

    W_xh: FloatArray
    W_hh: FloatArray
    b_h: FloatArray
    W_hy: FloatArray
    b_y: FloatArray
    h0: FloatArray


def check_sequence(
    function: str, parameters: Parameters, xs: ArrayLike, labels: ArrayLike, activation: Activation
) -> tuple[FloatArray, IntArray]:
    """`xs` as float64 [T, I] and `labels` as int64 [T], or a ValueError in the name of `function`."""
    if activation not in get_args(Activation):
        known = ", ".join(get_args(Activation))
        raise ValueError(f"{function}: activation is {activation!r}, wanted one of {known}")
    inputs = _finite(function, "xs", xs)
    input_size, output_size = parameters.W_xh.shape[1], parameters.W_hy.shape[0]
    if inputs.ndim != 2 or inputs.shape[1] != input_size:
        raise ValueError(
            f"{function}: xs has shape {inputs.shape}, wanted [T, I] with I = {input_size}, W_xh's columns"
        )
    T = inputs.shape[0]
    if T == 0:
        raise ValueError(f"{function}: xs has T = 0 steps, wanted at least 1")
    targets = np.asarray(labels)
    if targets.dtype.kind not in "iu":
        raise ValueError(f"{function}: labels have dtype {targets.dtype}, wanted integers")
    if targets.shape != (T,):
        raise ValueError(f"{function}: labels have shape {targets.shape}, wanted ({T},): one for each step of xs")
    outside = np.flatnonzero((targets < 0) | (targets >= output_size))
    if outside.size:
        t = int(outside[0])
        raise ValueError(f"{function}: labels[{t}] is {targets[t]}, wanted 0 <= label < {output_size}, W_hy's rows")
    return inputs, targets.astype(np.int64)


def _finite(function: str, argument: str, value: ArrayLike) -> FloatArray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{function}: {argument} has dtype {array.dtype}, wanted real numbers")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{function}: {argument}{list(where)} is {array[where]}, wanted finite numbers")
    return array.astype(np.float64, copy=False)
