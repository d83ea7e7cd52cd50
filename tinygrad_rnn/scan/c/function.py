"""Functions in C, called with NumPy's arrays."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .compiler import library, prepare

__all__ = ["Argument", "CFunction", "compile_together", "product"]


class Argument(NamedTuple):
    """An array that a function takes: with a row for each of n (+ `extra`) steps, or the same in all."""

    shape: tuple[int, ...]  # of a row
    dtype: np.dtype[Any]
    rows: bool
    extra: int
    written: bool


class CFunction:
    """`void name(ptrdiff_t n, …)` of n and arrays, which are checked first: C would read and write anywhere.

    With `real`, the type that its products are of, it takes `product` (product.c) before n. It is compiled before it is
    called first.
    """

    def __init__(self, name: str, source: str, arguments: Sequence[Argument], real: str | None = None) -> None:
        self.__name__, self.source, self.real = name, source, real
        self._arguments = tuple(arguments)
        self._call: Any = None  # not a cached property, which in Python 3.11 would let threads compile one by one

    def _compiled(self) -> Any:
        call = getattr(library(self.source), self.__name__)
        first = [product(self.real)] if self.real else []
        call.argtypes = [*map(type, first), ctypes.c_ssize_t, *[ctypes.c_void_p] * len(self._arguments)]
        call.restype = None
        return functools.partial(call, *first)

    def __call__(self, n: int, *arrays: Any) -> None:
        """Run it. What it only reads is copied, if it isn't in one piece."""
        pointers: list[Any] = []
        for a, (shape, dtype, rows, extra, written) in zip(arrays, self._arguments, strict=True):
            wanted = (n + extra, *shape) if rows else shape
            if a.shape != wanted or a.dtype != dtype or not a.flags.c_contiguous:
                if written or a.shape != wanted:
                    raise RuntimeError(f"{self.__name__}: want {dtype} of shape {wanted}, got {a.dtype} of {a.shape}")
                a = np.array(a, dtype, order="C")
            # The buffer holds on to the array; NumPy's own ways to a pointer take three times as long.
            pointers.append(_BUFFER(a) if a.flags.writeable else a.ctypes)
        if self._call is None:
            self._call = self._compiled()
        self._call(n, *pointers)


_BUFFER = (ctypes.c_char * 0).from_buffer


def compile_together(functions: Iterable[CFunction]) -> None:
    """Compile functions side by side, before they are called. Raises `CompilerError`."""
    sources: dict[str, None] = {}
    for f in functions:
        sources |= dict.fromkeys([f.source, *([_product_source(f.real)] if f.real else [])])
    prepare(sources)


@functools.cache
def product(real: str) -> Any:
    """The product of matrices of a type."""
    return library(_product_source(real)).product


def _product_source(real: str) -> str:
    source = Path(__file__).with_name("product.c").read_text(encoding="utf-8")
    return f"#define real {real}\n{source}"
