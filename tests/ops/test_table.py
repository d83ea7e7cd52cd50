"""What every operation promises, checked on every row of the table."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import autograd, ops
from tinygrad_rnn.ops import creation
from tinygrad_rnn.primitive import Primitive
from tinygrad_rnn.tape import Node

from .table import IDS, PAIRS, ROWS, SMOOTH, SMOOTH_IDS

every = pytest.mark.parametrize(("row", "case"), PAIRS, ids=IDS)
every_smooth = pytest.mark.parametrize(("row", "case"), SMOOTH, ids=SMOOTH_IDS)


def leaves(case, dtype=np.float64):
    return [tg.tensor(a, dtype=dtype, requires_grad=True) for a in case.arrays]


def directions(case, out, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=out.shape), [rng.normal(size=a.shape) for a in case.arrays]


def gradients(row, case, xs, ct):
    row.f(*xs, **case.kwargs).backward(ct)
    return [x.grad for x in xs]


def primitives():
    """Every primitive of the package, wherever it is defined."""
    found = set()
    for module in pkgutil.walk_packages(tg.__path__, "tinygrad_rnn."):
        if module.name in ("tinygrad_rnn.__main__", "tinygrad_rnn.einops_backend"):  # einops may be missing
            continue
        if module.name.startswith("tinygrad_rnn.scan"):  # the loop's own
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(getattr(value, "primitive", None), Primitive):
                found.add(value.primitive)
    return found


# ----------------------------------------------------------------------------------------------------- the table's rows


def test_every_primitive_has_a_row():
    found = primitives()
    assert len(found) > 20  # the search finds them
    assert {p.name for p in found} == {row.covers for row in ROWS} | {"divide"}
    assert len({p.name for p in found}) == len(found)
    assert [p.name for p in found if p.kind != "elementwise" and p.batch is None] == []


def test_every_operation_has_a_row():
    public = {name for name, value in vars(ops).items() if inspect.isfunction(value)}
    integers = {"argmax", "argmin"}
    assert public - set(creation.__all__) - integers - {row.name for row in ROWS} == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_covers_its_primitive(row):
    case = row.cases[0]
    assert row.covers in {node.op for node in tg.graph(row.f(*leaves(case), **case.kwargs)).nodes}


# -------------------------------------------------------------------------------------------------------------- forward


@every
def test_forward_is_numpys(row, case):
    want = row.oracle(*case.arrays, **case.kwargs)
    for got in (row.f(*case.arrays, **case.kwargs), row.f(*leaves(case), **case.kwargs).data):
        assert got.shape == np.shape(want)
        if row.rtol == 0.0:
            assert_array_equal(got, want)
        else:
            assert_allclose(got, want, rtol=row.rtol, atol=row.rtol)


@every
def test_arrays_give_arrays_and_record_nothing(row, case):
    first = Node(np.zeros(()), False).index
    out = row.f(*case.arrays, **case.kwargs)
    assert isinstance(out, (np.ndarray, np.generic))
    assert Node(np.zeros(()), False).index == first + 1


@every
def test_tensors_give_tensors(row, case):
    first = Node(np.zeros(()), False).index
    out = row.f(*[tg.tensor(a) for a in case.arrays], **case.kwargs)
    assert type(out) is tg.Tensor
    assert not out.requires_grad
    assert Node(np.zeros(()), False).index == first + 1  # nothing needs a gradient, so nothing is recorded
    with tg.no_grad():
        assert not row.f(*leaves(case), **case.kwargs).requires_grad
    assert row.f(*leaves(case), **case.kwargs).requires_grad


# ---------------------------------------------------------------------------------------------------------- derivatives


@every_smooth
def test_derivatives_are_right(row, case):
    """First and second order, forward and reverse mode, each inside the other."""
    tg.check_grads(lambda *xs: row.f(*xs, **case.kwargs), case.arrays)


@every
def test_forward_and_reverse_mode_are_adjoint(row, case):
    """⟨ct, J u⟩ = ⟨Jᵀ ct, u⟩, also at ties and kinks."""
    out, pullback = tg.vjp(lambda *xs: row.f(*xs, **case.kwargs), *case.arrays)
    ct, us = directions(case, out)
    y, dy = tg.jvp(lambda *xs: row.f(*xs, **case.kwargs), case.arrays, us)
    assert_array_equal(y.data, out.data)
    assert dy.shape == out.shape
    reverse = sum(np.vdot(g.data, u) for g, u in zip(pullback(ct), us, strict=True))
    scale = np.linalg.norm(ct) * np.linalg.norm(dy.data)
    assert abs(np.vdot(ct, dy.data) - reverse) <= 1e-13 * scale


@every
def test_an_argument_alone_gets_the_same_gradient(row, case):
    out = row.f(*case.arrays, **case.kwargs)
    ct, _ = directions(case, out)
    together = gradients(row, case, leaves(case), ct)
    for i, a in enumerate(case.arrays):
        x = tg.tensor(a, requires_grad=True)
        row.f(*case.arrays[:i], x, *case.arrays[i + 1 :], **case.kwargs).backward(ct)
        assert_array_equal(x.grad, together[i])


@every
def test_a_tensor_in_every_place_gets_the_sum(row, case):
    first = case.arrays[0]
    if len(case.arrays) == 1 or any(a.shape != first.shape for a in case.arrays) or row.name == "maximum":
        return
    separate = [tg.tensor(first, requires_grad=True) for _ in case.arrays]
    ct, _ = directions(case, row.f(*separate, **case.kwargs))
    want = sum(gradients(row, case, separate, ct))
    x = tg.tensor(first, requires_grad=True)
    row.f(*[x] * len(case.arrays), **case.kwargs).backward(ct)
    assert_allclose(x.grad, want, rtol=1e-14, atol=1e-15)


@every
def test_a_recorded_backward_gives_the_same_gradients(row, case):
    xs = leaves(case)
    ct, _ = directions(case, row.f(*xs, **case.kwargs))
    plain = gradients(row, case, xs, ct)
    recorded = autograd.grad(row.f(*xs, **case.kwargs), xs, ct, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        assert_array_equal(b.data, a)


# -------------------------------------------------------------------------------------------------------------- batches


@every
def test_a_batch_is_worked_out_like_its_examples(row, case):
    """Forward, gradients and tangents, with the examples in all arguments, or in one."""
    rng = np.random.default_rng(5)
    f = lambda *xs: row.f(*xs, **case.kwargs)  # noqa: E731
    out = f(*case.arrays)
    cts = rng.normal(size=(3, *np.shape(out)))
    for batched in {
        (True,) * len(case.arrays),
        *[tuple(i == k for i in range(len(case.arrays))) for k in range(len(case.arrays))],
    }:
        if not any(batched):
            continue
        # Other examples by scaling: what is positive stays so, and ties stay ties.
        many = [np.stack([a, 1.25 * a, 0.75 * a]) if b else a for a, b in zip(case.arrays, batched, strict=True)]
        axes = [0 if b else None for b in batched]

        def everything(ct, *xs):
            y, pullback = tg.vjp(f, *xs)
            return y, pullback(ct), tg.jvp(f, xs, [x * 0.5 for x in xs])[1]

        got = tg.vmap(everything, (0, *axes))(cts, *many)
        for k in range(3):
            want = everything(cts[k], *[a[k] if b else a for a, b in zip(many, batched, strict=True)])
            for g, w in zip((got[0], *got[1], got[2]), (want[0], *want[1], want[2]), strict=True):
                assert g.shape[1:] == w.shape
                assert_allclose(g.data[k], w.data, rtol=1e-12, atol=1e-13)


# --------------------------------------------------------------------------------------------------------------- dtypes


@every
def test_dtypes_are_kept(row, case):
    for dtype in (np.float16, np.float32, np.float64) if row.name != "astype" else ():
        plain = [a.astype(dtype) for a in case.arrays]
        assert row.f(*plain, **case.kwargs).dtype == dtype
        xs = leaves(case, dtype)
        out = row.f(*xs, **case.kwargs)
        assert out.dtype == dtype
        ct = np.ones(out.shape, dtype)
        recorded = autograd.grad(out, xs, ct, create_graph=True)
        out.backward(ct)
        for x, g in zip(xs, recorded, strict=True):
            assert x.grad.dtype == dtype
            assert x.grad.shape == x.shape
            assert g.dtype == dtype
        nodes = [g for g in recorded if g.requires_grad]
        if nodes:  # and nothing in between was wider
            assert {node.dtype for node in tg.graph(*nodes).nodes} == {np.dtype(dtype).name}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_astype_gives_the_gradient_back_in_the_type_of_x(dtype):
    x = tg.tensor([1.0, 2.0], dtype=np.float64, requires_grad=True)
    y = x.astype(dtype)
    assert y.dtype == dtype
    (y * y).sum().backward()
    assert x.grad.dtype == np.float64
    assert_array_equal(x.grad, [2.0, 4.0])
    assert tg.jvp(lambda x: x.astype(dtype), (x.data,), (np.ones(2),))[1].dtype == dtype


@pytest.mark.parametrize("number", [2.0, 2, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("f", [tg.add, tg.subtract, tg.multiply, tg.divide, tg.power, tg.maximum])
def test_python_numbers_never_widen(f, dtype, number):
    x = tg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    condition = np.array([True, False])
    for out in (f(x, number), f(number, x), tg.where(condition, x, number), tg.where(condition, number, x)):
        assert out.dtype == dtype
        (g,) = autograd.grad(out.sum(), x, create_graph=True)
        assert g.dtype == dtype
        if g.requires_grad:
            assert {node.dtype for node in tg.graph(g).nodes} == {np.dtype(dtype).name}
    assert f(x.data, number).dtype == f(number, x.data).dtype == dtype


def test_operands_of_two_widths_each_get_their_own():
    a = tg.tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    b = tg.tensor([3.0, 4.0], dtype=np.float64, requires_grad=True)
    (a * b + a @ b + tg.concatenate([a, b]).sum() + tg.stack([a, b]).sum()).sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)
    assert_array_equal(a.grad, [3 + 6 + 4, 4 + 8 + 4])


def test_integer_operands_are_constants():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    n = np.array([3, 4])
    (x * n + n * x + x**n + n @ x + tg.tensor(n) * x).sum().backward()
    assert_array_equal(x.grad, [3 + 3 + 3 + 6 + 3, 4 + 4 + 32 + 8 + 4])


# --------------------------------------------------------------------------------------------------------------- memory


def every_second(a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]) if a.ndim else ())
    view = wide[..., ::2] if a.ndim else wide
    view[...] = a
    return view


def read_only(a):
    a = np.array(a)
    a.flags.writeable = False
    return a


LAYOUTS = {
    "Fortran order": lambda a: np.array(a, order="F"),
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "every second": every_second,
    "read-only": read_only,
    "broadcast": lambda a: np.broadcast_to(a, a.shape),
    "big-endian": lambda a: a.astype(">f8"),
}


@every
def test_layout_does_not_matter(row, case):
    xs = leaves(case)
    out = row.f(*xs, **case.kwargs)
    ct, _ = directions(case, out)
    out.backward(ct)
    for name, layout in LAYOUTS.items():
        laid_out = [layout(a) for a in case.arrays]
        ys = [tg.asarray(a, requires_grad=True) for a in laid_out]
        y = row.f(*ys, **case.kwargs)
        # The order in which a sum is taken may follow the layout.
        assert_allclose(y.data, out.data, rtol=1e-14, atol=1e-14, err_msg=name)
        y.backward(layout(ct))
        for x, y, a, b in zip(xs, ys, laid_out, case.arrays, strict=True):
            assert_allclose(y.grad, x.grad, rtol=1e-13, atol=1e-13, err_msg=name)
            assert_array_equal(a, b)


def assert_separate(gradients, *others):
    for i, g in enumerate(gradients):
        assert type(g) is np.ndarray
        assert g.flags.writeable
        assert g.flags.owndata
        for other in (*gradients[:i], *others):
            assert not np.shares_memory(g, other)


@every
def test_gradients_share_no_memory(row, case):
    """Not with each other, nor with the inputs, the result, or the cotangent."""
    arrays = [a.copy() for a in case.arrays]
    xs = [tg.asarray(a, requires_grad=True) for a in arrays]
    out = row.f(*xs, **case.kwargs)
    ct, _ = directions(case, out)
    (given,) = autograd.grad(out, out, ct, retain_graph=True)
    assert_separate([given.data], ct)
    found = [g.data for g in autograd.grad(out, xs, ct, retain_graph=True)]
    _, pullback = tg.vjp(lambda *xs: row.f(*xs, **case.kwargs), *arrays)
    pulled = [np.asarray(g) for g in pullback(ct)]
    value = out.data
    out.backward(ct)
    everything = [x.grad for x in xs] + found
    assert_separate(everything, *arrays, ct, value)
    for i, g in enumerate(pulled):
        assert not any(np.shares_memory(g, other) for other in (*pulled[:i], *arrays, ct, value))


@every
def test_recorded_gradients_share_no_memory_with_the_cotangent(row, case):
    xs = leaves(case)
    out = row.f(*xs, **case.kwargs)
    ct, _ = directions(case, out)
    found = [g.data for g in autograd.grad(out, xs, ct, create_graph=True)]
    for i, g in enumerate(found):
        others = (*found[:i], ct) if g.flags.writeable else (ct,)
        assert not any(np.shares_memory(g, other) for other in others)


@every
def test_tangents_share_no_memory_with_the_callers(row, case):
    out = row.f(*case.arrays, **case.kwargs)
    _, us = directions(case, out)
    _, dy = tg.jvp(lambda *xs: row.f(*xs, **case.kwargs), case.arrays, us)
    assert not any(np.shares_memory(dy.data, u) for u in us)


@every
def test_the_inputs_are_left_alone(row, case):
    arrays = [a.copy() for a in case.arrays]
    out = row.f(*[tg.asarray(a, requires_grad=True) for a in arrays], **case.kwargs)
    ct, _ = directions(case, out)
    before = ct.copy()
    out.backward(ct)
    assert_array_equal(ct, before)
    for a, b in zip(arrays, case.arrays, strict=True):
        assert_array_equal(a, b)
