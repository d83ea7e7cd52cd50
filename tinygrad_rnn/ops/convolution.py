"""Convolution along one axis: directly where one of the two is short, else by Fourier transforms.

Every slice of a convolution that is wanted here (full, same, valid, causal, and those that its gradients are) starts
no later than where the shorter one lies wholly inside the longer one, and ends no earlier than that does. So there is
one primitive, with the slice as its keyword, and its rules are itself. Complex numbers don't leave it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import primitive, shape_of
from ..tape import Array, Tensor
from .indexing import getitem
from .shapes import _axis, moveaxis, reshape

__all__ = ["convolve"]

# start and stop of the slice of the full convolution, for x of length m and a kernel of length n.
_MODES: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "full": lambda m, n: (0, m + n - 1),
    "same": lambda m, n: ((min(m, n) - 1) // 2, (min(m, n) - 1) // 2 + max(m, n)),
    "valid": lambda m, n: (min(m, n) - 1, max(m, n)),
    "causal": lambda m, n: (0, m),
}
_METHODS = ("auto", "direct", "fft")


def _rule(ct: Any, other: Any, x_shape: tuple[int, ...], start: int, method: str) -> Any:
    """The cotangent convolved with the other argument turned round."""
    first = shape_of(other)[-1] - 1 - start
    return _convolve(ct, other[..., ::-1], start=first, stop=first + x_shape[-1], method=method)


def _batched(x: Any, kernel: Any, start: int, stop: int, method: str, batched: tuple[bool, ...]) -> Any:
    ndim = max(len(shape_of(a)) - b for a, b in zip((x, kernel), batched, strict=True))
    x, kernel = [_aligned(a, ndim) if b else a for a, b in zip((x, kernel), batched, strict=True)]
    return _convolve(x, kernel, start=start, stop=stop, method=method)


def _aligned(x: Any, ndim: int) -> Any:
    """Axes of length 1 after the examples', so that an example has `ndim` axes."""
    shape = shape_of(x)
    return reshape(x, (shape[0], *(1,) * (ndim + 1 - len(shape)), *shape[1:]))


@primitive(
    "bilinear",
    [
        lambda ct, kernel, x_shape, start, method: _rule(ct, kernel, x_shape, start, method),
        lambda ct, x, kernel_shape, start, method: _rule(ct, x, kernel_shape, start, method),
    ],
    batch=_batched,
)
def _convolve(x: ArrayLike, kernel: ArrayLike, *, start: int, stop: int, method: str) -> Any:
    """Σ_k x[..., t − k] kernel[..., k] for t from start to stop; min(m, n) > start ≥ 0, max(m, n) ≤ stop < m + n."""
    long, short = sorted((np.asarray(x), np.asarray(kernel)), key=lambda a: -a.shape[-1])
    dtype = np.result_type(long, short)
    if method == "fft" and dtype.kind != "f":
        raise TypeError(f"method 'fft' wants floating-point numbers, got dtype {dtype}")
    if dtype == np.float16:  # sums in half precision would lose its digits
        long, short = long.astype(np.float32), short.astype(np.float32)
    by_fft = method == "fft" or (method == "auto" and dtype.kind == "f" and _pays(long, short, stop - start))
    return (_by_fft if by_fft else _directly)(long, short, start, stop).astype(dtype, copy=False)


def _pays(long: Array, short: Array, length: int) -> bool:
    """Whether Fourier transforms are faster: as measured, within a factor of two."""
    if long.ndim == short.ndim == 1:
        return short.size > 256
    return short.shape[-1] > 8 and length > 32


def _by_fft(long: Array, short: Array, start: int, stop: int) -> Array:
    # A circular convolution, long enough that what wraps round falls outside the slice.
    n = max(stop, long.shape[-1] + short.shape[-1] - 1 - start)
    n = min(odd << max(0, math.ceil(math.log2(n / odd))) for odd in (1, 3, 5, 9, 15))  # transforms like small factors
    full: Array = np.fft.irfft(np.fft.rfft(long, n) * np.fft.rfft(short, n), n)
    return full[..., start:stop]


