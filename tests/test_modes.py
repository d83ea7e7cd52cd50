"""Grad mode and the default dtype hold where they were said to, and end however the context ends."""

import asyncio
import contextvars
import inspect
import sys
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import setting

w = tg.tensor([1.0], requires_grad=True)


def recording():
    return (w * 2).requires_grad


def single():
    return tg.tensor(1.0).dtype == np.float32


MODES = {
    "no_grad": (tg.no_grad, lambda: not recording()),
    "default_dtype": (lambda: tg.default_dtype(np.float32), single),
}
every_mode = pytest.mark.parametrize(("mode", "is_on"), MODES.values(), ids=MODES)


@pytest.fixture(autouse=True)
def _ends_as_it_began():
    yield
    assert recording()
    assert not single()


# ----------------------------------------------------------------------------------------------------------- decorators


@every_mode
def test_a_decorated_function(mode, is_on):
    @mode()
    def f(n):
        """What it does."""
        return is_on() and (n == 0 or f(n - 1))

    assert f(3)
    assert not is_on()
    assert f.__doc__ == "What it does."


@every_mode
def test_a_decorated_function_that_fails(mode, is_on):
    @mode()
    def f():
        assert is_on()
        raise LookupError

    with pytest.raises(LookupError):
        f()
    assert not is_on()


@every_mode
def test_a_decorated_generator_has_it_while_its_own_code_runs(mode, is_on):
    seen = []

    @mode()
    def f():
        try:
            seen.append(is_on())
            got = yield 1
            seen.append(is_on())
            with pytest.raises(LookupError):
                yield got
            seen.append(is_on())
            yield from (is_on() for _ in range(2))
            yield 3
        finally:
            seen.append(is_on())

    g = f()
    assert inspect.isgeneratorfunction(f)
    for resume, want in [
        (lambda: next(g), 1),
        (lambda: g.send("sent"), "sent"),
        (lambda: g.throw(LookupError()), True),
        (lambda: next(g), True),
        (lambda: next(g), 3),
    ]:
        assert resume() == want
        assert not is_on()
    g.close()
    assert not is_on()
    assert seen == [True] * 4


@every_mode
def test_a_decorated_generator_returns_and_fails_like_any(mode, is_on):
    @mode()
    def returns():
        yield is_on()
        return "done"

    def outer():
        return (yield from returns())

    g = outer()
    assert next(g)
    with pytest.raises(StopIteration) as stop:
        next(g)
    assert stop.value.value == "done"

    @mode()
    def fails():
        yield is_on()
        raise LookupError

    g = fails()
    assert next(g)
    with pytest.raises(LookupError):
        next(g)
    assert not is_on()


def test_decorated_generators_side_by_side():
    @tg.no_grad()
    def off():
        while True:
            yield recording()

    @tg.enable_grad()
    def on():
        while True:
            yield recording()

    a, b = off(), on()
    with tg.no_grad():
        assert [(next(a), recording(), next(b), recording()) for _ in range(3)] == [(False, False, True, False)] * 3
    assert [(next(a), recording(), next(b), recording()) for _ in range(3)] == [(False, True, True, True)] * 3


@every_mode
def test_a_decorated_coroutine(mode, is_on):
    seen = []

    @mode()
    async def f():
        seen.append(is_on())
        await asyncio.sleep(0)
        seen.append(is_on())

    async def other():
        for _ in range(3):
            seen.append(not is_on())
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(f(), other(), f())

    asyncio.run(main())
    assert seen == [True] * 7


@every_mode
def test_a_decorated_async_generator_has_it_while_its_own_code_runs(mode, is_on):
    seen = []

    @mode()
    async def f():
        try:
            for _ in range(2):
                await asyncio.sleep(0)
                yield is_on()
        finally:
            seen.append(is_on())

    async def main():
        async for here in f():
            seen.append(here)
            seen.append(not is_on())

    asyncio.run(main())
    assert seen == [True] * 5


# ------------------------------------------------------------------------------------------------------------- contexts


def test_contexts_nest_and_the_innermost_counts():
    with tg.no_grad():
        assert not recording()
        with tg.enable_grad():
            assert recording()
            with tg.no_grad(), tg.default_dtype(np.float32):
                assert not recording()
                assert single()
            assert recording()
        assert not recording()


def test_one_object_may_be_entered_again():
    off = tg.no_grad()
    with off:
        with off:
            assert not recording()
        assert not recording()
    assert recording()


@every_mode
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_context_ends_with_any_exception(mode, is_on, error):
    def f():
        with mode(), mode():
            assert is_on()
            raise error

    with pytest.raises(error):
        f()
    assert not is_on()


def test_contexts_of_generators_may_end_in_any_order():
    """A `with` in a generator's body stays open while it waits; when all have ended, all is as before."""

    def f(mode):
        with mode:
            yield
        yield

    a, b = f(tg.no_grad()), f(tg.default_dtype(np.float32))
    next(a), next(b), next(a), next(b)
    a, b = f(tg.no_grad()), f(tg.enable_grad())
    next(a), next(b), next(a), next(b)
    assert recording()
    with tg.no_grad():
        a = f(tg.enable_grad())
        next(a)
    next(a)
    assert recording()


@every_mode
def test_a_thread_begins_without_it(mode, is_on):
    seen = []
    with mode():
        thread = threading.Thread(target=lambda: seen.append(is_on()))
        thread.start()
        thread.join()
        contextvars.copy_context().run(lambda: seen.append(is_on()))
    assert seen == [False, True]


def test_set_default_dtype_is_a_threads_own():
    seen = []

    def run():
        tg.set_default_dtype(np.float32)
        seen.append(single())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [True]
    assert not single()


# ----------------------------------------------------------------------------------------------------------- interrupts


class Strike:
    """Raises KeyboardInterrupt at the n-th place in setting.py where the interpreter looks for signals: when one of
    its functions begins, and when a function written in C returns to it."""

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, arg):
        if frame.f_code.co_filename == setting.__file__ and event in ("call", "c_return"):
            self.left -= 1
            if self.left == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt


@every_mode
def test_an_interrupt_leaves_nothing_behind_wherever_it_strikes(mode, is_on):
    strikes = 0
    for n in range(1, 100):
        before = is_on()
        context = mode()
        sys.setprofile(Strike(n))
        try:
            with context:
                pass
        except KeyboardInterrupt:
            strikes += 1
        finally:
            missed = sys.getprofile() is not None
            sys.setprofile(None)
        del context
        assert is_on() == before, f"strike {n}"
        if missed:
            break
    assert strikes > 3
