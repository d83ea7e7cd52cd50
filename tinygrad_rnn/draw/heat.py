"""Gradient norms as heat: ColorBrewer's OrRd on a log scale, with ink that stays legible on it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DARK_INK", "WHITE", "Heat", "ink_on", "short_number"]

WHITE = "#ffffff"
DARK_INK = "#1a2433"
_BROKEN = "#3f007d"  # an infinite or undefined norm: a violet that no scale contains
_OR_RD = ("#fff7ec", "#fee8c8", "#fdd49e", "#fdbb84", "#fc8d59", "#ef6548", "#d7301f", "#b30000", "#7f0000")
_DECADES_AT_MOST = 6.0  # T = 100 spans 1e-38 to 1: without a floor all that one can still train on would look the same
_DECADES_AT_LEAST = 1.0  # norms that differ by a percent must not look like a vanishing gradient


@dataclass(frozen=True, slots=True)
class Heat:
    """The scale of one drawing: decimal logarithms of the norms at its cold and its hot end."""

    cold: float
    hot: float
    floored: bool = False  # whether there are norms below the cold end

    @classmethod
    def of(cls, norms: Iterable[float | None]) -> "Heat | None":
        """The scale that spans `norms`; None when no node has one, as before a backward pass."""
        known = [norm for norm in norms if norm is not None]
        if not known:
            return None
        logs = [math.log10(norm) for norm in known if norm > 0 and math.isfinite(norm)]
        hot = max(logs, default=0.0)
        cold = min(logs, default=0.0)
        floor = hot - _DECADES_AT_MOST
        return cls(cold=min(max(cold, floor), hot - _DECADES_AT_LEAST), hot=hot, floored=cold < floor)

    def fill(self, norm: float | None) -> str:
        """The colour of a node whose gradient has this norm: white for none and for exactly zero."""
        if norm is None or norm == 0:
            return WHITE
        if not math.isfinite(norm):
            return _BROKEN
        share = (math.log10(norm) - self.cold) / (self.hot - self.cold)
        place = min(max(share, 0.0), 1.0) * (len(_OR_RD) - 1)
        below = min(int(place), len(_OR_RD) - 2)
        return _mix(_OR_RD[below], _OR_RD[below + 1], place - below)

    def ticks(self, count: int = 5) -> list[float]:
        """Norms evenly spread over the scale, cold to hot, for a legend."""
        return [10 ** (self.cold + (self.hot - self.cold) * i / (count - 1)) for i in range(count)]


def ink_on(fill: str) -> str:
    """The text colour that reads on `fill`: white where its relative luminance is low."""
    red, green, blue = (channel / 255 for channel in _channels(fill))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return WHITE if luminance < 0.22 else DARK_INK


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
