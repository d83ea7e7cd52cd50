"""What a reviewer broke: cells that once compiled to something else than they say, each against the unrolled loop."""

import random
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn.primitive import primitive
from tinygrad_rnn.tree import leaves


def leaf(a, dtype=float, name=None):
    return tg.tensor(np.array(a, dtype), requires_grad=True, name=name)


def both(make, rtol=1e-9, atol=1e-12):
    """Compiled and unrolled: `make` gives the arguments of scan and, by name, what to take gradients by."""
    got, want = [], []
    for unroll, found in ((False, got), (True, want)):
        arguments, by, *loss = make()
        carry, ys = tg.scan(*arguments, unroll=unroll)
        outputs = leaves((carry, ys))
        found += [t.data for t in outputs]
        total = loss[0](carry, ys) if loss else sum(_weighted(t) for t in outputs if t.dtype.kind == "f")
        if by:
            total.backward()
        found += [np.zeros(t.shape, t.dtype) if t.grad is None else t.grad for t in by]
    for g, w in zip(got, want, strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        assert_allclose(g, w, rtol=rtol, atol=atol)
    return got


def _weighted(t):
    return (t * np.cos(np.arange(t.size)).reshape(t.shape).astype(t.dtype)).sum()


XS = np.linspace(-1, 1, 16).reshape(8, 2)

# -------------------------------------------------------------------------------------------- cells that aren't pure

PICKS = {
    "one of two leaves": lambda b, c, k: (b, c)[k],
    "a row": lambda b, c, k: tg.stack([b, c])[k],
    "a multiple": lambda b, c, k: b * (k + 1.0) + c,
    "a result": lambda b, c, k: (b * 2.0, c * 2.0)[k],
}


@pytest.mark.parametrize("pick", PICKS.values(), ids=list(PICKS))
def test_equal_numbers_are_not_the_same_parameter(pick):
    def make():
        b, c, count = leaf(np.zeros(2)), leaf(np.zeros(2)), iter(range(99))

        def cell(h, x):
            h = tg.tanh(h + x + pick(b, c, next(count) % 2))
            return h, h

        return (cell, leaf([0.1, 0.2]), XS), [b, c]

    both(make)


def test_rows_of_one_parameter():
    def make():
        b, count = leaf(np.zeros((2, 2))), [0]

        def cell(h, x):
            count[0] += 1
            h = tg.tanh(h + x + b[count[0] % 2])
            return h, h

        return (cell, leaf([0.1, 0.2]), XS), [b]

    both(make)


class Alternating:
    """h ← tanh(w h + x), with one weight in even steps and one in odd ones."""

    def __init__(self, weights):
        self.weights, self.t = weights, 0

    def __call__(self, h, x):
        w, self.t = self.weights[self.t], (self.t + 1) % 2
        return tg.tanh(h * w + x), h


def test_weights_that_were_tied():
    cells = [Alternating([w, w]) for w in (leaf([0.3, 0.4]), leaf([0.3, 0.4]))]
    for second in (None, leaf([0.9, 0.1])):
        runs = []
        for cell, unroll in zip(cells, (False, True), strict=True):
            cell.weights[1] = cell.weights[1] if second is None else second
            runs.append(tg.scan(cell, leaf([0.1, 0.2]), XS, unroll=unroll)[1].data)
        assert_allclose(*runs)


@pytest.mark.parametrize("kind", ["variable", "list"])
def test_a_cell_that_counts_its_steps(kind):
    def make():
        count, steps = 0, []

        def cell(h, x):
            nonlocal count
            if kind == "list":
                steps.append(1)
            else:
                count += 1
            return (tg.tanh(h + x) if max(count, len(steps)) <= 2 else h * 0.5), h

        return (cell, leaf([0.1, 0.2]), XS), []

    both(make)


@pytest.mark.xfail(strict=True, reason="writes to a leaf's array during the capture aren't found out")
def test_a_cell_that_writes_to_a_parameter():
    def make():
        w = leaf([0.3, 0.4])

        def cell(h, x):
            w.data[...] *= 1.1
            return tg.tanh(h * w + x), h

        return (cell, np.array([0.1, 0.2]), XS), []

    with tg.no_grad():
        both(make)


def test_the_same_code_with_other_weights_in_each_step():
    weights = [leaf([0.3, 0.4])] * 8, [leaf([0.1 * k, 0.2]) for k in range(8)]
    for ws in weights:

        def make(ws=ws):
            pop = list(ws).pop

            def cell(h, x):
                return tg.tanh(h * pop() + x), h

            for w in ws:
                w.grad = None
            return (cell, leaf([0.1, 0.2]), XS), ws

        both(make)


@pytest.mark.parametrize("within", [False, True])
def test_an_array_that_the_cell_writes_to(within):
    def make():
        buffer = np.zeros(2)

        def cell(h, x):
            buffer[...] += 1
            a = h * buffer
            if within:
                buffer[...] *= 0.5
            return tg.tanh(a + x * buffer), h

        return (cell, leaf([0.1, 0.2]), XS), []

    both(make)


def coin_of_a_helper(seed):
    rng = np.random.default_rng(seed)

    def heads():
        return float(rng.random() < 0.5)

    return heads


class Coin:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def __call__(self):
        return float(self.rng.random() < 0.5)


COINS = {
    "helper": coin_of_a_helper,
    "object": Coin,
    "bound": lambda seed: np.random.default_rng(seed).standard_normal,
    "list": lambda seed: [Coin(seed)][0].__call__,
}


@pytest.mark.parametrize("coin", COINS.values(), ids=list(COINS))
def test_a_coin_that_falls_on_one_side_twice(coin):
    for seed in range(6):

        def make(seed=seed):
            heads = coin(seed)
            return (lambda h, x: (tg.tanh(h * (heads() > 0.25) + x), h), leaf([0.1, 0.2]), XS), []

        both(make)


def test_layer_drop_after_evaluation():
    drops = False

    def cell(h, x):
        if drops and random.random() < 0.5:
            return h * 1.0, h
        return tg.tanh(h + x), h

    tg.scan(cell, np.zeros(2), XS)
    drops = True
    for seed in range(6):
        runs = []
        for unroll in (False, True):
            random.seed(seed)
            runs.append(tg.scan(cell, np.zeros(2), XS, unroll=unroll)[1].data)
        assert_allclose(*runs)


def test_a_parameter_used_in_many_ways_is_compared_in_no_time():
    w = leaf([0.1, 0.2])

    def cell(h, x):
        c = w
        for _ in range(40):
            c = (c + c) * 0.5
        return tg.tanh(h + c + x), h

    start = time.perf_counter()
    tg.scan(cell, np.zeros(2), XS)
    assert time.perf_counter() - start < 2


# --------------------------------------------------------------------------------------------------- what is computed


@primitive("elementwise", [lambda ct, x: ct * tg.where(x > 0, 1.0, 0.0)])
def sqrt(x):
    """Not NumPy's."""
    return np.where(x > 0, x, 0.0)


def test_an_operation_of_ones_own_with_the_name_of_numpys():
    both(lambda: ((lambda h, x: (sqrt(h) + x, h), leaf([0.5, -0.3]), XS), []))


def test_outputs_that_nothing_uses_have_no_infinite_derivative():
    def make():
        h, x = leaf([0.5, 0.1]), leaf([[1, 2], [3, 1], [0, 0]])
        return (lambda h, x: (tg.sqrt(h * x), (tg.log(x), h)), h, x), [h, x], lambda carry, ys: ys[1].sum()

    with np.errstate(all="ignore"):
        *_, by_h, by_x = both(make)
    assert np.isfinite(by_h).all()
    assert np.isfinite(by_x).all()


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (1, 3)])
def test_what_is_the_same_in_all_steps_is_made_anew_in_order(shape):
    def make():
        a, b = leaf(np.linspace(0.2, 0.9, shape[1])), leaf(np.linspace(-0.5, 0.8, shape[1]))
        h = leaf(np.linspace(-1, 1, shape[0] * shape[1]).reshape(shape))

        def cell(h, x):
            q = -(h * a)
            r = q * b
            return tg.tanh(r + 0.4 * h), (tg.tanh(q), r * 0.5)

        return (cell, h, np.ones(20)), [a, b, h]

    both(make)


