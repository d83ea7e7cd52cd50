"""Gates, which are parts of one array: in slots, in products with a common factor, in blocks, in memory that is shared.

Each cell is looped over compiled and unrolled. Where a mechanism could as well not be there, the program's text shows
that it is.
"""

import functools
import importlib
import itertools

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.primitive import primitive
from tinygrad_rnn.scan.capture import forget

from .cells import Made
from .runs import assert_equal, assert_same_run, floats, run, tensors, weighted

statements = importlib.import_module("tinygrad_rnn.scan.statements")

B, I, W, T = 8, 5, 3, 6  # noqa: E741 - the size of the input


def drawn(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape).astype(dtype)


def made(cell, carries=1, *, gates=4, rows=B, steps=T, dtype=np.float64, xs=(), **parameters):
    """A cell whose carries are [rows, W], its first x is [rows, I], and its weights make so many gates."""
    draw = functools.partial(drawn, dtype=dtype)
    weights = {"U": draw(W, gates * W), "V": draw(I, gates * W), "b": draw(gates * W), **parameters}
    carry = tuple(drawn(rows, W, dtype=dtype, seed=i) for i in range(carries))
    return Made(cell, carry, (draw(steps, rows, I), *xs), weights)


def compared(m, forward=4e-14, **options):
    """The compiled run, which must be the unrolled one."""
    got = run(m, **options)
    assert_same_run(got, run(m, unroll=True, **options), forward=forward)
    return got


def source(m):
    parameters, carry, xs = (tensors(part) for part in (m.parameters, m.carry, m.xs))
    return tg.scan_program(lambda c, x: m.cell(parameters, c, x), carry, xs).source


def loops(m):
    """The statements of the forward loop, and those of the backward one."""
    found = []
    for text in source(m).split("# the loop")[1:]:
        _, _, *lines = text.splitlines()
        found.append(list(itertools.takewhile(lambda line: line.startswith(" " * 12), lines)))
    return found


def parts(a, width=W):
    return [a[..., k : k + width] for k in range(0, a.shape[-1], width)]


def before(p, h, x):
    return x @ p["V"] + h @ p["U"] + p["b"]


def lstm(p, state, xs):
    h, c = state
    i, f, g, o = parts(before(p, h, xs[0]))
    i, f, g, o = tg.sigmoid(i), tg.sigmoid(f), tg.tanh(g), tg.sigmoid(o)
    c = f * c + i * g
    h = o * tg.tanh(c)
    return (h, c), h


def gru(p, state, xs):
    (h,) = state
    a, b = xs[0] @ p["V"] + p["b"], h @ p["U"] + p["d"]
    (a_r, a_z, a_n), (b_r, b_z, b_n) = parts(a), parts(b)
    r, z = tg.sigmoid(a_r + b_r), tg.sigmoid(a_z + b_z)
    h = z * h + (1 - z) * tg.tanh(a_n + r * b_n)
    return (h,), h


def made_gru(**options):
    return made(gru, gates=3, d=drawn(3 * W, dtype=options.get("dtype", np.float64), seed=1), **options)


# ------------------------------------------------------------------------------------------------------ the usual cells


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 2, 4, 8])
@pytest.mark.parametrize("make", [lambda **options: made(lstm, 2, **options), made_gru], ids=["lstm", "gru"])
def test_usual_cells(make, rows, dtype):
    for steps in (2, 70, 130):  # less than a block; blocks of which the last is shorter
        compared(make(rows=rows, steps=steps, dtype=dtype), forward=4e-13)


def test_gates_are_in_slots():
    """[B, 4 W] is kept as [4, B, W]."""
    assert f"empty((4, {B}, {W}), float64)" in source(made(lstm, 2))
    assert f"empty((n, 2, {B}, {W}), float64)" in source(made_gru())


def test_an_lstm_is_ten_calls_and_seven():
    """A product, a sum, the four gates in three, five for c and h; backward each of δ f₁ and [δ f₂, δ f₃] in one."""
    forward, backward = loops(made(lstm, 2, dtype="float32"))
    assert (len(forward), len(backward)) == (10, 7)


def test_without_slots_large_parts_are_as_exact():
    """Parts of more than a thousand numbers stay where they are."""
    m = made(lstm, 2, rows=400)
    assert f"empty((4, 400, {W}), float64)" not in source(m)
    compared(m)


