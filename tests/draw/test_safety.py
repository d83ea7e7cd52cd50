"""What comes from outside can do no harm: names, threads, file systems, a Graphviz that is missing or never ends."""

import gc
import hashlib
import html
import io
import json
import os
import random
import re
import subprocess
import sys
import time
import weakref
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.draw import Drawing, DrawingError, draw, whole_file
from tinygrad_rnn.draw.engine import render
from tinygrad_rnn.draw.labels import visible
from tinygrad_rnn.graph import Graph
from tinygrad_rnn.tape import Node

from .chromium import Chromium, chromium_path
from .graphs import Builder, expression, lstm, rnn, scribble

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"

HOSTILE = [
    "<script>alert(1)</script>",
    '"]; bad [',
    "\\N",
    "\\G\\E\\T\\H\\L",
    "{a|b}<c>",
    "😀👩\u200d🔬",
    "שלום עולם",
    "<b>x</b>",
    "<>",
    "trailing\\",
    '\\"',
    "\\n\\l\\r",
    "&lt;b&gt;&amp;",
    "&#10;&#x0;",
    "a:b:n",
    "strict",
    "--",
    "名前",
    "%s{0}$HOME",
    "]]>",
    "--><!--",
    "<![CDATA[",
    "'onload='x",
    "javascript:alert(1)",
]
CLEANED = {
    "two\nlines": "two↵lines",
    "\x00\x07\x1b[31m": "���[31m",
    "\ud800": "�",
    "\udfff\ud800": "��",
    "\u202egnp": "�gnp",
    "\uffff": "�",
    "\x7f\x80\x9f": "���",
    "a\r\nb\u2028c": "a↵b↵c",
}


def hostile_graph(names: list[str], place: str) -> Graph:
    b = Builder()
    shared = b.add(name=names[0], norm=1.0)
    last = shared
    for k, name in enumerate(names):
        step = 1 + k % 3 if place == "steps" else None
        other = b.add(name=name, kind="constant", step=step, path=(name,))
        last = b.add(
            "mul", b.add(name or "x", last, other, name=name, step=step, path=(name, name), norm=0.5), shared, step=step
        )
    if place == "around":
        h = b.add("tanh", last, step=1, norm=0.1)
        b.add("<op>\\", b.add("tanh", h, last, step=2), last, name="<b>\\")
    return b.graph()


def said_in_svg(svg: str) -> list[str]:
    # Graphviz writes runs of blanks as non-breaking ones.
    return [(element.text or "").replace("\xa0", " ") for element in ET.fromstring(svg).iter(f"{SVG}text")]


def said_in_dot(dot: str) -> tuple[list[str], int]:
    """The lines of all labels as Graphviz reads them, and how many nodes there are."""
    read = json.loads(render([dot], layout="nop2", output="json", what="a test", timeout=30))
    labels = [thing["label"] for thing in read["objects"] if "label" in thing]
    nodes = [thing for thing in read["objects"] if "pos" in thing]
    # Backslashes stand for themselves twice; what is left are line breaks.
    lines = [line for label in labels for line in re.split(r"(?<!\\)(?:\\\\)*\\n", label.replace("\\\\", "\0"))]
    return [html.unescape(line.replace("\0", "\\")) for line in lines], len(nodes)


