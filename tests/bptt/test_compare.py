"""The tape against the derivation by hand."""

from dataclasses import fields

import numpy as np
import pytest

from tinygrad_rnn.bptt import SLIDES, complex_step, recursion
from tinygrad_rnn.bptt.compare import TOLERANCE, CharRNN, compare, draw_parameters, slides_by_tape


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize(("T", "V", "H"), [(1, 1, 1), (1, 4, 3), (5, 2, 7), (12, 9, 6)])
def test_all_ways_agree(T, V, H, activation):
    rng = np.random.default_rng(T)
    xs, labels = rng.standard_normal((T, V)), rng.integers(0, V, T)
    result = compare(draw_parameters(V, H, seed=T), xs, labels, activation)
    assert result.agree
    assert max(d.relative for d in result.differences) < 1e-13
    assert {(d.parameter, d.way) for d in result.differences} == {
        (p, w)
        for p in ("W_xh", "W_hh", "b_h", "W_hy", "b_y")
        for w in ("tape", "recursion", "double sum", "complex step")
    }


def test_the_tape_gives_the_gradient_of_h0_too():
    parameters = draw_parameters(3, 4, seed=0)
    model = CharRNN(parameters)
    model.h0.requires_grad = True
    xs, labels = np.eye(3)[[0, 2, 1]], np.array([2, 1, 1])
    model(xs, labels).backward()
    by_hand = recursion(parameters, xs, labels).gradients.h0
    np.testing.assert_allclose(model.h0.grad, by_hand, rtol=1e-13)
    np.testing.assert_allclose(complex_step(parameters, xs, labels)["h0"].values, by_hand, rtol=1e-12)


def test_hidden_states_gradients_are_the_recursions_terms():
    from tinygrad_rnn import graph

    parameters = draw_parameters(3, 4, seed=1)
    xs, labels = np.eye(3)[[0, 2, 1]], np.array([2, 1, 1])
    loss = CharRNN(parameters)(xs, labels)
    loss.backward()
    norms = {n.name: n.grad_norm for n in graph(loss).nodes}
    terms = recursion(parameters, xs, labels)
    for t in (1, 2, 3):
        assert norms[f"h_{t}"] == pytest.approx(np.linalg.norm(terms.delta_h[t - 1]), rel=1e-13)


def test_the_tolerance_is_far_from_a_wrong_formula_and_from_rounding():
    parameters = draw_parameters(5, 8, seed=2)
    xs, labels = np.eye(5)[[0, 1, 2, 3]], np.array([1, 2, 3, 4])
    right = compare(parameters, xs, labels)
    assert max(d.relative for d in right.differences) < TOLERANCE / 100
    wrong = compare(parameters, xs, labels, "tanh")
    assert wrong.agree
    tape = CharRNN(parameters)
    tape(xs, labels).backward()
    other = recursion(parameters, xs, labels, "sigmoid").gradients
    assert np.max(np.abs(tape.W_hh.grad - other.W_hh)) > 1e6 * TOLERANCE


def test_slides_by_the_tape():
    loss, tape = slides_by_tape()
    rows = {row.symbol: row for row in SLIDES}
    assert {"dL/dW_xh", "dL/dW_hh", "dL/dW_hy", "δh_1", "δh_2", "δh_3", "δ_1", "δ_2", "δ_3", "L"} <= tape.keys()
    for symbol, value in tape.items():
        assert value == pytest.approx(rows[symbol].right, rel=1e-14)
    assert loss.item() == tape["L"]


@pytest.mark.parametrize(
    ("V", "H", "message"), [(0, 3, "vocabulary must be at least 1"), (3, 0, "hidden must be at least 1")]
)
def test_sizes(V, H, message):
    with pytest.raises(ValueError, match=message):
        draw_parameters(V, H, seed=0)


def test_parameters_are_drawn_by_the_seed():
    a, b, c = draw_parameters(3, 4, 5), draw_parameters(3, 4, 5), draw_parameters(3, 4, 6)
    for field in fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))
    assert not np.array_equal(a.W_hh, c.W_hh)
