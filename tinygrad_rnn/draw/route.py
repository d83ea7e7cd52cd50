"""The lines of an unrolled drawing: where each one runs from its tail to its head. Every edge is one whole line."""

from collections.abc import Iterator

from .cell import Side
from .look import CARRY, EDGE
from .paths import joined, rounded, s_curve, with_arrow
from .picture import Box, Line, Point
from .stage import LANE, Stage, leaves_by_top
from .wiring import HIDDEN, Across

__all__ = ["HIDDEN_ID", "lines_of"]

HIDDEN_ID = "elided"


def lines_of(stage: Stage) -> Iterator[Line]:
    """All lines, those that run below others first."""
    yield from _taps(stage)
    yield from _around(stage)
    yield from _downs(stage)
    yield from _ups(stage)
    yield from _inner(stage)
    yield from _across(stage)
    yield from _first_carries(stage)


def _stub(stage: Stage, node: int, key: str) -> list[Point]:
    """The corners of a line from the edge of a node's box towards the margin, on the page."""
    c = stage.place[node]
    return [p.moved(*stage.origins[c]) for p in stage.cells[c].stub(node, key)]


def _lane_x(stage: Stage, node: int, side: Side, key: str) -> float:
    c = stage.place[node]
    return stage.cells[c].lane_x(side, key) + stage.origins[c][0]


def _hidden_frame(stage: Stage) -> Box:
    return next(frame for frame, column in zip(stage.frames, stage.columns, strict=True) if column.hidden)


def _id(node: int) -> str:
    return HIDDEN_ID if node == HIDDEN else f"n{node}"


def _arrowed(
    tail: int, head: int, curve: tuple[Point, ...], colour: str, width: float, *, dashed: bool = False
) -> Line:
    shortened, tip = with_arrow(curve)
    return Line(_id(tail), _id(head), shortened, tip, colour, width, dashed)


def _inner(stage: Stage) -> Iterator[Line]:
    for c, cell in sorted(stage.cells.items()):
        dx, dy = stage.origins[c]
        for tail, head, curve, tip in cell.curves:
            yield Line(_id(tail), _id(head), tuple(p.moved(dx, dy) for p in curve), tip.moved(dx, dy), EDGE)
    for block in (stage.before, stage.after):
        for tail, head, curve, tip in block.curves if block else ():
            yield Line(_id(tail), _id(head), curve, tip, EDGE)


def _taps(stage: Stage) -> Iterator[Line]:
    block = stage.before
    if block is None:
        return
    for tail, head in sorted(stage.wiring.taps, key=lambda tap: stage.rails.index(tap[0])):
        exit_curve = block.exits[tail]
        start = exit_curve[-1]
        if head == HIDDEN:
            frame = _hidden_frame(stage)
            x = frame.left + 12 + LANE * (stage.rails.index(tail) % 8)
            corners = [start, Point(x, start.y), Point(x, frame.bottom)]
        else:
            side = stage.cells[stage.place[head]].side_of(head, f"tap:{tail}")
            stub = _stub(stage, head, f"tap:{tail}")
            x = _lane_x(stage, head, side, f"tap:{tail}")
            corners = [start, Point(x, start.y), Point(x, stub[-1].y), *reversed(stub)]
        yield Line(
            _id(tail),
            _id(head),
            joined(exit_curve, rounded(corners)),
            None,
            stage.colour(tail),
            1.1,
            dashed=head == HIDDEN,
        )


def _around(stage: Stage) -> Iterator[Line]:
    if stage.before is None or stage.after is None:
        return
    for k, (tail, head) in enumerate(stage.wiring.around):
        exit_curve = stage.before.exits[tail]
        entry, tip = stage.after.entries[f"around:{tail}:{head}"]
        start, end = exit_curve[-1], entry[0]
        x = stage.after.bounds.left - 10 - LANE * k
        bend = rounded([start, Point(x, start.y), Point(x, end.y), end])
        yield Line(_id(tail), _id(head), joined(exit_curve, bend, entry), tip, stage.colour(tail), 1.1)


def _ups(stage: Stage) -> Iterator[Line]:
    if stage.after is None:
        return
    for tail, head in stage.wiring.ups:
        entry, tip = stage.after.entries[f"up:{head}"]
        corners = [*_way_up(stage, tail, entry[0].y), entry[0]]
        yield Line(_id(tail), _id(head), joined(rounded(corners), entry), tip, EDGE, 0.8, dashed=tail == HIDDEN)