@pytest.mark.parametrize("make", [lambda: made(lstm, 2, rows=2, steps=3), lambda: made_gru(rows=2, steps=3)])
def test_finite_differences(make):
    m = make()
    arrays, nested = floats(m)

    def f(*args):
        parameters, carry, xs = nested(args)
        return weighted(*tg.scan(lambda c, x: m.cell(parameters, c, x), carry, xs))

    tg.check_grads(f, arrays, modes=["reverse"])


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"checkpoint": 1}, {"checkpoint": "sqrt"}], ids=str)
@pytest.mark.parametrize("wanted", [("parameters",), ("carry",), ("xs",), ("carry", "xs")], ids=str)
def test_gradients_by_some_in_every_way(wanted, options):
    m = made(lstm, 2, steps=70)
    got = run(m, wanted, **options)
    assert_same_run(got, run(m, wanted, unroll=True, **options), forward=4e-14)
    if "checkpoint" in options:
        assert_equal(got.gradients, run(m, wanted).gradients)


# ------------------------------------------------------------------------------------------------- gates and their uses


def with_gates(use):
    """A cell whose next h and y are made of four gates."""

    def cell(p, state, xs):
        a = before(p, state[0], xs[0])
        h, y = use(p, a, state[0], *xs[1:])
        return (tg.tanh(h), *state[1:]), y

    return cell


def used_whole_too(p, a, h):
    s = tg.sigmoid(a)
    i, f, g, o = parts(s)
    return i * h + f * g - o, s @ p["out"]


def kept_and_used_whole(p, a, h):
    """In slots forward; backward, their product with what comes from y is taken as a whole."""
    i, f, g, o = parts(tg.sigmoid(a))
    return h + a[:, :W], i * f + g * o


def kept_at_another_width(p, a, h):
    """Forward in slots of W, backward in two halves."""
    (i, f), (g, o) = parts(tg.sin(a[:, : 2 * W])), parts(a[:, 2 * W :])
    return h, i * f + g - o


def several_widths(p, a, h):
    i, fg, o = tg.sigmoid(a[:, :W]), tg.tanh(a[:, W : 3 * W]), tg.sigmoid(a[:, 3 * W :])
    return i * h + fg[:, :W] * o, fg


def parts_of_parts(p, a, h):
    left, right = tg.tanh(a[:, : 2 * W]), tg.sigmoid(a[:, 2 * W :])
    (i, f), (g, o) = parts(left * right), parts(left + right)
    return i * h + f * g, o


def unequal_parts(p, a, h):
    i, f, g = tg.sigmoid(a[:, :5]), tg.tanh(a[:, 5:7]), tg.sigmoid(a[:, 7:])
    return i[:, :W] * h + tg.concatenate([f, g[:, :1]], axis=1), i


def parts_with_gaps(p, a, h):
    return tg.sigmoid(a[:, :W]) * h + tg.tanh(a[:, 3 * W :]), tg.sigmoid(a[:, W + 1 : 2 * W])


def overlapping_parts(p, a, h):
    i, f, g = tg.sigmoid(a[:, : 2 * W]), tg.tanh(a[:, W : 3 * W]), a[:, 2 * W :]
    return i[:, :W] * h + f[:, W:] * i[:, W:], g * f


def other_looks(p, a, h):
    """Parts that aren't parts along the last axis."""
    i, f, g, o = parts(tg.sigmoid(a))
    s = tg.tanh(a).reshape(B, 4, W)
    return i * h + s[:, 1] + f[::-1] - g[:, ::-1], tg.concatenate([s[2:4, -1], o[..., None][:2, :, 0]], axis=0)


def joined_again(p, a, h):
    i, f, g, o = parts(tg.sigmoid(a))
    return i * h + g, tg.concatenate([o, f * h, i, f * h, g - o], axis=1)


def joined_is_used_again(p, a, h):
    i, f, g, o = parts(tg.tanh(a))
    both = tg.concatenate([i * h, f * h, f, o * h], axis=1)
    return tg.sigmoid(both)[:, W : 2 * W] + both @ p["out"], i * h + g


def where_and_maximum(p, a, h):
    i, f, g, o = parts(tg.where(a > 0.1, a, a * a))
    return tg.maximum(i, f) * h + tg.where(g > o, g, 0.5), tg.minimum(i, 0.25)


def negative_and_numbers(p, a, h):
    i, f, g, o = parts(a)
    return tg.sigmoid(2 * i) * h + tg.tanh(0.5 * f + 1) - tg.sigmoid(-g), 1 - tg.tanh(o - 3)


def detached(p, a, h):
    i, f, g, o = parts(tg.sigmoid(a))
    return i.detach() * h + f * g.detach(), o.detach() * i


