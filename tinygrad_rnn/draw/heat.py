"""Gradient norms as heat: a theme's colours on a log scale, with ink that stays legible on them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .theme import LIGHT, Theme

__all__ = ["Heat", "ink_on", "short_number"]

_INKS = ("#1a2433", "#ffffff", "#000000")  # the first that is legible; one of the last two always is
_DECADES_AT_MOST = 6.0  # T = 100 spans 1e-38 to 1: without a floor all that one can still train on would look the same
_DECADES_AT_LEAST = 1.0  # norms that differ by a percent must not look like a vanishing gradient


@dataclass(frozen=True, slots=True)
class Heat:
    """The scale of one drawing: decimal logarithms of the norms at its cold and its hot end."""

    cold: float
    hot: float
    floored: bool = False  # whether there are norms below the cold end
    theme: Theme = LIGHT

    @classmethod
    def of(cls, norms: Iterable[float | None], theme: Theme = LIGHT) -> "Heat | None":
        """The scale that spans `norms`; None when no node has one, as before a backward pass."""
        known = [norm for norm in norms if norm is not None]
        if not known:
            return None
        logs = [math.log10(norm) for norm in known if norm > 0 and math.isfinite(norm)]
        hot = max(logs, default=0.0)
        cold = min(logs, default=0.0)
        floor = hot - _DECADES_AT_MOST
        cold = min(max(cold, floor), hot - _DECADES_AT_LEAST)
        return cls(cold, hot, min(logs, default=0.0) < floor or 0.0 in known, theme)

    def share(self, norm: float) -> float:
        """Where a finite norm stands on the scale: 0 at its cold end and below, 1 at its hot end."""
        if norm <= 0:
            return 0.0
        return min(max((math.log10(norm) - self.cold) / (self.hot - self.cold), 0.0), 1.0)

    def fill(self, norm: float) -> str:
        """The colour of a node whose gradient has this norm."""
        if not math.isfinite(norm):
            return self.theme.broken
        colours = self.theme.heat
        place = self.share(norm) * (len(colours) - 1)
        below = min(int(place), len(colours) - 2)
        return _mix(colours[below], colours[below + 1], place - below)

    def flow(self, norm: float, role: str | None = None) -> tuple[str, float]:
        """The colour and the width of a line along which a gradient of this norm flows; `role` is its own colour."""
        if not math.isfinite(norm):
            return self.theme.broken, 3.0
        share = self.share(norm)
        return _mix(self.theme.zero, self.theme.colour(role or "backward"), min(2 * share, 1.0)), 0.6 + 2.2 * share

    def ticks(self, count: int = 5) -> list[float]:
        """Norms evenly spread over the scale, cold to hot, for a legend."""
        return [10 ** (self.cold + (self.hot - self.cold) * i / (count - 1)) for i in range(count)]


def ink_on(fill: str) -> str:
    """The text colour that reads on `fill`: the contrast is 4.5 or more, as WCAG wants it."""
    behind = _luminance(fill)
    for ink in _INKS:
        low, high = sorted((behind, _luminance(ink)))
        if (high + 0.05) / (low + 0.05) >= 4.5:
            break
    return ink


def _luminance(colour: str) -> float:
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def short_number(value: float) -> str:
    """Two digits, as short as they can be written.

    >>> [short_number(v) for v in (0.3377, 1.0, 8.23e-39, 123.4, 0.0, float("inf"))]
    ['0.34', '1', '8e-39', '123', '0', 'inf']
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if 1e-3 <= abs(value) < 100:
        return f"{float(f'{value:.2g}'):g}"  # 99.7 is 100, not 1e+02
    if 100 <= abs(value) < 9999.5:
        return f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _mix(first: str, second: str, share: float) -> str:
    mixed = (round(a + (b - a) * share) for a, b in zip(_channels(first), _channels(second), strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
