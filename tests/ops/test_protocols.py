"""NumPy's functions on tensors: differentiated, plain where nothing is lost, or refused; and Python's own."""

import copy
import math
import operator
import pickle
import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn, ops
from tinygrad_rnn.ops import protocols

A = np.array([[1.5, 2.0], [0.5, 1.0]])
V = np.array([0.5, -1.5])
t = tg.tensor([[1.0, -2.0], [3.0, 4.5]], requires_grad=True, name="t")
v = tg.tensor(V, requires_grad=True)
s = tg.tensor(2.0, requires_grad=True)

# ------------------------------------------------------------------------------------------------ functions with a rule

DIFFERENTIABLE = {
    "ufunc": lambda x: np.tanh(x),
    "ufunc, array first": lambda x: np.add(A, x),
    "ufunc, number first": lambda x: np.subtract(1, x),
    "ufunc by an alias": lambda x: np.absolute(x),
    "array @": lambda x: A @ x,
    "array *": lambda x: A * x,
    "array /": lambda x: A / x,
    "array **": lambda x: A**x,
    "NumPy's number": lambda x: np.float64(2) * x,
    "power": lambda x: np.power(x, 2),
    "matmul": lambda x: np.matmul(x, A),
    "sum": lambda x: np.sum(x, axis=0),
    "sum, positional": lambda x: np.sum(x, 1, None, None, True),
    "mean": lambda x: np.mean(x, -1, keepdims=True),
    "var": lambda x: np.var(x, axis=0, ddof=1),
    "max by its old name": lambda x: np.amax(x, axis=1),
    "clip": lambda x: np.clip(x, 0, 2),
    "clip, old names": lambda x: np.clip(x, a_min=-1, a_max=2),
    "clip, new names": lambda x: np.clip(x, max=2),
    "where": lambda x: np.where(A > 1, x, 0),
    "concatenate": lambda x: np.concatenate([x, A, x]),
    "concatenate by its new name": lambda x: np.concat([A, x], axis=1),
    "stack": lambda x: np.stack((x, A), axis=1),
    "einsum": lambda x: np.einsum("ij,jk->ik", x, A),
    "einsum, operands first": lambda x: np.einsum("ij->j", x),
    "tensordot": lambda x: np.tensordot(x, A, axes=1),
    "inner": lambda x: np.inner(A, x),
    "transpose": lambda x: np.transpose(x, (1, 0)),
    "reshape": lambda x: np.reshape(x, (4,)),
    "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0], [1]]), 1),
    "trace": lambda x: np.trace(x),
    "cumsum": lambda x: np.cumsum(x, 1),
    "linalg.norm": lambda x: np.linalg.norm(x),
    "linalg.norm, axis": lambda x: np.linalg.norm(x, axis=0, keepdims=True),
    "linalg.inv": lambda x: np.linalg.inv(x),
    "linalg.solve": lambda x: np.linalg.solve(x, A),
    "linalg.det": lambda x: np.linalg.det(x),
    "linalg.slogdet": lambda x: np.linalg.slogdet(x)[1],
    "add.reduce": lambda x: np.add.reduce(x),
    "add.reduce, axis": lambda x: np.add.reduce(x, 1, keepdims=True),
    "multiply.reduce, all": lambda x: np.multiply.reduce(x, axis=None),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=-1),
    "minimum.reduce": lambda x: np.minimum.reduce(x),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "multiply.accumulate": lambda x: np.multiply.accumulate(x),
    "subtract.outer": lambda x: np.subtract.outer(V, x),
    "multiply.outer": lambda x: np.multiply.outer(x, V),
}


@pytest.mark.parametrize("f", DIFFERENTIABLE.values(), ids=DIFFERENTIABLE)
def test_a_function_with_a_rule_is_differentiated(f):
    out = f(t)
    assert type(out) is tg.Tensor
    assert out.requires_grad
    with np.errstate(invalid="ignore"):
        assert_allclose(out.data, f(t.data), rtol=1e-14)
    tg.check_grads(f, (np.array([[1.1, 2.7], [3.0, 4.5]]),))
    assert type(f(t.detach())) is tg.Tensor


def test_every_public_function_that_numpy_has_is_found():
    """By looking, not by a list: what is added to the operations is NumPy's to call."""
    table = protocols._ours()
    for name in ops.__all__:
        numpys = getattr(np, name, None)
        if callable(numpys):
            assert table[numpys] is getattr(ops, name)
    assert table[np.linalg.norm] is ops.linalg.norm
    assert len(table) > 60


