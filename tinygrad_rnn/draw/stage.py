"""The unrolled drawing with every box in its place: columns left to right, what is before them at the lower left, what
is after them at the upper right. The lines between are `route`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .block import Block, sketch_block
from .cell import Cell, Side, sketch_column
from .columns import Column
from .counterparts import common_sizes, layers, recurrent
from .labels import headline, operand_name, text_width
from .look import EDGE, FONT_SIZE, LINE, Look, rail_colour
from .picture import Box
from .sketch import Sketch, lay_out
from .steps import Plan
from .wiring import HIDDEN, Across, Wiring

__all__ = ["LANE", "TITLE_SIZE", "Stage", "leaves_by_top", "set_stage"]

_GAP = 34.0  # between two columns: room for an S-curve
_TITLE, _FOOT = 22.0, 14.0  # inside a frame, above and below its nodes
_LOW = 150.0  # a block of less height goes above the frames
TITLE_SIZE = 13.0
LANE = 6.0  # between parallel lines above and below the frames


@dataclass(slots=True)
class Stage:
    """Everything that `route` needs to know of an unrolled drawing."""

    plan: Plan
    columns: Sequence[Column]
    wiring: Wiring
    texts: Mapping[int, str]  # the first line of each node
    cells: dict[int, Cell] = field(default_factory=dict)  # of the columns that are shown
    frames: list[Box] = field(default_factory=list)
    origins: dict[int, tuple[float, float]] = field(default_factory=dict)  # where a cell's (0, 0) is
    carry_boxes: dict[int, Box] = field(default_factory=dict)
    before: Block | None = None
    after: Block | None = None
    rails: list[int] = field(default_factory=list)  # the nodes before the loop that have one
    place: dict[int, int] = field(default_factory=dict)  # node -> column that is shown
    skips: dict[tuple[int, int], int] = field(default_factory=dict)  # (column, node) that a line leaves upwards -> lane
    gaps: list[tuple[list[str], list[str]]] = field(default_factory=list)  # vertical lines left of each column: out, in

    def carry_side(self, carry: int) -> Side:
        """At which end of the drawing a first carry stands."""
        return "left" if self.plan.carries[carry] == 0 else "right"

    def colour(self, source: int) -> str:
        """The colour of a rail and of the box that it comes from."""
        return rail_colour(self.rails.index(source)) if source in self.rails else EDGE

    def is_carry(self, line: Across) -> bool:
        """Whether a line between two columns is the loop's own, not that of a fold over its results."""
        return all(i == HIDDEN or self.plan.nodes[i].scope.step is not None for i in (line.tail, line.head))

    def sides(self, line: Across) -> tuple[Side, Side]:
        """At which side a line between two columns leaves its tail, and at which it meets its head."""
        return ("right", "left") if line.rightwards else ("left", "right")

    def skip_y(self, lane: int) -> float:
        """The y of a line above the frames."""
        return self.frames[0].top + 10 + LANE * lane

    def gap_x(self, gap: int, key: str) -> float:
        """The x of a vertical line in the gap to the right of a column (-1: left of the first)."""
        out, into = self.gaps[gap + 1]
        width = _gap_width(out, into)
        left = self.frames[gap].right if gap >= 0 else self.frames[0].left - width
        if key in out:
            return left + 9 + LANE * out.index(key)
        return left + width - 9 - LANE * into.index(key)


def set_stage(plan: Plan, columns: Sequence[Column], wiring: Wiring, look: Look, *, what: str, timeout: float) -> Stage:
    """Lay out each distinct column and the two blocks in one run of Graphviz, and place them. Raises `DrawingError`."""
    stage = Stage(plan, columns, wiring, _texts(plan, columns))
    stage.place = {i: c for c, column in enumerate(columns) if not column.hidden for i in column.members}
    tapped = {tail for tail, _ in (*wiring.taps, *wiring.around)}
    stage.rails = [i for i in plan.before if i in tapped]
    ellipses = {i for i, node in plan.nodes.items() if node.kind != "operation"}
    before_sizes = _source_sizes(stage, look)
    downs = [(f"down:{head}", head) for head in dict.fromkeys(head for _, head in wiring.downs)]
    after_sizes = {i: look.size(plan.nodes[i], stage.texts[i]) for i in plan.after}
    entries = [(f"up:{head}", head) for head in dict.fromkeys(head for _, head in wiring.ups)]
    entries += [(f"around:{tail}:{head}", head) for tail, head in wiring.around]
    sketches = [
        *_column_sketches(stage, look, ellipses),
        sketch_block(before_sizes, wiring.before, downs, stage.rails),
        sketch_block(after_sizes, wiring.after, entries, (), ellipses),
    ]
    answers = iter(lay_out([sketch for sketch in sketches if sketch is not None], what=what, timeout=timeout))
    *cells, before, after = (None if sketch is None else next(answers) for sketch in sketches)
    shown = [c for c, column in enumerate(columns) if not column.hidden]
    for c, layout in zip(shown, cells, strict=True):
        assert layout is not None
        stage.cells[c] = Cell.read(layout, columns[c].members, wiring.inner[c])
    _claim_ports(stage)
    _place_columns(stage)
    _place_carries(stage, look)
    if plan.before:
        _place_before(stage, Block.read(before, before_sizes, wiring.before, downs, stage.rails))
    if plan.after:
        _place_after(stage, Block.read(after, after_sizes, wiring.after, entries, ()))
    return stage


