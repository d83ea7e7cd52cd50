"""The picture is right: read back from the SVG, it shows the graph, in order, with nothing over anything else."""

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.draw.labels import text_width
from tinygrad_rnn.graph import Graph

from .chromium import Chromium, chromium_path
from .graphs import bidirectional, expression, irregular, layers_between_stacks, lstm, rnn, scribble
from .parsed import Edge, Parsed, parsed

ROOT = Path(__file__).parents[2]


def _gallery() -> Any:
    """The script that makes the gallery, which has a model of each kind."""
    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "docs" / "make_gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


gallery = _gallery()
GRAPHS: dict[str, Callable[[], Graph]] = {
    **{cell: lambda make=make: gallery.recorded(lambda: make(4)) for cell, make in gallery.CELLS.items()},
    "hand-made rnn of 1": lambda: rnn(1, norms=False),
    "hand-made rnn of 3": lambda: rnn(3),
    "hand-made rnn of 100": lambda: rnn(100),
    "hand-made rnn of 100, one loss": lambda: rnn(100, loss_every_step=False),
    "hand-made lstm": lambda: lstm(3),
    "hand-made lstm of 3 layers, 13 steps": lambda: lstm(13, layers=3),
    "stacks": lambda: layers_between_stacks(4),
    "stacks, 3 layers, 30 steps": lambda: layers_between_stacks(30, 3),
    "irregular": irregular,
    "hand-made bidirectional": lambda: bidirectional(5),
    "hand-made bidirectional, 20 steps": lambda: bidirectional(20),
    "expression": expression,
    **{f"scribble {seed}": lambda seed=seed: scribble(seed) for seed in range(12)},
}
RECURRENT = [name for name in GRAPHS if "scribble" not in name and name != "expression"]
VIEWS: dict[str, dict[str, Any]] = {
    "unrolled": {},
    "gradients": {"gradients": True},
    "values": {"values": True},
    "elided": {"elide": True, "keep": 1},
    "folded": {"depth": 1},
    "folded, gradients": {"depth": 2, "gradients": True},
    "rolled": {"view": "rolled"},
    "rolled, folded, gradients": {"view": "rolled", "depth": 2, "gradients": True},
}
CASES = [
    (name, view) for name in GRAPHS for view in VIEWS if name in gallery.CELLS or view in ("unrolled", "gradients")
]


@cache
def graph_of(name: str) -> Graph:
    return GRAPHS[name]()


@cache
def svg_of(name: str, view: str) -> str:
    return tg.draw(graph_of(name), **VIEWS[view]).svg


@cache
def picture_of(name: str, view: str) -> Parsed:
    return parsed(svg_of(name, view))


def recurrent(picture: Parsed) -> list[Edge]:
    """The edges that lead from one frame into another."""
    home = {node.id: title for title, frame in picture.frames.items() for node in picture.members(frame)}
    return [e for e in picture.forward() if e.tail in home and e.head in home and home[e.tail] != home[e.head]]


# ------------------------------------------------------------------------------------------- nothing over anything else


@pytest.mark.parametrize(("name", "view"), CASES)
def test_no_two_boxes_overlap(name: str, view: str) -> None:
    picture = picture_of(name, view)
    over = [(a.id, b.id) for a, b in combinations(picture.nodes.values(), 2) if a.area.overlaps(b.area)]
    assert over == []
    frames = picture.frames.values()
    assert [pair for pair in combinations(frames, 2) if pair[0].overlaps(pair[1])] == []


@pytest.mark.parametrize(("name", "view"), CASES)
def test_no_edge_crosses_a_box(name: str, view: str) -> None:
    picture = picture_of(name, view)
    if not picture.edges:
        return
    points = np.concatenate([edge.line for edge in picture.edges])
    owner = np.repeat(np.arange(len(picture.edges)), [len(edge.line) for edge in picture.edges])
    crossed = []
    for node in picture.nodes.values():
        for k in np.unique(owner[node.area.strictly_inside(points)]):
            edge = picture.edges[k]
            if node.id not in (edge.tail, edge.head):
                crossed.append((edge.tail, edge.head, node.id, "backward" if edge.backward else "forward"))
    assert crossed == []


@pytest.mark.parametrize(("name", "view"), CASES)
def test_an_edge_touches_its_own_boxes_only_at_its_ends(name: str, view: str) -> None:
    picture = picture_of(name, view)
    for edge in picture.forward():
        for end in {edge.tail, edge.head}:
            if picture.nodes[end].oval:  # it doesn't fill its area
                continue
            inside = picture.nodes[end].area.strictly_inside(edge.line, margin=4)
            assert not inside[2:-2].any(), (edge.tail, edge.head)


