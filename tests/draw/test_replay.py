"""The replay as a page: what is in it, without a browser; and what it does, in a real headless Chromium."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.draw.replay import notebook_frame, replay_page
from tinygrad_rnn.graph import Graph

from .chromium import Chromium, Page, chromium_path
from .graphs import expression, lstm, rnn

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>window.broken = 1</script>",
    '"]; bad [ onload="window.broken = 1"',
    "<img src=https://example.com/x onerror='window.broken = 1'>",
    "</svg></title></style><b>",
    "<!-- -->\u2028\u2029]]>",
    "\\N {|} \\",
    "\u202eright to left 🎉 \ud800",
    "ends in ∇ 0.5",
]


def trained(steps: int, names: list[str] | None = None, *, record: bool = True) -> Graph:
    """A small RNN after its backward pass, with three parameters that each step uses."""
    rng = np.random.default_rng(0)
    names = names or ["W_xh", "W_hh", "b_h"]
    shapes = [(3, 2), (3, 3), (3,)]
    W_xh, W_hh, b_h = (
        tg.tensor(rng.normal(size=shape) / 2, requires_grad=True, name=name)
        for name, shape in zip(names, shapes, strict=False)
    )
    extra = [tg.tensor(1.0, requires_grad=True, name=name) for name in names[3:]]

    def cell(h: tg.Tensor, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        h = tg.tanh(W_xh @ x + W_hh @ h + b_h)
        return h, h.sum()

    _, losses = tg.scan(cell, tg.tensor(np.ones(3)), rng.normal(size=(steps, 2)), unroll=True)
    loss = losses.sum()
    for one in extra:
        loss = loss * one
    if not record:
        loss.backward()
        return tg.graph(loss)
    with tg.record_cotangents() as seen:
        loss.backward()
    return tg.graph(loss, cotangents=seen)


def page_of(graph: Graph, *, title: str = "An RNN", theme: Any = "light", **how: Any) -> str:
    drawing = tg.draw(graph, theme=theme, **{"elide": False, "gradients": True} | how)
    return replay_page(drawing.svg, graph, title=title, theme=theme)


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and the text of each kind of element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.text[self._open[-1]][-1] += data

    def data(self) -> Any:
        """What the script reads."""
        (found,) = re.findall(r"\{.*\}", self.text["script"][0], re.DOTALL)
        return json.loads(found)


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# ---------------------------------------------------------------------------------------------------- without a browser


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_its_policy_admits_what_is_inlined_and_nothing_else(theme: str) -> None:
    page = page_of(trained(3), theme=theme)
    parsed = Parsed(page)
    (policy,) = [a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("script-src") == sha256(parsed.text["script"][1])
    assert rules.pop("style-src") == sha256(parsed.text["style"][0])
    assert rules == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}
    assert [tag for tag, _ in parsed.elements].count("style") == 1  # no other would be let in


def test_it_refers_to_nothing_outside_of_itself() -> None:
    page = page_of(trained(3))
    for tag, attributes in Parsed(page).elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "image", "use", "base")
        assert not attributes.keys() & {"src", "href", "xlink:href", "srcdoc", "style", "action"}, (tag, attributes)
    assert set(re.findall(r"https?://[^\s\"]+", page)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.mark.parametrize("gradients", [True, False])
def test_hostile_names_are_text(gradients: bool) -> None:
    page = page_of(trained(2, HOSTILE), title=HOSTILE[1], gradients=gradients)
    page.encode()
    parsed = Parsed(page)
    assert [tag for tag, _ in parsed.elements].count("script") == 2
    assert not {tag for tag, _ in parsed.elements} & {"img", "b", "iframe"}
    assert not any(name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert parsed.text["h1"] == [HOSTILE[1]]
    labels = {node[1] for node in parsed.data()["nodes"]}
    assert "<script>alert(1)</script>" in labels
    assert any(label.startswith("\\N {|}") for label in labels)


def test_it_tells_the_backward_pass_in_the_tapes_order() -> None:
    graph = trained(4)
    data = Parsed(page_of(graph)).data()
    assert [step[0] for step in data["steps"]] == [step.node for step in graph.backward]
    (W_hh,) = [node.id for node in graph.nodes if node.name == "W_hh"]
    assert W_hh in data["shared"]
    came = [
        (data["nodes"][step[0]][4], arrival[4]) for step in data["steps"] for arrival in step[3] if arrival[0] == W_hh
    ]
    assert [time for time, _ in came] == [4, 3, 2, 1]
    assert came[-1][1] == f"{float(f'{graph.nodes[W_hh].grad_norm:.2g}'):g}"


def test_an_unrecorded_backward_pass_is_told_from_its_norms_and_says_so() -> None:
    graph = trained(3, record=False)
    page = page_of(graph)
    data = Parsed(page).data()
    with_norm = [node.id for node in graph.nodes if node.grad_norm is not None]
    assert [step[0] for step in data["steps"]] == with_norm[::-1]
    assert all(not step[3] for step in data["steps"])
    assert "not recorded" in page


def test_without_a_backward_pass_it_says_so() -> None:
    graph = rnn(3, norms=False)
    page = page_of(graph)
    assert Parsed(page).data()["steps"] == []
    assert "No gradient yet" in page


def test_a_hidden_node_is_shown_by_the_box_that_hides_it() -> None:
    graph = trained(20)
    drawing = tg.draw(graph, elide=True)
    nodes = Parsed(replay_page(drawing.svg, graph, title="", theme="light")).data()["nodes"]
    by_time = {node[4]: node[0] for node in nodes if node[4]}
    assert by_time[10] == "elided"
    assert by_time[1].startswith("n")
    told = replay_page(drawing.svg, graph, title="", theme="light", places={0: "n1"})
    assert [node[0] for node in Parsed(told).data()["nodes"][:2]] == ["n1", ""]


@pytest.mark.parametrize("norm", [0.0, float("inf"), float("nan"), 1e-300])
def test_any_norm_is_told(norm: float) -> None:
    from tinygrad_rnn.graph import Arrival, BackwardStep

    base = expression()
    steps = (
        BackwardStep(len(base.nodes) - 1, norm, (Arrival(0, norm, norm), Arrival(0, norm, 2 * norm))),
        BackwardStep(0, norm, ()),
    )
    graph = Graph(base.nodes, base.outputs, steps)
    data = Parsed(page_of(graph, gradients=False)).data()  # strict JSON has neither Infinity nor NaN
    assert "NaN" not in json.dumps(data)
    assert "Infinity" not in json.dumps(data)


def test_the_same_graph_gives_the_same_bytes() -> None:
    assert page_of(trained(3)) == page_of(trained(3))


def test_a_notebook_shows_it_in_a_frame_without_rights() -> None:
    page = page_of(trained(2, HOSTILE))
    (frame,) = Parsed(notebook_frame(page)).elements
    assert frame[1]["srcdoc"] == page
    assert frame[1]["sandbox"] == "allow-scripts"


# ---------------------------------------------------------------------------------------------------------- in Chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    if os.name != "posix":
        pytest.skip("the browser is driven through pipes as POSIX has them")
    if chromium_path() is None:
        pytest.skip("no Chromium on the PATH (apt-get install chromium), nor in $CHROMIUM")
    with Chromium() as chromium:
        yield chromium


@pytest.fixture
def show(browser: Chromium, tmp_path: Path) -> Iterator[Any]:
    """Opens pages; at the end none of them may have logged a problem or asked for anything but itself."""
    opened: list[Page] = []

    def show(page: str, **how: Any) -> Page:
        finish()
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        opened.append(browser.open(path, **how))
        return opened[0]

    def finish() -> None:
        while opened:
            page = opened.pop()
            page.run("new Promise((done) => setTimeout(done, 20))")
            assert page.problems == []
            assert page.requests == [(tmp_path / "page.html").resolve().as_uri()]
            browser.close(page)

    yield show
    finish()


def text(page: Page, name: str) -> str:
    found: str = page.run(f"document.getElementById('replay-{name}').textContent")
    return found


def step(page: Page) -> int:
    return int(page.run("Number(document.getElementById('replay-slider').value)"))


def classes(page: Page, name: str) -> set[str]:
    return set(page.run(f"[...document.getElementById('{name}').classList]"))


def centre(page: Page, selector: str) -> tuple[float, float]:
    box = page.run(
        f"(() => {{ const b = document.querySelector('{selector}').getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return box[0], box[1]


def view(page: Page) -> list[float]:
    """What of the drawing is seen: left, top, width, height, in its own units."""
    found: list[float] = page.run(VIEW)
    return found


VIEW = """(() => {
    const seen = document.querySelector('main').getBoundingClientRect();
    const { a, e, f } = new DOMMatrix(getComputedStyle(document.querySelector('main svg')).transform);
    return [-e / a, -f / a, seen.width / a, seen.height / a];
})()"""


def fill(page: Page, name: str) -> str:
    found: str = page.run(f"getComputedStyle(document.querySelector('#{name} :is(path, polygon, ellipse)')).fill")
    return found


def node(graph: Graph, name: str) -> str:
    (found,) = [f"n{node.id}" for node in graph.nodes if node.name == name]
    return found


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nodes_fill_as_their_cotangent_arrives(show: Any, gradients: bool, theme: str) -> None:
    graph = trained(3)
    page = show(page_of(graph, gradients=gradients, theme=theme))
    order = [f"n{s.node}" for s in graph.backward]
    empty = fill(page, order[-1])
    assert text(page, "count") == f"0 of {len(order)}"
    assert "no gradient yet" in text(page, "says")
    assert all("waiting" in classes(page, name) for name in order)
    for k, name in enumerate(order, 1):
        page.press("ArrowRight")
        assert step(page) == k
        assert {"now"} <= classes(page, name)
        assert not {"waiting", "partial"} & classes(page, name)
        assert fill(page, name) != empty
    page.press("Home")
    assert step(page) == 0
    assert all(fill(page, name) == empty for name in order)


def test_a_shared_parameter_is_seen_to_grow(show: Any) -> None:
    graph = trained(5)
    page = show(page_of(graph))
    W_hh = node(graph, "W_hh")
    (number,) = [n.id for n in graph.nodes if n.name == "W_hh"]
    seen = []
    for k, done in enumerate(graph.backward, 1):
        page.press("ArrowRight")
        for arrival in done.arrivals:
            if arrival.target == number:
                label = page.run(f"document.getElementById('{W_hh}').textContent")
                grown = page.run(f"document.getElementById('{W_hh}').style.transform")
                lit = page.run("[...document.querySelectorAll('.edge.now')].length")
                seen.append((graph.nodes[done.node].scope.step, grown))
                assert step(page) == k
                assert f"{len(seen)} of 5" in label
                assert f"∇ {float(f'{arrival.total:.2g}'):g}" in label
                assert f"({len(seen)} of 5)" in text(page, "says")
                assert f"{len(seen)} of 5" in text(page, "ledger")
                assert lit >= 1
    assert [time for time, _ in seen] == [5, 4, 3, 2, 1]
    assert len({grown for _, grown in seen}) > 2
    assert "partial" not in classes(page, W_hh)


def test_any_order_of_steps_gives_the_same_page(show: Any) -> None:
    page = show(page_of(trained(3)))
    state = """[...document.querySelectorAll('main *, #replay-ledger *')].map((one) => [
        one.id, [...one.classList].sort().join(' '), one.style.cssText, one.children.length || one.textContent,
    ].join()).join('\\n')"""
    set_to = "(v) => { const s = document.getElementById('replay-slider'); s.value = v; s.oninput(); }"
    last = int(page.run("document.getElementById('replay-slider').max"))
    walked = [page.run(state)]
    for _ in range(last):
        page.press("ArrowRight")
        walked.append(page.run(state))
    assert len(set(walked)) == len(walked)
    for k in [*range(last, -1, -3), 5, last, 1, 0, last - 1]:
        page.run(f"({set_to})({k})")
        assert page.run(state) == walked[k]


def test_buttons_step_and_play_goes_to_the_end_and_starts_again(show: Any) -> None:
    page = show(page_of(trained(2)))
    for button, at in (("forward", 1), ("forward", 2), ("back", 1)):
        page.run(f"document.getElementById('replay-{button}').click()")
        assert step(page) == at
    page.run("document.getElementById('replay-speed').value = '4'")
    page.run("document.getElementById('replay-play').click()")
    assert text(page, "play") == "Pause"
    page.wait("document.getElementById('replay-play').textContent === 'Play'")
    assert step(page) == int(page.run("document.getElementById('replay-slider').max"))
    page.press(" ")  # from the end: again from the start, and a second time to pause
    page.wait("Number(document.getElementById('replay-slider').value) === 1")
    page.press(" ")
    paused = step(page)
    page.run("new Promise((done) => setTimeout(done, 400))")
    assert step(page) == paused < 10


def test_a_pointer_lights_ancestors_and_descendants(show: Any) -> None:
    graph = trained(3)
    page = show(page_of(graph))
    name = node(graph, "h_2")
    middle = int(name[1:])
    before, after = {middle}, {middle}
    for n in reversed(graph.nodes):
        if n.id in before:
            before.update(n.parents)
    for n in graph.nodes:
        if after & set(n.parents):
            after.add(n.id)
    page.mouse("mouseMoved", *centre(page, f"#{name}"))
    lit = set(page.run("[...document.querySelectorAll('.node.lit')].map((one) => one.id)"))
    assert lit == {f"n{i}" for i in before | after}
    assert len(lit) < len(graph.nodes)
    assert page.run("document.querySelector('main svg').classList.contains('tracing')")
    faded = "Number(getComputedStyle(document.querySelector('.node:not(.lit)')).fillOpacity)"
    page.wait(f"{faded} < 0.2")
    lines = {tuple(line) for line in page.run("[...document.querySelectorAll('.edge.lit')].map((one) => [one.id])")}
    assert lines
    page.mouse("mouseMoved", 3, 3)
    assert not page.run("document.querySelector('main svg').classList.contains('tracing')")


def test_the_keyboard_reaches_every_node_and_focus_lights_as_a_pointer_does(show: Any) -> None:
    graph = trained(2)
    page = show(page_of(graph))
    page.run("document.getElementById('replay-speed').focus()")
    reached = []
    for _ in graph.nodes:
        page.press("Tab")
        reached.append(page.run("document.activeElement.id"))
        assert page.run("document.activeElement.classList.contains('lit')")
        assert page.run("document.activeElement.getAttribute('aria-label')")
    assert set(reached) == {f"n{n.id}" for n in graph.nodes}
    page.press("ArrowRight")
    assert step(page) == 1
    page.press("Escape")
    assert not page.run("document.querySelector('main svg').classList.contains('tracing')")


def test_keys_zoom_and_pan_and_leave_controls_their_own(show: Any) -> None:
    page = show(page_of(trained(2)))
    start = view(page)
    page.press("+")
    closer = view(page)
    assert closer[2] == pytest.approx(start[2] / 1.25, rel=1e-4)
    assert closer[0] + closer[2] / 2 == pytest.approx(start[0] + start[2] / 2, abs=0.1)  # about the middle
    page.press("ArrowRight", shift=True)
    assert view(page)[0] > closer[0]
    assert step(page) == 0
    page.press("-")
    page.press("0")
    assert view(page) == pytest.approx(start, abs=0.1)
    page.press("End")
    assert step(page) == int(page.run("document.getElementById('replay-slider').max"))
    page.run("document.getElementById('replay-slider').focus()")
    page.press("ArrowLeft")  # the slider's own
    assert step(page) == int(page.run("document.getElementById('replay-slider').max")) - 1


def test_the_wheel_zooms_about_the_pointer_and_dragging_pans(show: Any) -> None:
    graph = trained(3)
    page = show(page_of(graph))
    x, y = centre(page, f"#{node(graph, 'h_2')}")
    start = view(page)
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    page.wait(f"{VIEW}[2] < {start[2] / 1.2}")
    assert centre(page, f"#{node(graph, 'h_2')}") == pytest.approx((x, y), abs=1)
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x + 70, y + 30, button="left", buttons=1)
    page.mouse("mouseReleased", x + 70, y + 30, button="left", clickCount=1)
    assert centre(page, f"#{node(graph, 'h_2')}") == pytest.approx((x + 70, y + 30), abs=1)


def test_two_fingers_pinch(show: Any) -> None:
    graph = trained(3)
    page = show(page_of(graph))
    x, y = centre(page, f"#{node(graph, 'h_2')}")
    width = view(page)[2]
    page.touch("touchStart", (x - 20, y), (x + 20, y))
    for spread in (25, 30, 35, 40):
        page.touch("touchMove", (x - spread, y), (x + spread, y))
    page.touch("touchEnd")
    assert view(page)[2] == pytest.approx(width / 2, rel=0.05)
    assert centre(page, f"#{node(graph, 'h_2')}") == pytest.approx((x, y), abs=6)


def test_reduced_motion_is_heeded(show: Any) -> None:
    graph = trained(2)
    durations = "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one).transitionDuration)"
    assert set(show(page_of(graph)).run(durations)) > {"0s"}
    assert set(show(page_of(graph), prefers_reduced_motion="reduce").run(durations)) == {"0s"}


def test_a_screen_reader_hears_steps_but_not_a_running_replay(show: Any) -> None:
    page = show(page_of(trained(2)))
    live = "document.getElementById('replay-says').getAttribute('aria-live')"
    assert page.run(live) == "polite"
    page.press("ArrowRight")
    assert page.run("document.getElementById('replay-slider').getAttribute('aria-valuetext')") == text(page, "says")
    page.press(" ")
    assert page.run(live) == "off"
    page.press(" ")
    assert page.run(live) == "polite"
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    names = {n["name"]["value"] for n in tree if not n.get("ignored") and n.get("name", {}).get("value")}
    assert {"An RNN", "Step of the backward pass", "One step back"} <= names
    assert any("W_hh" in name and "shape (3, 3)" in name for name in names)


def test_hostile_names_do_nothing(show: Any) -> None:
    graph = trained(2, HOSTILE)
    for title, gradients in ((HOSTILE[1], True), (HOSTILE[0], False)):
        page = show(page_of(graph, title=title, gradients=gradients))
        page.press("End")
        for n in graph.nodes:
            page.run(f"document.getElementById('n{n.id}').focus()")
        assert page.run("window.broken") is None
        assert page.run("document.scripts.length") == 2


def test_its_policy_stops_what_it_should(browser: Chromium, tmp_path: Path) -> None:
    page = page_of(trained(2))
    broken = page.replace("<main", '<img src="https://example.com/x.png" onerror="window.broken = 1"><main', 1)
    broken = broken.replace("<footer>", "<script>window.broken = 2</script><footer>", 1)
    path = tmp_path / "broken.html"
    path.write_text(broken, encoding="utf-8")
    opened = browser.open(path)
    assert opened.run("window.broken") is None
    assert any("Content Security Policy" in problem for problem in opened.problems)
    browser.close(opened)


def test_a_graph_without_gradients_can_be_looked_at(show: Any) -> None:
    page = show(page_of(rnn(3, norms=False)))
    assert page.run("[...document.querySelectorAll('header :is(button, input, select)')].every((one) => one.disabled)")
    page.press("ArrowRight")
    page.press(" ")
    assert "No gradient yet" in text(page, "says")
    page.mouse("mouseMoved", *centre(page, ".node"))
    assert page.run("document.querySelectorAll('.node.lit').length") > 0


@pytest.mark.parametrize("graph", [expression(), lstm(3), trained(20)], ids=["expression", "lstm", "elided"])
def test_other_pictures_replay_too(show: Any, graph: Graph) -> None:
    page = show(page_of(graph, elide=None))
    page.press("End")
    assert step(page) == int(page.run("document.getElementById('replay-slider').max")) > 5
    page.press("Home")
    assert page.run("document.querySelectorAll('.now').length") == 0


def test_a_narrow_window_shows_all_of_it(show: Any) -> None:
    page = show(page_of(trained(4)), width=360, height=640)
    assert page.run("document.documentElement.scrollWidth") <= 360
    assert page.run("document.querySelector('main').getBoundingClientRect().height") > 180


def test_two_thousand_nodes(show: Any) -> None:
    graph = trained(300)
    assert len(graph.nodes) > 2000
    page = show(page_of(graph, max_nodes=5000))
    page.press("End")
    assert step(page) == len(graph.backward)
    page.press("Home")
    for _ in range(20):
        page.press("ArrowRight")
    assert step(page) == 20
    page.run("document.getElementById('n1').focus()")
    assert page.run("document.querySelectorAll('.node.lit').length") > 1000