def test_multiples_of_parts_that_overlap():
    def make():
        w = leaf(np.linspace(-1, 1, 16).reshape(4, 4), np.float32)

        def cell(h, x):
            z = h @ w + x
            a, b = z[:3] * 2.0, z[1:] * 3.0
            return tg.tanh(h + tg.concatenate([a, b[:1]])), (a, b)

        return (cell, leaf([0.1, 0.2, 0.3, 0.4], np.float32), np.ones((5, 4), np.float32)), [w]

    both(make, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_a_part_of_joined_values_has_their_common_type(dtype):
    def make():
        def cell(h, x):
            part = tg.concatenate([x, h])[:2]
            return tg.tanh(h + part / 3), (part, part * 2, part * part)

        return (cell, leaf([0.1, 0.2]), np.full((5, 2), 200, dtype)), []

    both(make)


def test_neighbours_beside_a_part_of_another_shape():
    def make():
        m, v = leaf(np.arange(12.0).reshape(2, 6) / 10), leaf(np.arange(6.0) / 7)

        def cell(h, x):
            b, a = (v * h)[:3], tg.tanh(h * m + 0.1)
            p, q = tg.maximum(a[:, :3], b), tg.maximum(a[:, 3:], b)
            return tg.tanh(h + p.sum() - q.sum() + x), (p, q)

        return (cell, leaf(0.3), np.linspace(0, 1, 4)), [m, v]

    both(make)


@pytest.mark.parametrize(("dtype", "columns"), [(np.float32, 4), (np.float64, 8)])
def test_negative_columns(dtype, columns):
    """NumPy 2.4's `negative` errs where both arrays have strides, x's of 16 bytes in float32, of 64 in float64."""

    def make():
        h = leaf(np.linspace(-1, 1, 3 * columns).reshape(3, columns), dtype)

        def cell(h, x):
            v = tg.tanh(h + 1)
            parts = [-v[..., k : k + 1] for k in range(columns)]
            joined = tg.concatenate([*parts[1::2], *parts[::2]], -1)
            return tg.tanh(0.4 * h + joined), (parts[0], parts[1])

        return (cell, h, None, 5), [h]

    both(make, rtol=1e-4 if dtype is np.float32 else 1e-9, atol=1e-6)


def test_products_with_stacks_and_of_matrices_with_vectors():
    def make():
        m, n, w = leaf(np.linspace(-1, 1, 8).reshape(2, 2, 2)), leaf(np.eye(2)[None]), leaf([0.5, 0.2])

        def cell(h, x):
            return tg.tanh(h @ x + 0.1), (h @ m, m @ h, h @ n, h @ w, w @ h)

        return (cell, leaf([[0.1, 0.2], [0.3, 0.4]]), np.linspace(-1, 1, 80).reshape(20, 2, 2)), [m, n, w]

    both(make)


@pytest.mark.parametrize(("batch", "features", "size"), [(2, 0, 3), (2, 3, 0), (0, 3, 3)])
def test_nothing_along_an_axis(batch, features, size):
    def make():
        w = leaf(np.ones((features, size)))
        return (lambda h, x: (tg.tanh(h + x @ w), h), leaf(np.ones((batch, size))), np.ones((4, batch, features))), [w]

    both(make)


def test_comparisons_of_small_integers_with_numbers_beyond_them():
    pixels = np.arange(8, dtype=np.uint8).reshape(4, 2)
    both(lambda: ((lambda h, x: (tg.where(x > -1, h + 1, h), (x > -1, x < 300)), leaf([0.1, 0.2]), pixels), []))


def test_masks_of_neighbours():
    def make():
        w = leaf(np.linspace(-1, 1, 8).reshape(2, 4))

        def cell(h, x):
            a, b = tg.split(h @ w, 2)
            a, b, up, down = tg.where(a > 0, a, 0.1 * a), tg.where(b > 0, b, 0.1 * b), a > 0, b > 0
            return tg.tanh(a + b + x), (a, b, up, down)

        return (cell, leaf([0.1, 0.2]), XS), [w]

    both(make)


def test_second_derivatives_past_a_detached_value():
    def f(w, unroll):
        h, ys = tg.scan(lambda h, x: (tg.tanh(h.detach() * w + x), (h * w).detach()), np.ones(2), XS, unroll=unroll)
        return h.sum() + ys.sum()

    found = [tg.hessian(lambda w, unroll=unroll: f(w, unroll))(np.array([0.3, 0.4])).data for unroll in (False, True)]
    assert_allclose(*found)


NAMES = ["zip", "n", "W²", "h₁", "𝐖", "ﬁ", "None", "x\ny", "9", "add"]


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_names_that_are_no_names_in_python(number):
    def make():
        w, v, u = leaf([0.3, 0.4], name=NAMES[number]), leaf([0.1, 0.7], name="W"), leaf([0.2, 0.6], name="fi")
        # Another number in each: the names are those of the first cell of its structure.
        k = 1.5 + number
        return (lambda h, x: (tg.tanh(h * w + x * v + u * k), h * u * k), leaf([0.1, 0.2]), XS), [w, v, u]

    both(make)


def test_a_compensated_sum_stays_one():
    def cell(carry, x):
        total, error = carry
        y = x - error
        t = total + y
        return (t, (t - total) - y), None

    zero = np.float32(0)
    (total, _), _ = tg.scan(cell, (tg.tensor(zero), tg.tensor(zero)), np.full(20_000, 0.1, np.float32))
    assert total.item() == pytest.approx(2000, abs=1e-3)


def test_a_backward_step_that_reads_products_of_parts():
    def make():
        w, c = leaf(np.eye(2) + 0.1, np.float32), leaf([0.5, 0.2], np.float32)
        carry = leaf([[0.1, 0.2]], np.float32), leaf([[0.3]], np.float32)
        xs = leaf(np.linspace(-1, 1, 9)[:, None], np.float32)

        def cell(carry, x):
            v = tg.where(w > x, w, x * 0.5) @ c
            p, q = v[:1] ** 2, v[1:] ** 2
            a, b = carry
            return (tg.tanh(0.4 * a + (p - b)), tg.tanh(0.4 * b + p * q)), q

        return (cell, carry, xs), [w, c, *carry, xs]

    both(make, rtol=1e-4, atol=1e-5)


def test_results_share_no_memory_with_what_came_in():
    whole = np.arange(20.0).reshape(10, 2)
    for reverse in (False, True):
        _, ys = tg.scan(lambda h, x: (h + x, (x, x[:1], h)), np.zeros(2), whole[2:6], reverse=reverse)
        assert not any(np.shares_memory(y.value, whole) for y in leaves(ys))


def test_a_gradient_that_is_written_to_harms_no_second_backward():
    w, x = leaf([0.3, 0.4]), leaf(XS)
    (h, g), ys = tg.scan(lambda c, x: ((tg.tanh(c[0] * w + c[1] + x), c[1]), c[0]), (leaf([0, 0]), leaf([1, 1])), x)
    loss = (h + g).sum() + (ys * ys).sum()
    loss.backward(retain_graph=True)
    first = [t.grad.copy() for t in (w, x)]
    for t in (w, x):
        t.grad[...] = 77
        t.grad = None
    loss.backward()
    for t, before in zip((w, x), first, strict=True):
        assert_allclose(t.grad, before, rtol=0, atol=0)


# ------------------------------------------------------------------------------------------------- a second reviewer's

NINE = np.random.default_rng(0).normal(size=(9, 2, 3))


@pytest.mark.parametrize("made", [lambda n, h, x: (x > 0).astype(float) * x, lambda n, h, x: x])
@pytest.mark.parametrize("checkpoint", [None, 3])
def test_a_result_without_a_gradient_may_be_written_to(made, checkpoint):
    found = []
    for options in ({"checkpoint": checkpoint}, {"unroll": True}):
        W = leaf(np.eye(3) / 2)

        def cell(h, x, W=W):
            m = made(None, h, x)
            return tg.tanh(tg.inner(h, W) * m + x), m

        h, ms = tg.scan(cell, np.zeros((2, 3)), NINE, **options)
        ms.data[...] = -1
        h.sum().backward()
        found.append(W.grad)
    assert_allclose(found[0], found[1], rtol=1e-12)


def test_results_are_apart_from_each_other():
    def cell(h, x):
        new = tg.tanh(h + x)
        return new, (new, h, new)

    h, (now, before, again) = tg.scan(cell, np.zeros((2, 3)), NINE)
    kept = [t.data.copy() for t in (h, before, again)]
    now.data[...] = 0
    for t, was in zip((h, before, again), kept, strict=True):
        np.testing.assert_array_equal(t.data, was)


@pytest.mark.parametrize("carried", [False, True])
def test_what_nothing_leads_to_gets_no_gradient(carried):
    """Zeros times the infinite slope of the square root outside of the loop would be NaN."""
    found = []
    for unroll in (False, True):
        p, w = leaf([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]] * 3), leaf(0.5)

        def cell(c, x, w=w):
            h, s = c
            h = tg.tanh(w * h + 0.1)
            return (h, s + x.sum() if carried else s), x.sum()

        (h, _), _ = tg.scan(cell, (np.ones(2), tg.tensor(0.0)), tg.sqrt(p), unroll=unroll)
        h.sum().backward()
        assert p.grad is None
        found.append(w.grad)
    assert_allclose(found[0], found[1], rtol=1e-14)