@pytest.mark.parametrize("place", ["steps", "plain", "around"])
def test_hostile_names_are_text(place: str) -> None:
    names = [*HOSTILE, *CLEANED]
    graph = hostile_graph(names, place)
    drawing = draw(graph, gradients=True, elide=False, title="".join(HOSTILE[:3]))
    root = ET.fromstring(drawing.svg)
    allowed = {"svg", "g", "title", "desc", "a", "text", "path", "polygon", "polyline", "ellipse"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed
    assert not [a for e in root.iter() for a in e.attrib if a.startswith("on") or a.endswith("href")]
    hints = " ".join(e.attrib.get(f"{XLINK}title", "") for e in root.iter())
    in_dot, nodes = said_in_dot(drawing.dot)
    assert nodes == len(drawing.picture.shapes)
    for said in (" ".join(said_in_svg(drawing.svg)), " ".join(in_dot)):
        for name in HOSTILE:
            assert name in said, name
        for shown in CLEANED.values():
            assert shown in said
    for name in HOSTILE:
        assert name in hints, name
    ids = {e.attrib["id"] for e in root.iter() if "id" in e.attrib}
    generated = r"(a_)?((graph|n|edge|step_t|clust|legend)\d+(_\d+)?|title)|(title|desc)[0-9a-f]{8}"
    assert [i for i in ids if not re.fullmatch(generated, i)] == []


@pytest.mark.parametrize("seed", range(6))
def test_any_characters_at_all(seed: int) -> None:
    r = random.Random(seed)
    pool = [chr(c) for c in (*range(0x180), *range(0x590, 0x610), *range(0x2000, 0x2070), *range(0xD7F0, 0xE010))]
    pool += ["\U0001f600", "\U000e0001", "\U0010ffff", "\ufeff", "\ufffe", *'<>"&\\{}|'] * 8
    names = ["".join(r.choices(pool, k=r.randint(1, 12))) for _ in range(60)]
    drawing = draw(hostile_graph(names, "steps"), elide=False, values=True)
    said = " ".join(said_in_svg(drawing.svg))
    in_dot = " ".join(said_in_dot(drawing.dot)[0])
    for name in names:
        if re.search(r"\d", name):
            continue  # its number may be written below the line
        assert visible(name).replace("\xa0", " ") in said, ascii(name)
        assert visible(name) in in_dot, ascii(name)


def test_very_long_names() -> None:
    b = Builder()
    x = b.add(name="x" * 10_000, step=1)
    y = b.add("o" * 10_000, x, name="\\" * 10_000, step=2, path=("<" * 10_000,))
    b.add("tanh", y, name="&" * 10_000, step=3)
    drawing = draw(b.graph(), title="t" * 10_000)
    assert len(drawing.svg) < 20_000
    assert max(shape.box.width for shape in drawing.picture.shapes if shape.id != "title") < 700
    assert said_in_dot(drawing.dot)[1] == 4
    ET.fromstring(drawing.svg)


def test_screen_readers_are_told_what_it_is() -> None:
    first, second = (draw(rnn(t), title='<RNN> & "co"') for t in (2, 3))
    root = ET.fromstring(first.svg)
    assert root.attrib["role"] == "img"
    title, desc = root[0], root[1]
    assert (title.tag, desc.tag) == (f"{SVG}title", f"{SVG}desc")
    assert root.attrib["aria-labelledby"] == f"{title.attrib['id']} {desc.attrib['id']}"
    assert title.text == '<RNN> & "co"'
    assert desc.text == first.summary
    assert title.attrib["id"] not in second.svg  # both may be in one page
    assert "DTD" not in first.svg
    assert "<!--" not in first.svg
    assert "<style" not in first.svg


GIVEN = {
    "light": lambda: draw(lstm(3), gradients=True),
    "dark": lambda: draw(rnn(40), gradients=True, theme="dark", values=True, title="RNN"),
    "rolled": lambda: draw(rnn(5), gradients=True, view="rolled"),
    "path": lambda: draw(rnn(5), path=("L_3", ["W_hh", "h_0"])),
    "any": lambda: draw(scribble(3), gradients=True, shapes=False),
}


def digest_of(drawing: Drawing) -> str:
    return hashlib.sha256((drawing.dot + drawing.svg).encode()).hexdigest()


def digests() -> dict[str, str]:
    return {name: digest_of(make()) for name, make in GIVEN.items()}


def test_the_same_bytes_whatever_the_run_and_the_hash_seed() -> None:
    root = Path(__file__).parents[2]
    program = "import json; from tests.draw.test_safety import digests; print(json.dumps(digests()))"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        for seed in ("0", "4242")
    ]
    expected = digests()
    for run in runs:
        said, _ = run.communicate(timeout=120)
        assert json.loads(said) == expected


def test_threads_can_draw_at_once() -> None:
    expected = digests()
    with ThreadPoolExecutor(8) as pool:
        wanted = [name for name in GIVEN for _ in range(2)]
        for name, digest in zip(wanted, pool.map(lambda name: digest_of(GIVEN[name]()), wanted), strict=True):
            assert digest == expected[name], name


