import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.bptt import Parameters, central_difference, complex_step, double_sum, recursion

from .problems import problem


def test_parameters_hold_float64() -> None:
    whole = Parameters([[1]], [[1]], [1], [[1]], [1], np.ones(1, np.float32))  # type: ignore[arg-type]
    assert {value.dtype for value in asdict(whole).values()} == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("W_hh", np.ones((4, 3)), "Parameters: W_hh has shape (4, 3), wanted (4, 4): W_xh says H = 4, W_hy says O = 3"),
        ("b_h", np.ones(3), "Parameters: b_h has shape (3,), wanted (4,)"),
        ("W_hy", np.ones((3, 5)), "Parameters: W_hy has shape (3, 5), wanted (3, 4)"),
        ("b_y", np.ones((3, 1)), "Parameters: b_y has shape (3, 1), wanted (3,)"),
        ("h0", np.ones(()), "Parameters: h0 has shape (), wanted (4,)"),
        ("W_xh", np.ones(4), "Parameters: W_xh has shape (4,), wanted [H, I] with no size 0"),
        ("W_xh", np.ones((4, 0)), "Parameters: W_xh has shape (4, 0), wanted [H, I] with no size 0"),
        ("b_y", [0.0, np.inf, 0.0], "Parameters: b_y[1] is inf, wanted finite numbers"),
        ("b_y", [0j, 0j, 0j], "Parameters: b_y has dtype complex128, wanted real numbers"),
    ],
)
def test_parameters_that_do_not_fit(name: str, value: Any, message: str) -> None:
    good = asdict(problem().parameters)
    with pytest.raises(ValueError, match=re.escape(message)):
        Parameters(**(good | {name: value}))


@pytest.mark.parametrize("function", [recursion, double_sum, complex_step, central_difference])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "gelu"}, "activation is 'gelu', wanted one of tanh, relu, sigmoid, identity"),
        ({"xs": np.ones((5, 2))}, "xs has shape (5, 2), wanted [T, I] with I = 3, W_xh's columns"),
        ({"xs": np.ones(3)}, "xs has shape (3,), wanted [T, I] with I = 3"),
        ({"xs": np.ones((0, 3)), "labels": np.ones(0, int)}, "xs has T = 0 steps, wanted at least 1"),
        ({"xs": np.full((5, 3), np.nan)}, "xs[0, 0] is nan, wanted finite numbers"),
        ({"labels": np.zeros(4, int)}, "labels have shape (4,), wanted (5,): one for each step of xs"),
        ({"labels": [0, 1, 3, 0, 0]}, "labels[2] is 3, wanted 0 <= label < 3, W_hy's rows"),
        ({"labels": [-1, 1, 0, 0, 0]}, "labels[0] is -1, wanted 0 <= label < 3"),
        ({"labels": np.zeros(5)}, "labels have dtype float64, wanted integers"),
    ],
)
def test_sequences_that_do_not_fit(function: Callable[..., Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{function.__name__}: {message}")):
        function(**(problem()._asdict() | change))