class Strength:
    def __init__(self, value):
        self.value = value


def test_rules_that_read_what_changes():
    table, strength = {"v": 1.0}, Strength(1.0)

    @primitive("elementwise", [lambda ct: ct * -table["v"]])
    def turned_back(x):
        return np.array(x)

    @primitive("elementwise", [lambda ct, how: ct * how.value])
    def weakened(x, *, how):
        return np.array(x)

    def make(weaker):
        W = leaf(np.eye(3) / 2)
        return (lambda h, x: (tg.tanh(weaker(h) @ W + x), h), np.zeros((2, 3)), NINE), [W]

    for value in (1.0, 0.1, 3.0):
        table["v"] = strength.value = value
        both(lambda: make(turned_back))
        both(lambda: make(lambda h: weakened(h, how=strength)))


def test_settings_of_other_types():
    @primitive("elementwise", [lambda ct, k: ct * k])
    def times(x, *, k):
        return np.asarray(x * k)

    for k in (np.float32(1), np.int64(1), np.float32(0), np.float32(-0.0)):
        _, ys = both(lambda k=k: ((lambda h, x: (h + x, times(h, k=k)), np.ones((2, 3), "f"), NINE.astype("f")), []))
        assert ys.dtype == np.result_type(np.float32, k)
        assert np.signbit(ys[0]).all() == np.signbit(k)


