"""Where a node is made: the modules that are running and the time step. Modules and loops say it, the tape notes it."""

from __future__ import annotations

from typing import NamedTuple

from .setting import Setting, setting_to

__all__ = ["Scope", "scope", "scopes"]


class Scope(NamedTuple):
    """The modules that were running, outermost first, and the time step (counted from 1), if any.

    `line` is the user's line that made the node, noted while anomalies are looked for.

    >>> str(Scope(path=("model", "cell"), step=2))
    't=2/model/cell'
    """

    path: tuple[str, ...] = ()
    step: int | None = None
    line: str | None = None

    def __str__(self) -> str:
        return "/".join((() if self.step is None else (f"t={self.step}",)) + self.path)


scopes = Setting("scope", Scope())


class scope(setting_to[Scope], setting=scopes):  # noqa: N801 - a context manager, used like a function
    """Nodes made in this context belong to the module called `name` and to time step `step`."""

    def __init__(self, name: str | None = None, step: int | None = None) -> None:
        super().__init__(Scope())
        self._name, self._step = name, step

    def value_inside(self) -> Scope:
        """The scope around, and in it this one."""
        outer = scopes.get()
        path = outer.path if self._name is None else (*outer.path, self._name)
        return Scope(path, outer.step if self._step is None else self._step)

    def at(self, step: int) -> None:
        """From here on, within this context, it is time step `step`."""
        scopes.set(Scope(scopes.get().path, step))
