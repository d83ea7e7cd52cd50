"""No program outlives what it was made from: a loop gives what it would give unrolled, whatever changed since the last.

And a cell that does more than compute gives what its steps, run one after the other, give.
"""

import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.tree import leaves

from .cells import CELLS
from .runs import arrays, assert_close, assert_equal, gradients, run, tensors, weighted

has_program = pytest.mark.skipif(not hasattr(tg, "scan_program"), reason="there is no scan_program")


def leaf(values, dtype=None):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def outcome(cell, carry, xs, inputs, **options):
    """The arrays of a loop's results, and of its gradients by some inputs."""
    for t in inputs:
        t.grad = None
    last, ys = tg.scan(cell, carry, xs, **options)
    total = weighted(last, ys)
    if total.requires_grad:
        total.backward()
    return arrays((last, ys)), gradients(list(inputs))


def fresh_outcome(cell, carry, xs, inputs):
    """The compiled loop's outcome, which must be the unrolled one's."""
    got = outcome(cell, carry, xs, inputs)
    assert_close(got, outcome(cell, carry, xs, inputs, unroll=True), 1e-13)
    return got


def differ(one, other):
    return [a.shape for a in leaves(one)] != [a.shape for a in leaves(other)] or any(
        not np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True)
    )


# ---------------------------------------------------------------------------------------------------- what may change


def settings():
    """What the cell below closes over."""
    return SimpleNamespace(
        W=leaf(drawn(3, 4)),
        U=leaf(drawn(4, 4)),
        b=leaf(drawn(4)),
        scale=0.5,
        exponent=2,
        activation=tg.tanh,
        limits=(-0.5, 0.5),
        columns=slice(0, 2),
        axis=0,
        extra=False,
        residual=True,
        array=drawn(4, seed=1),
        mask=drawn(2, 4) > 0,
        order=[3, 0, 1, 2],
        constant=tg.tensor(drawn(4, seed=2)),
    )


def settled_cell(s):
    def cell(h, x):
        a = x @ s.W + h @ s.U + s.b * s.array
        new = s.activation(a) * s.scale + tg.where(s.mask, h, h**s.exponent) * 0.1
        if s.residual:
            new = new + h * s.constant
        y = (tg.clip(new, *s.limits)[:, s.columns], new.mean(axis=s.axis), new[:, s.order])
        return new, (*y, new * 2) if s.extra else y

    return cell


def written(name, value):
    def write(s):
        getattr(s, name)[...] = value

    return write


def assigned(**changes):
    return lambda s: vars(s).update(changes)


