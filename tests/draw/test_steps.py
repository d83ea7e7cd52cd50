from tinygrad_rnn.draw.columns import choose_columns
from tinygrad_rnn.draw.steps import Plan, plan_steps
from tinygrad_rnn.draw.wiring import HIDDEN, wire

from .graphs import Builder, bidirectional, expression, irregular, layers_between_stacks, rnn


def names(plan: Plan, ids: object) -> list[str]:
    return [plan.nodes[i].name or plan.nodes[i].op for i in ids]  # type: ignore[attr-defined]


def test_rnn() -> None:
    plan = plan_steps(rnn(3))
    assert plan.times == (1, 2, 3)
    assert names(plan, plan.before) == ["W_xh", "W_hh", "b_h", "W_hy", "b_y"]
    assert names(plan, plan.carries) == ["h_0"]
    assert names(plan, plan.after) == ["stack", "L"]
    assert names(plan, plan.members(1)) == ["x_2", *["matmul"] * 2, "add", "add", "h_2", "matmul", "y_2", "L_2"]


def test_no_steps() -> None:
    plan = plan_steps(expression())
    assert plan.times == ()
    assert len(plan.after) == len(plan.nodes) == 10
    assert choose_columns(plan) == []


def test_an_unstacked_input_goes_to_its_steps_and_the_rest_around_the_loop() -> None:
    plan = plan_steps(layers_between_stacks(3))
    assert names(plan, plan.before) == ["xs", "weight_ih_l0", "weight_hh_l0", "transpose", "transpose"]
    assert names(plan, plan.members(0)) == ["unstack", "matmul", "matmul", "add", "h_1"]
    assert names(plan, plan.carries) == ["h_0"]
    assert names(plan, plan.after) == ["ys", "weight", "bias", "transpose", "matmul", "logits", "loss"]


def test_a_stack_between_two_layers_is_before_the_second() -> None:
    plan = plan_steps(layers_between_stacks(3, layers=2))
    wiring = wire(plan, choose_columns(plan))
    assert names(plan, plan.before).count("ys") == names(plan, plan.after).count("ys") == 1
    assert len(wiring.downs) == len(wiring.ups) == 3


def test_gaps_skips_and_running_sums() -> None:
    plan = plan_steps(irregular())
    assert plan.times == (1, 3, 4, 7)
    assert names(plan, plan.after) == ["mul", "out"]  # the running sum went to the columns
    wiring = wire(plan, choose_columns(plan))
    assert [(line.from_column, line.to_column) for line in wiring.across if not line.adjacent] == [(0, 2), (1, 3)]
    assert names(plan, {i for edge in wiring.around for i in edge}) == ["W", "mul"]


def test_a_loop_that_runs_backwards() -> None:
    plan = plan_steps(bidirectional(4))
    assert {plan.nodes[i].name: c for i, c in plan.carries.items()} == {"f_0": 0, "r_0": 3}
    assert "x_2" in names(plan, plan.members(1))
    wiring = wire(plan, choose_columns(plan, elide=False))
    assert sum(line.rightwards for line in wiring.across) == sum(not line.rightwards for line in wiring.across) == 3


def test_what_only_one_step_uses() -> None:
    b = Builder()
    W, V = b.add(name="W"), b.add(name="V")  # V: a parameter for the last step only
    h = b.add("matmul", W, b.add(name="h_0"), step=1)
    h = b.add("matmul", W, h, step=2)
    b.add("matmul", V, h, step=2)
    plan = plan_steps(b.graph())
    assert names(plan, plan.before) == ["W", "V"]
    assert names(plan, plan.carries) == ["h_0"]


def test_every_node_has_one_place() -> None:
    for graph in (rnn(4), layers_between_stacks(4, 3), irregular(), bidirectional(3), expression()):
        plan = plan_steps(graph)
        places = [*plan.column, *plan.carries, *plan.before, *plan.after]
        assert sorted(places) == [node.id for node in graph.nodes]


def test_long_sequences_are_cut() -> None:
    plan = plan_steps(rnn(100, decay=0.5))
    columns = choose_columns(plan)
    assert [column.title for column in columns] == ["t = 1", "t = 2", "", "t = 99", "t = 100"]
    assert [column.hidden for column in columns] == [False, False, True, False, False]
    low, high = 0.9 * 0.5**97, 0.9 * 0.5**2
    assert columns[2].lines == (
        "⋯",
        "96 steps",
        "t = 3 … 98",
        "864 nodes",
        "",
        "‖∂L/∂h‖",
        f"{low:.0e} … {high:.2g}".replace("e-0", "e-"),
    )


def test_no_range_without_gradients() -> None:
    (hidden,) = (c for c in choose_columns(plan_steps(rnn(20, norms=False))) if c.hidden)
    assert hidden.lines == ("⋯", "16 steps", "t = 3 … 18", "144 nodes")


def test_when_sequences_are_cut() -> None:
    def count(steps: int, elide: bool | None, keep: int = 2) -> int:
        return len(choose_columns(plan_steps(rnn(steps)), elide=elide, keep=keep))

    assert count(12, None) == 12
    assert count(13, None) == 5
    assert count(13, False) == 13
    assert count(6, True) == 5
    assert count(9, True, keep=3) == 7
    assert count(9, True, keep=4) == 9  # a box that hides a single step saves nothing
    assert count(3, True, keep=2) == 3


def test_lines_to_hidden_steps_are_merged() -> None:
    plan = plan_steps(rnn(100))
    wiring = wire(plan, choose_columns(plan))
    assert [(line.from_column, line.to_column) for line in wiring.across] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert sum(tail == HIDDEN for tail, _ in wiring.ups) == 1
    assert all(head != HIDDEN for _, head in wiring.taps)
