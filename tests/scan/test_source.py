"""The text of a program runs: each part by itself, both together, and to the same bits as `scan`."""

import dataclasses
import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn.primitive import primitive
from tinygrad_rnn.scan import blocks
from tinygrad_rnn.scan.capture import forget
from tinygrad_rnn.scan.names import Names, preamble

from .cells import CELLS
from .runs import assert_equal, run, tensors

COMPILED = [name for name, row in CELLS.items() if row.compiled]


def program(made):
    parameters, carry, xs = (tensors(getattr(made, part)) for part in ("parameters", "carry", "xs"))
    return tg.scan_program(lambda c, x: made.cell(parameters, c, x), carry, xs, made.length)


def parts(source):
    """The forward's text and the backward's."""
    cut = source.index("\n\n\nfrom numpy")
    return source[:cut], source[cut:]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("name", COMPILED)
def test_text_gives_the_same_bits_as_scan(name, together, monkeypatch):
    """Forward and backward run from their text: each in a space of its own, or both in one."""
    made, emit, shared, seen = CELLS[name].make(), blocks.emit, {}, []
    expected = run(made)

    def emitted_from_text(sections, stored, part, *others):
        emitted = emit(sections, stored, part, *others)
        space = shared if together else {}
        exec(emitted.source, space)
        seen.append(part)
        functions = {"for_length": space[part]}
        if f"def {part}_once" in emitted.source:
            functions["once"] = space[f"{part}_once"]
        if f"def {part}_finish" in emitted.source:
            functions["finish"] = space[f"{part}_finish"]
        return dataclasses.replace(emitted, **functions)

    monkeypatch.setattr(blocks, "emit", emitted_from_text)
    forget()
    got = run(made)
    forget()
    assert "forward" in seen
    assert_equal((got.carry, got.ys, got.gradients), (expected.carry, expected.ys, expected.gradients))


def cell_of_constants(h, x):
    return 1 - h * x, h


def test_text_runs_by_hand():
    """As docs/time_loop.md does it: a carry of which all steps are needed has a row more than there are steps."""
    start, xs = tg.tensor([0.5, -1.0, 2.0], requires_grad=True), np.linspace(-1, 1, 18).reshape(6, 3)
    last, ys = tg.scan(cell_of_constants, start, xs)
    forward, backward = parts(tg.scan_program(cell_of_constants, start, xs).source)
    space = {}
    exec(forward, space)
    h = np.empty((7, 3))
    h[0] = start.data
    assert space["forward"](6)(h, xs) == ((), ())
    assert_array_equal(h[1:], [*ys.data[1:], last.data])
    space = {}
    exec(backward, space)
    cts = np.cos(np.arange(18.0)).reshape(6, 3)
    (last * 2 + (ys * cts).sum(axis=0)).sum().backward()
    ct_x = np.empty((6, 3))
    δh = np.empty((7, 3))
    δh[-1] = 2
    assert space["backward"](6)(δh, cts, h[:-1], xs, ct_x) == ((), ())
    assert_array_equal(δh[0], start.grad)


@pytest.mark.parametrize("name", COMPILED)
def test_all_that_tells_of_an_operation_is_counted(name):
    """In the loop: one operation a line, but for views that must be taken in each step."""
    p = program(CELLS[name].make())
    told = p.explain().split("Backward")
    for text, lines in zip(p.source.split("def backward("), told, strict=True):
        (loop,) = re.findall(r"# the loop.*\n +for .*\n((?: {12}.*\n)+)", text) or [""]
        views = re.findall(r"^ +\w+ = \w+\[.*\] +#", loop, re.M)
        (count,) = re.findall(r"(\d+) in the loop", lines) or ["0"]
        assert int(count) == loop.count("\n") - len(views)


def test_a_backward_of_nothing():
    told = program(CELLS["only_integers"].make()).explain()
    assert "Backward, from the last step to the first:\n  nothing\nFor the backward it keeps 0 bytes" in told


