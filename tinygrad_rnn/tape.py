"""The tape: tensors, the nodes that record how they were made, and the primitives that do the recording.

A `Tensor` is a disposable handle: an array and, if a gradient is wanted, a `Node`. A `Primitive` is a NumPy function
with one derivative rule per argument. Calling one on tensors computes the result and, when an argument needs a
gradient, *records* a node: its parents, and the residuals that the rules ask for by name. Nodes are numbered as they
are made, so the order of creation is a topological order. `backward.py` walks it in reverse; for an unrolled RNN that
is backpropagation through time, and nothing here knows it.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias

import numpy as np
import numpy.typing as npt

from .scope import current_scope
from .seal import Seal, find, new_era, seal

if TYPE_CHECKING:
    from .ops.methods import Methods  # operators and methods; attached when the operations are there
else:
    Methods = object

__all__ = [
    "Array",
    "Node",
    "Plan",
    "Primitive",
    "Tensor",
    "enable_grad",
    "is_grad_enabled",
    "no_grad",
    "primitive",
    "require_floating",
]

P = ParamSpec("P")
Array: TypeAlias = npt.NDArray[Any]
Rule: TypeAlias = Callable[..., Any]
Kind: TypeAlias = Literal["elementwise", "linear", "bilinear", "general"]

_numbers = itertools.count(1)
_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)

is_grad_enabled = _grad_enabled.get


class _GradMode(ContextDecorator):
    enabled: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def _recreate_cm(self) -> _GradMode:
        return type(self)()  # a decorated function may run in many threads at once

    def __enter__(self) -> None:
        self._tokens.append(_grad_enabled.set(self.enabled))

    def __exit__(self, *error: object) -> None:
        _grad_enabled.reset(self._tokens.pop())


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Within this context (or a function decorated with it) nothing is recorded."""

    enabled = False


class enable_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Within this context operations are recorded, even inside `no_grad`."""

    enabled = True


# ------------------------------------------------------------------------------------------------------------ the data


class Node:
    """One recorded operation, leaf or named constant. It holds arrays and other nodes, never a tensor: no cycles."""

    __slots__ = (
        "dtype",
        "grad",
        "grad_norm",
        "index",
        "name",
        "needs_grad",
        "origin",
        "parents",
        "plan",
        "saved",
        "scope",
        "seals",
        "shape",
    )

    def __init__(
        self,
        value: Array,
        needs_grad: bool,
        plan: Plan | None = None,
        parents: Sequence[Node | None] = (),
        saved: Sequence[Any] | None = (),
        seals: Sequence[Seal] = (),
        origin: Array | None = None,
    ) -> None:
        self.index = next(_numbers)
        self.shape = value.shape
        self.dtype = value.dtype
        self.needs_grad = needs_grad
        self.plan = plan  # what its backward will do; None for a leaf or a constant
        self.parents = parents  # one an argument; None where the argument is an unnamed constant
        self.saved = saved  # the residuals; None once a backward has freed them
        self.seals = seals  # watch over residuals whose memory somebody outside the tape can write to
        self.origin = origin  # the array from outside whose memory this node's value is a view of, if any
        self.scope = current_scope()
        self.name: str | None = None
        self.grad: Array | None = None  # leaves only
        self.grad_norm: float | None = None  # once a backward has run

    def __repr__(self) -> str:
        op = self.plan.primitive.name if self.plan else "leaf" if self.needs_grad else "constant"
        return f"{op}{'' if self.name is None else f' {self.name!r}'} (node {self.index}, shape {self.shape})"


class Tensor(Methods):
    """An array and, when a gradient is wanted, the node that records how it was made.

    Make one with `tensor` (copies) or `asarray` (shares memory).
    """

    __slots__ = ("__weakref__", "node", "value")

    __array_ufunc__ = None  # so that `array @ tensor` asks the tensor, and no ufunc drops a gradient silently

    def __init__(self, value: Array, node: Node | None = None) -> None:
        self.value = value
        self.node = node

    @property
    def data(self) -> Array:
        """The array. A leaf's may be written to between steps; a recorded result's is read-only.

        Writing to a leaf's array between forward and backward is found out by the backward, which then refuses.
        """
        if self.is_leaf:
            new_era()
            return self.value
        view = self.value.view()
        view.flags.writeable = False
        return view

    @data.setter
    def data(self, value: npt.ArrayLike) -> None:
        self._require_leaf("data")
        new = np.asarray(value)
        if new.shape != self.shape or new.dtype != self.dtype:
            raise ValueError(f"data: want shape {self.shape} and dtype {self.dtype}, got {new.shape} and {new.dtype}")
        self.value = new

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return self.value.size

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the user rather than recorded by an operation."""
        return self.node is None or self.node.plan is None

    @property
    def requires_grad(self) -> bool:
        """Whether a backward would reach this tensor. Settable on leaves."""
        return self.node is not None and self.node.needs_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if flag == self.requires_grad:
            return
        self._require_leaf("requires_grad")
        if flag and self.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: only floating-point tensors can need a gradient, this one has dtype {self.dtype}; "
                "make it with dtype=float, or write its numbers with a point"
            )
        if self.node is None:
            self.node = Node(self.value, True)
        self.node.needs_grad = flag

    @property
    def name(self) -> str | None:
        """What pictures and errors call this tensor."""
        return None if self.node is None else self.node.name

    @name.setter
    def name(self, name: str | None) -> None:
        if self.node is not None:
            self.node.name = name
        elif name is not None:
            self.node = Node(self.value, needs_grad=False)  # a named constant: it appears in graphs
            self.node.name = name

    @property
    def grad(self) -> Array | None:
        """∂L/∂self, added up by `backward`: an array that this leaf owns; `None` until a backward has reached it."""
        return None if self.node is None else self.node.grad

    @grad.setter
    def grad(self, grad: npt.ArrayLike | None) -> None:
        if grad is None:
            if self.node is not None:
                self.node.grad = None
            return
        self._require_leaf("grad")
        if self.node is None or not self.node.needs_grad:
            raise RuntimeError("grad: this tensor needs no gradient, so it keeps none; set requires_grad=True first")
        array = np.array(grad)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(
                f"grad: want shape {self.shape} and dtype {self.dtype}, got {array.shape} and {array.dtype}"
            )
        self.node.grad = array

    def _require_leaf(self, what: str) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                f"{what}: the result of {self.node} is not a leaf, so its {what} can't be set; detach() it first"
            )

    def numpy(self) -> Array:
        """The array, as `data`."""
        return self.data

    def item(self) -> float:
        """The value of a tensor of one element, as a Python number."""
        if self.size != 1:
            raise ValueError(f"item: only a tensor of one element has an item, this one has shape {self.shape}")
        return self.value.item()  # type: ignore[no-any-return]

    def detach(self) -> Tensor:
        """The same values, cut off from the graph: no gradient and no tangent passes."""
        return Tensor(self.data)

    def __repr__(self) -> str:
        body = np.array2string(self.value, separator=", ", prefix="tensor(")
        dtype = "" if self.dtype in (np.float64, np.int64, np.bool_) else f", dtype={self.dtype}"
        name = "" if self.name is None else f", name={self.name!r}"
        return f"tensor({body}{dtype}{name}{', requires_grad=True' if self.requires_grad else ''})"