CHANGES = {
    "a parameter, written to": lambda s: s.W.data.__imul__(0.5),
    "one number of a parameter": lambda s: s.U.data.__setitem__((1, 2), 3.0),
    "a parameter's data, replaced": lambda s: setattr(s.U, "data", drawn(4, 4, seed=5)),
    "a parameter, replaced": lambda s: setattr(s, "b", leaf(drawn(4, seed=6))),
    "a parameter, made a tensor of two axes": lambda s: setattr(s, "b", leaf(drawn(2, 4, seed=6))),
    "a parameter, made a constant": lambda s: setattr(s, "constant", leaf(drawn(4, seed=7))),
    "a parameter that needs no gradient any more": lambda s: setattr(s.U, "requires_grad", False),
    "a number": assigned(scale=0.25),
    "a number, now whole": assigned(scale=2),
    "a number, now a tensor": assigned(scale=leaf(0.75)),
    "a number, now NumPy's": assigned(scale=np.float64(0.3)),
    "a number, now negative": assigned(scale=-0.5),
    "an exponent": assigned(exponent=3),
    "a function": assigned(activation=tg.sigmoid),
    "a function of its own": assigned(activation=lambda a: tg.sin(a) * tg.cos(a)),
    "limits": assigned(limits=(-0.1, 0.2)),
    "a slice": assigned(columns=slice(1, 4)),
    "a slice with the same number of columns": assigned(columns=slice(1, 3)),
    "an axis": assigned(axis=1),
    "a flag, for one more y": assigned(extra=True),
    "a flag, for one term less": assigned(residual=False),
    "an array, written to": written("array", 0.125),
    "an array, replaced": assigned(array=drawn(4, seed=8)),
    "an array, now of other strides": assigned(array=drawn(8, seed=8)[::2]),
    "a mask": assigned(mask=drawn(2, 4, seed=9) > 0),
    "a mask, written to": written("mask", True),
    "an order": lambda s: s.order.reverse(),
    "a constant, written to": lambda s: s.constant.data.__imul__(-1),
    "a constant, now a parameter": lambda s: setattr(s.constant, "requires_grad", True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_cell_closes_over_may_change(change):
    s = settings()
    cell, h, xs = settled_cell(s), leaf(drawn(2, 4)), leaf(drawn(5, 2, 3))
    before = fresh_outcome(cell, h, xs, [h, xs, s.W, s.U])
    assert_equal(outcome(cell, h, xs, [h, xs, s.W, s.U]), before)
    CHANGES[change](s)
    inputs = [h, xs, *[t for t in vars(s).values() if isinstance(t, tg.Tensor)]]
    after = fresh_outcome(cell, h, xs, inputs)
    flags = ("a parameter that needs no gradient any more", "a constant, now a parameter")
    assert change in flags or differ(after[0], before[0])
    assert_equal(outcome(cell, h, xs, inputs), after)


def test_all_changes_one_after_the_other():
    s = settings()
    h, xs = leaf(drawn(2, 4)), leaf(drawn(5, 2, 3))
    for change in CHANGES.values():
        change(s)
        fresh_outcome(settled_cell(s), h, xs, [h, xs, *[t for t in vars(s).values() if isinstance(t, tg.Tensor)]])


def test_shapes_and_dtypes_may_change():
    for dtype in (np.float64, np.float32, np.float64):
        for T, B, H in [(3, 2, 4), (3, 2, 5), (7, 2, 4), (1, 2, 4), (3, 1, 4), (3, 4, 2), (3, 2, 4)]:
            W, U = leaf(drawn(3, H), dtype), leaf(drawn(H, H), dtype)
            cell = lambda h, x, W=W, U=U: (lambda h: (h, h.sum()))(tg.tanh(x @ W + h @ U) / h.shape[1])  # noqa: E731
            h, xs = leaf(drawn(B, H), dtype), leaf(drawn(T, B, 3), dtype)
            (last, ys), _ = fresh_outcome(cell, h, xs, [W, U, h, xs])
            assert (last.dtype, ys.dtype, ys.shape) == (dtype, dtype, (T,))


def test_carry_and_xs_may_go_from_batched_to_not():
    w = leaf(drawn(4))
    cell = lambda h, x: (lambda h: (h, h))(tg.tanh(h * w + x))  # noqa: E731
    for shape in [(4,), (1, 4), (4, 4), (2, 4, 4), (4,)]:
        for x_shape in [(), (1,), (4,)]:
            fresh_outcome(cell, leaf(drawn(*shape)), leaf(drawn(3, *x_shape)), [w])


def test_the_nesting_may_change():
    def cell(carry, x):
        total = sum(leaves(x), sum(leaves(carry)))
        return like(carry, tg.tanh(total)), x

    def like(tree, value):
        if isinstance(tree, dict):
            return {k: like(part, value * (i + 1)) for i, (k, part) in enumerate(tree.items())}
        if isinstance(tree, (tuple, list)):
            return type(tree)(like(part, value / (i + 1)) for i, part in enumerate(tree))
        return value

    a, b = leaf(drawn(3)), leaf(drawn(3, seed=1))
    for carry in [a, (a,), [a], (a, b), (b, a), {"a": a, "b": b}, {"b": b, "a": a}, {"a": b, "b": a}, {"c": [a, (b,)]}]:
        for xs in [drawn(4, 3), (drawn(4, 3), drawn(4, 3)), {"x": drawn(4, 3)}]:
            fresh_outcome(cell, carry, xs, [a, b])


def test_what_needs_a_gradient_may_change():
    made = CELLS["lstm"].make(T=3)
    for wanted in [(), ("xs",), ("parameters",), ("carry",), ("parameters", "carry", "xs"), ("xs",), ()]:
        got, want = run(made, wanted), run(made, wanted, unroll=True)
        assert_close(got.gradients, want.gradients, 1e-13)


def test_no_grad_may_come_and_go():
    made = CELLS["gru_reset_after"].make()
    p, h, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
    cell = lambda c, x: made.cell(p, c, x)  # noqa: E731
    want = outcome(cell, h, xs, [h, xs], unroll=True)
    for _ in range(2):
        with tg.no_grad():
            last, ys = tg.scan(cell, h, xs)
        assert not last.requires_grad
        assert not ys.requires_grad
        assert_close(arrays((last, ys)), want[0], 1e-14)
        assert_close(outcome(cell, h, xs, [h, xs]), want, 1e-13)


def test_the_direction_may_change():
    made = CELLS["lstm"].make()
    for reverse in (False, True, False):
        got, want = run(made, reverse=reverse), run(made, reverse=reverse, unroll=True)
        assert_close((got.ys, got.gradients), (want.ys, want.gradients), 1e-13)


def test_constants_that_are_equal_but_not_the_same():
    """1, 1.0, True; 0.0 and −0.0: equal keys in a dictionary, other results."""
    h = leaf(drawn(3))
    for constant in (1, 1.0, True, np.float32(1), np.int8(1), np.ones(3), np.ones((1, 3)), np.ones(3, np.float32)):
        fresh_outcome(lambda h, x, c=constant: ((h * c).reshape(3), h / 2 * c), h, drawn(4), [h])
        single = leaf(drawn(3), np.float32)
        cell = lambda h, x, c=constant: ((h * c).reshape(3).astype(np.float32), h + c)  # noqa: E731
        fresh_outcome(cell, single, drawn(4), [single])
    for zero in (0.0, -0.0):
        _, ys = tg.scan(lambda h, x, c=zero: (h, tg.arctan2(tg.abs(h) * c, -1.0)), h, drawn(4))
        assert_array_equal(np.sign(ys.data), np.full((4, 3), 1.0 if str(zero) == "0.0" else -1.0))


def test_cells_that_look_alike():
    """The same function object with another closure, defaults, or globals; other functions of the same name."""
    h, xs = leaf(drawn(3)), drawn(4, 3)
    results = []
    for k in range(3):

        def cell(h, x, by=1 + k, k=k):
            h = tg.tanh(h * by + x * k)
            return h, h

        results.append(fresh_outcome(cell, h, xs, [h]))
    functions = (tg.tanh, tg.sin, tg.sigmoid, lambda a: a * a)
    results += [fresh_outcome(lambda h, x, f=f: (f(h + x), h), h, xs, [h]) for f in functions]
    for one, other in itertools.combinations(results, 2):
        assert differ(one[0], other[0])


def test_products_that_differ_in_their_order_only():
    h, xs = leaf(drawn(4, 4)), leaf(drawn(3, 4, 4))
    W, U = leaf(drawn(4, 4, seed=1)), leaf(drawn(4, 4, seed=2))
    cells = [
        lambda h, x: (tg.tanh(x @ W + h @ U), h),
        lambda h, x: (tg.tanh(W @ x + U @ h), h),
        lambda h, x: (tg.tanh(x @ U + h @ W), h),
        lambda h, x: (tg.tanh(x @ W.T + h @ U), h),
        lambda h, x: (tg.tanh(x @ W + h @ U), x),
        lambda h, x: (tg.tanh(x @ W + h @ W), h),
        lambda h, x: (tg.tanh(x @ W - h @ U), h),
        lambda h, x: (tg.tanh(h @ U - x @ W), h),
    ]
    results = [fresh_outcome(cell, h, xs, [h, xs, W, U]) for cell in cells]
    for one, other in itertools.combinations(results, 2):
        assert differ(one, other)


class Dropping(nn.Module):
    """A module whose result depends on its mode, and on attributes."""

    def __init__(self):
        self.W, self.U = leaf(drawn(3, 4)), leaf(drawn(4, 4))
        self.keep = 0.5
        self.inner = nn.Linear(4, 4, rng=0, dtype=np.float64)

    def forward(self, h, x):
        a = x @ self.W + h @ self.U
        h = tg.tanh(self.inner(a) if self.training else a * self.keep)
        return h, h


def test_a_module_s_mode_and_attributes_may_change():
    module, h, xs = Dropping(), leaf(drawn(2, 4)), leaf(drawn(5, 2, 3))
    results = []
    for change in [
        lambda: None,
        lambda: setattr(module, "training", False),
        lambda: setattr(module, "keep", 0.25),
        lambda: setattr(module, "U", leaf(drawn(4, 4, seed=3))),
        lambda: setattr(module, "training", True),
        lambda: module.inner.weight.data.__imul__(2),
        lambda: setattr(module, "inner", lambda a: a),
    ]:
        change()
        inputs = [h, xs, module.W, module.U]
        results.append(fresh_outcome(module, h, xs, inputs))
    for one, other in itertools.pairwise(results):
        assert differ(one, other)


def test_the_default_dtype_may_change():
    def cell(h, x):
        more = tg.ones(3) * 0.1
        return tg.tanh(h + x), (h * more, more)

    h = leaf(drawn(3), np.float32)
    xs = drawn(4, 3).astype(np.float32)
    for dtype in (np.float32, np.float64, np.float32):
        with tg.default_dtype(dtype):
            (_, (product, more)), _ = fresh_outcome(cell, h, xs, [h])
        assert (product.dtype, more.dtype) == (dtype, dtype)


def test_training_by_writing_to_parameters():
    """Twenty steps down the gradient: each sees the parameters as the last one left them."""
    made = CELLS["rnn_tanh"].make()

    def trained(**options):
        p = tensors(made.parameters)
        losses = []
        for _ in range(20):
            _, ys = tg.scan(lambda h, x: made.cell(p, h, x), made.carry, made.xs, **options)
            loss = ((ys - 0.3) ** 2).sum()
            loss.backward()
            losses.append(loss.item())
            for t in p.values():
                t.data[...] -= 0.05 * t.grad
                t.grad = None
        return losses

    got = trained()
    np.testing.assert_allclose(got, trained(unroll=True), rtol=1e-10)
    assert got[-1] < got[0] / 2


# ----------------------------------------------------------------------------------- cells that do more than to compute


def draws_from_numpy():
    state = np.random.RandomState(4)
    return lambda h, x: (tg.tanh(h * state.uniform(0.5, 1) + x), h)


def draws_from_the_global_state():
    np.random.seed(4)
    return lambda h, x: (tg.tanh(h + x * (np.random.rand(3) < 0.5)), h)


def draws_from_a_generator():
    rng = np.random.default_rng(4)
    return lambda h, x: (tg.tanh(h + x + rng.standard_normal(3)), h)


def draws_a_mask_for_where():
    rng = np.random.default_rng(4)
    return lambda h, x: (tg.where(rng.random(3) < 0.5, tg.tanh(h + x), h), h)


def draws_tensors():
    rng = tg.random.default_rng(4)
    return lambda h, x: (tg.tanh(h + x + rng.normal(size=3)), h)


def draws_y_only():
    rng = np.random.default_rng(4)
    return lambda h, x: (tg.tanh(h + x), h * rng.random())


def counts():
    steps = itertools.count(1)
    return lambda h, x: (tg.tanh(h / next(steps) + x), h)


def counts_and_chooses():
    steps = itertools.count()
    return lambda h, x: ((tg.tanh if next(steps) % 2 else tg.sin)(h + x), h)


def remembers_in_a_variable():
    last = 0.0

    def cell(h, x):
        nonlocal last
        new = tg.tanh(h + x + last)
        last = h.item() if h.size == 1 else float(h.detach().sum())
        return new, h

    return cell


def remembers_a_tensor():
    """A second carry, on the sly."""
    kept = [tg.zeros(3)]

    def cell(h, x):
        new = tg.tanh(h + x + kept[-1])
        kept.append(h)
        return new, h

    return cell


def remembers_a_tensor_of_the_input():
    kept = [tg.zeros(3)]

    def cell(h, x):
        new = tg.tanh(h + x * kept[-1])
        kept[:] = [x]
        return new, h

    return cell


def writes_to_its_array():
    array = np.ones(3)

    def cell(h, x):
        array[...] = array * 0.5
        return tg.tanh(h * array.copy() + x), h

    return cell


def counts_in_an_attribute():
    class Counting(nn.Module):
        def __init__(self):
            self.steps = 0

        def forward(self, h, x):
            self.steps += 1
            return tg.tanh(h + x / self.steps), h

    return Counting()


def branches_on_the_carry():
    return lambda h, x: (tg.tanh(h + x) if h.sum() > 0 else tg.sin(h - x), h)


def branches_on_the_input():
    return lambda h, x: (tg.tanh(h + x) if x[0] > 0 else tg.sin(h - x), h)


def branches_by_item():
    return lambda h, x: (tg.tanh(h + x) if h[0].item() > 0 else tg.sin(h - x), h)


def branches_on_data():
    return lambda h, x: (tg.tanh(h + x) if np.any(h.data > 0.5) else h + 0.3, h)


def loops_by_an_integer():
    def cell(h, x):
        for _ in range(int(tg.abs(x[0].detach() * 4).item())):
            h = tg.tanh(h + x)
        return h, h

    return cell


def uses_a_float():
    return lambda h, x: (tg.tanh(h * float(x[0].detach()) + x), h)


def uses_an_array():
    return lambda h, x: (tg.tanh(h + x * np.asarray(x.detach())[::-1]), h)


def chooses_the_largest():
    return lambda h, x: (tg.tanh(h + x) * h[int(np.argmax(h.detach()))], h)


def sorts():
    return lambda h, x: (tg.tanh(h + x)[np.argsort(h.data)], h)


def has_as_many_numbers_as_are_positive():
    return lambda h, x: (tg.tanh(h + x + h[h.data > 0].sum()), h)


def raises_and_catches():
    def cell(h, x):
        try:
            return tg.tanh(h + x) * {True: 0.5}[bool(h[0] > 0)], h
        except KeyError:
            return tg.sin(h + x), h

    return cell


EFFECTS = [
    draws_from_numpy,
    draws_from_the_global_state,
    draws_from_a_generator,
    draws_a_mask_for_where,
    draws_tensors,
    draws_y_only,
    counts,
    counts_and_chooses,
    remembers_in_a_variable,
    remembers_a_tensor,
    remembers_a_tensor_of_the_input,
    writes_to_its_array,
    counts_in_an_attribute,
]
READERS = [
    branches_on_the_carry,
    branches_on_the_input,
    branches_by_item,
    branches_on_data,
    loops_by_an_integer,
    uses_a_float,
    uses_an_array,
    chooses_the_largest,
    sorts,
    has_as_many_numbers_as_are_positive,
    raises_and_catches,
]
each = pytest.mark.parametrize("make", EFFECTS + READERS, ids=lambda make: make.__name__)


@each
@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_that_does_more_than_compute_gives_what_its_steps_give(make, reverse):
    h, xs = leaf(drawn(3)), leaf(drawn(7, 3, seed=1))
    want = outcome(make(), h, xs, [h, xs], reverse=reverse, unroll=True)
    for _ in range(2):
        assert_close(outcome(make(), h, xs, [h, xs], reverse=reverse), want, 1e-14)
    with tg.no_grad():
        assert_close(arrays(tg.scan(make(), h, xs, reverse=reverse)), want[0], 1e-14)


@each
def test_a_cell_that_does_more_than_compute_gives_it_with_checkpoints_too(make):
    h, xs = leaf(drawn(3)), leaf(drawn(7, 3, seed=1))
    want = outcome(make(), h, xs, [h, xs], unroll=True)
    assert_close(outcome(make(), h, xs, [h, xs], checkpoint=2), want, 1e-14)


@has_program
@each
def test_why_a_cell_is_not_compiled(make):
    program = tg.scan_program(make(), leaf(drawn(3)), leaf(drawn(7, 3)))
    assert not program.compiled
    assert len(program.explain().split()) > 5


@has_program
def test_an_explanation_names_the_place():
    """The line of the cell that reads a value."""

    def cell(h, x):
        h = tg.tanh(h + x)
        if h.sum() > 0:
            h = h * 2
        return h, h

    assert "test_fresh.py" in tg.scan_program(cell, leaf(drawn(3)), leaf(drawn(7, 3))).explain()


def test_a_cell_that_prints(capsys):
    h, xs = leaf(drawn(3)), leaf(drawn(7, 3))

    def cell(h, x):
        print(f"{h.detach().sum().item():.12f}")
        return tg.tanh(h + x), h

    printed = []
    for unroll in (True, False):
        tg.scan(cell, h, xs, unroll=unroll)
        printed.append(capsys.readouterr().out.split())
    assert len(printed[0]) == 7
    assert printed[1] == printed[0]


def test_a_cell_that_warns_of_a_float():
    def cell(h, x):
        return tg.tanh(h * float(h[0]) + x), h

    h, xs = leaf(drawn(3)), leaf(drawn(4, 3))
    found = []
    for unroll in (True, False):
        with pytest.warns(UserWarning, match="no gradient flows through a Python number"):
            found.append(outcome(cell, h, xs, [h, xs], unroll=unroll))
    assert_close(found[1], found[0], 1e-14)


@pytest.mark.parametrize("stored", [lambda h, new: h, lambda h, new: new, lambda h, new: new * 2])
def test_a_cell_that_stores_a_tensor_away(stored):
    """What it stored are the steps' tensors, to be read and differentiated like any."""
    h, xs = leaf(drawn(3)), leaf(drawn(5, 3))
    found = []
    for unroll in (True, False):
        kept = []

        def cell(h, x, kept=kept):
            new = tg.tanh(h * 0.7 + x)
            kept.append(stored(h, new))
            return new, None

        h.grad = xs.grad = None
        last, _ = tg.scan(cell, h, xs, unroll=unroll)
        weighted(last, kept[-5:]).backward()
        found.append((arrays((last, kept[-5:])), gradients([h, xs])))
    assert_close(found[1], found[0], 1e-14)


def test_a_cell_that_is_called_as_often_as_there_are_steps():
    """Where calling it has an effect that others can see."""
    for unroll in (True, False):
        log = []

        def cell(h, x, log=log):
            log.append(h.detach().sum().item())
            return h + x, None

        last, _ = tg.scan(cell, 0.0, np.arange(4.0), unroll=unroll)
        assert (last.item(), log) == (6.0, [0.0, 0.0, 1.0, 3.0])


# ------------------------------------------------------------------------------------------------------------- threads


def test_many_threads_at_once():
    names = ["rnn_tanh", "lstm", "gru_reset_after", "language_model", "swapped", "mixed_carry", "rnn_relu", "slices"]
    jobs = [(CELLS[name].make(seed=seed, T=5 + seed), seed % 2 == 0) for name in names for seed in range(3)]
    want = [run(made, reverse=reverse, unroll=True) for made, reverse in jobs]
    failures = []
    start = threading.Barrier(6)

    def work(number):
        try:
            start.wait()
            for k in np.random.default_rng(number).permutation(len(jobs)):
                made, reverse = jobs[k]
                got = run(made, reverse=reverse)
                assert_close((got.carry, got.ys), (want[k].carry, want[k].ys), 1e-13)
                assert_close(got.gradients, want[k].gradients, 1e-12)
        except BaseException as error:  # it would be lost with the thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_one_cell_in_many_threads_with_other_numbers():
    """The same program, at the same time, on other arrays."""
    results = {}
    start = threading.Barrier(6)

    def work(seed):
        made = CELLS["lstm"].make(seed=seed, T=20)
        start.wait()
        results[seed] = [run(made) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for seed in range(6):
        want = run(CELLS["lstm"].make(seed=seed, T=20), unroll=True)
        for got in results[seed]:
            assert_close((got.ys, got.gradients), (want.ys, want.gradients), 1e-12)


@has_program
def test_what_other_threads_look_at_is_nobodys_business():
    """A cell that gets at `.data` isn't compiled; but another thread may do so meanwhile."""
    other = leaf(drawn(3))
    w = leaf(drawn(3, seed=1))

    def cell(h, x):
        thread = threading.Thread(target=lambda: other.data)
        thread.start()
        thread.join()
        return h * w + x, None

    assert tg.scan_program(cell, drawn(3), drawn(5, 3)).compiled


# --------------------------------------------------------------------------------------------- writes behind its back


def writable_loop(**options):
    """A loop, and every array of somebody's that it read."""
    W, U = leaf(drawn(3, 4)), leaf(drawn(4, 4))
    read = {"xs": drawn(5, 2, 3), "carry": drawn(2, 4), "array": drawn(4, seed=1), "mask": drawn(2, 4) > 0}
    read |= {"table": drawn(6, 4), "tokens": np.array([3, 0, 0, 5, 1])}

    def cell(h, x):
        x, token = x
        h = tg.where(read["mask"], tg.tanh(x @ W + (h * read["array"]) @ U + read["table"][2]), h * 0.5)
        return h, h * h * tg.asarray(read["table"])[token]

    h, xs = tg.asarray(read["carry"], requires_grad=True), tg.asarray(read["xs"], requires_grad=True)
    last, ys = tg.scan(cell, h, (xs, read["tokens"]), **options)
    return weighted(last, ys), [W, U, h, xs], read | {"W": W.data, "U": U.data}


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"checkpoint": 2}], ids=str)
@pytest.mark.parametrize("name", ["xs", "carry", "array", "mask", "table", "tokens", "W", "U"])
def test_a_write_between_forward_and_backward_is_refused_or_harmless(name, options):
    loss, inputs, _ = writable_loop(unroll=True)
    loss.backward()
    want = [t.grad for t in inputs]
    loss, inputs, read = writable_loop(**options)
    array = read[name]
    array[...] = ~array if array.dtype == bool else array[::-1].copy() + (array.dtype.kind == "f")
    refusal = None
    try:
        loss.backward()
    except RuntimeError as error:
        refusal = str(error)
    if refusal is None:
        assert_close([t.grad for t in inputs], want, 1e-13)
    else:
        assert "was written to" in refusal
        assert all(t.grad is None for t in inputs)


