"""The slides' three-step example: every number that they print, beside the right one.

    h_t = tanh(W_hh h_{t-1} + W_xh x_t)      o_t = W_hy h_t      L = ½ Σ_t (o_t - y_t)²
    x = 0.5, 0.1, 0.4    y = 0.4, 0.2, 0.1    W_xh = 0.6, W_hh = 0.9, W_hy = 0.8, h_0 = 0

The slides send the error back through tanh's derivative at the step where it *arrives*; it belongs to the step that
the error *comes from*:

    printed  δh_t = δo_t W_hy + δh_{t+1} W_hh (1 - h_t²)
    right    δh_t = δo_t W_hy + δh_{t+1} W_hh (1 - h_{t+1}²)

Source: 001, "3. Concrete example". A number that the slides print twice has one row; the slide of
the δ_t is itself there twice.
"""

from dataclasses import dataclass
from math import tanh
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["right", "rounding", "slip", "carried slip", "wrong formula"]


@dataclass(frozen=True)
class SlideNumber:
    """One printed number, and the same quantity computed in three ways, in full precision."""

    step: int  # of the slides' five
    symbol: str
    printed: float
    decimals: int  # that are printed
    right: float
    by_their_formula: float  # the slides' formulas, run from the start with nothing rounded
    by_their_line: float  # the arithmetic of the line itself, on the rounded numbers that stand in it
    reason: str

    @property
    def consistent(self) -> bool:
        """|printed - right| <= half a unit of the last digit printed."""
        return self._prints(self.right)

    @property
    def follows(self) -> bool:
        """The printed number is what the numbers in its own line give: their arithmetic is right here."""
        return self._prints(self.by_their_line)

    @property
    def kind(self) -> Kind:
        """Why the number isn't the right one, the gravest cause first.

        "wrong formula" is the recursion of the δh_t and all that follows from it; "slip" is arithmetic that the line
        itself contradicts. "rounding" is at most two units of the last digit, from intermediates that were rounded;
        what is further off, though its formula and its line are right, carries a slip from an earlier line.
        """
        if self.consistent:
            return "right"
        if self.by_their_formula != self.right:
            return "wrong formula"
        if not self.follows:
            return "slip"
        return "rounding" if self._units(self.right) <= 2 else "carried slip"

    def _prints(self, value: float) -> bool:
        return self._units(value) <= 0.5 + 1e-9  # a tie such as 0.28035 may be rounded either way

    def _units(self, value: float) -> float:
        return abs(self.printed - value) * 10.0**self.decimals


def _example(comes_from: Literal["step t", "step t+1"]) -> dict[str, float]:
    """Every quantity of the example; `comes_from` is the step whose tanh' multiplies the error that enters step t."""
    x, y = (0.5, 0.1, 0.4), (0.4, 0.2, 0.1)
    W_xh, W_hh, W_hy = 0.6, 0.9, 0.8
    q: dict[str, float] = {"h_0": 0.0}
    for t in (1, 2, 3):
        q[f"W_hh h_{t - 1}"] = W_hh * q[f"h_{t - 1}"]
        q[f"W_xh x_{t}"] = W_xh * x[t - 1]
        q[f"z_{t}"] = q[f"W_hh h_{t - 1}"] + q[f"W_xh x_{t}"]
        q[f"h_{t}"] = tanh(q[f"z_{t}"])
        q[f"o_{t}"] = W_hy * q[f"h_{t}"]
        q[f"δo_{t}"] = q[f"o_{t}"] - y[t - 1]
        q[f"(o_{t} - y_{t})²"] = q[f"δo_{t}"] ** 2
        q[f"δo_{t} h_{t}"] = q[f"δo_{t}"] * q[f"h_{t}"]
        q[f"δo_{t} W_hy"] = q[f"δo_{t}"] * W_hy
        q[f"h_{t}²"] = q[f"h_{t}"] ** 2
        q[f"1 - h_{t}²"] = 1 - q[f"h_{t}²"]
    q["Σ (o_t - y_t)²"] = sum(q[f"(o_{t} - y_{t})²"] for t in (1, 2, 3))
    q["L"] = q["Σ (o_t - y_t)²"] / 2
    q["dL/dW_hy"] = sum(q[f"δo_{t} h_{t}"] for t in (1, 2, 3))

    q["δh_3"] = q["δo_3 W_hy"]
    for t in (2, 1):
        slope = q[f"1 - h_{t}²"] if comes_from == "step t" else q[f"1 - h_{t + 1}²"]
        q[f"δh_{t + 1} W_hh tanh'"] = q[f"δh_{t + 1}"] * W_hh * slope
        q[f"δh_{t}"] = q[f"δo_{t} W_hy"] + q[f"δh_{t + 1} W_hh tanh'"]
    for t in (1, 2, 3):
        q[f"δ_{t}"] = q[f"δh_{t}"] * q[f"1 - h_{t}²"]
        q[f"δ_{t} h_{t - 1}"] = q[f"δ_{t}"] * q[f"h_{t - 1}"]
        q[f"δ_{t} x_{t}"] = q[f"δ_{t}"] * x[t - 1]
    q["dL/dW_hh"] = sum(q[f"δ_{t} h_{t - 1}"] for t in (1, 2, 3))
    q["dL/dW_xh"] = sum(q[f"δ_{t} x_{t}"] for t in (1, 2, 3))
    return q


