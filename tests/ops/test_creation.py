"""Tensors from a pattern: NumPy's numbers, the default dtype, and refusals."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg

x = tg.tensor([[1.0, 2.0, 3.0]], dtype=np.float32, requires_grad=True, name="x")

SAME_AS_NUMPY = {
    "zeros": (lambda m: m.zeros((2, 3)), float),
    "zeros, one axis": (lambda m: m.zeros(3), float),
    "zeros, 0-d": (lambda m: m.zeros(()), float),
    "zeros, integers": (lambda m: m.zeros((2, 0), dtype=int), int),
    "ones": (lambda m: m.ones([2, 3]), float),
    "full": (lambda m: m.full((2, 3), 1.5), float),
    "full, integer": (lambda m: m.full(3, 7), int),
    "full, boolean": (lambda m: m.full(3, True), bool),
    "full, broadcast": (lambda m: m.full((2, 3), [1.0, 2.0, 3.0]), float),
    "full, NumPy's number": (lambda m: m.full(2, np.float32(0.1)), np.float32),
    "arange": (lambda m: m.arange(4), int),
    "arange, from": (lambda m: m.arange(2, 5), int),
    "arange, down": (lambda m: m.arange(5, -1, -2), int),
    "arange, nothing": (lambda m: m.arange(3, 1), int),
    "arange, floats": (lambda m: m.arange(0, 1, 0.25), float),
    "arange, dtype": (lambda m: m.arange(3, dtype=np.float32), np.float32),
    "linspace": (lambda m: m.linspace(0, 1, 5), float),
    "linspace, open": (lambda m: m.linspace(-1.0, 1.0, num=4, endpoint=False), float),
    "linspace, one": (lambda m: m.linspace(2, 3, 1), float),
    "eye": (lambda m: m.eye(3), float),
    "eye, wide": (lambda m: m.eye(2, 4, 1), float),
    "eye, low": (lambda m: m.eye(3, k=-1, dtype=int), int),
    "zeros_like": (lambda m: m.zeros_like([[1.0, 2.0]]), float),
    "ones_like": (lambda m: m.ones_like([1, 2]), int),
    "full_like": (lambda m: m.full_like([1.0, 2.0], 3), float),
}


@pytest.mark.parametrize(("make", "dtype"), SAME_AS_NUMPY.values(), ids=SAME_AS_NUMPY)
def test_numpys_numbers(make, dtype):
    got, want = make(tg), make(np)
    assert type(got) is tg.Tensor
    assert not got.requires_grad
    assert got.dtype == want.dtype == dtype
    assert_array_equal(got.data, want)


@pytest.mark.parametrize(("make", "dtype"), SAME_AS_NUMPY.values(), ids=SAME_AS_NUMPY)
def test_floats_made_of_python_numbers_take_the_default_dtype(make, dtype):
    for default in (np.float16, np.float32):
        with tg.default_dtype(default):
            assert make(tg).dtype == (default if dtype is float else dtype)


def test_arrays_keep_their_dtype():
    with tg.default_dtype(np.float32):
        assert tg.full(2, np.float64(1)).dtype == np.float64
        assert tg.arange(np.float64(2)).dtype == np.float64
        assert tg.ones_like(np.zeros(2)).dtype == np.float64
        assert tg.linspace(np.zeros(()), 1, 3).dtype == np.float64


@pytest.mark.parametrize("make", [tg.zeros_like, tg.ones_like, lambda t, **kw: tg.full_like(t, 7, **kw)])
def test_like_takes_shape_and_dtype_only(make):
    for t in (x, x * 2):
        y = make(t)
        assert (y.shape, y.dtype, y.requires_grad, y.name) == ((1, 3), np.float32, False, None)
    assert make(x, dtype=int).dtype == int
    assert make(x, requires_grad=True, name="y").name == "y"
    assert tg.vmap(lambda row: row * make(row))(np.ones((2, 3))).shape == (2, 3)
    assert tg.jvp(lambda z: z * make(z), (2.0,), (1.0,))[1].item() == make(x).data[0, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda **kw: tg.zeros(2, **kw),
        lambda **kw: tg.ones(2, **kw),
        lambda **kw: tg.full(2, 0.5, **kw),
        lambda **kw: tg.arange(2.0, **kw),
        lambda **kw: tg.linspace(0, 1, 2, **kw),
        lambda **kw: tg.eye(1, 2, **kw),
        lambda **kw: tg.zeros_like(x, **kw),
    ],
)
def test_they_can_be_leaves(make):
    w = make(requires_grad=True, name="w")
    assert (w.is_leaf, w.requires_grad, w.name) == (True, True, "w")
    (w * 3).sum().backward()
    assert_array_equal(w.grad, np.full(w.shape, 3.0))
    with pytest.raises(TypeError, match=r"requires_grad=True wants a floating-point tensor, got dtype int64"):
        make(dtype=int, requires_grad=True)


def test_a_full_tensor_owns_its_memory():
    t = tg.full((2, 2), np.ones(2))
    t.data[0] = 5
    assert_array_equal(t.data, [[5, 5], [1, 1]])


def test_the_dtype_of_linspace_is_reached_by_rounding():
    with tg.default_dtype(np.float32):
        assert_array_equal(tg.linspace(0, 1, 11).data, np.linspace(0, 1, 11).astype(np.float32))


WRONG = {
    "negative": (lambda: tg.zeros((2, -1)), ValueError, "zeros: negative dimensions are not allowed"),
    "float shape": (lambda: tg.ones(2.5), TypeError, "ones: shape must be an integer or a sequence of integers"),
    "huge": (lambda: tg.zeros(10**30), ValueError, "zeros: Maximum allowed dimension exceeded"),
    "fill": (lambda: tg.full((2, 3), [1, 2]), ValueError, "full: could not broadcast"),
    "fill text": (lambda: tg.full(2, "a"), TypeError, "full: want real numbers, got dtype <U1"),
    "fill gradient": (lambda: tg.full(2, x[0, 0]), TypeError, "full: this tensor needs a gradient, which a new leaf"),
    "complex": (lambda: tg.zeros(2, dtype=complex), TypeError, "zeros: want a real number type, got dtype complex128"),
    "no dtype": (lambda: tg.zeros(2, dtype="nothing"), TypeError, "zeros: want a dtype, got 'nothing'"),
    "two lengths": (lambda: tg.zeros(2, 3), TypeError, "zeros: want a dtype, got 3"),
    "like objects": (lambda: tg.zeros_like([None]), TypeError, "zeros_like: want real numbers, got dtype object"),
    "like ragged": (lambda: tg.ones_like([[1], [1, 2]]), ValueError, "ones_like: the data is not a regular array"),
    "step 0": (lambda: tg.arange(0, 5, 0), ValueError, "arange: step must not be 0"),
    "arange of a list": (lambda: tg.arange([1, 2]), ValueError, "arange: want a single number, got an array of shape"),
    "arange of text": (lambda: tg.arange("3"), TypeError, "arange: want real numbers, got dtype <U1"),
    "arange without end": (lambda: tg.arange(np.inf), ValueError, "arange: Maximum allowed size exceeded"),
    "arange of NaN": (lambda: tg.arange(0, np.nan), ValueError, "arange: cannot compute length"),
    "arange gradient": (lambda: tg.arange(x[0, 0]), TypeError, "arange: this tensor needs a gradient"),
    "num": (lambda: tg.linspace(0, 1, 2.5), TypeError, "linspace: num must be an integer, got 2.5"),
    "num below 0": (lambda: tg.linspace(0, 1, -1), ValueError, "linspace: Number of samples, -1, must be non-neg"),
    "linspace gradient": (lambda: tg.linspace(0, x[0, 0]), TypeError, "linspace: this tensor needs a gradient"),
    "eye": (lambda: tg.eye(2.0), TypeError, "eye: shape must be an integer or a sequence of integers, got (2.0,)"),
    "eye k": (lambda: tg.eye(2, k=0.5), TypeError, "eye: k must be an integer, got 0.5"),
    "tensor, dates": (
        lambda: tg.tensor(np.datetime64("2020", "s")),
        TypeError,
        "tensor: want real numbers, got dtype dat",
    ),
    "tensor, text": (lambda: tg.tensor(["a"]), TypeError, "tensor: want real numbers, got dtype <U1"),
    "tensor, complex": (lambda: tg.tensor(1j), TypeError, "tensor: want real numbers, got dtype complex128"),
    "tensor, objects": (lambda: tg.tensor([None]), TypeError, "tensor: want real numbers, got dtype object"),
    "tensor, of tensors": (lambda: tg.tensor([x, x]), TypeError, "tensor: np.asarray: this tensor needs a gradient"),
    "default": (lambda: tg.default_dtype("nothing"), TypeError, "default_dtype: want a dtype, got 'nothing'"),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_message(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        call()