@pytest.mark.parametrize(("name", "view"), CASES)
def test_edges_join_their_boxes(name: str, view: str) -> None:
    picture = picture_of(name, view)
    for edge in picture.edges:
        drawn = edge.line if edge.arrow is None else np.concatenate([edge.line, edge.arrow])
        for node in (edge.tail, edge.head):
            assert picture.nodes[node].area.distance(drawn) < 5, (edge.tail, edge.head, node)
        if edge.arrow is not None:
            points_to = edge.tail if edge.backward else edge.head
            assert picture.nodes[points_to].area.distance(edge.arrow) < 5, (edge.tail, edge.head)


# ------------------------------------------------------------------------------------------------------ the whole graph


def places_folded(graph: Graph, depth: int) -> dict[int, int]:
    """Which node stands for each: the last operation of its module's call, as one call a step is all there is here."""
    calls = {
        node.id: (node.scope.path[:depth], node.scope.step)
        for node in graph.nodes
        if node.kind == "operation" and len(node.scope.path) >= depth
    }
    last = {call: i for i, call in calls.items()}
    return {node.id: last[calls[node.id]] if node.id in calls else node.id for node in graph.nodes}


def edges_wanted(graph: Graph, places: dict[int, int]) -> Counter[tuple[str, str]]:
    """A line for each result and each box that reads it."""
    read = {(p, places[node.id]) for node in graph.nodes for p in node.parents if places[p] != places[node.id]}
    return Counter((f"n{places[p]}", f"n{head}") for p, head in read)


@pytest.mark.parametrize("view", ["unrolled", "gradients", "values"])
@pytest.mark.parametrize("name", [name for name in GRAPHS if "100" not in name and "30" not in name])
def test_each_edge_of_the_graph_is_drawn_once(name: str, view: str) -> None:
    graph = graph_of(name)
    picture = parsed(tg.draw(graph, elide=False, **VIEWS[view]).svg)
    drawn = Counter((edge.tail, edge.head) for edge in picture.forward() if not edge.tail.startswith("legend"))
    assert drawn == edges_wanted(graph, {node.id: node.id for node in graph.nodes})
    assert {f"n{node.id}" for node in graph.nodes} == {i for i in picture.nodes if re.fullmatch(r"n\d+", i)}


@pytest.mark.parametrize(
    ("name", "depth"),
    # At depth 1, the bidirectional model is called twice a step.
    [
        (name, depth)
        for name in gallery.CELLS
        for depth in (1, 2)
        if name != "own" and (name, depth) != ("bidirectional", 1)
    ],
)
def test_each_edge_between_calls_is_drawn_once(name: str, depth: int) -> None:
    graph = graph_of(name)
    picture = parsed(tg.draw(graph, depth=depth).svg)
    drawn = Counter((edge.tail, edge.head) for edge in picture.forward())
    assert drawn == edges_wanted(graph, places_folded(graph, depth))


@pytest.mark.parametrize("name", RECURRENT)
def test_cut_each_edge_that_is_left_is_drawn_once(name: str) -> None:
    graph = graph_of(name)
    picture = picture_of(name, "elided") if name in gallery.CELLS else parsed(tg.draw(graph, elide=True).svg)
    drawn = Counter((edge.tail, edge.head) for edge in picture.forward())
    assert max(drawn.values()) == 1
    wanted = edges_wanted(graph, {node.id: node.id for node in graph.nodes})
    left = {edge for edge in wanted if set(edge) <= set(picture.nodes)}
    assert {edge for edge in drawn if all(re.fullmatch(r"n\d+", end) for end in edge)} == left


@pytest.mark.parametrize("name", gallery.CELLS)
def test_rolled_up_each_kind_of_edge_is_drawn_once(name: str) -> None:
    picture = picture_of(name, "rolled")
    graph = graph_of(name)
    ((title, frame),) = picture.frames.items()
    assert "4" in title
    drawn = Counter((edge.tail, edge.head) for edge in picture.forward())
    assert max(drawn.values()) == 1
    # An unrolled picture's second step has these edges too: from within it, from the parameters, from the step before.
    members = {int(n.id[1:]) for n in picture.members(frame)}
    assert len({graph.nodes[i].scope.step for i in members if graph.nodes[i].kind == "operation"}) == 1
    within = {(f"n{p}", f"n{i}") for i in members for p in graph.nodes[i].parents if p in members}
    assert within <= set(drawn)
    assert any(edge.width > 1.2 for edge in picture.forward()), "no bold edge leads back"


