"""Where a node is made: the modules that are running and the time step. Modules and loops say it, the tape notes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Scope", "current_scope", "scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """The modules that were running, outermost first, and the time step (counted from 1), if any.

    >>> str(Scope(path=("model", "cell"), step=2))
    't=2/model/cell'
    """

    path: tuple[str, ...] = ()
    step: int | None = None

    def __str__(self) -> str:
        return "/".join((() if self.step is None else (f"t={self.step}",)) + self.path)


_OUTERMOST = Scope()
_scope: ContextVar[Scope] = ContextVar("scope", default=_OUTERMOST)

current_scope = _scope.get


@contextmanager
def scope(name: str | None = None, step: int | None = None) -> Iterator[None]:
    """Nodes made in this context belong to the module called `name` and to time step `step`."""
    outer = _scope.get()
    path = outer.path if name is None else (*outer.path, name)
    token = _scope.set(Scope(path, outer.step if step is None else step))
    try:
        yield
    finally:
        _scope.reset(token)
