"""Primitives: NumPy functions with derivative rules, and how calling one records a node.

A rule names what it needs, and the tape keeps that and nothing else: tanh's is a function of `ct, out`, so its node
keeps the output; add's is a function of `ct`, so its node keeps nothing.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeAlias

import numpy as np

from .seal import Seal, find, seal
from .tape import Array, Lifted, Node, Tensor, grad_enabled, innermost
from .watch import watchers

__all__ = [
    "Lowering",
    "Plan",
    "Primitive",
    "Rule",
    "not_differentiable",
    "primitive",
    "real_numbers",
    "record",
    "shape_of",
]

P = ParamSpec("P")
Rule: TypeAlias = Callable[..., Any]
Kind: TypeAlias = Literal["elementwise", "linear", "bilinear", "general"]


class Plan:
    """What a backward does at a node, for one choice of arguments that need a gradient; made once for each choice.

    `saves` names the residuals that these arguments' rules ask for between them, in this order: `arrays`, by the
    argument's position, −1 for the result; `shapes`, by the argument's position; `extras`, all else, by name. `steps`
    are (argnum, rule, which residuals it takes or `None` for all, its pooled form).
    """

    __slots__ = ("arrays", "extras", "primitive", "saves", "shapes", "steps", "variadic")

    def __init__(self, primitive: Primitive, argnums: Sequence[int]) -> None:
        self.primitive = primitive
        self.variadic = primitive.variadic
        names = list(dict.fromkeys(name for i in argnums for name in primitive.asks[i]))
        arrays = {"out": -1}
        shapes = {}
        if not primitive.variadic:
            arrays |= {name: i for i, name in enumerate(primitive.arguments)}
            shapes = {f"{name}_shape": i for i, name in enumerate(primitive.arguments)}
        names.sort(key=lambda name: (name not in arrays, name not in shapes))
        self.saves = tuple(names)
        self.arrays = tuple(arrays[name] for name in names if name in arrays)
        self.shapes = tuple(shapes[name] for name in names if name in shapes)
        self.extras = tuple(name for name in names if name not in arrays and name not in shapes)
        self.steps = tuple(
            (i, primitive.rules[i], _places(names, primitive.asks[i]), primitive.pooled.get(i)) for i in argnums
        )


def _places(names: list[str], asked: tuple[str, ...]) -> tuple[int, ...] | None:
    """Where the residuals that a rule asks for are among those kept; `None` if it asks for all, in that order."""
    return None if list(asked) == names else tuple(names.index(name) for name in asked)


Shape: TypeAlias = tuple[int, ...]
Part: TypeAlias = tuple[int, int, int]  # axis, start, stop


@dataclass(eq=False, repr=False)
class Lowering:
    """What a compiled loop may know of a primitive besides its rules. Whatever isn't said costs speed, nothing else.

    Args:
        numpy: the NumPy function that it is, which takes the array for the result as its last argument.
        formula: the same function, and the same derivatives, in simpler operations, with an absolute error of a unit in
            the last place of 1; `NotImplemented` where it isn't.
        values: the same function in simpler operations, whose derivatives aren't to be used.
        unfused: like `values`, in more operations than pay where each is a call: for loops in C, where none is.
        algebra: its part in sums and products, which may be regrouped.
        nonexpansive: |f(x) − f(y)| ≤ |x − y|: an absolute error grows no greater.
        part: of `(keywords, shape of x)`: which part of x it is, if it is one along one axis: `(axis, start, stop)`.
        view: the result shares memory with the argument: always, or of `keywords`: whether it does.
        pieces: of `(keywords, shapes)`: where its arguments are, side by side, in the result, if that is all there is.
        rows: a product that treats every row of its first argument alike, on as many leading axes as it has.
        scaled: of `(y, s)`: the y whose product has its columns multiplied by s, a number or a vector.
        summed: Σ_k f(x_k, y_k) of arguments along a new first axis, as one product.
    """

    numpy: Callable[..., Any] | None = None
    formula: Callable[..., Any] | None = None
    values: Callable[..., Any] | None = None
    unfused: Callable[..., Any] | None = None
    algebra: Literal["sum", "difference", "product", "negative"] | None = None
    nonexpansive: bool = False
    part: Callable[[dict[str, Any], Shape], Part | None] | None = None
    view: bool | Callable[[dict[str, Any]], bool] = False
    pieces: Callable[[dict[str, Any], Sequence[Shape]], list[Part] | None] | None = None
    rows: bool = False
    scaled: Callable[[Any, Any], Any] | None = None
    summed: Callable[..., Any] | None = None


class Primitive:
    """A NumPy function and its derivative: `forward`, one rule per argument, and the kind, which gives the rest.

    A rule maps the cotangent of the result to that of its argument. Its parameters' names say what it needs: first
    `ct`; then `out` (the result), an argument's name (its array), an argument's name + `_shape` (its shape only), or
    a keyword of the forward. The tape keeps those and nothing else. A rule is written with operators and this
    package's functions, so that it runs on arrays (and records nothing) or on tensors (and can be differentiated).
    The machinery sums a rule's result down to its argument's shape, so rules never unbroadcast.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        kind: Kind,
        rules: Sequence[Rule | None] | Rule,
        pooled: dict[int, Rule] | None = None,
        batch: Rule | None = None,
        lowering: Lowering | None = None,
    ) -> None:
        self.forward = forward
        self.name = forward.__name__.strip("_")
        self.kind: Kind = kind
        parameters = inspect.signature(forward).parameters.values()
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)  # then one rule gives all cotangents
        self.arguments = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.rules: list[Any] = [rules] if callable(rules) else list(rules)
        if len(self.rules) != len(self.arguments):
            raise TypeError(f"{self.name}: {len(self.arguments)} arguments want as many rules, got {len(self.rules)}")
        self.asks = [tuple(inspect.signature(rule).parameters)[1:] if rule else () for rule in self.rules]
        known = ["out", *self.arguments, *(f"{name}_shape" for name in self.arguments), *self.keywords]
        for name in (name for asked in self.asks for name in asked):
            if name not in known:
                raise TypeError(f"{self.name}: a rule asks for {name!r}; it can have {', '.join(map(repr, known))}")
        self.pooled = pooled or {}
        self.batch = batch
        self.batch_is_told = batch is not None and "batched" in inspect.signature(batch).parameters
        self.apply: Callable[..., Any] = forward  # the operation that records it, once there is one
        self.is_ours = (forward.__module__ or "").startswith(f"{__package__}.")
        self.lowering = lowering or Lowering(numpy=_ufunc(self))
        self.plans: dict[int, Plan] = {}

    def residual(self, name: str, args: Sequence[Any], out: Any, kwargs: dict[str, Any]) -> Any:
        """What a rule gets that asks for `name`."""
        if name == "out":
            return out
        if name in self.keywords:
            return kwargs[name]
        argument = name.removesuffix("_shape")
        if self.variadic:
            return tuple(args) if argument == name else [shape_of(a) for a in args]
        value = args[self.arguments.index(argument)]
        return value if argument == name else shape_of(value)

    def rule(self, i: int) -> tuple[Rule, tuple[str, ...]]:
        """The rule of the i-th argument, and the residuals that it asks for."""
        if self.variadic:
            joint = self.rules[0]
            return lambda ct, *residuals: joint(ct, *residuals)[i], self.asks[0]
        if self.rules[i] is None:
            raise TypeError(f"{self.name}: there is no derivative by argument {self.arguments[i]!r}")
        return self.rules[i], self.asks[i]

    def traced(self) -> list[Callable[..., Any]]:
        """Its functions that a compiled loop runs once only, on symbols: rules and formulas."""
        ways = self.lowering.formula, self.lowering.values, self.lowering.unfused, self.lowering.scaled
        return [f for f in (*self.rules, *self.pooled.values(), *ways) if f is not None]

    def plan(self, needed: int) -> Plan:
        """The plan for the arguments whose bits are set in `needed`."""
        key = 1 if self.variadic else needed
        found = self.plans.get(key)
        if found is None:
            argnums = [i for i in range(len(self.rules)) if key >> i & 1]
            for i in argnums:
                self.rule(i)  # there must be one
            found = self.plans[key] = Plan(self, argnums)
        return found


