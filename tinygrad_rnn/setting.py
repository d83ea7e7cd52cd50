"""Settings that hold within a context: in this thread or task, and until the context ends, however it ends."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from typing import Any, ClassVar, Generic, TypeVar

__all__ = ["Setting", "setting_to"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class _Entry:
    """A value, and the entry beneath it on the stack."""

    __slots__ = ("outer", "value")

    def __init__(self, value: Any, outer: _Entry | None) -> None:
        self.value, self.outer = value, outer


class Setting(Generic[T]):
    """A value of a thread's or task's own. The contexts that are open lie on a stack, which is part of it."""

    def __init__(self, name: str, default: T) -> None:
        variable: ContextVar[Any]

        class Entry(_Entry):
            __slots__ = ()

        bottom = Entry(default, None)
        variable = ContextVar(name, default=bottom)
        self.entry: type[_Entry] = Entry
        self.stack = variable.get  # `setting.stack().value` is the fastest way to ask
        self.reinstate = variable.set
        # A Ctrl-C that arrives during a long matrix product is raised at the next call of a Python function. If that
        # is `__exit__`, a context would never end. So this one has no Python in it: for format to look these attributes
        # up is to read the variable, to go to the entry beneath, and to set the variable to that. (Any arguments are
        # taken; what comes back is an empty string, which is false, so errors pass.)
        Entry.current = property(variable.get)  # type: ignore[attr-defined]
        Entry.reinstated = property(variable.set)  # type: ignore[attr-defined]
        self.end = functools.partial("{0.current.outer.reinstated!s:.0}".format, bottom)

    def get(self) -> T:
        """The value here and now."""
        return self.stack().value  # type: ignore[no-any-return]

    def set(self, value: T) -> None:
        """Another value, until the context that is open ends."""
        self.reinstate(self.entry(value, self.stack().outer))


class setting_to(Generic[T]):  # noqa: N801 - a context manager, used like a function
    """Within this context, or a function decorated with it, a setting has another value.

    A decorated generator function has it whenever its own code runs, and not while others do that it yields to.
    """

    setting: ClassVar[Setting[Any]]

    def __init_subclass__(cls, setting: Setting[Any] | None = None) -> None:
        if setting is not None:
            cls.setting = setting
            cls.__exit__ = setting.end  # type: ignore[assignment]

    def __init__(self, value: T) -> None:
        self._value = value

    def __enter__(self) -> Any:
        outer = self.setting.stack()
        try:
            self.setting.reinstate(self.setting.entry(self.value_inside(), outer))
        except BaseException:  # an interrupt can strike when it is set already
            self.setting.reinstate(outer)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Overridden in subclasses by `Setting.end`."""
        self.setting.end()

    def value_inside(self) -> T:
        """The value within the context that is about to open."""
        return self._value

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def wait(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        @functools.wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    with self:
                        item = resume()
                except StopIteration as stop:
                    return stop.value
                try:
                    resume = functools.partial(generator.send, (yield item))
                except GeneratorExit:
                    with self:
                        generator.close()
                    raise
                except BaseException as error:
                    resume = functools.partial(generator.throw, error)

        @functools.wraps(function)
        async def generate_async(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            generator = function(*args, **kwargs)
            resume: Callable[[], Any] = generator.__anext__
            while True:
                try:
                    with self:
                        item = await resume()
                except StopAsyncIteration:
                    return
                try:
                    resume = functools.partial(generator.asend, (yield item))
                except GeneratorExit:
                    with self:
                        await generator.aclose()
                    raise
                except BaseException as error:
                    resume = functools.partial(generator.athrow, error)

        kinds: list[tuple[Callable[[Any], bool], Any]] = [
            (inspect.isgeneratorfunction, generate),
            (inspect.isasyncgenfunction, generate_async),
            (inspect.iscoroutinefunction, wait),
        ]
        wrapper: Any = next((wrapper for is_such, wrapper in kinds if is_such(function)), call)
        return wrapper  # type: ignore[no-any-return]