def test_constants_by_numpy_too():
    assert_array_equal(np.zeros_like(t).data, np.zeros((2, 2)))
    assert type(np.zeros(3, like=t)) is tg.Tensor


# ----------------------------------------------------------------------------------------- functions without a gradient

PLAIN = {
    "isnan": lambda x: np.isnan(x),
    "isfinite": lambda x: np.isfinite(x),
    "signbit": lambda x: np.signbit(x),
    "greater": lambda x: np.greater(x, 1),
    "less_equal, array first": lambda x: np.less_equal(A, x),
    "array <": lambda x: A < x,  # noqa: SIM300
    "array ==": lambda x: A == x,  # noqa: SIM300
    "number <": lambda x: np.float64(2) < x,
    "logical_and": lambda x: np.logical_and(x > 0, x),
    "logical_or.reduce": lambda x: np.logical_or.reduce(x > 9, axis=0),
    "shape": lambda x: np.shape(x),
    "ndim": lambda x: np.ndim(x),
    "size": lambda x: np.size(x, 0),
    "result_type": lambda x: np.result_type(x, np.float32),
    "any": lambda x: np.any(x),
    "all": lambda x: np.all(x, axis=0),
    "argsort": lambda x: np.argsort(x, axis=0),
    "argmax": lambda x: np.argmax(x, axis=1),
    "searchsorted": lambda x: np.searchsorted(np.array([0.0, 2.0]), x),
    "nonzero": lambda x: np.nonzero(x),
    "count_nonzero": lambda x: np.count_nonzero(x),
    "array_equal": lambda x: np.array_equal(x, A),
    "allclose": lambda x: np.allclose(x, x),
    "isclose": lambda x: np.isclose(A, x),
    "array2string": lambda x: np.array2string(x),
    "isin": lambda x: np.isin(x, [1.0]),
}


@pytest.mark.parametrize("f", PLAIN.values(), ids=PLAIN)
def test_a_function_without_a_gradient_is_numpys(f):
    got, want = f(t), f(t.data)
    assert type(got) is type(want)
    assert_array_equal(got, want)
    assert type(f(t * 1.0)) is type(want)


def test_the_discrete_functions_exist():
    assert [name for name in protocols.DISCRETE if not hasattr(np, name)] == []


def test_in_every_mode():
    def f(x):
        return np.where(np.isnan(x) | np.less(2.0, x), 0.0, np.tanh(x) * np.ndim(x)) + np.zeros_like(x)

    x = np.array([[0.5, 3.0], [-1.0, 2.0]])
    y, dy = tg.jvp(f, (x,), (np.ones((2, 2)),))
    assert_array_equal(y.data, np.where(x > 2, 0, 2 * np.tanh(x)))
    assert_allclose(dy.data, np.where(x > 2, 0, 2 - 2 * np.tanh(x) ** 2), rtol=1e-15)
    assert_array_equal(tg.vmap(f)(x).data, y.data / 2)
    nested = tg.vmap(lambda row: tg.jvp(f, (row,), (np.ones(2),))[1])(x)
    assert_allclose(nested.data, dy.data / 2, rtol=1e-15)


def test_out_may_be_given_where_there_is_no_gradient():
    out = np.zeros((2, 2), bool)
    np.greater(t, 0, out=out)
    assert_array_equal(out, t.data > 0)


# ------------------------------------------------------------------------------------------------------------- refusals

B = np.zeros((2, 2))


def in_place():
    array = np.ones((2, 2))
    array += t


class Other:
    def __array_function__(self, function, types, args, kwargs):
        return "the other's"


