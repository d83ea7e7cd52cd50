"""The backward pass beside the forward one: where gradients flow, how wide, and that nothing is in the way."""

import math
from dataclasses import replace

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.draw import draw
from tinygrad_rnn.draw.dot import to_dot
from tinygrad_rnn.draw.heat import Heat
from tinygrad_rnn.draw.picture import Box, Line, Picture, Point, Shape
from tinygrad_rnn.draw.twins import with_twins
from tinygrad_rnn.graph import Arrival, BackwardStep, Graph

from .graphs import Builder, bidirectional, expression, layers_between_stacks, lstm, rnn

GRAPHS = {
    "rnn": rnn(3),
    "rnn of 100": rnn(100, decay=0.4, loss_every_step=False),
    "lstm": lstm(3),
    "two layers": lstm(3, layers=2),
    "stacks": layers_between_stacks(4, 2),
    "expression": expression(),
}


def pictures_of(graph: Graph) -> tuple[Picture, Picture]:
    """The picture without and with twins, without legends."""
    picture = draw(graph, gradients=True).picture
    lines = tuple(line for line in picture.lines if not line.tail.startswith("legend"))
    forward = tuple(line for line in lines if not line.backward)
    return replace(picture, lines=forward), replace(picture, lines=lines)


def points_on(curve: tuple[Point, ...], count: int = 16) -> list[Point]:
    found = []
    for k in range(0, len(curve) - 1, 3):
        a, b, c, d = curve[k : k + 4]
        for t in (step / count for step in range(count + 1)):
            u = 1 - t
            found.append(
                Point(
                    u**3 * a.x + 3 * u * u * t * b.x + 3 * u * t * t * c.x + t**3 * d.x,
                    u**3 * a.y + 3 * u * u * t * b.y + 3 * u * t * t * c.y + t**3 * d.y,
                )
            )
    return found


def inside(box: Box, point: Point, margin: float) -> bool:
    return abs(point.x - box.x) < box.width / 2 - margin and abs(point.y - box.y) < box.height / 2 - margin


@pytest.mark.parametrize("name", GRAPHS)
def test_every_line_that_carries_a_gradient_has_one_twin(name: str) -> None:
    graph = GRAPHS[name]
    before, after = pictures_of(graph)
    twins = [line for line in after.lines if line.backward]
    assert [line for line in after.lines if not line.backward] == list(before.lines)
    norms = {f"n{node.id}": node.grad_norm for node in graph.nodes}
    wanted = [(line.head, line.tail) for line in before.lines if norms.get(line.tail, 0.0) is not None]
    assert sorted((twin.tail, twin.head) for twin in twins) == sorted(wanted)
    assert all(twin.dashed and twin.tip for twin in twins)


@pytest.mark.parametrize("name", GRAPHS)
def test_twins_run_beside_their_lines_from_head_to_tail(name: str) -> None:
    _, picture = pictures_of(GRAPHS[name])
    boxes = {shape.id: shape.box for shape in picture.shapes}
    lines = {(line.tail, line.head): points_on(line.curve, 64) for line in picture.lines if not line.backward}
    for twin in picture.lines:
        if not twin.backward:
            continue
        assert twin.tip is not None
        points = points_on(twin.curve)
        for node, end in ((twin.tail, twin.curve[0]), (twin.head, twin.tip)):
            box = boxes[node]
            assert abs(end.x - box.x) < box.width / 2 + 3, (name, twin)
            assert abs(end.y - box.y) < box.height / 2 + 3, (name, twin)
            assert not inside(box, end, 4) or "elided" in (node, twin.tail), (name, twin)
        beside = lines[twin.head, twin.tail]
        apart = [min(math.dist(p, q) for q in beside) for p in points[8:-8]]
        assert all(distance < 12 for distance in apart), (name, twin)
        for key, box in boxes.items():
            if key not in (twin.tail, twin.head):
                assert not [p for p in points if inside(box, p, 0.5)], (name, twin, key)


def test_vanishing_is_seen() -> None:
    """In the picture of 100 steps, what flows at the first steps is thin and pale, at the last wide and strong."""
    graph = GRAPHS["rnn of 100"]
    _, picture = pictures_of(graph)
    step = {f"n{node.id}": node.scope.step for node in graph.nodes}
    inner = [line for line in picture.lines if line.backward and step.get(line.tail) == step.get(line.head)]
    early = [line for line in inner if step[line.tail] in (1, 2)]
    late = [line for line in inner if step[line.tail] in (99, 100)]
    assert len(early) > 5
    assert max(line.width for line in early) < 1 < 2 < min(line.width for line in late)
    assert not {line.colour for line in early} & {line.colour for line in late}