def test_factors_that_would_overflow_in_a_weight():
    for dtype, scale, weight, h in (("float16", 2000.0, 50, 1e-3), ("float32", 1e30, 1e10, 1e-25)):
        for how in (scale, tg.tensor(scale if dtype == "float32" else 1000.0, dtype)):

            def make(dtype=dtype, weight=weight, h=h, how=how):
                W, h0 = leaf(weight * np.eye(4), dtype), leaf(np.full((5, 4), h), dtype)
                return (lambda h, x: (tg.tanh(tg.inner(h, W) * how) * h0, None), h0, None, 9), [W, h0]

            with np.errstate(over="ignore", invalid="ignore"):
                assert all(np.isfinite(a).all() for a in both(make, rtol=2e-2 if dtype == "float16" else 1e-5, atol=0))


def test_gradients_turned_on_within_a_cell():
    for unroll in (False, True):
        w = leaf(0.5)

        def cell(h, x, w=w):
            with tg.enable_grad():
                h = tg.tanh(w * h + x)
            return h, h

        with tg.no_grad():
            h, _ = tg.scan(cell, 1.0, np.ones(9), unroll=unroll)
        assert h.requires_grad


def test_an_array_that_is_written_to_twice_in_each_step():
    buffer = np.zeros(3)

    def make():
        def cell(h, x):
            buffer[...] = 0.5
            h = h * buffer + x
            buffer[...] = 2.0
            return tg.tanh(h * buffer), h

        return (cell, np.ones(3), np.ones((9, 3))), []

    both(make)


