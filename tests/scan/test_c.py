"""Loops in C give what loops in NumPy give, step by step or compiled; what isn't there in C is written in NumPy."""

import contextlib
import ctypes
import doctest
import io
import re
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.scan.c import compiler
from tinygrad_rnn.scan.c import loop as c_loop
from tinygrad_rnn.scan.c.arrays import panels
from tinygrad_rnn.scan.c.blas import gain_of_blas
from tinygrad_rnn.scan.c.function import Argument, CFunction, gemm
from tinygrad_rnn.scan.c.function import product as compiled_product
from tinygrad_rnn.scan.capture import forget

from .cells import CELLS
from .runs import assert_close, assert_equal, assert_same_run, run, tensors

try:
    compiler.compiler()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

in_c = tg.scan_backend("c")
each_cell = pytest.mark.parametrize("name", CELLS)

# The loops of these have something that isn't there in C (yet).
IN_NUMPY = {
    "cumulative": "cumsum",
    "inverts": "inv",
    "mixed_carry": "int32",
    "movements": "one by one",
    "no_carry": "no loop",
    "only_integers": "int64",
    "own_operation": "own_elementwise",
    "own_operation_without_batching_rule": "own_without_batching_rule",
    "slices": "one by one",
    "solves": "solve",
    "writes_at": "put",
}
UNCOMPILED = ("gradient_inside", "writes_where_the_input_says")


def program(name, backend="c"):
    made = CELLS[name].make(T=3)
    parameters, carry, xs = (tensors(getattr(made, part)) for part in ("parameters", "carry", "xs"))
    with tg.scan_backend(backend):
        return tg.scan_program(lambda c, x: made.cell(parameters, c, x), carry, xs, made.length)


def both(made, **options):
    with in_c:
        got = run(made, **options)
    return got, run(made, unroll=True, **options)


# ------------------------------------------------------------------------------------------------------ the whole table


@each_cell
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "in reverse"])
def test_values_and_gradients(name, reverse):
    # The gradients by computed_weights are what is left of numbers 10⁵ times as large.
    backward = {"computed_weights": 1e-9}.get(name, 1e-12)
    for T in (1, 2, 7):
        assert_same_run(*both(CELLS[name].make(seed=T, T=T), reverse=reverse), backward=backward)


@each_cell
def test_long_sequences(name):
    assert_same_run(*both(CELLS[name].make(T=150), reverse=len(name) % 2 == 0), forward=4e-14, backward=1e-11)


@each_cell
def test_what_is_in_c(name):
    """In C, or the reason why not is told."""
    p = program(name)
    assert p.compiled == (name not in UNCOMPILED)
    assert ("#include" in p.source) != (name in UNCOMPILED or name == "only_integers" or _neither(p))
    if name in IN_NUMPY:
        assert "its loop is run in NumPy: " in p.explain()
        assert IN_NUMPY[name] in p.explain()
    else:
        assert "its loop is run in NumPy" not in p.explain()
        assert ("its loop is run in C" in p.explain()) == p.compiled
    if p.source:
        compile(p.source, name, "exec")


def _neither(p):
    return p.explain().count("its loop is run in NumPy") == 2


@pytest.mark.parametrize("name", ["rnn_tanh", "lstm", "gru_reset_after", "layernorm_lstm", "residual_stack", "slices"])
@pytest.mark.parametrize("checkpoint", [1, 40, "sqrt"])
def test_checkpoints_give_the_same_bits(name, checkpoint):
    made = CELLS[name].make(T=150)
    with in_c:
        assert_equal(run(made, checkpoint=checkpoint).gradients, run(made).gradients)


SIZES = [(1, 1, 1), (1, 2, 1), (5, 1, 4), (3, 8, 16), (7, 5, 33), (64, 3, 20)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "layernorm_lstm", "language_model", "rnn_float32"])
def test_other_sizes(name, sizes):
    B, I, H = sizes  # noqa: E741
    assert_same_run(*both(CELLS[name].make(T=4, B=B, I=I, H=H)), forward=1e-14)


# ------------------------------------------------------------------------------------------------------------- products


@pytest.fixture(scope="module", params=["float", "double"])
def product(request):
    call = compiled_product(request.param)
    size, pointer = ctypes.c_ssize_t, ctypes.c_void_p
    function = ctypes.CFUNCTYPE(None, size, size, size, pointer, size, size, pointer, pointer, size)
    return ctypes.cast(call, function), np.dtype({"float": np.float32, "double": np.float64}[request.param])


