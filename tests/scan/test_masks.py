"""What comparisons give, in a cell: an array of truth values step by step, and so under `scan`."""

import numpy as np
import pytest

import tinygrad_rnn as tg

from .runs import assert_equal

W = np.array([True, False])
X = np.arange(24.0).reshape(12, 2) - 5
X[3, 1], X[4, 0] = np.nan, np.inf

COMPILED = {
    "an array on the left": lambda h, x: tg.where(np.array([1.0, 4.0]) < x, h, x),
    "a number of NumPy's on the left": lambda h, x: tg.where(np.float64(2) >= x, h, x),
    "an array and a comparison": lambda h, x: tg.where(W & (x > 0), h, x),
    "a comparison and an array": lambda h, x: tg.where((x > 0) | W, h, x),
    "either or": lambda h, x: tg.where((x > 0) ^ (h > x), h, x),
    "an array, either or": lambda h, x: tg.where(W ^ (x > 0), h, x),
    "not": lambda h, x: tg.where(~(x > 0), h, x),
    "logical_and": lambda h, x: tg.where(np.logical_and(x > 0, h), h, x),
    "logical_or": lambda h, x: tg.where(np.logical_or(x > 0, h > 3), h, x),
    "logical_xor": lambda h, x: tg.where(np.logical_xor(x > 0, h > 3), h, x),
    "logical_not": lambda h, x: tg.where(np.logical_not(x), h, x),
    "isnan": lambda h, x: tg.where(np.isnan(x), h, x),
    "isinf": lambda h, x: tg.where(np.isinf(x), h, x),
    "isfinite": lambda h, x: tg.where(np.isfinite(x), x, h),
    "a comparison of comparisons": lambda h, x: tg.where((x > 0) == (h > 0), h, x),
    "sum": lambda h, x: tg.where(np.isfinite(x), x, h) * (x > h).sum(),
    "as numbers": lambda h, x: tg.where(np.isfinite(x), x, h) * (1 - (x > h)),
}
AS_IT_GOES = {
    "any": lambda h, x: h / 2 + 1 if (h > 1).any() else h + 1,
    "all": lambda h, x: h / 2 if np.all(h > 1) else h + 1,
    "argmax": lambda h, x: h + (h > 1).argmax(),
}


@pytest.mark.parametrize("backend", ["numpy", "c"])
@pytest.mark.parametrize("name", [*COMPILED, *AS_IT_GOES])
def test_masks(name, backend):
    new = (COMPILED | AS_IT_GOES)[name]

    def run(**options):
        h, xs = tg.tensor([0.5, 2.0], requires_grad=True), tg.tensor(X, requires_grad=True)
        with tg.scan_backend(backend):
            last, ys = tg.scan(lambda h, x: 2 * (new(h, x),), h, xs, **options)
        (tg.where(np.isfinite(ys), ys, 0.0).sum() + (last * [2.0, 3.0]).sum()).backward()
        return last.data, ys.data, h.grad, np.zeros_like(X) if xs.grad is None else xs.grad

    with np.errstate(invalid="ignore"):
        got, want = run(), run(unroll=True)
        explained = tg.scan_program(lambda h, x: 2 * (new(h, x),), np.array([0.5, 2.0]), X).explain()
    assert_equal(got, want)
    assert ("is compiled" in explained) == (name in COMPILED)


LOGICAL = {
    "and": lambda n, x: n & x,
    "or": lambda n, x: x | n,
    "xor": lambda n, x: n ^ x,
    "not": lambda n, x: ~n,
    "a number": lambda n, x: n ^ 1,
    "a number on the left": lambda n, x: 1 | n,
    "an array on the left": lambda n, x: np.array([1, 0]) & n,
}


@pytest.mark.parametrize("backend", ["numpy", "c"])
@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8])
@pytest.mark.parametrize("name", LOGICAL)
def test_logical_operators_of_a_carry(name, dtype, backend):
    """Bit by bit of integers, as in NumPy, and not whether they are 0."""
    carry, xs = np.array([1, 6], dtype), (np.arange(24).reshape(12, 2) % 7).astype(dtype)

    def run(**options):
        def cell(n, x):
            out = LOGICAL[name](n, x)
            return (out.astype(dtype) if isinstance(out, np.ndarray) else tg.astype(out, dtype)), (out, n)

        with tg.scan_backend(backend):
            last, ys = tg.scan(cell, carry, xs, **options)
        return last.data, *(y.data for y in ys)

    assert_equal(run(), run(unroll=True))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", [*LOGICAL][:-1])
def test_real_numbers_have_no_logical_operators(name, unroll):
    with pytest.raises(TypeError, match=r"[&|^~]: want booleans or integers, got numbers of dtype float64"):
        tg.scan(lambda h, x: (LOGICAL[name](h, x), None), 0.5, np.ones(12), unroll=unroll)


@pytest.mark.parametrize("name", ["any", "nowhere"])
def test_a_tensor_has_no_other_attributes(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        tg.scan(lambda h, x: (getattr(h, name)(), None), 0.5, None, 4)