def _directly(long: Array, short: Array, start: int, stop: int) -> Array:
    # With zeros around the longer one, the slice is where the shorter one lies wholly inside.
    n = short.shape[-1]
    around = [(0, 0)] * (long.ndim - 1) + [(n - 1 - start, stop - long.shape[-1])]
    long = np.pad(long, around)
    if long.ndim == short.ndim == 1:
        return np.convolve(long, short, "valid")
    length = stop - start
    if length < n:
        turned = short[..., ::-1]
        return np.stack([np.vecdot(long[..., t : t + n], turned) for t in range(length)], axis=-1)
    out = long[..., n - 1 :] * short[..., :1]
    for k in range(1, n):
        out += long[..., n - 1 - k : n - 1 - k + length] * short[..., k : k + 1]
    return out


def convolve(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Literal["full", "same", "valid", "causal"] = "full",
    axis: int = -1,
    method: Literal["auto", "direct", "fft"] = "auto",
) -> Tensor:
    """y_t = Σ_k kernel_k x_{t−k}, along one axis; the others broadcast.

    Args:
        x: an array, of length m along the axis.
        kernel: an array, of length n along the axis.
        mode: which t: "full", all m + n − 1 for which there is a term; "valid", those for which the shorter one lies
            wholly inside the longer one; "same", max(m, n) in the middle; "causal", the m of x, so that y_t depends on
            x_0 … x_t only.
        axis: the axis to convolve along, of x and of the kernel; one that has a single axis lies along it.
        method: "direct", "fft", or what is likely to be faster. By Fourier transforms, the error of each number is
            relative to the largest, and one NaN or infinity spreads over all.

    For one-dimensional arguments it is `numpy.convolve`. A sequence [T, channels] through a causal filter for each
    channel, [n, channels], or the same for all, [n]: `convolve(x, kernel, "causal", axis=0)`.

    Derivatives: each argument's is the cotangent convolved with the other, turned round.

    >>> convolve([1.0, 2.0, 3.0], [1.0, 0.5])
    array([1. , 2.5, 4. , 1.5])
    """
    if mode not in _MODES:
        raise ValueError(f"convolve: mode must be {_choices(_MODES)}, got {mode!r}")
    if method not in _METHODS:
        raise ValueError(f"convolve: method must be {_choices(_METHODS)}, got {method!r}")
    x_shape, kernel_shape = shape_of(x), shape_of(kernel)
    if not x_shape or not kernel_shape:
        raise ValueError(f"convolve: shapes {x_shape} and {kernel_shape}: both arguments need at least one axis")
    x, kernel = _along(x, axis), _along(kernel, axis)
    m, n = shape_of(x)[-1], shape_of(kernel)[-1]
    if not m or not n:
        raise ValueError(f"convolve: shapes {x_shape} and {kernel_shape}: axis {axis} must not be of length 0")
    try:
        ndim = len(np.broadcast_shapes(shape_of(x)[:-1], shape_of(kernel)[:-1])) + 1
    except ValueError:
        raise ValueError(
            f"convolve: shapes {x_shape} and {kernel_shape} don't broadcast in the axes other than axis {axis}"
        ) from None
    if mode == "causal" and n > m:
        kernel = getitem(kernel, (..., slice(m)))  # the rest would meet nothing
        n = m
    start, stop = _MODES[mode](m, n)
    out = _convolve(x, kernel, start=start, stop=stop, method=method)
    return moveaxis(out, -1, axis) if _axis("convolve", axis, ndim) != ndim - 1 else out


def _along(x: Any, axis: int) -> Any:
    """x with the axis to convolve along last."""
    ndim = len(shape_of(x))
    return x if ndim == 1 or _axis("convolve", axis, ndim) == ndim - 1 else moveaxis(x, axis, -1)


def _choices(names: Any) -> str:
    *most, last = [repr(name) for name in names]
    return f"{', '.join(most)} or {last}"
