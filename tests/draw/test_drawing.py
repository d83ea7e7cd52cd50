import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tinygrad_rnn.draw import Drawing, DrawingError, draw
from tinygrad_rnn.graph import Graph

from .graphs import Builder, expression, layers_between_stacks, lstm, rnn

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    # Graphviz writes runs of blanks as non-breaking ones.
    return [(element.text or "").replace("\xa0", " ") for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_names_shapes_and_norms_are_all_there() -> None:
    said = texts(draw(rnn(3), gradients=True).svg)
    for t in (1, 2, 3):
        for text in (f"t = {t}", f"x{'₀₁₂₃'[t]}", f"h{'₀₁₂₃'[t]} = tanh", f"L{'₀₁₂₃'[t]} = cross-entropy"):
            assert said.count(text) == 1
    for text in ("W_xh   (5, 3)  ∇ 1.6", "W_hy   (4, 5)  ∇ 2.4", "h₀", "L = Σ", "stack", "(3,)  ∇ 1.7"):
        assert said.count(text) == 1
    assert said.count("W_hh @") == said.count("+ b_h") == 3
    assert said.count("(5,)  ∇ 0.72") == 5 - 1 + 1  # step 2: W_xh @, W_hh @, +, + b_h, h₂


def test_no_heat_unless_asked_for_and_none_before_a_backward_pass() -> None:
    cool = draw(rnn(3))
    assert "∇" not in "".join(texts(cool.svg))
    assert "‖∂L/∂·‖" not in texts(cool.svg)
    assert "#7f0000" not in cool.dot
    early = " ".join(texts(draw(rnn(3, norms=False), gradients=True).svg))
    assert "no gradient yet" in early
    assert "∇" not in early


def test_time_runs_left_to_right_in_the_svg() -> None:
    root = ET.fromstring(draw(rnn(8)).svg)
    x = {e.text: float(e.attrib["x"]) for e in root.iter(f"{SVG}text") if e.text}
    titles = [x[f"t = {t}"] for t in range(1, 9)]
    assert titles == sorted(titles)
    ids = [e.attrib["id"] for e in root.iter(f"{SVG}g") if e.attrib.get("class") == "node"]
    assert len(ids) == len(set(ids))
    assert [e.attrib["id"] for e in root.iter(f"{SVG}g") if e.attrib.get("class") == "cluster"] == [
        f"step_t{t}" for t in range(1, 9)
    ]


def test_the_same_bytes_twice() -> None:
    for graph in (rnn(3), lstm(3), layers_between_stacks(12, 2), expression()):
        one, two = draw(graph), draw(graph)
        assert one.dot == two.dot
        assert one.svg == two.svg


def test_a_long_sequence_is_elided() -> None:
    said = texts(draw(rnn(1000, decay=0.5), gradients=True).svg)
    assert "996 steps" in said
    assert "t = 3 … 998" in said
    assert "8,964 nodes" in said
    assert "‖∂L/∂h‖" in said
    assert "t = 1000" in said
    assert "t = 500" not in said
    said = texts(draw(rnn(10), elide=True, keep=1).svg)
    assert {"t = 1", "8 steps", "t = 10"} <= set(said)
    assert "t = 2" not in said


def test_save(tmp_path: Path) -> None:
    drawing = draw(rnn(2))
    for suffix, magic in (
        (".svg", b"<?xml"),
        (".dot", b"digraph"),
        (".png", b"\x89PNG"),
        (".pdf", b"%PDF"),
        (".html", b"<!DOCTYPE html>"),
        (".SVG", b"<?xml"),
    ):
        path = tmp_path / f"rnn{suffix}"
        assert drawing.save(path) == path
        assert path.read_bytes().startswith(magic)
    assert drawing.save(str(tmp_path / "again.svg")).read_text(encoding="utf-8") == drawing.svg == drawing._repr_svg_()
    assert len(list(tmp_path.iterdir())) == 7
    mask = os.umask(0o022)
    os.umask(mask)
    assert (tmp_path / "rnn.svg").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_notebook_shows_the_replay() -> None:
    drawing = draw(rnn(2), gradients=True)
    assert drawing._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')


def test_save_says_what_it_wants(tmp_path: Path) -> None:
    drawing = draw(expression())
    with pytest.raises(
        ValueError, match=r"rnn\.gif' ends in '\.gif'; wanted one of \.svg, \.dot, \.png, \.pdf, \.html"
    ):
        drawing.save(tmp_path / "rnn.gif")
    with pytest.raises(ValueError, match=r"ends in ''"):
        drawing.save(tmp_path / "rnn")
    with pytest.raises(FileNotFoundError, match=r"no directory .*nowhere"):
        drawing.save(tmp_path / "nowhere" / "rnn.svg")
    (tmp_path / "dir.svg").mkdir()
    with pytest.raises(OSError):
        drawing.save(tmp_path / "dir.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["dir.svg"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rnn.png"
    path.write_text("old")
    drawing = draw(expression())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DrawingError, match="a graph of 10 nodes: no Graphviz found"):
        drawing.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_too_many_nodes() -> None:
    with pytest.raises(DrawingError, match=r"9,008 nodes to show, the limit is 2,000; draw fewer \(elide=True, "):
        draw(rnn(1000), elide=False, max_nodes=2000)
    with pytest.raises(DrawingError, match=r"^a graph of 10 nodes: 10 nodes to show, the limit is 9; raise max_nodes="):
        draw(expression(), max_nodes=9)


def test_the_time_limit_names_the_graph() -> None:
    with pytest.raises(DrawingError, match=r"a graph of 35 nodes in 3 time steps: .* the limit of 0.001 s"):
        draw(rnn(3), timeout=0.001)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="no nodes"):
        draw(Graph((), ()))
    with pytest.raises(ValueError, match="depth must be at least 1 or None, got 0"):
        draw(rnn(3), depth=0)
    with pytest.raises(ValueError, match="view must be 'unrolled' or 'rolled', got 'flat'"):
        draw(rnn(3), view="flat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="theme must be 'light' or 'dark', got 'blue'"):
        draw(rnn(3), theme="blue")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        draw(rnn(3), keep=0)


def test_smallest_graphs() -> None:
    b = Builder()
    b.add(name="x")
    assert "x" in texts(draw(b.graph()).svg)
    b = Builder()
    b.add(name="x", step=5)
    assert {"x", "t = 5"} <= set(texts(draw(b.graph()).svg))
    b = Builder()
    x = b.add(name="x", step=-1)
    b.add("mul", x, x, step=0)
    assert {"t = -1", "t = 0"} <= set(texts(draw(b.graph()).svg))


def test_repr() -> None:
    drawing = draw(rnn(3))
    assert isinstance(drawing, Drawing)
    assert repr(drawing) == "<Drawing of a graph of 35 nodes in 3 time steps>"