@pytest.mark.parametrize("name", ["W", "U"])
def test_a_parameter_given_other_data_between_forward_and_backward(name):
    """The backward pass belongs to the old data, which are still there."""
    loss, inputs, _ = writable_loop(unroll=True)
    loss.backward()
    want = [t.grad for t in inputs]
    loss, inputs, _ = writable_loop()
    parameter = inputs[["W", "U"].index(name)]
    parameter.data = np.ones(parameter.shape)
    loss.backward()
    assert_close([t.grad for t in inputs], want, 1e-13)


def test_results_cannot_be_written_to():
    made = CELLS["lstm"].make()
    p, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
    for t in leaves(tg.scan(lambda c, x: made.cell(p, c, x), carry, xs)):
        with pytest.raises(ValueError, match="read-only"):
            t.data[...] = 0


# -------------------------------------------------------------------------------------------------- whose memory is it


SHARING = ["rnn_tanh", "lstm", "everything_unchanged", "carry_unchanged", "swapped", "y_is_x", "y_is_old_carry"]
SHARING += ["same_tensor_twice", "new_carry_is_a_parameter", "y_is_constant", "new_carry_is_the_input", "movements"]


def overlapping(ones, others):
    return [(a.shape, b.shape) for a in ones for b in others if np.shares_memory(a, b)]


