"""Rolled, folded and elided graphs and paths: what is in them, whatever their places."""

import re
from dataclasses import replace

import pytest

from tinygrad_rnn.draw import Drawing, draw
from tinygrad_rnn.draw.fold import fold
from tinygrad_rnn.draw.path import on_path
from tinygrad_rnn.draw.picture import Line, Shape
from tinygrad_rnn.draw.rolled import roll
from tinygrad_rnn.draw.steps import plan_steps
from tinygrad_rnn.graph import Graph, Scope

from .graphs import Builder, bidirectional, expression, irregular, layers_between_stacks, lstm, rnn, scribble


def nested(steps: int) -> Graph:
    """An LSTM in a model: the gates are a module of their own inside the cell, and y = Linear(h)."""
    inside = {"gates": ("model", "cell", "gates"), "getitem": ("model", "cell"), "matmul": ("model", "cell", "gates")}
    graph = lstm(steps)
    nodes = []
    for node in graph.nodes:
        path = inside.get(node.op, ("model", "cell")) if node.kind == "operation" else ()
        if node.shape == ():  # the losses and their sum
            path = ()
        elif node.name and node.name.startswith("y_"):
            path = ("model", "linear")
        nodes.append(replace(node, scope=Scope(path, node.scope.step)))
    return Graph(tuple(nodes), graph.outputs)


def said(drawing: Drawing) -> list[str]:
    return [shape.lines[0] for shape in drawing.picture.shapes]


def shape(drawing: Drawing, first_line: str) -> Shape:
    (found,) = (s for s in drawing.picture.shapes if s.lines and s.lines[0] == first_line)
    return found


def between(drawing: Drawing, tail: str, head: str) -> list[Line]:
    ends = shape(drawing, tail).id, shape(drawing, head).id
    return [line for line in drawing.picture.lines if (line.tail, line.head) == ends and not line.backward]


def test_a_call_is_one_box() -> None:
    drawing = draw(nested(3), depth=2, elide=False)
    assert [text for text in said(drawing) if "cell" in text] == ["c₁, h₁ = cell", "c₂, h₂ = cell", "h₃ = cell"]
    assert sum("linear" in text for text in said(drawing)) == 3
    assert "modules are folded to depth 2" in drawing.summary


def test_it_unfolds_one_level_deeper() -> None:
    counts = [len(fold(nested(3), depth).graph.nodes) for depth in (1, 2, 3, 4)]
    assert counts == sorted(counts)
    assert counts[-1] == len(nested(3).nodes) > counts[2] > counts[1] > counts[0]
    assert "gates" not in said(draw(nested(3), depth=2))
    assert any("gates" in text for text in said(draw(nested(3), depth=3)))
    assert fold(nested(3), None).graph is not None


@pytest.mark.parametrize("elide", [False, True])
def test_the_arrows_of_c_and_h_stay_apart(elide: bool) -> None:
    drawing = draw(nested(6), depth=2, elide=elide)
    ends = [("c₁, h₁ = cell", "c₂, h₂ = cell")]
    for tail, head in ends:
        c, h = between(drawing, tail, head)
        assert abs(c.curve[0].y - h.curve[0].y) > 4
        assert c.tip is not None
        assert h.tip is not None
        assert abs(c.tip.y - h.tip.y) > 4
        assert (c.curve[0].y > h.curve[0].y) == (c.tip.y > h.tip.y)  # they don't cross
    if elide:
        ids = shape(drawing, "c₂, h₂ = cell").id, shape(drawing, "c₅, h₅ = cell").id
        assert len([line for line in drawing.picture.lines if (line.tail, line.head) == (ids[0], "elided")]) == 2
        assert len([line for line in drawing.picture.lines if (line.tail, line.head) == ("elided", ids[1])]) == 2


