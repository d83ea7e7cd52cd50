import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.bptt import central_difference, complex_step

from .problems import NAMES, problem

WAYS = [complex_step, central_difference]


@pytest.mark.parametrize("way", WAYS)
def test_samples_are_drawn_by_the_seed_without_replacement(way: Callable[..., Any]) -> None:
    example = problem()
    first, again, other = (way(*example, samples=5, seed=seed) for seed in (1, 1, 2))
    assert tuple(first) == NAMES
    assert len(first["b_y"].indices) == 3  # all there are
    for name in NAMES:
        np.testing.assert_array_equal(first[name].indices, again[name].indices)
        assert len(set(first[name].indices)) == len(first[name].indices)
    assert not np.array_equal(first["W_hh"].indices, other["W_hh"].indices)


def test_both_ways_draw_the_same_entries() -> None:
    by_complex, by_difference = (way(*problem(), samples=5, seed=7) for way in (complex_step, central_difference))
    for name in NAMES:
        np.testing.assert_array_equal(by_complex[name].indices, by_difference[name].indices)


def test_more_entries_than_one_batch_holds() -> None:
    example = problem(3, 2, 12, 2)
    whole = complex_step(*example)["W_hh"]
    np.testing.assert_array_equal(whole.indices, np.arange(144))
    part = complex_step(*example, samples=10, seed=5)["W_hh"]
    np.testing.assert_allclose(part.values, whole.values[part.indices], rtol=1e-13)


def test_the_complex_step_needs_no_tuning() -> None:
    by_step = [complex_step(*problem(), step=step)["W_hh"].values for step in (1e-12, 1e-30, 1e-200)]
    np.testing.assert_allclose(by_step[0], by_step[1], rtol=1e-12)
    np.testing.assert_allclose(by_step[2], by_step[1], rtol=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"samples": 0}, "samples is 0, wanted at least 1, or None for every entry"),
        ({"step": 0.0}, "step is 0.0, wanted a positive finite number"),
        ({"step": float("nan")}, "step is nan, wanted a positive finite number"),
    ],
)
def test_options(way: Callable[..., Any], option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{way.__name__}: {message}")):
        way(*problem(), **option)