@pytest.mark.parametrize("name", SHARING)
def test_a_second_forward_changes_nothing_of_the_first(name):
    made, other = CELLS[name].make(seed=0), CELLS[name].make(seed=1)
    p, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
    first = leaves(tg.scan(lambda c, x: made.cell(p, c, x), carry, xs))
    copies = [t.data.copy() for t in first]
    loss = weighted(first)
    run(other)
    q, carry, xs = (tensors(part) for part in (other.parameters, other.carry, other.xs))
    second = leaves(tg.scan(lambda c, x: other.cell(q, c, x), carry, xs))
    assert_equal([t.data for t in first], copies)
    assert not overlapping([t.value for t in first], [t.value for t in second])
    loss.backward()
    want = run(made, unroll=True, loss=lambda *out: weighted(leaves(out)))
    assert_close(gradients(p), want.gradients["parameters"], 1e-13)


@pytest.mark.parametrize("name", SHARING)
def test_two_forwards_and_then_two_backwards(name):
    """In the order of a stack, and of a queue."""
    for order in ([0, 1], [1, 0]):
        pairs = []
        for seed in (0, 1):
            made = CELLS[name].make(seed=seed)
            p, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
            pairs.append((weighted(*tg.scan(lambda c, x, m=made, p=p: m.cell(p, c, x), carry, xs)), (p, carry, xs)))
        for k in order:
            pairs[k][0].backward()
        for seed, (_, (p, carry, xs)) in enumerate(pairs):
            want = run(CELLS[name].make(seed=seed), unroll=True).gradients
            assert_close(gradients({"parameters": p, "carry": carry, "xs": xs}), want, 1e-12)


