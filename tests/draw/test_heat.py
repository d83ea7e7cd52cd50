import math

import pytest

from tinygrad_rnn.draw import draw
from tinygrad_rnn.draw.heat import Heat, ink_on, short_number
from tinygrad_rnn.draw.theme import DARK, LIGHT, Theme

from .graphs import Builder, rnn


def test_no_norms_no_heat() -> None:
    assert Heat.of([]) is None
    assert Heat.of([None, None]) is None


def test_the_scale_is_logarithmic() -> None:
    heat = Heat.of([0.001, None, 1.0])
    assert heat is not None
    assert heat.fill(0.001) == "#fff7ec"
    assert heat.fill(1.0) == "#7f0000"
    assert heat.fill(10**-1.5) == "#fc8d59"  # the middle
    assert heat.ticks(4) == pytest.approx([0.001, 0.01, 0.1, 1.0])


def test_the_scale_is_floored() -> None:
    heat = Heat.of([1e-38, 0.5, 1.0])
    assert heat is not None
    assert heat.floored
    assert heat.ticks()[0] == pytest.approx(1e-6)
    assert heat.fill(1e-38) == heat.fill(1e-7) == heat.fill(0.0) == "#fff7ec"


def test_a_zero_is_below_every_floor() -> None:
    heat = Heat.of([0.0, 1.0])
    assert heat is not None
    assert heat.floored
    assert heat.fill(0.0) == LIGHT.heat[0]


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
        assert len(ink_on(heat.fill(norm))) == 7
        colour, width = heat.flow(norm)
        assert len(colour) == 7
        assert 0 < width <= 3
    assert heat.fill(math.nan) == heat.fill(math.inf) == LIGHT.broken


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def seen_by_a_deuteranope(colour: str) -> tuple[float, float, float]:
    """Viénot, Brettel and Mollon (1999): linear RGB as seen without the middle cones."""
    r, g, b = ((int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5))
    return 0.29275 * r + 0.70725 * g, 0.29275 * r + 0.70725 * g, -0.02234 * r + 0.02234 * g + b


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_ink_is_legible_on_every_heat(theme: Theme) -> None:
    heat = Heat(cold=-1.0, hot=0.0, theme=theme)
    for k in range(101):
        fill = heat.fill(10 ** (k / 100 - 1))
        assert contrast(fill, ink_on(fill)) >= 4.5
    for fill in (theme.node, theme.broken):
        assert contrast(fill, ink_on(fill)) >= 4.5
    assert contrast(theme.ink, theme.paper) > 7
    assert contrast(theme.frame_ink, theme.frame) > 4.5
    for line in (theme.edge, theme.carry, theme.backward, *theme.rails[:2]):
        assert contrast(line, theme.paper) > 3


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_scale_can_be_read_without_hues(theme: Theme) -> None:
    """By lightness alone, in print or by colour-blind eyes: it changes the same way all along."""
    heat = Heat(cold=-1.0, hot=0.0, theme=theme)
    fills = [heat.fill(10 ** (k / 20 - 1)) for k in range(21)]
    for values in (
        [luminance(fill) for fill in fills],
        [sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), seen_by_a_deuteranope(f), strict=True)) for f in fills],
    ):
        assert values == sorted(values, reverse=theme is LIGHT)
        assert max(values) - min(values) > 0.4


def test_before_a_backward_pass_the_picture_says_so() -> None:
    svg = draw(rnn(3, norms=False), gradients=True).svg
    assert "no gradient yet, backward() has not run".replace(" ", "\xa0") in svg.replace(" ", "\xa0")
    assert "∇" not in svg
    assert "no gradient yet" not in draw(rnn(3), gradients=True).svg.replace("\xa0", " ")


def test_what_the_backward_pass_has_not_reached_is_told_apart() -> None:
    b = Builder()
    x = b.add(name="x", norm=1.0)
    b.add("tanh", x, name="reached", norm=0.0)
    b.add("exp", x, name="other")
    drawing = draw(b.graph(1, 2), gradients=True)
    fills = {shape.lines[0].split(" ")[0]: shape.fill for shape in drawing.picture.shapes}
    assert fills["other"] == LIGHT.node
    assert fills["reached"] == LIGHT.heat[0]
    assert [shape.lines for shape in drawing.picture.shapes if shape.lines == ("no gradient yet",)]


def test_without_gradients_there_is_no_heat_at_all() -> None:
    for theme in ("light", "dark"):
        drawing = draw(rnn(3), theme=theme)  # type: ignore[arg-type]
        assert {shape.fill for shape in drawing.picture.shapes} == {(LIGHT if theme == "light" else DARK).node}
        assert "∇" not in drawing.svg
        assert "backward" not in drawing.dot


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
