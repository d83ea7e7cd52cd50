"""In what loops are written by default, and where those in C are kept."""

import contextlib
import ctypes
import os
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.scan import choice
from tinygrad_rnn.scan.c import compiler, function
from tinygrad_rnn.scan.capture import capture
from tinygrad_rnn.scan.loop import Loop

try:
    compiler.compiler()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)


@pytest.fixture(autouse=True)
def by_default():
    """As it is for users."""
    with tg.scan_backend("auto"):
        yield


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A folder of the test's own for loops in C, and nothing that is loaded already."""
    monkeypatch.setenv("TINYGRAD_RNN_CACHE", str(tmp_path / "cache"))
    compiler.library.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def asked_anew(monkeypatch):
    """Whether there is a compiler that works."""
    monkeypatch.setattr(choice, "_failed", False)


def cell(h, x):
    return tg.tanh(0.5 * h + x), h


def explained(length, cell=cell):
    return tg.scan_program(cell, np.zeros(3), np.ones((length, 3))).explain()


# ---------------------------------------------------------------------------------------------------------------- which


def test_long_loops_are_run_in_c():
    assert explained(8).count("its loop is run in C") == 2
    for short in (2, 7):
        assert explained(short).count("its loop is run in NumPy: it has fewer than 8 steps") == 2
    with tg.scan_backend("numpy"):
        assert "is run in" not in explained(8)


def test_what_runs_is_what_is_told():
    xs = np.random.default_rng(0).standard_normal((20, 3))

    def ys(name, length):
        with tg.scan_backend(name):
            return tg.scan(cell, np.zeros(3), xs[:length])[1].numpy()

    assert_array_equal(ys("auto", 20), ys("c", 20))
    assert_array_equal(ys("auto", 7), ys("numpy", 7))
    assert np.any(ys("numpy", 20) != ys("c", 20))  # or else this test shows nothing


def test_the_program_to_read_is_in_numpy():
    assert "#include" not in tg.scan_program(cell, np.zeros(3), np.ones((20, 3))).source


