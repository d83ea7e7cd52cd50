"""The compiled loop gives what the unrolled one gives: for every cell of the table, with everything the tape has."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import autograd
from tinygrad_rnn.tree import leaves, map_leaves

from .cells import CELLS
from .runs import arrays, assert_close, assert_equal, assert_same_run, floats, gradients, run, tensors, weighted

each_cell = pytest.mark.parametrize("name", CELLS)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "in reverse"])
has_program = pytest.mark.skipif(not hasattr(tg, "scan_program"), reason="there is no scan_program")

# Cells of which all inputs are floating-point numbers and influence all outputs: what every transformation takes.
PLAIN = ["rnn_tanh", "lstm", "gru_reset_after", "layernorm_lstm", "residual_stack", "attention", "joined_product"]
PLAIN += ["slices", "solves", "swapped_and_changed", "computed_weights", "linear_recurrence", "same_operand_twice"]
each_plain_cell = pytest.mark.parametrize("name", PLAIN)


def both(made, **options):
    """The compiled run and the unrolled one."""
    return run(made, **options), run(made, unroll=True, **options)


# ------------------------------------------------------------------------------------------------------ the whole table


@each_cell
@both_ways
def test_values_and_gradients(name, reverse):
    for T in (1, 2, 7):
        assert_same_run(*both(CELLS[name].make(seed=T, T=T), reverse=reverse))


@each_cell
def test_long_sequences(name):
    """So long that what is worked out for many steps at once is worked out in several parts."""
    made = CELLS[name].make(T=150)
    reverse = len(name) % 2 == 0
    assert_same_run(*both(made, reverse=reverse), forward=4e-14)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 2, 1), (5, 1, 4), (3, 8, 16)], ids=str)
@pytest.mark.parametrize("name", ["rnn_tanh", "lstm", "gru_reset_before", "layernorm_lstm", "language_model"])
def test_other_sizes(name, sizes):
    B, I, H = sizes  # noqa: E741
    assert_same_run(*both(CELLS[name].make(T=4, B=B, I=I, H=H)))


def of_ys(carry, ys):
    return weighted(ys)


def of_the_last_carry(carry, ys):
    return weighted(carry)


def of_the_last_y(carry, ys):
    return weighted(map_leaves(lambda y: y[-1], ys))


def of_the_first_part_of_ys(carry, ys):
    return weighted(leaves(ys)[:1])


def of_a_product(carry, ys):
    """The cotangents of carry and ys depend on both."""
    return tg.sin(weighted(carry, seed=2)) * tg.cos(weighted(ys, seed=3))


LOSSES = [of_ys, of_the_last_carry, of_the_last_y, of_the_first_part_of_ys, of_a_product]


@each_cell
@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_losses_of_a_part(name, loss):
    assert_same_run(*both(CELLS[name].make(T=3), loss=loss))


@each_cell
@pytest.mark.parametrize("wanted", [("parameters",), ("carry",), ("xs",), ()], ids=str)
def test_gradients_by_some(name, wanted):
    got, want = both(CELLS[name].make(T=3), wanted=wanted)
    assert_same_run(got, want)


@pytest.mark.parametrize("one", ["W", "U", "b"])
def test_a_gradient_by_one_parameter(one):
    made = CELLS["lstm"].make()
    chosen = {(name if name == one else f"frozen_{name}"): a for name, a in made.parameters.items()}
    cell = lambda p, c, x: made.cell({name.removeprefix("frozen_"): t for name, t in p.items()}, c, x)  # noqa: E731
    compiled, unrolled = both(made._replace(cell=cell, parameters=chosen), wanted=("parameters",))
    assert_same_run(compiled, unrolled)
    assert np.any(compiled.gradients["parameters"][one])


@each_cell
@pytest.mark.parametrize("checkpoint", [1, 2, 3, "sqrt"])
def test_checkpoints_give_the_same_bits(name, checkpoint):
    made = CELLS[name].make()
    plain, checked = run(made), run(made, checkpoint=checkpoint)
    assert_equal((checked.carry, checked.ys, checked.gradients), (plain.carry, plain.ys, plain.gradients))


@pytest.mark.parametrize("checkpoint", [1, 40, 1000, "sqrt"])
@pytest.mark.parametrize("name", ["rnn_tanh", "lstm", "language_model", "mixed_carry"])
@both_ways
def test_checkpoints_of_long_sequences_give_the_same_bits(name, reverse, checkpoint):
    made = CELLS[name].make(T=150)
    plain, checked = run(made, reverse=reverse), run(made, reverse=reverse, checkpoint=checkpoint)
    assert_equal((checked.carry, checked.ys, checked.gradients), (plain.carry, plain.ys, plain.gradients))


@has_program
@each_cell
def test_what_is_compiled(name):
    made = CELLS[name].make()
    parameters, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
    program = tg.scan_program(lambda c, x: made.cell(parameters, c, x), carry, xs, made.length)
    assert program.compiled in ((True, False) if CELLS[name].compiled is None else (CELLS[name].compiled,)), (
        program.explain()
    )
    assert program.explain()
    if program.compiled:
        compile(program.source, name, "exec")


@each_cell
def test_no_steps_at_all(name):
    made = CELLS[name].make(T=0)
    one_step = run(CELLS[name].make(T=1))
    compiled, unrolled = both(made)
    assert_equal((compiled.carry, compiled.ys, compiled.gradients), (unrolled.carry, unrolled.ys, unrolled.gradients))
    assert_equal(compiled.carry, map_leaves(np.asarray, made.carry))
    shapes = map_leaves(lambda y: ((0, *y.shape[1:]), y.dtype), one_step.ys)
    assert map_leaves(lambda y: (y.shape, y.dtype), compiled.ys) == shapes
    assert not any(np.any(g) for g in leaves(compiled.gradients["parameters"]))


@pytest.mark.parametrize("unroll", [False, True])
def test_the_gradients_of_no_steps_are_zero(unroll):
    """There, for whoever goes on with them, and in each mode."""
    W, h0, xs = (tg.tensor(a, requires_grad=True) for a in (np.eye(3), np.array([-0.0, 1.0, 2.0]), np.zeros((0, 3))))
    looked_at = []

    def cell(h, x):
        h = tg.tanh(h @ W + x)
        looked_at.append(isinstance(x.shape, tuple))
        return h, {"divided": x / h, "inverse": tg.linalg.inv(tg.ones((3, 3)) * x), "count": np.array([1])}

    with np.errstate(all="raise"):
        h, ys = tg.scan(cell, h0, xs, unroll=unroll)
    assert looked_at == [True]
    assert {k: (y.shape, y.dtype) for k, y in ys.items()} == {
        "divided": ((0, 3), np.float64),
        "inverse": ((0, 3, 3), np.float64),
        "count": ((0, 1), np.int64),
    }
    assert h.data.tobytes() == h0.data.tobytes()
    (ys["divided"].sum() + ys["inverse"].sum()).backward(retain_graph=True)
    assert [a.tolist() for a in (W.grad, h0.grad, xs.grad)] == [np.zeros((3, 3)).tolist(), [0, 0, 0], []]
    h.sum().backward()
    assert [a.tolist() for a in (W.grad, h0.grad)] == [np.zeros((3, 3)).tolist(), [1, 1, 1]]

    def last(h):
        return tg.scan(cell, h, xs, unroll=unroll)[0]

    assert tg.jvp(last, (np.ones(3),), (2 * np.ones(3),))[1].tolist() == [2, 2, 2]
    assert tg.hessian(lambda h: (last(h) ** 2).sum())(np.ones(3)).tolist() == (2 * np.eye(3)).tolist()
    assert tg.vmap(last)(np.ones((2, 3))).tolist() == np.ones((2, 3)).tolist()


def test_nobody_watches_what_a_loop_of_no_steps_does():
    start = tg.tensor(np.full(2, -np.inf), requires_grad=True)
    with tg.detect_anomaly():
        h, _ = tg.scan(lambda h, x: (tg.maximum(h, x), None), start, np.ones((0, 2)))
    assert h.tolist() == [-np.inf, -np.inf]


def test_a_loop_of_no_steps_whose_cell_reads_numbers():
    assert tg.scan(lambda h, x: (h * x.item(), h), 1.5, np.zeros(0))[0].item() == 1.5
    with pytest.raises(ValueError, match=r"carry must keep its shape from step to step; it goes from \(3,\) to \(1,\)"):
        tg.scan(lambda h, x: (h[:1], None), np.ones(3), np.zeros((0, 3)))


GRAD_INSIDE_NO_GRAD = pytest.mark.xfail(
    strict=True, reason="tg.grad by a tensor that needs a gradient raises inside no_grad, in a loop or not"
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=GRAD_INSIDE_NO_GRAD if name == "gradient_inside" else ()) for name in CELLS]
)
def test_nothing_is_recorded_inside_no_grad(name):
    made = CELLS[name].make()
    parameters, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
    want = run(made, unroll=True)
    with tg.no_grad():
        last, ys = tg.scan(lambda c, x: made.cell(parameters, c, x), carry, xs, made.length)
    changed = [t for t in leaves((last, ys)) if not any(t is given for given in leaves((parameters, carry, xs)))]
    assert not any(t.requires_grad for t in changed)
    assert_close((arrays(last), arrays(ys)), (want.carry, want.ys), 4e-15)


@pytest.mark.parametrize("name", [name for name, row in CELLS.items() if row.smooth])
@both_ways
def test_gradients_are_those_of_finite_differences(name, reverse):
    made = CELLS[name].make(T=3)
    found, nested = floats(made)

    def f(*values):
        parameters, carry, xs = nested(values)
        last, ys = tg.scan(lambda c, x: made.cell(parameters, c, x), carry, xs, made.length, reverse)
        return tg.concatenate([tg.ravel(t) for t in leaves((last, ys))])

    tg.check_grads(f, found, order=1, modes=("reverse",))


# ------------------------------------------------------------------------------------------------------------- the tape


def leaf(values):
    return tg.tensor(values, requires_grad=True)


def a_loop(name="lstm", **options):
    """The results of a loop over a cell of the table, and all the leaves that it was computed from."""
    made = CELLS[name].make(T=4)
    parameters, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
    last, ys = tg.scan(lambda c, x: made.cell(parameters, c, x), carry, xs, **options)
    return last, ys, leaves((parameters, carry, xs))


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"checkpoint": 2}], ids=str)
def test_a_second_backward_is_refused(options):
    last, ys, inputs = a_loop(**options)
    weighted(last, ys).backward()
    before = [t.grad.copy() for t in inputs]
    with pytest.raises(RuntimeError, match=r"backward: an earlier backward went through .* freed what it had kept"):
        weighted(last, ys).backward()
    assert_equal([t.grad for t in inputs], before)


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"checkpoint": 2}], ids=str)
def test_a_second_backward_through_a_kept_graph_adds_the_same(options):
    last, ys, inputs = a_loop(**options)
    loss = weighted(last, ys)
    loss.backward(retain_graph=True)
    once = [t.grad.copy() for t in inputs]
    loss.backward()
    assert_equal([t.grad for t in inputs], [g + g for g in once])


def test_backwards_of_several_parts_of_a_kept_graph():
    """First of ys, then of the last carry: together what one backward of both gives."""
    last, ys, inputs = a_loop()
    weighted(ys, seed=3).backward(retain_graph=True)
    weighted(last, seed=4).backward()
    last, ys, others = a_loop(unroll=True)
    (weighted(ys, seed=3) + weighted(last, seed=4)).backward()
    assert_close([t.grad for t in inputs], [t.grad for t in others], 1e-13)


def test_a_cotangent_for_ys():
    for options in ({}, {"unroll": True}):
        _, ys, inputs = a_loop(**options)
        ct = np.random.default_rng(8).standard_normal(ys.shape)
        kept = ct.copy()
        ys.backward(ct)
        assert_array_equal(ct, kept)
        if not options:
            got = [t.grad for t in inputs]
    assert_close(got, [t.grad for t in inputs], 1e-13)


def test_gradients_by_intermediate_results():
    """Inputs of the loop that were themselves computed, one tensor in several roles."""

    def grads(**options):
        a, w = leaf([[0.3, -0.2], [0.1, 0.4]]), leaf([0.5, -0.6])
        h, xs, U = tg.sin(a[0]), tg.stack([a[1], w, a[0] * w]), tg.outer(w, a[1])
        last, ys = tg.scan(lambda h, x: (tg.tanh(x * w + U @ h + a[0]),) * 2, h, xs, **options)
        return autograd.grad(weighted(last, ys), [a, w, h, xs, U])

    assert_close([g.data for g in grads()], [g.data for g in grads(unroll=True)], 1e-14)


def test_an_input_that_the_loop_does_not_use_gets_no_gradient():
    a, b = leaf([1.0]), leaf([2.0])
    last, _ = tg.scan(lambda h, x: (h * a, None), leaf([1.0]), np.zeros((3, 1)))
    with pytest.raises(RuntimeError, match=r"inputs\[1\] was not used to compute the outputs"):
        autograd.grad(last.sum(), [a, b])


def test_two_loops_in_sequence():
    """The ys of the one, with time turned round, are the xs of the other; its carry starts that."""
    one, other = CELLS["lstm"].make(T=6), CELLS["gru_reset_after"].make(seed=1, T=6, I=4)

    def grads(**options):
        p, q, carry, xs = (tensors(t) for t in (one.parameters, other.parameters, one.carry, one.xs))
        (h, _), ys = tg.scan(lambda c, x: one.cell(p, c, x), carry, xs, **options)
        last, zs = tg.scan(lambda c, x: other.cell(q, c, x), h, ys, reverse=True, **options)
        weighted(last, zs, ys).backward()
        return arrays((last, zs)), gradients((p, q, carry, xs))

    assert_close(grads(), grads(unroll=True), 1e-13)


def test_both_directions_over_one_input():
    made = CELLS["rnn_tanh"].make(T=5)

    def grads(**options):
        p, q, h, xs = (tensors(t) for t in (made.parameters, made.parameters, made.carry, made.xs))
        _, ahead = tg.scan(lambda c, x: made.cell(p, c, x), h, xs, **options)
        _, back = tg.scan(lambda c, x: made.cell(q, c, x), h, xs, reverse=True, **options)
        weighted(tg.concatenate([ahead, back], axis=-1)).backward()
        return gradients((p, q, h, xs))

    assert_close(grads(), grads(unroll=True), 1e-13)


@pytest.mark.parametrize("inner_reverse", [False, True])
def test_a_loop_in_a_loop(inner_reverse):
    """Words of characters: the inner loop reads a word, starting from a tensor that the outer one carries."""
    made = CELLS["gru_reset_after"].make(T=3)
    words = np.random.default_rng(2).standard_normal((4, *made.xs.shape))

    def grads(inside, outside):
        p, h, v, xs = (tensors(t) for t in (made.parameters, made.carry, np.linspace(-1, 1, 4), words))

        def read(state, word):
            h, ys = tg.scan(lambda c, x: made.cell(p, c, x), state, word, reverse=inner_reverse, unroll=inside)
            return h * v, ys.sum(axis=0) + h

        last, ys = tg.scan(read, h, xs, unroll=outside)
        weighted(last, ys).backward()
        return arrays((last, ys)), gradients((p, h, v, xs))

    want = grads(True, True)
    for inside, outside in [(False, False), (False, True), (True, False)]:
        assert_close(grads(inside, outside), want, 1e-13)


def test_a_loop_through_time_and_one_through_layers():
    """The outer loop goes through layers, whose weights are its xs; ys of one are the inner loop's xs of the next."""
    rng = np.random.default_rng(5)
    weights = {"W": rng.uniform(-1, 1, (3, 4, 4)), "U": rng.uniform(-1, 1, (3, 4, 4))}

    def grads(**options):
        w, xs = tensors(weights), tensors(np.linspace(-1, 1, 5 * 2 * 4).reshape(5, 2, 4))

        def layer(xs, w):
            last, ys = tg.scan(lambda h, x: (tg.tanh(x @ w["W"] + h @ w["U"]),) * 2, np.zeros((2, 4)), xs, **options)
            return ys, last

        top, lasts = tg.scan(layer, xs, w, **options)
        weighted(top, lasts).backward()
        return arrays((top, lasts)), gradients((w, xs))

    assert_close(grads(), grads(unroll=True), 1e-13)


