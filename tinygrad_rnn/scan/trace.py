"""What one step of a loop computes, as data: values, the equations between them, and how running a cell records them.

A `Traced` tensor has a shape and a dtype but no numbers. Operations on it, and derivative rules, take it like any
tensor, and become equations of its trace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..backward import pull
from ..ops import asarray
from ..primitive import Lowering, Primitive, shape_of
from ..tape import Array, Lifted, Node, Tensor, innermost, new_level

__all__ = [
    "DETACHED",
    "CompilerError",
    "Equation",
    "Operand",
    "Step",
    "Trace",
    "Traced",
    "UntraceableError",
    "Var",
    "frozen",
    "is_float",
]


class UntraceableError(Exception):
    """Why a cell can't be compiled; the loop then runs it step by step."""


class CompilerError(RuntimeError):
    """There is no C compiler, or it can't do what it should."""


class Var:
    """A value of which there is one in each step (or one for all): its shape and dtype, no numbers."""

    __slots__ = ("dtype", "equation", "name", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], name: str | None = None) -> None:
        self.shape, self.dtype, self.name = shape, dtype, name
        self.equation: Equation | None = None  # what computes it; None for an input

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"{self.name or 'var'}{list(self.shape)}"


Operand = Any  # a Var, a Python number, or a constant array


class Equation:
    """out = prim(*args, **kwargs). Those of its arguments that are values of the step are its `inputs`."""

    __slots__ = ("_inputs", "args", "kwargs", "out", "prim")

    def __init__(self, prim: Primitive, args: tuple[Operand, ...], kwargs: dict[str, Any], out: Var) -> None:
        self.prim, self.args, self.kwargs, self.out = prim, args, kwargs, out
        self._inputs: tuple[Var, ...] | None = None  # most equations of a capture are never asked

    @property
    def inputs(self) -> tuple[Var, ...]:
        """Its arguments that are values of the step."""
        if self._inputs is None:
            self._inputs = tuple([a for a in self.args if isinstance(a, Var)])
        return self._inputs


@dataclass(eq=False, repr=False)
class Step:
    """One step of a loop: (carry, x, constants) ↦ (new carry, ys, what is added up over all steps)."""

    carry: list[Var]
    xs: list[Var]
    constants: list[Var]
    equations: list[Equation]
    new_carry: list[Operand]
    ys: list[Operand]
    sums: list[list[Operand]]  # for each total its terms

    def outputs(self) -> list[Operand]:
        """All that the step is computed for."""
        return [*self.new_carry, *self.ys, *(v for terms in self.sums for v in terms)]


def is_float(x: Any) -> bool:
    """Whether a value could have a gradient."""
    return bool(x.dtype.kind == "f")


# --------------------------------------------------------------------------------------------------- traces and tensors


