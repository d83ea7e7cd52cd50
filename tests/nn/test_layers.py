"""Linear against the formula, and what all layers and cells have in common."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn

rng = np.random.default_rng(11)
MAKERS = [nn.Linear, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.RNN, nn.LSTM, nn.GRU]


def with_parameters(module, f):
    """f(module(...)) as a function of the parameters, for check_grads."""
    names = [name for name, _ in module.named_parameters()]

    def of_parameters(*values):
        for name, value in zip(names, values, strict=True):
            object.__setattr__(module, name, value)
        return f()

    return of_parameters, [p.data.copy() for p in module.parameters()]


# ------------------------------------------------------------------------------------------------------------ Linear


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape, bias):
    layer, x = nn.Linear(3, 2, bias, rng=0), rng.normal(size=shape)
    state = layer.state_dict()
    assert list(state) == (["weight", "bias"] if bias else ["weight"])
    assert state["weight"].shape == (2, 3)
    y = layer(x)
    assert_allclose(y.data, x @ state["weight"].T + state.get("bias", 0), rtol=1e-14)
    assert y.shape == (*shape[:-1], 2)
    tg.check_grads(*with_parameters(layer, lambda: layer(x)))


def test_linear_starts_within_its_bound():
    layer = nn.Linear(100, 50, rng=0)
    for p in layer.parameters():
        assert np.abs(p.data).max() <= 0.1
    assert layer.weight.data.std() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert_array_equal(nn.Linear(4, 3, rng=5).weight.data, nn.Linear(4, 3, rng=np.random.default_rng(5)).weight.data)


@pytest.mark.parametrize("make", MAKERS)
def test_default_dtype(make):
    assert {p.dtype for p in make(3, 2).parameters()} == {np.dtype(np.float64)}
    with tg.default_dtype(np.float32):
        assert {p.dtype for p in make(3, 2).parameters()} == {np.dtype(np.float32)}
    assert {p.dtype for p in make(3, 2, dtype=np.float32).parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("size", [0, -1, 2.0, None, True])
def test_sizes_are_positive_whole_numbers(make, size):
    with pytest.raises(ValueError, match=f"{make.__name__}: .* must be a positive whole number, got {size}"):
        make(size, 2)
    with pytest.raises(ValueError, match=f"{make.__name__}: .* must be a positive whole number, got {size}"):
        make(2, size)


# ------------------------------------------------------------------------------- what all refuse, each by its own name


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"bias": "no"}, TypeError, "bias must be True or False, got 'no'"),
        ({"bias": np.ones(2)}, TypeError, "bias must be True or False, got array([1., 1.])"),
        ({"rng": "seed"}, TypeError, "rng must be a seed (a whole number from 0 on) or a generator, got 'seed'"),
        ({"rng": -1}, ValueError, "rng must be a seed (a whole number from 0 on) or a generator, got -1"),
        ({"rng": 1.5}, TypeError, "rng must be a seed (a whole number from 0 on) or a generator, got 1.5"),
        ({"dtype": "int32"}, TypeError, "want a floating-point dtype, got int32"),
        ({"dtype": "single precision"}, TypeError, "want a dtype, got 'single precision'"),
    ],
)
def test_arguments(make, arguments, kind, message):
    with pytest.raises(kind, match=re.escape(f"{make.__name__}: {message}")):
        make(3, 2, **arguments)


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_is_drawn_for_a_dtype_that_will_not_do(make):
    draws = np.random.default_rng(0)
    before = draws.bit_generator.state
    with pytest.raises(TypeError):
        make(3, 2, dtype=int, rng=draws)
    assert draws.bit_generator.state == before


@pytest.mark.parametrize("make", MAKERS)
def test_what_draws_the_parameters(make):
    want = [p.data for p in make(3, 2, rng=5).parameters()]
    for draws in (np.random.default_rng(5), tg.random.default_rng(5), np.int64(5)):
        for p, w in zip(make(3, 2, rng=draws).parameters(), want, strict=True):
            assert_array_equal(p.data, w)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("x", "kind", "what"),
    [
        (None, TypeError, "be real numbers, got None"),
        ("x", TypeError, "be real numbers, got 'x'"),
        (np.full((4, 3), 1j), TypeError, "be real numbers, got dtype complex128"),
        ([[1.0, 2.0, None]], TypeError, "be real numbers, got [[1.0, 2.0, None]]"),
        ([[1, 2, 3], [1, 2]], ValueError, "be a regular array of numbers"),
    ],
)
def test_an_input_of_no_real_numbers(make, x, kind, what):
    with pytest.raises(kind, match=re.escape(f"{make.__name__}: input must {what}")):
        make(3, 2)(x)


@pytest.mark.parametrize("make", MAKERS[1:])
@pytest.mark.parametrize(
    ("state", "got"),
    [("zeros", "'zeros'"), ((None, None), "(None, None)"), ({}, "{}"), (np.zeros((1, 2), complex), "dtype complex128")],
    ids=["text", "nothing", "dictionary", "complex"],
)
def test_a_state_of_no_real_numbers(make, state, got):
    message = f"h must be real numbers, got {got}"
    if make in (nn.LSTM, nn.LSTMCell):
        message = "hx must be a pair (h, c), got" if got != "(None, None)" else "h must be real numbers, got None"
    with pytest.raises(TypeError, match=re.escape(f"{make.__name__}: {message}")):
        make(3, 2)(np.ones((4, 3)), state)


@pytest.mark.parametrize("make", MAKERS)
def test_a_calls_arguments_have_pytorchs_names(make):
    layer, xs = make(3, 2, rng=0), rng.normal(size=(4, 3))
    if make is nn.Linear:
        assert_array_equal(layer(input=xs).data, layer(xs).data)
        return
    state = rng.normal(size=(1 if make in (nn.RNN, nn.LSTM, nn.GRU) else 4, 2))
    hx = (state, state) if make in (nn.LSTM, nn.LSTMCell) else state
    for got, want in zip(layer(input=xs, hx=hx), layer(xs, hx), strict=True):
        assert_array_equal(tg.stack(got).data, tg.stack(want).data)


# -------------------------------------------------------------------------------------- what they are, and say they are

ATTRIBUTES = ["in_features", "out_features", "input_size", "hidden_size", "num_layers", "nonlinearity", "bias"]
ATTRIBUTES += ["batch_first", "dropout", "bidirectional", "proj_size"]


@pytest.mark.parametrize(
    ("make", "arguments", "text"),
    [
        (nn.Linear, (3, 4), "Linear(in_features=3, out_features=4, bias=True)"),
        (nn.Linear, (3, 4, False), "Linear(in_features=3, out_features=4, bias=False)"),
        (nn.RNN, (3, 4, 1, "relu", False), "RNN(3, 4, nonlinearity='relu', bias=False)"),
        (nn.RNN, (3, 4, 2, "tanh", True, True), "RNN(3, 4, num_layers=2, batch_first=True)"),
        (nn.LSTM, (3, 4, 2, True, False, 0.25, True), "LSTM(3, 4, num_layers=2, dropout=0.25, bidirectional=True)"),
        (nn.LSTM, (3, 4, 1, True, False, 0.0, False, 2), "LSTM(3, 4, proj_size=2)"),
        (nn.GRU, (3, 4, 1, False, False, 0.0, True), "GRU(3, 4, bias=False, bidirectional=True)"),
        (nn.RNNCell, (3, 4, False, "relu"), "RNNCell(3, 4, nonlinearity='relu', bias=False)"),
        (nn.LSTMCell, (3, 4, False), "LSTMCell(3, 4, bias=False)"),
        *[(make, (3, 4), f"{make.__name__}(3, 4)") for make in MAKERS[1:]],
    ],
)
def test_arguments_by_position_attributes_and_repr(make, arguments, text):
    ours = make(*arguments)
    assert repr(ours) == text
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    theirs = getattr(torch.nn, make.__name__)(*arguments)
    shapes = {name: tuple(p.shape) for name, p in theirs.named_parameters()}
    assert {name: p.shape for name, p in ours.named_parameters()} == shapes
    present = {name for name in ATTRIBUTES if hasattr(theirs, name)} - ({"bias"} if make is nn.Linear else set())
    assert {name: getattr(ours, name) for name in present} == {name: getattr(theirs, name) for name in present}


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (nn.RNN, {"layer_norm": True}),
        (nn.LSTM, {"residual": True, "recurrent_dropout": 0.5, "forget_bias": 1.0}),
        (nn.LSTMCell, {"proj_size": 2}),
        (nn.GRUCell, {"reset_after": False}),
    ],
)
def test_repr_has_our_own_options(make, options):
    told = "".join(f", {name}={value!r}" for name, value in options.items())
    assert repr(make(3, 4, rng=0, dtype=np.float32, **options)) == f"{make.__name__}(3, 4{told})"


# ------------------------------------------------------------------------------------------------------------ compiled


@pytest.mark.parametrize("options", [{}, {"layer_norm": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize("make", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_cells_are_compiled(make, options):
    cell = make(3, 4, rng=0, **options)
    state = nn.LSTMState(np.zeros((2, 4)), np.zeros((2, 4))) if make is nn.LSTMCell else np.zeros((2, 4))

    def step(state, x):
        state = cell(x, state)
        return state, state

    assert tg.scan_program(step, state, np.ones((6, 2, 3))).compiled


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"recurrent_dropout": 0.5}], ids=str)
@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_layers_are_compiled(make, options):
    """Their steps aren't on the tape."""
    xs = tg.tensor(np.ones((9, 2, 3)), requires_grad=True)
    layer = make(3, 4, rng=0, **options)
    ys, _ = layer(xs)
    assert len(tg.graph(ys).nodes) < 40
    assert len(tg.graph(layer(xs, unroll=True)[0]).nodes) > 60