# ---------------------------------------------------------------------------------------------------------- primitives


class Plan:
    """What a backward does at a node, for one choice of arguments that need a gradient; made once for each choice.

    `saves` names the residuals that these arguments' rules ask for between them: `arrays` are those that are an
    argument (its position) or the result (−1), the others come from `extras`. `steps` are (argnum, rule, which
    residuals it takes, its pooled form).
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
        self.extras = tuple(primitive.source(name) for name in names if name not in arrays and name not in shapes)
        self.steps = tuple(
            (i, primitive.rules[i], _places(names, primitive.asks[i]), primitive.pooled.get(i)) for i in argnums
        )


def _places(names: list[str], asked: tuple[str, ...]) -> tuple[int, ...] | None:
    """Where the residuals that a rule asks for are among those kept; `None` if it asks for all, in that order."""
    return None if list(asked) == names else tuple(names.index(name) for name in asked)


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
        pooled: dict[int, Rule] | None,
    ) -> None:
        self.forward = forward
        self.name = forward.__name__.strip("_")
        self.kind: Kind = kind
        parameters = inspect.signature(forward).parameters.values()
        self.variadic = any(
            p.kind is p.VAR_POSITIONAL for p in parameters
        )  # one joint rule gives a tuple of cotangents
        self.arguments = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        self.rules: list[Any] = [rules] if callable(rules) else list(rules)
        if len(self.rules) != len(self.arguments):
            raise TypeError(f"{self.name}: {len(self.arguments)} arguments want as many rules, got {len(self.rules)}")
        self.asks = [tuple(inspect.signature(rule).parameters)[1:] if rule else () for rule in self.rules]
        for name in itertools.chain(*self.asks):
            self.source(name)
        self.pooled = pooled or {}
        self.plans: dict[int, Plan] = {}

    def source(self, name: str) -> Callable[[Sequence[Any], Any, dict[str, Any]], Any]:
        """Where a residual comes from: a function of the forward's arguments, result and keywords."""
        argument = name.removesuffix("_shape")
        if name == "out":
            return lambda args, out, kwargs: out
        if name in self.keywords:
            return lambda args, out, kwargs: kwargs[name]
        if argument in self.arguments and self.variadic:
            return (
                (lambda args, out, kwargs: tuple(args))
                if argument == name
                else lambda args, out, kwargs: [_shape(a) for a in args]
            )
        if argument in self.arguments:
            i = self.arguments.index(argument)
            return (
                (lambda args, out, kwargs: args[i]) if argument == name else lambda args, out, kwargs: _shape(args[i])
            )
        raise TypeError(
            f"{self.name}: a rule asks for {name!r}; it can have 'out', {', '.join(map(repr, self.arguments))} "
            f"(or their _shape), or a keyword ({', '.join(map(repr, self.keywords)) or 'none here'})"
        )

    def rule(self, i: int) -> tuple[Rule, tuple[str, ...]]:
        """The rule of the i-th argument, and the residuals that it asks for."""
        if self.variadic:
            joint = self.rules[0]
            return lambda ct, *residuals: joint(ct, *residuals)[i], self.asks[0]
        if self.rules[i] is None:
            raise TypeError(f"{self.name}: there is no derivative by argument {self.arguments[i]!r}")
        return self.rules[i], self.asks[i]

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