def test_a_box_never_feeds_itself() -> None:
    b = Builder()
    x = b.add("exp", b.add(name="x"), path=("a",))
    y = b.add("exp", x, path=("b",))
    b.add("add", x, y, path=("a",))
    assert [node.op for node in fold(b.graph(), 1).graph.nodes] == ["", "a", "b", "a"]
    for seed in range(30):
        graph = scribble(seed)
        paths = [("a",), ("a", "b"), (), ("c",)]
        nodes = [replace(node, scope=Scope(paths[node.id * seed % 4], node.scope.step)) for node in graph.nodes]
        folded = fold(Graph(tuple(nodes), graph.outputs), 1)
        assert all(p < node.id for node in folded.graph.nodes for p in node.parents)
        assert set(folded.places.values()) == {node.id for node in folded.graph.nodes}


def test_rolled_shows_one_step_with_a_loop() -> None:
    drawing = draw(rnn(100), view="rolled")
    assert [frame.title for frame in drawing.picture.frames] == ["t = 1 … 100"]
    assert {"×100", "x_t", "h_t = tanh", "y_t = + b_y", "L_t = cross-entropy", "h₀", "L = Σ"} <= set(said(drawing))
    (loop,) = between(drawing, "h_t = tanh", "W_hh @")
    frame = drawing.picture.frames[0].box
    assert loop.curve[0].x > frame.x > (loop.tip or loop.curve[-1]).x  # out at the right, back in at the left
    assert max(p.y for p in loop.curve) > frame.top
    assert len(drawing.picture.shapes) < 20
    assert "one step stands for all" in drawing.summary


def test_rolled_loops_run_backwards_in_time_too() -> None:
    graph = bidirectional(5)
    loops = roll(plan_steps(graph)).plan.loops
    assert sorted(loop.forward for loop in loops) == [False, True]
    drawing = draw(graph, view="rolled")
    (back,) = (
        line
        for line in drawing.picture.lines
        if line.tail == shape(drawing, "r_t = tanh").id and line.colour == "carry"
    )
    assert back.curve[0].x < (back.tip or back.curve[-1]).x


def test_rolled_gradients_are_of_all_times_together() -> None:
    graph = rnn(3, decay=0.5)
    rolled = roll(plan_steps(graph))
    (h,) = (node for node in rolled.plan.nodes.values() if node.name == "h_t")
    assert h.grad_norm == pytest.approx((0.9**2 + 0.45**2 + 0.225**2) ** 0.5)
    assert all(node.grad_norm is None for node in roll(plan_steps(rnn(3, norms=False))).plan.nodes.values())


def test_what_only_the_last_step_has_keeps_its_name() -> None:
    drawing = draw(rnn(7, loss_every_step=False), view="rolled")
    assert {"L₇ = cross-entropy", "h_t = tanh"} <= set(said(drawing))


def test_rolled_lstm_has_two_loops_folded_or_not() -> None:
    assert len(roll(plan_steps(lstm(4))).plan.loops) == 3  # c, h and the running sum of the losses
    drawing = draw(nested(4), view="rolled", depth=2)
    box = shape(drawing, "c_t, h_t = cell").id
    c, h = (line for line in drawing.picture.lines if (line.tail, line.head) == (box, box))
    assert c.curve[0].y != h.curve[0].y


def test_without_steps_rolled_is_plain() -> None:
    assert draw(expression(), view="rolled").dot == draw(expression()).dot
    assert "one step stands for all" not in draw(expression(), view="rolled").summary
    assert "×" not in "".join(said(draw(rnn(1), view="rolled")))


