"""The recurrent layers against PyTorch, against loops in NumPy, and in all the ways in which they can be called."""

import copy
import itertools
import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn

from . import by_hand
from .test_layers import with_parameters

rng = np.random.default_rng(23)
KINDS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
T, B, I, H = 4, 2, 3, 4  # noqa: E741


def data(kind, layers=1, directions=1, lead=(B,), steps=T, hidden=H, output=H):
    """xs, and a state for each layer and direction by name."""
    starts = {"h": rng.normal(size=(layers * directions, *lead, output))}
    if kind == "LSTM":
        starts["c"] = rng.normal(size=(layers * directions, *lead, hidden))
    return rng.normal(size=(steps, *lead, I)), starts


def given(kind, starts):
    """The state as a layer takes it."""
    return tuple(starts.values()) if kind == "LSTM" else starts["h"]


def parts(kind, state):
    return tuple(state) if kind == "LSTM" else (state,)


def agrees(kind, layer, lead=(B,), steps=T, **how):
    """The layer's ys, final states and gates are those of the loops by hand, of random data."""
    directions = 1 + layer.bidirectional
    xs, starts = data(kind, layer.num_layers, directions, lead, steps, output=layer.output_size)
    want_ys, want_final, want_gates = by_hand.layers(kind, layer.state_dict(), xs, starts, **how)
    ys, final, gates = layer(xs, given(kind, starts), gates=True)
    assert_allclose(ys.data, want_ys, rtol=1e-11, atol=1e-13)
    for got, want in zip(parts(kind, final), want_final.values(), strict=True):
        assert_allclose(got.data, want, rtol=1e-11, atol=1e-13)
    assert {k: list(v) for k, v in gates.items()} == {k: list(v) for k, v in want_gates.items()}
    for suffix, found in gates.items():
        for name, value in found.items():
            assert_allclose(value.data, want_gates[suffix][name], rtol=1e-11, atol=1e-13, err_msg=f"{suffix} {name}")
    plain_ys, plain_final = layer(xs, given(kind, starts))
    assert_allclose(plain_ys.data, ys.data, rtol=1e-13, atol=1e-15)
    for got, want in zip(parts(kind, plain_final), parts(kind, final), strict=True):
        assert_allclose(got.data, want.data, rtol=1e-13, atol=1e-15)


# ----------------------------------------------------------------------------------------------------- against PyTorch


def same_as_torch(torch, kind, shape, hidden=4, **options):
    """Outputs, final states and every gradient, of a loss that has them all."""
    theirs = getattr(torch.nn, kind)(I, hidden, **options, dtype=torch.float64)
    ours = KINDS[kind](I, hidden, **options)
    ours.load_state_dict(theirs.state_dict())
    count = theirs.num_layers * (1 + theirs.bidirectional)
    lead = () if len(shape) == 2 else (shape[0 if theirs.batch_first else 1],)
    sizes = [ours.output_size, hidden][: 2 if kind == "LSTM" else 1]
    inputs = [rng.normal(size=shape), *[rng.normal(size=(count, *lead, size)) for size in sizes]]
    mine, other = [tg.tensor(a, requires_grad=True) for a in inputs], [torch.tensor(a) for a in inputs]
    for a in other:
        a.requires_grad_()
    ys, final = ours(mine[0], tuple(mine[1:]) if kind == "LSTM" else mine[1])
    want_ys, want_final = theirs(other[0], tuple(other[1:]) if kind == "LSTM" else other[1])
    outs, wants = [ys, *parts(kind, final)], [want_ys, *parts(kind, want_final)]
    for got, want in zip(outs, wants, strict=True):
        assert got.shape == tuple(want.shape)
        assert_allclose(got.data, want.detach().numpy(), rtol=1e-9, atol=1e-12)
    cts = [rng.normal(size=o.shape) for o in outs]
    sum((o * ct).sum() for o, ct in zip(outs, cts, strict=True)).backward()
    sum((o * torch.tensor(ct)).sum() for o, ct in zip(wants, cts, strict=True)).backward()
    names = ["xs", "h_0", "c_0"][: len(mine)] + [name for name, _ in ours.named_parameters()]
    for name, a, b in zip(names, [*mine, *ours.parameters()], [*other, *theirs.parameters()], strict=True):
        assert_allclose(a.grad, b.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=f"{name} {shape} {options}")


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_states_and_gradients_are_pytorchs(kind, num_layers, bidirectional):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    # Of eight steps and more, loops are run in C, where there is a compiler.
    for bias, batch_first, steps in itertools.product([True, False], [True, False], [*range(1, 8), 12]):
        options = {
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "bias": bias,
            "batch_first": batch_first,
        }
        same_as_torch(torch, kind, (B, steps, I) if batch_first else (steps, B, I), **options)
        same_as_torch(torch, kind, (steps, I), **options)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_projections_and_relu_are_pytorchs(num_layers, bias, bidirectional):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias}
    for shape in ((5, B, I), (1, B, I), (5, I), (12, B, I)):
        same_as_torch(torch, "LSTM", shape, hidden=5, proj_size=2, **options)
        same_as_torch(torch, "RNN", shape, nonlinearity="relu", **options)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}, {"proj_size": 2}])