def _column_sketches(stage: Stage, look: Look, ellipses: set[int]) -> list[Sketch]:
    plan, columns, wiring = stage.plan, stage.columns, stage.wiring
    sizes = common_sizes(plan, [column for column in columns if not column.hidden], stage.texts, look)
    higher = layers(plan, wiring, stage.place)
    return [
        sketch_column(
            column.members,
            sizes,
            wiring.inner[c],
            recurrent(plan, columns, wiring, c),
            higher.get(c, []),
            ellipses,
        )
        for c, column in enumerate(columns)
        if not column.hidden
    ]


def _source_sizes(stage: Stage, look: Look) -> dict[int, tuple[float, float]]:
    """All that stand before the loop get the width of the widest, so that they line up."""
    sizes = {i: look.source_size(stage.plan.nodes[i], stage.texts[i]) for i in stage.plan.before}
    widest = max((width for width, _ in sizes.values()), default=0.0)
    return {i: (widest, height) for i, (_, height) in sizes.items()}


def _texts(plan: Plan, columns: Sequence[Column]) -> dict[int, str]:
    """What each node that is drawn says in its first line; a parameter is named by those that use it."""
    far = set(plan.before)
    drawn = [i for column in columns if not column.hidden for i in column.members]
    texts = {}
    for i in (*drawn, *plan.after):
        node = plan.nodes[i]
        named = far if i not in plan.calls else ()  # a call takes too many parameters to name them
        operands = [operand_name(plan.nodes[p], plan.nodes) if p in named else None for p in node.parents]
        texts[i] = headline(node, operands)
    for i in plan.carries:
        texts[i] = headline(plan.nodes[i])
    for i in plan.before:
        name = operand_name(plan.nodes[i], plan.nodes) or headline(plan.nodes[i])
        texts[i] = name
    return texts


def _claim_ports(stage: Stage) -> None:
    """Tell the cells which lines will come, and have them make room."""
    wiring, cells, place = stage.wiring, stage.cells, stage.place
    for line in wiring.across:
        leave, arrive = stage.sides(line)
        # In the same order at both ends, so that parallel lines don't cross.
        if line.tail != HIDDEN:
            cells[line.from_column].port(line.tail, leave, line.out_key, order=3 + line.position / 100)
        if line.head != HIDDEN:
            cells[line.to_column].port(line.head, arrive, line.in_key, order=2 + line.position / 100 + line.loops)
    for tail, head in wiring.carries:
        position = stage.plan.nodes[head].parents.index(tail)
        cells[place[head]].port(head, stage.carry_side(tail), f"in:{tail}", order=2 + position / 100)
    for tail, head in wiring.taps:
        if head != HIDDEN:
            cell = cells[place[head]]
            side = cell.side_for_tap(head)
            cell.port(head, side, f"tap:{tail}", order=0)
            cell.lane(side, f"tap:{tail}", head)
    for tail in dict.fromkeys(tail for tail, _ in wiring.ups if tail != HIDDEN):
        if not leaves_by_top(stage, tail):
            cells[place[tail]].port(tail, "right", "up", order=4)
            cells[place[tail]].lane("right", f"up:{tail}", tail, upwards=True)
    for tail in dict.fromkeys(tail for tail, _ in wiring.downs if tail != HIDDEN):
        cells[place[tail]].port(tail, "right", "down", order=-1)
        cells[place[tail]].lane("right", f"down:{tail}", tail)
    for cell in cells.values():
        cell.settle(stage.plan.calls)


def leaves_by_top(stage: Stage, node: int) -> bool:
    """Whether a line can go straight up from a node, past the boxes above it and the frame's title."""
    c = stage.place[node]
    cell = stage.cells[c]
    return cell.clear_above(node) and cell.boxes[node].x > text_width(stage.columns[c].title, FONT_SIZE)


