"""Random programs: operations put together in ways nobody thought of, against PyTorch, finite differences, themselves.

A program is a list of steps, each an operation on earlier results (`operations.py`). What no later step uses is the
result, so nothing that was drawn is in vain.

Indices and `einsum`'s subscripts are drawn too, against NumPy's own.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from operations import OPERATIONS, SEEDS, Step, indices, last_writer, steps_on

import tinygrad_rnn as tg
from tinygrad_rnn import autograd

# ------------------------------------------------------------------------------------------------------------- indices

SHAPES = st.lists(st.sampled_from([2, 3, 4, 1, 0]), max_size=3).map(tuple)


@st.composite
def arrays_and_indices(draw):
    shape = draw(SHAPES)
    return np.random.default_rng(draw(SEEDS)).normal(size=shape), draw(indices(shape))


@given(arrays_and_indices(), SEEDS)
@settings(max_examples=120)
def test_reading_at_any_index(x_and_index, seed):
    """The gradient of x[index] is the cotangent added up by `np.add.at`."""
    array, index = x_and_index
    x = tg.tensor(array, requires_grad=True)
    out = x[index]
    assert_array_equal(out.data, array[index])
    ct = np.random.default_rng(seed).normal(size=out.shape)
    want = np.zeros(array.shape)
    np.add.at(want, index, ct)
    (recorded,) = autograd.grad(out, x, ct, create_graph=True)
    (x[index] * 1).backward(ct)
    assert_allclose(x.grad, want, rtol=1e-15, atol=1e-15)
    assert_array_equal(recorded.data, x.grad)
    assert_array_equal(tg.jvp(lambda x: x[index], (array,), (2 * array,))[1].data, 2 * array[index])
    many = np.stack([array, 2 * array, -array])
    assert_array_equal(tg.vmap(lambda x: x[index])(many).data, np.stack([a[index] for a in many]))
    pulled = tg.vmap(lambda x, ct: tg.vjp(lambda x: x[index], x)[1](ct)[0])(many, np.stack([ct, ct * 2, ct * 0]))
    assert_allclose(pulled.data, np.stack([want, want * 2, want * 0]), rtol=1e-15, atol=1e-15)


@given(arrays_and_indices(), st.data())
@settings(max_examples=120)
def test_writing_at_any_index(x_and_index, data):
    """Of several values for one place the last stays and alone gets a gradient; of those added, all do."""
    array, index = x_and_index
    place = array[index].shape
    shape = data.draw(st.sampled_from([place, (), place[1:], tuple(1 for _ in place)]))
    rng = np.random.default_rng(data.draw(SEEDS))
    put = rng.normal(size=shape)
    spread, ct = np.broadcast_to(put, place), rng.normal(size=array.shape)
    writer = last_writer(array.shape, index)

    x, value = tg.tensor(array, requires_grad=True), tg.tensor(put, requires_grad=True)
    out = x.at[index].set(value)
    want = np.where(writer < 0, array, np.append(spread.ravel(), 0)[writer])
    assert_array_equal(out.data, want)
    out.backward(ct)
    assert_array_equal(x.grad, np.where(writer < 0, ct, 0))
    each = np.zeros(spread.size)
    each[writer[writer >= 0]] = ct[writer >= 0]
    assert_allclose(value.grad, summed_to(each.reshape(place), shape), rtol=1e-14, atol=1e-14)

    x, value = tg.tensor(array, requires_grad=True), tg.tensor(put, requires_grad=True)
    out = x.at[index].add(value)
    want = array.copy()
    np.add.at(want, index, spread)
    assert_allclose(out.data, want, rtol=1e-14, atol=1e-14)
    out.backward(ct)
    assert_array_equal(x.grad, ct)
    assert_allclose(value.grad, summed_to(ct[index], shape), rtol=1e-14, atol=1e-14)


def summed_to(x, shape):
    """Summed over the axes along which an array of that shape is broadcast to x's."""
    x = np.sum(x, axis=tuple(range(x.ndim - len(shape))))
    return np.sum(x, axis=tuple(a for a, n in enumerate(shape) if n == 1), keepdims=True)


# -------------------------------------------------------------------------------------------------------------- einsum