def test_a_checkpoint_around_a_loop():
    made = CELLS["lstm"].make()

    def grads(around, **options):
        p, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
        loop = around(lambda carry, xs: tg.scan(lambda c, x: made.cell(p, c, x), carry, xs, **options))
        weighted(*loop(carry, xs)).backward()
        return gradients((p, carry, xs))

    assert_close(grads(tg.checkpoint), grads(lambda f: f, unroll=True), 1e-13)


def test_anomalies_are_found_in_a_loop():
    def cell(h, x):
        return tg.sqrt(h - x), None

    with np.errstate(invalid="ignore"), tg.detect_anomaly(), pytest.raises(tg.AnomalyError, match="sqrt"):
        tg.scan(cell, leaf([1.0]), np.full((3, 1), 0.9))


def test_recorded_cotangents_are_the_unrolled_loop_s():
    def recorded(**options):
        made = CELLS["rnn_tanh"].make(T=3)
        p, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
        with tg.record_cotangents():
            last, ys = tg.scan(lambda c, x: made.cell(p, c, x), carry, xs, **options)
            weighted(last, ys).backward()
        return gradients((p, carry, xs))

    assert_close(recorded(), recorded(unroll=True), 1e-13)


# -------------------------------------------------------------------------------------------------- the transformations


def functional(name, T=4, **options):
    """(parameters, carry, xs) ↦ (last carry, ys), and arguments for it."""
    made = CELLS[name].make(T=T)
    loop = lambda p, carry, xs: tg.scan(lambda c, x: made.cell(p, c, x), carry, xs, **options)  # noqa: E731
    return loop, (made.parameters, made.carry, made.xs)


