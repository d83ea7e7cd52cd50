"""Watchers: every contribution and cotangent of a backward, and the first NaN or infinity with its place."""

import gc
import re
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import autograd, nn, record_cotangents
from tinygrad_rnn.watch import AnomalyError, detect_anomaly, watchers

rng = np.random.default_rng(2)
W = rng.normal(size=(3, 3))
X = rng.normal(size=(5, 3))


# ------------------------------------------------------------------------------------------------------------ recording


def rnn_loss(w, b, T=5):
    h, ys = tg.scan(lambda h, x: (tg.tanh(w @ h + x * b),) * 2, np.zeros(3), X[:T], unroll=True)
    return (ys**2).sum() + h.sum()


def parameters():
    return (
        tg.tensor(W, requires_grad=True, name="w"),
        tg.tensor(np.ones(3), requires_grad=True, name="b"),
    )


def totals(seen):
    """What the contributions to each node add up to."""
    found = {}
    for _, target, ct in seen.contributions:
        assert ct.shape == target.shape
        found[target] = found.get(target, 0) + ct
    return found


def test_a_weight_gets_a_contribution_for_each_use():
    for T in (1, 2, 5):
        w, b = parameters()
        y = rnn_loss(w, b, T)
        with record_cotangents() as seen:
            y.backward()
        to_w = [c for c in seen.contributions if c.target is w.node]
        assert len(to_w) == T
        assert [c.source.scope.step for c in to_w] == list(range(T, 0, -1))  # through time, backwards
        assert len([c for c in seen.contributions if c.target is b.node]) == T
        assert_allclose(sum(c.cotangent for c in to_w), w.grad, rtol=1e-12)


def test_the_order_is_the_tapes():
    w, b = parameters()
    y = rnn_loss(w, b)
    with record_cotangents() as seen:
        y.backward()
    indices = [node.index for node, _ in seen.cotangents]
    assert indices[0] == y.node.index
    assert indices == sorted(set(indices), reverse=True)  # each once
    sources = [c.source.index for c in seen.contributions]
    assert sources == sorted(sources, reverse=True)
    assert {w.node, b.node} < {node for node, _ in seen.cotangents}


def test_contributions_add_up_to_cotangents():
    w, b = parameters()
    y = rnn_loss(w, b) * 2 + (w * b).sum() + (b + np.ones((4, 3))).sum()  # b is broadcast
    with record_cotangents() as seen:
        y.backward()
    found = totals(seen)
    cotangents = dict(seen.cotangents)
    assert cotangents[y.node] == 1
    assert set(found) == set(cotangents) - {y.node}
    for node, total in found.items():
        assert_allclose(cotangents[node], total, rtol=1e-12)
        assert cotangents[node].dtype == node.dtype
    assert_array_equal(cotangents[w.node], w.grad)
    assert_array_equal(cotangents[b.node], b.grad)


def test_with_a_checkpoint_inside_too():
    """What is worked out again inside a checkpoint isn't counted twice."""
    w = tg.tensor(2.0, requires_grad=True, name="w")
    x = tg.tensor(3.0, requires_grad=True, name="x")
    h = w * x
    y = tg.checkpoint(lambda a: a * w)(h) + w
    with record_cotangents() as seen:
        y.backward()
    assert_allclose(sum(c.cotangent for c in seen.contributions if c.target is w.node), w.grad)
    assert [float(ct) for node, ct in seen.cotangents if node is w.node] == [13]
    assert [float(ct) for node, ct in seen.cotangents if node is h.node] == [2]


def test_gradients_are_the_same_as_without():
    results = []
    for watcher in (None, record_cotangents(), detect_anomaly()):
        w, b = parameters()
        y = rnn_loss(w, b)
        if watcher is None:
            y.backward()
        else:
            with watcher:
                y.backward()
        results.append((w.grad, b.grad, w.node.grad_norm))
    for others in results[1:]:
        for got, want in zip(others, results[0], strict=True):
            assert_allclose(got, want, rtol=1e-12)  # pooled or not, sums are taken in another order


