"""Transposes made contiguous, once in a backward pass."""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.turned import backward_pass, turned

RNG = np.random.default_rng(0)


def test_outside_a_backward_pass_it_is_a_view():
    a = RNG.standard_normal((3, 4))
    for _ in range(3):
        assert np.shares_memory(turned(a), a)
        np.testing.assert_array_equal(turned(a), a.T)


def test_in_a_backward_pass_it_is_copied_at_the_second_use_and_kept():
    a = RNG.standard_normal((3, 4))
    with backward_pass():
        first, second, third = turned(a), turned(a), turned(a)
    assert np.shares_memory(first, a)
    assert not np.shares_memory(second, a)
    assert second.flags.c_contiguous
    assert third is second
    np.testing.assert_array_equal(second, a.T)


def test_nothing_is_kept_from_one_pass_to_the_next():
    a = RNG.standard_normal((3, 4))
    for _ in range(2):
        with backward_pass():
            for _ in range(3):
                np.testing.assert_array_equal(turned(a), a.T)
        a *= 2


def test_passes_nest():
    a = RNG.standard_normal((2, 3))
    with backward_pass():
        turned(a)
        kept = turned(a)
        with backward_pass():
            assert turned(a) is not kept
        assert turned(a) is kept


def test_only_matrices_are_kept():
    a = RNG.standard_normal((2, 3, 4))
    with backward_pass():
        for _ in range(3):
            assert np.shares_memory(turned(a), a)
            np.testing.assert_array_equal(turned(a), a.swapaxes(-1, -2))


def test_gradients_through_many_steps_are_those_of_the_weights_of_now():
    """Three training steps of a loop that uses one weight five times each, against one that never turns anything."""
    W = tg.tensor(RNG.standard_normal((3, 3)), requires_grad=True)
    h0 = RNG.standard_normal((2, 3))
    for _ in range(3):
        h = tg.asarray(h0)
        for _ in range(5):
            h = tg.tanh(h @ W)
        (h * h).sum().backward()
        state, states = h0, []
        for _ in range(5):
            state = np.tanh(state @ W.data)
            states.append(state)
        ct, want = 2 * state, np.zeros((3, 3))
        for before, after in zip([*states[-2::-1], h0], states[::-1], strict=True):
            delta = ct * (1 - after**2)
            want += before.T @ delta
            ct = delta @ W.data.T
        np.testing.assert_allclose(W.grad, want, rtol=1e-12)
        W.data -= 0.5 * W.grad
        W.grad = None