def test_bptt_from_step_3() -> None:
    graph = rnn(5)
    found = {graph.nodes[i].name or graph.nodes[i].op for i in on_path(graph, ("L_3", ["W_hh", "h_0"]))}
    assert found == {"L_3", "y_3", "matmul", "add", "h_1", "h_2", "h_3", "W_hh", "h_0"}
    drawing = draw(graph, path=("L_3", ["W_hh", "h_0"]))
    faint = {s.lines[0] for s in drawing.picture.shapes if s.ink == "faint"}
    assert {"L₁ = cross-entropy", "h₄ = tanh", "L = Σ", "x₁", "b_h   (5,)"} <= faint
    assert not {"h₁ = tanh", "h₃ = tanh", "L₃ = cross-entropy", "h₀"} & faint
    for line in drawing.picture.lines:
        ends = {s.id for s in drawing.picture.shapes if s.ink != "faint"}
        assert (line.colour == "faint") == (not {line.tail, line.head} <= ends)
    assert "faded is what carries no gradient from L₃ to W_hh, h₀" in drawing.summary


def test_a_path_in_every_view() -> None:
    for kwargs in (
        {"view": "rolled"},
        {"depth": 2},
        {"elide": True},
        {"gradients": True},
        {"view": "rolled", "depth": 1},
    ):
        drawing = draw(nested(9), path=("L_9", "weight_hh_l0"), **kwargs)  # type: ignore[arg-type]
        ink = {s.ink == "faint" for s in drawing.picture.shapes if re.fullmatch(r"n\d+|elided", s.id)}
        assert ink == {True, False}, kwargs


def test_paths_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"path: no node is called 'W_h'; there is 'W_xh', 'W_hy', 'W_hh'"):
        draw(rnn(3), path=("L_3", "W_h"))
    with pytest.raises(ValueError, match=r"no gradient flows from 'L_1' to 'h_2'"):
        draw(rnn(3), path=("L_1", ["W_hh", "h_2"]))
    with pytest.raises(ValueError, match=r"no gradient flows from 'L_3' to 'x_1'"):  # a constant takes none
        draw(rnn(3), path=("L_3", "x_1"))
    with pytest.raises(ValueError, match=r"path must be \(from, to\), .* got 'W_hh'"):
        draw(rnn(3), path="W_hh")  # type: ignore[arg-type]


def test_too_much_is_elided_unless_told_otherwise() -> None:
    few, many = draw(rnn(12)), draw(rnn(13))
    assert "elided" not in {s.id for s in few.picture.shapes}
    assert "elided" in {s.id for s in many.picture.shapes}
    assert "first 2 and the last 2 of its steps, with a box for the rest (elide=False shows all)" in many.summary
    wide = draw(lstm(9, layers=2))  # few steps, more than 300 nodes
    assert "elided" in {s.id for s in wide.picture.shapes}
    whole = draw(lstm(9, layers=2), elide=False)
    assert "more than 300 nodes are hard to read" in whole.summary
    asked = draw(rnn(6), elide=True, keep=1)
    assert [frame.title for frame in asked.picture.frames] == ["t = 1", "t = 6"]
    assert "elide=False" not in asked.summary


@pytest.mark.parametrize("view", ["unrolled", "rolled"])
@pytest.mark.parametrize("depth", [None, 1, 2])
@pytest.mark.parametrize("elide", [False, True])
def test_all_of_it_together(view: str, depth: int | None, elide: bool) -> None:
    for graph in (nested(7), irregular(), bidirectional(6), layers_between_stacks(6, 2), expression()):
        drawing = draw(graph, view=view, depth=depth, elide=elide, gradients=True)  # type: ignore[arg-type]
        ids = [s.id for s in drawing.picture.shapes]
        assert len(ids) == len(set(ids))
        assert {end for line in drawing.picture.lines for end in (line.tail, line.head)} <= set(ids)
        assert drawing.dot == draw(graph, view=view, depth=depth, elide=elide, gradients=True).dot  # type: ignore[arg-type]


def test_a_path_with_gradients_says_whose_norms_they_are() -> None:
    said = draw(rnn(3), path=("h_2", "W_hh"), gradients=True).summary
    assert "the norms are those of the last backward, which need not have begun at h₂" in said
    assert "norms" not in draw(rnn(3), path=("h_2", "W_hh")).summary