def _ufunc(prim: Primitive) -> Callable[..., Any] | None:
    """NumPy's own elementwise function, which one of this package's elementwise operations of that name is."""
    found = getattr(np, prim.name, None) if prim.is_ours else None
    same = isinstance(found, np.ufunc) and prim.kind == "elementwise" and found.nin == len(prim.arguments)
    return found if same else None


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array, a tensor of any kind, a number or nested lists."""
    if isinstance(x, (np.ndarray, Tensor)):
        return x.shape
    try:
        return np.shape(x)
    except ValueError as error:
        raise ValueError(f"want a regular array of numbers: {error}") from None


_NUMBERS = frozenset({float, int, bool})
_PLAIN = _NUMBERS | {np.ndarray}


def primitive(
    kind: Kind,
    rules: Sequence[Rule | None] | Rule,
    pooled: dict[int, Rule] | None = None,
    batch: Rule | None = None,
    lowering: Lowering | None = None,
) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Make a NumPy function differentiable: arrays positional, settings by keyword.

    Args:
        kind: *elementwise* (with broadcasting; a rule is its own jvp), *linear* (its jvp is itself), *bilinear* (its
            jvp is two calls) or *general* (its jvp is the transposed rule).
        rules: one an argument, `None` where there is no derivative; for `f(*xs)` one, which returns a cotangent for
            each.
        pooled: for an argument, its rule for many uses at once: every parameter is a list with an entry for each use,
            the result is their sum, or `NotImplemented`. It turns T small products into one large one.
        batch: the function for many examples at once: of the same signature, for array arguments that have the
            examples along a new first axis, as has its result. A rule with a parameter `batched` too is told which
            arguments have that axis; for others, those that don't are spread along it first. Elementwise functions
            need none: that is broadcasting. Without one, the examples are worked out one by one.
        lowering: what the compiled loop may know of it.

    Called on arrays, the function returns a plain array and records nothing; called on tensors, a tensor.
    """

    def decorate(forward: Callable[P, Any]) -> Callable[P, Tensor]:
        prim = Primitive(forward, kind, rules, pooled, batch, lowering)
        plans, recording, watching = prim.plans, grad_enabled.stack, watchers.stack
        shift = 0 if prim.variadic else 1  # the arguments of `f(*xs)` share one rule, and so one bit

        @functools.wraps(forward)
        def apply(*args: Any, **kwargs: Any) -> Any:
            values: list[Any] = []
            parents: list[Node | None] = []
            any_tensor = False
            needed, bit = 0, 1
            for a in args:
                if type(a) is Tensor:
                    any_tensor = True
                    values.append(a.value)
                    node = a.node
                    parents.append(node)
                    if node is not None and node.needs_grad:
                        needed |= bit
                elif type(a) in _PLAIN:
                    values.append(a)
                    parents.append(None)
                elif isinstance(a, Lifted):
                    arrays = [b if isinstance(b, Tensor) else _array(prim, i, b) for i, b in enumerate(args)]
                    return innermost(args).apply(prim, apply, arrays, kwargs)
                else:
                    values.append(_array(prim, len(values), a))
                    parents.append(None)
                bit <<= shift
            try:
                out = forward(*values, **kwargs)
            except (ValueError, TypeError, IndexError) as error:
                raise _explained(prim, values, error) from error
            if not any_tensor:
                return out
            if type(out) is not np.ndarray:
                out = np.asarray(out)
            node = None
            if needed and recording().value:
                node = record(plans.get(needed) or prim.plan(needed), parents, values, out, kwargs)
            elif out.dtype.kind not in "fiub":
                raise _not_real(prim, values, out)
            for watcher in watching().value:
                watcher.made(prim.name, values, out, node)
            return Tensor(out, node)

        apply.primitive = prim  # type: ignore[attr-defined]
        prim.apply = apply
        return apply

    return decorate