def _way_up(stage: Stage, node: int, y: float) -> list[Point]:
    if node == HIDDEN:
        frame = _hidden_frame(stage)
        return [Point(frame.x, frame.top), Point(frame.x, y)]
    if leaves_by_top(stage, node):
        c = stage.place[node]
        box = stage.cells[c].boxes[node].moved(*stage.origins[c])
        return [Point(box.x, box.top), Point(box.x, y)]
    stub = _stub(stage, node, "up")
    x = _lane_x(stage, node, "right", f"up:{node}")
    return [*stub, Point(x, stub[-1].y), Point(x, y)]


def _downs(stage: Stage) -> Iterator[Line]:
    block = stage.before
    if block is None:
        return
    bounds = block.bounds
    lanes = {key: k for k, key in enumerate(block.entries)}
    for tail, head in stage.wiring.downs:
        key = f"down:{head}"
        entry, tip = block.entries[key]
        y = bounds.bottom - 10 - LANE * lanes[key]
        x = bounds.left - 10 - LANE * lanes[key]
        if tail == HIDDEN:
            frame = _hidden_frame(stage)
            start = [Point(frame.x, frame.bottom), Point(frame.x, y)]
        else:
            stub = _stub(stage, tail, "down")
            lane = _lane_x(stage, tail, "right", f"down:{tail}")
            start = [*stub, Point(lane, stub[-1].y), Point(lane, y)]
        corners = [*start, Point(x, y), Point(x, entry[0].y), entry[0]]
        yield Line(_id(tail), _id(head), joined(rounded(corners), entry), tip, EDGE, 0.8, dashed=tail == HIDDEN)


def _across(stage: Stage) -> Iterator[Line]:
    for line in stage.wiring.across:
        colour, width = (CARRY, 1.6) if stage.is_carry(line) else (EDGE, 0.8)
        curve = _to_neighbour(stage, line) if line.adjacent else _over_the_top(stage, line)
        yield _arrowed(line.tail, line.head, curve, colour, width)


def _to_neighbour(stage: Stage, line: Across) -> tuple[Point, ...]:
    """Straight to the side of the frame, an S-curve in the gap, straight in."""
    leave, arrive = stage.sides(line)
    tail_frame, head_frame = stage.frames[line.from_column], stage.frames[line.to_column]
    leave_x = tail_frame.right if leave == "right" else tail_frame.left
    arrive_x = head_frame.left if arrive == "left" else head_frame.right
    out = [] if line.tail == HIDDEN else _stub(stage, line.tail, line.out_key)
    into = [] if line.head == HIDDEN else _stub(stage, line.head, line.in_key)
    # The box of hidden steps has no nodes to aim at: the line meets it at the height of its other end.
    leave_y = (out or into)[-1].y
    arrive_y = (into or out)[-1].y
    start = rounded([*out, Point(leave_x, leave_y)])
    if line.head == HIDDEN:
        return joined(start, rounded([Point(leave_x, leave_y), Point(arrive_x, arrive_y)]))
    bend = s_curve(Point(leave_x, leave_y), Point(arrive_x, arrive_y))
    return joined(start, bend, rounded([Point(arrive_x, arrive_y), *reversed(into)]))


def _over_the_top(stage: Stage, line: Across) -> tuple[Point, ...]:
    """Up in the gap beside the tail, along above the frames, down in the gap beside the head."""
    y = stage.skip_y(stage.skips[line.from_column, line.outlet])
    tail_frame, head_frame = stage.frames[line.from_column], stage.frames[line.to_column]
    if line.tail == HIDDEN:
        corners = [Point(tail_frame.x, tail_frame.top), Point(tail_frame.x, y)]
    else:
        out = _stub(stage, line.tail, line.out_key)
        gap = line.from_column - (0 if line.rightwards else 1)
        x = stage.gap_x(gap, line.out_key)
        corners = [*out, Point(x, out[-1].y), Point(x, y)]
    if line.head == HIDDEN:
        corners += [Point(head_frame.x, y), Point(head_frame.x, head_frame.top)]
    else:
        into = _stub(stage, line.head, line.in_key)
        gap = line.to_column - (1 if line.rightwards else 0)
        x = stage.gap_x(gap, line.in_key)
        corners += [Point(x, y), Point(x, into[-1].y), *reversed(into)]
    return rounded(corners)


def _first_carries(stage: Stage) -> Iterator[Line]:
    for tail, head in stage.wiring.carries:
        box = stage.carry_boxes[tail]
        into = _stub(stage, head, f"in:{tail}")
        frame = stage.frames[stage.place[head]]
        left = stage.carry_side(tail) == "left"
        start = Point(box.right if left else box.left, box.y)
        edge = Point(frame.left if left else frame.right, into[-1].y)
        curve = joined(s_curve(start, edge), rounded([edge, *reversed(into)]))
        yield _arrowed(tail, head, curve, CARRY, 1.6)