def test_arrays_are_copies():
    x = tg.tensor(X[0], requires_grad=True)
    y = (x + x).sum()
    with record_cotangents() as seen:
        y.backward()
    arrays = [ct for _, ct in seen.cotangents] + [c.cotangent for c in seen.contributions]
    for i, a in enumerate(arrays):
        assert a.flags.writeable
        assert not np.shares_memory(a, x.grad)
        for other in arrays[:i]:
            assert not np.shares_memory(a, other)
    for a in arrays:
        a[...] = 7.0
    assert_array_equal(x.grad, [2, 2, 2])


def test_nothing_is_kept_alive_by_what_was_watched():
    gc.collect()
    gc.disable()
    try:
        x = tg.tensor(X[0], requires_grad=True)
        h = tg.tanh(x)
        value = weakref.ref(h.value)
        y = h.sum()
        with record_cotangents() as seen:
            y.backward()
        del h, y
        assert value() is None  # the nodes stay with `seen`, their residuals don't
        with detect_anomaly():
            h = tg.tanh(x)
            value = weakref.ref(h.value)
            h.sum().backward()
        del h
        assert value() is None
        recorder = weakref.ref(seen)
        del seen
        assert recorder() is None
        assert watchers.get() == ()
    finally:
        gc.enable()


def test_only_within_the_context():
    x = tg.tensor(2.0, requires_grad=True)
    y = x * x
    y.backward(retain_graph=True)
    with record_cotangents() as seen:
        pass
    y.backward(retain_graph=True)
    assert seen.cotangents == seen.contributions == []
    with seen:
        y.backward(retain_graph=True)
    y.backward()
    assert len(seen.cotangents) == 2
    assert len(seen.contributions) == 2


def test_nested_watchers_each_see_it_all():
    x = tg.tensor(2.0, requires_grad=True)
    with record_cotangents() as outer:
        (x * x).backward()
        with record_cotangents() as inner, detect_anomaly():
            (x * x * x).backward()
        (x * x).backward()
    assert len(inner.cotangents) == 3
    assert len(outer.cotangents) == 2 + 3 + 2


def test_by_every_kind_of_backward():
    def f(x):
        return (tg.tanh(x) * x).sum()

    for run in (
        lambda: autograd.grad(f(leaf := tg.tensor(X[0], requires_grad=True)), leaf),
        lambda: autograd.grad(f(leaf := tg.tensor(X[0], requires_grad=True)), leaf, create_graph=True),
        lambda: [tg.grad(f)(X[0])],
        lambda: tg.vjp(f, X[0])[1](1.0),
    ):
        with record_cotangents() as seen:
            (g,) = run()
        assert_allclose(seen.cotangents[-1][1], g.data, rtol=1e-12)
        assert type(seen.cotangents[-1][1]) is np.ndarray
        last, _ = seen.cotangents[-1]
        assert_allclose(totals(seen)[last], g.data, rtol=1e-12)


@pytest.mark.parametrize("watcher", [record_cotangents, detect_anomaly])
def test_inside_and_around_vmap_jvp_and_jacobians(watcher):
    f = lambda x: tg.tanh(W @ x) * x  # noqa: E731
    scalar = lambda x: f(x).sum()  # noqa: E731
    for run in (
        lambda: tg.vmap(tg.grad(scalar))(X),
        lambda: tg.grad(lambda x: tg.vmap(scalar)(x).sum())(X),
        lambda: tg.jacobian(f, mode="reverse")(X[0]),
        lambda: tg.jacobian(f, mode="forward")(X[0]),
        lambda: tg.hessian(scalar)(X[0]),
        lambda: tg.hvp(scalar, X[0], X[1]),
        lambda: tg.vmap(tg.vjp(f, X[0])[1])(X)[0],
        lambda: tg.jvp(tg.grad(lambda x: tg.max(tg.softmax(x))), (X[0],), (X[1],))[1],
    ):
        want = run()
        with watcher():
            got = run()
        assert_allclose(got.data, want.data, rtol=1e-12)


