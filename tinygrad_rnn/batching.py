"""Many examples at once: tensors with an axis of examples that the function working on them doesn't see.

A primitive's batching rule says how to work on a first axis more; an elementwise one needs none, for that is
broadcasting. `vmap` puts the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backward import pull, pull_plain
from .ops import asarray, broadcast_to, getitem, moveaxis, reshape, stack
from .primitive import Primitive, shape_of
from .setting import Setting, setting_to
from .tape import Array, Lifted, Node, Tensor, innermost, new_level
from .tree import map_places

__all__ = ["Batched", "everywhere", "vmap"]

# The `vmap`s that are running, outermost first: level and number of examples.
_running: Setting[tuple[tuple[int, int], ...]] = Setting("vmaps", ())


class _running_vmap(setting_to[tuple[tuple[int, int], ...]], setting=_running):  # noqa: N801 - a context manager
    pass


class Batched(Lifted):
    """One tensor for each example: `examples` has them along its first axis."""

    __slots__ = ("examples",)

    def __init__(self, examples: Tensor, level: int) -> None:
        self.examples, self.level = examples, level

    @property
    def value(self) -> Array:  # type: ignore[override]
        """There is none: the examples differ."""
        raise TypeError(
            "vmap: this tensor stands for one of many examples, so its values can't be read or branched on; "
            "choose between results with where()"
        )

    @property
    def node(self) -> Node | None:  # type: ignore[override]
        """The node of all examples together."""
        return self.examples.node

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.examples.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""
        return self.examples.dtype

    def detach(self) -> Tensor:
        """Each example, cut off from the graph."""
        return Batched(self.examples.detach(), self.level)

    def wrapped(self) -> tuple[Tensor, ...]:
        """The tensor of all examples."""
        return (self.examples,)

    def rewrap(self, *tensors: Tensor) -> Batched:
        """Other examples of the same batch."""
        (examples,) = tensors
        return Batched(examples, self.level)

    def __repr__(self) -> str:
        return f"tensor of {len(self.examples)} examples of shape {self.shape}, dtype={self.dtype}"

    @staticmethod
    def apply(prim: Primitive, apply: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        """A primitive on all examples at once."""
        level, size, batched, inner = _opened(args)
        if prim.kind == "elementwise":
            return Batched(apply(*_aligned(inner, batched), **kwargs), level)
        if prim.batch is None:
            each = [apply(*_example(inner, batched, k), **kwargs) for k in range(size)]
            if not each:
                raise TypeError(f"vmap: {prim.name} has no batching rule, and there is no example to work out")
            return Batched(stack(each), level)
        if prim.batch_is_told:
            return Batched(prim.batch(*inner, **kwargs, batched=batched), level)
        dtype = np.result_type(*[a.dtype if isinstance(a, Tensor) else a for a in inner])
        whole = [
            a if is_batched else _spread(np.asarray(a, dtype) if type(a) in (int, float) else a, size)
            for a, is_batched in zip(inner, batched, strict=True)
        ]
        return Batched(prim.batch(*whole, **kwargs), level)

    @staticmethod
    def compare(op: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
        """A comparison for each example, to be used in `where`."""
        level, _, batched, inner = _opened((x, y))
        x, y = _aligned(inner, batched)
        if isinstance(x, Lifted) or isinstance(y, Lifted):
            return Batched(innermost((x, y)).compare(op, x, y), level)
        return Batched(Tensor(op(*[a.value if isinstance(a, Tensor) else a for a in (x, y)])), level)

    @staticmethod
    def pull(outputs: Sequence[Tensor], cts: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """A pullback for each example."""
        level, size, of_this_batch, opened = _opened((*outputs, *cts))
        count = len(outputs)
        if not any(of_this_batch[:count]):
            return _pull_each(outputs, cts, inputs, level, size)
        # Whatever depends on an input of this batch is of this batch too; the other outputs needn't be looked at.
        pairs = [
            (opened[i], opened[count + i] if of_this_batch[count + i] else _spread(cts[i], size))
            for i in range(count)
            if of_this_batch[i]
        ]
        ys, cs = [y for y, _ in pairs], [c for _, c in pairs]
        own = [x.examples for x in inputs if isinstance(x, Batched) and x.level == level]
        outside = [x for x in inputs if not (isinstance(x, Batched) and x.level == level)]
        if outside and any(x is not None for x in pull(ys, cs, outside, record=True, free=False)):
            raise TypeError(
                "vmap: a gradient by a tensor from outside, of results that differ from example to example, would add "
                "up the examples; differentiate inside by an argument of grad or vjp"
            )
        found = iter(pull(ys, cs, own, record=True, free=False))
        mine = [next(found) if isinstance(x, Batched) and x.level == level else None for x in inputs]
        return [None if f is None else Batched(f, level) for f in mine]

    def for_each_example(self, x: Tensor) -> Tensor:
        """x as one of these examples, too."""
        return _lifted_to(super().for_each_example(x), self.level, len(self.examples))


def _pull_each(
    outputs: Sequence[Tensor], cts: Sequence[Tensor], inputs: Sequence[Tensor], level: int, size: int
) -> list[Tensor | None]:
    """A pullback for each of a batch of cotangents, through what isn't of the batch."""
    if all(type(t) is Tensor for t in (*outputs, *inputs)):
        return pull_plain(outputs, cts, inputs, record=True, free=False)
    # What they are pulled through is lifted otherwise.
    _, _, batched, inner = _opened(cts)
    each = [pull(outputs, _example(inner, batched, k), inputs, record=True, free=False) for k in range(size)]
    if not each:
        return [Batched(Tensor(np.zeros((0, *x.shape), x.dtype)), level) for x in inputs]
    return [None if column[0] is None else Batched(stack(column), level) for column in zip(*each, strict=True)]