def scalar(loop):
    """A scalar of it, curved in everything."""
    return lambda *args: tg.sin(weighted(*loop(*args))) + weighted(*loop(*args), seed=2) ** 2 / 50


def directions(tree, seed=6):
    rng = np.random.default_rng(seed)
    return map_leaves(lambda a: rng.standard_normal(np.shape(a)), tree)


def assert_alike(name, by):
    """`by` of the compiled loop and its arguments is that of the unrolled one."""
    compiled, args = functional(name)
    unrolled, _ = functional(name, unroll=True)
    assert_close(arrays(by(compiled, args)), arrays(by(unrolled, args)), 1e-12)


@each_plain_cell
def test_grad(name):
    assert_alike(name, lambda loop, args: tg.grad(scalar(loop), argnums=(0, 1, 2))(*args))


@each_plain_cell
def test_value_and_grad(name):
    assert_alike(name, lambda loop, args: tg.value_and_grad(scalar(loop))(*args))


@each_plain_cell
def test_vjp(name):
    def pulled(loop, args):
        out, pullback = tg.vjp(loop, *args)
        return [out, pullback(directions(out)), pullback(directions(out, seed=7))]

    assert_alike(name, pulled)


@each_plain_cell
def test_jvp(name):
    assert_alike(name, lambda loop, args: tg.jvp(loop, args, directions(args)))


