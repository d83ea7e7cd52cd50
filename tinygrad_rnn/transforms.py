"""Functions to functions: `grad` and its kin. They nest and mix freely, because rules are made of operations.

Each takes a function of tensors, or of nested tuples, lists and dictionaries of them, and calls it with *fresh*
variables, which stand for the arguments in this differentiation alone. So a nested one can't confuse its variable with
the outer one's, even where both have the same value:

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
from .batching import everywhere
from .forward import Dual, split
from .ops import asarray, get_default_dtype
from .primitive import primitive
from .tape import Lifted, Node, Tensor, enable_grad, new_level
from .tree import NestingError, flatten, leaves, map_leaves, map_places

__all__ = ["grad", "hvp", "jvp", "value_and_grad", "vjp"]


@primitive("elementwise", [lambda ct: ct])
def _variable(x: ArrayLike) -> Any:
    """x itself, as a node of its own."""
    return x


def _argument(what: str, place: str, x: Any) -> Tensor:
    made_of_python_numbers = not isinstance(x, (Tensor, np.ndarray, np.generic))
    try:
        t = asarray(x, get_default_dtype() if made_of_python_numbers else None)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {place}: {error}") from None
    if t.dtype.kind != "f":
        raise TypeError(
            f"{what}: {place} must be of floating-point numbers to differentiate by it, got dtype {t.dtype}"
        )
    return t


def as_arguments(what: str, i: int, tree: Any) -> Any:
    """Argument i with each leaf as a tensor."""
    return map_places(lambda place, x: _argument(what, place, x), tree, f"argument {i}")


def _fresh(x: Tensor) -> Tensor:
    """A variable with the value of x, for each example that `vmap` runs for."""
    return variable(everywhere(x))


def variable(x: Tensor) -> Tensor:
    """A new variable with the value of x: on the tape it descends from x, if x is on it.

    It is never a leaf: nobody but the transform that made it can differentiate by it.
    """
    if isinstance(x, Lifted):
        first, *rest = x.wrapped()
        return x.rewrap(variable(first), *rest)
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


def _call(what: str, f: Callable[..., Any], args: Sequence[Any], has_aux: bool) -> tuple[Any, Any]:
    """f's result, each leaf of which must be a tensor, and its auxiliary one."""
    out = f(*args)
    aux = None
    if has_aux:
        if not isinstance(out, tuple) or len(out) != 2:
            got = type(out).__name__ + (f" of {len(out)}" if isinstance(out, tuple) else "")
            raise TypeError(
                f"{what}: with has_aux=True the function must return a pair (result, auxiliary), got a {got}"
            )
        out, aux = out
    for leaf in leaves(out) or [out]:
        if not isinstance(leaf, Tensor):
            raise TypeError(f"{what}: the function must return a tensor, got {type(leaf).__name__}")
    return out, aux


def _outside(tree: Any, record: bool) -> Any:
    """What a function returned, off the tape unless it is to stay on it."""
    return map_leaves(lambda t: _cut(t) if isinstance(t, Tensor) and not record else t, tree)


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """f(*primals), and its pullback: ct ↦ (ctᵀ ∂f/∂primal_i)_i. The pullback can be called many times.

    Args:
        f: takes and returns tensors, or nested tuples, lists and dictionaries of them.
        primals: the arguments.
        has_aux: f returns a pair, of which only the first part is differentiated; the second comes as a third result.

    The pullback takes a cotangent nested like the result, and returns a gradient for each argument, nested like it.

    >>> y, pullback = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    return reverse("vjp", f, primals, has_aux)


def reverse(what: str, f: Callable[..., Any], primals: Sequence[Any], has_aux: bool) -> tuple[Any, ...]:
    """`vjp`, whose errors speak for the transformation `what`."""
    variables = tuple(map_leaves(_fresh, as_arguments(what, i, p)) for i, p in enumerate(primals))
    with enable_grad():
        out, aux = _call(what, f, variables, has_aux)
    own, nested = flatten(variables)
    record = _depends_on_others(leaves(out), own)

    def pullback(ct: Any) -> Any:
        try:
            cts = map_places(lambda place, y, c: cotangent_for(f"{what}: {place}", y, c), out, "the cotangent", ct)
        except NestingError as error:
            raise ValueError(f"{what}: the cotangent must be nested like the result: {error}") from None
        return nested(_pull(leaves(out), leaves(cts), own, record, free=False))

    return (_outside(out, record), pullback) + ((_outside(aux, record),) if has_aux else ())


def _pull(
    outs: Sequence[Tensor], cts: Sequence[Tensor], variables: Sequence[Tensor], record: bool, free: bool
) -> list[Tensor]:
    keep = record or any(part.requires_grad for ct in cts for part in _parts(ct))
    needs_tensors = keep or any(isinstance(t, Lifted) for t in (*outs, *cts))
    found = pull(outs, cts, variables, record=needs_tensors, free=free and not needs_tensors)
    gradients = [Tensor(np.zeros(v.shape, v.dtype)) if g is None else g for v, g in zip(variables, found, strict=True)]
    return gradients if keep else [_cut(g) for g in gradients]


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """The function x ↦ (f(x), ∇f(x)) of a scalar function.

    Args:
        f: takes tensors, or nested tuples, lists and dictionaries of them; returns a scalar tensor.
        argnums: the arguments to differentiate by; a gradient, nested like the argument, for one number, a tuple of
            them for a sequence.
        has_aux: f returns a pair (scalar, auxiliary); the result is ((value, auxiliary), gradient).

    >>> loss = lambda p, x: ((p["w"] * x + p["b"]) ** 2).sum()
    >>> value_and_grad(loss)({"w": 2.0, "b": 1.0}, np.array([1.0, 2.0]))
    (tensor(34.), {'w': tensor(26.), 'b': tensor(16.)})
    """
    return gradient("value_and_grad", f, argnums, has_aux)


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient function x ↦ ∇f(x) of a scalar function.

    Args:
        f: takes tensors, or nested tuples, lists and dictionaries of them; returns a scalar tensor.
        argnums: the arguments to differentiate by; a gradient, nested like the argument, for one number, a tuple of
            them for a sequence.
        has_aux: f returns a pair (scalar, auxiliary); the result is (gradient, auxiliary).

    >>> from tinygrad_rnn import tanh
    >>> grad(grad(tanh))(0.5).item()  # -2 tanh (1 - tanh²)
    -0.72686...
    """
    both = gradient("grad", f, argnums, has_aux)

    def transformed(*args: Any) -> Any:
        value, gradient = both(*args)
        return (gradient, value[1]) if has_aux else gradient

    return transformed