def halves(p, a, h):
    (i, f), (g, o) = parts(tg.sigmoid(a[:, : 2 * W])), parts(a[:, 2 * W :])
    return i * h + f * tg.tanh(g), o


def transposed(p, a, h):
    i, f, g, o = (part.T for part in parts(tg.sigmoid(a).T.T))
    return (i * h.T + f * g).T, o


USES = [used_whole_too, kept_and_used_whole, kept_at_another_width, several_widths, parts_of_parts, unequal_parts]
USES += [
    parts_with_gaps,
    overlapping_parts,
    other_looks,
    joined_again,
    joined_is_used_again,
    where_and_maximum,
    negative_and_numbers,
]
USES += [detached, halves, transposed]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("use", USES, ids=lambda f: f.__name__)
def test_uses_of_gates(use, dtype):
    for rows in (2, B):
        if use is other_looks and rows != B:
            continue
        m = made(with_gates(use), rows=rows, steps=20, dtype=dtype, out=drawn(4 * W, W, dtype=dtype))
        for options in ({}, {"reverse": True, "checkpoint": 3}):
            compared(m, forward=4e-13, **options)


def test_a_kept_gate_is_read_both_ways():
    """The gates are kept in slots; the backward of what needs them as rows turns them."""
    text = source(made(with_gates(kept_and_used_whole)))
    backward = text[text.index("def backward(") :]
    assert "transpose_all(" in backward
    assert "reshape_all(" in backward


def shapes_beside(p, a, h, *others):
    """What meets the slots has fewer axes, or axes of length 1."""
    for other in others:
        a = tg.sigmoid(a + other) * p["row"] + p["column"] - p["one"] * p["number"]
    i, f, g, o = parts(a)
    return i * h + f * g, o


def test_what_meets_slots_is_broadcast():
    others = [drawn(T, *shape) for shape in [(B, 4 * W), (B, 1), (4 * W,), (1,), ()]]
    shapes = {"row": (4 * W,), "column": (B, 1), "one": (1,), "number": ()}
    m = made(with_gates(shapes_beside), xs=others, **{name: drawn(*shape) for name, shape in shapes.items()})
    assert f"empty((4, {B}, {W}), float64)" in source(m)
    compared(m)


# ---------------------------------------------------------------------------------------------- constants of some parts


def biased(p, state, xs):
    """A vector, a number, and nothing are added to parts of a sum that doesn't need the past."""
    (h,), (x,) = state, xs
    a = x @ p["V"] + p["b"]
    i, f, g, o = parts(a)
    i, f, g, o = parts(tg.concatenate([i + p["bi"], f + 1, g, o + p["bo"]], axis=1) + h @ p["U"])
    h = tg.sigmoid(i) * h + tg.sigmoid(f) * tg.tanh(g)
    return (h,), o


def biased_gru(p, state, xs):
    (h,), (x,) = state, xs
    a, b = x @ p["V"] + p["b"], h @ p["U"]
    (a_r, a_z, a_n), (b_r, b_z, b_n) = parts(a), parts(b)
    r, z = tg.sigmoid(a_r + p["bi"] + b_r), tg.sigmoid(a_z + 1.5 + b_z)
    h = z * h + (1 - z) * tg.tanh(a_n + r * (b_n + p["bo"]))
    return (h,), z


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("cell", "gates"), [(biased, 4), (biased_gru, 3)], ids=["joined", "gru"])
def test_a_bias_on_some_parts(cell, gates, dtype):
    for rows in (1, 2, B):
        vectors = {name: drawn(W, dtype=dtype, seed=k) for k, name in enumerate(("bi", "bo"))}
        compared(made(cell, gates=gates, rows=rows, steps=20, dtype=dtype, **vectors), forward=4e-13)


def test_biases_of_parts_are_added_before_the_loop():
    """One sum for all of the gates; what is only added to a part is in the bias."""
    vectors = {"bi": drawn(W), "bo": drawn(W)}
    forward, _ = loops(made(biased_gru, gates=3, **vectors))
    assert sum("add(" in line for line in forward) == 5  # b_n + bo; b + a; 1 + e⁻; r b_n + a_n; z h + …
    assert not any("bi" in line for line in forward)


def test_a_bias_on_some_rows():
    """The vector lies along the last axis, the parts along the first."""

    def cell(p, state, xs):
        a = xs[0] @ p["V"] + p["b"]
        h = tg.tanh(state[0] @ p["U"] + tg.concatenate([tg.tanh(a[:2] + p["d"]), a[2:]], axis=0))
        return (h,), h

    compared(made(cell, gates=1, rows=2 * W, d=drawn(W)))


