import numpy as np
import pytest

from tinygrad_rnn.bptt import Activation, Parameters, double_sum, recursion

from .problems import ACTIVATIONS, problem


def test_a_term_needs_k_up_to_t() -> None:
    found = double_sum(*problem(6))
    above = np.triu_indices(6, 1)
    assert not found.terms[above].any()
    assert not found.delta_h[above].any()
    assert (found.terms[np.tril_indices(6)] > 0).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_row_is_the_gradient_of_the_loss_at_one_step(activation: Activation) -> None:
    """dL_t/dh_k, found by the recursion over a sequence cut after t, less the same cut after t-1."""
    parameters, xs, labels = problem(5)
    found = double_sum(parameters, xs, labels, activation)
    until = [np.zeros((5, 4))]
    for t in range(1, 6):
        delta_h = recursion(parameters, xs[:t], labels[:t], activation).delta_h
        until.append(np.vstack([delta_h, np.zeros((5 - t, 4))]))
    np.testing.assert_allclose(found.delta_h, np.diff(until, axis=0), atol=1e-14)


def test_with_h0_at_zero_the_first_use_counts_for_nothing() -> None:
    p, xs, labels = problem(5)
    found = double_sum(Parameters(p.W_xh, p.W_hh, p.b_h, p.W_hy, p.b_y, np.zeros(4)), xs, labels)
    assert not found.terms[:, 0].any()
    assert found.delta_h[:, 0].any()


def test_terms_vanish_with_the_distance() -> None:
    """W_hh = ½·I and f' <= 1: dL_t/dh_k loses at least half at every step back."""
    p, xs, labels = problem(12)
    halving = Parameters(p.W_xh, np.eye(4) / 2, p.b_h, p.W_hy, p.b_y, p.h0)
    norms = np.linalg.norm(double_sum(halving, xs, labels).delta_h, axis=2)
    for t in range(12):
        assert (norms[t, :t] <= 0.5 * norms[t, 1 : t + 1]).all()