def _place_columns(stage: Stage) -> None:
    cells = stage.cells
    stage.gaps = [([], []) for _ in range(len(stage.columns) + 1)]
    for line in stage.wiring.across:
        if line.adjacent:
            continue
        stage.skips.setdefault((line.from_column, line.outlet), len(stage.skips))
        if line.tail != HIDDEN:
            gap = line.from_column + (1 if line.rightwards else 0)
            _note(stage.gaps[gap][0], line.out_key)
        if line.head != HIDDEN:
            gap = line.to_column + (0 if line.rightwards else 1)
            _note(stage.gaps[gap][1], line.in_key)
    left = max((cell.margin("left") for cell in cells.values()), default=0.0)
    right = max((cell.margin("right") for cell in cells.values()), default=0.0)
    height = max(cell.height for cell in cells.values()) + _TITLE + _FOOT
    height = max(height, *(LINE * len(column.lines) + 12 for column in stage.columns))
    lines = max(len(column.lines) for column in stage.columns)
    height = max(height, 1.2 * FONT_SIZE * lines + _FOOT)
    x = 0.0
    for c, column in enumerate(stage.columns):
        if c:
            x += _gap_width(*stage.gaps[c])
        if c in cells:
            width = max(left + cells[c].width + right, text_width(column.title, TITLE_SIZE) + 24)
            stage.origins[c] = (x + left, _FOOT)
        else:
            width = max(text_width(line, FONT_SIZE) for line in column.lines) + 28
        stage.frames.append(Box.spanning(x, 0.0, x + width, height))
        x += width


def _place_carries(stage: Stage, look: Look) -> None:
    """First carries beside the column that reads them, at its reader's height, pushed apart where they'd meet."""
    wanted: dict[Side, list[tuple[float, int]]] = {"left": [], "right": []}
    for carry in stage.plan.carries:
        head = next(head for tail, head in stage.wiring.carries if tail == carry)
        c = stage.place[head]
        y = stage.cells[c].stub(head, f"in:{carry}")[-1].y + stage.origins[c][1]
        wanted[stage.carry_side(carry)].append((y, carry))
    for side, found in wanted.items():
        floor = float("-inf")
        for wanted_y, carry in sorted(found):
            width, height = look.size(stage.plan.nodes[carry], stage.texts[carry])
            y = max(wanted_y, floor + height / 2)
            floor = y + height / 2 + 8
            if side == "left":
                x = stage.frames[0].left - _gap_width(*stage.gaps[0]) - width / 2
            else:
                x = stage.frames[-1].right + _gap_width(*stage.gaps[-1]) + width / 2
            stage.carry_boxes[carry] = Box(x, y, width, height)


def _gap_width(out: Sequence[str], into: Sequence[str]) -> float:
    """The room between two columns for an S-curve and these vertical lines."""
    return max(_GAP, 26 + LANE * (len(out) + len(into)))


def _place_before(stage: Stage, block: Block) -> None:
    bounds = block.bounds
    floor = min([0.0] + [box.bottom for box in stage.carry_boxes.values()])
    stage.before = block.moved(stage.frames[0].left - 14 - bounds.right, floor - 16 - bounds.top)


def _place_after(stage: Stage, block: Block) -> None:
    bounds = block.bounds
    floor = stage.frames[0].top + 14 + LANE * len(stage.skips)
    if not stage.wiring.around and bounds.height < _LOW:
        # Above the frames there is room; a wide page with an empty corner wastes it.
        stage.after = block.moved(_last_way_up(stage) + 12 - bounds.left, floor - bounds.bottom)
        return
    right = max([stage.frames[-1].right] + [box.right for box in stage.carry_boxes.values()])
    x = right + _gap_width(*stage.gaps[-1]) + LANE * len(stage.wiring.around) - bounds.left
    lowest_entry = min([curve[0].y for curve, _ in block.entries.values()], default=bounds.bottom)
    stage.after = block.moved(x, floor - lowest_entry)


def _last_way_up(stage: Stage) -> float:
    """The x of the rightmost line that goes up from a column to what is after the loop."""
    found = [stage.frames[0].left]
    for tail, _ in stage.wiring.ups:
        if tail == HIDDEN:
            found += [frame.x for frame, column in zip(stage.frames, stage.columns, strict=True) if column.hidden]
            continue
        cell, x = stage.cells[stage.place[tail]], stage.origins[stage.place[tail]][0]
        found.append(x + (cell.boxes[tail].x if leaves_by_top(stage, tail) else cell.lane_x("right", f"up:{tail}")))
    return max(found)


def _note(keys: list[str], key: str) -> None:
    if key not in keys:
        keys.append(key)
