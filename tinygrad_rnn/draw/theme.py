"""The colours of a drawing, light or dark. Pictures name colours by their role; the DOT writer asks the theme for them.

No colour is transparent and no style sheet is needed: what is on the screen comes out of a printer.
"""

from dataclasses import dataclass

__all__ = ["DARK", "LIGHT", "THEMES", "Theme"]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours by role. `heat` runs from cold to hot; `rails` are told apart by colour-blind readers too."""

    paper: str
    node: str  # a node without a gradient
    ink: str
    edge: str
    carry: str
    frame: str
    frame_border: str
    frame_ink: str
    faint: str  # what is not on the chosen path
    zero: str  # the colour of a line on which next to nothing flows back
    backward: str  # and on which the most does
    broken: str  # an infinite or undefined norm: no colour of the scale
    heat: tuple[str, ...]
    rails: tuple[str, ...]

    def colour(self, role: str) -> str:
        """The colour of a role such as "edge" or "rail3"; what is a colour already, or "none", stays."""
        if role.startswith("#") or role == "none":
            return role
        if role.startswith("rail"):
            return self.rails[int(role.removeprefix("rail")) % len(self.rails)]
        colour: str = getattr(self, role)
        return colour


LIGHT = Theme(
    paper="#ffffff",
    node="#ffffff",
    ink="#1a2433",
    edge="#5b6b80",
    carry="#0b3d91",
    frame="#f1f4f9",
    frame_border="#b9c6d8",
    frame_ink="#44546a",
    faint="#c9d0da",
    zero="#c9aaa3",
    backward="#b30000",
    broken="#3f007d",
    # ColorBrewer's OrRd.
    heat=("#fff7ec", "#fee8c8", "#fdd49e", "#fdbb84", "#fc8d59", "#ef6548", "#d7301f", "#b30000", "#7f0000"),
    # Okabe and Ito's palette; its yellow is darkened, as lines stand on white.
    rails=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a7000", "#56b4e9", "#e69f00", "#000000"),
)

DARK = Theme(
    paper="#12161d",
    node="#2a323e",
    ink="#e6ebf2",
    edge="#93a1b5",
    carry="#7fb2ff",
    frame="#1b212b",
    frame_border="#3a4556",
    frame_ink="#aab7c9",
    faint="#39424f",
    zero="#7d6a66",
    backward="#ff8f5a",
    broken="#00c8ff",
    # Lightness rises with the norm, as in matplotlib's inferno: on dark paper what is bright stands out.
    heat=("#2b1650", "#4a1a6b", "#6f1f70", "#94286a", "#b93a58", "#d95640", "#ef7a28", "#f9a524", "#fbd964"),
    rails=("#4aa8e0", "#ff8a3d", "#2fc79a", "#e3a0c6", "#f0e442", "#9ad3f5", "#ffc04d", "#ffffff"),
)

THEMES = {"light": LIGHT, "dark": DARK}
