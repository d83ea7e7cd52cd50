"""The ways share no code, so that their agreement means something."""

import ast
from pathlib import Path

import numpy as np
import pytest

from tinygrad_rnn import bptt
from tinygrad_rnn.bptt import Activation, central_difference, complex_step, double_sum, recursion
from tinygrad_rnn.bptt.model import FloatArray, IntArray

from .problems import ACTIVATIONS, NAMES, assert_agree, problem

PACKAGE = Path(bptt.__file__).parent

# T, I, H, O
SIZES = [(1, 1, 1, 1), (1, 3, 4, 2), (6, 1, 1, 2), (6, 2, 5, 1), (5, 3, 4, 3), (12, 7, 8, 5), (25, 10, 16, 11)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES)
def test_recursion_and_double_sum(sizes: tuple[int, int, int, int], activation: Activation, seed: int) -> None:
    example = problem(*sizes, seed=seed)
    by_recursion = recursion(*example, activation)
    by_double_sum = double_sum(*example, activation)
    assert_agree(by_double_sum.gradients, by_recursion.gradients)
    assert by_double_sum.loss == pytest.approx(by_recursion.loss, rel=1e-13)
    np.testing.assert_allclose(by_double_sum.delta_h.sum(axis=0), by_recursion.delta_h, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES[:-1])
def test_every_entry_by_complex_step(sizes: tuple[int, int, int, int], activation: Activation) -> None:
    example = problem(*sizes, seed=3)
    gradients = recursion(*example, activation).gradients
    for name, found in complex_step(*example, activation).items():
        gradient = getattr(gradients, name)
        assert len(found.indices) == gradient.size
        assert np.abs(found.values - found.of(gradient)).max() <= 1e-12 * np.abs(gradient).max() + 1e-15


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_samples_by_central_difference(activation: Activation) -> None:
    example = problem(10, 3, 8, 4, seed=4)
    gradients = recursion(*example, activation).gradients
    for name, found in central_difference(*example, activation, samples=9).items():
        gradient = getattr(gradients, name)
        assert np.abs(found.values - found.of(gradient)).max() <= 1e-8 * max(1, np.abs(gradient).max())


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_extreme_weights_stay_finite(activation: Activation) -> None:
    """Warnings are errors in this suite: nothing may overflow on the way either."""
    example = problem(4, scale=300.0)
    found = complex_step(*example, activation, samples=3)
    for gradients in (recursion(*example, activation).gradients, double_sum(*example, activation).gradients):
        for name in NAMES:
            assert np.isfinite(getattr(gradients, name)).all()
            assert np.isfinite(found[name].values).all()


def test_at_the_kink_of_relu_the_slope_is_0_in_all_but_the_central_difference() -> None:
    parameters, xs, labels = problem(1, 2, 3, 2)
    still = bptt.Parameters(parameters.W_xh, parameters.W_hh, np.zeros(3), parameters.W_hy, parameters.b_y, np.zeros(3))
    at_kink: tuple[bptt.Parameters, FloatArray, IntArray, Activation] = (still, 0 * xs, labels, "relu")
    zero = [
        recursion(*at_kink).gradients.b_h,
        double_sum(*at_kink).gradients.b_h,
        complex_step(*at_kink)["b_h"].values,
    ]
    np.testing.assert_array_equal(zero, np.zeros((3, 3)))
    slope_on = recursion(still, 0 * xs, labels, "identity").gradients.b_h
    np.testing.assert_allclose(central_difference(*at_kink)["b_h"].values, slope_on / 2, rtol=1e-4)


def imported_by(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path.name}: an import from outside the derivation"
            names.add(f"tinygrad_rnn.bptt.{node.module}" if node.level else node.module or "")
    return names


STANDARD = {"collections.abc", "dataclasses", "functools", "math", "typing", "numpy", "numpy.typing"}


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_imports_numpy_and_no_engine(path: Path) -> None:
    if path.name == "compare.py":
        pytest.skip("the one file that sees both sides")
    allowed = {f"tinygrad_rnn.bptt.{other.stem}" for other in PACKAGE.glob("*.py")} - {"tinygrad_rnn.bptt.compare"}
    assert imported_by(path) <= STANDARD | allowed


@pytest.mark.parametrize("way", ["recursion", "double_sum", "numerical"])
def test_the_ways_share_no_code(way: str) -> None:
    ours = {name for name in imported_by(PACKAGE / f"{way}.py") if name.startswith("tinygrad_rnn")}
    assert ours == {"tinygrad_rnn.bptt.model"}
