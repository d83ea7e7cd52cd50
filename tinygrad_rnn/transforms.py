"""Functions to functions: `grad` and its kin. They nest and mix freely, because rules are made of operations.

Each takes a function of tensors and calls it with *fresh* variables, which stand for the arguments in this
differentiation alone. So a nested one can't confuse its variable with the outer one's, even where both have the same
value:

>>> def f(x):
...     return x * grad(lambda y: x + y)(x)  # the inner derivative is 1, whatever x is
>>> grad(f)(3.0).item()
1.0
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .backward import cotangent_for, pull
from .batching import Batched, batches, everywhere, spread
from .forward import Dual, split
from .ops import asarray, get_default_dtype, moveaxis
from .primitive import primitive, shape_of
from .tape import Lifted, Node, Tensor, enable_grad, new_level
from .tree import leaves, map_leaves

__all__ = ["grad", "hvp", "jvp", "value_and_grad", "vjp", "vmap"]


@primitive("elementwise", [lambda ct: ct])
def _variable(x: ArrayLike) -> Any:
    """x itself, as a node of its own."""
    return x


def _argument(what: str, i: int, x: Any) -> Tensor:
    made_of_python_numbers = not isinstance(x, (Tensor, np.ndarray, np.generic))
    t = asarray(x, get_default_dtype() if made_of_python_numbers else None)
    if t.dtype.kind != "f":
        raise TypeError(
            f"{what}: argument {i} must be of floating-point numbers to differentiate by it, got dtype {t.dtype}"
        )
    return t


def _fresh(x: Tensor) -> Tensor:
    """A new variable with the value of x: on the tape it descends from x, if x is on it.

    It is never a leaf: nobody but the transform that made it can differentiate by it.
    """
    x = everywhere(x)
    if isinstance(x, Lifted):
        first, *rest = x.wrapped()
        return x.rewrap(_fresh_plain(first), *rest)
    return _fresh_plain(x)


def _fresh_plain(x: Tensor) -> Tensor:
    if isinstance(x, Lifted):
        first, *rest = x.wrapped()
        return x.rewrap(_fresh_plain(first), *rest)
    if x.requires_grad:
        return _variable(x)
    plan = _variable.primitive.plan(1)  # type: ignore[attr-defined]
    return Tensor(x.value, Node(x.value, True, plan, parents=[None], origin=x.value))


def _depends_on_others(outputs: Sequence[Tensor], variables: Sequence[Tensor]) -> bool:
    """Whether anything but the variables could be differentiated through the outputs: then the backward is recorded."""
    own = {part.node for v in variables for part in _parts(v)[:1]}
    first = min((node.index for node in own if node is not None), default=math.inf)
    seen: set[Node] = set()
    stack = [t.node for output in outputs for t in _parts(output) if t.node is not None and t.node.needs_grad]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        sources = [p for p in node.parents if p is not None and p.needs_grad]
        if node in own:
            if sources:  # it stands for a recorded argument
                return True
        elif sources:
            stack += sources
        elif node.plan is None or node.index < first:  # a leaf, or the variable of a transform around this one
            return True
    return False


def _parts(t: Tensor) -> list[Tensor]:
    """The plain tensors that a lifted one wraps, the one with the values first; a plain tensor is its own only part."""
    return [part for w in t.wrapped() for part in _parts(w)] if isinstance(t, Lifted) else [t]


def _cut(t: Tensor) -> Tensor:
    """The same values and tangents, off the tape."""
    return t.rewrap(*map(_cut, t.wrapped())) if isinstance(t, Lifted) else t.detach()


def _call(what: str, f: Callable[..., Any], args: Sequence[Any]) -> Tensor:
    with enable_grad():
        out = f(*args)
    if not isinstance(out, Tensor):
        raise TypeError(f"{what}: the function must return a tensor, got {type(out).__name__}")
    return out


def vjp(f: Callable[..., Tensor], *primals: Any) -> tuple[Tensor, Callable[[Any], tuple[Tensor, ...]]]:
    """f(*primals), and its pullback: ct ↦ (ctᵀ ∂f/∂primal_i)_i. The pullback can be called many times.

    >>> y, pullback = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    arguments = [_argument("vjp", i, p) for i, p in enumerate(primals)]
    variables = [_fresh(a) for a in arguments]
    out = _call("vjp", f, variables)
    record = _depends_on_others([out], variables)

    def pullback(ct: Any) -> tuple[Tensor, ...]:
        return _pull("vjp", out, cotangent_for("vjp: the cotangent", out, ct), variables, record, free=False)

    return _result(out, record), pullback


def _pull(
    what: str, out: Tensor, ct: Tensor, variables: Sequence[Tensor], record: bool, free: bool
) -> tuple[Tensor, ...]:
    keep = record or any(part.requires_grad for part in _parts(ct))
    needs_tensors = keep or isinstance(ct, Lifted) or isinstance(out, Lifted)
    found = pull([out], [ct], variables, record=needs_tensors, free=free and not needs_tensors)
    gradients = [Tensor(np.zeros(v.shape, v.dtype)) if g is None else g for v, g in zip(variables, found, strict=True)]
    return tuple(gradients) if keep else tuple(_cut(g) for g in gradients)