@st.composite
def einsums(draw):
    """Subscripts and shapes that fit them: letters repeated, `...`, axes of length 1 that broadcast."""
    lengths = {a: draw(st.sampled_from([2, 3, 1, 0])) for a in "ijk"}
    hidden = draw(st.sampled_from([(), (2,), (3, 2)]))
    terms, shapes, hides = [], [], False
    for _ in range(draw(st.integers(1, 3))):
        letters = draw(st.lists(st.sampled_from("ijk"), max_size=3))
        ones = {a for a in "ijk" if draw(st.integers(0, 5)) == 5}
        shape = [1 if a in ones else lengths[a] for a in letters]
        if draw(st.booleans()):
            own = [draw(st.sampled_from([n, n, 1])) for n in hidden[draw(st.integers(0, len(hidden))) :]]
            place = draw(st.integers(0, len(letters)))
            shape[place:place], letters[place:place], hides = own, ["..."], True
        terms.append("".join(letters))
        shapes.append(tuple(shape))
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        used = sorted({a for a in subscripts if a.isalpha()})
        output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
        output.insert(draw(st.integers(0, len(output))), "..." if hides else "")
        subscripts += "->" + "".join(output)
    rng = np.random.default_rng(draw(SEEDS))
    return subscripts, [rng.normal(size=shape) for shape in shapes]


@given(einsums(), SEEDS, st.sampled_from([False, True, "greedy", "optimal"]))
@settings(max_examples=150)
def test_any_einsum(subscripts_and_arrays, seed, optimize):
    """It is NumPy's, and linear in each operand: its derivative along one is it of a unit vector in that place."""
    subscripts, arrays = subscripts_and_arrays
    want = np.einsum(subscripts, *arrays)
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    out = tg.einsum(subscripts, *xs, optimize=optimize)
    assert out.shape == want.shape
    assert_allclose(out.data, want, rtol=1e-12, atol=1e-12)
    ct = np.random.default_rng(seed).normal(size=want.shape)
    out.backward(ct)
    for i, (x, a) in enumerate(zip(xs, arrays, strict=True)):
        units = np.eye(a.size).reshape(a.size, *a.shape)
        gradient = [np.vdot(ct, np.einsum(subscripts, *arrays[:i], unit, *arrays[i + 1 :])) for unit in units]
        assert_allclose(x.grad, np.reshape(gradient, a.shape), rtol=1e-11, atol=1e-11)


# ------------------------------------------------------------------------------------------------------------- programs


@dataclass(frozen=True)
class Program:
    """A function of as many arrays as there are leaves; its result is one axis of all numbers that no step uses."""

    leaves: list[np.ndarray]
    steps: list[Step]
    order: list[int] | None = None  # in which the steps are taken, if not as they stand

    @property
    def ends(self):
        used = {i for step in self.steps for i in step.places}
        return [i for i in range(len(self.leaves) + len(self.steps)) if i not in used]

    def values(self, m, leaves):
        found = dict(enumerate(leaves))
        for i in self.order or range(len(self.steps)):
            found[len(leaves) + i] = self.steps[i](m, found)
        return found

    def __call__(self, *leaves, m=tg):
        values = self.values(m, leaves)
        return m.concatenate([m.ravel(values[i]) for i in self.ends])

    def terms(self, *leaves):
        """A number for each part of the result, on which all of its numbers have their own influence."""
        values = self.values(tg, leaves)
        return [(tg.ravel(v) * np.linspace(0.5, 1.5, v.size).astype(v.dtype)).sum() for v in map(values.get, self.ends)]

    def scalar(self, *leaves):
        """Of several terms the product with the first, so that the Hessian mixes all."""
        first, *others = self.terms(*leaves)
        return tg.sin(first) + sum(term * (1 + tg.cos(first)) for term in others)

    def tensors(self, dtype=float):
        return [tg.tensor(a, dtype=dtype, requires_grad=True) for a in self.leaves]

    def directions(self, seed=0):
        rng = np.random.default_rng(seed)
        return rng.normal(size=self(*self.leaves).shape), [rng.normal(size=a.shape) for a in self.leaves]


LEAVES = [(2, 3), (3,), (3, 3), (), (3, 2), (2, 1, 3), (1, 3), (2, 2, 2), (1,), (0, 3), (2, 0)]
NAMES = [name for name, operation in OPERATIONS.items() if not operation.looks_up]


@st.composite
def programs(draw, longest=10, among=NAMES):
    """Programs of up to so many steps, of which every other one is to be among some operations."""
    rng = np.random.default_rng(draw(SEEDS))
    leaves = [rng.uniform(-2, 2, shape) for shape in draw(st.lists(st.sampled_from(LEAVES), min_size=1, max_size=3))]
    steps, _ = draw(steps_on(leaves, longest, among, lambda k, n: range(max(0, n - 4), n)))
    assume(steps)
    return Program(leaves, steps)


# ------------------------------------------------------------------------------------------------------- against others


