"""Functions of loops in C: those of loop.h, to a unit or so in the last place, and the C library's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.scan.c import compiler
from tinygrad_rnn.scan.c.expressions import RESERVED
from tinygrad_rnn.scan.c.function import Argument, CFunction

try:
    compiler.compiler()
except RuntimeError as none:
    pytest.skip(str(none), allow_module_level=True)

TYPES = {"float": np.float32, "double": np.float64}
each_type = pytest.mark.parametrize("real", TYPES)


def elementwise(text, real):
    """A function of two arrays, made of an expression in C."""
    body = f"#pragma omp simd\nfor (ptrdiff_t i = 0; i < n; i++) out[i] = {text};"
    source = f'#include "loop.h"\nvoid f(ptrdiff_t n, const {real} *x, const {real} *y, {real} *out)\n{{\n{body}\n}}'
    dtype = np.dtype(TYPES[real])
    arguments = [Argument((), dtype, True, 0, written) for written in (False, False, True)]
    call = CFunction("f", source, arguments)

    def function(x, y):
        out = np.empty_like(x)
        call(len(x), x, y, out)
        return out

    return function


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    return np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x)))


def numbers(dtype):
    """Of all magnitudes, and many about 0, about 1, to where results overflow, and where formulas meet."""
    rng = np.random.default_rng(0)
    bits = np.dtype(f"u{dtype().itemsize}")
    largest = np.array(np.inf, dtype).view(bits)
    x = rng.integers(0, int(largest), 100_000, dtype=bits).view(dtype)
    ranges = [rng.uniform(-limit, limit, 50_000) for limit in (0.5, 1, 2, 20, 110, 760)]
    small = rng.uniform(-1, 1, 50_000) * 2.0 ** rng.integers(-60, 0, 50_000)
    meet = np.outer([0.5493, 0.3466, 0.4142, 1.4142], 1 + np.arange(-5000, 5000) * np.finfo(dtype).eps).reshape(-1)
    return np.concatenate([x, -x, *ranges, small, 1 + small, meet, -meet]).astype(dtype)


# In units in the last place, as loop.h says.
ERRORS = {"tanh": 1.4, "exp": 0.9, "expm1": 1.4, "log": 0.9, "log1p": 0.9, "softplus": 1.9, "sigmoid": 2.1}
ERRORS_IN_DOUBLE = {**ERRORS, "tanh": 1.5}
EXACT = {name: getattr(np, name, None) or {"softplus": softplus, "sigmoid": sigmoid}[name] for name in ERRORS}


@each_type
@pytest.mark.parametrize("name", ERRORS)
@np.errstate(all="ignore")
def test_accuracy(name, real):
    """Subnormal results too, and overflow exactly where the result is nearer to ∞ than to the largest number."""
    dtype = TYPES[real]
    x = numbers(dtype)
    exact = EXACT[name](x.astype(np.longdouble if dtype is np.float64 else np.float64))
    got, want = elementwise(f"{name}_{real}(x[i])", real)(x, x), exact.astype(dtype)
    finite = np.isfinite(want)
    assert_array_equal(got[~finite], want[~finite])
    assert_array_equal(np.signbit(got[finite]), np.signbit(want[finite]))
    unit = np.spacing(np.abs(want[finite]))
    room = 0 if np.finfo(exact.dtype).nmant > np.finfo(dtype).nmant + 8 else 1  # where long double is double
    bound = (ERRORS if real == "float" else ERRORS_IN_DOUBLE)[name]
    assert np.max(np.abs(got[finite] - exact[finite]) / unit) < bound + room


def special(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    return np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, tiny, -tiny, 1e-42, 3e38, np.finfo(dtype).max], dtype)


@each_type
@pytest.mark.parametrize(
    ("text", "function"),
    [
        *[(f"{name}_{{}}(x[i])", lambda x, y, f=f: f(x)) for name, f in EXACT.items()],
        ("maximum(x[i], y[i])", np.maximum),
        ("minimum(x[i], y[i])", np.minimum),
        ("sign_of(x[i])", lambda x, y: np.sign(x)),
        ("({})NAN", lambda x, y: np.full_like(x, np.nan)),
        ("-({})INFINITY", lambda x, y: np.full_like(x, -np.inf)),
    ],
)
@np.errstate(all="ignore")
def test_special_numbers(text, function, real):
    x, y = (v.reshape(-1).copy() for v in np.meshgrid(special(TYPES[real]), special(TYPES[real])))
    got, want = elementwise(text.format(real), real)(x, y), function(x, y)
    exact = text.partition("_{}")[0] not in ERRORS
    assert_allclose(got, want, rtol=0 if exact else 2 * np.finfo(got.dtype).eps, atol=0)
    signed = ~np.isnan(want)
    if function in (np.maximum, np.minimum):
        signed &= want != 0  # of 0 and −0, NumPy gives either
    assert_array_equal(np.signbit(got[signed]), np.signbit(want[signed]))


FUNCTIONS = """
    abs arccos arccosh arcsin arcsinh arctan arctanh ceil cos cosh elu erf exp exp2 expm1 floor log log10 log1p log2
    log_sigmoid sigmoid sign sin sinh softplus sqrt tan tanh