@pytest.mark.parametrize("name", gallery.CELLS)
def test_backward_edges_are_twins_of_forward_ones(name: str) -> None:
    graph, picture = graph_of(name), picture_of(name, "gradients")
    backward = Counter((edge.tail, edge.head) for edge in picture.edges if edge.backward)
    reached = {node.id for node in graph.nodes if node.grad_norm is not None}
    wanted = {(f"n{p}", f"n{n.id}") for n in graph.nodes for p in n.parents if n.id in reached and p in reached}
    assert max(backward.values()) == 1
    assert set(backward) == wanted
    assert all(edge.dashed for edge in picture.edges if edge.backward)
    assert not any(edge.backward for edge in picture_of(name, "unrolled").edges)


# -------------------------------------------------------------------------------------------------------- order in time


@pytest.mark.parametrize(("name", "view"), [(n, v) for n, v in CASES if n in RECURRENT and "rolled" not in v])
def test_steps_stand_in_order_from_left_to_right(name: str, view: str) -> None:
    picture = picture_of(name, view)
    in_place = sorted(picture.frames.items(), key=lambda item: item[1].left)
    titles = [title for title, _ in in_place]
    times = [int(t[4:]) for t in titles if t.startswith("t = ")]
    assert times == sorted(times)
    steps = sorted({node.scope.step for node in graph_of(name).nodes} - {None})
    assert set(times) <= set(steps)
    assert times == steps or len(times) < len(steps) > 2
    for (_, before), (_, after) in pairwise(in_place):
        assert after.left - before.right > 20
    assert len({(round(f.top, 1), round(f.bottom, 1)) for _, f in in_place}) == 1


@pytest.mark.parametrize("name", RECURRENT)
def test_each_node_stands_in_the_frame_of_its_step(name: str) -> None:
    picture, graph = picture_of(name, "unrolled"), graph_of(name)
    for title, frame in picture.frames.items():
        inside = {node.id for node in picture.members(frame)}
        of_step = {f"n{n.id}" for n in graph.nodes if title == f"t = {n.scope.step}" and n.kind == "operation"}
        assert of_step <= inside
        others = {f"n{n.id}" for n in graph.nodes if n.scope.step is not None and title != f"t = {n.scope.step}"}
        assert not inside & others


@pytest.mark.parametrize("name", ["rnn", "deep", "lstm", "gru", "own"])
def test_recurrent_edges_are_bold_and_lead_to_the_right(name: str) -> None:
    picture = picture_of(name, "unrolled")
    found = recurrent(picture)
    assert found
    plain = min(edge.width for edge in picture.forward())
    for edge in found:
        assert picture.nodes[edge.tail].area.right < picture.nodes[edge.head].area.left
        assert edge.width > 1.5 * plain
        assert edge.line[-1, 0] > edge.line[0, 0]


def test_the_reverse_directions_edges_lead_to_the_left() -> None:
    picture = picture_of("bidirectional", "unrolled")
    for t in range(1, 4):
        here, there = (picture.called(f"r{'₁₂₃₄'[k]} ").id for k in (t, t - 1))
        (edge,) = (e for e in recurrent(picture) if e.tail == here)
        assert edge.line[-1, 0] < edge.line[0, 0]
        nodes = {n.id: n for n in graph_of("bidirectional").nodes}
        assert nodes[int(edge.head[1:])].scope.step == nodes[int(there[1:])].scope.step


def test_copies_of_a_step_are_alike() -> None:
    picture = parsed(tg.draw(rnn(25), elide=False).svg)
    assert list(picture.frames) == [f"t = {t}" for t in range(1, 26)]
    frames = list(picture.frames.values())
    copies = [
        np.array([[n.area.left - f.left, n.area.top - f.top, n.area.width] for n in picture.members(f)]) for f in frames
    ]
    for other in copies[1:]:
        np.testing.assert_allclose(np.sort(other, 0), np.sort(copies[0], 0), atol=0.05)


def test_layers_stack_upwards() -> None:
    picture = picture_of("deep", "unrolled")
    for t in "₁₂₃₄":
        assert picture.called(f"high{t} ").area.bottom < picture.called(f"low{t} ").area.top


