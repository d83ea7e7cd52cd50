"""All derivatives at once: Jacobians and Hessians, row by row in reverse mode or column by column in forward mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from .batching import vmap
from .ops import reshape
from .tape import Tensor
from .transforms import as_arguments, chosen, forward, gradient, reverse
from .tree import flatten, leaves, map_leaves

__all__ = ["hessian", "jacobian"]

Mode = Literal["auto", "reverse", "forward"]


def jacobian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, mode: Mode = "auto", has_aux: bool = False
) -> Callable[..., Any]:
    """The function x ↦ ∂f/∂x, with J[i, j] = ∂f_i/∂x_j: of shape f(x).shape + x.shape.

    Args:
        f: takes and returns tensors, or nested tuples, lists and dictionaries of them. The Jacobian is then nested
            like the result and, in each place, like the argument.
        argnums: the arguments to differentiate by: for a sequence, a tuple takes the argument's place.
        mode: "reverse" pulls back a one for each number of the result, "forward" pushes one forward for each number of
            the arguments, all at once (`vmap`); "auto" takes what there are fewer of.
        has_aux: f returns a pair, of which only the first part is differentiated; the result is (Jacobian, auxiliary).

    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if mode not in ("auto", "reverse", "forward"):
        raise ValueError(f"jacobian: mode must be 'auto', 'reverse' or 'forward', got {mode!r}")
    return _jacobian("jacobian", f, argnums, mode, has_aux)


def _jacobian(
    what: str, f: Callable[..., Any], argnums: int | Sequence[int], mode: Mode, has_aux: bool
) -> Callable[..., Any]:
    def transformed(*args: Any) -> Any:
        places = chosen(what, argnums, len(args))
        different = list(dict.fromkeys(places))
        xs = tuple(as_arguments(what, n, args[n]) for n in different)

        def of_chosen(*values: Any) -> Any:
            given = dict(zip(different, values, strict=True))
            return f(*[given.get(i, a) for i, a in enumerate(args)])

        out, pullback, *aux = reverse(what, of_chosen, xs, has_aux)
        in_columns = mode == "forward" or (mode == "auto" and _size(xs) < _size(out))
        J = _columns(what, of_chosen, xs, out, has_aux) if in_columns else _rows(pullback, out)
        by_place = [different.index(n) for n in places]

        def asked_for(by: Any) -> Any:
            return by[0] if isinstance(argnums, int) else tuple(by[k] for k in by_place)

        J = map_leaves(lambda _, by: asked_for(by), out, J)
        return (J, *aux) if has_aux else J

    return transformed


def _rows(pullback: Callable[[Any], Any], out: Any) -> Any:
    """∂out/∂xs, nested like out and in each place like the tuple xs: all rows from one pass."""
    rows = vmap(pullback)(_basis(out))
    parts = iter(
        [
            map_leaves(lambda g, y=y, a=start: reshape(g[a : a + y.size], y.shape + g.shape[1:]), rows)
            for y, start in _starts(out)
        ]
    )
    return map_leaves(lambda _: next(parts), out)


def _columns(what: str, f: Callable[..., Any], xs: Sequence[Any], out: Any, has_aux: bool) -> Any:
    """The same, all columns from one pass."""
    columns = vmap(lambda tangents: forward(what, f, xs, tangents, has_aux)[1], out_axes=-1)(_basis(xs))
    _, nested = flatten(xs)
    return map_leaves(
        lambda d, y: nested(reshape(d[..., a : a + x.size], y.shape + x.shape) for x, a in _starts(xs)), columns, out
    )


def _size(tree: Any) -> int:
    return sum(x.size for x in leaves(tree))


def _starts(tree: Any) -> list[tuple[Tensor, int]]:
    """The leaves, and where the numbers of each start, if all are written one after the other."""
    found = []
    start = 0
    for x in leaves(tree):
        found.append((x, start))
        start += x.size
    return found


def _basis(tree: Any) -> Any:
    """The unit vectors of a tree's numbers, along a new first axis."""
    _, nested = flatten(tree)
    return nested(
        np.eye(_size(tree), x.size, -start, dtype=x.dtype).reshape(_size(tree), *x.shape) for x, start in _starts(tree)
    )


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function x ↦ ∇²f(x) of a scalar function, with H[i, j] = ∂²f/∂x_i ∂x_j: of shape x.shape + x.shape.

    Args:
        f: takes tensors, or nested tuples, lists and dictionaries of them; returns a scalar tensor. The Hessian is
            nested like the argument and, in each place, like the argument again.
        argnums: the arguments to differentiate by, twice: for a sequence, a tuple takes the argument's place.
        has_aux: f returns a pair (scalar, auxiliary); the result is (Hessian, auxiliary).

    The columns of ∇f's Jacobian in forward mode, all at once.

    >>> hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    both = gradient("hessian", f, argnums, has_aux)

    def gradient_of(*args: Any) -> Any:
        value, g = both(*args)
        return (g, value[1]) if has_aux else g

    return _jacobian("hessian", gradient_of, argnums, "forward", has_aux)