REFUSED = {
    "no rule, ufunc": (lambda: np.cbrt(t), "np.cbrt: it has no derivative rule here; for plain numbers"),
    "no rule, constant": (lambda: np.cbrt(t.detach()), "np.cbrt: it has no derivative rule here"),
    "no rule, function": (lambda: np.sort(t), "np.sort: it has no derivative rule here; for plain numbers"),
    "no rule, linalg": (lambda: np.linalg.svd(t), "np.linalg.svd: it has no derivative rule here"),
    "no rule, method": (lambda: np.add.reduceat(v, [0]), "np.add.reduceat: it has no derivative rule here"),
    "no rule, at": (lambda: np.add.at(np.zeros(2), 0, s), "np.add.at: it has no derivative rule here"),
    "no rule, Python's": (lambda: np.frompyfunc(lambda x: x * 2, 1, 1)(t), "<lambda> (vectorized): it has no deriv"),
    "complex": (lambda: np.fft.rfft(v), "np.fft.rfft: complex numbers are not differentiated here; convolve()"),
    "writing": (lambda: np.copyto(B, t), "np.copyto: it has no derivative rule here"),
    "out": (lambda: np.add(t, 1, out=B), "np.add: out= (or an in-place operator on an array) would drop the gradient"),
    "out of a function": (lambda: np.sum(t, out=B), "np.sum: out= (or an in-place operator"),
    "out is a tensor": (lambda: np.add(A, A, out=t), "np.add: out= can't be a tensor: the tape may need the old val"),
    "in place": (in_place, "np.add: out= (or an in-place operator on an array) would drop the gradient; use what"),
    "where": (lambda: np.add(t, 1, where=A > 1), "np.add: where= is not supported for tensors; leave it out, or"),
    "dtype": (lambda: np.sum(t, dtype=np.float32), "np.sum: dtype= is not supported for tensors; leave it out"),
    "dtype of a method": (lambda: np.add.reduce(t, dtype=int), "np.add.reduce: dtype= is not supported for tensors"),
    "order": (lambda: np.reshape(t, (4,), order="F"), "np.reshape: order= is not supported for tensors"),
    "too few": (lambda: np.where(t), "np.where: missing a required argument: 'x'"),
    "asarray": (lambda: np.asarray(t), "np.asarray: this tensor needs a gradient, which an array would drop; use"),
    "list": (lambda: np.array([s, s]), "np.asarray: this tensor needs a gradient"),
    "assignment": (lambda: B.__setitem__(slice(None), t), "np.asarray: this tensor needs a gradient"),
    "a generator": (lambda: np.random.default_rng(0).normal(t), "np.asarray: this tensor needs a gradient"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(call, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}") as caught:
        call()
    if "rule" in message:
        assert ".data" in str(caught.value)


def test_nothing_was_written():
    assert_array_equal(B, np.zeros((2, 2)))


def test_in_place_operators_make_a_new_tensor():
    x = y = tg.tensor([1.0, 2.0], requires_grad=True)
    y += 1
    y *= np.array([2.0, 3.0])
    assert x is not y
    assert_array_equal(x.data, [1, 2])
    y.sum().backward()
    assert_array_equal(x.grad, [2, 3])


def test_others_that_have_the_protocol_get_their_turn():
    assert np.concatenate([t, Other()]) == "the other's"


# ----------------------------------------------------------------------------------------------------- Python's numbers


@pytest.mark.parametrize("convert", [float, int, complex, math.sqrt])
def test_a_python_number_warns_that_the_gradient_stops(convert):
    with pytest.warns(UserWarning, match=r"no gradient flows through a Python number.*\.item\(\), or \.detach") as seen:
        assert convert(s) == convert(2.0)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert convert(s.detach()) == convert(s.item()) == convert(2.0)


def test_assignment_of_a_number_to_an_array_warns():
    array = np.zeros(3)
    with pytest.warns(UserWarning, match="no gradient flows") as seen:
        array[1] = s
    assert seen[0].filename == __file__
    assert_array_equal(array, [0, 2, 0])


@pytest.mark.parametrize("convert", [float, int, complex])
def test_a_lifted_tensor_is_no_number(convert):
    for transform in (lambda f: tg.jvp(f, (2.0,), (1.0,)), lambda f: tg.vmap(f)(np.ones(3))):
        with pytest.raises(TypeError, match=f"^{convert.__name__}: this tensor carries a tangent, or stands for many"):
            transform(lambda x: x * convert(x).real)


def test_numbers_of_several_elements():
    with pytest.raises(
        ValueError, match=r"^float: only a tensor of one element is a number, this one has shape \(2,\)"
    ):
        float(v)


def test_an_integer_is_an_index():
    i = tg.tensor(1)
    assert "abc"[i] == "b"
    assert operator.index(tg.tensor([3, 1])[1]) == 1
    assert list(range(tg.tensor(3))) == [0, 1, 2]
    for wrong in (s, tg.tensor(1.0), tg.tensor([1]), tg.tensor(True)):
        with pytest.raises(TypeError, match="only an integer tensor without axes is an index, this one has shape"):
            operator.index(wrong)


def test_formatting():
    assert f"{s:.3f} {s}" == "2.000 2.0"
    assert f"{tg.tensor([1.25]):.1f}" == "1.2"
    assert f"{tg.tensor([1.25])}" == str(tg.tensor([1.25]))
    assert f"{t}" == str(t)
    assert f"{tg.tensor(3):03d}" == "003"
    with pytest.raises(TypeError, match=r"format: '.3f' is for a tensor of one element, this one has shape \(2, 2\)"):
        f"{t:.3f}"
    seen = []
    tg.vmap(lambda x: seen.append(f"{x}") or x)(np.ones(3))
    assert seen == ["tensor of 3 examples of shape (), dtype=float64"]


def test_containers():
    assert 3.0 in t
    assert 7.0 not in t
    assert len(t) == 2
    assert [row.data.tolist() for row in t] == t.tolist()
    assert {t: "a weight"}[t] == "a weight"
    assert s.tolist() == 2.0
    assert (t.nbytes, t.itemsize) == (32, 8)


# ---------------------------------------------------------------------------------------------- copies, pickles, DLPack


def with_everything():
    w = tg.tensor([1.0, 2.0], dtype=np.float32, requires_grad=True, name="w")
    (w * w).sum().backward()
    return w


COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
every_copy = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)


@every_copy
def test_a_copy_of_a_leaf_is_a_leaf_of_its_own(duplicate):
    w = with_everything()
    c = duplicate(w)
    assert type(c) is tg.Tensor
    assert (c.name, c.requires_grad, c.is_leaf, c.dtype) == ("w", True, True, np.float32)
    assert_array_equal(c.grad, [2, 4])
    c.data[:] = 7
    c.grad[:] = 7
    assert_array_equal(w.data, [1, 2])
    assert_array_equal(w.grad, [2, 4])
    (c * 2).sum().backward()
    assert_array_equal(w.grad, [2, 4])


@every_copy
def test_copies_of_constants(duplicate):
    for constant in (tg.tensor([1, 2]), tg.tensor(1.0, name="c"), t.detach(), (t * 2).detach()):
        c = duplicate(constant)
        assert (c.name, c.requires_grad, c.dtype) == (constant.name, False, constant.dtype)
        assert_array_equal(c.data, constant.data)
        c.data[...] = 0


@every_copy
def test_a_recorded_result_has_no_copy(duplicate):
    with pytest.raises(TypeError, match=r"only leaves and constants can be copied or pickled.*detach\(\) it first"):
        duplicate(t * 2)
    with pytest.raises(TypeError, match="only leaves and constants can be copied"):
        tg.jvp(duplicate, (1.0,), (1.0,))


@every_copy
def test_modules_are_copied_with_their_parameters(duplicate):
    if duplicate is copy.copy:
        return  # a shallow copy shares them
    model = nn.RNN(2, 3, rng=np.random.default_rng(0))
    shared = nn.Module()
    shared.model, shared.again, shared.tied = model, [model], next(model.parameters())
    twin = duplicate(shared)
    assert twin.again[0] is twin.model
    assert twin.tied is next(twin.model.parameters())
    names = [name for name, _ in shared.named_parameters()]
    assert [name for name, _ in twin.named_parameters()] == names
    x = np.ones((4, 2))
    assert_array_equal(twin.model(x)[0].data, model(x)[0].data)
    twin.tied.data[...] = 0
    assert np.any(shared.tied.data)


def test_dlpack_shares_memory():
    c = tg.tensor([1.0, 2.0])
    array = np.from_dlpack(c)
    assert np.shares_memory(array, c.data)
    assert_array_equal(np.from_dlpack(t.detach()), t.data)
    assert_array_equal(np.from_dlpack((t * 2).detach()), t.data * 2)
    for wanted in (t, t * 2):
        with pytest.raises(BufferError, match=r"needs a gradient can't be exported by DLPack; detach\(\) it first"):
            np.from_dlpack(wanted)


def test_dlpack_to_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: DLPack is tried with NumPy only")
    c = tg.tensor([1.0, 2.0])
    there = torch.from_dlpack(c)
    there[0] = 5
    assert c.data[0] == 5
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(t)