@pytest.mark.parametrize("name", ["rnn", "deep", "bidirectional", "lstm", "gru", "own"])
def test_parameters_stand_once_below_the_steps_on_rails_of_their_own_colour(name: str) -> None:
    graph, picture = graph_of(name), picture_of(name, "unrolled")
    floor = max(frame.bottom for frame in picture.frames.values())
    for node in graph.nodes:
        if node.kind == "leaf":
            box = picture.nodes[f"n{node.id}"]
            assert box.area.top > floor
            assert {e.colour for e in picture.forward() if e.tail == box.id} == {box.stroke}


def test_the_first_carry_stands_left_of_the_first_step() -> None:
    picture = picture_of("rnn", "unrolled")
    assert picture.called("h₀").area.right < min(frame.left for frame in picture.frames.values())


@pytest.mark.parametrize("name", ["hand-made rnn of 3", "stacks", "irregular", "rnn"])
def test_what_is_after_the_loop_stands_above_or_right(name: str) -> None:
    graph, picture = graph_of(name), picture_of(name, "unrolled")
    out, frames = picture.nodes[f"n{graph.outputs[0]}"].area, picture.frames.values()
    assert out.bottom < min(f.top for f in frames) or out.left > max(f.right for f in frames)


# ------------------------------------------------------------------------------------------------------- labels, heat


@pytest.mark.parametrize(("name", "view"), CASES)
def test_labels_fit_in_their_boxes(name: str, view: str) -> None:
    picture = picture_of(name, view)
    for node in picture.nodes.values():
        if node.stroke == "none":  # text that stands by itself
            continue
        for text in node.texts:
            half = text_width(text.content, text.size) / 2
            assert node.area.left - 0.5 <= text.x - half, (node.id, text.content)
            assert text.x + half <= node.area.right + 0.5, (node.id, text.content)
            assert node.area.top <= text.y - 0.75 * text.size, (node.id, text.content)
            assert text.y + 0.2 * text.size <= node.area.bottom, (node.id, text.content)
        for above, below in pairwise(node.texts):
            assert below.y - above.y >= 0.95 * below.size


_SPILLS = """
[...document.querySelectorAll('g.node')].flatMap(g => {
  const shape = g.querySelector('path, polygon, ellipse');
  if (!shape || shape.getAttribute('stroke') === 'none') return [];
  const box = shape.getBBox();
  return [...g.querySelectorAll('text')].filter(t => {
    const b = t.getBBox();
    return b.x < box.x - 1 || b.x + b.width > box.x + box.width + 1;
  }).map(t => t.textContent);
})
"""


@pytest.mark.skipif(chromium_path() is None, reason="there is no Chromium: text isn't measured by a browser")
def test_labels_fit_as_a_browser_measures_them(tmp_path: Path) -> None:
    svgs = [svg_of(name, view).partition("?>")[2] for name, view in CASES if name in gallery.CELLS]
    (tmp_path / "pictures.html").write_text(f"<!doctype html><meta charset=utf-8>{''.join(svgs)}", encoding="utf-8")
    with Chromium() as browser:
        page = browser.open(tmp_path / "pictures.html")
        assert page.run("document.querySelectorAll('g.node text').length") > 1000
        assert page.run(_SPILLS) == []


def test_only_what_has_a_gradient_is_coloured() -> None:
    picture = picture_of("rnn", "gradients")
    papers = {n.fill for n in picture.nodes.values() if n.texts and n.texts[0].content.startswith("x")}
    assert len(papers) == 1
    for node in graph_of("rnn").nodes:
        assert (picture.nodes[f"n{node.id}"].fill in papers) == (node.grad_norm is None)
    unheated = picture_of("rnn", "unrolled")
    assert {n.fill for i, n in unheated.nodes.items() if i.startswith("n")} == papers


# ------------------------------------------------------------------------------------------------------------- gallery


def test_the_gallery_has_the_pictures_that_its_script_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery.main(tmp_path / "gallery")
    made = {path.name for path in (tmp_path / "gallery").iterdir()}
    assert made == {path.name for path in (ROOT / "docs" / "gallery").iterdir()}
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert (tmp_path / "gallery.md").read_text(encoding="utf-8") == page
    assert {Path(target).name for target in re.findall(r"\]\((gallery/[^)]+)\)", page)} == made
    for path in (tmp_path / "gallery").glob("*.svg"):
        assert parsed(path.read_text(encoding="utf-8")).nodes