# ------------------------------------------------------------------------------------------------------------ anomalies


def raised(run):
    with pytest.raises(AnomalyError) as caught, np.errstate(all="ignore"):
        run()
    assert isinstance(caught.value, FloatingPointError)
    return str(caught.value)


def test_a_forward_anomaly_says_where_it_is():
    x = tg.tensor([1.0, -2.0, 0.0], requires_grad=True)
    with detect_anomaly():
        message = raised(lambda: tg.log(x))
    assert re.fullmatch(
        r"detect_anomaly: the result of log has nan at index \(1,\) \(2 of 3 numbers are not finite\); its arguments "
        rf"are all finite\. Called at {re.escape(__file__)}:\d+: message = raised\(lambda: tg\.log\(x\)\)",
        message,
    )


@pytest.mark.parametrize(
    ("run", "op"),
    [
        (lambda x: 1.0 / x, "divide"),
        (lambda x: x**-1, "power"),
        (lambda x: np.ones(2) / x, "divide"),
        (lambda x: tg.exp(1000 + x), "exp"),
        (lambda x: tg.log(x * 0), "log"),
        (lambda x: x * 1e308 * 10, "multiply"),
        (lambda x: (1.0 / x).sum(), "divide"),
    ],
)
def test_the_operation_is_named(run, op):
    for x in (tg.tensor([0.0, 1.0], requires_grad=True), tg.tensor([0.0, 1.0])):
        with detect_anomaly():
            assert f"the result of {op} has " in raised(lambda x=x: run(x))


def test_an_argument_that_had_one_already():
    with detect_anomaly():
        x = tg.tensor([1.0, np.nan], requires_grad=True)  # a leaf is no operation
        message = raised(lambda: x + 1)
        assert "the result of add has nan at index (1,) (1 of 2 numbers are not finite); an argument had one" in message
        assert "already: nan at index (1,)" in message
        assert "an argument had one already: -inf (1 of 1" in raised(lambda: tg.tensor(-np.inf) * 2)


def test_the_scope_and_the_time_step_are_named():
    def cell(h, x):
        with tg.scope("gate"):
            h = tg.log(h - x)
        return h, h

    def run():
        return tg.scan(cell, tg.tensor(np.ones(2), requires_grad=True), np.array([[0.1, 0.1], [-1.0, 0.9]]))

    with detect_anomaly():
        assert "the result of log in t=2/gate has " in raised(run)
        with tg.no_grad():
            assert "the result of log in t=2/gate has " in raised(run)
        assert "the result of log in t=2/gate has " in raised(
            lambda: tg.scan(cell, np.ones(2), np.array([[0.1, 0.1], [-1.0, 0.9]]))
        )


def test_inside_a_module():
    rnn = nn.RNN(3, 3, rng=np.random.default_rng(0), nonlinearity="relu")
    rnn.weight_hh_l0.data[...] = 1e200
    with detect_anomaly():
        message = raised(lambda: rnn(np.abs(X)))
    assert re.search(r" in t=\d", message)
    assert f"Called at {__file__}:" in message
    assert "raised(lambda: rnn(np.abs(X)))" in message


def test_a_backward_anomaly_names_the_operation_and_the_line_of_the_forward():
    x = tg.tensor([0.0, 4.0], requires_grad=True, name="x")
    with detect_anomaly(), tg.scope("root", step=3):
        y = tg.sqrt(x)  # the line that is wanted
        z = y.sum()
    with detect_anomaly():
        message = raised(z.backward)
    assert re.fullmatch(
        r"detect_anomaly: in the backward pass, the derivative of sqrt \(node \d+, shape \(2,\)\) in t=3/root gave "
        r"inf at index \(0,\) \(1 of 2 numbers are not finite\) to leaf 'x' \(node \d+, shape \(2,\)\)\. "
        rf"Called at {re.escape(__file__)}:\d+: y = tg\.sqrt\(x\)  ?# the line that is wanted",
        message,
    )
    assert x.grad is None


