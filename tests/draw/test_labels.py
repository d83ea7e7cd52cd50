from dataclasses import replace

import pytest

from tinygrad_rnn.draw.labels import details, headline, numbers, operand_name, pretty, text_width, tooltip, visible

from .graphs import Builder


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("h_2", "h₂"),
        ("h_10", "h₁₀"),
        ("W_hh", "W_hh"),
        ("x", "x"),
        ("weight_ih_l0", "weight_ih_l0"),
        ("a_1_2", "a_1_2"),
        ("_1", "_1"),
        ("two\nlines", "two↵lines"),
        ("\u202eright to left", "�right to left"),
        ("\ud800", "�"),
        ("\uffff", "�"),
        ("שלום", "שלום"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_pretty(name: str, shown: str) -> None:
    assert pretty(name) == shown


def test_long_names_are_cut_on_the_node_and_whole_in_the_tooltip() -> None:
    b = Builder()
    b.add(name="x" * 100)
    (node,) = b.nodes
    assert pretty("x" * 100) == "x" * 25 + "…"
    assert "x" * 100 in tooltip(node)


def test_headlines_keep_the_order_of_arguments() -> None:
    b = Builder()
    W, x = b.add(name="W"), b.add(name="x")

    def says(op: str, *operands: str | None, name: str | None = None) -> str:
        return headline(b.nodes[b.add(op, *[W, x][: len(operands)], name=name)], operands)

    assert says("matmul", "W", None) == "W @"
    assert says("matmul", None, "W") == "@ W"
    assert says("matmul", "W", "x") == "W @ x"
    assert says("add", "b", None) == says("add", None, "b") == "+ b"
    assert says("subtract", "b", None) == "b −"
    assert says("sub", None, "b") == "− b"
    assert says("multiply", None, None) == "×"
    assert says("divide", None, "b") == "÷ b"
    assert says("maximum", "b", None) == "maximum b"
    assert says("tanh", None, name="h_3") == "h₃ = tanh"
    assert says("add", None, "b_y", name="y_3") == "y₃ = + b_y"
    assert says("transpose", "W") == "Wᵀ"
    assert says("getitem", "xs") == "xs[…]"
    assert says("getitem", None, name="i") == "i = […]"
    assert says("cross_entropy", None, name="L_3") == "L₃ = cross-entropy"


def test_operands_have_names_or_none() -> None:
    b = Builder()
    W, x = b.add(name="W_hh"), b.add()
    WT, xT = b.add("transpose", W), b.add("transpose", x)
    nodes = {node.id: node for node in b.nodes}
    assert [operand_name(nodes[i], nodes) for i in (W, x, WT, xT)] == ["W_hh", "", "W_hhᵀ", ""]


def test_details_have_no_number_without_a_gradient() -> None:
    b = Builder()
    b.add(shape=(2, 5), norm=None)
    b.add(shape=(5,), norm=0.3377)
    b.add(shape=(), norm=0.0)
    assert [details(node, shape=True, norm=True) for node in b.nodes] == ["(2, 5)", "(5,)  ∇ 0.34", "()  ∇ 0"]
    assert [details(node, shape=False, norm=True) for node in b.nodes] == ["", "∇ 0.34", "∇ 0"]
    assert [details(node, shape=True, norm=False) for node in b.nodes] == ["(2, 5)", "(5,)", "()"]


def test_a_compiled_loop_has_results_and_no_shape_of_its_own() -> None:
    b = Builder()
    scan = b.add("scan", b.add(name="W", shape=(5, 5)), shape=(0,), norm=0.5)
    b.add("output", scan, shape=(25, 5), norm=0.5)
    assert [details(node, shape=True, norm=False) for node in b.nodes] == ["(5, 5)", "", "(25, 5)"]
    assert details(b.nodes[scan], shape=True, norm=True) == "∇ 0.5"
    assert "shape" not in tooltip(b.nodes[scan])


@pytest.mark.parametrize(
    ("shape", "value", "text"),
    [
        ((), (3.14159,), "= 3.1"),
        ((2,), (0.5, -2.0), "[0.5 −2]"),
        ((3,), (1.0, 2.0, 3.0), "[1 2 3]"),
        ((2, 5), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), "[1 2 3 …]"),
        ((2,), (float("nan"), float("-inf")), "[nan −inf]"),
        ((0,), (), "[]"),
        ((), None, ""),
    ],
)
def test_numbers(shape: tuple[int, ...], value: tuple[float, ...] | None, text: str) -> None:
    b = Builder()
    b.add(shape=shape)
    assert numbers(replace(b.nodes[0], value=value)) == text


def test_width_is_generous_for_wide_characters() -> None:
    assert text_width("名前", 10) > text_width("ab", 10) > text_width("il", 10) > 0
    assert visible("e\u0301") == "e\u0301"
    assert text_width("e\u0301", 10) == text_width("e", 10)
