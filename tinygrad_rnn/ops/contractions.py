"""Sums of products over any axes, lowered to one matrix product for each pair of arrays: `tensordot` and `einsum`.

Both give every axis a *label*. Two arrays are multiplied by laying each out as a matrix (transpose, reshape): axes
that both have and that are summed over on one side, its own on the other; axes that both have and that are kept make
a stack of matrices. So the sums run at the speed of `matmul`, and its derivatives are theirs.

What to do depends on labels and lengths only: it is planned first, and einsum's plans are kept, for loops ask for the
same ones again and again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import index
from string import ascii_letters
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..primitive import shape_of
from ..tape import Tensor
from .elementwise import multiply
from .matrices import diagonal
from .products import inner, matmul
from .reductions import sum
from .shapes import _axes, reshape, transpose

__all__ = ["einsum", "tensordot"]

Steps = list[tuple[Callable[[Any, Any], Any], Any]]  # functions with their second arguments


def _done(x: Any, steps: Steps) -> Any:
    for f, how in steps:
        x = f(x, how)
    return x


def _diagonal(x: Any, axes: tuple[int, int]) -> Any:
    return diagonal(x, 0, *axes)


class _Plan:
    """An array to come: its labels with their lengths, in the order of its axes, and the steps that bring it there."""

    def __init__(self, labels: Iterable[Any], shape: Sequence[int]) -> None:
        self.steps: Steps = []
        named = list(zip(labels, shape, strict=True))
        for label in dict(named):
            while [a for a, _ in named].count(label) > 1:  # taken together
                i, j = [k for k, (a, _) in enumerate(named) if a == label][:2]
                self.steps.append((_diagonal, (i, j)))
                named = [*named[:i], *named[i + 1 : j], *named[j + 1 :], named[i]]
        self.lengths = dict(named)

    def without_ones(self, other: dict[Any, int]) -> None:
        """Without the axes along which it broadcasts to another."""
        kept = {a: n for a, n in self.lengths.items() if n != 1 or other.get(a, 1) == 1}
        if len(kept) < len(self.lengths):
            self.lengths = kept
            self.steps.append((reshape, tuple(kept.values())))

    def sum_out(self, needed: set[Any]) -> None:
        """Summed over the labels that nobody needs."""
        over = tuple([i for i, a in enumerate(self.lengths) if a not in needed])
        if over:
            self.lengths = {a: n for a, n in self.lengths.items() if a in needed}
            self.steps.append((sum, over))

    def lay_out(self, groups: Sequence[Sequence[Any]]) -> None:
        """With one axis for each group of labels, in that order."""
        labels, lengths = list(self.lengths), self.lengths
        order = [a for group in groups for a in group]
        if order != labels:
            self.steps.append((transpose, tuple([labels.index(a) for a in order])))
        shape = tuple([math.prod([lengths[a] for a in group]) for group in groups])
        if shape != tuple([lengths[a] for a in order]):
            self.steps.append((reshape, shape))
        self.lengths = {a: lengths[a] for a in order}


def _product(x: _Plan, y: _Plan, keep: set[Any]) -> tuple[Callable[[Any, Any], Any], _Plan]:
    """How to multiply two arrays and sum over the labels that only they have and that needn't be kept; the result."""
    before = x.lengths
    x.without_ones(y.lengths)
    y.without_ones(before)
    x.sum_out(keep.union(y.lengths))
    y.sum_out(keep.union(x.lengths))
    lengths = {**x.lengths, **y.lengths}
    both = [a for a in y.lengths if a in x.lengths]
    stack, inside = [a for a in both if a in keep], [a for a in both if a not in keep]
    left, right = [a for a in x.lengths if a not in both], [a for a in y.lengths if a not in both]
    labels = [*stack, *left, *right]
    out = _Plan(labels, [lengths[a] for a in labels])
    groups = [[a] for a in stack]
    if stack and not inside:  # nothing to sum: they broadcast
        x.lay_out([*groups, *[[a] for a in left], *[[] for _ in right]])
        y.lay_out([*groups, *[[] for _ in left], *[[a] for a in right]])
        return multiply, out
    if not stack and list(y.lengths)[len(right) :] == inside:  # x Wᵀ, of W as it lies in memory
        function: Callable[[Any, Any], Any] = inner
        y.lay_out([right, inside])
    else:
        function = matmul
        y.lay_out([*groups, inside, right])
    x.lay_out([*groups, left, inside])
    if len(left) != 1 or len(right) != 1:
        out.steps.append((reshape, tuple(out.lengths.values())))
    return function, out