@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_go_there_and_back(kind, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    if "proj_size" in options and kind != "LSTM":
        pytest.skip("projections are the LSTM's")
    theirs, other = (getattr(torch.nn, kind)(I, H, **options, dtype=torch.float64) for _ in range(2))
    ours = KINDS[kind](I, H, **options)
    assert [(name, p.shape) for name, p in ours.named_parameters()] == [
        (name, tuple(p.shape)) for name, p in theirs.named_parameters()
    ]
    ours.load_state_dict(theirs.state_dict())
    other.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()})
    for a, b in zip(theirs.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


# ---------------------------------------------------------------------------------------------------- against formulas


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_directions_and_gates(kind, num_layers, bidirectional, bias):
    layer = KINDS[kind](I, H, num_layers, bidirectional=bidirectional, bias=bias, rng=0)
    for lead in ((B,), (), (1,)):
        agrees(kind, layer, lead)
    agrees(kind, layer, steps=1)


OPTIONS = [
    ("RNN", {}),
    ("LSTM", {}),
    ("GRU", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("RNN", {"residual": True}),
    ("RNN", {"layer_norm": True}),
    ("LSTM", {"layer_norm": True}),
    ("LSTM", {"layer_norm": True, "bias": False}),
    ("LSTM", {"layer_norm": True, "proj_size": 3, "residual": True}),
    ("LSTM", {"proj_size": 2}),
    ("LSTM", {"forget_bias": 1.0}),
    ("GRU", {"layer_norm": True}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"reset_after": False, "bias": False}),
    ("GRU", {"reset_after": False, "layer_norm": True, "residual": True}),
]


def shaken(layer):
    """Gains and offsets away from 1 and 0, so that they matter."""
    for name, p in layer.named_parameters():
        if name.startswith(("gain", "offset")):
            p.data += 0.3 * rng.normal(size=p.shape)
    return layer


@pytest.mark.parametrize(("kind", "options"), OPTIONS)
def test_options(kind, options):
    told = {k: v for k, v in options.items() if k in ("nonlinearity", "reset_after", "residual")}
    for bidirectional in (False, True):
        layer = shaken(KINDS[kind](I, H, 2, bidirectional=bidirectional, rng=0, **options))
        agrees(kind, layer, **told)
        agrees(kind, layer, (), **told)


@pytest.mark.parametrize(("kind", "options"), OPTIONS)
def test_gradients_with_options(kind, options):
    layer = shaken(KINDS[kind](2, 4, 2, rng=0, **options))
    xs = rng.normal(size=(3, 2, 2))
    cts = [rng.normal(size=o.shape) for o in (lambda ys, final: (ys, *parts(kind, final)))(*layer(xs))]

    def loss():
        ys, final = layer(xs)
        return sum((o * ct).sum() for o, ct in zip((ys, *parts(kind, final)), cts, strict=True))

    tg.check_grads(*with_parameters(layer, loss), order=1)
    tg.check_grads(lambda xs: layer(xs)[0], [xs], order=1)


@pytest.mark.parametrize(
    ("cell", "layer", "options"),
    [
        (nn.RNNCell, nn.RNN, {}),
        (nn.LSTMCell, nn.LSTM, {}),
        (nn.GRUCell, nn.GRU, {}),
        (nn.RNNCell, nn.RNN, {"nonlinearity": "relu", "layer_norm": True}),
        (nn.LSTMCell, nn.LSTM, {"proj_size": 2, "layer_norm": True, "forget_bias": 2.0}),
        (nn.GRUCell, nn.GRU, {"reset_after": False, "layer_norm": True}),
    ],
)
@pytest.mark.parametrize("unroll", [False, True])
def test_a_scanned_cell_is_the_layer(cell, layer, options, unroll):
    cell, layer = cell(I, H, rng=0, **options), layer(I, H, rng=0, **options)
    kind = type(layer).__name__
    assert [f"{name}_l0" for name in cell.state_dict()] == list(layer.state_dict())
    xs, starts = data(kind, output=layer.output_size)
    start = nn.LSTMState(starts["h"][0], starts["c"][0]) if kind == "LSTM" else starts["h"][0]

    def step(state, x):
        state = cell(x, state)
        return state, parts(kind, state)[0]

    state, ys = tg.scan(step, start, xs, unroll=unroll)
    want_ys, final = layer(xs, given(kind, starts))
    assert_allclose(ys.data, want_ys.data, rtol=1e-13)
    for got, want in zip(parts(kind, state), parts(kind, final), strict=True):
        assert_allclose(got.data, want.data[0], rtol=1e-13)
    (ys**2).sum().backward()
    (want_ys**2).sum().backward()
    for a, b in zip(cell.parameters(), layer.parameters(), strict=True):
        assert_allclose(a.grad, b.grad, rtol=1e-11, atol=1e-14)


def test_the_forget_bias_is_where_two_biases_start():
    layer, cell = nn.LSTM(I, H, 2, bidirectional=True, forget_bias=1.5, rng=0), nn.LSTMCell(I, H, forget_bias=-1.0)
    plain = nn.LSTM(I, H, 2, bidirectional=True, rng=0)
    for (name, p), q in zip(layer.named_parameters(), plain.parameters(), strict=True):
        changed = np.zeros(p.shape, bool)
        if name.startswith("bias"):
            changed[H : 2 * H] = True
            assert (p.data[H : 2 * H] == (1.5 if name.startswith("bias_ih") else 0)).all()
        assert_array_equal(p.data == q.data, ~changed)
    assert (cell.bias_ih.data + cell.bias_hh.data)[H : 2 * H].tolist() == [-1.0] * H


def test_a_training_step_lowers_the_loss():
    for make in KINDS.values():
        layer, head = make(I, 8, rng=0), nn.Linear(8, 4, rng=1)
        xs, labels = rng.normal(size=(6, 5, I)), rng.integers(4, size=(6, 5))
        losses = []
        for _ in range(20):
            loss = nn.functional.cross_entropy(head(layer(xs)[0]), labels)
            loss.backward()
            losses.append(loss.item())
            for p in (*layer.parameters(), *head.parameters()):
                p.data -= 0.5 * p.grad
                p.grad = None
        assert all(a > b for a, b in itertools.pairwise(losses))


# ------------------------------------------------------------------------------------------------------------- dropout


def drawn(generator, p, *shape):
    """The factors of dropout, as the package's generator draws them."""
    return generator.bernoulli(1 - p, shape).data / (1 - p)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_between_layers_and_in_training_only(kind, residual):
    layer = KINDS[kind](I, H, 3, dropout=0.4, residual=residual, rng=7)
    xs, starts = data(kind, 3)
    generator = tg.random.default_rng(5)
    dropped = [drawn(generator, 0.4, T, B, H) for _ in range(2)]
    want = by_hand.layers(kind, layer.state_dict(), xs, starts, dropped=dropped, residual=residual)[0]
    for _ in range(2):
        assert_allclose(layer(xs, given(kind, starts), rng=5)[0].data, want, rtol=1e-12)
    first, second = (layer(xs, given(kind, starts))[0].data for _ in range(2))  # drawn by the layer's own generator
    assert not np.allclose(first, second)
    layer.eval()
    want = by_hand.layers(kind, layer.state_dict(), xs, starts, residual=residual)[0]
    assert_allclose(layer(xs, given(kind, starts))[0].data, want, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"checkpoint": 2}])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_dropout_has_one_mask_a_sequence(kind, bidirectional, options):
    layer = KINDS[kind](I, H, 2, bidirectional=bidirectional, recurrent_dropout=0.5, rng=7)
    for lead in ((B,), ()):
        xs, starts = data(kind, 2, 1 + bidirectional, lead)
        generator = tg.random.default_rng(5)
        masks = [drawn(generator, 0.5, *lead, H) for _ in starts["h"]]
        want = by_hand.layers(kind, layer.state_dict(), xs, starts, masks=masks)[0]
        found = layer(xs, given(kind, starts), rng=5, **options)[0]
        assert_allclose(found.data, want, rtol=1e-12)
    want = layer.eval()(xs, given(kind, starts))[0]
    assert_allclose(want.data, by_hand.layers(kind, layer.state_dict(), xs, starts)[0], rtol=1e-12)


