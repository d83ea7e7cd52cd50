"""Why a loop can't be compiled, or not in C. A user sees `CompilerError` only, where C was asked for."""

from __future__ import annotations

__all__ = ["CompilerError", "UntraceableError"]


class UntraceableError(Exception):
    """Why a cell can't be compiled; the loop then runs it step by step."""


class CompilerError(RuntimeError):
    """There is no C compiler, or it can't do what it should."""