@each_plain_cell
def test_hvp(name):
    by_all = lambda loop: lambda args: scalar(loop)(*args)  # noqa: E731
    assert_alike(name, lambda loop, args: tg.hvp(by_all(loop), args, directions(args)))


@each_plain_cell
def test_vmap(name):
    """Over carries and inputs, and over parameters."""

    def many(tree):
        return map_leaves(lambda a: np.stack([a, a * 0.5, -a]), tree)

    assert_alike(name, lambda loop, args: tg.vmap(loop, (None, 0, 0))(args[0], many(args[1]), many(args[2])))
    assert_alike(name, lambda loop, args: tg.vmap(tg.grad(scalar(loop)), (0, None, None))(many(args[0]), *args[1:]))


@pytest.mark.parametrize("name", ["rnn_tanh", "scalar_carry", "swapped_and_changed"])
def test_hessian(name):
    assert_alike(name, lambda loop, args: leaves(tg.hessian(lambda c: scalar(loop)(args[0], c, args[2]))(args[1])))


@each_plain_cell
def test_second_order_by_a_recorded_backward(name):
    def second(**options):
        made = CELLS[name].make(T=4)
        p, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
        inputs = leaves((p, carry, xs))
        last, ys = tg.scan(lambda c, x: made.cell(p, c, x), carry, xs, **options)
        first = autograd.grad(tg.sin(weighted(last, ys)), inputs, create_graph=True)
        tg.sin(weighted(first, seed=5)).backward()
        return [g.data for g in first], gradients(inputs)

    assert_close(second(), second(unroll=True), 1e-12)


