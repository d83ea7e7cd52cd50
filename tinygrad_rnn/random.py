"""Random tensors, drawn from a generator that is seeded and passed along: nothing here is global.

The numbers are those of `numpy.random.Generator`, in the default dtype. Where a distribution's parameters are tensors,
the gradient flows to them: a normal number is loc + scale ε, with ε drawn from N(0, 1) (the *reparametrised* gradient).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .ops import add, asarray, get_default_dtype, getitem, multiply, subtract
from .ops.shapes import _axis, _shape
from .primitive import shape_of
from .tape import Lifted, Tensor

__all__ = ["Generator", "default_rng"]

Size = SupportsIndex | Sequence[SupportsIndex] | None


def default_rng(seed: Any = None) -> Generator:
    """A generator with a seed of its own: what `numpy.random.default_rng` takes, or one of NumPy's generators.

    >>> default_rng(0).normal(size=3)
    tensor([ 0.12573022, -0.13210486,  0.64042265])
    """
    return seed if isinstance(seed, Generator) else Generator(np.random.default_rng(seed))


class Generator:
    """Draws tensors. Two with the same seed draw the same numbers. Inside `vmap`, all examples get the same ones.

    To go on later where it was, keep `bit_generator.state` and set it again. `numpy` is NumPy's generator, which draws
    for this one: what has no method here can be drawn from it.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self.numpy = generator

    @property
    def bit_generator(self) -> np.random.BitGenerator:
        """What the numbers come from. Its `state` is a dictionary, which can be saved, and set."""
        return self.numpy.bit_generator

    def spawn(self, n: int) -> list[Generator]:
        """n generators whose numbers are independent of these and of each other."""
        return [Generator(child) for child in self.numpy.spawn(n)]

    def random(self, size: Size = None, dtype: DTypeLike | None = None) -> Tensor:
        """Numbers spread evenly over 0 ≤ u < 1."""
        return self._draw("random", size, dtype)

    def standard_normal(self, size: Size = None, dtype: DTypeLike | None = None) -> Tensor:
        """Numbers from N(0, 1)."""
        return self._draw("standard_normal", size, dtype)

    def standard_exponential(self, size: Size = None, dtype: DTypeLike | None = None) -> Tensor:
        """Numbers of density e^−x, x ≥ 0."""
        return self._draw("standard_exponential", size, dtype)

    def normal(self, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, size: Size = None) -> Tensor:
        """loc + scale ε with ε from N(0, 1). Derivatives: 1 by loc, ε by scale."""
        _not_negative("normal", scale)
        shape, dtype, (loc, scale) = _pattern("normal", size, loc, scale)
        return add(loc, multiply(scale, self.standard_normal(shape, dtype)))

    def uniform(self, low: ArrayLike = 0.0, high: ArrayLike = 1.0, size: Size = None) -> Tensor:
        """low + (high − low) u with u from 0 ≤ u < 1. Derivatives: 1 − u by low, u by high."""
        shape, dtype, (low, high) = _pattern("uniform", size, low, high)
        return add(low, multiply(subtract(high, low), self.random(shape, dtype)))

    def exponential(self, scale: ArrayLike = 1.0, size: Size = None) -> Tensor:
        """scale ε with ε of density e^−ε. Derivative: ε."""
        _not_negative("exponential", scale)
        shape, dtype, (scale,) = _pattern("exponential", size, scale)
        return multiply(scale, self.standard_exponential(shape, dtype))

    def bernoulli(self, p: float, size: Size = None, dtype: DTypeLike | None = None) -> Tensor:
        """Ones with probability p, else zeros: a mask for dropout. There is no derivative by p: it is a number."""
        if not isinstance(p, (int, float)):
            raise TypeError(f"bernoulli: p must be a number, got {p!r}")
        if not 0 <= p <= 1:
            raise ValueError(f"bernoulli: p must lie in 0 … 1, got {p}")
        return asarray(self.numpy.random(_size("bernoulli", size)) < p, dtype=dtype or get_default_dtype())

    def integers(self, low: Any, high: Any = None, size: Size = None, endpoint: bool = False) -> Tensor:
        """Integers from low up to high − 1, or to high if `endpoint`; `integers(n)` from 0 up to n − 1."""
        return asarray(self.numpy.integers(low, high, _size("integers", size), endpoint=endpoint))

    def permutation(self, x: int | ArrayLike, axis: int = 0) -> Tensor:
        """x with its slices along an axis in random order; of an integer n, the numbers up to n − 1 in random order."""
        if not shape_of(x):
            return asarray(self.numpy.permutation(_count("permutation", x)))
        axis = _axis("permutation", axis, len(shape_of(x)))
        return _taken(x, self.numpy.permutation(shape_of(x)[axis]), axis)

    def choice(
        self,
        a: int | ArrayLike,
        size: Size = None,
        replace: bool = True,
        p: ArrayLike | None = None,
        axis: int = 0,
    ) -> Tensor:
        """Slices of a along an axis, or numbers below an integer a, drawn with probabilities p (even without).

        The gradient flows to the slices that were drawn, none to p.
        """
        choose: Any = self.numpy.choice
        if not shape_of(a):
            return asarray(choose(_count("choice", a), _size("choice", size), replace, p))
        axis = _axis("choice", axis, len(shape_of(a)))
        return _taken(a, choose(shape_of(a)[axis], _size("choice", size), replace, p), axis)

    def _draw(self, distribution: str, size: Size, dtype: DTypeLike | None) -> Tensor:
        wanted = np.dtype(dtype or get_default_dtype())
        if wanted.kind != "f":
            raise TypeError(f"{distribution}: want a floating-point dtype, got {wanted}")
        # NumPy draws in single or in double precision; half precision is single, rounded.
        width = np.float64 if wanted == np.float64 else np.float32
        return asarray(getattr(self.numpy, distribution)(_size(distribution, size), width), dtype=wanted)

    def __repr__(self) -> str:
        return f"Generator({type(self.bit_generator).__name__})"