with_each = pytest.mark.parametrize("name", NAMES)


@with_each
@given(data=st.data())
@settings(max_examples=4)
def test_values_and_gradients_are_pytorchs(name, data):
    program = data.draw(programs(longest=6, among=(name,)))
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    xs, ys = program.tensors(), [torch.tensor(a, requires_grad=True) for a in program.leaves]
    ours, theirs = program(*xs), program(*ys, m=torch)
    assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)
    ct, _ = program.directions()
    ours.backward(ct)
    theirs.backward(torch.tensor(ct))
    for x, y in zip(xs, ys, strict=True):
        assert_allclose(x.grad, y.grad.numpy(), rtol=1e-10, atol=1e-10)


@with_each
@given(data=st.data())
@settings(max_examples=4)
def test_derivatives_are_those_of_finite_differences(name, data):
    program = data.draw(programs(longest=6, among=(name,)))
    tg.check_grads(program, program.leaves, order=1)


@given(programs(longest=4))
@settings(max_examples=25)
def test_second_derivatives_are_those_of_finite_differences(program):
    tg.check_grads(program, program.leaves, order=2)


# ------------------------------------------------------------------------------------------- one mode against the other


def assert_close(got, want, rtol=1e-12):
    """Equal to rounding, of the largest number in either tree of arrays."""
    got, want = [[np.asarray(x) for x in tree] for tree in (got, want)]
    scale = max([np.max(np.abs(w), initial=0) for w in want], default=0)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        assert_allclose(g, w, rtol=0, atol=rtol * max(scale, 1))


def dot(xs, ys):
    return sum(np.vdot(np.asarray(x), np.asarray(y)) for x, y in zip(xs, ys, strict=True))


@given(programs())
def test_the_pullback_is_linear(program):
    ct, _ = program.directions()
    other, _ = program.directions(seed=1)
    _, pullback = tg.vjp(program, *program.leaves)
    one, two, both = pullback(ct), pullback(other), pullback(2 * ct - 3 * other)
    assert_close(both, [2 * a.data - 3 * b.data for a, b in zip(one, two, strict=True)])