def test_recurrent_dropout_before_the_reset():
    layer = nn.GRU(I, H, reset_after=False, recurrent_dropout=0.5, rng=7)
    xs, starts = data("GRU")
    masks = [drawn(tg.random.default_rng(5), 0.5, B, H)]
    want = by_hand.layers("GRU", layer.state_dict(), xs, starts, masks=masks, reset_after=False)[0]
    assert_allclose(layer(xs, starts["h"], rng=5)[0].data, want, rtol=1e-12)


def test_everything_may_be_dropped():
    layer = nn.RNN(I, H, 2, dropout=1.0, recurrent_dropout=1.0, rng=0)
    biases = layer.bias_ih_l1.data + layer.bias_hh_l1.data
    assert_allclose(layer(rng.normal(size=(T, I)))[0].data, np.tanh(np.tile(biases, (T, 1))), rtol=1e-13)


def test_dropout_with_one_layer_is_none_and_says_so():
    with pytest.warns(UserWarning, match="GRU: dropout acts between layers, and num_layers is 1"):
        layer = nn.GRU(I, H, dropout=0.5, rng=0)
    xs = rng.normal(size=(T, I))
    assert_array_equal(layer(xs)[0].data, layer(xs)[0].data)


def test_gradients_with_a_fixed_dropout():
    layer = nn.LSTM(2, 3, 2, dropout=0.3, recurrent_dropout=0.3, rng=0)
    xs = rng.normal(size=(3, 2, 2))
    tg.check_grads(*with_parameters(layer, lambda: layer(xs, rng=1)[0]), order=1)


