"""What stands outside of the steps, before or after them: laid out once, left to right, with ports at its two sides.

An entry is where a line from the steps comes in, an exit where a rail begins. `dot` knows them as points in the first
and the last rank, and so keeps the way between them and their nodes free.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .paths import straight
from .picture import Box, Point
from .sketch import Layout, Sketch

__all__ = ["Block", "sketch_block"]

_STACK_GAP = 6.0
_EXIT_GAP = 10.0


def sketch_block(
    sizes: Mapping[int, tuple[float, float]],
    inner: Sequence[tuple[int, int]],
    entries: Sequence[tuple[str, int]],
    exits: Sequence[int],
    ellipses: Collection[int] = (),
) -> Sketch | None:
    """A block for `dot`; None where there is nothing to decide, and the boxes are simply stacked."""
    if not inner and not entries:
        return None
    sketch = Sketch("LR", node_gap=8.0, rank_gap=26.0)
    entry_names = [f"e{k}" for k in range(len(entries))]
    sketch.ellipses = {f"n{i}" for i in sizes if i in ellipses}
    exit_names = [f"x{i}" for i in exits]
    for name in entry_names:
        sketch.sizes[name] = (1.0, 1.0)
    for i, size in sizes.items():
        sketch.sizes[f"n{i}"] = size
    for name in exit_names:
        sketch.sizes[name] = (1.0, 1.0)
    sketch.edges = [(f"n{tail}", f"n{head}") for tail, head in inner]
    sketch.edges += [(name, f"n{head}") for name, (_, head) in zip(entry_names, entries, strict=True)]
    sketch.edges += [(f"n{i}", name) for i, name in zip(exits, exit_names, strict=True)]
    if entries:  # nothing else in the rank of the entries: lines come in through it
        fed = {head for _, head in inner} | {head for _, head in entries}
        sketch.ties = [(entry_names[0], f"n{i}") for i in sizes if i not in fed]
    sketch.ranks = [(rank, names) for rank, names in (("source", entry_names), ("sink", exit_names)) if names]
    return sketch


@dataclass(slots=True)
class Block:
    """A block laid out: boxes, the lines between them, and for each port its place and its line to or from the node."""

    boxes: dict[int, Box]
    curves: list[tuple[int, int, tuple[Point, ...], Point]]
    entries: dict[str, tuple[tuple[Point, ...], Point]]  # the curve starts at the port
    exits: dict[int, tuple[Point, ...]]  # the curve ends at the port

    @classmethod
    def read(
        cls,
        layout: Layout | None,
        sizes: Mapping[int, tuple[float, float]],
        inner: Sequence[tuple[int, int]],
        entries: Sequence[tuple[str, int]],
        exits: Sequence[int],
    ) -> "Block":
        """The block from the layout of its sketch, or stacked in the order of `sizes`, first on top."""
        if layout is None:
            return cls._stacked(sizes, exits)
        count, ports = len(inner), len(inner) + len(entries)
        curves = layout.curves
        return cls(
            boxes={i: layout.boxes[f"n{i}"] for i in sizes},
            curves=[(*edge, *drawn) for edge, drawn in zip(inner, curves[:count], strict=True)],
            entries={key: drawn for (key, _), drawn in zip(entries, curves[count:ports], strict=True)},
            exits={i: (*curve, tip, tip, tip) for i, (curve, tip) in zip(exits, curves[ports:], strict=True)},
        )

    @classmethod
    def _stacked(cls, sizes: Mapping[int, tuple[float, float]], exits: Sequence[int]) -> "Block":
        boxes: dict[int, Box] = {}
        y = 0.0
        for i, (width, height) in sizes.items():
            boxes[i] = Box(-width / 2, y - height / 2, width, height)
            y -= height + _STACK_GAP
        ends = {i: Point(boxes[i].right, boxes[i].y) for i in exits}
        return cls(boxes, [], {}, {i: straight(end, end.moved(_EXIT_GAP, 0)) for i, end in ends.items()})

    def moved(self, dx: float, dy: float) -> "Block":
        """The same block elsewhere."""
        return Block(
            boxes={i: b.moved(dx, dy) for i, b in self.boxes.items()},
            curves=[(tail, head, _moved(curve, dx, dy), tip.moved(dx, dy)) for tail, head, curve, tip in self.curves],
            entries={key: (_moved(curve, dx, dy), tip.moved(dx, dy)) for key, (curve, tip) in self.entries.items()},
            exits={i: _moved(curve, dx, dy) for i, curve in self.exits.items()},
        )

    @property
    def bounds(self) -> Box:
        """The rectangle around everything in it."""
        points = [p for *_, curve, _ in self.curves for p in curve]
        points += [p for curve, _ in self.entries.values() for p in curve]
        points += [p for curve in self.exits.values() for p in curve]
        boxes = self.boxes.values()
        return Box.spanning(
            min([b.left for b in boxes] + [p.x for p in points]),
            min([b.bottom for b in boxes] + [p.y for p in points]),
            max([b.right for b in boxes] + [p.x for p in points]),
            max([b.top for b in boxes] + [p.y for p in points]),
        )


def _moved(curve: Sequence[Point], dx: float, dy: float) -> tuple[Point, ...]:
    return tuple(p.moved(dx, dy) for p in curve)
