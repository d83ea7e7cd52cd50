import importlib.util
import os
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tinygrad_rnn.draw import engine
from tinygrad_rnn.draw.engine import DrawingError, render

ABORTS = Path(__file__).with_name("aborts_in_process_layout.dot").read_text(encoding="utf-8")
PLACED = 'digraph { a [pos="0,0" label="h₂"]; b [pos="0,90"]; a -> b [pos="e,0,72 0,18 0,36 0,50 0,66"] }'
FREE = "digraph { a -> b }"

SITE = str(Path(importlib.util.find_spec("pygraphviz").origin).parents[1])  # type: ignore[union-attr,arg-type]
FAKE_DOT = f"""#!{sys.executable}
import json, os, subprocess, sys
arguments = dict((a[:2], a[2:]) for a in sys.argv[1:])
texts = ["digraph" + part for part in sys.stdin.buffer.read().decode().split("digraph")[1:]]
child = [sys.executable, "-I", {str(Path(engine.__file__).with_name("child.py"))!r}]
command = [*child, {SITE!r}, arguments["-K"], arguments["-T"]]
done = subprocess.run(command, input=json.dumps(texts).encode(), capture_output=True)
sys.stdout.buffer.write(done.stdout)
sys.stderr.buffer.write(done.stderr)
if done.returncode < 0:
    os.kill(os.getpid(), -done.returncode)
sys.exit(done.returncode)
"""


def put_dot_on_path(monkeypatch: pytest.MonkeyPatch, directory: Path, text: str) -> Path:
    dot = directory / "dot"
    dot.write_text(text)
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return dot


@pytest.fixture(params=["dot", "pygraphviz"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    if request.param == "dot":
        put_dot_on_path(monkeypatch, tmp_path, FAKE_DOT)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))  # an empty directory: no dot
    return str(request.param)


def run(texts: list[str], output: str = "svg", layout: str = "nop2", timeout: float = 20.0) -> bytes:
    return render(texts, layout=layout, output=output, what="a test graph", timeout=timeout)


@pytest.mark.parametrize(
    ("output", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("json", b"{")]
)
def test_formats(backend: str, output: str, magic: bytes) -> None:
    data = run([PLACED], output)
    assert data.startswith(magic)
    if output == "svg":
        assert "h₂" in {element.text for element in ET.fromstring(data).iter()}


def test_many_texts_in_one_run(backend: str) -> None:
    assert run([FREE, PLACED, FREE], "json", "dot").count(b'"directed": true') == 3


def test_a_crash_is_an_error(backend: str) -> None:
    with pytest.raises(DrawingError, match=r"(?s)a test graph: Graphviz.*Assertion") as caught:
        run([ABORTS], layout="dot")
    assert "crashed (SIGABRT)" in str(caught.value)


def test_broken_text_is_an_error(backend: str) -> None:
    with pytest.raises(DrawingError, match=r"(?s)a test graph: .*failed with exit status 1.*syntax error"):
        run(["digraph { a -> ; }"])


def test_unknown_layout_and_format_are_errors(backend: str) -> None:
    with pytest.raises(DrawingError, match="nosuch"):
        run([PLACED], layout="nosuch")
    with pytest.raises(DrawingError, match="nosuch"):
        run([PLACED], output="nosuch")


def test_complaints_are_errors_though_something_was_drawn(backend: str) -> None:
    with pytest.raises(DrawingError, match=r"(?s)complained: .*bogus"):
        run(["digraph { a [shape=bogus] }"], layout="dot")


def test_labels_wider_than_their_box_are_no_error(backend: str) -> None:
    assert run(["digraph { a [fixedsize=true width=.1 height=.1 label=wide] }"], layout="dot")


def test_the_limit_kills_the_whole_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_dot_on_path(monkeypatch, tmp_path, f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/pid\nwait\n")
    begun = time.monotonic()
    with pytest.raises(DrawingError, match=r"a test graph: Graphviz \(.*dot\).* was stopped at the limit of 0.5 s"):
        run([PLACED], timeout=0.5)
    assert time.monotonic() - begun < 10
    status = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    if Path("/proc/self").exists():
        for _ in range(100):
            if not status.exists() or status.read_text().split(") ")[1][0] == "Z":
                return
            time.sleep(0.02)
        pytest.fail("what dot had started outlived it")


def test_stderr_and_exit_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_dot_on_path(
        monkeypatch, tmp_path, "#!/bin/sh\ncat > /dev/null\necho 'Warning: something odd' >&2\necho '<svg/>'\n"
    )
    with pytest.raises(DrawingError, match="complained: Warning: something odd"):
        run([PLACED])
    put_dot_on_path(monkeypatch, tmp_path, "#!/bin/sh\ncat > /dev/null\necho 'no licence' >&2\nexit 1\n")
    with pytest.raises(DrawingError, match="failed with exit status 1: no licence"):
        run([PLACED])
    put_dot_on_path(
        monkeypatch, tmp_path, "#!/bin/sh\ncat > /dev/null\necho 'Fontconfig warning: x' >&2\necho '<svg/>'\n"
    )
    assert run([PLACED]) == b"<svg/>\n"
    put_dot_on_path(monkeypatch, tmp_path, "#!/bin/sh\ncat > /dev/null\n")
    with pytest.raises(DrawingError, match="wrote nothing"):
        run([PLACED])
    put_dot_on_path(monkeypatch, tmp_path, "#!/no/such/interpreter\n")
    with pytest.raises(DrawingError, match="could not be started"):
        run([PLACED])


def test_a_dot_that_doesnt_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_dot_on_path(monkeypatch, tmp_path, "#!/bin/sh\necho 'usage: dot' >&2\nexit 2\n")
    with pytest.raises(DrawingError, match="exit status 2: usage: dot"):
        run([PLACED * 5000])


def test_no_graphviz_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DrawingError, match=r"neither `dot` on the PATH nor pygraphviz"):
        run([PLACED])