# -------------------------------------------------------------------------------------------------------- ways to call


@pytest.mark.parametrize("kind", KINDS)
def test_unrolled_compiled_and_checkpointed_are_alike(kind):
    layer = KINDS[kind](I, H, 2, bidirectional=True, rng=0)
    xs, starts = data(kind, 2, 2, steps=7)
    found = []
    for how in ({}, {"unroll": True}, {"checkpoint": 2}, {"checkpoint": "sqrt"}):
        ys, final = layer(xs, given(kind, starts), **how)
        ((ys**2).sum() + sum((f**3).sum() for f in parts(kind, final))).backward()
        found.append([ys.data, *[f.data for f in parts(kind, final)], *[p.grad for p in layer.parameters()]])
        layer.zero_grad()
    for other in found[1:]:
        for got, want in zip(other, found[0], strict=True):
            assert_allclose(got, want, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_first_turns_inputs_outputs_and_gates_but_no_states(kind):
    layer = KINDS[kind](I, H, 2, bidirectional=True, rng=0)
    turned = KINDS[kind](I, H, 2, bidirectional=True, batch_first=True, rng=0)
    xs, starts = data(kind, 2, 2)
    ys, final, gates = layer(xs, given(kind, starts), gates=True)
    t_ys, t_final, t_gates = turned(xs.swapaxes(0, 1), given(kind, starts), gates=True)
    assert t_ys.shape == (B, T, 2 * H)
    assert_allclose(t_ys.data, ys.data.swapaxes(0, 1), rtol=1e-13)
    for a, b in zip(parts(kind, final), parts(kind, t_final), strict=True):
        assert_allclose(a.data, b.data, rtol=1e-13)
    for suffix, found in gates.items():
        for name, value in found.items():
            assert_allclose(t_gates[suffix][name].data, value.data.swapaxes(0, 1), rtol=1e-13)
    assert_array_equal(turned(xs[:, 0])[0].data, layer(xs[:, 0])[0].data)  # without a batch there is nothing to turn


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_flow_through_gates(kind):
    layer = KINDS[kind](2, 3, 2, rng=0)
    xs = rng.normal(size=(3, 2))
    tg.check_grads(
        lambda xs: sum((g * g).sum() for found in layer(xs, gates=True)[2].values() for g in found.values()), [xs]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_is_not_given_is_zero(kind):
    layer = KINDS[kind](I, H, 2, bidirectional=True, rng=0)
    xs, starts = data(kind, 2, 2)
    zeros = {name: np.zeros_like(s) for name, s in starts.items()}
    assert_array_equal(layer(xs)[0].data, layer(xs, given(kind, zeros))[0].data)


@pytest.mark.parametrize("kind", KINDS)
def test_no_steps_at_all(kind):
    layer = KINDS[kind](I, H, 2, bidirectional=True, rng=0)
    xs, starts = data(kind, 2, 2, steps=0)
    start = tg.tensor(starts["h"], requires_grad=True)
    ys, final, gates = layer(xs, (start, starts["c"]) if kind == "LSTM" else start, gates=True)
    assert ys.shape == (0, B, 2 * H)
    assert {g.shape for found in gates.values() for g in found.values()} == {(0, B, H)}
    for got, want in zip(parts(kind, final), starts.values(), strict=True):
        assert_array_equal(got.data, want)
    (parts(kind, final)[0].sum() + ys.sum()).backward()
    assert (start.grad == 1).all()
    assert not any(p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_dtypes(kind):
    layer = KINDS[kind](I, H, 2, bidirectional=True, dtype=np.float32, layer_norm=True, rng=0)
    assert {p.dtype for p in layer.parameters()} == {np.dtype(np.float32)}
    xs, starts = data(kind, 2, 2)
    narrow, narrow_start = xs.astype(np.float32), given(kind, {k: s.astype(np.float32) for k, s in starts.items()})
    ys, final = layer(narrow, narrow_start)
    assert {ys.dtype, *[f.dtype for f in parts(kind, final)]} == {np.dtype(np.float32)}
    ys.sum().backward()
    assert {p.grad.dtype for p in layer.parameters()} == {np.dtype(np.float32)}
    for wide in (layer(xs), layer(xs, narrow_start), layer(narrow, given(kind, starts)), layer(np.ones((T, I), int))):
        assert {wide[0].dtype, *[f.dtype for f in parts(kind, wide[1])]} == {np.dtype(np.float64)}


@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence_after_another(kind):
    """The final state of the first half is the start of the second."""
    layer = KINDS[kind](I, H, 2, rng=0)
    xs, _ = data(kind, steps=6)
    whole, final = layer(xs)
    first, state = layer(xs[:3])
    second, last = layer(xs[3:], state)
    assert_allclose(np.concatenate([first.data, second.data]), whole.data, rtol=1e-13)
    for a, b in zip(parts(kind, last), parts(kind, final), strict=True):
        assert_allclose(a.data, b.data, rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_pickles_compute_the_same(kind):
    layer = KINDS[kind](I, H, 2, bidirectional=True, rng=0)
    xs, _ = data(kind)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_array_equal(twin(xs)[0].data, layer(xs)[0].data)
        twin.weight_hh_l1.data[...] = 0
        assert not np.allclose(twin(xs)[0].data, layer(xs)[0].data)


def test_second_order_and_forward_mode():
    for kind, make in KINDS.items():
        layer = make(2, 2, rng=0)
        xs, starts = rng.normal(size=(3, 2)), rng.normal(size=(1, 2))
        state = (lambda s: (s, s * 0.5)) if kind == "LSTM" else (lambda s: s)
        tg.check_grads(lambda xs, s, layer=layer, state=state: layer(xs, state(s))[0], [xs, starts])


# ---------------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_start_from_pytorchs_distribution(kind):
    layer = KINDS[kind](30, 100, 2, bidirectional=True, rng=3)
    for p in layer.parameters():
        assert np.abs(p.data).max() <= 0.1
    for name in ("weight_ih_l0", "weight_hh_l1_reverse", "weight_ih_l1"):
        assert getattr(layer, name).data.std() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    again = KINDS[kind](30, 100, 2, bidirectional=True, rng=np.random.default_rng(3))
    for p, q in zip(layer.parameters(), again.parameters(), strict=True):
        assert_array_equal(p.data, q.data)
    assert len({p.data.flat[0] for p in layer.parameters()}) == len(list(layer.parameters()))


def test_arguments_in_pytorchs_order():
    rnn = nn.RNN(I, H, 2, "relu", False, True, 0.25, True)
    told = (rnn.num_layers, rnn.step.nonlinearity, rnn.bias, rnn.batch_first, rnn.dropout, rnn.bidirectional)
    assert told == (2, "relu", False, True, 0.25, True)
    for make in (nn.LSTM, nn.GRU):
        layer = make(I, H, 2, False, True, 0.25, True)
        assert (layer.num_layers, layer.bias, layer.batch_first, layer.dropout) == (2, False, True, 0.25)
        assert layer.bidirectional is True


# ------------------------------------------------------------------------------------------------------------ pictures


def names(*tensors):
    return {n.name for n in tg.graph(*tensors).nodes if n.name}


@pytest.mark.parametrize(("kind", "gates"), [("RNN", "h"), ("LSTM", "ifgoch"), ("GRU", "rznh")])
def test_an_unrolled_layer_has_its_gates_names_at_every_step(kind, gates):
    ys, final = KINDS[kind](I, H, rng=0)(rng.normal(size=(3, I)), unroll=True)
    nodes = tg.graph(ys, *parts(kind, final)).nodes
    assert {f"{name}_{t}" for name in f"x{gates}" for t in (1, 2, 3)} <= {n.name for n in nodes}
    assert {(n.scope.step, n.scope.path) for n in nodes if n.name == "h_2"} == {(2, (kind,))}


def test_layers_and_directions_are_scopes():
    ys, _ = nn.GRU(I, H, 2, bidirectional=True, rng=0)(rng.normal(size=(3, I)), unroll=True)
    found = {n.scope.path for n in tg.graph(ys).nodes if n.name == "z_2"}
    assert found == {("GRU", name) for name in ("l0", "l0_reverse", "l1", "l1_reverse")}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_view_can_be_drawn(kind, bidirectional):
    layer, head = KINDS[kind](I, H, 2, bidirectional=bidirectional, rng=0), nn.Linear(H * (1 + bidirectional), 2, rng=0)
    ys, _ = layer(rng.normal(size=(3, I)), unroll=True)
    loss = nn.functional.cross_entropy(head(ys), np.array([0, 1, 1]))
    loss.backward()
    for how in ({}, {"view": "rolled"}, {"depth": 1}, {"depth": 2}, {"gradients": True}, {"elide": True, "keep": 1}):
        svg = tg.draw(loss, **how).svg
        assert "weight_hh_l1" in svg or "depth" in how


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_shape(kind):
    layer, turned = KINDS[kind](3, 2), KINDS[kind](3, 2, batch_first=True)
    for xs in (np.ones((4, 2)), np.ones((4, 2, 2)), np.ones(3), np.ones((1, 4, 2, 3)), 1.0):
        for made, first in ((layer, "[T, B, 3]"), (turned, "[B, T, 3]")):
            message = f"{kind}: input must have shape {first} or [T, 3], got {np.shape(xs)}"
            with pytest.raises(ValueError, match=re.escape(message)):
                made(xs)
    for h in ((1, 2), (4, 2), (1, 1, 2), (1, 4, 3), (2, 4, 2)):
        state = (np.ones(h), np.ones((1, 4, 2))) if kind == "LSTM" else np.ones(h)
        message = f"{kind}: h must have shape [1, 4, 2] for input of shape "
        for made, shape in ((layer, (5, 4, 3)), (turned, (4, 5, 3))):
            with pytest.raises(ValueError, match=re.escape(f"{message}{shape}, got {h}")):
                made(np.ones(shape), state)


def test_errors_of_an_lstms_state():
    layer, xs = nn.LSTM(3, 4, 2, proj_size=2), np.ones((5, 3))
    with pytest.raises(
        ValueError, match=re.escape("LSTM: c must have shape [2, 4] for input of shape (5, 3), got (2, 2)")
    ):
        layer(xs, (np.ones((2, 2)), np.ones((2, 2))))
    with pytest.raises(
        ValueError, match=re.escape("LSTM: h must have shape [2, 2] for input of shape (5, 3), got (2, 4)")
    ):
        layer(xs, (np.ones((2, 4)), np.ones((2, 4))))
    with pytest.raises(TypeError, match=re.escape("LSTM: hx must be a pair (h, c), got ndarray")):
        layer(xs, np.ones((2, 2)))


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (nn.RNN, {"num_layers": 0}, "RNN: num_layers must be a positive whole number, got 0"),
        (nn.GRU, {"num_layers": 1.0}, "GRU: num_layers must be a positive whole number, got 1.0"),
        (nn.LSTM, {"dropout": 1.5}, "LSTM: dropout must be a number in 0 … 1, got 1.5"),
        (nn.LSTM, {"dropout": True}, "LSTM: dropout must be a number in 0 … 1, got True"),
        (nn.LSTM, {"recurrent_dropout": -1}, "LSTM: recurrent_dropout must be a number in 0 … 1, got -1"),
        (nn.LSTM, {"dropout": "x"}, "LSTM: dropout must be a number in 0 … 1, got 'x'"),
        (nn.GRU, {"num_layers": True}, "GRU: num_layers must be a positive whole number, got True"),
        (nn.LSTM, {"forget_bias": "1"}, "LSTM: forget_bias must be a finite number, got '1'"),
        (nn.LSTMCell, {"forget_bias": True}, "LSTMCell: forget_bias must be a finite number, got True"),
        (nn.LSTM, {"forget_bias": np.nan}, "LSTM: forget_bias must be a finite number, got nan"),
        (nn.LSTMCell, {"forget_bias": -np.inf}, "LSTMCell: forget_bias must be a finite number, got -inf"),
        (nn.LSTM, {"proj_size": True}, "LSTM: proj_size must be a whole number below hidden_size=4, got True"),
        (nn.LSTM, {"proj_size": 4}, "LSTM: proj_size must be a whole number below hidden_size=4, got 4"),
        (nn.LSTMCell, {"proj_size": -1}, "LSTMCell: proj_size must be a whole number below hidden_size=4, got -1"),
        (nn.LSTM, {"forget_bias": 1.0, "bias": False}, "LSTM: forget_bias=1.0 is for a bias, but bias is False"),
        (nn.RNN, {"nonlinearity": "gelu"}, "RNN: nonlinearity must be 'tanh' or 'relu', got 'gelu'"),
    ],
)
def test_errors_of_values(make, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(3, 4, **arguments)


@pytest.mark.parametrize(
    ("make", "name", "flag"),
    [
        (nn.RNN, "batch_first", "no"),
        (nn.LSTM, "bidirectional", 2),
        (nn.GRU, "residual", None),
        (nn.RNNCell, "layer_norm", "no"),
        (nn.LSTM, "layer_norm", 1),
        (nn.GRU, "reset_after", "x"),
        (nn.GRUCell, "reset_after", 0),
    ],
)
def test_flags(make, name, flag):
    with pytest.raises(TypeError, match=re.escape(f"{make.__name__}: {name} must be True or False, got {flag!r}")):
        make(3, 4, **{name: flag})


@pytest.mark.parametrize("name", ["unroll", "gates"])
def test_flags_of_a_call(name):
    with pytest.raises(TypeError, match=f"GRU: {name} must be True or False, got 'no'"):
        nn.GRU(3, 4)(np.ones((5, 3)), **{name: "no"})


def test_numbers_and_flags_of_numpy():
    arguments = {"bias": np.True_, "bidirectional": np.True_, "layer_norm": np.False_, "forget_bias": np.float32(1)}
    ys, _ = nn.LSTM(3, 4, 2, dropout=np.float32(0.5), rng=0, **arguments)(np.ones((5, 3)))
    want, _ = nn.LSTM(3, 4, 2, dropout=0.5, bidirectional=True, forget_bias=1.0, rng=0)(np.ones((5, 3)))
    assert_array_equal(ys.data, want.data)


def test_python_s_complaints_about_positions_speak_of_no_private_class():
    with pytest.raises(TypeError, match=r"^RNN\.__init__\(\) takes from 3 to 9 positional arguments"):
        nn.RNN(3, 4, 1, "tanh", True, False, 0.0, False, 1)
    with pytest.raises(TypeError, match=r"^RecurrentLayer\.__init__\(\) takes from 3 to 9 positional arguments"):
        nn.LSTM(3, 4, 1, True, False, 0.0, False, 2, 1)
    with pytest.raises(TypeError, match=r"^RecurrentCell\.__init__\(\) takes from 3 to 4 positional arguments"):
        nn.GRUCell(3, 4, True, 1)
    with pytest.raises(TypeError, match=r"^GRU: there is no argument 'proj_size'"):
        nn.GRU(3, 4, 1, True, False, 0.0, False, 2)


def test_an_rng_of_a_call_that_is_none():
    with pytest.raises(TypeError, match="RNN: rng must be a seed"):
        nn.RNN(3, 4)(np.ones((5, 3)), rng="seed")


@pytest.mark.parametrize(
    ("make", "name", "own"),
    [
        (nn.RNN, "proj_size", "layer_norm, nonlinearity"),
        (nn.GRU, "nonlinearity", "layer_norm, reset_after"),
        (nn.LSTM, "reset_after", "layer_norm, proj_size, forget_bias"),
        (nn.GRUCell, "num_layers", "layer_norm, reset_after"),
        (nn.RNNCell, "device", "layer_norm, nonlinearity"),
    ],
)
def test_arguments_that_there_are_not(make, name, own):
    message = f"{make.__name__}: there is no argument {name!r}; beside the common ones it has {own}"
    with pytest.raises(TypeError, match=re.escape(message)):
        make(3, 4, **{name: 1})