@pytest.mark.parametrize("name", ["rnn_tanh", "gru_reset_after", "solves"])
def test_second_derivatives_are_those_of_finite_differences(name):
    made = CELLS[name].make(T=2)
    found, nested = floats(made)

    def f(*values):
        p, carry, xs = nested(values)
        last, ys = tg.scan(lambda c, x: made.cell(p, c, x), carry, xs)
        return tg.concatenate([tg.ravel(t) for t in leaves((last, ys))])

    tg.check_grads(f, found, order=2)


def test_a_parameter_of_a_transformation_around_the_loop():
    """The cell closes over a tensor that is being differentiated, mapped over, or both."""
    xs = np.linspace(-1, 1, 5)

    def loss(w, **options):
        last, ys = tg.scan(lambda h, x: (tg.tanh(h * w + x),) * 2, 0.1, xs, **options)
        return last * ys.sum()

    for transformed in (tg.grad, lambda f: tg.grad(tg.grad(f)), lambda f: lambda w: tg.jvp(f, (w,), (1.0,))[1]):
        got, want = (transformed(lambda w, u=unroll: loss(w, unroll=u))(0.7).item() for unroll in (False, True))
        assert got == pytest.approx(want, rel=1e-13)
    ws = np.array([0.2, 0.9, -0.4])
    got = tg.vmap(tg.grad(loss))(ws).data
    assert_allclose(got, [tg.grad(lambda w: loss(w, unroll=True))(w).item() for w in ws], rtol=1e-13)


def test_many_steps():
    """The stack of a recursion would not do, nor a square of the time."""
    w = leaf(0.99999)
    last, _ = tg.scan(lambda h, x: (h * w, None), 1.0, None, length=20_000)
    last.backward()
    assert_allclose(w.grad, 20_000 * 0.99999**19_999, rtol=1e-8)
