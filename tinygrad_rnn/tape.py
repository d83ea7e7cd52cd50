"""The tape: tensors, and the nodes that record how they were made.

A `Tensor` is a disposable handle: an array and, if a gradient is wanted, a `Node`. A node holds its parents and the
residuals that the derivative rules asked for. Nodes are numbered as they are made, so the order of creation is a
topological order. `primitive.py` makes nodes; `backward.py` walks them in reverse, which for an unrolled RNN is
backpropagation through time. Nothing here knows it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .scope import scopes
from .seal import Seal, new_era
from .setting import Setting, setting_to

if TYPE_CHECKING:
    from .ops.methods import Methods  # operators and methods; attached when the operations are there
    from .primitive import Plan, Primitive
else:
    Methods = object

__all__ = [
    "Array",
    "Lifted",
    "Node",
    "Tensor",
    "enable_grad",
    "grad_enabled",
    "innermost",
    "new_level",
    "no_grad",
    "norm",
]

Array: TypeAlias = npt.NDArray[Any]

_numbers = itertools.count(1)
_scope = scopes.stack

grad_enabled = Setting("grad_enabled", True)


class no_grad(setting_to[bool], setting=grad_enabled):  # noqa: N801 - PyTorch's name
    """Within this context (or a function decorated with it) nothing is recorded."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(setting_to[bool], setting=grad_enabled):  # noqa: N801 - PyTorch's name
    """Within this context operations are recorded, even inside `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


# ------------------------------------------------------------------------------------------------------------ the data


class Node:
    """One recorded operation, leaf or named constant. It holds arrays and other nodes, never a tensor: no cycles."""

    __slots__ = (
        "ct_norm",
        "dtype",
        "grad",
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
        self.scope = _scope().value
        self.name: str | None = None
        self.grad: Array | None = None  # leaves only
        self.ct_norm: float | None = None  # of what isn't a leaf, once a backward has run

    @property
    def grad_norm(self) -> float | None:
        """‖∂L/∂self‖₂, of a leaf that of its `grad`; `None` before a backward."""
        return self.ct_norm if self.grad is None else norm(self.grad)

    def __repr__(self) -> str:
        op = self.plan.primitive.name if self.plan else "leaf" if self.needs_grad else "constant"
        shape = "" if self.shape == (0,) else f", shape {self.shape}"  # a compiled loop's node has no numbers itself
        return f"{op}{'' if self.name is None else f' {self.name!r}'} (node {self.index}{shape})"


def norm(x: Array) -> float:
    """‖x‖₂, also where squares under- or overflow."""
    square = float(np.vdot(x, x))
    if 1e-30 < square < 1e30:
        return math.sqrt(square)
    largest = float(np.max(np.abs(x), initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    scaled = np.asarray(x, np.float64) / largest
    return largest * math.sqrt(float(np.vdot(scaled, scaled)))


class Tensor(Methods):
    """An array and, when a gradient is wanted, the node that records how it was made.

    Make one with `tensor` (copies) or `asarray` (shares memory).
    """

    __slots__ = ("__weakref__", "node", "value")

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


class Lifted(Tensor):
    """A tensor with more to it than an array: a tangent (forward mode), or an axis of examples (`vmap`).

    It wraps other tensors, plain or lifted themselves. `level` numbers the transformation that made it; where
    transformations nest, the innermost, which has the highest number, says first what an operation does.
    """

    __slots__ = ("level",)

    level: int

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def name(self) -> str | None:
        """The name of what it wraps."""
        return self.wrapped()[0].name

    @name.setter
    def name(self, name: str | None) -> None:
        self.wrapped()[0].name = name

    @staticmethod
    def apply(prim: Primitive, apply: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        """A primitive, where the innermost of its arguments is of this class."""
        raise NotImplementedError

    @staticmethod
    def compare(op: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
        """x < y and the like, where the innermost of the two is of this class."""
        raise NotImplementedError

    @staticmethod
    def pull(outputs: Sequence[Tensor], cts: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """A pullback, where the innermost of outputs and cotangents is of this class."""
        raise NotImplementedError

    def wrapped(self) -> tuple[Tensor, ...]:
        """The tensors that it wraps, the one with the values first."""
        raise NotImplementedError

    def rewrap(self, *tensors: Tensor) -> Tensor:
        """The same around other tensors."""
        raise NotImplementedError

    def lowered(self) -> Tensor:
        """A tensor that will do in its place where only numbers count: itself, if there is none."""
        return self

    def for_each_example(self, x: Tensor) -> Tensor:
        """x with an axis for each batch of examples that this tensor has somewhere inside."""
        for t in self.wrapped():
            if isinstance(t, Lifted):
                x = t.for_each_example(x)
        return x


_levels = itertools.count(1)


def new_level() -> int:
    """A number for a transformation, higher than those of the ones that it runs inside: they aren't confused."""
    return next(_levels)


def innermost(tensors: Sequence[Any]) -> Lifted:
    """Of those among `tensors` that are lifted, the one of the highest level."""
    found: Any = None
    for t in tensors:  # a loop, for this is called once an operation
        if isinstance(t, Lifted) and (found is None or t.level > found.level):
            found = t
    return found  # type: ignore[no-any-return]
