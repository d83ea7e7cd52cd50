"""Where a loop in C finds its values: in which array, and where in it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...tape import Array
from ..algebra import ONCE, level_of
from ..operands import Operands
from ..split import pieces_of
from ..step import Var
from .expressions import RESERVED, TYPES, NotInCError
from .function import Argument

__all__ = ["AXES", "Arrays", "Place", "panels"]

AXES = "ijklm"  # what counts along them


@dataclass(frozen=True, eq=False)
class Place:
    """Where a value is: in an array; at step t in its row t + `shift`, or, if that is None, in all of it.

    `look` shows where in the row: it is to `row` as the value is to the array's, and neither is ever read.
    """

    array: str  # what the code in NumPy calls it
    shift: int | None
    look: Array
    row: Array

    @property
    def offset(self) -> int:
        """Elements from the row's first to the value's."""
        return (_address(self.look) - _address(self.row)) // self.row.itemsize

    @property
    def key(self) -> Hashable:
        """The same for the same place."""
        return self.array, self.shift, self.offset, self.look.shape, self.look.strides

    def strides(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Elements from one to the next along each axis, broadcast to a shape."""
        return tuple(s // self.row.itemsize for s in np.broadcast_to(self.look, shape).strides)

    def is_same(self, other: Place, shape: tuple[int, ...]) -> bool:
        """Whether each index means the same element of the two."""
        return self.offset == other.offset and self.strides(shape) == other.strides(shape)

    def meets(self, other: Place) -> bool:
        """Whether the two share memory."""
        if (self.array, self.shift) != (other.array, other.shift):
            return False
        flat = self.row.reshape(-1)
        a, b = (np.lib.stride_tricks.as_strided(flat[p.offset :], p.look.shape, p.look.strides) for p in (self, other))
        try:
            return bool(np.shares_memory(a, b, max_work=10_000))  # type: ignore[arg-type] # its stubs know two numbers
        except np.exceptions.TooHardError:
            return True


def _address(x: Array) -> int:
    return int(x.__array_interface__["data"][0])


def _index(p: Place, strides: Sequence[int]) -> list[str]:
    terms = [(stride, letter) for stride, letter in zip(strides, AXES, strict=False) if stride]
    index = [letter if stride == 1 else f"{stride} * {letter}" for stride, letter in terms]
    return [str(p.offset), *index] if p.offset else index


def _panels_shape(inner: int, columns: int, dtype: np.dtype[Any]) -> tuple[int, int, int]:
    width = 64 // dtype.itemsize
    return -(-columns // width), inner, width


def panels(matrix: Array) -> Array:
    """A matrix [inner, columns] as product.c wants it: [columns / width, inner, width], panels of 64 bytes' columns."""
    inner, columns = matrix.shape
    out = np.empty(_panels_shape(inner, columns, matrix.dtype), matrix.dtype)
    width = out.shape[-1]
    whole, rest = divmod(columns, width)
    out[:whole] = matrix[:, : whole * width].reshape(inner, whole, width).swapaxes(0, 1)
    if rest:
        out[whole, :, :rest] = matrix[:, whole * width :]
        out[whole, :, rest:] = 0
    return out


class Arrays:
    """The arrays that a loop is given, and the places of its values in them."""

    def __init__(self, values: Operands) -> None:
        self.values = values
        self.written: set[str] = set()  # arrays that the loop writes to
        self._places: dict[Var, Place] = {}
        self._forms: dict[str, Argument] = {}
        self._same: set[str] = set()  # what isn't a value of the loop's, but is the same in all steps
        self._used: dict[str, str] = {}  # what those that are arguments are called in C, in this order
        self._pointers: dict[tuple[str, int], str] = {}
        self._names: dict[Any, str] = {}
        self._taken = set(RESERVED)

    # ---- places

    def place(self, v: Var) -> Place:
        """A value's."""
        if v not in self._places:
            self._places[v] = self._place(v)
        return self._places[v]

    def _place(self, v: Var) -> Place:
        places = self.values.places
        if v in places.homes:
            return self.piece(*places.homes[v])
        if places.kinds.get(v) == "view" and v.equation is not None:
            e = v.equation
            return self.part(self.place(e.args[0]), lambda x: e.prim.forward(x, *e.args[1:], **e.kwargs))
        array, shift = self._array(v)
        row = np.empty(v.shape, v.dtype)
        return Place(array, shift, row, row)

    def piece(self, joined: Var, i: int) -> Place:
        """The place of the i-th of the values that are joined."""
        axis, start, stop = (pieces_of(joined.equation) or [])[i]
        return self.part(self.place(joined), operator.itemgetter((slice(None),) * axis + (slice(start, stop),)))

    def part(self, whole: Place, view: Callable[[Array], Any]) -> Place:
        """Another look at what is in a place. Raises `NotInCError` if it would be a copy."""
        look = view(whole.look)
        if not np.may_share_memory(look, whole.row):
            raise NotInCError("numbers are picked out one by one")
        return Place(whole.array, whole.shift, look, whole.row)

    def _array(self, v: Var) -> tuple[str, int | None]:
        """The array that a value is in, and the shift of its rows."""
        values, places = self.values, self.values.places
        back = values.backwards
        state, extra, shift = None, 0, 0
        if v in values.old:
            state, shift = values.old[v], 1 if back else 0
        elif v in values.new and (values.new[v] in places.states or places.buffers.get(v) in values.old):
            state, shift = values.new[v], 0 if back else 1
        if state is not None:
            called, rows, extra = values.state_names[state], state in places.states, 1
        elif v not in values.in_loop and level_of(v, values.levels) == ONCE:
            called, rows = self._once(v), False
        else:
            called, rows = values.names(places.buffers.get(v, v)), values.is_rows(v)
        self._forms.setdefault(called, Argument(v.shape, v.dtype, rows, extra if rows else 0, False))
        return called, shift if rows else None

    def _once(self, v: Var | Array) -> str:
        """What is the same in all steps, in one piece."""
        names = self.values.names
        if isinstance(v, np.ndarray):
            called = self.values.constant(v, ())
            if not v.flags.c_contiguous:
                called = names.thing(called, np.array(v, order="C"), key=("in C", id(v)))
        else:
            text = f"{names.numpy(np.asarray)}({self.values.whole(v)}, order='C')"
            called = self.values.form((v, "C"), f"{names(v)}_C", text)
        self._same.add(called)
        return called

    def constant(self, x: Array) -> Place:
        """The place of a constant array."""
        if x.dtype not in TYPES:
            raise NotInCError(f"a constant is of dtype {x.dtype}")
        called = self._once(x)
        self._forms[called] = Argument(x.shape, x.dtype, False, 0, False)
        row = np.empty(x.shape, x.dtype)
        return Place(called, None, row, row)

    def panels(self, matrix: Var | Array, turned: bool) -> str:
        """The array of a matrix's panels, or of its transpose's."""
        called = self.values.whole(matrix)
        key = (matrix if isinstance(matrix, Var) else id(matrix), "panels", turned)
        text = f"{self.values.names.thing('panels', panels)}({called}{'.T' if turned else ''})"
        inner, columns = matrix.shape[::-1] if turned else matrix.shape
        name = self.values.form(key, f"{called}_panels", text)
        return self._whole_argument(name, _panels_shape(inner, columns, matrix.dtype), matrix.dtype)

    def packed(self, inner: int, columns: int, dtype: np.dtype[Any]) -> str:
        """Memory for the panels of a matrix that isn't the same in all steps."""
        shape = _panels_shape(inner, columns, dtype)
        text = f"{self.values.names.numpy(np.empty)}({shape}, {dtype.name!r})"
        name = self.values.form(("packed", shape), "packed", text)
        self.written.add(name)
        return self._whole_argument(name, shape, dtype)

    def _whole_argument(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
        """An array that isn't a value of the loop's and is the same in all steps."""
        self._same.add(name)
        self._forms[name] = Argument(shape, dtype, False, 0, False)
        return self._argument(name)

    # ---- text

    def name(self, key: Any, wanted: str) -> str:
        """What `key` is called in C: nothing that means something else there."""
        if key not in self._names:
            name = f"{wanted}_" if wanted.isupper() or wanted.startswith("_") else wanted  # there may be such a macro
            while name in self._taken:
                name += "_"
            self._taken.add(name)
            self._names[key] = name
        return self._names[key]

    def _argument(self, called: str) -> str:
        """An array, which becomes an argument if it isn't one."""
        if called not in self._used:
            kind = "_rows" if self._forms[called].rows else "" if called in self._same else "_all"
            self._used[called] = self.name(called, f"{called}{kind}")
        return self._used[called]

    def pointer(self, p: Place) -> str:
        """The pointer to the first element of a place's row."""
        array = self._argument(p.array)
        if p.shift is None:
            return array
        key = p.array, p.shift
        self._pointers[key] = self.name(key, f"{p.array}_{'next' if p.shift else 't'}")
        return self._pointers[key]

    def element(self, p: Place, strides: Sequence[int]) -> str:
        """An element of a value, counted along axes by as many letters."""
        return f"{self.pointer(p)}[{' + '.join(_index(p, strides)) or '0'}]"

    def address(self, p: Place, strides: Sequence[int]) -> str:
        """Where an element is."""
        return " + ".join([self.pointer(p), *_index(p, strides)])

    def arguments(self) -> list[tuple[str, Argument]]:
        """What the function takes: what the code in NumPy calls each array, and its form."""
        return [(called, self._forms[called]._replace(written=called in self.written)) for called in self._used]

    def parameters(self) -> list[str]:
        """The function's parameters."""
        return [f"{self._pointed_at(called)} *{name}" for called, name in self._used.items()]

    def rows(self) -> list[str]:
        """At each step: pointers to the rows."""
        return [
            f"{self._pointed_at(called)} *{name} = {self._used[called]} + {'(t + 1)' if shift else 't'} * "
            f"{math.prod(self._forms[called].shape)};"
            for (called, shift), name in self._pointers.items()
        ]

    def _pointed_at(self, called: str) -> str:
        """The type of the elements of an array."""
        return ("" if called in self.written else "const ") + TYPES[self._forms[called].dtype]