@pytest.mark.parametrize("of", ["weight", "carry"])
def test_more_operations_in_a_step_than_python_nests_calls(of):
    def make():
        W = leaf(np.eye(2) / 2)

        def cell(h, x):
            w = W
            for _ in range(1200):
                h, w = (h, w * 1.0001) if of == "weight" else (h * 1.0001, w)
            h = tg.tanh(h @ w + x)
            return h, h

        return (cell, np.zeros(2), np.ones((9, 2))), [W]

    both(make)


def _inner(start, xs, **options):
    return tg.scan(lambda c, u: (tg.tanh(c + u), c * u), start, xs, **options)


INSIDE = {
    "over the weights": lambda h, x, W: tg.tanh(h + _inner(np.zeros(2), W)[0]),
    "over the weights, step by step": lambda h, x, W: tg.tanh(h + _inner(np.zeros(2), W, unroll=True)[0]),
    "over the weights, from the carry": lambda h, x, W: _inner(h, W)[0],
    "from zeros": lambda h, x, W: _inner(np.zeros(2), tg.stack([h, x]))[0] @ W,
    "in reverse": lambda h, x, W: tg.tanh(h + x + _inner(np.ones(2), W, reverse=True)[1][0]),
    "with checkpoints": lambda h, x, W: tg.tanh(h + x + _inner(np.ones(2), W, checkpoint=1)[1][0]),
    "a named constant": lambda h, x, W: tg.tanh(h @ W + x + tg.tensor([1.0, 2.0], name="shift")),
}