def test_what_is_not_compiled_takes_no_notice_of_checkpoints():
    told = tg.scan_program(lambda h, x: (h * float(h.sum().item()), x), np.ones(3), np.ones((6, 3))).explain()
    assert told.endswith("\nIt takes no notice of `checkpoint`: all of its steps stay on the tape until the backward.")


def test_kept_values_are_called_as_in_the_text():
    for name in COMPILED:
        p = program(CELLS[name].make())
        (kept,) = re.findall(r"bytes a step: (.*)\.$", p.explain(), re.M)
        (head,) = re.findall(r"^    def block\((.*)\):$", p.source.split("def backward(")[0], re.M)
        assert set(re.findall(r"(\w+) \[", kept)) <= set(head.split(", ")), name


def written(x):
    """What the text says of a constant, and what comes of that."""
    text = preamble({"array": np.array, "dtype": np.dtype, "v": x}, "v")
    space = {}
    exec(text, space)
    return text.splitlines()[-1], space.get("v")


@pytest.mark.parametrize(
    "x",
    [
        np.array(np.inf),
        np.array(-np.inf, np.float32),
        np.array([np.nan, -0.0, 0.1], np.float16),
        np.array([[True, False]]),
        np.array(3, np.int8),
        np.arange(16.0).reshape(8, 1, 2),
        np.repeat([0.5, np.nan, 0.0, -0.0], 50).astype(np.float32).reshape(200, 1),
        np.broadcast_to(np.float64(0.1), (300, 300)),
    ],
)
def test_constants_are_written_out(x):
    line, got = written(x)
    assert got.dtype == x.dtype
    assert len(line) < 150
    assert_array_equal(got, x, strict=True)
    if x.dtype.kind == "f":
        assert_array_equal(np.signbit(got), np.signbit(x))


@pytest.mark.parametrize(
    "x",
    [
        None,
        float("inf"),
        (1, slice(None, 3), ..., (None,), [True, "a"], ()),
        (-float("inf"), np.dtype("float32"), 2.5),
    ],
)
def test_settings_are_written_out(x):
    assert written(x)[1] == x


@pytest.mark.parametrize("x", [np.arange(17), np.array([]), object(), (object(),), np.array("a"), np.longdouble(1)])
def test_what_is_long_or_strange_is_told_in_a_comment(x):
    line, got = written(x)
    assert line.startswith("# v: ")
    assert got is None


def test_infinite_numbers_in_a_cell():
    source = tg.scan_program(
        lambda h, x: (tg.maximum(h * x, -np.inf) + np.inf, None), np.zeros(3), np.ones((6, 3))
    ).source
    assert "float('inf')" in source
    exec(source, {})


def test_functions_made_in_functions_are_told_in_a_comment():
    @primitive("elementwise", [lambda ct: ct])
    def forward(x):  # as the program's own function is called
        return x + 1

    start, xs = np.zeros(3), np.ones((6, 3))
    source = tg.scan_program(lambda h, x: (forward(h * x), None), start, xs).source
    assert f"# forward2: forward of {__name__}\n" in source
    last, _ = tg.scan(lambda h, x: (forward(h * x), None), start, xs)
    assert_array_equal(last.data, np.full(3, 6.0))


def test_one_constant_has_one_name_and_one_name_is_one_constant():
    space = {}
    forward, backward = parts(program(CELLS["mixed_carry"].make()).source)
    exec(forward, space)
    before = {name: x for name, x in space.items() if isinstance(x, np.ndarray | np.dtype)}
    exec(backward, space)
    assert before
    for name, x in before.items():
        assert space[name] == x
        assert space[name].dtype == x.dtype if isinstance(x, np.ndarray) else True


def test_constants_have_one_name_if_they_lie_in_memory_alike():
    names, x = Names(), np.arange(6.0).reshape(2, 3)
    assert names.thing("constant", x) == names.thing("constant", x.copy()) == "constant"
    others = x.astype(np.float32), -x, x.reshape(3, 2), np.asfortranarray(x), 0 * x, -0.0 * x
    assert len({names.thing("constant", other) for other in others}) == len(others)
    assert names.space["constant"] is x
