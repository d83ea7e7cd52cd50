"""`tinygrad-rnn compare` and `draw`: what they print, and what they exit with."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from tinygrad_rnn import cli
from tinygrad_rnn.bptt import SLIDES


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tinygrad-rnn", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return run


def test_default_text_agrees(run):
    code, out, err = run("compare")
    assert code == 0
    assert err == ""
    assert "All four ways agree" in out
    for word in (
        "W_xh",
        "W_hh",
        "b_h",
        "W_hy",
        "b_y",
        "tape",
        "recursion",
        "double sum",
        "complex step",
        "loss",
        "norm",
    ):
        assert word in out


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_json_says_the_same_for_machines(run, tmp_path, activation):
    (tmp_path / "poem.txt").write_text("the cat sat on the mat\n" * 3)
    code, out, _ = run(
        "compare",
        "--text",
        tmp_path / "poem.txt",
        "--steps",
        7,
        "--start",
        4,
        "--hidden",
        5,
        "--activation",
        activation,
        "--json",
    )
    found = json.loads(out)
    assert code == 0
    assert found["agree"] is True
    assert found["reads"] == "cat sat"
    assert found["vocabulary"] == len(set("the cat sat on the mat\n"))
    assert len(found["gradients"]) == 5 * 4
    assert {g["way"] for g in found["gradients"]} == {"tape", "recursion", "double sum", "complex step"}
    assert max(g["relative_difference"] for g in found["gradients"]) < 1e-13
    losses = found["losses"]
    assert (
        losses["tape"]
        == pytest.approx(losses["recursion"], rel=1e-14)
        == pytest.approx(losses["double sum"], rel=1e-14)
    )


def test_a_seed_gives_the_same_numbers_again(run):
    first, again, other = (run("compare", "--steps", 3, "--hidden", 4, "--seed", s, "--json")[1] for s in (1, 1, 2))
    assert first == again != other


def test_a_wrong_tape_is_found_out_and_exits_1(run, monkeypatch):
    from tinygrad_rnn import ops
    from tinygrad_rnn.bptt import compare

    monkeypatch.setitem(compare._ACTIVATIONS, "tanh", lambda a: ops.tanh(a) + 1e-9 * a)
    code, out, _ = run("compare", "--steps", 3, "--hidden", 4)
    assert code == 1
    assert "DISAGREE" in out
    assert json.loads(run("compare", "--steps", 3, "--hidden", 4, "--json")[1])["agree"] is False


def test_slides(run):
    code, out, _ = run("compare", "--example", "slides")
    assert code == 0
    assert "The tape agrees" in out
    assert out.count("✗") - 1 == sum(not row.consistent for row in SLIDES)  # and one in the sentence below
    assert "0.1128" in out
    assert "0.105899" in out
    found = json.loads(run("compare", "--example", "slides", "--json")[1])
    rows = {row["symbol"]: row for row in found["numbers"]}
    assert rows["dL/dW_hh"]["tape"] == pytest.approx(rows["dL/dW_hh"]["right"], rel=1e-14)
    assert rows["dL/dW_hh"]["consistent"] is False


def test_draw_writes_a_picture_and_says_what_is_in_it(run, tmp_path):
    code, out, _ = run("compare", "--steps", 4, "--hidden", 3, "--draw", tmp_path / "g.svg")
    assert code == 0
    ET.parse(tmp_path / "g.svg")
    assert "g.svg" in out
    code, out, _ = run("compare", "--steps", 30, "--hidden", 3, "--draw", tmp_path / "long.svg")
    assert code == 0
    assert re.search(r"30 time steps; shown are .*first 2 .*last 2", " ".join(out.split()))
    assert run("compare", "--example", "slides", "--draw", tmp_path / "slides.svg")[0] == 0
    ET.parse(tmp_path / "slides.svg")


UNUSABLE = {
    "missing": (["--text", "nowhere.txt"], "nowhere.txt: No such file"),
    "directory": (["--text", "."], "directory"),
    "empty": (["--text", "empty.txt"], "empty.txt: the file is empty"),
    "binary": (["--text", "binary.dat"], "binary.dat: not a text file"),
    "too many steps": (["--steps", "99999999"], "99999999 steps from character 0 need"),
    "start beyond": (["--start", "99999999"], "from character 99999999"),
    "no steps": (["--steps", "0"], "steps must be at least 1, got 0"),
    "negative steps": (["--steps", "-2"], "steps must be at least 1, got -2"),
    "negative start": (["--start", "-2"], "start must be at least 0, got -2"),
    "no hidden": (["--hidden", "0"], "--hidden must be at least 1, got 0"),
    "negative seed": (["--seed", "-1"], "--seed must be at least 0"),
    "not a number": (["--steps", "many"], "'many' is not a valid integer"),
    "activation": (["--activation", "gelu"], "'gelu' is not one of"),
    "option": (["--nonsense"], "--nonsense"),
    "example": (["--example", "blog"], "'blog' is not"),
    "both": (["--example", "slides", "--steps", "3"], "leave out --steps"),
    "no such folder": (["--draw", "nowhere/x.svg"], "--draw nowhere/x.svg"),
    "suffix": (["--draw", "x.gif"], "x.gif"),
    "no suffix": (["--draw", "x"], "--draw x"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_input_is_one_line_and_exit_2(run, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary.dat").write_bytes(bytes(range(256)))
    before = sorted(tmp_path.iterdir())
    arguments, message = UNUSABLE[case]
    small = [] if {"--steps", "--example", "--text", "--start"} & set(arguments) else ["--steps", "3", "--hidden", "4"]
    if "--hidden" in arguments:
        small = []
    code, out, err = run("compare", *small, *arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("tinygrad-rnn: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_unwritable_folder(run, tmp_path):
    (tmp_path / "x.svg").mkdir()  # a folder stands where the file should go
    code, out, err = run("compare", "--steps", 2, "--hidden", 2, "--draw", tmp_path / "x.svg")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert list((tmp_path / "x.svg").iterdir()) == []


# -------------------------------------------------------------------------------------------------------------- draw


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("view", ["unrolled", "rolled"])
def test_draw(run, tmp_path, cell, view):
    code, out, err = run("draw", "--cell", cell, "--view", view, "--steps", 3, "--output", tmp_path / "g.svg")
    assert (code, err) == (0, "")
    assert "Drawn to " in out
    assert "3 time steps" in out
    text = "".join(ET.parse(tmp_path / "g.svg").getroot().itertext())
    for name in ("W_hh" if cell == "rnn" else "weight_hh", "W_hy", "b_y"):
        assert name in text
    assert ("t = 3" in text) == (view == "unrolled")


@pytest.mark.parametrize("suffix", ["svg", "html", "png", "pdf", "dot"])
def test_draw_writes_every_format(run, tmp_path, suffix):
    code, _, _ = run(
        "draw", "--steps", 2, "--gradients", "--values", "--theme", "dark", "--output", tmp_path / f"g.{suffix}"
    )
    assert code == 0
    assert [p.name for p in tmp_path.iterdir()] == [f"g.{suffix}"]
    start = {"svg": b"<?xml", "html": b"<!doctype html", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"digraph"}[suffix]
    assert (tmp_path / f"g.{suffix}").read_bytes().lower().startswith(start.lower())


def test_draw_says_what_it_leaves_out(run, tmp_path):
    long = ("draw", "--steps", 30, "--output", tmp_path / "g.svg")
    code, out, _ = run(*long)
    assert code == 0
    assert re.search(r"30 time steps; shown are .*first 2 .*last 2", " ".join(out.split()))
    code, out, _ = run(*long, "--no-elide")
    assert code == 0
    assert "first 2" not in out
    frames = "".join(ET.parse(tmp_path / "g.svg").getroot().itertext())
    assert all(f"t = {t}" in frames for t in range(1, 31))
    assert "shown are" in run("draw", "--steps", 6, "--elide", "--output", tmp_path / "g.svg")[1]


def test_draw_options_reach_the_picture(run, tmp_path):
    def drawn(*options):
        code, _, err = run("draw", "--cell", "lstm", "--steps", 3, *options, "--output", tmp_path / "g.svg")
        assert (code, err) == (0, "")
        return (tmp_path / "g.svg").read_text()

    plain = drawn()
    assert "∇" not in plain
    assert "∇" in drawn("--gradients")
    others = [
        drawn("--path", "L_2:weight_hh,weight_ih"),
        drawn("--depth", 1),
        drawn("--theme", "dark"),
        drawn("--values"),
    ]
    assert len({plain, *others}) == 5
    assert drawn() == plain


def test_draw_opens_the_file(run, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    assert run("draw", "--steps", 2, "--output", tmp_path / "a b.svg", "--open")[0] == 0
    assert opened == [(tmp_path / "a b.svg").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    code, _, err = run("draw", "--steps", 2, "--output", tmp_path / "a b.svg", "--open")
    assert (code, err.count("\n")) == (2, 1)
    assert "no browser was found" in err


NO_PICTURE = {
    "no output": ([], "--output"),
    "suffix": (["--output", "x.gif"], "x.gif"),
    "no such folder": (["--output", "nowhere/x.svg"], "--output nowhere/x.svg"),
    "cell": (["--cell", "mlp", "--output", "x.svg"], "'mlp' is not one of"),
    "view": (["--view", "above", "--output", "x.svg"], "'above' is not one of"),
    "steps": (["--steps", "0", "--output", "x.svg"], "steps must be at least 1, got 0"),
    "hidden": (["--hidden", "0", "--output", "x.svg"], "--hidden must be at least 1, got 0"),
    "seed": (["--seed", "-1", "--output", "x.svg"], "--seed must be at least 0"),
    "text": (["--text", "nowhere.txt", "--output", "x.svg"], "nowhere.txt: No such file"),
    "depth": (["--depth", "-1", "--output", "x.svg"], "depth must be"),
    "path without an end": (["--path", "L_2", "--output", "x.svg"], "--path must be FROM:TO"),
    "path with a gap": (["--path", "L_2:W_hh,", "--output", "x.svg"], "--path must be FROM:TO"),
    "path from nowhere": (["--path", "L_9:W_hh", "--output", "x.svg"], "L_9"),
    "too many nodes": (["--steps", "2500", "--no-elide", "--output", "x.svg"], "nodes"),
}


@pytest.mark.parametrize("case", NO_PICTURE)
def test_no_picture_is_one_line_and_exit_2(run, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    arguments, message = NO_PICTURE[case]
    code, out, err = run("draw", *([] if "--steps" in arguments else ["--steps", 2]), *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("tinygrad-rnn: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_python_dash_m():
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_rnn", "compare", "--steps", "2", "--hidden", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "All four ways agree" in done.stdout


def test_interrupt_is_no_traceback(run, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "compare", interrupted)
    code, _, err = run("compare")
    assert (code, err.strip()) == (130, "tinygrad-rnn: interrupted")