# ------------------------------------------------------------------------------------------------------- common factors


def common(p, state, xs):
    """Backward, neighbouring cotangents are δ times what doesn't need the past."""
    (h,), (_, first, second, third) = state, xs
    u, v, w = parts(h @ p["U"] + p["b"])
    h = tg.tanh(u * first + v * second + w * third)
    return (h,), None


FACTORS = {  # their types, and how many products the backward loop has: δ [f₁ …], or δ tanh′, and that by [f₁, f₂ …]
    "floats": ([np.float64, np.float64, np.float64], 1),
    "masks": ([np.bool_, np.bool_, np.float64], 3),
    "integers": ([np.int8, np.int64, np.bool_], 2),
    "of several types": ([np.float32, np.bool_, np.int8], 2),
}


@pytest.mark.parametrize(("dtypes", "products"), FACTORS.values(), ids=FACTORS)
def test_products_with_a_common_factor(dtypes, products):
    factors = [(3 * drawn(70, B, W, seed=k)).astype(dtype) for k, dtype in enumerate(dtypes)]
    m = made(common, gates=3, xs=factors, steps=70)
    _, backward = loops(m)
    assert sum("multiply(" in line for line in backward) == products
    compared(m)
    compared(m, reverse=True, checkpoint=1)


def test_a_common_factor_of_the_narrowest_types():
    """Each product is float16."""
    factors = [drawn(T, B, W, seed=k).astype(dtype) for k, dtype in enumerate(("int8", "uint8", "float16"))]
    m = made(common, gates=3, xs=factors, dtype="float16")
    assert_same_run(run(m), run(m, unroll=True), forward=4e-14, backward=4e-14)


def test_the_same_piece_twice():
    def cell(p, state, xs):
        (h,), (_, first) = state, xs
        u = h @ p["U"]
        again = tg.concatenate([u * first, u * first, u, u * first], axis=1)
        h = tg.tanh(again @ p["out"])
        return (h,), again

    compared(made(cell, gates=1, out=drawn(4 * W, W), xs=[drawn(T, B, W)]))


def test_pieces_that_are_outputs():
    """δ f₁ and δ f₂ are joined, and are the cotangents of xs too."""

    def cell(p, state, xs):
        (h, c), (_, first, second, third) = state, xs
        a = h @ p["U"]
        q = (parts(a)[0] + third) * first + (parts(a)[1] + third) * second
        return (tg.tanh(q), parts(a)[2] + third), (q * c, tg.concatenate([h, c], axis=1))

    compared(made(cell, 2, xs=[drawn(T, B, W, seed=k) for k in range(3)]))


# --------------------------------------------------------------------------------------------- products cut into blocks


@pytest.fixture
def blocks(request, monkeypatch):
    """Products with at least four rows are cut into so many blocks of rows and columns, whatever is best."""
    r, k = request.param

    def cut(rows, inner, columns, dtype):
        return (r, k if columns % k == 0 else 1) if rows == B else (1, 1)

    monkeypatch.setattr(statements, "best_blocks", cut)
    forget()
    yield r, k
    forget()


in_all_ways = pytest.mark.parametrize("blocks", [(1, 3), (2, 1), (2, 3), (4, 1), (8, 3)], indirect=True)


@in_all_ways
@pytest.mark.parametrize("make", [lambda **options: made(lstm, 2, **options), made_gru], ids=["lstm", "gru"])
def test_products_in_blocks(make, blocks):
    m = make(steps=70)
    assert "_blocks" in source(m)
    compared(m)
    assert_equal(run(m, checkpoint=1).gradients, run(m).gradients)


@in_all_ways
def test_products_in_blocks_of_all_kinds_of_places(blocks):
    """Of a view of the carry, of a part of a gate, of a value that is new in each step, of the carry that stays put."""

    def cell(p, state, xs):
        (h, c), (x,) = state, xs
        a = (h[:, ::-1] @ p["U"] + x @ p["V"]) + tg.cumsum(h, axis=1) @ p["U"]
        i, f, g, o = parts(tg.tanh(a))
        c = tg.tanh(c @ p["out"] + f @ p["out"] + (i * g)[::-1] @ p["out"])
        return (tg.tanh(o + c), c), None

    m = made(cell, 2, steps=20, out=drawn(W, W))
    assert "_blocks" in source(m)
    compared(m)
    compared(m, reverse=True, checkpoint=1)


