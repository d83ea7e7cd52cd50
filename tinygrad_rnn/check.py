"""Is a gradient right? Every mode against central differences, to second order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .tape import Tensor
from .transforms import jvp, vjp

__all__ = ["GradientError", "check_grads"]


class GradientError(AssertionError):
    """A derivative that doesn't agree with finite differences."""


def check_grads(
    f: Callable[..., Tensor],
    args: Sequence[Any],
    *,
    order: int = 2,
    modes: Sequence[str] = ("forward", "reverse"),
    rtol: float = 1e-6,
    atol: float = 1e-7,
    step: float = 1e-5,
    seed: int = 0,
) -> None:
    """Check ∂f/∂args along random directions u against (f(x + hu) − f(x − hu)) / 2h; raise `GradientError` if wrong.

    Forward mode: J u equals the difference quotient. Reverse mode: ⟨ct, J u⟩ equals ⟨Jᵀ ct, u⟩ for a random ct. Then
    the same of the derivative itself, up to `order`; so each mode is checked inside the other.

    Args:
        f: takes tensors, returns a tensor of any shape.
        args: float64 arrays, away from kinks by more than the step.
        order: how many times to differentiate.
        modes: "forward", "reverse" or both.
        rtol: tolerance relative to the largest entry; the differences themselves are good to about h² and 1e-16/h.
        atol: absolute tolerance.
        step: h.
        seed: of the directions.
    """
    arrays = [np.asarray(a.value if isinstance(a, Tensor) else a, np.float64) for a in args]
    for mode in modes:
        if mode not in ("forward", "reverse"):
            raise ValueError(f"check_grads: modes are 'forward' and 'reverse', got {mode!r}")
    _check(f, arrays, order, tuple(modes), rtol, atol, step, np.random.default_rng(seed), ())


def _check(
    f: Callable[..., Tensor],
    args: list[np.ndarray[Any, Any]],
    order: int,
    modes: tuple[str, ...],
    rtol: float,
    atol: float,
    step: float,
    rng: np.random.Generator,
    path: tuple[str, ...],
) -> None:
    us = [rng.standard_normal(a.shape) for a in args]
    ahead, behind = ([a + s * step * u for a, u in zip(args, us, strict=True)] for s in (1, -1))
    numeric = (_plain(f, ahead) - _plain(f, behind)) / (2 * step)
    ct = rng.standard_normal(numeric.shape)

    def compare(mode: str, got: Any, want: Any) -> None:
        scale = np.max(np.abs(want), initial=0.0)
        wrong = np.max(np.abs(np.asarray(got) - want), initial=0.0)
        if not wrong <= atol + rtol * scale:
            what = " of ".join((*path[::-1], mode)) if path else mode
            raise GradientError(
                f"check_grads: {what} mode: the derivative differs from finite differences by {wrong:.3g} "
                f"(largest entry {scale:.3g}): got {np.asarray(got)}, want {want}"
            )

    if "forward" in modes:
        compare("forward", jvp(f, args, us)[1].value, numeric)
    if "reverse" in modes:
        _, pullback = vjp(f, *args)
        pulled = pullback(ct)
        for a, g in zip(args, pulled, strict=True):
            if g.shape != a.shape or g.dtype != a.dtype:
                raise GradientError(
                    f"check_grads: a gradient has shape {g.shape}, dtype {g.dtype}; want {a.shape}, {a.dtype}"
                )
        compare(
            "reverse",
            sum(float(np.vdot(g.value, u)) for g, u in zip(pulled, us, strict=True)),
            float(np.vdot(ct, numeric)),
        )
    if order > 1:
        if "forward" in modes:
            along = [Tensor(u) for u in us]
            _check(lambda *xs: jvp(f, xs, along)[1], args, order - 1, modes, rtol, atol, step, rng, (*path, "forward"))
        if "reverse" in modes:
            for i in range(len(args)):
                nth = _nth_gradient(f, ct, i)
                _check(nth, args, order - 1, modes, rtol, atol, step, rng, (*path, "reverse"))


def _nth_gradient(f: Callable[..., Tensor], ct: Any, i: int) -> Callable[..., Tensor]:
    return lambda *xs: vjp(f, *xs)[1](ct)[i]


def _plain(f: Callable[..., Tensor], args: Sequence[Any]) -> Any:
    return np.asarray(f(*[Tensor(a) for a in args]).detach().value)