def tensordot(x: ArrayLike, y: ArrayLike, axes: Any = 2) -> Tensor:
    """Σ x y over pairs of axes: the last `axes` of x with the first of y, or `axes` = (x's, y's) in this order.

    The result has x's other axes, then y's. An outer product for `axes=0`.
    """
    a, b = shape_of(x), shape_of(y)
    if isinstance(axes, (tuple, list)):
        if len(axes) != 2:
            raise ValueError(f"tensordot: axes must be a number or a pair (x's axes, y's axes), got {axes!r}")
        left, right = _axes("tensordot", axes[0], len(a)), _axes("tensordot", axes[1], len(b))
        if len(left) != len(right):
            raise ValueError(f"tensordot: axes {axes!r} name {len(left)} axes of x, but {len(right)} of y")
    else:
        try:
            n = index(axes)
        except TypeError:
            raise TypeError(f"tensordot: axes must be a number or a pair (x's axes, y's axes), got {axes!r}") from None
        if not 0 <= n <= min(len(a), len(b)):
            raise ValueError(f"tensordot: shapes {a} and {b} don't have {n} axes each to sum over")
        left, right = list(range(len(a) - n, len(a))), list(range(n))
    for i, j in zip(left, right, strict=True):
        if a[i] != b[j]:
            raise ValueError(
                f"tensordot: shapes {a} and {b} don't align: axis {i} of x has length {a[i]}, axis {j} of y {b[j]}"
            )
    xs = range(len(a))
    ys = [left[right.index(j)] if j in right else len(a) + j for j in range(len(b))]
    one, other = _Plan(xs, a), _Plan(ys, b)
    product, out = _product(one, other, set(xs) ^ set(ys))
    return _done(product(_done(x, one.steps), _done(y, other.steps)), out.steps)  # type: ignore[no-any-return]


def einsum(subscripts: str, *operands: ArrayLike, optimize: Any = False) -> Tensor:
    """Einstein's sums: Σ of the operands' product over the letters that the result doesn't have.

        einsum('ij,jk->ik', A, B) = A B        einsum('ii', A) = tr A        einsum('...i,oi->...o', x, W) = x Wᵀ

    Args:
        subscripts: a letter for each axis of each operand, `...` for any number of axes that broadcast; a letter
            twice in an operand takes its diagonal. Without `->`, the result has the axes of `...`, then the letters
            that appear once, in alphabetical order.
        operands: arrays or tensors. Axes of length 1 broadcast.
        optimize: with three operands and more, the order in which they are multiplied: `False` for left to right,
            `True`, 'greedy', 'optimal' or a path as `np.einsum_path` takes them.
    """
    if not isinstance(subscripts, str):
        raise TypeError(
            f"einsum: the subscripts must be a string such as 'ij,jk->ik', got {type(subscripts).__name__}; "
            "NumPy's other form, with lists of axes after the operands, isn't taken"
        )
    values = [x if isinstance(x, Tensor) else np.asarray(x) for x in operands]
    if isinstance(optimize, list):
        optimize = tuple([tuple(p) if isinstance(p, list) else p for p in optimize])
    products, last = _plan(subscripts, tuple([x.shape for x in values]), optimize)
    for product, (i, left), (j, right) in products:
        values.append(product(_done(values[i], left), _done(values[j], right)))
    return _done(values[-1], last)  # type: ignore[no-any-return]


Use = tuple[int, Steps]  # which value, and what to do with it first