_RIGHT = "Right to the digits printed."
_FROM_H3 = "The line is right, but it starts from the slip in h_3."

# (step, symbol, as printed, the line's own arithmetic, reason)
_PRINTED: tuple[tuple[int, str, str, float, str], ...] = (
    (1, "z_1", "0.3", 0.9 * 0 + 0.6 * 0.5, _RIGHT),
    (1, "h_1", "0.2913", tanh(0.3), _RIGHT),
    (1, "o_1", "0.2330", 0.8 * 0.2913, "h_1 was rounded first: 0.8 × 0.29131 is 0.23305, and prints as 0.2331."),
    (1, "W_hh h_1", "0.2622", 0.9 * 0.2913, _RIGHT),
    (1, "W_xh x_2", "0.06", 0.6 * 0.1, _RIGHT),
    (1, "z_2", "0.3222", 0.2622 + 0.06, _RIGHT),
    (1, "h_2", "0.3115", tanh(0.3222), _RIGHT),
    (1, "o_2", "0.2492", 0.8 * 0.3115, _RIGHT),
    (1, "W_hh h_2", "0.2803", 0.9 * 0.3115, _RIGHT),
    (1, "W_xh x_3", "0.24", 0.6 * 0.4, _RIGHT),
    (1, "z_3", "0.5203", 0.2803 + 0.24, _RIGHT),
    (1, "h_3", "0.4775", tanh(0.5203), "A slip: tanh(0.5203) is 0.4779, and 0.4780 before z_3 is rounded."),
    (1, "o_3", "0.3820", 0.8 * 0.4775, _FROM_H3),
    (2, "(o_1 - y_1)²", "0.0279", (0.2330 - 0.4) ** 2, _RIGHT),
    (2, "(o_2 - y_2)²", "0.0024", (0.2492 - 0.2) ** 2, _RIGHT),
    (2, "(o_3 - y_3)²", "0.0789", (0.3820 - 0.1) ** 2, "A slip: 0.2820² is 0.0795, and 0.0797 with the right h_3."),
    (2, "Σ (o_t - y_t)²", "0.1092", 0.0279 + 0.0024 + 0.0789, "The sum is right, but its last term isn't 0.0789."),
    (2, "L", "0.0546", 0.1092 / 2, "Half of a sum that carries two slips, h_3 and 0.0789."),
    (3, "δo_3", "0.2820", 0.3820 - 0.1, _FROM_H3),
    (3, "δo_2", "0.0492", 0.2492 - 0.2, _RIGHT),
    (3, "δo_1", "-0.1670", 0.2330 - 0.4, "o_1 was rounded first: -0.16695 prints as -0.1669."),
    (3, "δo_1 h_1", "-0.0486", -0.1670 * 0.2913, _RIGHT),
    (3, "δo_2 h_2", "0.0153", 0.0492 * 0.3115, _RIGHT),
    (3, "δo_3 h_3", "0.1347", 0.2820 * 0.4775, _FROM_H3),
    (
        3,
        "dL/dW_hy",
        "0.1014",
        -0.0486 + 0.0153 + 0.1347,
        "The sum is right, but its last term carries the slip in h_3.",
    ),
    (4, "δh_3", "0.2256", 0.2820 * 0.8, _FROM_H3),
    (4, "δo_2 W_hy", "0.0394", 0.0492 * 0.8, "δo_2 was rounded first: 0.8 × 0.04918 prints as 0.0393."),
    (4, "h_2²", "0.0970", 0.3115**2, _RIGHT),
    (4, "1 - h_2²", "0.9030", 1 - 0.0970, "Right as 1 - h_2², but the next product wants 1 - h_3²."),
    (
        4,
        "δh_3 W_hh tanh'",
        "0.1830",
        0.2256 * 0.9 * 0.9030,
        "tanh' is taken at step 2, not 3; and the line gives 0.1833.",
    ),
    (4, "δh_2", "0.2224", 0.0394 + 0.1830, "The sum is right, but its second term has tanh' of the wrong step."),
    (4, "δo_1 W_hy", "-0.1336", -0.1670 * 0.8, _RIGHT),
    (4, "h_1²", "0.0849", 0.2913**2, _RIGHT),
    (4, "1 - h_1²", "0.9151", 1 - 0.0849, "Right as 1 - h_1², but the next product wants 1 - h_2²."),
    (4, "δh_2 W_hh tanh'", "0.1832", 0.2224 * 0.9 * 0.9151, "tanh' is taken at step 1, not 2, on a wrong δh_2."),
    (4, "δh_1", "0.0496", -0.1336 + 0.1832, "The sum is right, but two factors tanh' of the wrong step are in it."),
    (5, "δ_1", "0.0454", 0.0496 * 0.9151, "The formula of this line is right, δh_1 isn't."),
    (5, "δ_2", "0.2008", 0.2224 * 0.9030, "The formula of this line is right, δh_2 isn't."),
    (5, "h_3²", "0.2280", 0.4775**2, _FROM_H3),
    (5, "1 - h_3²", "0.7720", 1 - 0.2280, _FROM_H3),
    (5, "δ_3", "0.1743", 0.2256 * 0.7720, "Right by luck: the line gives 0.1742, and the slip undoes what h_3's did."),
    (5, "δ_1 h_0", "0", 0.0454 * 0, "Right whatever δ_1 is, because h_0 = 0."),
    (5, "δ_2 h_1", "0.0585", 0.2008 * 0.2913, "The formula of this line is right, δ_2 isn't."),
    (5, "δ_3 h_2", "0.0543", 0.1743 * 0.3115, _RIGHT),
    (5, "dL/dW_hh", "0.1128", 0 + 0.0585 + 0.0543, "The sum is right, but δ_2 isn't."),
    (5, "δ_1 x_1", "0.0227", 0.0454 * 0.5, "The formula of this line is right, δ_1 isn't."),
    (5, "δ_2 x_2", "0.0201", 0.2008 * 0.1, "The formula of this line is right, δ_2 isn't."),
    (5, "δ_3 x_3", "0.0697", 0.1743 * 0.4, _RIGHT),
    (5, "dL/dW_xh", "0.1125", 0.0227 + 0.0201 + 0.0697, "The sum is right, but δ_1 and δ_2 aren't."),
)


def _slides() -> tuple[SlideNumber, ...]:
    right, theirs = _example("step t+1"), _example("step t")
    return tuple(
        SlideNumber(
            step, symbol, float(text), len(text.partition(".")[2]), right[symbol], theirs[symbol], by_line, reason
        )
        for step, symbol, text, by_line, reason in _PRINTED
    )


SLIDES = _slides()