def gradient(
    what: str, f: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool
) -> Callable[..., tuple[Any, Any]]:
    """`value_and_grad`, whose errors speak for the transformation `what`."""

    def transformed(*args: Any) -> tuple[Any, Any]:
        places = chosen(what, argnums, len(args))
        variables = {n: map_leaves(_fresh, as_arguments(what, n, args[n])) for n in dict.fromkeys(places)}
        with enable_grad():
            out, aux = _call(what, f, [variables.get(i, a) for i, a in enumerate(args)], has_aux)
        if not isinstance(out, Tensor):
            raise TypeError(f"{what}: the function must return a tensor, got {type(out).__name__}")
        if out.shape != ():
            raise ValueError(
                f"{what}: the function must return a scalar, got a tensor of shape {out.shape}; vjp takes any shape"
            )
        own, nested = flatten(variables)
        record = _depends_on_others([out], own)
        gradients = nested(_pull([out], [Tensor(np.ones((), out.dtype))], own, record, free=True))
        results = tuple(gradients[n] for n in places)
        value = _outside((out, aux) if has_aux else out, record)
        return value, results[0] if isinstance(argnums, int) else results

    return transformed


def chosen(what: str, argnums: int | Sequence[int], count: int) -> list[int]:
    """The arguments that argnums names, of `count`; an error of the transformation `what` if there is no such one."""
    numbers = tuple(argnums) if isinstance(argnums, (tuple, list)) else (argnums,)
    for n in numbers:
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"{what}: argnums must be an integer or a sequence of integers, got {argnums!r}")
        if not -count <= n < count:
            raise ValueError(f"{what}: argnums names argument {n}, but the function was called with {count}")
    return [n % count for n in numbers]


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """f(*primals) and its derivative along the tangents, (∂f/∂primals) · tangents, in forward mode: without the tape.

    Args:
        f: takes and returns tensors, or nested tuples, lists and dictionaries of them.
        primals: the arguments.
        tangents: one for each argument, nested like it.
        has_aux: f returns a pair, of which only the first part is differentiated; the second comes as a third result.

    >>> y, dy = jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    >>> dy
    tensor([2., 4.])
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise TypeError(f"jvp: {name} must be a tuple, one for each argument, got {type(given).__name__}")
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: {len(primals)} primals want as many tangents, got {len(tangents)}")
    return forward("jvp", f, primals, tangents, has_aux)


def forward(
    what: str, f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool
) -> tuple[Any, ...]:
    """`jvp`, whose errors speak for the transformation `what`."""
    level = new_level()

    def dual(place: str, x: Tensor, t: Any) -> Dual:
        tangent = t if isinstance(t, Tensor) else np.array(t)  # a copy: the result must not share the caller's memory
        return Dual(x, cotangent_for(f"{what}: {place}", x, tangent), level)

    duals = []
    for i, (p, t) in enumerate(zip(primals, tangents, strict=True)):
        try:
            pairs = map_places(lambda place, x, v: dual(place, x, v), as_arguments(what, i, p), f"tangent {i}", t)
        except NestingError as error:
            raise ValueError(f"{what}: tangent {i} must be nested like its primal: {error}") from None
        duals.append(pairs)
    out, aux = _call(what, f, duals, has_aux)
    y = map_leaves(lambda o: split(o, level)[0], out)
    dy = map_leaves(lambda o: _tangent(o, level), out)
    aux = map_leaves(lambda o: split(o, level)[0], aux)
    return (y, dy, aux) if has_aux else (y, dy)


def _tangent(out: Tensor, level: int) -> Tensor:
    tangent = split(out, level)[1]
    return Tensor(np.zeros(out.shape, out.dtype)) if tangent is None else tangent


def hvp(f: Callable[[Any], Any], x: Any, v: Any) -> Any:
    """The Hessian of a scalar function at x times v, without forming it: the derivative of ∇f along v.

    x may be nested tuples, lists and dictionaries; v and the result are nested like it.

    >>> hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0]))  # H = diag(6x)
    tensor([ 6., 12.])
    """
    return forward("hvp", lambda x: gradient("hvp", f, 0, False)(x)[1], (x,), (v,), False)[1]
