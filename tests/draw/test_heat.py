import math

import pytest

from tinygrad_rnn.draw.heat import DARK_INK, WHITE, Heat, ink_on, short_number


def test_no_norms_no_heat() -> None:
    assert Heat.of([]) is None
    assert Heat.of([None, None]) is None


def test_the_scale_is_logarithmic() -> None:
    heat = Heat.of([0.001, None, 1.0])
    assert heat is not None
    assert heat.fill(0.001) == "#fff7ec"
    assert heat.fill(1.0) == "#7f0000"
    assert heat.fill(10**-1.5) == "#fc8d59"  # the middle
    assert heat.fill(None) == heat.fill(0.0) == WHITE
    assert heat.ticks(4) == pytest.approx([0.001, 0.01, 0.1, 1.0])


def test_the_scale_is_floored() -> None:
    heat = Heat.of([1e-38, 0.5, 1.0])
    assert heat is not None
    assert heat.floored
    assert heat.ticks()[0] == pytest.approx(1e-6)
    assert heat.fill(1e-38) == heat.fill(1e-7) == "#fff7ec"


def test_equal_norms_dont_span_the_scale() -> None:
    heat = Heat.of([0.99, 1.0])
    assert heat is not None
    assert heat.ticks()[0] == pytest.approx(0.1)
    assert heat.fill(0.99) != "#fff7ec"


@pytest.mark.parametrize("norms", [[0.0], [math.nan], [math.inf, 0.0], [5e-324, 1.7e308]])
def test_extreme_norms(norms: list[float]) -> None:
    heat = Heat.of(norms)
    assert heat is not None
    for norm in (*norms, 1.0, math.nan, math.inf, 5e-324):
        assert len(heat.fill(norm)) == 7
        assert ink_on(heat.fill(norm)) in (WHITE, DARK_INK)
    assert heat.fill(math.nan) == heat.fill(math.inf) not in (heat.fill(1.0), WHITE)


def test_ink_is_legible_on_every_heat() -> None:
    heat = Heat(cold=-1.0, hot=0.0)

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for k in range(101):
        fill = heat.fill(10 ** (k / 100 - 1))
        low, high = sorted([luminance(fill), luminance(ink_on(fill))])
        assert (high + 0.05) / (low + 0.05) > 3.8


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3377, "0.34"),
        (1.0, "1"),
        (8.23e-39, "8e-39"),
        (0.00099, "1e-3"),
        (123.4, "123"),
        (99.7, "100"),
        (12345, "1e4"),
    ],
)
def test_short_number(value: float, text: str) -> None:
    assert short_number(value) == text