def test_threads_can_save_at_once(tmp_path: Path) -> None:
    """The umask belongs to the process: to ask for it is to change it for all."""
    mask = os.umask(0o027)
    try:
        drawing = draw(expression())
        paths = [tmp_path / f"{k}.dot" for k in range(200)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(drawing.save, paths))
        assert {path.stat().st_mode & 0o777 for path in paths} == {0o640}
    finally:
        assert os.umask(mask) == 0o027


def test_a_drawing_changes_nothing_and_keeps_nothing_alive() -> None:
    w = tg.tensor([[0.5, 0.1], [0.2, 0.3]], requires_grad=True, name="W")
    h = tg.tensor([0.5, -0.5], requires_grad=True, name="h_0")
    start = h
    for t in (1, 2):
        with tg.scope(step=t):
            h = tg.tanh(w @ h)
    loss = (h * h).sum()
    loss.backward()
    before = tg.graph(loss)
    grads = [t.grad.tolist() for t in (w, start) if t.grad is not None]
    assert len(grads) == 2
    drawing = draw(loss, gradients=True)
    assert drawing.svg
    assert drawing.html
    assert tg.graph(loss) == before
    assert [t.grad.tolist() for t in (w, start) if t.grad is not None] == grads
    refs = [weakref.ref(thing) for thing in (loss, h, w)]
    count = _nodes()
    del loss, h, w, start
    gc.collect()
    assert [ref() for ref in refs] == [None, None, None]
    assert _nodes() <= count - len(before.nodes)
    assert drawing.dot


def _nodes() -> int:
    return sum(issubclass(type(thing), Node) for thing in gc.get_objects())  # asks no object anything


# ------------------------------------------------------------------------------------------------------------ files


class Full(io.BytesIO):
    """A disk that is full after the first write."""

    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


def test_an_unwritable_path_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = draw(expression())
    old = tmp_path / "old.svg"
    old.write_text("old")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(OSError):
        drawing.save(tmp_path / "folder.svg")
    with pytest.raises(OSError):
        drawing.save(tmp_path / ("x" * 300 + ".svg"))
    with monkeypatch.context() as patch:
        patch.setattr(whole_file.os, "fdopen", lambda handle, mode: (os.close(handle), Full())[1])
        with pytest.raises(OSError, match="No space left"):
            drawing.save(old)
    if Path("/proc/self").is_dir():
        with pytest.raises(OSError):
            drawing.save("/proc/self/rnn.svg")
    assert old.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.svg", "old.svg"]