def test_to_read_a_program_no_compiler_is_run(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    assert "run in C" in explained(8, lambda h, x: (tg.tanh(0.1 * h + x), h * x))


def test_what_is_not_there_in_c_is_told():
    told = explained(8, lambda h, x: (tg.cumsum(h) + x, None))
    assert "its loop is run in NumPy: there is no cumsum in C yet" in told


def test_without_a_compiler(monkeypatch, tmp_path, asked_anew):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    told = "its loop is run in NumPy: there is no C compiler on the PATH (cc, gcc or clang))"
    assert explained(8, lambda h, x: (tg.tanh(h - x), None)).count(told) == 2
    tg.scan(lambda h, x: (tg.tanh(h - x), None), np.zeros(3), np.ones((20, 3)))


def test_a_stub_on_macos_is_not_run(monkeypatch):
    """It would open a window."""
    monkeypatch.setattr(compiler.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(compiler.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.delenv("CC", raising=False)
    for status, there in ((2, False), (0, True)):
        compiler._is_stub.cache_clear()
        done = subprocess.CompletedProcess([], status)
        monkeypatch.setattr(compiler.subprocess, "run", lambda command, done=done, **options: done)
        with contextlib.nullcontext() if there else pytest.raises(RuntimeError, match="there is no C compiler"):
            assert compiler.compiler() == ["/usr/bin/cc"]
    compiler._is_stub.cache_clear()


@pytest.mark.parametrize("recorded", [False, True], ids=["no_grad", "with gradients"])
def test_a_compiler_that_fails(monkeypatch, tmp_path, cache, asked_anew, recorded):
    """As one does without the C library's headers, or when the disk is full."""
    broken = tmp_path / "broken"
    broken.write_text(
        f"#!/bin/sh\ncase $* in *-dM*) exec {compiler.compiler()[0]} $*;; esac\nprintf 'no m\\374sli' >&2\nexit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    function.product.cache_clear()

    def mine(h, x):  # nobody else's cell, which might be compiled already
        return tg.tanh(0.25 * h - x * x), (h * x, recorded * h)

    h0 = tg.tensor(np.zeros(3), requires_grad=recorded)
    with pytest.warns(
        UserWarning,
        match=r"(?s)from now on loops are run in NumPy, .*can't compile a loop \(exit status 1\):\nno m.sli",
    ):
        h, _ = tg.scan(mine, h0, np.ones((20, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        tg.scan(lambda h, x: (h - x, None), h0, np.ones((20, 3)))
    assert "its loop is run in NumPy: the C compiler failed" in explained(8)
    with tg.scan_backend("numpy"):
        want, _ = tg.scan(mine, h0, np.ones((20, 3)))
    assert_array_equal(h.numpy(), want.numpy())
    with pytest.raises(RuntimeError, match=r"scan_backend: .*broken can't compile a loop \(exit status 1\):\nno"):
        tg.scan_backend("c")(tg.scan)(lambda h, x: (h * x - 0.25, None), h0, np.ones((20, 3)))


def test_a_cell_that_is_another_at_each_call(monkeypatch):
    """Compiling would take longer than it saves; but what is in C stays so."""
    monkeypatch.setattr(choice, "_ANYHOW", 2)
    monkeypatch.setattr(choice, "_RUNS", 5)

    def growing(h, x):
        return tg.tanh(h + x), None

    def run(size, times=1):
        for _ in range(times):
            tg.scan(growing, np.zeros(size), np.ones((20, size)))

    def told(size):
        return tg.scan_program(growing, np.zeros(size), np.ones((20, size))).explain()

    assert "run in C" in told(5)  # it would be; to ask decides nothing
    for size in (3, 4, 5):
        run(size)
    assert ["run in C" in told(size) for size in (3, 4, 5, 6)] == [True, True, False, False]
    assert "the cell comes in too many structures, 2 are in C already" in told(6)
    run(3, times=7)
    assert ["run in C" in told(size) for size in (3, 4, 5, 6)] == [True, True, False, True]  # two, run ten times by now


@pytest.mark.parametrize("first", [0.25, 2], ids=["real", "whole"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_number_that_is_another_at_each_call(dtype, first):
    """It becomes an input of the program."""
    carry, xs = np.zeros(3, dtype), np.linspace(-1, 1, 60, dtype=dtype).reshape(20, 3)
    ends = []

    def annealed(by):
        return lambda h, x: (tg.tanh(by * h + x) / (1.0 + by), (2.0 * h) ** by if type(by) is int else 2.0 * h)

    for k in range(12):
        cell = annealed(first * (k + 1))
        for wanted in (False, True):
            h0 = tg.tensor(carry, requires_grad=wanted)
            runs = []
            for unroll in (False, True):
                h0.grad = None
                h, ys = tg.scan(cell, h0, xs, unroll=unroll)
                if wanted:
                    ((h * [1.0, 2.0, 3.0]).sum() + ys.sum()).backward()
                runs.append((h.numpy(), ys.numpy(), *([h0.grad] if wanted else [])))
            for got, want in zip(*runs, strict=True):
                assert got.dtype == want.dtype == dtype
                assert_allclose(got, want, rtol=1e-5 if dtype == "float32" else 1e-13)
        ends.append(capture(Loop(cell, carry, xs, None, False)).step.end)
    assert ends[0] is not ends[1]
    assert ends[-3] is ends[-2] is ends[-1]


def test_a_fork_while_another_thread_compiles():
    code = """if True:
        import os, signal, threading, time
        import numpy as np, tinygrad_rnn as tg
        from tinygrad_rnn.scan import program
        def cell(h, x):
            return tg.tanh(0.5 * h + x), h
        def run():
            tg.scan(cell, np.zeros(3), np.ones((20, 3)))
        with program._LOCK:
            child = os.fork()
            if not child:
                signal.alarm(20)
                thread = threading.Thread(target=run)
                thread.start()
                thread.join()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    """
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], check=True, timeout=60)


# ---------------------------------------------------------------------------------------------------------- on the disk

SOURCE = '#include "loop.h"\nint number(void) { return %d; }\n'


def test_what_is_kept_is_not_compiled_again(monkeypatch, cache):
    assert compiler.library(SOURCE % 1).number() == 1
    (kept,) = cache.iterdir()
    compiler.library.cache_clear()
    monkeypatch.setattr(subprocess, "Popen", None)
    assert compiler.library(SOURCE % 1).number() == 1
    assert list(cache.iterdir()) == [kept]


def test_each_compiler_and_processor_has_its_own(monkeypatch, tmp_path):
    paths = {compiler._name(SOURCE)}
    (tmp_path / "other").symlink_to(compiler.compiler()[0])
    monkeypatch.setenv("CC", f"{tmp_path / 'other'}")
    paths.add(compiler._name(SOURCE))
    monkeypatch.setenv("CC", f"{tmp_path / 'other'} -Wall")  # with options, as for make
    paths.add(compiler._name(SOURCE))
    monkeypatch.setattr(compiler, "_macros", lambda command: "#define __OF_ANOTHER_PROCESSOR__ 1")
    paths.add(compiler._name(SOURCE))
    assert len(paths) == 4


def test_a_file_that_is_not_whole(cache):
    compiler.prepare([SOURCE % 3])
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert compiler.library(SOURCE % 3).number() == 3
    assert kept.stat().st_size > 1000


def test_a_relative_folder(monkeypatch, tmp_path, cache):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGRAD_RNN_CACHE", ".")
    assert compiler.library(SOURCE % 11).number() == 11


def test_a_folder_that_cannot_be_written_to(monkeypatch, tmp_path, cache):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYGRAD_RNN_CACHE", str(tmp_path / "file" / "cache"))
    assert compiler.library(SOURCE % 4).number() == 4
    assert not cache.exists()
    compiler._of_this_process().rename(tmp_path / "gone")  # as a process that was forked off may do
    assert compiler.library(SOURCE % 12).number() == 12


def test_a_folder_that_can_only_be_read(monkeypatch, cache):
    """As one is that came with an image; whoever is root can write everywhere, so writing is made to fail."""
    compiler.prepare([SOURCE % 13])
    (kept,) = cache.iterdir()
    compiler.library.cache_clear()

    put = compiler._put

    def refuse(content, path):
        if path.parent == cache:
            raise PermissionError("read-only")
        return put(content, path)

    monkeypatch.setattr(compiler, "_put", refuse)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", None)
        assert compiler.library(SOURCE % 13).number() == 13
    assert compiler.library(SOURCE % 14).number() == 14
    assert list(cache.iterdir()) == [kept]


def test_the_oldest_go_first(monkeypatch, cache):
    monkeypatch.setattr(compiler, "_KEPT", 2)
    cache.mkdir()
    others = cache / "of_somebody_else.so"
    others.touch()
    for number in (5, 6, 5, 7):
        compiler.library.cache_clear()
        compiler.library(SOURCE % number)
        time.sleep(0.02)
    assert set(cache.iterdir()) == {others, *(cache / compiler._name(SOURCE % number) for number in (5, 7))}


def test_an_error_in_one_of_several_leaves_nothing_behind(cache):
    with pytest.raises(RuntimeError, match=r"(?s)can't compile a loop \(exit status 1\):\n.*expected"):
        compiler.prepare([SOURCE % 8, "int number(void { return 9; }"])
    assert all(path.suffix == ".so" for path in cache.iterdir())


def test_two_processes_at_once(cache):
    code = f"""if True:
        from tinygrad_rnn.scan.c import compiler, function
        assert compiler.library({SOURCE % 10!r}).number() == 10
    """
    running = [subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ)) for _ in range(3)]
    assert [p.wait() for p in running] == [0, 0, 0]
    assert len(list(cache.iterdir())) == 1


def test_letters_that_a_compiler_may_not_read():
    source = '#include "loop.h"\ndouble f(double δ_t) { double 𝐖2 = δ_t; return 𝐖2; }  // ∂L/∂h\n'
    f = compiler.library(source).f
    f.argtypes, f.restype = [ctypes.c_double], ctypes.c_double
    assert f(0.5) == 0.5
