"""Functions in C: compiled with the system's compiler, and called with NumPy's arrays."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Argument", "CFunction", "compiler", "product"]

_HERE = Path(__file__).parent
# Nothing that changes results: no reassociation but where a loop asks for it, products rounded before they are added.
_FLAGS = ["-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fopenmp-simd"]
# A name that hides another, or a pointer to what mustn't be written to, would be a mistake in what was written.
_FLAGS += ["-Werror=shadow", "-Werror=discarded-qualifiers", "-Werror=incompatible-pointer-types", "-shared", "-fPIC"]
_MACHINE = {"x86_64": ["-march=native", "-mprefer-vector-width=512"], "AMD64": ["-march=native"]}


def compiler() -> str:
    """The C compiler: what `CC` says, or else cc, gcc or clang, whichever is there. Raises `RuntimeError`."""
    wanted = os.environ.get("CC")
    for name in [wanted] if wanted else ["cc", "gcc", "clang"]:
        if found := shutil.which(name):
            return found
    raise RuntimeError(
        f"scan_backend: 'c' wants a C compiler, and there is no {wanted or 'cc, gcc or clang'} on the PATH; "
        "install gcc or clang, name one in the environment variable CC, or use 'numpy'"
    )


class Argument(NamedTuple):
    """An array that a function takes: with a row for each of n (+ `extra`) steps, or the same in all."""

    shape: tuple[int, ...]  # of a row
    dtype: np.dtype[Any]
    rows: bool
    extra: int
    written: bool


class CFunction:
    """`void name(ptrdiff_t n, …)` of n and arrays, which are checked first: C would read and write anywhere.

    With `real`, the type that its products are of, it takes `product` (product.c) before n.
    """

    def __init__(self, name: str, source: str, arguments: Sequence[Argument], real: str | None = None) -> None:
        self.__name__, self.source = name, source
        self._arguments = tuple(arguments)
        self._first = [product(real)] if real else []
        self._call = getattr(_library(source), name)
        kinds = [type(p) for p in self._first]
        self._call.argtypes = [*kinds, ctypes.c_ssize_t, *[ctypes.c_void_p] * len(self._arguments)]
        self._call.restype = None

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
        self._call(*self._first, n, *pointers)


_BUFFER = (ctypes.c_char * 0).from_buffer


@functools.cache
def product(real: str) -> Any:
    """The product of matrices of a type."""
    source = (_HERE / "product.c").read_text(encoding="utf-8")
    return _library(f"#define real {real}\n{source}").product


@functools.lru_cache(256)
def _library(source: str) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="tinygrad_rnn_", ignore_cleanup_errors=True) as folder:
        text, library = Path(folder, "loop.c"), Path(folder, "loop.so")
        text.write_text(source, encoding="utf-8")
        machine = _MACHINE.get(platform.machine(), ["-mcpu=native"])
        own = os.environ.get("CFLAGS", "").split()
        command = [compiler(), *_FLAGS, *machine, *own, f"-I{_HERE}", "-o", str(library), str(text), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"scan_backend: {command[0]} can't compile a loop:\n{done.stderr[-2000:]}")
        try:
            return ctypes.CDLL(str(library))
        except OSError as error:
            raise RuntimeError(f"scan_backend: a loop in C was compiled but can't be loaded: {error}") from None
