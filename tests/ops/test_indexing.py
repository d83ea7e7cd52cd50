"""Indexing: what the table doesn't say. Indices that differ between examples, writes, cost, and messages."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import ops

rng = np.random.default_rng(8)
x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
s = tg.tensor(1.0, requires_grad=True)
TABLE = rng.normal(size=(5, 3))


def counts(g):
    ops = [node.op for node in tg.graph(g).nodes]
    return {op: ops.count(op) for op in ("scatter", "scatter_rows")}


# ------------------------------------------------------------------------------------------------- every index of NumPy

PARTS = st.one_of(
    st.integers(-3, 2),
    st.builds(slice, *[st.one_of(st.none(), st.integers(-4, 4))] * 2, st.sampled_from([None, 1, 2, -1])),
    st.just(Ellipsis),
    st.none(),
    st.booleans(),
    arrays.arrays(int, arrays.array_shapes(max_dims=2, min_side=0, max_side=2), elements=st.integers(-3, 2)),
    arrays.arrays(bool, st.sampled_from([3, (3, 3)])),
)


@given(st.lists(PARTS, max_size=4).map(tuple), st.randoms(use_true_random=False))
def test_reading_and_writing_are_numpys(index, random):
    a = np.arange(27.0).reshape(3, 3, 3) ** 2
    try:
        want = a[index]
    except IndexError:
        for f in (lambda: ops.getitem(a, index), lambda: ops.set_at(a, index, 0.0), lambda: ops.add_at(a, index, 0.0)):
            with pytest.raises(IndexError, match=r"^(getitem|take|set_at|add_at): "):
                f()
        return
    assert_array_equal(ops.getitem(a, index), want)
    value = np.random.default_rng(random.randrange(1000)).normal(size=want.shape)
    put, added = a.copy(), a.copy()
    put[index] = value
    np.add.at(added, index, value)
    assert_array_equal(ops.set_at(a, index, value), put)
    assert_allclose(ops.add_at(a, index, value), added, rtol=1e-13, atol=1e-13)
    # The same for each example of a batch, wherever NumPy puts the axes of index arrays.
    many, values = np.stack([a, 2 * a]), np.stack([value, -value])
    assert_array_equal(tg.vmap(lambda t: t[index])(many).data, np.stack([t[index] for t in many]))
    got = tg.vmap(lambda t, v: t.at[index].set(v))(many, values)
    assert_array_equal(got.data, np.stack([ops.set_at(t, index, v) for t, v in zip(many, values, strict=True)]))
    _, pullback = tg.vjp(tg.vmap(lambda t: t[index]), many)
    each = [tg.vjp(lambda t: t[index], t)[1](v)[0].data for t, v in zip(many, values, strict=True)]
    assert_allclose(pullback(values)[0].data, np.stack(each), rtol=1e-13, atol=1e-13)


def test_whatever_is_an_integer_is_an_index():
    class Two:
        def __index__(self):
            return 2

    for two in (np.int8(2), np.uint64(2), np.array(2), Two(), tg.tensor(2), tg.tensor(np.array(2, np.uint8))):
        assert x[1, two].item() == 5
        assert x.T[two].data.tolist() == [2, 5]
    assert x[1, np.uint8([2, 2])].data.tolist() == [5, 5]


def test_tensors_of_booleans_are_masks():
    mask = np.array([[True, False, True], [False, False, True]])
    assert_array_equal(x[tg.tensor(mask)].data, x.data[mask])
    assert_array_equal(x[:, tg.tensor(mask[0])].data, x.data[:, mask[0]])
    assert x[np.True_].shape == (1, 2, 3)
    assert x[tg.tensor(False)].shape == (0, 2, 3)


def test_a_slice_is_a_view():
    assert np.shares_memory(x[0].data, x.data)
    assert np.shares_memory(x[..., None, ::2].data, x.data)


def test_in():
    assert 5 in x
    assert 6 not in x
    assert s in x
    assert [3.0, 4.0, 5.0] in x  # any of them, as in NumPy
    assert np.nan not in tg.tensor([np.nan])
    with pytest.raises(TypeError, match="one of many examples"):
        tg.vmap(lambda x: x * (1.0 in x))(np.ones((2, 3)))


# --------------------------------------------------------------------------------------------------- traced indices


@pytest.mark.parametrize("tokens", [rng.integers(0, 5, 4), rng.integers(-5, 5, (4, 2)), np.zeros((4, 0), int)])
@pytest.mark.parametrize("batched", [False, True], ids=["one table", "a table each"])
@pytest.mark.parametrize(
    "read",
    [lambda t, i: tg.asarray(t)[i], lambda t, i: tg.asarray(t)[i,], lambda t, i: tg.take(t, i, 0)],
    ids=["[]", "[,]", "take"],
)
def test_each_example_reads_its_own_rows(tokens, batched, read):
    table = rng.normal(size=(4, 5, 3)) if batched else TABLE
    axes = (0 if batched else None, 0)
    loss = lambda t, i: (read(t, i) ** 3).sum()  # noqa: E731
    alone = [(table[k] if batched else table, tokens[k]) for k in range(4)]
    assert_allclose(tg.vmap(read, axes)(table, tokens).data, [t[i] for t, i in alone])
    # The gradient inside, for each example; outside, for all; and the derivative of the one inside.
    inside = tg.vmap(tg.grad(loss), axes)(table, tokens).data
    want = np.stack([tg.grad(loss)(t, i).data for t, i in alone])
    assert_allclose(inside, want, rtol=1e-13, atol=1e-14)
    outside = tg.grad(lambda t: tg.vmap(loss, axes)(t, tokens).sum())(table).data
    assert_allclose(outside, want if batched else want.sum(0), rtol=1e-13, atol=1e-14)
    hvp = tg.vmap(lambda t, i: tg.hvp(lambda t: loss(t, i), t, t), axes)(table, tokens).data
    assert_allclose(hvp, 2 * want, rtol=1e-12, atol=1e-13)


def test_one_table_is_not_spread_over_the_examples():
    t = tg.tensor(TABLE, requires_grad=True)
    y = tg.vmap(lambda i: t[i] ** 2)(rng.integers(0, 5, (100, 2)))
    (g,) = tg.autograd.grad(y.sum(), [t], create_graph=True)
    assert max(np.prod(node.shape) for node in tg.graph(g).nodes) == 100 * 2 * 3


def test_vmaps_nest():
    tables, tokens = rng.normal(size=(2, 5, 3)), rng.integers(0, 5, (2, 3, 4))
    want = np.stack([[tables[a][tokens[a, b]] for b in range(3)] for a in range(2)])
    for f in (
        tg.vmap(tg.vmap(lambda t, i: t[i], (None, 0))),
        tg.vmap(lambda t, i: tg.vmap(lambda i: t[i])(i)),
    ):
        assert_array_equal(f(tables, tokens).data, want)
    crossed = tg.vmap(tg.vmap(lambda t, i: t[i], (0, None)), (None, 0))(tables, tokens[0])
    assert_array_equal(crossed.data, np.stack([[t[i] for t in tables] for i in tokens[0]]))


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_take_and_take_along_axis_in_a_batch(axis):
    many, indices = rng.normal(size=(3, 2, 2)), rng.integers(0, 2, (3, 2, 2))
    got = tg.vmap(lambda t, i: tg.take(t, i, axis, mode="clip"))(many, indices)
    assert_array_equal(got.data, np.stack([np.take(t, i, axis) for t, i in zip(many, indices, strict=True)]))
    if axis is None:
        indices = indices.reshape(3, 4)
    for axes in ((0, 0), (0, None), (None, 0)):
        pairs = [[a if b is None else a[k] for a, b in zip((many, indices), axes, strict=True)] for k in range(3)]
        if None in axes:
            pairs = [[a[0] if b is None else a for a, b in zip(pair, axes, strict=True)] for pair in pairs]
        args = [a[0] if b is None else a for a, b in zip((many, indices), axes, strict=True)]
        got = tg.vmap(lambda t, i: tg.take_along_axis(t, i, axis), axes)(*args)
        assert_array_equal(got.data, np.stack([np.take_along_axis(t, i, axis) for t, i in pairs]))


def test_a_named_index_is_seen_in_the_graph():
    tokens = tg.tensor([1, 1])
    tokens.name = "tokens"
    nodes = tg.graph((x[tokens] * 2).sum()).nodes
    assert "tokens" in {node.name for node in nodes}


# -------------------------------------------------------------------------------------------- indices that are changed


@pytest.mark.parametrize(
    "read",
    [
        lambda x, i: x[i],
        lambda x, i: x[:, i],
        lambda x, i: tg.take(x, i, 0),
        lambda x, i: tg.take_along_axis(x, i[:, None], 0),
        lambda x, i: x.at[i].set(x[0] * 2),
        lambda x, i: x.at[i].add(x[0] * 2),
        lambda x, i: x[tg.asarray(i)],
        lambda x, i: tg.take(x, tg.asarray(i), 0),
    ],
)
def test_an_index_array_may_be_changed_afterwards(read):
    t, index = tg.tensor(np.eye(3), requires_grad=True), np.array([0, 2, 0])
    read(t, index.copy()).sum().backward()
    want, t.grad = t.grad, None
    y = read(t, index).sum()
    index[:] = 1
    y.backward()
    assert_array_equal(t.grad, want)


def test_a_change_of_a_named_index_is_found_out():
    index = tg.tensor([0, 0])
    index.name = "tokens"
    y = x[index].sum()
    index.data[:] = 1
    with pytest.raises(RuntimeError, match=r"the array of tokens .* was written to"):
        y.backward()


# -------------------------------------------------------------------------------------------------------------- pooling


def test_a_table_read_many_times_costs_one_array():
    t = tg.tensor(TABLE, requires_grad=True)
    tokens = rng.integers(-5, 5, (20, 4))
    uses = [t[i] for i in tokens] + [tg.take(t, i, 0) for i in tokens] + [t[[3]], tg.take(t, 2, 0)]
    loss = sum((u**2).sum() for u in uses)
    (plain,) = tg.autograd.grad(loss, [t], retain_graph=True)
    (g,) = tg.autograd.grad(loss, [t], create_graph=True)
    assert counts(g) == {"scatter": 0, "scatter_rows": 1}
    want = np.zeros_like(TABLE)
    np.add.at(want, tokens, 4 * TABLE[tokens])
    want[[2, 3]] += 2 * TABLE[[2, 3]]
    assert_allclose(plain.data, want, rtol=1e-13)
    assert_array_equal(g.data, plain.data)
    (again,) = tg.autograd.grad((g * g).sum(), [t])
    number = np.bincount(tokens.ravel() % 5, minlength=5) * 4 + np.isin(np.arange(5), [2, 3]) * 2
    assert_allclose(again.data, 2 * number[:, None] ** 2 * TABLE, rtol=1e-13)


def test_uses_of_different_kinds_are_not_mixed_up():
    t = tg.tensor(TABLE, requires_grad=True)
    along = rng.integers(0, 3, (5, 2))
    loss = (t[[4, 4]] ** 2).sum() + (tg.take(t, [7, -1], 0, mode="wrap") ** 2).sum()
    loss = loss + (tg.take_along_axis(t, along, 1) ** 2).sum() + (t[1] ** 2).sum()
    loss.backward()
    want = np.zeros_like(TABLE)
    for row in (4, 4, 2, 4, 1):
        want[row] += 2 * TABLE[row]
    for row, column in enumerate(along):
        np.add.at(want[row], column, 2 * TABLE[row, column])
    assert_allclose(t.grad, want, rtol=1e-14)


def test_many_examples_that_each_read_many_times_are_pooled_too():
    tables, tokens = rng.normal(size=(2, 5, 3)), rng.integers(0, 5, (2, 20))
    t = tg.tensor(tables, requires_grad=True)
    y = tg.vmap(lambda t, i: sum(t[i[k]] ** 2 for k in range(20)))(t, tokens)
    (g,) = tg.autograd.grad(y.sum(), [t], create_graph=True)
    assert counts(g)["scatter_rows"] == 1
    want = np.zeros_like(tables)
    for k in range(2):
        np.add.at(want[k], tokens[k], 2 * tables[k][tokens[k]])
    assert_allclose(g.data, want, rtol=1e-13)


# --------------------------------------------------------------------------------------------------- functional writes


def test_set_and_add():
    t = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert t.at[0].set(9).data.tolist() == [9, 2, 3]
    assert t.at[[2, 2]].add([1, 10]).data.tolist() == [1, 2, 14]
    assert t.data.tolist() == [1, 2, 3]
    assert type(ops.set_at(np.zeros(2), 0, 1.0)) is np.ndarray


def test_the_last_value_for_a_place_stays_and_gets_the_gradient():
    t, v = tg.tensor(np.zeros(3), requires_grad=True), tg.tensor([1.0, 2.0, 4.0], requires_grad=True)
    y = t.at[[1, 1, 0]].set(v)
    assert y.data.tolist() == [4, 2, 0]
    y.backward([10.0, 20.0, 30.0])
    assert t.grad.tolist() == [0, 0, 30]
    assert v.grad.tolist() == [0, 20, 10]


def test_what_is_overwritten_may_be_nan():
    t = tg.tensor([np.nan, 1.0], requires_grad=True)
    (t.at[0].set(2.0) ** 2).sum().backward()
    assert t.grad.tolist() == [0, 2]


def test_added_values_all_count():
    v = tg.tensor([1.0, 2.0, 4.0], requires_grad=True)
    (tg.tensor(np.zeros(2)).at[[1, 1, 0]].add(v) ** 2).sum().backward()
    assert v.grad.tolist() == [6, 6, 8]


def test_a_written_array_keeps_its_type():
    for dtype in (np.float16, np.float32):
        t = tg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
        wide = tg.tensor([3.0], requires_grad=True)
        for y in (t.at[0].set(wide), t.at[0].add(wide), t.at[:1].set(0.5), t.at[0].add(np.float64(2))):
            assert y.dtype == dtype
        (t.at[:1].set(wide) * t).sum().backward()
        assert (t.grad.dtype, wide.grad.dtype) == (dtype, np.float64)
    assert tg.tensor([1, 2]).at[0].set(5).data.tolist() == [5, 2]


def test_writing_step_by_step_is_stacking():
    """A loop that fills an array, and one that stacks what it has."""

    def filled(h):
        ys = tg.asarray(np.zeros((4, 3)))
        for k in range(4):
            h = tg.tanh(h)
            ys = ys.at[k].set(h)
        return ys

    def stacked(h):
        hs = [h := tg.tanh(h) for _ in range(4)]
        return tg.stack(hs)

    h, ct = rng.normal(size=3), rng.normal(size=(4, 3))
    (a, pull_a), (b, pull_b) = tg.vjp(filled, h), tg.vjp(stacked, h)
    assert_array_equal(a.data, b.data)
    assert_allclose(pull_a(ct)[0].data, pull_b(ct)[0].data, rtol=1e-14)


# ------------------------------------------------------------------------------------------------------------- messages


def each(f):
    return lambda: tg.vmap(f)(np.array([0, 1]))


WANT = "an index must be integers, slices, ..., None or arrays of integers or booleans, got "
TRACED = (
    "inside vmap only integers that index the first axis alone may differ from example to example, as in x[i]; "
    "use take(x, i, axis) for another axis, and where() for a mask"
)
CASES = {
    "float": (lambda: x[1.5], IndexError, f"getitem: {WANT}1.5"),
    "floats": (lambda: x[0, [0.5]], IndexError, f"getitem: {WANT}[0.5]"),
    "array of floats": (lambda: x[np.zeros(2)], IndexError, f"getitem: {WANT}dtype float64"),
    "ragged": (lambda: x[[[1], [1, 2]]], IndexError, f"getitem: {WANT}[[1], [1, 2]]"),
    "object": (lambda: x[{}], IndexError, f"getitem: {WANT}{{}}"),
    "range": (lambda: x[0, [7]], IndexError, "getitem: index 7 is out of bounds for axis 1 with size 3"),
    "rows, range": (lambda: x[[0, -3]], IndexError, "take: index -3 is out of bounds for axis 0 with size 2"),
    "0-d": (lambda: s[[0]], IndexError, "take: too many indices for array: array is 0-dimensional"),
    "mask": (
        lambda: x[:, [True, False]],
        IndexError,
        "getitem: boolean index did not match indexed array along axis 1",
    ),
    "slice": (lambda: x[0:1.5], TypeError, "getitem: slice indices must be integers or None"),
    "each, position": (each(lambda i: x[:, i]), IndexError, f"getitem: {TRACED}"),
    "each, two": (each(lambda i: x[i, 0]), IndexError, f"getitem: {TRACED}"),
    "each, mask": (each(lambda i: x[i > 0]), IndexError, f"getitem: {TRACED}"),
    "each, write": (each(lambda i: x.at[i].set(1.0)), IndexError, f"set_at: {TRACED}"),
    "each, range": (each(lambda i: x[i + 5]), IndexError, "take: index 5 is out of bounds for axis 0 with size 2"),
    "take, floats": (lambda: tg.take(x, [0.5]), TypeError, "take: indices must be integers, got dtype float64"),
    "take, mask": (lambda: tg.take(x, [True]), TypeError, "take: indices must be integers, got dtype bool"),
    "take, ragged": (
        lambda: tg.take(x, [[1], [1, 2]]),
        ValueError,
        "take: indices must be a regular array of integers",
    ),
    "take, mode": (
        lambda: tg.take(x, [0], mode="x"),
        ValueError,
        "take: mode must be 'raise', 'wrap' or 'clip', got 'x'",
    ),
    "take, axis": (lambda: tg.take(x, [0], 2), ValueError, "take: axis 2 is out of range for 2 axes"),
    "take, nothing": (
        lambda: tg.take(np.zeros((0, 2)), [0], 0, mode="wrap"),
        IndexError,
        "take: there is no element to take from an axis of length 0",
    ),
    "take_along_axis, axes": (
        lambda: tg.take_along_axis(x, [0, 1], 1),
        ValueError,
        "take_along_axis: indices of shape (2,) must have as many axes as x of shape (2, 3)",
    ),
    "take_along_axis, shapes": (
        lambda: tg.take_along_axis(x, np.zeros((3, 1), int), 1),
        ValueError,
        "take_along_axis: x of shape (2, 3) and indices of shape (3, 1) don't broadcast beside axis 1",
    ),
    "take_along_axis, floats": (
        lambda: tg.take_along_axis(x, [[0.0]], 1),
        TypeError,
        "take_along_axis: indices must be integers, got dtype float64",
    ),
    "set, shape": (
        lambda: x.at[0].set([1.0, 2.0]),
        ValueError,
        "set_at: a value of shape (2,) doesn't broadcast to that of x[index], (3,)",
    ),
    "add, shape": (lambda: x.at[:, 0].add(np.ones(3)), ValueError, "add_at: a value of shape (3,) doesn't broadcast"),
    "set, range": (lambda: x.at[5].set(1.0), IndexError, "set_at: index 5 is out of bounds for axis 0 with size 2"),
    "set, float": (lambda: x.at[1.5].set(1.0), IndexError, f"set_at: {WANT}1.5"),
    "set, dtype": (
        lambda: tg.tensor([1, 2]).at[0].set(1.5),
        TypeError,
        "set_at: a value of dtype float64 doesn't fit into an array of dtype int64",
    ),
    "add, None": (lambda: x.at[0].add(None), TypeError, "add_at: a value of dtype object doesn't fit into"),
    "setitem": (
        lambda: x.__setitem__(0, 1.0),
        TypeError,
        "a tensor can't be assigned to in place: the tape may need the old values. "
        "x.at[index].set(value) and .add(value) make a new one",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), CASES.values(), ids=CASES)
def test_message(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
