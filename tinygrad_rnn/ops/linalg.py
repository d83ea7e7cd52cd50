"""Linear algebra on matrices [..., n, n] and stacks of them: `numpy.linalg`'s names.

Factorisations have no primitive here; `docs/own_operation.md` shows how to add one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import ArrayLike

from ..primitive import primitive, shape_of
from ..tape import Array, Tensor
from .elementwise import abs, sign, where
from .reductions import Axis, _over, _restore, max, min, sum
from .shapes import _axes, broadcast_to, expand_dims, inward, moveaxis, reshape, squeeze

__all__ = ["det", "inv", "norm", "slogdet", "solve"]


def _turned(x: Any) -> Any:
    return x.swapaxes(-1, -2)


def _square(what: str, shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise LinAlgError(f"{what}: want square matrices [..., n, n], got shape {shape}")


def _by_lapack(f: Callable[..., Any], *xs: Array) -> Any:
    """f of the arrays; of half precision, which NumPy's LAPACK doesn't know, in float32."""
    dtype = np.result_type(*xs)
    out = f(*[x.astype(np.float32) if x.dtype == np.float16 else x for x in xs])
    return out.astype(dtype) if dtype == np.float16 else out


def _singular(x: Array) -> str:
    """Which matrix of a stack has no inverse."""
    if x.ndim == 2:
        return "the matrix is singular"
    place = np.argwhere(_by_lapack(np.linalg.det, x) == 0)[0].tolist()
    return f"the matrix at {place} of the stack of shape {x.shape} is singular"


# ----------------------------------------------------------------------------------------------- inverses and equations


def _inv_batch(x: Any, derivative: str) -> Any:
    return _inv(x, derivative=derivative)


@primitive("general", [lambda ct, out: -(_turned(out) @ ct @ _turned(out))], batch=_inv_batch)
def _inv(x: ArrayLike, *, derivative: str) -> Any:
    """X⁻¹. If it is for a derivative, rounding must not have cost all its digits: the derivative would have none."""
    x = np.asarray(x)
    why = f": there {derivative} isn't known" if derivative else ""
    try:
        out = _by_lapack(np.linalg.inv, x)
    except LinAlgError:
        raise LinAlgError(_singular(x) + why) from None
    if derivative:
        eps = np.finfo(np.float32 if x.dtype == np.float16 else out.dtype).eps
        condition = np.abs(x).sum(-1).max(-1, initial=0) * np.abs(out).sum(-1).max(-1, initial=0)
        if np.any(condition * eps > 1):
            raise LinAlgError(f"a matrix of shape {x.shape[-2:]} is singular to working precision{why}")
    return out


def inv(x: ArrayLike) -> Tensor:
    """X⁻¹ of matrices [..., n, n]. Derivative: ∂L/∂X = −X⁻ᵀ C X⁻ᵀ. To solve X Y = B, `solve` is faster and nearer.

    `LinAlgError` for a singular matrix.
    """
    _square("inv", shape_of(x))
    return _inv(x, derivative="")


def _solve_a(ct: Any, a: Any, out: Any) -> Any:
    return -(_solve(_turned(a), ct) @ _turned(out))


def _solve_b(ct: Any, a: Any) -> Any:
    return _solve(_turned(a), ct)


def _solve_batch(a: Any, b: Any, batched: tuple[bool, bool]) -> Any:
    return solve(a, b)  # spreads what isn't batched, or factorises the one matrix for all


@primitive("general", [_solve_a, _solve_b], batch=_solve_batch)
def _solve(a: ArrayLike, b: ArrayLike) -> Any:
    a = np.asarray(a)
    try:
        return _by_lapack(np.linalg.solve, a, np.asarray(b))
    except LinAlgError:
        raise LinAlgError(_singular(a)) from None


def solve(a: ArrayLike, b: ArrayLike) -> Tensor:
    """The x for which A x = b: A [..., n, n]; b [n] is a vector, any other matrices [..., n, m], as in NumPy 2.

    Leading axes broadcast; one A for a stack of b is factorised once. Derivatives: ∂L/∂b = A⁻ᵀ C and
    ∂L/∂A = −A⁻ᵀ C xᵀ. `LinAlgError` for a singular matrix.
    """
    left, right = shape_of(a), shape_of(b)
    _square("solve", left)
    n, is_vector = left[-1], len(right) == 1
    if not right or right[0 if is_vector else -2] != n:
        raise ValueError(f"solve: for A of shape {left}, b must have shape ({n},) or [..., {n}, m], got {right}")
    if is_vector:
        return squeeze(solve(a, expand_dims(b, 1)), -1)
    if len(left) == 2 < len(right):
        columns = moveaxis(b, -2, 0)  # of all, side by side
        out = _solve(a, reshape(columns, (n, math.prod(right) // n if n else 0)))
        return moveaxis(reshape(out, columns.shape), 0, -2)
    try:
        lead = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        raise ValueError(
            f"solve: shapes {left} and {right}: the leading axes {left[:-2]} and {right[:-2]} don't broadcast"
        ) from None
    return _solve(_spread(a, lead), _spread(b, lead))


def _spread(x: ArrayLike, lead: tuple[int, ...]) -> Any:
    shape = (*lead, *shape_of(x)[-2:])
    return x if shape_of(x) == shape else broadcast_to(x, shape)


# --------------------------------------------------------------------------------------------------------- determinants


def _cofactors_rule(ct: Any, x: Any, out: Any) -> Any:
    # Of C = det X · X⁻ᵀ: d⟨ct, C⟩ = ⟨C, dX⟩ ⟨ct, X⁻ᵀ⟩ − ⟨C ctᵀ X⁻ᵀ, dX⟩.
    inverse = _turned(_inv(x, derivative="the second derivative of det"))
    return out * sum(ct * inverse, (-2, -1), keepdims=True) - out @ _turned(ct) @ inverse


def _cofactors_batch(x: Any) -> Any:
    return _cofactors(x)


@primitive("general", [_cofactors_rule], batch=_cofactors_batch)
def _cofactors(x: ArrayLike) -> Any:
    """∂ det X / ∂X = det X · X⁻ᵀ, whose elements are determinants too: it is there for singular matrices as well."""
    return _by_lapack(_cofactors_of, np.asarray(x))


def _cofactors_of(x: Array) -> Any:
    determinant = np.linalg.det(x)[..., None, None]
    if np.all(np.isfinite(determinant) & (determinant != 0)):
        return determinant * _turned(np.linalg.inv(x))
    # X = U S Vᵀ has the cofactors ± U S' Vᵀ, with the product of the other singular values in the place of each.
    u, s, vt = np.linalg.svd(x)
    others = np.prod(np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]), axis=-1)
    orientation = np.sign(np.linalg.det(u) * np.linalg.det(vt))[..., None, None]
    return orientation * ((u * others[..., None, :]) @ vt)


def _det_batch(x: Any) -> Any:
    return _det(x)


@primitive("general", [lambda ct, x: ct[..., None, None] * _cofactors(x)], batch=_det_batch)
def _det(x: ArrayLike) -> Any:
    return _by_lapack(np.linalg.det, np.asarray(x))


def det(x: ArrayLike) -> Tensor:
    """The determinant of matrices [..., n, n]. Derivative: the cofactors, det X · X⁻ᵀ.

    They are right for singular matrices too (where PyTorch gives 0); the second derivative isn't there: `LinAlgError`.
    Where the determinant of a large matrix would under- or overflow, use `slogdet`.
    """
    _square("det", shape_of(x))
    return _det(x)


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


def _slogdet_batch(x: Any) -> Any:
    return _slogdet(x)


def _slogdet_rule(ct: Any, x: Any) -> Any:
    return ct[..., 1, None, None] * _turned(_inv(x, derivative="the derivative of slogdet"))


@primitive("general", [_slogdet_rule], batch=_slogdet_batch)
def _slogdet(x: ArrayLike) -> Any:
    return _by_lapack(lambda x: np.stack(np.linalg.slogdet(x), -1), np.asarray(x))


def slogdet(x: ArrayLike) -> SlogdetResult:
    """(sign det X, log |det X|) of matrices [..., n, n], without under- or overflow; (0, −∞) for a singular one.

    Derivatives: 0 and X⁻ᵀ; `LinAlgError` from the backward for a singular matrix.
    """
    _square("slogdet", shape_of(x))
    both: Any = _slogdet(x)
    return SlogdetResult(both[..., 0], both[..., 1])


# ---------------------------------------------------------------------------------------------------------------- norms


def _norm_rule(ct: Any, x: Any, out: Any, ord: float, axis: tuple[int, ...]) -> Any:  # noqa: A002
    """∂‖x‖/∂x_i = sign x_i · (|x_i| / ‖x‖)^(p−1): a ratio, so that nothing overflows."""
    ct, out = _restore(ct, x.shape, axis), _restore(out, x.shape, axis)
    nothing = out == 0
    ratio = x / where(nothing, 1, out)
    if ord == 2:
        return where(nothing, 0, ct * ratio)
    if ord > 2 and ord % 2 == 0:
        return where(nothing, 0, ct * ratio ** (ord - 1))
    nothing = nothing | (x == 0)  # where the derivative is 0, if p > 1, or none
    return where(nothing, 0, ct * (sign(x) * abs(where(nothing, 1, ratio)) ** (ord - 1)))


def _norm_batch(x: Any, ord: float, axis: tuple[int, ...], keepdims: bool) -> Any:  # noqa: A002
    return _norm(x, ord=ord, axis=inward(axis), keepdims=keepdims)


@primitive("general", [_norm_rule], batch=_norm_batch)
def _norm(x: Any, *, ord: float, axis: tuple[int, ...], keepdims: bool) -> Any:  # noqa: A002
    """(Σ |x|^p)^(1/p), of numbers scaled where a power under- or overflows."""
    x = np.abs(x) if np.iscomplexobj(x) else np.asarray(x)
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    x = x.astype(np.float32 if dtype == np.float16 else dtype, copy=False)
    with np.errstate(over="ignore", under="ignore"):
        out = np.sqrt(np.add.reduce(x * x, axis=axis, keepdims=True)) if ord == 2 else None
    limits = np.finfo(x.dtype)
    if out is None or not np.all((out > math.sqrt(limits.tiny / limits.eps)) & (out < math.inf)):
        x = np.abs(x)
        extreme = (
            np.max(x, axis, keepdims=True, initial=0) if ord > 0 else np.min(x, axis, keepdims=True, initial=np.inf)
        )
        scale = np.where(np.isfinite(extreme) & (extreme > 0), extreme, x.dtype.type(1))
        total = np.add.reduce((x / scale) ** ord, axis=axis, keepdims=True)
        out = scale * (np.sqrt(total) if ord == 2 else total ** (1 / ord))
    out = out.astype(dtype, copy=False)
    return out if keepdims else np.squeeze(out, axis)


def norm(x: ArrayLike, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:  # noqa: A002
    """‖x‖ over an axis (vectors), over two (matrices), or over all.

    Args:
        x: any shape if `ord` is `None` (the 2-norm of all numbers); else a vector or a matrix, or with `axis` stacks.
        ord: for vectors p: (Σ |x|^p)^(1/p), 2 if `None`; inf: max |x|; −inf: min |x|; 0: how many aren't 0. For
            matrices 'fro' or `None`: √Σ x²; 1: the largest column sum of |x|; inf: the largest row sum; −1 and −inf:
            the smallest.
        axis: one for vectors, two (rows, columns) for matrices.
        keepdims: keep the axes that are summed over, of length 1.

    Derivative, for 1 < p < ∞: sign x · (|x| / ‖x‖)^(p−1). It is 0 where x = 0, so at the kink of ‖x‖₂ and ‖x‖₁, and
    where p < 1 and it is infinite, as PyTorch's; ties in max and min share it. Of `ord=0` it is 0. The norms of a
    matrix that need its singular values (2, −2, 'nuc') aren't there.
    """
    ndim = len(shape_of(x))
    if axis is None and ord is None:
        return _norm(x, ord=2, axis=tuple(range(ndim)), keepdims=keepdims)
    axes = list(range(ndim)) if axis is None else _axes("norm", axis, ndim)
    if len(axes) not in (1, 2):
        raise ValueError(
            f"norm: ord={ord!r} is for vectors (one axis) and matrices (two), got axis={axis!r} of shape {shape_of(x)}"
        )
    p = _order(ord, is_matrix=len(axes) == 2)
    if len(axes) == 2 and p != "fro":
        summed, compared = axes if p in (1, -1) else axes[::-1]
        out = (max if p > 0 else min)(sum(abs(x), summed, keepdims=True), compared, keepdims=True)
        return out if keepdims else squeeze(out, axes)
    over = _over("norm", x, axes)
    if p == math.inf and 0 in [shape_of(x)[a] for a in over]:
        p = 1  # the largest of nothing is to be 0, as NumPy's
    if p == "fro":
        return _norm(x, ord=2, axis=over, keepdims=keepdims)
    if math.isinf(p):
        return (max if p > 0 else min)(abs(x), over, keepdims)
    if p in (0, 1):
        return sum(abs(sign(x)) if p == 0 else abs(x), over, keepdims)
    return _norm(x, ord=p, axis=over, keepdims=keepdims)


def _order(ord: Any, is_matrix: bool) -> Any:  # noqa: A002
    if ord is None or (is_matrix and ord == "fro"):
        return "fro"
    number = isinstance(ord, (int, float, np.integer, np.floating)) and not math.isnan(ord)
    if number and (not is_matrix or ord in (1, -1, math.inf, -math.inf)):
        return float(ord)
    if is_matrix and ord in (2, -2, "nuc"):
        raise ValueError(
            f"norm: ord={ord!r} of a matrix needs its singular values, which aren't there; "
            "docs/own_operation.md shows how to add a factorisation"
        )
    wanted = "None, 'fro', 1, -1, inf or -inf for matrices" if is_matrix else "None or a number for vectors"
    raise ValueError(f"norm: ord must be {wanted}, got {ord!r}")
