"""The unrolled loop: the values and gradients of a loop written by hand, and the names and scopes for pictures."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

RNG = np.random.default_rng(0)


def leaf(values, name=None):
    return tg.tensor(values, requires_grad=True, name=name)


def weights():
    rng = np.random.default_rng(1)
    return leaf(rng.standard_normal((3, 4)) / 2, "W"), leaf(rng.standard_normal((4, 4)) / 2, "U")


def test_values_and_gradients_are_those_of_a_loop():
    xs = RNG.standard_normal((5, 2, 3))
    W, U = weights()

    def cell(h, x):
        h = tg.tanh(x @ W + h @ U)
        return h, h * 2

    inputs, h_0 = leaf(xs), leaf(np.ones((2, 4)))
    h, ys = tg.scan(cell, h_0, inputs, unroll=True)
    loss = (ys * ys).sum() + h.sum()
    loss.backward()
    got = [p.grad for p in (W, U, inputs, h_0)]

    W2, U2 = weights()
    inputs2, h_02 = leaf(xs), leaf(np.ones((2, 4)))
    state, total, outs = h_02, tg.tensor(0.0), []
    for t in range(5):
        state = tg.tanh(inputs2[t] @ W2 + state @ U2)
        outs.append(state * 2)
        total = total + (outs[-1] * outs[-1]).sum()
    total = total + state.sum()
    total.backward()
    np.testing.assert_allclose(ys.data, np.stack([o.data for o in outs]), rtol=1e-14)
    np.testing.assert_allclose(h.data, state.data, rtol=1e-14)
    assert loss.item() == pytest.approx(total.item(), rel=1e-14)
    for mine, by_hand in zip(got, (W2, U2, inputs2, h_02), strict=True):
        np.testing.assert_allclose(mine, by_hand.grad, rtol=1e-12)


def test_gradients_in_every_mode():
    U = RNG.standard_normal((2, 2))

    def f(h, xs, U):
        carry, ys = tg.scan(lambda h, x: (lambda h: (h, h * x))(tg.tanh(x + h @ U)), h, xs, unroll=True)
        return (ys * ys).sum(axis=0) + carry

    tg.check_grads(f, [RNG.standard_normal(2), RNG.standard_normal((3, 2)), U])


def test_carries_and_inputs_in_tuples():
    def cell(carry, parts):
        h, c = carry
        x, gain = parts
        c = c * gain + x
        return (tg.tanh(c), c), (h, c)

    h_0, c_0, xs, gains = (RNG.standard_normal(s) for s in ((2,), (2,), (3, 2), (3, 1)))
    (h, c), (hs, cs) = tg.scan(cell, (tg.tensor(h_0), tg.tensor(c_0)), (xs, gains), unroll=True)
    assert (hs.shape, cs.shape) == ((3, 2), (3, 2))
    np.testing.assert_array_equal(hs.data[0], h_0)
    np.testing.assert_array_equal(cs.data[-1], c.data)
    np.testing.assert_allclose(h.data, np.tanh(c.data))
    np.testing.assert_allclose(c.data, ((c_0 * gains[0] + xs[0]) * gains[1] + xs[1]) * gains[2] + xs[2])


def test_a_cell_without_an_output():
    total, ys = tg.scan(lambda h, x: (h + x, None), tg.tensor(0.0), np.arange(5.0), unroll=True)
    assert total.item() == 10.0
    assert ys is None


def test_one_step():
    h, ys = tg.scan(lambda h, x: (h * x, h), tg.tensor([2.0]), np.array([[3.0]]), unroll=True)
    assert h.data.tolist() == [6.0]
    assert ys.data.tolist() == [[2.0]]


def test_arrays_and_tensors_as_inputs():
    cell = lambda h, x: (h + x, h)  # noqa: E731
    for xs in (np.array([1.0, 2.0]), tg.tensor([1.0, 2.0]), leaf([1.0, 2.0])):
        assert tg.scan(cell, tg.tensor(0.0), xs, unroll=True)[0].item() == 3.0


@pytest.mark.parametrize(
    ("xs", "message"),
    [
        (1.0, "xs must have a first axis, that of the time steps; got a scalar"),
        ([1.0, 2.0], r"xs\[0\] must have a first axis"),
        ((np.zeros((2, 3)), np.zeros((3, 3))), r"one number of steps.*; xs\[0\] has 2, xs\[1\] has 3"),
        ((), "there are no xs, so length must say how many steps to take"),
    ],
)
def test_inputs_have_a_first_axis_in_common(xs, message):
    with pytest.raises(ValueError, match=f"scan: .*{message}"):
        tg.scan(lambda h, x: (h, h), tg.tensor(0.0), xs, unroll=True)


@pytest.mark.parametrize("returned", [lambda h, x: h, lambda h, x: (h, h, h), lambda h, x: [h, h], lambda h, x: None])
def test_a_cell_returns_a_pair(returned):
    with pytest.raises(TypeError, match=r"scan: the cell must return a pair \(carry, y\), got "):
        tg.scan(returned, tg.tensor(0.0), np.ones(3), unroll=True)


def test_an_error_in_a_cell_ends_the_scope():
    def cell(h, x):
        raise KeyError

    with pytest.raises(KeyError):
        tg.scan(cell, leaf(0.0), np.ones(3), unroll=True)
    assert str(leaf(1.0).node.scope) == ""


def names(*tensors):
    return {n.name: n for n in tg.graph(*tensors).nodes if n.name}


def test_steps_are_scopes_and_the_cell_s_parameters_are_names():
    w = leaf(2.0, "w")

    def cell(state, word):
        state = tg.tanh(state * w + word)
        return state, {"logits": state * 3}

    h, ys = tg.scan(cell, leaf(1.0), np.ones(3), unroll=True)
    named = names(ys["logits"])
    assert set(named) == {"w", *(f"{n}_{t}" for n in ("state", "word", "logits") for t in (1, 2, 3)), "state_0"} - {
        f"word_{t}" for t in (1, 2, 3) if f"word_{t}" not in named
    }
    for t in (1, 2, 3):
        assert named[f"state_{t}"].op == "tanh"
        assert str(named[f"state_{t}"].scope) == f"t={t}"
        assert named[f"logits_{t}"].scope.step == t
    assert named["w"].scope.step is None
    assert named["state_0"].kind == "leaf"
    assert h.name == "state_3"
    assert tg.graph(ys["logits"]).nodes[-1].scope.step is None


def test_inputs_appear_by_name_where_they_take_a_gradient_or_not():
    w = leaf(2.0, "w")
    _, ys = tg.scan(lambda h, x: (h + w * x, h), tg.tensor(0.0), leaf(np.ones(2)), unroll=True)
    assert {"x_1", "h_1", "h_2"} <= set(names(_)) | set(names(ys))
    h, _ = tg.scan(lambda h, x: (h + w * x, h), tg.tensor(0.0), np.ones(2), unroll=True)
    found = names(h)
    assert found["x_2"].kind == "constant"
    assert found["x_2"].scope.step == 2
    assert found["h_0"].kind == "constant"


def test_names_that_the_cell_gave_are_kept():
    def cell(h, x):
        a = h * x
        a.name = f"mine_{x.name}"
        return a, a * 2

    _, ys = tg.scan(cell, leaf(1.0, "start"), np.ones(2), unroll=True)
    assert {"start", "mine_x_1", "mine_x_2", "y_1", "y_2"} <= set(names(ys))
    assert "h_1" not in names(ys)


def test_several_carries_are_numbered():
    cell = lambda carry, x: ((carry[0] * x, carry[1] + carry[0]), carry[1])  # noqa: E731
    (a, b), _ = tg.scan(cell, (leaf(1.0), leaf(2.0)), np.ones(2), unroll=True)
    assert {"carry1_0", "carry2_0", "carry1_1", "carry2_2"} <= set(names(a, b))


def test_a_module_as_a_cell():
    class Cell(nn.Module):
        def __init__(self):
            self.weight = leaf(np.eye(2))

        def forward(self, hidden, x):
            hidden = tg.tanh(x @ self.weight + hidden)
            return hidden, hidden

    hidden, _ = tg.scan(Cell(), tg.tensor(np.zeros(2)), RNG.standard_normal((3, 2)), unroll=True)
    found = names(hidden)
    assert {"weight", "hidden_1", "hidden_2", "hidden_3"} <= set(found)
    assert str(found["hidden_2"].scope) == "t=2/Cell"


def test_loops_inside_loops():
    w = leaf(0.5, "w")

    def inner(h, x):
        h = tg.tanh(h * w + x)
        return h, h

    def outer(total, row):
        h, _ = tg.scan(inner, total, row, unroll=True)
        return h, h

    rows = RNG.standard_normal((2, 3))
    h, _ = tg.scan(outer, tg.tensor(0.0), rows, unroll=True)
    flat, _ = tg.scan(inner, tg.tensor(0.0), rows.reshape(-1), unroll=True)
    assert h.item() == flat.item()
    h.backward()
    once = float(w.grad)
    w.grad = None
    flat.backward()
    assert once == pytest.approx(float(w.grad), rel=1e-14)


def test_a_long_loop():
    w = leaf(0.999)
    h, _ = tg.scan(lambda h, x: (h * w, None), tg.tensor(1.0), np.zeros(20_000), unroll=True)
    h.backward()
    np.testing.assert_allclose(w.grad, 20_000 * 0.999**19_999, rtol=1e-8)


def test_nothing_is_recorded_inside_no_grad():
    W, U = weights()
    with tg.no_grad():
        h, ys = tg.scan(
            lambda h, x: (tg.tanh(x @ W + h @ U),) * 2, tg.tensor(np.zeros((2, 4))), np.ones((3, 2, 3)), unroll=True
        )
    assert not h.requires_grad
    assert not ys.requires_grad