# ----------------------------------------------------------------------------------------------------------- engines


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("view", ["unrolled", "rolled"])
def test_without_graphviz_there_is_dot(view: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = rnn(3)
    drawing = draw(graph, view=view, gradients=True, title="RNN")  # type: ignore[arg-type]
    path = drawing.save(tmp_path / "rnn.dot")
    for make in (lambda: drawing.svg, lambda: drawing.save(tmp_path / "rnn.png"), lambda: drawing.html):
        with pytest.raises(DrawingError, match=r"no Graphviz found: .*apt install graphviz.*pip install pygraphviz"):
            make()
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    svg = render([path.read_text()], layout="dot", output="svg", what="a test", timeout=30).decode()
    said = " ".join(said_in_svg(svg))
    for name in ("W_hh", "h₀", "∇ 1.6"):
        assert name in said
    drawn = {e.attrib["id"] for e in ET.fromstring(svg).iter(f"{SVG}g") if e.attrib.get("class") == "node"}
    if view == "unrolled":
        assert drawn == {f"n{node.id}" for node in graph.nodes}


def test_a_graphviz_that_never_ends_is_ended_with_its_children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It forks a child that sleeps and holds on to its pipes, and itself ignores polite signals."""
    pids = tmp_path / "pids"
    dot = tmp_path / "dot"
    dot.write_text(
        f"#!/bin/sh\ntrap '' TERM INT HUP\n(trap '' TERM INT HUP; sleep 300) &\necho $$ $! > {pids}\n"
        "while true; do sleep 1; done\n"
    )
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    begun = time.monotonic()
    with pytest.raises(DrawingError, match=r"a graph of 10 nodes: Graphviz .* was stopped at the limit of 0.5 s"):
        draw(expression(), timeout=0.5)
    assert time.monotonic() - begun < 10
    left = [int(pid) for pid in pids.read_text().split()]
    assert len(left) == 2
    for _ in range(200):
        left = [pid for pid in left if _lives(pid)]
        if not left:
            return
        time.sleep(0.02)
    pytest.fail(f"these outlived it: {left}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rsplit(") ", 1)[1][0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_failing_engine_speaks_for_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho 'out of ink on plate 3' >&2\nexit 3\n")
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(DrawingError, match="failed with exit status 3: out of ink on plate 3"):
        draw(rnn(3))


# ------------------------------------------------------------------------------------------------------------- fonts

OVERFLOWS = """(() => {
  const found = [];
  for (const group of document.querySelectorAll("g.node, g.cluster")) {
    const shape = group.querySelector("ellipse, path, polygon");
    if (!shape) continue;
    const box = shape.getBBox();
    for (const text of group.querySelectorAll("text")) {
      const t = text.getBBox();
      const [left, right] = [box.x - t.x, t.x + t.width - box.x - box.width];
      const [up, down] = [box.y - t.y, t.y + t.height - box.y - box.height];
      let out = Math.max(left, right, up - 1.5, down - 1.5);
      if (shape.tagName === "ellipse") {  // the middle of the letters' ends must be inside
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
        const high = Math.max(Math.abs(t.y + 3.5 - y), Math.abs(t.y + t.height - 3.5 - y));
        out = ((t.width / box.width) ** 2 + (2 * high / box.height) ** 2 - 1) * 10;
      }
      if (out > 0) found.push([text.textContent, out]);
    }
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    if chromium_path() is None:
        pytest.skip("there is no Chromium")
    with Chromium() as running:
        yield running


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("font", [None, "serif"])
def test_no_label_is_wider_than_its_box(browser: Chromium, tmp_path: Path, theme: str, font: str | None) -> None:
    """In the browser's own choice of the fonts that the SVG names; and in others than those."""
    b = Builder()
    last = b.add(name="W_hh", norm=0.123)
    for k, name in enumerate([*HOSTILE, *CLEANED, "MMMMMMMMMM", "wwwwwwww@@@@", "iiiiiii", "ЩЩЩШШШ", "ΩΩΨΨ", "ﬗﬗ"]):
        x = b.add(name=f"{name}_{k}", kind="constant", step=1 + k % 3)
        last = b.add("mul", last, x, name=name, step=1 + k % 3, norm=10.0 ** -(k % 9))
    drawings = [
        draw(b.graph(), gradients=True, elide=False, theme=theme),  # type: ignore[arg-type]
        draw(lstm(20), gradients=True, theme=theme, values=True, title="Long short-term memory"),  # type: ignore[arg-type]
        draw(rnn(3), shapes=False, theme=theme),  # type: ignore[arg-type]
        draw(rnn(4, norms=False), view="rolled", theme=theme, gradients=True),  # type: ignore[arg-type]
    ]
    for k, drawing in enumerate(drawings):
        path = tmp_path / f"{k}.svg"
        svg = drawing.svg
        if font:
            svg = re.sub('font-family="[^"]*"', f'font-family="{font}"', svg)
        path.write_text(svg, encoding="utf-8")
        page = browser.open(path)
        found = page.run(OVERFLOWS)
        assert page.run("document.querySelectorAll('text').length") > 10
        assert not page.problems
        browser.close(page)
        assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_png_and_pdf(theme: str, tmp_path: Path) -> None:
    drawing = draw(rnn(3), gradients=True, theme=theme, title="An RNN")  # type: ignore[arg-type]
    assert drawing.save(tmp_path / "rnn.png").read_bytes().startswith(b"\x89PNG")
    pdf = drawing.save(tmp_path / "rnn.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Subtype /Image" not in pdf  # lines and letters, no pixels
    assert b"/FontFile" in pdf