def test_what_was_recorded_goes_before_the_norm_of_the_node() -> None:
    b = Builder()
    x = b.add(name="x", norm=3.0)
    y, z = b.add("tanh", x, norm=1.0), b.add("exp", x, norm=1.0)
    b.add("add", y, z, norm=1.0)
    graph = b.graph()
    told = {(line.tail, line.head): line.tooltip for line in pictures_of(graph)[1].lines if line.backward}
    assert told[f"n{y}", f"n{x}"] == told[f"n{z}", f"n{x}"] == "flows back: 3"
    steps = (
        BackwardStep(3, 1.0, (Arrival(y, 1.0, 1.0), Arrival(z, 1.0, 1.0))),
        BackwardStep(z, 1.0, (Arrival(x, 2.5, 2.5),)),
        BackwardStep(y, 1.0, (Arrival(x, 0.25, 0.3), Arrival(x, 0.25, 3.0))),
    )
    told = {
        (line.tail, line.head): line.tooltip
        for line in pictures_of(replace(graph, backward=steps))[1].lines
        if line.backward
    }
    assert told[f"n{z}", f"n{x}"] == "flows back: 2.5"
    assert told[f"n{y}", f"n{x}"] == "flows back: 0.5"


def test_a_parameter_is_seen_to_get_more_from_the_last_step() -> None:
    """∂L/∂W_hh is a sum over steps: the twins of its lines show what each one adds, from the tape's own record."""
    W = tg.tensor([[0.3, 0.1], [0.0, 0.2]], requires_grad=True, name="W_hh")
    h = tg.tensor([0.5, -0.5], requires_grad=True, name="h_0")
    x = np.array([0.5, 0.5])
    for t in (1, 2, 3):
        with tg.scope(step=t):
            h = tg.tanh(W @ h + x)
    loss = (h * h).sum()
    with tg.record_cotangents() as seen:
        loss.backward()
    graph = tg.graph(loss, cotangents=seen)
    (source,) = (f"n{node.id}" for node in graph.nodes if node.name == "W_hh")
    widths = [
        line.width
        for line in sorted(pictures_of(graph)[1].lines, key=lambda line: int(line.tail[1:]))
        if line.backward and line.head == source
    ]
    assert len(widths) == 3
    assert widths == sorted(set(widths))


def test_nothing_flows_where_no_backward_has_run() -> None:
    assert not [line for line in pictures_of(rnn(3, norms=False))[1].lines if line.backward]
    before, after = pictures_of(bidirectional(3))
    assert before == after


@pytest.mark.parametrize("norm", [0.0, math.inf, math.nan, 5e-324, 1.7e308])
def test_extreme_norms(norm: float) -> None:
    b = Builder()
    b.add("tanh", b.add(name="x", norm=norm), norm=1.0)
    _, picture = pictures_of(b.graph())
    (twin,) = (line for line in picture.lines if line.backward)
    assert 0 < twin.width < 4
    assert to_dot(picture)


def test_degenerate_curves() -> None:
    """A line of no length at its start, as from the box of hidden steps, and one of no length at all."""
    shapes = tuple(Shape(f"n{i}", Box(100 * i, 0, 40, 20), ("",), "", "box", "none", "ink", "ink") for i in range(2))
    here, there = Point(20, 0), Point(80, 0)
    b = Builder()
    b.add("tanh", b.add(norm=1.0), norm=1.0)
    heat = Heat.of([1.0])
    assert heat is not None
    for curve in ((here,) * 4, (here, here, here, here, here, there, there, there)[:7]):
        line = Line("n0", "n1", curve, there, "edge")
        twin, _ = with_twins(Picture("a test", (), shapes, (line,)), b.graph(), heat, {0: "n0", 1: "n1"}).lines
        assert twin.tip is not None
        assert all(math.isfinite(value) for point in (*twin.curve, twin.tip) for value in point)
        assert twin.tip.x == pytest.approx(20)
        assert abs(twin.tip.y) < 6