def _opened(args: Sequence[Any]) -> tuple[int, int, tuple[bool, ...], list[Any]]:
    """The innermost batch among the arguments: its level and size, who is of it, and the arguments taken out of it."""
    level = max(a.level for a in args if isinstance(a, Batched))
    batched = tuple(isinstance(a, Batched) and a.level == level for a in args)
    inner = [a.examples if is_batched else a for a, is_batched in zip(args, batched, strict=True)]
    return level, len(inner[batched.index(True)]), batched, inner


def _aligned(inner: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
    """The arguments of an elementwise function, with the examples' axis in front of all that broadcast."""
    ndim = max(len(shape_of(a)) - is_batched for a, is_batched in zip(inner, batched, strict=True))
    return [
        reshape(a, (len(a), *(1,) * (ndim + 1 - a.ndim), *a.shape[1:])) if is_batched and a.ndim <= ndim else a
        for a, is_batched in zip(inner, batched, strict=True)
    ]


def _example(inner: Sequence[Any], batched: Sequence[bool], k: int) -> list[Any]:
    return [getitem(a, k) if is_batched else a for a, is_batched in zip(inner, batched, strict=True)]


def _spread(x: Any, size: int) -> Any:
    """The same for each of `size` examples, without copying."""
    return broadcast_to(x, (size, *shape_of(x)))


def everywhere(x: Tensor) -> Tensor:
    """x as an example of each `vmap` that is running.

    A new variable must be: its gradient is to be each example's own, even if its value is the same for all.
    """
    for level, size in _running.get():
        x = _lifted_to(x, level, size)
    return x


def _lifted_to(x: Tensor, level: int, size: int) -> Tensor:
    if isinstance(x, Lifted) and x.level >= level:
        first, *rest = x.wrapped()
        return x if x.level == level else x.rewrap(_lifted_to(first, level, size), *rest)
    return Batched(_spread(x, size), level)


# --------------------------------------------------------------------------------------------------- the transformation


def vmap(
    f: Callable[..., Any], in_axes: int | Sequence[int | None] | None = 0, out_axes: int = 0
) -> Callable[..., Any]:
    """The function that applies f to many examples at once: f sees one, and loops over none.

    Args:
        f: takes and returns tensors, or nested tuples, lists and dictionaries of them.
        in_axes: the axis along which the examples lie, for all arguments or one each; `None` where all get the same.
        out_axes: where the examples lie in the results.

    >>> vmap(lambda x, y: x @ y)(np.arange(6.0).reshape(3, 2), np.ones((3, 2)))
    tensor([1., 5., 9.])
    """

    def transformed(*args: Any) -> Any:
        axes = list(in_axes) if isinstance(in_axes, (tuple, list)) else [in_axes] * len(args)
        if len(axes) != len(args):
            raise ValueError(f"vmap: in_axes names {len(axes)} arguments, but the function was called with {len(args)}")
        level = new_level()
        sizes: dict[int, str] = {}

        def lifted(place: str, x: Any, axis: Any) -> Batched:
            t = moveaxis(asarray(x), _checked("in_axes", place, axis, len(shape_of(x))), 0)
            sizes.setdefault(len(t), place)
            return Batched(t, level)

        inside = [
            arg if axis is None else map_places(lambda p, x, a=axis: lifted(p, x, a), arg, f"argument {i}")
            for i, (arg, axis) in enumerate(zip(args, axes, strict=True))
        ]
        if len(sizes) != 1:
            found = ", ".join(f"{n} ({place})" for n, place in sizes.items()) or "none"
            raise ValueError(f"vmap: the arguments must have one number of examples in common, got {found}")
        (size,) = sizes
        with _running_vmap((*_running.get(), (level, size))):
            out = f(*inside)
        return map_places(lambda place, y: _examples(place, y, level, size, out_axes), out, "the result")

    return transformed


def _checked(what: str, place: str, axis: Any, ndim: int) -> int:
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise TypeError(f"vmap: {what} must be an integer, for {place} it is {axis!r}")
    if not -ndim <= axis < ndim:
        raise ValueError(f"vmap: {what} names axis {axis} for {place}, which has {ndim} axes")
    return axis


def _examples(place: str, y: Any, level: int, size: int, axis: int) -> Tensor:
    t = y.examples if isinstance(y, Batched) and y.level == level else asarray(_spread(y, size))
    return moveaxis(t, 0, _checked("out_axes", place, axis, t.ndim))