@given(programs())
def test_forward_and_reverse_mode_are_adjoint(program):
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩."""
    u, v = program.directions()
    y, moved = tg.jvp(program, program.leaves, v)
    out, pullback = tg.vjp(program, *program.leaves)
    assert_array_equal(y.data, out.data)
    assert_array_equal(out.data, program(*program.tensors()).data)
    terms = [np.abs(u * moved.data).sum(), *[np.abs(a * b.data).sum() for a, b in zip(v, pullback(u), strict=True)]]
    assert abs(np.vdot(u, moved.data) - dot(pullback(u), v)) <= 1e-12 * max(1, *terms)


@given(programs())
@settings(max_examples=30)
def test_jacobians_by_rows_and_by_columns_are_equal(program):
    by = tuple(range(len(program.leaves)))
    rows = tg.jacobian(program, by, mode="reverse")(*program.leaves)
    columns = tg.jacobian(program, by, mode="forward")(*program.leaves)
    assert_close(columns, rows)
    ct, _ = program.directions()
    pulled = tg.vjp(program, *program.leaves)[1](ct)
    assert_close([np.tensordot(ct, J.data, 1) for J in rows], pulled)


@given(programs())
def test_a_batch_is_worked_out_like_its_examples(program):
    u, v = program.directions()

    def everything(u, xs):
        y, pullback = tg.vjp(program, *xs)
        return [y, *pullback(u), tg.jvp(program, xs, v)[1]]

    scales = [1.0, 1.03125, 0.96875]
    many = [np.stack([s * a for s in scales]) for a in program.leaves]
    got = tg.vmap(everything)(np.stack([s * u for s in scales]), many)
    for k, s in enumerate(scales):
        assert_close([g.data[k] for g in got], everything(s * u, [s * a for a in program.leaves]), rtol=1e-11)


@given(programs())
def test_the_hessian_is_symmetric(program):
    """⟨u, H v⟩ = ⟨v, H u⟩, H v in forward over reverse; and it is that of reverse over reverse."""
    (_, u), (_, v) = program.directions(), program.directions(seed=1)
    Hu, Hv = [tg.hvp(lambda xs: program.scalar(*xs), program.leaves, w) for w in (u, v)]
    scale = max(1, *[np.abs(a * b.data).sum() for a, b in zip((*u, *v), (*Hv, *Hu), strict=True)])
    assert abs(dot(u, Hv) - dot(v, Hu)) <= 1e-11 * scale
    xs = program.tensors()
    gradients = autograd.grad(program.scalar(*xs), xs, create_graph=True)
    along = sum((g * w).sum() for g, w in zip(gradients, v, strict=True))
    along.backward()
    assert_close([x.grad for x in xs], Hv, rtol=1e-11)


@given(programs())
def test_a_checkpoint_gives_the_same_gradients(program):
    xs, ys = program.tensors(), program.tensors()
    ct, _ = program.directions()
    program(*xs).backward(ct)
    tg.checkpoint(program)(*ys).backward(ct)
    assert_close([y.grad for y in ys], [x.grad for x in xs])


# -------------------------------------------------------------------------------------------- what makes no difference


@given(programs())
def test_how_gradients_are_asked_for_makes_no_difference(program):
    """Together, one by one, recorded, from a graph that is kept, with names, by `backward`: to the last bit."""
    xs = program.tensors()
    out, (ct, _) = program(*xs), program.directions()
    together = [g.data for g in autograd.grad(out, xs, ct, retain_graph=True)]
    alone = [autograd.grad(out, x, ct, retain_graph=True)[0].data for x in xs]
    recorded = [g.data for g in autograd.grad(out, xs, ct, create_graph=True)]
    out.backward(ct)
    named = [tg.tensor(a, requires_grad=True, name=f"x{i}") for i, a in enumerate(program.leaves)]
    program(*named).backward(ct)
    lone = []
    for i, a in enumerate(program.leaves):
        x = tg.tensor(a, requires_grad=True)
        program(*program.leaves[:i], x, *program.leaves[i + 1 :]).backward(ct)
        lone.append(x.grad)
    for i, want in enumerate(together):
        for got in (alone[i], recorded[i], xs[i].grad, named[i].grad, lone[i]):
            assert_array_equal(got, want)


@st.composite
def reordered_programs(draw):
    """A program, and the same one with its steps in another order that has each after those it needs."""
    program = draw(programs())
    first = len(program.leaves)
    waiting, order = list(range(len(program.steps))), []
    while waiting:
        ready = [i for i in waiting if all(j < first or j - first in order for j in program.steps[i].places)]
        order.append(draw(st.sampled_from(ready[::-1])))
        waiting.remove(order[-1])
    return program, Program(program.leaves, program.steps, order)


@given(reordered_programs())
def test_the_order_in_which_the_graph_was_built_makes_no_difference(both):
    xs, ys = [program.tensors() for program in both]
    one, other = [program(*zs) for program, zs in zip(both, (xs, ys), strict=True)]
    assert_array_equal(other.data, one.data)
    ct, _ = both[0].directions()
    one.backward(ct)
    other.backward(ct)
    assert_close([y.grad for y in ys], [x.grad for x in xs])


@given(programs(), st.randoms(use_true_random=False))
def test_the_order_of_a_sums_terms_makes_no_difference(program, random):
    xs, ys = program.tensors(), program.tensors()
    terms, shuffled = program.terms(*xs), program.terms(*ys)
    random.shuffle(shuffled)
    for total in (terms, shuffled):
        sum(total[1:], total[0]).backward()
    assert_close([y.grad for y in ys], [x.grad for x in xs])


# --------------------------------------------------------------------------------------------------------------- dtypes


@given(programs(), st.sampled_from([np.float16, np.float32]))
def test_dtypes_are_kept_everywhere(program, dtype):
    xs = program.tensors(dtype)
    out = program(*xs)
    ct = np.ones(out.shape, dtype)
    with np.errstate(all="ignore"):  # float16 may overflow; here only its type counts
        found = autograd.grad(out, xs, ct, create_graph=True)
    assert {node.dtype for node in tg.graph(out, *[g for g in found if g.requires_grad]).nodes} == {
        np.dtype(dtype).name
    }
    assert {g.dtype for g in found} == {np.dtype(dtype)}
    assert tg.jvp(program, xs, [np.ones(x.shape, dtype) for x in xs])[1].dtype == dtype


@given(programs(longest=5))
def test_gradients_in_float32_are_those_in_float64(program):
    """Of short programs: nine exponentials one upon the other would make a large error of the first one's rounding."""
    single = [a.astype(np.float32) for a in program.leaves]
    xs, ys = [[tg.tensor(a, dtype=dtype, requires_grad=True) for a in single] for dtype in (np.float32, np.float64)]
    ct = np.ones(program(*single).shape)
    program(*xs).backward(ct.astype(np.float32))
    program(*ys).backward(ct)
    assert_close([x.grad for x in xs], [y.grad for y in ys], rtol=1e-4)
