"""The backward pass beside the forward one: a dashed twin of each line along which a gradient flows, the other way.

Made from the finished picture: a twin runs beside its line, as a rule to the right of it as the line goes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from ..graph import Graph
from .heat import Heat
from .paths import ARROW, joined, straight
from .picture import Box, Line, Picture, Point, Shape

__all__ = ["with_twins"]

_BESIDE_ONE, _BESIDE_MANY = 4.5, 2.8  # from a line that runs by itself, from one among parallel ones
_SQUARE = 64.0  # of the grid that tells which boxes are near a point


def with_twins(picture: Picture, graph: Graph, heat: Heat, owners: Mapping[int, str]) -> Picture:
    """`picture` with the gradients that flow back, as wide as they are large on the scale of `heat`.

    Args:
        picture: with all its lines in place.
        graph: what it shows: the norms, and what each use of a tensor contributed if that was recorded.
        heat: the scale.
        owners: by node, the id of the shape that stands for it, alone or with others.
    """
    shapes = {shape.id: shape for shape in picture.shapes}
    flows = _flows(graph, owners)
    near = _near(picture.shapes)
    twins: list[Line] = []
    for line in picture.lines:
        norm = flows.get((line.tail, line.head))
        if norm is None:
            continue
        forward = line.curve if line.tip is None else joined(line.curve, straight(line.curve[-1], line.tip))
        by = _BESIDE_ONE if len(line.curve) == 4 and line.tip else _BESIDE_MANY
        # At the right of its line, unless a box is in the way.
        asides = (_moved_aside(forward, offset) for offset in (by, -by, by / 3))
        others = {line.tail, line.head}
        curve = next((c for c in asides if line.tip is None or not _hits(c, near, others)), forward)
        twins.append(_twin(line, curve, shapes[line.tail], shapes[line.head], norm, heat))
    return replace(picture, lines=(*twins, *picture.lines))


def _near(shapes: Iterable[Shape]) -> Mapping[tuple[int, int], list[Shape]]:
    """The shapes in each square of a grid."""
    near: dict[tuple[int, int], list[Shape]] = defaultdict(list)
    for shape in shapes:
        box = shape.box
        for x in range(int(box.left // _SQUARE), int(box.right // _SQUARE) + 1):
            for y in range(int(box.bottom // _SQUARE), int(box.top // _SQUARE) + 1):
                near[x, y].append(shape)
    return near


def _hits(curve: tuple[Point, ...], near: Mapping[tuple[int, int], list[Shape]], ends: Collection[str]) -> bool:
    """Whether a curve runs over a shape that isn't at one of its ends."""
    for k in range(0, len(curve) - 1, 3):
        a, b, c, d = curve[k : k + 4]
        for t in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
            u = 1 - t
            x = u**3 * a.x + 3 * u * u * t * b.x + 3 * u * t * t * c.x + t**3 * d.x
            y = u**3 * a.y + 3 * u * u * t * b.y + 3 * u * t * t * c.y + t**3 * d.y
            for shape in near.get((int(x // _SQUARE), int(y // _SQUARE)), ()):
                box = shape.box
                inside = abs(x - box.x) < box.width / 2 + 1 and abs(y - box.y) < box.height / 2 + 1
                if inside and shape.id not in ends:
                    return True
    return False


def _flows(graph: Graph, owners: Mapping[int, str]) -> dict[tuple[str, str], float]:
    """The norm that flows back between two shapes, by (tail, head) of the forward line: the largest of several."""
    recorded: dict[tuple[int, int], float] = {}
    reached = set()
    for step in graph.backward:
        reached.add(step.node)
        sent: dict[int, float] = {}
        for arrival in step.arrivals:
            sent[arrival.target] = sent.get(arrival.target, 0.0) + arrival.norm  # x * x contributes to x twice
        recorded.update(((target, step.node), norm) for target, norm in sent.items())
    flows: dict[tuple[str, str], float] = {}
    for head in graph.nodes:
        for tail in dict.fromkeys(head.parents):
            norm: float | None = recorded.get((tail, head.id))
            if norm is None and head.id not in reached and head.grad_norm is not None:
                norm = graph.nodes[tail].grad_norm
            if norm is None or tail not in owners or head.id not in owners:
                continue
            ends = owners[tail], owners[head.id]
            # A line from a box to itself leads from one step to the next.
            if ends[0] != ends[1] or graph.nodes[tail].scope.step != head.scope.step:
                flows[ends] = _larger(norm, flows.get(ends, 0.0))
    return flows


def _larger(a: float, b: float) -> float:
    return a if a > b or a != a else b  # a NaN is what one must see


def _twin(line: Line, beside: tuple[Point, ...], tail: Shape, head: Shape, norm: float, heat: Heat) -> Line:
    back = tuple(reversed(beside))
    start = _on_outline(head, back[0], back[1])
    tip = _on_outline(tail, back[-1], back[-2])
    along = _direction(back[-2], back[-1])
    base = tip.moved(-along.x * ARROW, -along.y * ARROW)
    rail = line.colour if line.colour.startswith("rail") else None
    colour, width = heat.flow(norm, rail) if line.colour != "faint" else ("faint", 0.8)
    return Line(
        line.head,
        line.tail,
        (start, *back[1:-1], base),
        tip,
        colour,
        0.6 * width if rail else width,  # rails stand close together
        dashed=True,
        tooltip=f"flows back: {norm:.4g}",
        backward=True,
    )


def _moved_aside(curve: tuple[Point, ...], by: float) -> tuple[Point, ...]:
    """Cubic Bézier curves beside `curve`: each end moves at a right angle to it, its handle keeps its direction."""
    pieces: list[tuple[Point, ...]] = []
    for k in range(0, len(curve) - 1, 3):
        piece = curve[k : k + 4]
        chord = _distance(piece[0], piece[3])
        if chord < 1e-6:
            continue
        if abs(piece[3].x - piece[0].x) > 12 and abs(piece[3].y - piece[0].y) > 12:
            pieces += (_piece_aside(half, by) for half in _halves(piece))  # its ends alone don't tell where it runs
        else:
            pieces.append(_piece_aside(piece, by))
    return joined(*pieces) if pieces else curve


def _piece_aside(piece: tuple[Point, ...], by: float) -> tuple[Point, ...]:
    a, b, c, d = piece
    out, into = _direction(a, b, c, d), _direction(d, c, b, a)
    start, end = a.moved(out.y * by, -out.x * by), d.moved(-into.y * by, into.x * by)
    # Inside of a bend the twin is shorter, outside longer, and so must be its handles.
    share = _distance(start, end) / _distance(a, d)
    first, second = _distance(a, b) * share, _distance(c, d) * share
    return start, start.moved(out.x * first, out.y * first), end.moved(into.x * second, into.y * second), end


def _halves(piece: tuple[Point, ...]) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """A curve cut in the middle, by de Casteljau's construction."""
    a, b, c, d = piece
    ab, bc, cd = _middle(a, b), _middle(b, c), _middle(c, d)
    abc, bcd = _middle(ab, bc), _middle(bc, cd)
    middle = _middle(abc, bcd)
    return (a, ab, abc, middle), (middle, bcd, cd, d)


def _middle(a: Point, b: Point) -> Point:
    return Point((a.x + b.x) / 2, (a.y + b.y) / 2)


def _direction(start: Point, *towards: Point) -> Point:
    """The unit vector from `start` to the first of the points that is elsewhere."""
    for point in towards:
        length = _distance(start, point)
        if length > 1e-6:
            return Point((point.x - start.x) / length, (point.y - start.y) / length)
    return Point(1.0, 0.0)


def _on_outline(shape: Shape, end: Point, before: Point) -> Point:
    """Where the straight line that comes from `before` through `end` meets the outline, if it does nearby."""
    along = _direction(before, end)
    box = shape.box
    found = _into_ellipse(box, end, along) if shape.outline == "ellipse" else _into_box(box, end, along)
    if found is None or abs(found) > 4 * ARROW:
        return end
    return end.moved(along.x * found, along.y * found)


def _into_box(box: Box, end: Point, along: Point) -> float | None:
    """How far from `end` the line `along` enters a rectangle; None if it passes by."""
    enter, leave = float("-inf"), float("inf")
    for at, way, low, high in ((end.x, along.x, box.left, box.right), (end.y, along.y, box.bottom, box.top)):
        if abs(way) < 1e-6:
            if not low <= at <= high:
                return None
            continue
        near, far = sorted(((low - at) / way, (high - at) / way))
        enter, leave = max(enter, near), min(leave, far)
    return enter if enter <= leave else None


def _into_ellipse(box: Box, end: Point, along: Point) -> float | None:
    """How far from `end` the line `along` enters the ellipse in a rectangle; None if it passes by."""
    x, y = 2 * (end.x - box.x) / box.width, 2 * (end.y - box.y) / box.height
    dx, dy = 2 * along.x / box.width, 2 * along.y / box.height
    a, b, c = dx * dx + dy * dy, x * dx + y * dy, x * x + y * y - 1
    under_root = b * b - a * c
    return (-b - under_root**0.5) / a if under_root >= 0 else None


def _distance(a: Point, b: Point) -> float:
    return float(((a.x - b.x) ** 2 + (a.y - b.y) ** 2) ** 0.5)
