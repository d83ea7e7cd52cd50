"""Forward mode: tensors that carry a tangent. It needs no tape, so its memory doesn't grow with the length of a loop.

A `Dual` is x + ε ẋ with ε² = 0. A primitive's kind says how the tangent moves on: an elementwise rule is its own (its
Jacobian is diagonal, hence its own transpose), a linear primitive is applied to the tangent, a bilinear one twice;
for the others the reverse rule, which is linear in the cotangent, is transposed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backward import pull
from .primitive import Primitive, not_differentiable
from .tape import Array, Node, Tensor, enable_grad

__all__ = ["Dual", "new_level", "split"]

_levels = itertools.count(1)


def new_level() -> int:
    """A number for a forward pass, higher than those of the passes that it runs inside: nested ones aren't confused."""
    return next(_levels)


class Dual(Tensor):
    """Primal + ε tangent, for the forward pass `level`. Both may be duals of outer passes, or recorded on the tape."""

    __slots__ = ("level", "primal", "tangent")

    def __init__(self, primal: Tensor, tangent: Tensor, level: int) -> None:
        super().__init__(primal.value, primal.node)
        self.primal, self.tangent, self.level = primal, tangent, level

    @staticmethod
    def apply(prim: Primitive, apply: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Dual:
        """A primitive on duals: the result's tangent is the sum of what each argument's tangent contributes."""
        level = max(a.level for a in args if isinstance(a, Dual))
        primals, tangents = zip(*[split(a, level) for a in args], strict=True)
        out = apply(*primals, **kwargs)
        if out.dtype.kind != "f":
            raise not_differentiable(prim, out.value)
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
    zeros = _zeros(out)
    ct = Tensor(zeros, Node(zeros, True))
    with enable_grad():
        (moved,) = pull([rule(ct, *residuals)], [tangent], [ct], record=True, free=False)
    return Tensor(zeros) if moved is None else moved


def _zeros(like: Any) -> Array:
    value = like.value if isinstance(like, Tensor) else np.asarray(like)
    return np.zeros(value.shape, value.dtype)