class Trace:
    """Takes down equations."""

    def __init__(self) -> None:
        self.level = new_level()
        self.equations: list[Equation] = []

    def operand(self, x: Any) -> Operand:
        """An argument of an operation as an operand of an equation."""
        if isinstance(x, Traced) and x.tracer is self:
            return x.symbol
        return x if type(x) in (float, int, bool) else self.outside(x)

    def outside(self, x: Any) -> Operand:
        """A tensor or array that the step reads from outside."""
        if isinstance(x, Tensor):
            raise UntraceableError("a derivative rule of its reads a tensor from outside")
        return np.asarray(x)

    def apply(self, prim: Primitive, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """An operation on tensors of which at least one is of this trace."""
        return Traced(self.equation(prim, tuple([self.operand(a) for a in args]), kwargs), self)

    def equation(self, prim: Primitive, args: tuple[Operand, ...], kwargs: dict[str, Any]) -> Var:
        """The value of prim(*args, **kwargs)."""
        shape, dtype = form(prim, args, kwargs)
        return self.note(prim, args, kwargs, Var(shape, dtype))

    def note(self, prim: Primitive, args: tuple[Operand, ...], kwargs: dict[str, Any], out: Var) -> Var:
        """`out`, which this equation computes."""
        out.equation = Equation(prim, args, kwargs, out)
        self.equations.append(out.equation)
        return out

    def real(self, var: Var) -> Tensor:
        """A value's numbers, if there are any."""
        raise UntraceableError("a derivative rule of its reads numbers")


class Traced(Lifted):
    """A tensor of which only shape and dtype are known, as long as nobody asks for its numbers.

    Who does gets the real tensor's; the trace notes that, for a loop whose cell looks at numbers can't be compiled.
    """

    __slots__ = ("symbol", "tracer")

    def __init__(self, var: Var, trace: Trace) -> None:
        self.symbol, self.tracer, self.level = var, trace, trace.level

    def lowered(self) -> Tensor:
        """The real tensor."""
        return self.tracer.real(self.symbol)

    @property
    def value(self) -> Array:  # type: ignore[override]
        """The real tensor's."""
        return self.lowered().value

    @property
    def node(self) -> Node | None:  # type: ignore[override]
        """The real tensor's."""
        return self.lowered().node

    @property
    def requires_grad(self) -> bool:
        """The real tensor's."""
        return self.lowered().requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self.lowered().requires_grad = flag

    @property
    def is_leaf(self) -> bool:
        """The real tensor's."""
        return self.lowered().is_leaf

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in each step."""
        return self.symbol.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""
        return self.symbol.dtype

    @property
    def name(self) -> str | None:
        """What the program calls it."""
        return self.symbol.name

    @name.setter
    def name(self, name: str | None) -> None:
        if self.symbol.name is None:
            self.symbol.name = name

    def __getattr__(self, name: str) -> Any:
        """What comparisons give is an array to a cell, and has all that arrays have; that may look at its numbers."""
        if not name.startswith("_") and hasattr(np.ndarray, name) and self.dtype == bool:
            return getattr(self.value, name)
        raise AttributeError(f"a tensor has no attribute {name!r}")

    def detach(self) -> Tensor:
        """The same numbers, through which no gradient flows."""
        out: Tensor = self.tracer.apply(DETACHED, [self], {})
        return out

    def wrapped(self) -> tuple[Tensor, ...]:
        """The real tensor."""
        return (self.lowered(),)

    def rewrap(self, *tensors: Tensor) -> Tensor:
        """Another in the real one's place."""
        (t,) = tensors
        return t

    @staticmethod
    def apply(prim: Primitive, apply: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        """A primitive becomes an equation."""
        level, trace = 0, None
        for a in args:
            if type(a) is Traced and a.level > level:
                level, trace = a.level, a.tracer
        out: Tensor = trace.apply(prim, args, kwargs)  # type: ignore[union-attr]
        return out

    @staticmethod
    def compare(op: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
        """A comparison becomes an equation."""
        if op in _COMPARISONS:
            return _of([x, y]).tracer.apply(_COMPARISONS[op], [x, y], {})
        return op(*[t.lowered() if isinstance(t, Traced) else t for t in (x, y)])

    @staticmethod
    def pull(outputs: Sequence[Tensor], cts: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """A pullback through real tensors."""
        ys, cs, xs = ([t.lowered() if isinstance(t, Traced) else t for t in ts] for ts in (outputs, cts, inputs))
        return pull(ys, cs, xs, record=True, free=False)

    # What comparisons give can be combined, as boolean arrays can; other tensors have no such operators.

    def __and__(self, other: Any) -> Any:
        return self.compare(operator.and_, self, other) if self.dtype == bool else NotImplemented

    def __or__(self, other: Any) -> Any:
        return self.compare(operator.or_, self, other) if self.dtype == bool else NotImplemented

    def __xor__(self, other: Any) -> Any:
        return self.compare(operator.xor, self, other) if self.dtype == bool else NotImplemented

    def __invert__(self) -> Any:
        if self.dtype != bool:
            raise TypeError(f"bad operand type for unary ~: a tensor of dtype {self.dtype}")
        return self.compare(operator.ne, self, True)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__


def _of(args: Sequence[Any]) -> Traced:
    traced = innermost(args)
    if not isinstance(traced, Traced):
        raise TypeError(f"want a traced tensor, got {traced}")
    return traced


# What plain tensors do without a primitive, because it has no derivative, needs one here. Its `apply` is what they do.


def _numpys(name: str, operation: Callable[..., Any]) -> Primitive:
    ufunc = getattr(np, name)

    def function(x: Any, y: Any) -> Any:
        return ufunc(x, y)

    function.__name__ = name
    comparison = Primitive(function, "elementwise", [None, None], lowering=Lowering(ufunc))
    comparison.apply = lambda x, y: asarray(operation(_value(x), _value(y)))
    return comparison


def _value(x: Any) -> Any:
    return x.value if type(x) is Tensor else x


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
# Under the operator, and under NumPy's function, which is called where an array is on the left.
_COMPARISONS: dict[Callable[..., Any], Primitive] = {}
for _name, _operation in _OPERATIONS.items():
    _COMPARISONS[_operation] = _COMPARISONS[getattr(np, _name)] = _numpys(_name, _operation)


def _detached(x: Any) -> Any:
    return np.array(x)


DETACHED = Primitive(_detached, "elementwise", [None])
DETACHED.apply = lambda x: x.detach() if isinstance(x, Tensor) else x


# ------------------------------------------------------------------------------------------------------ shape and dtype


_forms: dict[Hashable, tuple[tuple[int, ...], np.dtype[Any]]] = {}


def form(prim: Primitive, args: Sequence[Operand], kwargs: dict[str, Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and dtype of a result: found out once, by working it out on other numbers."""
    key = (prim, tuple([(a.shape, a.dtype) if hasattr(a, "dtype") else (type(a), repr(a)) for a in args]))
    if kwargs:
        key = (*key, frozen(kwargs))  # type: ignore[assignment]
    known = _forms.get(key)
    if known is None:
        if len(_forms) > 4096:
            _forms.clear()
        known = _forms[key] = _worked_out(prim, args, kwargs)
    return known


def _worked_out(
    prim: Primitive, args: Sequence[Operand], kwargs: dict[str, Any]
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with np.errstate(all="ignore"):
        if prim.kind == "elementwise":
            small = [_numbers((1,) * len(a.shape), a.dtype) if hasattr(a, "dtype") else a for a in args]
            out = np.asarray(prim.forward(*small, **kwargs))
            return np.broadcast_shapes(*map(shape_of, args)), out.dtype
        out = prim.forward(*[_numbers(a.shape, a.dtype) if isinstance(a, Var) else a for a in args], **kwargs)
    out = np.asarray(out)
    return out.shape, out.dtype


@cache
def _generator() -> np.random.Generator:
    return np.random.default_rng(0)


def _numbers(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Numbers that most functions can take: small, of well-conditioned matrices; zeros for integers."""
    if dtype.kind != "f":
        return np.zeros(shape, dtype)
    small = _generator().uniform(0.1, 0.2, shape)
    if len(shape) >= 2 and shape[-1] == shape[-2]:
        small += shape[-1] * np.eye(shape[-1])
    return small.astype(dtype)


def frozen(x: Any) -> Hashable:
    """A setting as something that can be looked up: equal for equal settings only."""
    if isinstance(x, slice):
        return (slice, x.start, x.stop, x.step)
    if isinstance(x, dict):
        return tuple(zip(x, map(frozen, x.values()), strict=True))
    if isinstance(x, (tuple, list)):
        return (type(x), *map(frozen, x))
    if isinstance(x, np.ndarray):
        return (x.shape, x.dtype, x.tobytes())
    if isinstance(x, (float, int, np.generic)):
        return (type(x), repr(x))
    return x  # type: ignore[no-any-return]