lengths = st.integers(1, 40)


@given(lengths, lengths, st.integers(1, 150), st.integers(0, 3), st.booleans())
def test_products(product, rows, inner, columns, room, turned):
    call, dtype = product
    rng = np.random.default_rng(rows + inner + columns)
    x, w = (rng.integers(-9, 9, shape).astype(dtype) for shape in ((rows, inner), (inner, columns)))
    x = np.asfortranarray(x) if turned else x
    out = np.full((rows, columns + room), 7, dtype)
    ms, strides = panels(w), [s // dtype.itemsize for s in x.strides]
    call(rows, inner, columns, x.ctypes.data, *strides, ms.ctypes.data, out.ctypes.data, columns + room)
    assert_array_equal(out[:, :columns], x @ w)  # of whole numbers, exactly
    assert_array_equal(out[:, columns:], 7)  # and nothing beside it


def test_a_row_is_the_same_to_the_last_bit_whatever_is_multiplied_with_it(product):
    """So a checkpoint, or another batch, doesn't change a sequence's numbers."""
    call, dtype = product
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((23, 50)).astype(dtype), rng.standard_normal((50, 77)).astype(dtype)
    ms, found = panels(w), []
    for rows in range(1, 24):
        out = np.empty((rows, 77), dtype)
        call(rows, 50, 77, x.ctypes.data, 50, 1, ms.ctypes.data, out.ctypes.data, 77)
        found.append(out[0])
    assert_array_equal(found, [found[0]] * 23)


# ------------------------------------------------------------------------------------------------------- as it is used


def test_a_layer():
    """In single precision, with sizes that don't fill the last panel."""
    rng = np.random.default_rng(0)
    xs = tg.tensor(rng.standard_normal((30, 5, 7)), dtype=np.float32)
    for kind in (tg.nn.RNN, tg.nn.LSTM, tg.nn.GRU):
        layer = kind(7, 19, num_layers=2, bidirectional=True, dtype=np.float32, rng=1)
        found = {}
        for backend in ("numpy", "c"):
            layer.zero_grad()
            with tg.scan_backend(backend):
                ys, _ = layer(xs)
            (ys * ys).sum().backward()
            found[backend] = [ys.numpy(), *[p.grad for p in layer.parameters()]]
        for got, want in zip(found["c"], found["numpy"], strict=True):
            assert_allclose(got, want, rtol=0, atol=2e-5 * np.abs(want).max())


def test_the_backend_is_that_of_the_call():
    def cell(h, x):
        return tg.tanh(h * w + x), h

    w = tg.tensor(np.full(4, 0.5), requires_grad=True)
    xs = np.ones((5, 4))
    assert "#include" not in tg.scan_program(cell, np.zeros(4), xs).source
    with in_c:
        assert "#include" in tg.scan_program(cell, np.zeros(4), xs).source
        h, _ = tg.scan(cell, np.zeros(4), xs)
    h.sum().backward()  # outside
    got, w.grad = w.grad, None
    h, _ = tg.scan(cell, np.zeros(4), xs)
    h.sum().backward()
    assert_allclose(got, w.grad, rtol=1e-14)
    tg.set_scan_backend("c")
    try:
        assert "#include" in tg.scan_program(cell, np.zeros(4), xs).source
    finally:
        tg.set_scan_backend("auto")


def test_whole_numbers_outside_the_loop():
    """What is made of them before the loop stays there; the loop is in C."""
    w = tg.tensor(np.full(3, 0.5), requires_grad=True)
    steps = np.arange(6)

    def cell(h, t):
        h = tg.tanh(h * w + tg.where(t % 2 == 0, 1.0, -0.5))
        return h, h

    def gradient():
        w.grad = None
        h, ys = tg.scan(cell, np.zeros(3), steps)
        (h.sum() + (ys * ys).sum()).backward()
        return w.grad

    with in_c:
        assert "in NumPy" not in tg.scan_program(cell, np.zeros(3), steps).explain()
        got = gradient()
    assert_allclose(got, gradient(), rtol=1e-13)


def test_inputs_that_are_not_in_one_piece():
    rng = np.random.default_rng(0)
    W = tg.tensor(rng.standard_normal((6, 6)).T / 3, requires_grad=True)
    h0 = tg.asarray(rng.standard_normal((6, 4)).T)
    xs = tg.asarray(rng.standard_normal((6, 4, 9)).T[::2, ::-1])

    def cell(h, x):
        h = tg.tanh(x + h @ W)
        return h, h[:, ::2]

    def gradients():
        W.grad = None
        h, ys = tg.scan(cell, h0, xs)
        (tg.sum(h.T) + tg.sum(ys * ys)).backward()
        return [h.numpy(), ys.numpy(), W.grad]

    with in_c:
        got = gradients()
    for a, b in zip(got, gradients(), strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_nans_and_infinities_stay_where_they_are():
    xs = np.zeros((4, 3))
    xs[1] = [np.nan, np.inf, -np.inf]
    with in_c:
        h, ys = tg.scan(lambda h, x: (tg.tanh(0.5 * h + x), tg.relu(h - x)), np.zeros(3), xs)
    want, more = tg.scan(lambda h, x: (tg.tanh(0.5 * h + x), tg.relu(h - x)), np.zeros(3), xs, unroll=True)
    assert_allclose(h.numpy(), want.numpy(), rtol=1e-14)
    assert_allclose(ys.numpy(), more.numpy(), rtol=1e-14)


NAMES = """
    x_t h_t h_next x_rows matmul_1 matmul_1_t matmul_1_all i i_ i__ j l l_ n n_ t t_ total total_ product
    product_ double float static register I NULL NAN INFINITY HUGE_VAL M_PI FLT_MAX linux unix asm typeof
    complex ptrdiff_t tanh_float bits_double power_double fused_double inlined maximum sign_of exp fabs sqrtf sqrt gamma
    y0 pow round pack_double _x _Bool
    __x86_64__ __attribute__ δ δh block forward_loop W_panels constant
"""


@pytest.mark.parametrize("k", range(4), ids=["carry", "x", "product", "sum"])
def test_no_name_means_something_else_in_c(k):
    """Each cell has a number of its own, for an equal one would get the program, and the names, of the one before."""
    rng = np.random.default_rng(0)
    W, U = (tg.tensor(rng.standard_normal((5, 5)) / 2, requires_grad=True) for _ in range(2))
    h0 = tg.tensor(rng.standard_normal((3, 5)), requires_grad=True)
    xs = tg.tensor(rng.standard_normal((4, 3, 5)), requires_grad=True)
    before = xs.numpy().copy()
    for number, name in enumerate(NAMES.split(), start=10 * k):
        names = ["h", "x", "a", "b"]
        names[k] = name
        carry, x, a, b = names
        code = f"""def cell({carry}, {x}):
            {a} = {carry} @ W
            {b} = {a} * {1 + number / 64} - {x}
            {a}_, {x}_ = {carry} @ U, {b} * {x}
            return tg.tanh({b} + {a}_), {x}_ + {carry}"""
        space = {"W": W, "U": U, "tg": tg}
        exec(code, space)

        def gradients(cell=space["cell"]):
            last, ys = tg.scan(cell, h0, xs)
            return tg.autograd.grad(last.sum() + (ys * ys).sum(), [W, U, h0, xs])

        want = gradients()
        with tg.scan_backend("c"):
            got = gradients()
        for g, w in zip(got, want, strict=True):
            assert_allclose(g.numpy(), w.numpy(), rtol=1e-10, atol=1e-12, err_msg=name)
        assert_array_equal(xs.numpy(), before)


def test_long_names():
    name = "a_name_" + "of_many_words_" * 8
    space = {"tg": tg}
    exec(f"def cell({name}, x):\n    {name} = tg.tanh({name} * 0.5 + x)\n    return {name}, {name}", space)
    with in_c:
        got, _ = tg.scan(space["cell"], np.zeros(3), np.ones((5, 3)))
    want, _ = tg.scan(space["cell"], np.zeros(3), np.ones((5, 3)), unroll=True)
    assert_allclose(got.numpy(), want.numpy(), rtol=1e-14)


@pytest.fixture
def fast_blas(monkeypatch):
    """Were BLAS ten times as fast as our own product, for matrices of any size, as it may be with many threads."""
    monkeypatch.setattr(c_loop, "gain_of_blas", lambda *sizes: 10.0)
    forget()
    yield
    forget()


@pytest.mark.skipif(gemm("double") is None, reason="no BLAS with 64-bit integers was found in NumPy")
@pytest.mark.parametrize(
    "name", ["rnn_tanh", "rnn_float32", "lstm", "gru_reset_before", "language_model", "residual_stack", "tied_weights"]
)
def test_products_by_blas(fast_blas, name):
    assert "gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans" in program(name).source
    for T, reverse in ((2, False), (7, True)):
        assert_same_run(*both(CELLS[name].make(seed=T, T=T), reverse=reverse))
    made = CELLS[name].make(T=60)
    with in_c:
        assert_equal(run(made, checkpoint=16).gradients, run(made).gradients)


LOOKS = {
    "rows flipped": lambda h: h[:, ::-1],
    "all rows flipped": lambda h: h[::-1, ::-1],
    "all flipped": lambda h: h[::-1, ::-1, ::-1],
    "columns flipped": lambda h: h[..., ::-1],
    "every other column": lambda h: tg.concatenate([h, h], -1)[..., ::2],
    "half": lambda h: tg.concatenate([h, h], -1)[..., 2:6],
    "turned": lambda h: tg.swapaxes(tg.concatenate([h, h[:, :1]], 1), 1, 2)[:, :3],
    "one for all": lambda h: tg.broadcast_to(h[:1], h.shape),
    "one row for all": lambda h: tg.broadcast_to(h[:, :1], h.shape),
    "the first": lambda h: h[:1],
    "a row": lambda h: h[0, :1],
    "in one": lambda h: tg.reshape(h, (2, 3, 4))[:, ::2].sum(1, keepdims=True),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("look", LOOKS)
def test_blas_and_other_looks_at_a_state(fast_blas, look, turned):
    """BLAS takes rows in their order, as far apart as they are long or farther, and else reads and writes nothing."""
    rng = np.random.default_rng(0)
    W, x = tg.tensor(rng.normal(size=(4, 4)), requires_grad=True), rng.normal(size=(5, 2, 3, 4))

    def gradient(**options):
        W.grad = None

        def cell(h, x):
            h = tg.tanh(LOOKS[look](h) @ (W.T if turned else W) + x)
            return h, h

        start = tg.tensor(x[0], requires_grad=True)
        _, ys = tg.scan(cell, start, x, **options)
        (ys * ys).sum().backward()
        return ys.data, W.grad, start.grad

    with in_c:
        got = gradient()
    for g, w in zip(got, gradient(unroll=True), strict=True):
        assert_allclose(g, w, rtol=1e-12, atol=1e-13)


def test_what_blas_in_c_does_not_do(fast_blas, monkeypatch):
    """The loop is left to NumPy, where BLAS can't be called in C: it isn't found, or both matrices change."""
    told = r"in NumPy: BLAS multiplies \[\d, \d\] by \[\d, \d\] in less than half the time"
    assert re.search(told, program("attention").explain())
    assert not re.search(told, program("rnn_tanh").explain())
    monkeypatch.setattr(c_loop, "gemm", lambda real: None)
    forget()
    assert re.search(told, program("rnn_tanh").explain())


def test_the_gain_of_blas_is_measured_for_large_products():
    """It may be much faster where it has many threads, and is slower where it has one."""
    assert gain_of_blas(8, 512, 512, np.dtype(np.float32)) > 0
    assert gain_of_blas(8, 512, 512, np.dtype(np.float64)) > 0
    assert gain_of_blas(7, 512, 512, np.dtype(np.float32)) == 0


def test_very_long_steps():
    """A C compiler would work on them for half a minute."""

    def cell(h, x, n):
        for k in range(n):
            h = tg.tanh(h * (1 + k / 1024) + x)
        return h, None

    with in_c:
        told = [tg.scan_program(partial(cell, n=n), np.zeros(3), np.zeros((9, 3))).explain() for n in (20, 200)]
    assert "in NumPy" not in told[0]
    assert re.search(r"run in NumPy: \d+ operations would take the C compiler long", told[1])


def test_what_is_not_in_c_is_the_program_in_numpy():
    """To the last bit, and so with all that saves NumPy's calls."""

    def cell(h, x):
        a, b = tg.split(h @ W + x, 2, axis=-1)
        h = tg.tanh(a) * tg.softmax(b, -1) + tg.cumsum(h, -1) * 0.1
        return h, h

    rng = np.random.default_rng(0)
    W, xs = tg.tensor(rng.standard_normal((4, 8)), requires_grad=True), rng.standard_normal((9, 3, 8))
    found = {}
    for backend in ("numpy", "c"):
        with tg.scan_backend(backend):
            _, ys = tg.scan(cell, np.zeros((3, 4)), xs)
            found[backend] = ys.numpy(), tg.autograd.grad((ys * ys).sum(), [W])[0].numpy()
    for got, want in zip(found["c"], found["numpy"], strict=True):
        assert_array_equal(got, want)


def test_numbers_in_another_byte_order():
    x = np.random.default_rng(0).standard_normal((9, 3)).astype(">f8")
    factor = np.full(3, 0.5, ">f8")

    def results(**options):
        last, ys = tg.scan(lambda c, x: (tg.tanh(c * factor + x), (c * x, x, factor)), x[0], x, **options)
        return [last.numpy(), *(y.numpy() for y in ys)]

    with in_c:
        got = results()
    for g, w in zip(got, results(unroll=True), strict=True):
        assert g.dtype == w.dtype == np.float64
        assert_allclose(g, w, rtol=1e-14)


def test_threads():
    made, results = CELLS["lstm"].make(T=20), []

    def work():
        with tg.scan_backend("c"):
            results.append(run(made).gradients)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 4
    for other in results[1:]:
        assert_close(other, results[0], 1e-14)  # OpenBLAS with threads of its own doesn't always add up in one order


def test_the_loop_that_docs_show():
    page = (Path(__file__).parents[2] / "docs" / "time_loop.md").read_text()
    before, shown = page.split("## In C")
    space = {}
    for example in doctest.DocTestParser().get_examples(before):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(example.source, "time_loop.md", "single"), space)
    zeros = space["zeros"]
    with in_c:
        p = tg.scan_program(space["lstm"], {"h": zeros, "c": zeros}, space["inputs"])
    (block,) = re.findall(r"^```c\n(.*?)^```", shown, re.M | re.S)
    assert block in p.source


# --------------------------------------------------------------------------------------------------------------- errors


def test_another_backend():
    with pytest.raises(ValueError, match=r"scan_backend: want 'auto', 'numpy' or 'c', got 'cuda'"):
        tg.scan_backend("cuda")
    with pytest.raises(ValueError, match=r"set_scan_backend: want 'auto', 'numpy' or 'c', got 'C'"):
        tg.set_scan_backend("C")


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(
        RuntimeError, match=r"scan_backend: there is no C compiler on the PATH \(cc, gcc or clang\); install"
    ):
        tg.scan_backend("c")
    monkeypatch.setenv("CC", "tcc-of-mine")
    with pytest.raises(RuntimeError, match=r"there is no C compiler on the PATH \(CC says 'tcc-of-mine'\)"):
        tg.set_scan_backend("c")


def test_a_compiler_that_fails(monkeypatch):
    monkeypatch.setattr(compiler, "_FLAGS", ["-fno-such-option"])
    w = tg.tensor([0.25, 0.75, 0.125, 0.5, 0.375], requires_grad=True)
    with (
        in_c,
        pytest.raises(
            RuntimeError, match=r"(?s)scan_backend: .* can't compile a loop \(exit status 1\):\n.*-fno-such-option"
        ),
    ):
        tg.scan(lambda h, x: (h * w - x, None), np.zeros(5), np.ones((3, 5)))
    assert w.grad is None


def test_arrays_are_looked_at_before_they_are_given_to_c():
    argument = Argument((3,), np.dtype(float), True, 1, True)
    f = CFunction("f", "#include <stddef.h>\nvoid f(ptrdiff_t n, double *x) { x[n] = 1; }", [argument])
    x = np.zeros((3, 3))
    f(2, x)
    assert x[0, 2] == 1
    for wrong in (np.zeros((2, 3)), np.zeros((3, 3), np.float32), np.zeros((3, 3)).T[:, :], np.zeros((3, 6))[:, ::2]):
        if wrong.flags.c_contiguous and wrong.shape == (3, 3) and wrong.dtype == float:
            continue
        with pytest.raises(RuntimeError, match=r"f: want float64 of shape \(3, 3\)"):
            f(2, wrong)
