"""Forward mode: tensors that carry a tangent. It needs no tape, so its memory doesn't grow with the length of a loop.

A `Dual` is x + ε ẋ with ε² = 0. A primitive's kind says how the tangent moves on: an elementwise rule is its own (its
Jacobian is diagonal, hence its own transpose), a linear primitive is applied to the tangent, a bilinear one twice;
for the others the reverse rule, which is linear in the cotangent, is transposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backward import pull
from .primitive import Primitive, not_differentiable, shape_of
from .tape import Array, Lifted, Node, Tensor, enable_grad

__all__ = ["Dual", "split"]


class Dual(Lifted):
    """Primal + ε tangent, for the forward pass `level`. Both may be lifted by outer ones, or recorded on the tape."""

    __slots__ = ("primal", "tangent")

    def __init__(self, primal: Tensor, tangent: Tensor, level: int) -> None:
        self.primal, self.tangent, self.level = primal, tangent, level

    @property
    def value(self) -> Array:  # type: ignore[override]
        """The primal's."""
        return self.primal.value

    @property
    def node(self) -> Node | None:  # type: ignore[override]
        """The primal's."""
        return self.primal.node

    @property
    def shape(self) -> tuple[int, ...]:
        """The primal's."""
        return self.primal.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The primal's."""
        return self.primal.dtype

    def detach(self) -> Tensor:
        """The primal, cut off from the graph."""
        return self.primal.detach()

    def wrapped(self) -> tuple[Tensor, ...]:
        """Primal and tangent."""
        return self.primal, self.tangent

    def rewrap(self, *tensors: Tensor) -> Dual:
        """Another primal and tangent, for the same forward pass."""
        primal, tangent = tensors
        return Dual(primal, tangent, self.level)

    @staticmethod
    def compare(op: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
        """Tangents have no part in a comparison."""
        return op(*[t.primal if isinstance(t, Dual) else t for t in (x, y)])

    @staticmethod
    def apply(prim: Primitive, apply: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Dual:
        """A primitive on duals: the result's tangent is the sum of what each argument's tangent contributes."""
        level = max(a.level for a in args if isinstance(a, Dual))
        primals, tangents = zip(*[split(a, level) for a in args], strict=True)
        out = apply(*primals, **kwargs)
        if out.dtype.kind != "f":
            raise not_differentiable(prim, out.dtype)
        if prim.kind == "linear" and prim.variadic:
            moved = apply(*[_zeros(p) if t is None else t for p, t in zip(primals, tangents, strict=True)], **kwargs)
            return Dual(out, moved, level)
        total: Any = None
        for i, t in enumerate(tangents):
            if t is None:
                continue
            if prim.kind in ("linear", "bilinear"):
                part = apply(*primals[:i], t, *primals[i + 1 :], **kwargs)
            else:
                rule, asked = prim.rule(i)
                residuals = [prim.residual(name, primals, out, kwargs) for name in asked]
                part = rule(t, *residuals) if prim.kind == "elementwise" else _transposed(rule, residuals, out, t)
            total = part if total is None else total + part
        if total.shape != out.shape:  # an argument that was broadcast
            total = total + np.zeros(out.shape, total.dtype)
        return Dual(out, total if total.dtype == out.dtype else total.astype(out.dtype), level)

    @staticmethod
    def pull(outputs: Sequence[Tensor], cts: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """Reverse inside forward. For y + ε ẏ and a cotangent c + ε ċ, the pullback of c has the tangent

            pullback of ċ from y + pullback of c from ẏ:

        differentiate ∇⟨c, y(x)⟩ along the direction in which ẏ was taken.
        """
        level = max(t.level for t in (*outputs, *cts) if isinstance(t, Dual))
        y, dy = zip(*[split(t, level) for t in outputs], strict=True)
        c, dc = zip(*[split(t, level) for t in cts], strict=True)
        inputs = [split(x, level)[0] for x in inputs]
        primals = pull(y, c, inputs, record=True, free=False)
        pairs = [
            (o, w) for o, w in (*zip(y, dc, strict=True), *zip(dy, c, strict=True)) if o is not None and w is not None
        ]
        tangents = pull([o for o, _ in pairs], [w for _, w in pairs], inputs, record=True, free=False)
        return [
            p if t is None else Dual(Tensor(_zeros(x)) if p is None else p, t, level)
            for p, t, x in zip(primals, tangents, inputs, strict=True)
        ]


def split(t: Any, level: int) -> tuple[Any, Any]:
    """The primal and tangent of a dual of this level; anything else is its own primal, with no tangent (`None`)."""
    return (t.primal, t.tangent) if isinstance(t, Dual) and t.level == level else (t, None)


def _transposed(rule: Callable[..., Any], residuals: Sequence[Any], out: Tensor, tangent: Tensor) -> Tensor:
    """The jvp of a general primitive: its rule is a linear map of the cotangent, whose transpose is the jvp."""
    ct = _zero_variable(out, residuals, tangent)
    with enable_grad():
        (moved,) = pull([rule(ct, *residuals)], [tangent], [ct], record=True, free=False)
    return Tensor(_zeros(out)) if moved is None else moved


def _zero_variable(out: Tensor, residuals: Sequence[Any], tangent: Tensor) -> Tensor:
    """A variable for the cotangent of `out`: of its own for each example that anything here differs in."""
    zeros: Tensor = Tensor(_zeros(out))
    for t in (out, tangent, *residuals):
        if isinstance(t, Lifted):
            zeros = t.for_each_example(zeros)
    return _on_the_tape(zeros)


def _on_the_tape(x: Tensor) -> Tensor:
    if isinstance(x, Lifted):
        first, *rest = x.wrapped()
        return x.rewrap(_on_the_tape(first), *rest)
    return Tensor(x.value, Node(x.value, True))


def _zeros(like: Any) -> Array:
    return np.zeros(shape_of(like), getattr(like, "dtype", None) or np.asarray(like).dtype)
