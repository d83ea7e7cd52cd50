"""How running a cell records what it computes.

A `Traced` tensor has a shape and a dtype but no numbers. Operations on it, and derivative rules, take it like any
tensor, and become equations of its trace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backward import pull
from ..ops import asarray
from ..primitive import Lowering, Primitive
from ..tape import Array, Lifted, Node, Tensor, innermost, new_level
from .errors import UntraceableError
from .form import form
from .step import Equation, Operand, Var

__all__ = ["DETACHED", "Trace", "Traced"]


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