def _array(prim: Primitive, i: int, x: Any) -> Any:
    """Argument i, which is no tensor: a Python number as it is, for it takes the others' dtype; else an array."""
    if type(x) in _NUMBERS:
        return x
    try:
        array = np.asarray(x)
        if array.dtype.kind in "fiub":
            return array
    except ValueError:
        pass
    return real_numbers(f"{prim.name}: argument {i + 1}", x)


def real_numbers(what: str, x: Any) -> Array:
    """x as an array. Raises `TypeError` or `ValueError`, which call x `what`, unless it is one of real numbers."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{what} must be a regular array of numbers: {error}") from None
    except TypeError as error:  # it holds a tensor that needs a gradient
        raise TypeError(f"{what}: {error}") from None
    if array.dtype.kind not in "fiub":
        got = f"dtype {array.dtype}" if isinstance(x, np.ndarray) else reprlib.repr(x)
        raise TypeError(f"{what} must be real numbers, got {got}")
    return array


def _not_real(prim: Primitive, values: Sequence[Any], out: Array) -> TypeError:
    """The error for a result that isn't of real numbers; where that comes from an argument, the argument's."""
    for i, value in enumerate(values):
        real_numbers(f"{prim.name}: argument {i + 1}", value)
    return TypeError(f"{prim.name}: the result must be real numbers, got dtype {out.dtype}")


def not_differentiable(prim: Primitive, dtype: np.dtype[Any]) -> TypeError:
    """The error for a result that is to be differentiated but is not of real floating-point numbers."""
    return TypeError(f"{prim.name}: only real floating-point results have a gradient, got dtype {dtype}")


def record(
    plan: Plan, parents: Sequence[Node | None], values: Sequence[Any], out: Array, kwargs: dict[str, Any]
) -> Node:
    """The node of a result: with the residuals that the plan asks for, and seals on those that others can write to."""
    if out.dtype.kind != "f":
        raise not_differentiable(plan.primitive, out.dtype)
    origin = None
    if out.base is not None or out is values[0] or out is values[-1] or len(values) > 2:
        origin = _origin(parents, values, out)
    if not plan.saves:
        return Node(out, True, plan, parents, (), (), origin)
    # Arrays that the outside can write to (a leaf's, a constant, a view of one) are sealed; results of the tape's own
    # are not.
    saved: list[Any] = []
    seals: list[Seal] = []
    for i in plan.arrays:
        if i < 0:
            saved.append(out)
            owner = origin
        else:
            saved.append(values[i])
            parent = parents[i]
            owner = values[i] if parent is None or parent.plan is None else parent.origin
        if owner is not None and type(owner) is np.ndarray:
            seals.append(_sealed(owner, plan, parents, i))
    for i in plan.shapes:
        parent = parents[i]
        saved.append(shape_of(values[i]) if parent is None else parent.shape)
    for name in plan.extras:
        kept = kwargs[name] if name in kwargs else plan.primitive.residual(name, values, out, kwargs)
        saved.append(kept)
        if type(kept) is np.ndarray:
            seals.append(_sealed(kept, plan, parents, -2))
        elif name in plan.primitive.arguments:  # all of a variadic primitive's
            owners = [_outside(parent, v) for parent, v in zip(parents, values, strict=True)]
            seals += [_sealed(a, plan, parents, i) for i, a in enumerate(owners) if type(a) is np.ndarray]
    return Node(out, True, plan, parents, saved, seals, origin)


def _outside(parent: Node | None, value: Any) -> Any:
    """The array through which somebody outside the tape could write to a value, if there is one."""
    return value if parent is None or parent.plan is None else parent.origin


def _origin(parents: Sequence[Node | None], values: Sequence[Any], out: Array) -> Any:
    """The array from outside the tape whose memory a view such as a transpose shares, if there is one."""
    base = out.base
    for parent, v in zip(parents, values, strict=True):
        if v is out or (base is not None and type(v) is np.ndarray and (base is v or base is v.base)):
            return _outside(parent, v)
    return None


def _sealed(owner: Array, plan: Plan, parents: Sequence[Node | None], i: int) -> Seal:
    parent = parents[i] if i >= 0 else None
    name = functools.partial(_called, plan, parent, i)
    # A raw array's seal is taken anew at each use: nobody says when it is written to.
    return Seal(owner, name) if parent is None else find(owner) or seal(owner, name)


def _called(plan: Plan, parent: Node | None, i: int) -> str:
    if parent is not None and parent.name is not None:
        return parent.name
    if parent is not None and any(parent.parents):  # a view: it goes by what it is a view of
        return next(_called(plan, p, i) for p in parent.parents if p is not None)
    what = "the result" if i == -1 else "a keyword" if i == -2 else f"argument {i + 1}"
    return f"{what} of {plan.primitive.name}"


def _explained(prim: Primitive, values: Sequence[Any], error: Exception) -> Exception:
    what = str(error)
    if prim.kind == "elementwise" and "broadcast" in what:
        what = f"shapes {' and '.join(str(shape_of(v)) for v in values)} don't broadcast"
    kinds = (np.linalg.LinAlgError, IndexError, TypeError, ValueError)
    kind = next(kind for kind in kinds if isinstance(error, kind))
    return kind(f"{prim.name}: {what}")