"""


@each_type
@pytest.mark.parametrize("name", [*FUNCTIONS.split(), "arctan2", "hypot", "maximum", "minimum", "power"])
def test_in_a_loop(name, real):
    """Written in C, of the right type, with its derivative: NumPy's numbers."""
    dtype = TYPES[real]
    xs = tg.tensor(np.random.default_rng(0).uniform(0.1, 0.9, (4, 37)), dtype, requires_grad=True)
    shift = dtype(name == "arccosh")
    given = (0.75,) if name in ("arctan2", "hypot", "maximum", "minimum", "power") else ()

    def cell(h, x):
        h = getattr(tg, name)(0.5 * h + 0.5 * x + shift, *given)
        return 0.5 + 0.25 * tg.tanh(h), h

    def results():
        h, ys = tg.scan(cell, np.full(37, 0.5, dtype), xs)
        return [ys.numpy(), *(g.numpy() for g in tg.autograd.grad(h.sum() + (ys * ys).sum(), [xs]))]

    want = results()
    with tg.scan_backend("c"):
        told = tg.scan_program(cell, np.full(37, 0.5, dtype), xs).explain()
        assert "its loop is run in C" in told
        assert "in NumPy" not in told
        got = results()
    for g, w in zip(got, want, strict=True):
        assert g.dtype == dtype
        assert_allclose(g, w, rtol=50 * np.finfo(dtype).eps, atol=50 * np.finfo(dtype).eps)


def test_what_is_reserved():
    """What has a meaning in loops: functions of both types, macros, types; not what they call their own values."""
    assert {"tanh_float", "exp_double", "sqrtf", "atan2", "ptrdiff_t", "bits_float", "NAN", "product_of"} <= RESERVED
    assert not {"f", "x", "h", "u", "r", "P", "scale", "result", "real"} & RESERVED


WRITTEN_OUT = {
    "clip at one end": lambda h, x: tg.clip(h, max=x),
    "logaddexp": tg.logaddexp,
    "logsumexp": lambda h, x: h + tg.logsumexp(x, -1),
    "log_softmax": lambda h, x: tg.log_softmax(h + 9 * x, 0),
    "powers": lambda h, x: (x * x) ** 0.5 + (2 + h) ** -1 + h**2 + (1 + x * x) ** h,
    "stack": lambda h, x: tg.stack([h, x, h * x], 1).sum(1),
    "variance": lambda h, x: h * tg.var(x, ddof=1, keepdims=True) + tg.var(h, ddof=-np.inf),
}


@each_type
@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_written_out(name, real):
    """What is one call in NumPy is several operations in C; the numbers, and the gradients, are the unrolled loop's."""
    xs = tg.tensor(np.random.default_rng(0).uniform(-1, 1, (9, 5)), TYPES[real], requires_grad=True)
    start = tg.tensor(np.linspace(-1, 1, 5), TYPES[real], requires_grad=True)

    def cell(h, x):
        h = tg.tanh(WRITTEN_OUT[name](h, x))
        return h, h

    found = []
    for options in ({}, {"unroll": True}):
        with tg.scan_backend("c"):
            h, ys = tg.scan(cell, start, xs, **options)
        found.append([ys, *tg.autograd.grad(h.sum() + (ys * ys).sum(), [start, xs])])
    for got, want in zip(*found, strict=True):
        assert_allclose(got.numpy(), want.numpy(), rtol=0, atol=100 * np.finfo(TYPES[real]).eps)
    with tg.scan_backend("c"):
        assert "run in NumPy" not in tg.scan_program(cell, start, xs).explain()
