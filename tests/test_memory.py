"""What a graph keeps alive, and for how long: no cycles, only what rules ask for, freed as early as can be."""

import contextlib
import gc
import time
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn


def leaf(values, name=None, dtype=None):
    return tg.tensor(values, dtype=dtype, requires_grad=True, name=name)


@contextlib.contextmanager
def without_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def traced():
    gc.collect()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def kept_arrays(tensor):
    """The arrays among the residuals of the operation that made a tensor."""
    return [s for s in tensor.node.saved if isinstance(s, np.ndarray)]


# ------------------------------------------------------------------------------------------------------------ no cycles


def training_step():
    rnn = nn.RNN(3, 8, rng=0)
    out = nn.Linear(8, 4, rng=0)
    rng = np.random.default_rng(0)

    def step():
        ys, _ = rnn(rng.standard_normal((4, 2, 3)))
        loss = nn.functional.cross_entropy(out(ys), rng.integers(0, 4, (4, 2)))
        for module in (rnn, out):
            module.zero_grad()
        loss.backward()
        for p in (*rnn.parameters(), *out.parameters()):
            p.data -= 0.1 * p.grad

    return step


def test_training_leaves_nothing_behind():
    """With the collector off, 1,000 steps leave what 10 steps leave."""
    step = training_step()
    step()  # the loop is compiled, once, which leaves circles
    gc.collect()
    with without_collector():
        for _ in range(10):
            step()
        before = len(gc.get_objects())
        for _ in range(990):
            step()
        assert len(gc.get_objects()) - before < 50  # a cache or two, not something each step
        assert gc.collect() == 0


def test_memory_after_many_steps_is_that_after_few():
    step = training_step()
    with without_collector(), traced():
        for _ in range(20):
            step()
        gc.collect()  # empties Python's free lists
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            step()
        assert gc.collect() == 0
        assert tracemalloc.get_traced_memory()[0] - before < 20_000  # less than one array a step


@pytest.mark.parametrize(
    "work",
    [
        lambda x: (x * x).sum().backward(),
        lambda x: (x * x).sum(),
        lambda x: tg.autograd.grad(tg.autograd.grad((x**3).sum(), x, create_graph=True)[0].sum(), x),
        lambda x: tg.grad(lambda y: tg.softmax(y * x).sum())(np.ones(3)),
        lambda x: tg.jvp(lambda y: tg.softmax(y * x), (np.ones(3),), (np.ones(3),)),
        lambda x: tg.hvp(lambda y: (y**3 * x).sum(), np.ones(3), np.ones(3)),
        lambda x: tg.vjp(lambda y: tg.tanh(y * x), np.ones(3))[1](np.ones(3)),
        lambda x: tg.graph((x * x).sum()),
    ],
    ids=["backward", "forward only", "second order", "grad", "jvp", "hvp", "vjp", "graph"],
)
def test_nothing_makes_a_cycle(work):
    x = leaf([1.0, 2.0, 3.0])
    work(x)
    with without_collector():
        refs = []
        for _ in range(3):
            y = tg.exp(x)
            refs.append(weakref.ref(y.value))
            work(y)
            x.grad = None
            del y
        assert [r() for r in refs] == [None] * 3


def test_a_graph_goes_with_its_last_handle():
    with without_collector():
        x = leaf([1.0, 2.0])
        a = tg.exp(x)
        b = tg.tanh(a)
        c = (b * a).sum()
        arrays = [weakref.ref(t.value) for t in (a, b)]
        tensor = weakref.ref(a)
        del a, b
        assert tensor() is None  # handles are disposable
        assert all(r() is not None for r in arrays)
        del c
        assert [r() for r in arrays] == [None, None]


def test_a_handle_on_an_intermediate_keeps_only_what_it_was_made_from():
    with without_collector():
        x = leaf([1.0, 2.0])
        a = tg.exp(x)
        b = tg.exp(a)
        later = weakref.ref(b.value)
        earlier = weakref.ref(a.value)
        del b
        assert later() is None
        assert earlier() is not None


def test_a_write_guard_goes_with_its_graph():
    with without_collector():
        x, c = leaf([1.0, 2.0]), np.array([3.0, 4.0])
        held = weakref.ref(c)
        y = (x * c).sum()
        del c
        assert held() is not None
        del y
        assert held() is None


# ---------------------------------------------------------------------------------------------- only what rules ask for


@pytest.mark.parametrize(
    ("f", "kept"),
    [
        (tg.tanh, ["out"]),
        (tg.sigmoid, ["out"]),
        (tg.exp, ["out"]),
        (tg.sqrt, ["out"]),
        (tg.relu, ["out"]),
        (tg.log, ["x"]),
        (lambda x: x + x, []),
        (lambda x: x - 1.0, []),
        (lambda x: -x, []),
        (lambda x: x.sum(), []),
        (lambda x: x.reshape(4), []),
        (lambda x: x.T, []),
        (lambda x: x[0], []),
        (lambda x: tg.concatenate([x, x]), []),
        (lambda x: tg.stack([x, x]), []),
        (lambda x: tg.broadcast_to(x, (3, 2, 2)), []),
        (lambda x: x.astype(np.float32), []),
        (lambda x: x * x, ["x", "x"]),
        (lambda x: tg.softmax(x), ["out"]),
        (lambda x: tg.log_softmax(x), ["out"]),
    ],
)
def test_a_node_keeps_what_its_rules_ask_for(f, kept):
    x = leaf(np.full((2, 2), 0.5))
    y = f(x)
    arrays = {"x": x.value, "out": y.value}
    assert [id(a) for a in kept_arrays(y)] == [id(arrays[k]) for k in kept]