@pytest.mark.parametrize("name", SHARING)
def test_gradients_share_no_memory(name):
    made = CELLS[name].make()
    p, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
    inputs = leaves((p, carry, xs))
    results = leaves(tg.scan(lambda c, x: made.cell(p, c, x), carry, xs))
    weighted(results).backward(retain_graph=True)
    found = [t.grad for t in inputs if t.grad is not None]
    for a, b in itertools.combinations(found, 2):
        assert not np.shares_memory(a, b)
    assert not overlapping(found, [t.value for t in (*inputs, *results)])
    kept = [g.copy() for g in found]
    for g in found:
        assert g.flags.writeable
        g[...] = 7.0
    for t in inputs:
        t.grad = None
    weighted(results).backward()
    assert_close([t.grad for t in inputs if t.grad is not None], kept, 1e-14)


@pytest.mark.parametrize("name", ["rnn_tanh", "y_is_x", "everything_unchanged", "y_is_old_carry"])
def test_a_cotangent_given_is_not_a_gradient_got(name):
    made = CELLS[name].make()
    p, carry, xs = (tensors(part) for part in (made.parameters, made.carry, made.xs))
    _, ys = tg.scan(lambda c, x: made.cell(p, c, x), carry, xs)
    ct = np.ones(ys.shape)
    ys.backward(ct)
    assert not overlapping([ct], [t.grad for t in leaves((p, carry, xs)) if t.grad is not None])
    assert_array_equal(ct, 1)


def test_results_without_a_gradient_may_be_written_to():
    """They are the caller's; the next call knows nothing of it."""
    made = CELLS["gru_reset_after"].make()
    p = tensors(made.parameters, wanted=False)
    cell = lambda c, x: made.cell(p, c, x)  # noqa: E731
    last, ys = tg.scan(cell, made.carry, made.xs)
    want = arrays((last, ys))
    assert not overlapping([last.value], [ys.value])
    ys.data[...] = 9.0
    last.data[...] = 9.0
    assert_equal(arrays(tg.scan(cell, made.carry, made.xs)), want)
