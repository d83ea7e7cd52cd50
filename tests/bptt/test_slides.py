"""The slides' numbers against the complex step, on the example written out once more here."""

import cmath
from collections import Counter

import pytest

from tinygrad_rnn.bptt import SLIDES

X, Y = (0.5, 0.1, 0.4), (0.4, 0.2, 0.1)
STEP = 1e-30
ROWS = {row.symbol: row for row in SLIDES}


def loss(**nudge: complex) -> complex:
    """L, with `nudge` added to W_xh, W_hh, W_hy, or to z_t, h_t or o_t as they are computed."""
    W_xh, W_hh, W_hy = (value + nudge.get(name, 0) for name, value in (("W_xh", 0.6), ("W_hh", 0.9), ("W_hy", 0.8)))
    h, total = 0j, 0j
    for t in (1, 2, 3):
        h = cmath.tanh(W_hh * h + W_xh * X[t - 1] + nudge.get(f"z_{t}", 0)) + nudge.get(f"h_{t}", 0)
        total += (W_hy * h + nudge.get(f"o_{t}", 0) - Y[t - 1]) ** 2 / 2
    return total


def derivative(name: str) -> float:
    return loss(**{name: 1j * STEP}).imag / STEP


@pytest.mark.parametrize(
    ("symbol", "name"),
    [(f"dL/d{name}", name) for name in ("W_xh", "W_hh", "W_hy")]
    + [(f"{delta}_{t}", f"{of}_{t}") for delta, of in (("δo", "o"), ("δh", "h"), ("δ", "z")) for t in (1, 2, 3)],
)
def test_right_by_complex_step(symbol: str, name: str) -> None:
    assert ROWS[symbol].right == pytest.approx(derivative(name), rel=1e-13)


def test_the_loss() -> None:
    assert ROWS["L"].right == pytest.approx(loss().real, rel=1e-14)


def test_the_terms_add_up() -> None:
    for column in ("right", "by_their_formula"):
        value = {symbol: getattr(row, column) for symbol, row in ROWS.items()}
        assert value["dL/dW_hh"] == pytest.approx(value["δ_1 h_0"] + value["δ_2 h_1"] + value["δ_3 h_2"])
        assert value["dL/dW_xh"] == pytest.approx(value["δ_1 x_1"] + value["δ_2 x_2"] + value["δ_3 x_3"])
        assert value["δh_1"] == pytest.approx(value["δo_1 W_hy"] + value["δh_2 W_hh tanh'"])
        assert value["L"] == pytest.approx(sum(value[f"(o_{t} - y_{t})²"] for t in (1, 2, 3)) / 2)


def test_every_number_is_judged_once() -> None:
    assert len(ROWS) == len(SLIDES) == 49
    assert Counter(row.kind for row in SLIDES) == {
        "right": 24,
        "rounding": 3,
        "slip": 2,
        "carried slip": 9,
        "wrong formula": 11,
    }
    for row in SLIDES:
        assert row.consistent == (row.kind == "right") == (abs(row.printed - row.right) <= 0.500001 * 10**-row.decimals)
        assert row.reason.endswith(".")


def test_what_their_recursion_spoils() -> None:
    assert [row.symbol for row in SLIDES if row.kind == "wrong formula"] == [
        *("δh_3 W_hh tanh'", "δh_2", "δh_2 W_hh tanh'", "δh_1", "δ_1", "δ_2"),
        *("δ_2 h_1", "dL/dW_hh", "δ_1 x_1", "δ_2 x_2", "dL/dW_xh"),
    ]


def test_their_arithmetic() -> None:
    assert [row.symbol for row in SLIDES if not row.follows] == ["h_3", "(o_3 - y_3)²", "δh_3 W_hh tanh'", "δ_3"]