def _shape(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, (np.ndarray, Tensor)) else np.shape(x)


_PLAIN = frozenset({np.ndarray, float, int, bool})


def primitive(
    kind: Kind, rules: Sequence[Rule | None] | Rule, pooled: dict[int, Rule] | None = None
) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Make a NumPy function differentiable: arrays positional, settings by keyword.

    Args:
        kind: *elementwise* (with broadcasting; a rule is its own jvp), *linear* (its jvp is itself), *bilinear* (its
            jvp is two calls) or *general* (its jvp is the transposed rule).
        rules: one an argument, `None` where there is no derivative; for `f(*xs)` one, which returns a cotangent for
            each.
        pooled: for an argument, its rule for many uses at once: every parameter is a list with an entry for each use,
            the result is their sum. It turns T small products into one large one.

    Called on arrays, the function returns a plain array and records nothing; called on tensors, a tensor.

    """

    def decorate(forward: Callable[P, Any]) -> Callable[P, Tensor]:
        prim = Primitive(forward, kind, rules, pooled)

        plans = prim.plans
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
                elif isinstance(a, Tensor):  # a kind of tensor with rules of its own: a dual
                    return a.apply(prim, apply, args, kwargs)  # type: ignore[attr-defined]
                else:
                    values.append(np.asarray(a))
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
            if needed and _grad_enabled.get():
                plan = plans.get(needed) or prim.plan(needed)
                return Tensor(out, _record(plan, parents, values, out, kwargs))
            return Tensor(out)

        apply.primitive = prim  # type: ignore[attr-defined]
        return apply

    return decorate


def require_floating(prim: Primitive, out: Array) -> None:
    """Raise `TypeError` if a result that is to be differentiated is not of real floating-point numbers."""
    if out.dtype.kind != "f":
        raise TypeError(f"{prim.name}: only real floating-point results have a gradient, got dtype {out.dtype}")


def _record(plan: Plan, parents: list[Node | None], values: list[Any], out: Array, kwargs: dict[str, Any]) -> Node:
    if out.dtype.kind != "f":
        require_floating(plan.primitive, out)
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
        saved.append(np.shape(values[i]) if parent is None else parent.shape)
    for name, source in zip(plan.saves[len(saved) :], plan.extras, strict=True):
        kept = source(values, out, kwargs)
        saved.append(kept)
        if name in plan.primitive.arguments:  # all of a variadic primitive's
            owners = [(i, _outside(parent, v)) for i, (parent, v) in enumerate(zip(parents, values, strict=True))]
        else:
            owners = [(-2, kept)]
        seals += [_sealed(owner, plan, parents, i) for i, owner in owners if type(owner) is np.ndarray]
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
    # A raw array's seal is taken anew at each use: nobody says when it is written to.
    parent = parents[i] if i >= 0 else None
    found = find(owner) if parent is not None else None
    return found or seal(owner, _called(plan, parent, i))


def _called(plan: Plan, parent: Node | None, i: int) -> str:
    if parent is not None and parent.name is not None:
        return parent.name
    if parent is not None and parent.plan is not None:  # a view
        return next((_called(plan, p, i) for p in parent.parents if p is not None), "")
    what = "the result" if i == -1 else "a keyword" if i == -2 else f"argument {i + 1}"
    return f"{what} of {plan.primitive.name}"


def _explained(prim: Primitive, values: Sequence[Any], error: Exception) -> Exception:
    what = str(error)
    if prim.kind == "elementwise" and "broadcast" in what:
        what = f"shapes {' and '.join(str(np.shape(v)) for v in values)} don't broadcast"
    kind = IndexError if isinstance(error, IndexError) else TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{prim.name}: {what}")
