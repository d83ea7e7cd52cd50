"""Functions in C, called with NumPy's arrays."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .compiler import library, prepare

__all__ = ["Argument", "CFunction", "compile_together", "gemm", "product"]


class Argument(NamedTuple):
    """An array that a function takes: with a row for each of n (+ `extra`) steps, or the same in all."""

    shape: tuple[int, ...]  # of a row
    dtype: np.dtype[Any]
    rows: bool
    extra: int
    written: bool


class CFunction:
    """`void name(ptrdiff_t n, …)` of n and arrays, which are checked first: C would read and write anywhere.

    What it multiplies by comes before n: "product" (product.c) or "gemm" (BLAS's), each of a type. It is compiled
    before it is called first.
    """

    def __init__(
        self, name: str, source: str, arguments: Sequence[Argument], multiply: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.__name__, self.source, self.multiply = name, source, tuple(multiply)
        self._arguments = tuple(arguments)
        self._call: Any = None  # not a cached property, which in Python 3.11 would let threads compile one by one

    def _compiled(self) -> Any:
        call = getattr(library(self.source), self.__name__)
        first = [_PRODUCTS[which](real) for which, real in self.multiply]
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
        products = [_product_source(real) for which, real in f.multiply if which == "product"]
        sources |= dict.fromkeys([f.source, *products])
    prepare(sources)


@functools.cache
def product(real: str) -> Any:
    """The product of matrices of a type."""
    return library(_product_source(real)).product


@functools.cache
def gemm(real: str) -> Any:
    """BLAS's product of matrices of a type, in the library that NumPy multiplies with; `None` if it isn't found."""
    letter = {"float": "s", "double": "d"}[real]
    try:
        numpy = ctypes.CDLL(sys.modules["numpy._core._multiarray_umath"].__file__)  # and what it was linked with
    except (KeyError, OSError):
        return None
    names = [name.format(letter) for name in _GEMM]
    return next((getattr(numpy, name) for name in names if hasattr(numpy, name)), None)


# With whole numbers of 64 bits: in NumPy's wheels, in OpenBLAS elsewhere, in macOS's Accelerate.
_GEMM = ("scipy_cblas_{}gemm64_", "cblas_{}gemm64_", "cblas_{}gemm$NEWLAPACK$ILP64")
_PRODUCTS = {"product": product, "gemm": gemm}


def _product_source(real: str) -> str:
    source = Path(__file__).with_name("product.c").read_text(encoding="utf-8")
    return f"#define real {real}\n{source}"
