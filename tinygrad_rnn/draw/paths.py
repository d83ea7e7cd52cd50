"""Curves that lines follow: rounded right angles, S-curves, and room for an arrow at the end. Knows no graph."""

from collections.abc import Sequence

from .picture import Point

__all__ = ["ARROW", "joined", "rounded", "s_curve", "straight", "with_arrow"]

ARROW = 5.5  # the length of an arrow of Graphviz's `arrowsize=.55`
_KAPPA = 0.5523  # the handle length at which a cubic Bézier curve comes closest to a quarter circle


def straight(start: Point, end: Point) -> tuple[Point, ...]:
    """One straight curve, `start` to `end`."""
    return (
        start,
        start.moved((end.x - start.x) / 3, (end.y - start.y) / 3),
        end.moved((start.x - end.x) / 3, (start.y - end.y) / 3),
        end,
    )


def s_curve(start: Point, end: Point) -> tuple[Point, ...]:
    """One curve that leaves `start` and arrives at `end` horizontally."""
    middle = (start.x + end.x) / 2
    return start, Point(middle, start.y), Point(middle, end.y), end


def joined(*pieces: Sequence[Point]) -> tuple[Point, ...]:
    """Curves one after the other; each starts where the one before it ends."""
    curve: list[Point] = []
    for piece in pieces:
        curve += piece[1:] if curve else piece
    return tuple(curve)


def rounded(corners: Sequence[Point], radius: float = 5.0) -> tuple[Point, ...]:
    """The polyline through `corners` with its corners rounded, less where there is no room."""
    points = [corners[0]]
    # Corners that coincide count once.
    points += [p for p, before in zip(corners[1:], corners, strict=False) if _distance(p, before) > 1e-6]
    if len(points) == 1:
        return straight(points[0], points[0])
    pieces: list[Sequence[Point]] = []
    here = points[0]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        r = min(radius, _distance(before, corner) / 2, _distance(corner, after) / 2)
        enter, leave = _towards(corner, before, r), _towards(corner, after, r)
        pieces.append(straight(here, enter))
        pieces.append((enter, _towards(enter, corner, r * _KAPPA), _towards(leave, corner, r * _KAPPA), leave))
        here = leave
    pieces.append(straight(here, points[-1]))
    return joined(*pieces)


def with_arrow(curve: tuple[Point, ...]) -> tuple[tuple[Point, ...], Point]:
    """`curve`, whose end must be straight, cut short by an arrow's length, and the point where the arrow's tip goes."""
    end, before = curve[-1], curve[-4]
    end_at = _towards(end, before, min(ARROW, _distance(end, before)))
    return joined(curve[:-3], straight(before, end_at)), end


def _distance(a: Point, b: Point) -> float:
    return float(((a.x - b.x) ** 2 + (a.y - b.y) ** 2) ** 0.5)


def _towards(start: Point, goal: Point, length: float) -> Point:
    whole = _distance(start, goal)
    if whole == 0:
        return start
    return Point(start.x + (goal.x - start.x) * length / whole, start.y + (goal.y - start.y) * length / whole)