@lru_cache(maxsize=256)
def _plan(
    subscripts: str, shapes: tuple[tuple[int, ...], ...], optimize: Any
) -> tuple[list[tuple[Callable[[Any, Any], Any], Use, Use]], Steps]:
    """The products to take, each of two of the operands and earlier products; and what to do with the last one."""
    inputs, output = _read(subscripts, shapes)
    left = [(k, _Plan(labels, shape)) for k, (labels, shape) in enumerate(zip(inputs, shapes, strict=True))]
    products: list[tuple[Callable[[Any, Any], Any], Use, Use]] = []
    for places in _path(subscripts, [x for _, x in left], output, optimize):
        (i, total), *others = [left[p] for p in places]
        left = [term for p, term in enumerate(left) if p not in places]
        for n, (j, other) in enumerate(others, 1):
            keep = set(output).union(*[x.lengths for _, x in (*others[n:], *left)])
            product, out = _product(total, other, keep)
            products.append((product, (i, total.steps), (j, other.steps)))
            i, total = len(shapes) + len(products) - 1, out
        left.append((i, total))
    ((_, last),) = left
    last.sum_out(set(output))
    last.lay_out([[a] for a in output])
    return products, last.steps


def _path(subscripts: str, terms: Sequence[_Plan], output: str, optimize: Any) -> Sequence[Sequence[int]]:
    """Which of the terms that are left to multiply next; their product goes to the end."""
    if not optimize or len(terms) < 3:
        return [range(len(terms))]
    letters = ",".join("".join(x.lengths) for x in terms) + "->" + output
    try:
        arrays = [np.broadcast_to(0.0, tuple(x.lengths.values())) for x in terms]
        how = list(optimize) if isinstance(optimize, tuple) else optimize
        return np.einsum_path(letters, *arrays, optimize=how)[0][1:]
    except (TypeError, KeyError, IndexError, ValueError, RuntimeError):
        raise ValueError(
            f"einsum: {subscripts!r}: optimize must be False, True, 'greedy', 'optimal' or a path from np.einsum_path, "
            f"got {optimize!r}"
        ) from None


def _read(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[list[str], str]:
    """The labels of each operand's axes and of the result's, checked. Axes under an ellipsis get letters not in use."""

    def wrong(what: str) -> ValueError:
        return ValueError(f"einsum: {subscripts!r}: {what}")

    left, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    for term in (*terms, output):
        if set(term.replace("...", "", 1)) - set(ascii_letters):
            raise wrong(f"{term!r} is not of letters and at most one '...'")
    if len(terms) != len(shapes):
        raise wrong(f"the number of operands must be {len(terms)}, got {len(shapes)}")

    spare = "".join(a for a in ascii_letters if a not in subscripts)
    inputs, most = [], 0
    for k, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        hidden = len(shape) - len(term.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in term):
            raise wrong(f"{term!r} has too {'many' if hidden < 0 else 'few'} letters for operand {k} of shape {shape}")
        if hidden > len(spare):
            raise wrong(f"there are not letters enough for the axes of operand {k} of shape {shape}")
        inputs.append(term.replace("...", spare[:hidden][::-1]))
        most = max(most, hidden)
    broadcast = spare[:most][::-1]

    lengths: dict[str, tuple[int, int]] = {}  # and the operand that says so
    for k, (labels, shape) in enumerate(zip(inputs, shapes, strict=True)):
        for a, n in zip(labels, shape, strict=True):
            before, where = lengths.setdefault(a, (n, k))
            if n != before and (where == k or 1 not in (n, before)):
                name = "an axis of '...'" if a in broadcast else repr(a)
                raise wrong(
                    f"{name} has length {before} in operand {where} of shape {shapes[where]}, "
                    f"but {n} in operand {k} of shape {shape}"
                )
            if before == 1:
                lengths[a] = n, k

    if not arrow:
        once = [a for a in left if a.isalpha() and left.count(a) == 1]
        return inputs, broadcast + "".join(sorted(once))
    if most and "..." not in output:
        raise wrong(f"the result {output!r} must have a '...' for the axes that the operands' stand for")
    for a in output.replace("...", ""):
        if a not in lengths:
            raise wrong(f"the result's {a!r} is not an axis of any operand")
        if output.count(a) > 1:
            raise wrong(f"the result has {a!r} more than once")
    return inputs, output.replace("...", broadcast)