@pytest.mark.parametrize("name", INSIDE)
def test_loops_and_constants_inside_a_cell(name):
    def make():
        W = leaf([[0.5, -0.25], [1.0, 0.75]])

        def cell(h, x):
            h = INSIDE[name](h, x, W)
            return h, h

        return (cell, leaf([0.5, 1.0]), XS), [W]

    both(make)
    (cell, *arguments), _ = make()
    assert "is compiled" in tg.scan_program(cell, *arguments).explain()


def test_a_constant_with_a_name_that_is_another_one_in_each_step():
    """Also where the cell keeps what tells it where nobody sees that."""
    for hide in (
        lambda count: count,
        lambda count: type("Hidden", (), {"__slots__": (), "step": staticmethod(count)})(),
    ):

        def make(hide=hide):
            steps = iter(range(1000))
            hidden = hide(lambda: next(steps))

            def cell(h, x):
                k = hidden() if callable(hidden) else hidden.step()
                return h + tg.tensor(np.full(2, float(k // 3)), name="k"), h

            return (cell, np.zeros(2), XS), []

        for _ in range(3):
            both(make)


@pytest.mark.parametrize("unroll", [True, False])
def test_integers_made_of_what_needs_a_gradient(unroll):
    """An error each time, as elsewhere on the tape; without a gradient they are fine."""

    def cell(h, x):
        return tg.tanh(h + tg.astype(4 * h, "int32") * x), h

    for _ in range(3):
        with pytest.raises(
            TypeError, match="astype: only real floating-point results have a gradient, got dtype int32"
        ):
            tg.scan(cell, leaf([0.5, 1.0]), XS, unroll=unroll)
        got, _ = tg.scan(cell, np.array([0.5, 1.0]), XS, unroll=unroll)
        want, _ = tg.scan(cell, np.array([0.5, 1.0]), XS, unroll=True)
        assert got.tolist() == want.tolist()
