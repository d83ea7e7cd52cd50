"""The picture of a graph with time steps: the columns, what is before and after them, and all lines between."""

from ..graph import GraphNode
from .columns import Column
from .labels import text_width
from .look import FONT_SIZE, Look
from .picture import Box, Frame, Picture, Shape
from .route import HIDDEN_ID, lines_of
from .stage import TITLE_SIZE, Stage, set_stage
from .steps import Plan
from .wiring import HIDDEN, wire

__all__ = ["unrolled_picture"]


def unrolled_picture(plan: Plan, columns: list[Column], look: Look, *, what: str, timeout: float) -> Picture:
    """The time steps as boxes, left to right. Raises `DrawingError`."""
    stage = set_stage(plan, columns, wire(plan, columns), look, what=what, timeout=timeout)
    return Picture(what, tuple(_frames(stage)), tuple(_shapes(stage, look)), tuple(lines_of(stage)))


def _frames(stage: Stage) -> list[Frame]:
    return [
        Frame(column.key, column.title, frame, tuple(f"n{i}" for i in column.members))
        for column, frame in zip(stage.columns, stage.frames, strict=True)
        if not column.hidden
    ]


def _shapes(stage: Stage, look: Look) -> list[Shape]:
    nodes, texts = stage.plan.nodes, stage.texts
    carrying = _carrying(stage)
    found: dict[int, Shape] = {}
    for c, cell in stage.cells.items():
        for i, box in cell.boxes.items():
            found[i] = look.shape(nodes[i], texts[i], box.moved(*stage.origins[c]), carries=i in carrying)
    for i, box in stage.carry_boxes.items():
        found[i] = look.shape(nodes[i], texts[i], box)
    if stage.before:
        for i, box in stage.before.boxes.items():
            found[i] = look.source(nodes[i], look.source_line(nodes[i], texts[i]), box, stage.colour(i))
    if stage.after:
        for i, box in stage.after.boxes.items():
            found[i] = look.shape(nodes[i], texts[i], box)
    shapes = [found[i] for i in sorted(found)]
    for column, frame in zip(stage.columns, stage.frames, strict=True):
        if column.hidden:
            shapes.append(
                Shape(HIDDEN_ID, frame, column.lines, "", "dashed", "none", "ink", "frame_border", 1.0, FONT_SIZE)
            )
    if stage.plan.loops:
        shapes.append(_how_often(stage))
    return shapes


def _how_often(stage: Stage) -> Shape:
    """How many steps a rolled drawing stands for, beside the edges that lead back."""
    text = f"×{stage.plan.rolled:,}"
    width = text_width(text, TITLE_SIZE) + 4
    left = min(p.x for line in lines_of(stage) for p in line.curve if p.y > stage.frames[0].top)
    box = Box(left - 4 - width / 2, stage.skip_y(0), width, 16.0)
    return Shape("times", box, (text,), "", "text", "none", "carry", "none", font_size=TITLE_SIZE)


def _carrying(stage: Stage) -> set[int]:
    """The nodes that carry the loop's state, and their counterparts in the last step, which nothing reads any more."""
    nodes = stage.plan.nodes
    last = len(stage.columns) - 1
    carries = [line for line in stage.wiring.across if line.tail != HIDDEN and stage.is_carry(line)]
    kinds = {_kind(nodes[line.tail]) for line in carries if line.from_column == last - 1}
    unread = {i for i in stage.columns[last].members if nodes[i].name and _kind(nodes[i]) in kinds}
    return {line.tail for line in carries} | unread


def _kind(node: GraphNode) -> tuple[str, str]:
    return node.op, (node.name or "").split(", ")[-1].rstrip("0123456789")
