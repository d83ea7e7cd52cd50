"""The inside of one column: its boxes as `dot` puts them, and how lines from elsewhere reach them past other boxes.

Lines from other steps come in horizontally through the frame's sides; rails come up, and results go up or down, in
lanes in the margins, between the boxes and the frame. All coordinates are relative to
the lower left corner of the boxes.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .picture import Box, Point
from .sketch import Layout, Sketch

__all__ = ["Cell", "Side", "port_room", "sketch_column"]

Side = Literal["left", "right"]
_FIRST_LANE, _LANE = 9.0, 5.0
_PORT_GAP = 7.0  # between two lines at the same side of a box
_CHANNEL, _CHANNEL_GAP, _CHANNELS = 7.5, 3.0, 4  # where, between two rows, lines pass that find a box in their way
_ANCHOR = "anchor"


def port_room(count: int) -> float:
    """The height of a box at whose side this many lines meet."""
    return _PORT_GAP * (count + 1)


def sketch_column(
    members: Sequence[int],
    sizes: Mapping[int, tuple[float, float]],
    inner: Sequence[tuple[int, int]],
    recurrent: Sequence[int],
    above: Sequence[tuple[int, int]],
    ellipses: Collection[int],
) -> Sketch:
    """A column for `dot`, upwards; the nodes that read the step before (`recurrent`) are pulled to the left.

    The pull is a hidden anchor, left of the first input, with ties to those nodes. `above` are pairs of a lower and a
    higher node between which there is no line in this column.
    """
    feeding = {tail for tail, _ in inner}
    recurrent = [i for i in recurrent if i in feeding] or recurrent  # a running sum on top would pull all else askew
    local = {i: f"n{k}" for k, i in enumerate(members)}
    sketch = Sketch("BT")
    fed = {head for _, head in inner}
    fed.update(higher for _, higher in above)
    inputs = [i for i in members if i not in fed and i not in recurrent]
    if recurrent:
        sketch.sizes[_ANCHOR] = (1.0, 1.0)
        if inputs:
            sketch.ranks.append(("same", (_ANCHOR, local[inputs[0]])))
            sketch.ties.append((_ANCHOR, local[inputs[0]]))
    for i in members:
        sketch.sizes[local[i]] = sizes[i]
    sketch.ellipses = {local[i] for i in members if i in ellipses}
    sketch.edges = [(local[tail], local[head]) for tail, head in inner]
    sketch.ties += [(local[lower], local[higher]) for lower, higher in above]
    sketch.ties += [(_ANCHOR, local[i]) for i in recurrent]
    return sketch


@dataclass(slots=True)
class Cell:
    """One column laid out. Ask for `port`s first, all of them; then `settle`; then for `stub`s and `lane`s."""

    boxes: dict[int, Box]
    curves: list[tuple[int, int, tuple[Point, ...], Point]]  # tail, head, curve, tip
    width: float
    height: float
    _ports: dict[tuple[int, Side], list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    _stubs: dict[tuple[int, str], tuple[Point, ...]] = field(default_factory=dict)
    _lanes: dict[Side, dict[str, float]] = field(default_factory=dict)
    _wanted: dict[Side, dict[str, tuple[int, float]]] = field(default_factory=lambda: {"left": {}, "right": {}})

    @classmethod
    def read(cls, layout: Layout, members: Sequence[int], inner: Sequence[tuple[int, int]]) -> "Cell":
        """The cell of `members` from the layout of their sketch."""
        boxes = {i: layout.boxes[f"n{k}"] for k, i in enumerate(members)}
        points = [p for curve, _ in layout.curves for p in curve]
        left = min([b.left for b in boxes.values()] + [p.x for p in points])
        right = max([b.right for b in boxes.values()] + [p.x for p in points])
        bottom = min(b.bottom for b in boxes.values())
        top = max(b.top for b in boxes.values())
        return cls(
            boxes={i: b.moved(-left, -bottom) for i, b in boxes.items()},
            curves=[
                (tail, head, tuple(p.moved(-left, -bottom) for p in curve), tip.moved(-left, -bottom))
                for (tail, head), (curve, tip) in zip(inner, layout.curves, strict=True)
            ],
            width=right - left,
            height=top - bottom,
        )

    def clear(self, node: int, side: Side) -> bool:
        """Whether a horizontal line from this side of the node's box to the margin meets no other box."""
        box = self.boxes[node]
        return not any(
            abs(other.y - box.y) < (other.height + box.height) / 2
            and (other.right <= box.left if side == "left" else other.left >= box.right)
            for i, other in self.boxes.items()
            if i != node
        )

    def side_for_tap(self, node: int) -> Side:
        """The side at which a rail best reaches a node: a clear one, the nearer one, the right one."""
        box = self.boxes[node]
        clear = [side for side in _SIDES if self.clear(node, side)] or list(_SIDES)
        distance = {"right": self.width - box.right, "left": box.left + 12}
        return min(clear, key=lambda side: (distance[side], side == "left"))

    def clear_above(self, node: int) -> bool:
        """Whether a vertical line from the top of the node's box to the frame meets no other box."""
        box = self.boxes[node]
        return not any(
            other.bottom > box.y and other.left - 4 < box.x < other.right + 4
            for i, other in self.boxes.items()
            if i != node
        )

    def port(self, node: int, side: Side, key: str, *, order: float) -> None:
        """A line named `key` meets this side of the node; lines at one side stand in their `order`, low to high."""
        ports = self._ports[node, side]
        if all(known != key for _, known in ports):
            ports.append((order, key))

    def lane(self, side: Side, key: str, node: int, *, upwards: bool = False) -> None:
        """A lane in the margin for the line named `key`, from the node down, or `upwards`."""
        y = self.boxes[node].y
        rank, known = self._wanted[side].get(key, (1 if upwards else 0, y))
        self._wanted[side][key] = (rank, max(y, known))

    def settle(self, calls: Collection[int] = ()) -> None:
        """Give each port its place at the box, and each lane its place in the margin, so that they cross least.

        At `calls` ports stand from the top down: what one step gives is then as high as what the next one takes.
        """
        channels: dict[tuple[float, bool], int] = defaultdict(int)
        for (node, side), ports in sorted(self._ports.items()):
            box = self.boxes[node]
            clear = self.clear(node, side)
            outwards = -1 if side == "left" else 1
            step = min(_PORT_GAP, (box.height - 10) / max(len(ports) - 1, 1))
            for k, (_, key) in enumerate(sorted(ports)):
                offset = (k - (len(ports) - 1) / 2) * step
                if node in calls:
                    offset = box.height / 2 - step * (len(ports) - k)
                if clear:
                    self._stubs[node, key] = (Point(box.x + outwards * box.width / 2, box.y + offset),)
                    continue
                above = key.startswith("out")
                level = channels[box.y, above]
                channels[box.y, above] += 1
                x = box.x + outwards * max(box.width / 2 - 10 - 6 * k, 4)
                reach = _CHANNEL + _CHANNEL_GAP * (level % _CHANNELS)
                edge, channel = (box.top, box.top + reach) if above else (box.bottom, box.bottom - reach)
                self._stubs[node, key] = (Point(x, edge), Point(x, channel))
        for side, wanted in self._wanted.items():
            # Inside the lanes that end low: a line to a higher box then passes over them, and crosses none.
            down = sorted((y, key) for key, (rank, y) in wanted.items() if rank == 0)
            up = sorted((-y, key) for key, (rank, y) in wanted.items() if rank == 1)
            keys = [key for _, key in down] + [key for _, key in up]
            self._lanes[side] = {key: _FIRST_LANE + _LANE * k for k, key in enumerate(keys)}

    def stub(self, node: int, key: str) -> tuple[Point, ...]:
        """The first corners of the line named `key`, from the edge of the node's box towards the margin."""
        return self._stubs[node, key]

    def side_of(self, node: int, key: str) -> Side:
        """The side at which the line named `key` meets the node."""
        return "left" if any(known == key for _, known in self._ports.get((node, "left"), ())) else "right"

    def lane_x(self, side: Side, key: str) -> float:
        """The x of a lane."""
        return -self._lanes["left"][key] if side == "left" else self.width + self._lanes["right"][key]

    def margin(self, side: Side) -> float:
        """The room that the lanes of a side take."""
        return max(self._lanes[side].values(), default=0.0) + _FIRST_LANE


_SIDES: tuple[Side, Side] = ("right", "left")