def _result(out: Tensor, record: bool) -> Tensor:
    return out if record else _cut(out)


def value_and_grad(f: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable[..., tuple[Tensor, Any]]:
    """The function x ↦ (f(x), ∇f(x)) of a scalar function.

    Args:
        f: takes tensors, returns a scalar tensor.
        argnums: the arguments to differentiate by; a gradient for one number, a tuple of them for a sequence.
    """
    return _value_and_grad("value_and_grad", f, argnums)


def grad(f: Callable[..., Tensor], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The gradient function x ↦ ∇f(x) of a scalar function.

    Args:
        f: takes tensors, returns a scalar tensor.
        argnums: the arguments to differentiate by; a gradient for one number, a tuple of them for a sequence.

    >>> from tinygrad_rnn import tanh
    >>> grad(grad(tanh))(0.5).item()  # -2 tanh (1 - tanh²)
    -0.72686...
    """
    both = _value_and_grad("grad", f, argnums)
    return lambda *args: both(*args)[1]


def _value_and_grad(
    what: str, f: Callable[..., Tensor], argnums: int | Sequence[int]
) -> Callable[..., tuple[Tensor, Any]]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def transformed(*args: Any) -> tuple[Tensor, Any]:
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise ValueError(f"{what}: argnums names argument {n}, but the function was called with {len(args)}")
        places = [n % len(args) for n in numbers]
        variables = {n: _fresh(_argument(what, n, args[n])) for n in dict.fromkeys(places)}
        out = _call(what, f, [variables.get(i, a) for i, a in enumerate(args)])
        if out.shape != ():
            raise ValueError(
                f"{what}: the function must return a scalar, got a tensor of shape {out.shape}; vjp takes any shape"
            )
        own = list(variables.values())
        record = _depends_on_others([out], own)
        one = Tensor(np.ones((), out.dtype))
        gradients = dict(zip(variables, _pull(what, out, one, own, record, free=True), strict=True))
        results = tuple(gradients[n] for n in places)
        return _result(out, record), results[0] if isinstance(argnums, int) else results

    return transformed


def jvp(f: Callable[..., Tensor], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """f(*primals) and its derivative along the tangents, (∂f/∂primals) · tangents, in forward mode: without the tape.

    >>> y, dy = jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    >>> dy
    tensor([2., 4.])
    """
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: {len(primals)} primals want as many tangents, got {len(tangents)}")
    level = new_level()
    duals = []
    for i, (p, t) in enumerate(zip(primals, tangents, strict=True)):
        x = _argument("jvp", i, p)
        tangent = t if isinstance(t, Tensor) else np.array(t)  # a copy: the result must not share the caller's memory
        duals.append(Dual(x, cotangent_for(f"jvp: tangent {i}", x, tangent), level))
    out = f(*duals)
    if not isinstance(out, Tensor):
        raise TypeError(f"jvp: the function must return a tensor, got {type(out).__name__}")
    y, dy = split(out, level)
    return y, Tensor(np.zeros(y.shape, y.dtype)) if dy is None else dy


def hvp(f: Callable[[Tensor], Tensor], x: Any, v: Any) -> Tensor:
    """The Hessian of a scalar function at x times v, without forming it: the derivative of ∇f along v.

    >>> hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0]))  # H = diag(6x)
    tensor([ 6., 12.])
    """
    return jvp(grad(f), (x,), (v,))[1]


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
        axes = [in_axes] * len(args) if in_axes is None or isinstance(in_axes, int) else list(in_axes)
        if len(axes) != len(args):
            raise ValueError(f"vmap: in_axes names {len(axes)} arguments, but the function was called with {len(args)}")
        sizes = {
            shape_of(leaf)[axis]: i
            for i, (arg, axis) in enumerate(zip(args, axes, strict=True))
            if axis is not None
            for leaf in leaves(arg)
        }
        if len(sizes) != 1:
            found = ", ".join(f"{n} (argument {i})" for n, i in sizes.items()) or "none"
            raise ValueError(f"vmap: the arguments must have one number of examples in common, got {found}")
        ((size, _),) = sizes.items()
        level = new_level()
        inside = [
            arg if axis is None else map_leaves(lambda x, a=axis: Batched(moveaxis(asarray(x), a, 0), level), arg)
            for arg, axis in zip(args, axes, strict=True)
        ]
        with batches(level, size):
            out = f(*inside)
        return map_leaves(lambda y: _examples(y, level, size, out_axes), out)

    return transformed


def _examples(y: Any, level: int, size: int, axis: int) -> Tensor:
    if isinstance(y, Batched) and y.level == level:
        return moveaxis(y.examples, 0, axis)
    return moveaxis(asarray(spread(y, size)), 0, axis)
