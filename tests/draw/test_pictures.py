"""Where things are in the picture: in order, aligned, nothing over anything else."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest

from tinygrad_rnn.draw.columns import choose_columns
from tinygrad_rnn.draw.heat import Heat
from tinygrad_rnn.draw.legend import with_legend
from tinygrad_rnn.draw.look import Look
from tinygrad_rnn.draw.picture import Picture, Point
from tinygrad_rnn.draw.plain import plain_picture
from tinygrad_rnn.draw.steps import plan_steps
from tinygrad_rnn.draw.unrolled import unrolled_picture
from tinygrad_rnn.graph import Graph

from .graphs import bidirectional, expression, irregular, layers_between_stacks, lstm, rnn, scribble

GRAPHS = {
    "rnn of 1": rnn(1, norms=False),
    "rnn of 3": rnn(3),
    "rnn of 100": rnn(100),
    "rnn of 100, one loss": rnn(100, loss_every_step=False),
    "lstm": lstm(3),
    "lstm of 3 layers, 12 steps": lstm(12, layers=3),
    "stacks": layers_between_stacks(4),
    "stacks, 3 layers, 30 steps": layers_between_stacks(30, 3),
    "irregular": irregular(),
    "bidirectional": bidirectional(5),
    "bidirectional, 20 steps": bidirectional(20),
    "expression": expression(),
    **{f"scribble {seed}": scribble(seed) for seed in range(12)},
}


def picture_of(graph: Graph, max_steps: int | None = 8) -> Picture:
    plan = plan_steps(graph)
    columns = choose_columns(plan, max_steps=max_steps, keep=2)
    heat = Heat.of(node.grad_norm for node in graph.nodes)
    look = Look(heat, frozenset(graph.outputs))
    if columns:
        picture = unrolled_picture(plan, columns, look, what="a test", timeout=60)
    else:
        picture = plain_picture(plan, look, what="a test", timeout=60)
    return with_legend(picture, heat)


def on_curve(curve: Sequence[Point]) -> list[Point]:
    found = []
    for k in range(0, len(curve) - 1, 3):
        a, b, c, d = curve[k : k + 4]
        for step in range(33):
            t = step / 32
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            xs, ys = zip(a, b, c, d, strict=True)
            found.append(
                Point(
                    sum(w * x for w, x in zip(weights, xs, strict=True)),
                    sum(w * y for w, y in zip(weights, ys, strict=True)),
                )
            )
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_is_over_anything_else(name: str) -> None:
    picture = picture_of(GRAPHS[name])
    for a, b in combinations(picture.shapes, 2):
        apart_x = abs(a.box.x - b.box.x) - (a.box.width + b.box.width) / 2
        apart_y = abs(a.box.y - b.box.y) - (a.box.height + b.box.height) / 2
        assert max(apart_x, apart_y) > -0.1, (a.id, b.id)
    for line in picture.lines:
        points = on_curve(line.curve)
        for shape in picture.shapes:
            box = shape.box
            if shape.id not in (line.tail, line.head):
                inside = [p for p in points if abs(p.x - box.x) < box.width / 2 and abs(p.y - box.y) < box.height / 2]
                assert not inside, (line.tail, line.head, shape.id)


@pytest.mark.parametrize("name", GRAPHS)
def test_lines_join_their_nodes(name: str) -> None:
    picture = picture_of(GRAPHS[name])
    boxes = {shape.id: shape.box for shape in picture.shapes}
    for line in picture.lines:
        assert len(line.curve) % 3 == 1
        for node, point in ((line.tail, line.curve[0]), (line.head, line.tip or line.curve[-1])):
            box = boxes[node]
            assert abs(point.x - box.x) < box.width / 2 + 3, line
            assert abs(point.y - box.y) < box.height / 2 + 3, line


@pytest.mark.parametrize("name", GRAPHS)
def test_every_edge_that_is_shown_is_drawn(name: str) -> None:
    graph = GRAPHS[name]
    picture = picture_of(graph)
    shown = {shape.id for shape in picture.shapes}
    drawn = {(line.tail, line.head) for line in picture.lines}
    wanted = {(f"n{p}", f"n{node.id}") for node in graph.nodes for p in node.parents}
    assert {edge for edge in wanted if set(edge) <= shown} == {edge for edge in drawn if "elided" not in edge}


def test_steps_stand_in_order_and_copies_are_alike() -> None:
    graph = rnn(25)
    picture = picture_of(graph, max_steps=None)
    frames = picture.frames
    assert [frame.title for frame in frames] == [f"t = {t}" for t in range(1, 26)]
    for before, after in pairwise(frames):
        assert after.box.left - before.box.right > 20
    assert len({(f.box.bottom, f.box.top) for f in frames}) == 1
    boxes = {shape.id: shape.box for shape in picture.shapes}
    first, *others = ([boxes[i].moved(-f.box.x, -f.box.y) for i in f.members] for f in frames)
    for other in others:
        for box, counterpart in zip(other, first, strict=True):
            assert (box.x, box.y, box.width) == pytest.approx((counterpart.x, counterpart.y, counterpart.width))


def test_members_are_inside_their_frames_and_nothing_else_is() -> None:
    for graph in (rnn(3), lstm(3), layers_between_stacks(3, 2)):
        picture = picture_of(graph)
        for frame in picture.frames:
            for shape in picture.shapes:
                inside = abs(shape.box.x - frame.box.x) < frame.box.width / 2 and (
                    abs(shape.box.y - frame.box.y) < frame.box.height / 2
                )
                assert inside == (shape.id in frame.members)


def test_parameters_stand_once_below_the_steps() -> None:
    graph = rnn(8)
    picture = picture_of(graph)
    for name in ("W_xh", "W_hh", "b_h", "W_hy", "b_y"):
        (shape,) = (s for s in picture.shapes if s.lines[0].startswith(f"{name}   "))
        assert shape.box.top < picture.frames[0].box.bottom
        taps = [line for line in picture.lines if line.tail == shape.id]
        assert len(taps) == 8
        assert {line.colour for line in taps} == {shape.border}


def test_the_first_carry_stands_left_of_the_first_step() -> None:
    picture = picture_of(rnn(3))
    (h_0,) = (s for s in picture.shapes if s.lines[0] == "h₀")
    assert h_0.box.right < picture.frames[0].box.left


def test_what_is_after_the_loop_stands_above_or_right() -> None:
    for graph in (rnn(3), layers_between_stacks(3), irregular()):
        picture = picture_of(graph)
        boxes = {shape.id: shape.box for shape in picture.shapes}
        out = boxes[f"n{graph.outputs[0]}"]
        assert out.bottom > picture.frames[-1].box.top or out.left > picture.frames[-1].box.right


def test_heat_is_white_where_there_is_no_norm() -> None:
    for shape in picture_of(rnn(2)).shapes:
        if shape.lines[0].startswith("x"):
            assert shape.fill == "#ffffff"
        elif shape.id.startswith("n"):
            assert shape.fill != "#ffffff"
    assert {s.fill for s in picture_of(rnn(2, norms=False)).shapes} == {"#ffffff"}