def test_only_the_rules_of_arguments_that_need_a_gradient_count():
    x, c = leaf(np.ones((2, 2))), np.ones((2, 2))
    for y in (x * c, c * x, x @ c, c @ x, tg.inner(x, c)):
        assert [a is c for a in kept_arrays(y)] == [True]
    assert kept_arrays(tg.tensor(c) - x) == []
    assert [a is c for a in kept_arrays(x / c)] == [True]


def test_no_gradient_no_node():
    c = tg.tensor([1.0, 2.0])
    assert (tg.tanh(c) * c).node is None
    with tg.no_grad():
        assert tg.tanh(leaf([1.0])).node is None
    with without_collector():
        y = tg.exp(c)
        held = weakref.ref(y.value)
        z = y * c
        del y
        assert held() is None
        assert z.shape == (2,)


def test_add_lets_its_arguments_go():
    with without_collector():
        x = leaf(np.ones(3))
        a = x * 2
        held = weakref.ref(a.value)
        b = a + 1
        del a
        assert held() is None
        b.sum().backward()
        assert x.grad.tolist() == [2.0] * 3


# -------------------------------------------------------------------------------------------------------- freed in time


def chain(x, steps):
    """h ← exp(h) · 0 + 1, and a weak reference to each exp's array, which its rule keeps."""
    refs, h = [], x
    for _ in range(steps):
        h = tg.exp(h)
        refs.append(weakref.ref(h.value))
        h = h * 0.0 + 1.0
    return h, refs


def test_a_backward_frees_residuals_as_it_goes():
    alive = []

    @tg.primitive("elementwise", [lambda ct: (alive.append(sum(r() is not None for r in refs)), ct)[1]])
    def spy(x):
        return x * 1

    x = leaf(np.ones(100))
    refs = []
    h = x
    for _ in range(5):
        h = spy(h)
        h = tg.exp(h)
        refs.append(weakref.ref(h.value))
        h = h * 0.0 + 1.0
    with without_collector():
        h.sum().backward()
        assert alive == [4, 3, 2, 1, 0]  # the step before has been freed when this one is reached
        assert all(r() is None for r in refs)


def test_a_handle_that_is_kept_does_not_keep_the_residuals():
    with without_collector():
        h, refs = chain(leaf(np.ones(10)), 4)
        loss = h.sum()
        loss.backward()
        assert [r() for r in refs] == [None] * 4


def test_retain_graph_keeps_them():
    h, refs = chain(leaf(np.ones(10)), 4)
    loss = h.sum()
    loss.backward(retain_graph=True)
    assert all(r() is not None for r in refs)
    loss.backward()
    assert all(r() is None for r in refs)


# ---------------------------------------------------------------------------------------------------------------- peaks


def unrolled(steps, batch, hidden, dtype=np.float32):
    rng = np.random.default_rng(0)
    rnn = nn.RNN(8, hidden, rng=0, dtype=dtype)
    xs = rng.standard_normal((steps, batch, 8)).astype(dtype)

    def run():
        ys, _ = rnn(xs, unroll=True)
        (ys * ys).sum().backward()
        rnn.zero_grad()

    return run


def peak(run):
    run()
    with traced():
        run()
        return tracemalloc.get_traced_memory()[1]


def test_the_peak_of_an_unrolled_network_is_a_few_states_a_step():
    """Pooled cotangents don't stay alive: T states of B x H, and few times that."""
    steps, batch, hidden = 200, 32, 64
    state = batch * hidden * 4
    used = peak(unrolled(steps, batch, hidden))
    assert used < 8 * steps * state


def test_the_peak_grows_no_faster_than_the_sequence():
    short, long = peak(unrolled(100, 16, 64)), peak(unrolled(400, 16, 64))
    assert long < 4.2 * short


def test_a_backward_needs_little_beside_what_the_forward_kept():
    """The cotangents of a chain come and go."""
    x = leaf(np.ones(10_000))
    h = x
    for _ in range(100):
        h = tg.tanh(h)
    loss = h.sum()
    with traced():
        loss.backward()
        assert tracemalloc.get_traced_memory()[1] < 10 * x.data.nbytes


def test_cotangents_of_one_weight_used_many_times_are_not_all_kept():
    W, x = leaf(np.eye(64)), leaf(np.ones((64, 64)))
    h = x
    for _ in range(200):
        h = h @ W
    loss = h.sum()
    with traced():
        loss.backward()
        assert tracemalloc.get_traced_memory()[1] < 60 * W.data.nbytes  # 200 uses


def test_reading_every_step_costs_the_array_once():
    xs = leaf(np.ones((1000, 1000)))
    total = tg.stack([(x * x).sum() for x in tg.unstack(xs)]).sum()
    with traced():
        total.backward()
        assert tracemalloc.get_traced_memory()[1] < 4 * xs.data.nbytes
    xs.grad = None
    total = sum([xs[t].sum() for t in range(1000)], tg.tensor(0.0))
    with traced():
        total.backward()
        assert tracemalloc.get_traced_memory()[1] < 4 * xs.data.nbytes


def test_reading_every_step_is_no_work_on_the_whole_array_each_time():
    xs = leaf(np.ones((1000, 2000)))
    total = tg.stack([x.sum() for x in tg.unstack(xs)]).sum() + tg.stack([xs[t].sum() for t in range(1000)]).sum()
    start = time.perf_counter()
    total.backward()
    assert time.perf_counter() - start < 3  # 2,000 arrays of 16 MB would take 20 s
    assert (xs.grad == 2).all()
