"""A write to an array that a pending backward needs is found out; no other write is complained about."""

import re
import sys
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

RNG = np.random.default_rng(0)


def leaf(values, name=None, dtype=None):
    return tg.tensor(values, dtype=dtype, requires_grad=True, name=name)


def refused(loss, name, *leaves):
    """The backward of `loss` says that `name` was written to, and leaves every gradient as it was."""
    before = [None if p.grad is None else p.grad.copy() for p in leaves]
    with pytest.raises(RuntimeError, match=rf"backward: .*{re.escape(name)}.*was written to .*before this backward"):
        loss.backward()
    for p, g in zip(leaves, before, strict=True):
        assert (p.grad is None) if g is None else (p.grad == g).all()


# ------------------------------------------------------------------------------------------------------ kinds of writes

SHAPES = [(), (1,), (3,), (5, 7), (32, 32), (33, 31), (1024,), (1025,), (64, 65), (4096,), (129, 130), (300, 301)]


def whole(a):
    a[...] = a + 1


def first(a):
    a.flat[0] += 1


def last(a):
    a.flat[-1] += 1


def middle(a):
    a.flat[a.size // 2] += 1e-9


def swapped(a):
    a.flat[[0, -1]] = a.flat[[-1, 0]]


def neighbours(a):
    i = a.size // 2
    a.flat[[i - 1, i]] = a.flat[[i, i - 1]]


def last_byte(a):
    a.reshape(-1).view(np.uint8)[-1] ^= 1


def first_bit(a):
    a.reshape(-1).view(np.uint8)[0] ^= 1


def negated(a):
    a *= -1


def two_negated(a):
    a.flat[[0, -1]] *= -1


def next_two_negated(a):
    a.reshape(-1)[:2] *= -1


def doubled(a):
    a *= 2


def zeroed(a):
    a[...] = 0


def turned_round(a):
    a[...] = a[::-1].copy() if a.ndim else -a


def rolled(a):
    a[...] = np.roll(a, 1) if a.size > 1 else -a


WRITES = [whole, first, last, middle, swapped, neighbours, last_byte, first_bit, negated, two_negated, next_two_negated]
WRITES += [doubled, zeroed, turned_round, rolled]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("write", WRITES, ids=lambda w: w.__name__)
def test_any_write_to_a_parameter_is_found_out(write, dtype):
    for shape in SHAPES:
        p = leaf(RNG.standard_normal(shape), "p", dtype)
        before = p.data.copy()
        loss = (p * p).sum()
        write(p.data)
        if p.data.tobytes() != before.tobytes():
            refused(loss, "p", p)


@pytest.mark.parametrize("size", [100, 1024, 3000])
def test_any_one_hot_that_moves_is_found_out(size):
    """Values with few bits set, all alike: the hardest case for a checksum."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        i, j = rng.integers(0, size, 2)
        if i == j:
            continue
        target = np.zeros(size)
        target[i] = 1
        p = leaf(np.ones(size))
        loss = (p * target).sum()
        target[[i, j]] = target[[j, i]]
        refused(loss, "argument 2", p)


def test_one_hots_that_move_far_are_found_out():
    """544, 628, 671 and 814 once had checksum weights that agree in the bits that matter for 1.0."""
    for i, j in [(544, 628), (544, 671), (628, 814)]:
        target = np.zeros(2048)
        target[i] = 1
        p = leaf(np.ones(2048))
        loss = (p * target).sum()
        target[[i, j]] = target[[j, i]]
        refused(loss, "argument 2", p)


@pytest.mark.parametrize(
    "values",
    [np.zeros(5000), np.ones(5000), np.full(5000, np.nan), np.arange(5000.0) % 2],
    ids=["zeros", "ones", "nan", "alternating"],
)
@pytest.mark.parametrize("write", [first, last, negated, two_negated, next_two_negated], ids=lambda w: w.__name__)
def test_writes_to_regular_values_are_found_out(values, write):
    p = leaf(values, "p")
    before = p.data.tobytes()
    loss = (p * p).sum()
    write(p.data)
    if p.data.tobytes() != before:
        refused(loss, "p", p)


LAYOUTS = {
    "Fortran": lambda: np.asfortranarray(RNG.standard_normal((70, 50))),
    "negative strides": lambda: RNG.standard_normal((70, 50))[::-1, ::-1],
    "every other": lambda: RNG.standard_normal((140, 150))[::2, ::3],
    "unaligned": lambda: np.zeros(70 * 50 * 8 + 1, np.uint8)[1:].view(np.float64).reshape(70, 50),
    "float32, odd start": lambda: RNG.standard_normal(3501).astype(np.float32)[1:].reshape(70, 50),
    "half": lambda: RNG.standard_normal((70, 50)).astype(np.float16),
    "big-endian": lambda: RNG.standard_normal((70, 50)).astype(">f8"),
    "long": lambda: RNG.standard_normal((70, 50)).astype(np.longdouble),
    "integers": lambda: RNG.integers(0, 9, (70, 50)),
    "bytes": lambda: RNG.integers(0, 9, (70, 50)).astype(np.uint8),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("write", [whole, first, last, two_negated], ids=lambda w: w.__name__)
def test_any_memory_layout(layout, write):
    array = LAYOUTS[layout]()
    if write is two_negated and array.dtype.kind != "f":
        return
    p = leaf(np.ones(array.shape), dtype=array.dtype if array.dtype.kind == "f" else None)
    loss = (p * array).sum()
    before = array.tobytes()
    write(array)
    if array.tobytes() != before:
        refused(loss, "argument 2", p)
    del loss
    (p * array).sum().backward()


def test_empty_arrays_have_nothing_to_write_to():
    p = leaf(np.zeros((0, 3)), "p")
    loss = (p * p).sum()
    p.data[...] = 1
    loss.backward()
    assert p.grad.shape == (0, 3)


# ---------------------------------------------------------------------------------------------------- ways to the array


def test_through_a_view_taken_earlier():
    p = leaf(RNG.standard_normal((4, 5)), "p")
    view = p.data[1:, ::2]
    loss = (p * p).sum()
    view[0, 0] = 9.0
    refused(loss, "p", p)


def test_through_the_array_that_asarray_shares():
    big = RNG.standard_normal((6, 5))
    p = tg.asarray(big[1:4], requires_grad=True, name="p")
    loss = (p * p).sum()
    big[0] = 0  # not part of it
    (p * p).sum().backward()
    big[2, 2] = 9.0
    refused(loss, "p", p)


def test_through_detach_and_numpy():
    for way in (lambda p: p.detach().data, lambda p: p.numpy(), lambda p: np.asarray(p.detach())):
        p = leaf([1.0, 2.0], "p")
        loss = (p * p).sum()
        way(p)[0] = 9.0
        refused(loss, "p", p)


def test_raw_arrays_as_operands():
    p = leaf([1.0, 2.0])
    for use in (
        lambda a: p * a,
        lambda a: a * p,
        lambda a: p * tg.tensor(a) * tg.asarray(a),
        lambda a: p / a,
        lambda a: p**a,
    ):
        array = np.array([3.0, 4.0])
        loss = use(array).sum()
        array[1] = 0.5
        refused(loss, "argument", p)


@pytest.mark.parametrize(
    ("loss_of", "constant"),
    [
        (lambda p, c: p @ c, lambda: np.ones((3, 3))),
        (lambda p, c: tg.where(c, p, 0.0), lambda: np.ones((3, 3), bool)),
        (lambda p, c: tg.maximum(p, c), lambda: np.full((3, 3), 0.5)),
        (lambda p, c: nn.functional.cross_entropy(p, c), lambda: np.zeros(3, int)),
        (lambda p, c: tg.inner(c, p), lambda: np.ones((3, 3))),
        (lambda p, c: tg.inner(p, c.T), lambda: np.ones((3, 3))),
    ],
    ids=["matmul", "where", "maximum", "cross_entropy", "inner", "a view"],
)
def test_constants_of_every_kind(loss_of, constant):
    c = constant()
    p = leaf(np.ones((3, 3)))
    loss = loss_of(p, c).sum()
    c.flat[0] = 0 if c.dtype == bool else c.flat[0] + 1
    refused(loss, "argument", p)


def test_a_named_constant_is_named():
    p, c = leaf([1.0, 2.0]), tg.tensor([3.0, 4.0], name="mask")
    loss = (p * c).sum()
    c.data[0] = 0
    refused(loss, "mask", p)


VIEWS = {
    "x @ W.T": lambda W: (W[:2] * 2) @ W.T,
    "reshape": lambda W: W.reshape(-1) ** 2,
    "swapaxes": lambda W: W.swapaxes(0, 1) ** 2,
    "slice": lambda W: W[1:, ::-1] ** 2,
    "row": lambda W: W[0] ** 2,
    "view of a view": lambda W: W[1:].reshape(-1)[::2].reshape(3, 1).T ** 2,
    "unstack": lambda W: tg.unstack(W)[0] ** 2,
    "squeeze": lambda W: tg.squeeze(W[None]) ** 2,
    "broadcast": lambda W: tg.broadcast_to(W, (2, 3, 3)) ** 2,
    "broadcast, then view": lambda W: tg.broadcast_to(W[0], (2, 3)).T[1:] ** 2,
    "the result is the view": lambda W: tg.tanh(W.reshape(3, 3)).T * 1,
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_of_a_parameter_as_operands(view):
    W, x = leaf(RNG.standard_normal((3, 3)), "W"), leaf(np.ones((3,)))
    v = VIEWS[view](W)
    loss = v.sum() * x.sum()
    W.data[...] += 1.0
    if view == "the result is the view":  # tanh kept its own result
        loss.backward()
    else:
        with pytest.raises(RuntimeError, match="was written to"):
            loss.backward()
        assert W.grad is None
        assert x.grad is None


@pytest.mark.parametrize("view", ["x @ W.T", "reshape", "row"])
def test_a_view_of_a_named_parameter_is_called_by_its_name(view):
    W = leaf(RNG.standard_normal((3, 3)), "W")
    loss = VIEWS[view](W).sum()
    W.data[0, 0] += 1
    refused(loss, "W", W)


@tg.primitive("general", [None, lambda ct, out: ct + 0 * out])
def second(x, y):
    return y


@tg.primitive("general", lambda ct, xs: (0 * xs[0], 0 * xs[1], ct + 0 * xs[2]))
def third(*xs):
    return xs[2]


@pytest.mark.parametrize("handed_on", [lambda p: second(1.0, p), lambda p: third(p * 1, p * 2, p)])
def test_the_result_of_a_primitive_that_hands_on_an_argument(handed_on):
    p = leaf([1.0, 2.0], "p")
    loss = (handed_on(p) ** 2).sum()
    p.data[0] = 9.0
    with pytest.raises(RuntimeError, match="was written to"):
        loss.backward()


def refused_or(loss, p, right):
    """The write has not changed the gradient unseen: it is refused, or the gradient is that of the forward pass."""
    refusal = None
    try:
        loss.backward()
    except RuntimeError as error:
        refusal = str(error)
    assert "was written to" in refusal if refusal else p.grad.tolist() == right


def test_an_array_as_a_keyword():
    @tg.primitive("elementwise", [lambda ct, mask: ct * mask])
    def masked(x, *, mask):
        return x * mask

    p, mask = leaf([1.0, 2.0]), np.array([1.0, 0.0])
    loss = masked(p, mask=mask).sum()
    mask[1] = 5.0
    refused_or(loss, p, [1.0, 0.0])


def test_variadic_primitives_that_keep_their_inputs():
    @tg.primitive("general", lambda ct, xs: (ct * xs[1], ct * xs[0]))
    def product(*xs):
        return xs[0] * xs[1]

    p, c = leaf([1.0, 2.0], "p"), np.array([3.0, 4.0])
    loss = product(p, c).sum()
    c[0] = 0
    refused(loss, "argument 2", p)
    loss = product(c * 1, p).sum()
    p.data[0] = 0
    refused(loss, "p", p)


def test_recorded_backwards_are_watched_too():
    p, q, c = leaf([1.0, 2.0], "p"), leaf([1.0, 1.0]), np.array([3.0, 4.0])
    (g,) = tg.autograd.grad((p * p * p * c).sum(), p, create_graph=True)
    c[0] = 9
    refused_or(g.sum(), p, [18.0, 48.0])
    p.grad = None
    (g,) = tg.autograd.grad((p * p * p * q).sum(), p, create_graph=True)
    p.data[0] = 5
    refused(g.sum(), "p", p, q)


def test_every_way_to_differentiate_refuses():
    p = leaf([1.0, 2.0], "p")
    loss = (p * p).sum()
    p.data[0] = 9.0
    for create_graph in (False, True):
        with pytest.raises(RuntimeError, match=r"p.*was written to"):
            tg.autograd.grad(loss, p, create_graph=create_graph)
    a = np.array([1.0, 2.0])
    _, pullback = tg.vjp(lambda x: x * x, a)
    a[0] = 9.0
    with pytest.raises(RuntimeError, match="was written to"):
        pullback(np.ones(2))


# ------------------------------------------------------------------------------------------- graphs that share an array


def test_each_graph_over_a_shared_parameter_is_judged_by_itself():
    p = leaf([1.0, 2.0], "p")
    old = (p * p).sum()
    p.data[0] = 5.0
    new = (p * p).sum()
    new.backward()
    assert p.grad.tolist() == [10.0, 4.0]
    refused(old, "p", p)


def test_a_graph_kept_for_its_value_does_not_stop_training():
    """A loss that is remembered but never differentiated, such as a validation loss without no_grad()."""
    cell = nn.RNNCell(3, 4, rng=0)
    x = RNG.standard_normal((4, 3))
    losses = []
    for _ in range(3):
        losses.append((cell(x, cell(x)) ** 2).sum())
        cell.zero_grad()
        (cell(x, cell(x)) ** 2).sum().backward()
        for q in cell.parameters():
            q.data -= 0.01 * q.grad
    assert losses[2].item() < losses[0].item()


def test_a_retained_graph_does_not_stop_training():
    p = leaf([1.0, 2.0], "p")
    kept = []
    for _ in range(3):
        loss = (p * p).sum()
        loss.backward(retain_graph=True)
        p.data -= 0.1 * p.grad
        p.grad = None
        kept.append(loss)
    refused(kept[0], "p", p)


def test_a_value_that_was_there_in_between_is_not_forgotten():
    """One graph, two uses of p with different values, and the first value back again before the backward."""
    p = leaf([3.0], "p")
    a = (p * p).sum()
    p.data[0] = 10.0
    b = (p * p * p).sum()
    p.data[0] = 3.0
    refused_or((a + b).sum(), p, [2 * 3.0 + 3 * 10.0**2])


@pytest.mark.parametrize("product", [lambda x, W: tg.inner(x, W), lambda x, W: x @ W.T, nn.functional.linear])
@pytest.mark.parametrize("uses", [1, 2, 5])
def test_a_forward_pass_uses_the_values_of_now(product, uses):
    """Whatever is cached of a weight that a pending backward needs, a new forward pass must not see it."""
    W, x = leaf(np.eye(3), "W"), leaf(np.ones((2, 3)))
    held = [product(x, W) for _ in range(uses)]
    W.data[...] = 2 * np.eye(3)
    assert product(x, W).data.tolist() == [[2.0] * 3] * 2
    assert product(x.data, tg.asarray(W.data)).data.tolist() == [[2.0] * 3] * 2
    with tg.no_grad():
        assert product(x, W).data.tolist() == [[2.0] * 3] * 2
    with pytest.raises(RuntimeError, match="was written to"):
        held[0].sum().backward()


def test_threads_seal_and_let_go_side_by_side():
    errors = []

    def run():
        try:
            for _ in range(12):
                p = leaf(np.ones(3))
                held = [(p * np.ones(3)).sum() for _ in range(700)]
                held[-1].backward()
        except (RuntimeError, KeyError) as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


# ----------------------------------------------------------------------------------------------- nothing to complain of


def test_writes_after_the_backward():
    p, a = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    for _ in range(5):
        (p * p * a).sum().backward()
        p.data -= 0.1 * p.grad
        a += 1
        p.grad = None


def test_writes_to_arrays_that_no_rule_kept():
    p, q, a = leaf([1.0, 2.0]), leaf([1.0, 2.0]), np.array([3.0, 4.0])
    loss = (p + q + a - p.reshape(2)).sum() + tg.tanh(p).sum() + (a + tg.exp(q)).sum()
    expected = tg.autograd.grad(loss, [p, q], retain_graph=True)
    p.data[...] = 0
    q.data[...] = 0
    a[...] = 0
    loss.backward()
    np.testing.assert_array_equal(p.grad, expected[0].data)
    np.testing.assert_array_equal(q.grad, expected[1].data)


def test_only_arrays_whose_argument_s_counterpart_needs_a_gradient_are_kept():
    p, a = leaf([1.0, 2.0]), tg.tensor([3.0, 4.0])
    loss = (p * a).sum()  # ∂/∂p needs a; p itself nobody needs
    p.data[...] = 0
    loss.backward()
    assert p.grad.tolist() == [3.0, 4.0]


def test_a_write_after_the_graph_was_dropped():
    p = leaf([1.0, 2.0])
    loss = (p * p).sum()
    del loss
    p.data[0] = 5.0
    (p * p).sum().backward()
    assert p.grad.tolist() == [10.0, 4.0]


def test_a_rebound_parameter_leaves_old_graphs_right():
    p = leaf([1.0, 2.0], "p")
    loss = (p * p).sum()
    p.data = np.array([10.0, 20.0])
    newer = (p * p).sum()
    p.data[0] = 11.0
    loss.backward()
    assert p.grad.tolist() == [2.0, 4.0]
    refused(newer, "p", p)


def test_after_a_refusal_the_next_forward_pass_is_a_fresh_start():
    p = leaf([1.0, 2.0], "p")
    loss = (p * p).sum()
    p.data[0] = 3.0
    refused(loss, "p", p)
    loss = (p * p).sum()  # while the old graph is still there
    loss.backward()
    assert p.grad.tolist() == [6.0, 4.0]


def test_writing_the_same_values_is_no_change():
    p = leaf([1.0, 2.0])
    loss = (p * p).sum()
    p.data[...] = p.data.copy()
    loss.backward()
    assert p.grad.tolist() == [2.0, 4.0]


def test_index_arrays_are_copied():
    p, index, where = leaf([1.0, 2.0, 3.0]), np.array([0, 2]), np.array([True, False, True])
    slots = [0, 1]
    loss = (p[index] * 2).sum() + (p[where] * 10).sum() + (p[slots] * 100).sum() + p[tg.asarray(index)].sum() * 1000
    index[...] = 1
    where[...] = False
    slots[0] = 2
    loss.backward()
    assert p.grad.tolist() == [1112.0, 100.0, 1012.0]


def test_writes_to_the_results_arrays_are_refused_at_once():
    p = leaf([1.0, 2.0])
    h = tg.exp(p)
    loss = (h * h).sum()
    for way in (h.data, h.numpy(), h.detach().data, h.reshape(2, 1).data, h[:1].data):
        with pytest.raises(ValueError, match="read-only"):
            way[...] = 0
    loss.backward()
    np.testing.assert_allclose(p.grad, 2 * np.exp(2 * np.array([1.0, 2.0])))


def test_a_training_loop_of_a_recurrent_network():
    rnn = nn.RNN(3, 4, rng=0)
    xs = RNG.standard_normal((6, 2, 3))
    losses = []
    for _ in range(20):
        ys, _ = rnn(xs)
        loss = (ys * ys).sum()
        rnn.zero_grad()
        loss.backward()
        for p in rnn.parameters():
            p.data -= 0.01 * p.grad
        xs[...] = xs  # the next batch, into the same array
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    ys, _ = rnn(xs, unroll=True)
    rnn.zero_grad()
    xs[0, 0, 0] += 1e-12
    refused(ys.sum(), "x_1", *rnn.parameters())
    ys, _ = rnn(xs, unroll=True)
    rnn.weight_hh_l0.data[...] = 7.0
    refused(ys.sum(), "weight_hh_l0", *rnn.parameters())