def test_a_backward_whose_forward_was_not_watched():
    x = tg.tensor(0.0, requires_grad=True)
    y = tg.sqrt(x)
    with detect_anomaly():
        message = raised(y.backward)
    assert message.endswith("Called at a line that was not noted: run the forward pass in detect_anomaly() too")


def test_every_kind_of_backward_is_looked_at():
    for run in (
        lambda: tg.grad(tg.sqrt)(0.0),
        lambda: tg.hvp(lambda x: x**1.5, 0.0, 1.0),
        lambda: tg.jvp(tg.sqrt, (0.0,), (1.0,)),
        lambda: tg.vmap(tg.grad(tg.sqrt))(np.array([1.0, 0.0])),
        lambda: tg.jacobian(tg.sqrt, mode="reverse")(np.array([1.0, 0.0])),
        lambda: autograd.grad(tg.sqrt(leaf := tg.tensor(0.0, requires_grad=True)), leaf, create_graph=True),
        lambda: tg.grad(tg.checkpoint(tg.sqrt))(0.0),
    ):
        with detect_anomaly():
            assert "detect_anomaly: " in raised(run)


def test_a_cotangent_that_is_not_finite_from_the_start():
    x = tg.tensor(1.0, requires_grad=True)
    with detect_anomaly():
        y = x * 2
        assert "the derivative of multiply" in raised(lambda: y.backward(np.nan))


def test_no_false_alarm():
    with detect_anomaly():
        x = tg.tensor([-1e308, 0.0, 1e-320, 1e308], requires_grad=True)
        y = tg.relu(x) * 0.5 + tg.where(x > 0, x, 0.0) * 0.1
        y.sum().backward()
        assert_array_equal((x > 0).astype(int), [0, 0, 1, 1])
        assert (tg.tensor([1, 2]) * 2).dtype == np.int64
        assert tg.max(tg.tensor([3, 4])).item() == 4
        assert tg.tensor(np.zeros((0, 2))).sum().item() == 0
        nn.RNN(3, 3, rng=np.random.default_rng(0))(X)[0].sum().backward()


def test_off_again_afterwards():
    with detect_anomaly():
        raised(lambda: tg.log(tg.tensor(-1.0)))
    with np.errstate(all="ignore"):
        assert np.isnan(tg.log(tg.tensor(-1.0)).item())
    with pytest.raises(ZeroDivisionError), detect_anomaly(), record_cotangents():
        raise ZeroDivisionError
    assert watchers.get() == ()
    with np.errstate(all="ignore"):
        assert np.isnan(tg.log(tg.tensor(-1.0)).item())
    x = tg.tensor(0.0, requires_grad=True)
    with detect_anomaly():
        y = tg.sqrt(x)
        raised(lambda: y.backward(retain_graph=True))
    with np.errstate(all="ignore"):
        y.backward()
    assert np.isinf(x.grad)


def test_as_a_decorator():
    @detect_anomaly()
    def f(x):
        return tg.log(x)

    raised(lambda: f(tg.tensor(-1.0)))
    assert f(tg.tensor(1.0)).item() == 0
    assert watchers.get() == ()


def test_the_users_line_is_not_one_of_a_package_whose_name_only_begins_alike():
    import tinygrad_rnn

    folder = tinygrad_rnn.__path__[0] + "_experiments"
    source = "import tinygrad_rnn as tg\ndef run(x):\n    return tg.log(x)\n"
    namespace = {}
    exec(compile(source, f"{folder}/train.py", "exec"), namespace)
    with detect_anomaly():
        assert f"Called at {folder}/train.py:3" in raised(lambda: namespace["run"](tg.tensor(-1.0)))