def test_what_is_best_gives_the_same_product(monkeypatch):
    """Measured, for sizes that are too small to be measured otherwise."""
    blocking = importlib.import_module("tinygrad_rnn.scan.blocking")
    monkeypatch.setattr(blocking, "_TINY", 0)
    blocking.best_blocks.cache_clear()
    forget()
    try:
        compared(made(lstm, 2, gates=4, rows=16, steps=20))
        r, k = blocking.best_blocks(16, 3, 64, np.dtype(float))
        assert 16 // r >= 4
        assert 64 // k >= 16
    finally:
        blocking.best_blocks.cache_clear()
        forget()


# --------------------------------------------------------------------------------------------------------------- memory


@primitive("general", [lambda ct: handed_on(ct)], batch=lambda x: handed_on(x))
def handed_on(x):
    return x


@primitive("general", [lambda ct: handed_on_step_by_step(ct)])
def handed_on_step_by_step(x):
    return x


@primitive("linear", [lambda ct: turned(ct)], batch=lambda x: turned(x))
def turned(x):
    return x[..., ::-1]


@pytest.mark.parametrize("same", [handed_on, handed_on_step_by_step, turned], ids=lambda f: f.__name__)
def test_memory_is_not_used_again_while_something_looks_at_it(same):
    """What a function gives may be its argument, or a view of it."""

    def cell(p, state, xs):
        (h, c), (x,) = state, xs
        i, f, g, o = parts(same(before(p, h, x)))
        i, f, g, o = tg.sigmoid(same(i)), same(tg.sigmoid(f)), tg.tanh(g), same(tg.sigmoid(o))
        kept = same(c)
        new = f * kept + i * same(g) + 0.1
        return (o * tg.tanh(same(new)), new * 0.9), (same(kept) - new, same(f * i))

    for rows in (2, B):
        compared(made(cell, 2, rows=rows, steps=70))


def test_a_join_is_there_from_its_first_piece_on():
    """Before, in and after the loop: what dies between the first piece and the last has the join's shape."""

    def cell(p, state, xs):
        (h,), (_, x) = state, xs

        def joined(v):
            first = tg.sin(v)
            wide = tg.cos(v @ p["U"])
            return tg.concatenate([first, wide[:, :W] * wide[:, W:]], axis=1)

        new = tg.tanh((joined(h) + joined(x)) @ p["out"])
        return (new,), tg.sin(joined(new) @ p["out"])

    m = made(cell, gates=2, steps=70, xs=[drawn(70, B, W)], out=drawn(2 * W, W))
    compared(m)
    assert_same_run(run(m, wanted=()), run(m, wanted=(), unroll=True), forward=4e-14)


def test_carries_that_change_places():
    def cell(p, state, xs):
        (h, c, d), (x,) = state, xs
        i, f, g, o = parts(before(p, h, x))
        return (c[::-1], tg.tanh(i * h + f), c), (d[:, ::-1], g * o)

    m = made(cell, 3, steps=70)
    compared(m)
    compared(m, reverse=True, checkpoint=3)
    assert_same_run(run(m, wanted=()), run(m, wanted=(), unroll=True), forward=4e-14)


def test_the_old_carry_is_read_when_the_new_one_is_there():
    def cell(p, state, xs):
        (h, c), (x,) = state, xs
        i, f, g, o = parts(tg.sigmoid(before(p, h, x)))
        new = i * c + g
        left = f * c
        return (tg.tanh(left + o), new), None

    m = made(cell, 2, steps=70)
    compared(m)
    assert_same_run(run(m, wanted=()), run(m, wanted=(), unroll=True), forward=4e-14)


def test_an_index_of_nothing():
    """x[()] is x."""

    def cell(p, state, xs):
        h = tg.tanh((state[0] @ p["U"])[()] + xs[0] @ p["V"])
        return (h,), None

    compared(made(cell, gates=1), wanted=())


@in_all_ways
def test_checkpoints_where_a_product_is_kept_or_a_piece(blocks):
    """What is kept for the backward has a place of its own, else it is written where it is joined: the same bits."""

    def cell(p, state, xs):
        first = state[0] @ p["U"]
        joined = tg.concatenate([first, state[0] @ p["V2"]], axis=1)
        h = tg.tanh(joined @ p["out"] + tg.sin(first) + xs[0] @ p["V"])
        return (h,), None

    m = made(cell, gates=1, steps=70, V2=drawn(W, W, seed=1), out=drawn(2 * W, W))
    got, want = run(m, checkpoint=1), run(m)
    assert_equal((got.carry, got.gradients), (want.carry, want.gradients))
