"""Where a node is made: the modules that are running and the time step. Modules and loops say it, the tape notes it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["Scope", "current_scope", "scope"]


class Scope(NamedTuple):
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


class scope:  # noqa: N801 - a context manager, used like a function
    """Nodes made in this context belong to the module called `name` and to time step `step`."""

    __slots__ = ("_name", "_step", "_token")

    def __init__(self, name: str | None = None, step: int | None = None) -> None:
        self._name, self._step = name, step

    def __enter__(self) -> scope:
        outer = _scope.get()
        path = outer.path if self._name is None else (*outer.path, self._name)
        self._token = _scope.set(Scope(path, outer.step if self._step is None else self._step))
        return self

    def at(self, step: int) -> None:
        """From here on, within this context, it is time step `step`."""
        _scope.set(Scope(_scope.get().path, step))

    def __exit__(self, *error: object) -> None:
        _scope.reset(self._token)
