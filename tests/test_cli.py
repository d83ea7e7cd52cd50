"""`tinygrad-rnn compare`: what it prints, and what it exits with."""

import json
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
    assert "30 time steps; shown are its first 2 steps and its last 2" in " ".join(out.split())
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
