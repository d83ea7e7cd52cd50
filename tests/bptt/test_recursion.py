import numpy as np
import pytest

from tinygrad_rnn.bptt import Activation, Parameters, recursion

from .problems import ACTIVATIONS, problem


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_terms_fit_together(activation: Activation) -> None:
    parameters, xs, labels = problem(6)
    r = recursion(parameters, xs, labels, activation)
    assert r.loss == pytest.approx(r.losses.sum())
    np.testing.assert_array_equal(r.h[0], parameters.h0)
    np.testing.assert_allclose(r.delta_z.sum(axis=1), 0, atol=1e-15)  # ŷ and e_label both sum to 1
    np.testing.assert_allclose(r.delta_h[-1], parameters.W_hy.T @ r.delta_z[-1])  # step T has no later step
    np.testing.assert_allclose(r.delta_h[:-1], r.delta_z[:-1] @ parameters.W_hy + r.delta[1:] @ parameters.W_hh)
    np.testing.assert_allclose(r.delta.T @ r.h[:-1], r.gradients.W_hh)
    np.testing.assert_allclose(r.delta.T @ xs, r.gradients.W_xh)


def test_a_case_worked_by_hand() -> None:
    """T = 1, identity, two classes whose logits are h and -h: L = log(1 + e^{-2h}) with h = 1, for label 0."""
    one = np.ones(1)
    p = Parameters(
        W_xh=np.ones((1, 1)), W_hh=np.ones((1, 1)), b_h=0 * one, W_hy=np.array([[1.0], [-1.0]]), b_y=np.zeros(2), h0=one
    )
    r = recursion(p, np.zeros((1, 1)), [0], "identity")
    slope = -2 / (1 + np.exp(2.0))  # dL/dh
    assert r.loss == pytest.approx(np.log1p(np.exp(-2.0)))
    assert r.gradients.W_hh[0, 0] == pytest.approx(slope)
    assert r.gradients.h0[0] == pytest.approx(slope)
    assert r.gradients.W_xh[0, 0] == 0
    np.testing.assert_allclose(r.gradients.b_y, [slope / 2, -slope / 2])


def test_inputs_are_left_alone() -> None:
    parameters, xs, labels = problem()
    before = [parameters.h0.copy(), xs.copy(), labels.copy()]
    r = recursion(parameters, xs, labels)
    r.gradients.h0[:] = r.h[:] = 7.0
    for now, then in zip((parameters.h0, xs, labels), before, strict=True):
        np.testing.assert_array_equal(now, then)