def _taken(x: Any, places: Any, axis: int) -> Tensor:
    return getitem(x if isinstance(x, Tensor) else asarray(x), (*(slice(None),) * axis, places))


def _count(what: str, n: Any) -> int:
    try:
        return index(n)
    except TypeError:
        raise TypeError(f"{what}: want an array of at least one axis or an integer, got {n!r}") from None


def _size(what: str, size: Size) -> tuple[int, ...] | None:
    return None if size is None else _shape(what, size)


def _pattern(what: str, size: Size, *parameters: Any) -> tuple[tuple[int, ...], np.dtype[Any], list[Any]]:
    """The noise's shape and dtype (that of the parameters which have one, else the default), and the parameters."""
    shapes = [shape_of(p) for p in parameters]
    try:
        shape = np.broadcast_shapes(*shapes) if size is None else _shape(what, size)
        if np.broadcast_shapes(shape, *shapes) != shape:
            raise ValueError
    except ValueError:
        wanted = "each other" if size is None else f"size {size}"
        raise ValueError(f"{what}: shapes {' and '.join(map(str, shapes))} don't broadcast to {wanted}") from None
    has_dtype = [isinstance(p, (np.ndarray, np.generic, Tensor)) for p in parameters]
    dtypes = [p.dtype for p, has in zip(parameters, has_dtype, strict=True) if has and p.dtype.kind == "f"]
    dtype = np.result_type(*dtypes) if dtypes else get_default_dtype()
    return shape, dtype, [p if has else asarray(p, dtype) for p, has in zip(parameters, has_dtype, strict=True)]


def _not_negative(what: str, scale: Any) -> None:
    if not isinstance(scale, Lifted) and np.any(np.less(scale.value if isinstance(scale, Tensor) else scale, 0)):
        raise ValueError(f"{what}: scale must not be negative, got {scale}")
