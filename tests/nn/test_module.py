"""Modules: what they contain, what they are called, what they save and load."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn


class Block(nn.Module):
    def __init__(self, size):
        self.inner = nn.Linear(size, size, rng=0)
        self.scale = tg.tensor(np.ones(size), requires_grad=True)

    def forward(self, x):
        return self.inner(x) * self.scale


class Model(nn.Module):
    def __init__(self):
        self.first = Block(2)
        self.layers = [Block(2), nn.Linear(2, 1, bias=False, rng=1)]
        self.table = tg.tensor([[1.0, 2.0]])  # a constant
        self.sizes = [1, 2]
        self.shift = tg.tensor(0.5, requires_grad=True)

    def forward(self, x):
        for layer in (self.first, *self.layers):
            x = layer(x)
        return x + self.shift


NAMES = [
    "shift",
    "first.scale",
    "first.inner.weight",
    "first.inner.bias",
    "layers.0.scale",
    "layers.0.inner.weight",
    "layers.0.inner.bias",
    "layers.1.weight",
]


def test_names():
    model = Model()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert list(model.state_dict()) == NAMES
    assert [p is q for p, (_, q) in zip(model.parameters(), model.named_parameters(), strict=True)] == [True] * len(
        NAMES
    )
    assert [name for name, _ in model.named_modules()] == [
        "",
        "first",
        "first.inner",
        "layers.0",
        "layers.0.inner",
        "layers.1",
    ]


def test_parameters_are_named_after_their_attributes():
    model = Model()
    assert model.first.inner.weight.name == "weight"
    assert model.shift.name == "shift"
    named = tg.tensor(1.0, requires_grad=True, name="mine")
    model.other = named
    assert named.name == "mine"


def test_a_shared_parameter_appears_once():
    model = Model()
    model.layers[0].inner.weight = model.first.inner.weight
    names = [name for name, _ in model.named_parameters()]
    assert names == [name for name in NAMES if name != "layers.0.inner.weight"]
    out = model(np.ones(2))
    out.sum().backward()
    parts = model.first.inner.weight.grad
    apart = Model()
    apart(np.ones(2)).sum().backward()
    assert_array_equal(parts, apart.first.inner.weight.grad + apart.layers[0].inner.weight.grad)


def test_a_shared_module_appears_once():
    model = Model()
    model.again = model.first
    assert [name for name, _ in model.named_parameters()] == NAMES


def test_a_frozen_parameter_is_still_one():
    """As in PyTorch: freezing a part must not drop it from the checkpoint."""
    model = Model()
    model.shift.requires_grad = False
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert "shift" in model.state_dict()


def test_what_replaces_a_parameter_counts():
    model = Model()
    model.shift = None
    assert [name for name, _ in model.named_parameters()] == NAMES[1:]
    model.shift = tg.tensor(np.ones(2))  # needs no gradient: a constant
    assert [name for name, _ in model.named_parameters()] == NAMES[1:]


def test_a_module_that_knows_its_parent_is_listed_once():
    model = Model()
    model.first.parent = model
    assert [name for name, _ in model.named_parameters()] == NAMES


def test_calling_runs_forward_in_its_scope():
    model = Model()
    scopes = {str(node.scope) for node in tg.graph(model(np.ones(2))).nodes}
    assert {"Model", "Model/first", "Model/first/inner"} <= scopes


def test_a_module_without_forward():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        Empty()(1)


def test_repr_shows_the_modules_inside():
    model = Model()
    assert (
        repr(model)
        == """\
Model(
  (first): Block(
    (inner): Linear(in_features=2, out_features=2, bias=True)
  )
  (layers.0): Block(
    (inner): Linear(in_features=2, out_features=2, bias=True)
  )
  (layers.1): Linear(in_features=2, out_features=1, bias=False)
)"""
    )
    model.first.parent = model
    assert "    (parent): ..." in repr(model).splitlines()


def test_repr_with_words_of_its_own():
    class Scale(nn.Module):
        def extra_repr(self):
            return "by=2"

    scale = Scale()
    assert repr(scale) == "Scale(by=2)"
    scale.next = Scale()
    assert repr(scale) == "Scale(\n  by=2\n  (next): Scale(by=2)\n)"


def test_zero_grad():
    model = Model()
    model(np.ones(2)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_train_and_eval():
    model = Model()
    modules = [module for _, module in model.named_modules()]
    assert all(m.training for m in modules)
    assert model.eval() is model
    assert not any(m.training for m in modules)
    assert model.train() is model
    assert all(m.training for m in modules)


# ----------------------------------------------------------------------------------------------- saving and loading


def test_a_state_dict_goes_there_and_back():
    a, b = Model(), Model()
    for p in a.parameters():
        p.data[...] = np.random.default_rng(7).normal(size=p.shape)
    state = a.state_dict()
    assert not any(np.shares_memory(state[name], p.data) for name, p in a.named_parameters())
    before = list(b.parameters())
    b.load_state_dict(state)
    assert [p is q for p, q in zip(b.parameters(), before, strict=True)] == [True] * len(NAMES)
    for name, p in b.named_parameters():
        assert_array_equal(p.data, state[name])
        assert not np.shares_memory(p.data, state[name])
        assert p.requires_grad
    assert_array_equal(a(np.ones(2)).data, b(np.ones(2)).data)


def test_loading_keeps_dtypes_and_names():
    model = nn.Linear(2, 1, dtype=np.float32)
    model.load_state_dict({"weight": [[1, 2]], "bias": np.array([0.5])})
    assert (model.weight.dtype, model.bias.dtype) == (np.float32, np.float32)
    assert (model.weight.name, model.bias.name) == ("weight", "bias")
    assert_array_equal(model(np.ones(2, np.float32)).data, [3.5])


def assert_unchanged(model, call, error, match):
    before = model.state_dict()
    with pytest.raises(error, match=match):
        call()
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_loading_what_does_not_fit_changes_nothing():
    model = Model()
    state = {name: value + 1 for name, value in model.state_dict().items()}
    missing = {name: value for name, value in state.items() if name != "first.scale"}
    assert_unchanged(
        model,
        lambda: model.load_state_dict({**missing, "more": np.ones(1)}),
        KeyError,
        r"load_state_dict: missing: \['first.scale'\]; unexpected: \['more'\]",
    )
    # The last one by name is wrong, when all others could have been written already.
    wrong = {**state, "layers.1.weight": np.ones((2, 1))}
    for strict in (True, False):
        assert_unchanged(
            model,
            lambda strict=strict: model.load_state_dict(wrong, strict=strict),
            ValueError,
            r"load_state_dict: 'layers.1.weight' wants shape \(1, 2\), got \(2, 1\)",
        )


@pytest.mark.parametrize(
    ("state", "got"),
    [(None, "None"), (nn.Linear(2, 2), "a Linear"), ([("weight", 1.0)], "a list of 1"), ("model.npz", "a str")],
)
def test_loading_what_is_no_mapping(state, got):
    model = Model()
    message = f"load_state_dict: state must be a mapping of names to arrays, got {got}"
    for strict in (True, False):
        assert_unchanged(model, lambda strict=strict: model.load_state_dict(state, strict), TypeError, message)


@pytest.mark.parametrize(
    ("value", "kind", "what"),
    [
        (np.array([[1j, 2]]), TypeError, "be real numbers, got dtype complex128"),
        (np.array([["1", "2"]]), TypeError, "be real numbers, got dtype <U1"),
        (np.array([[1.0, 2.0]], object), TypeError, "be real numbers, got dtype object"),
        (None, TypeError, "be real numbers, got None"),
        ("path", TypeError, "be real numbers, got 'path'"),
        ([[1.0, 2.0], [3.0]], ValueError, "be a regular array of numbers"),
    ],
)
def test_loading_what_are_no_real_numbers_changes_nothing(value, kind, what):
    model = Model()
    state = {**{name: a + 1 for name, a in model.state_dict().items()}, "layers.1.weight": value}
    message = f"load_state_dict: 'layers.1.weight' must {what}"
    assert_unchanged(model, lambda: model.load_state_dict(state), kind, re.escape(message))


def test_modes_and_strictness_are_flags():
    model = Model()
    with pytest.raises(TypeError, match="Model: mode must be True or False, got 'no'"):
        model.train("no")
    assert all(module.training is True for _, module in model.named_modules())
    with pytest.raises(TypeError, match="load_state_dict: strict must be True or False, got 'no'"):
        model.load_state_dict({}, strict="no")


def test_loading_what_there_is():
    model = Model()
    before = model.state_dict()
    model.load_state_dict({"shift": 7.0, "more": np.ones(1)}, strict=False)
    after = model.state_dict()
    assert after["shift"] == 7
    assert all(np.array_equal(before[name], after[name]) for name in NAMES if name != "shift")


def test_loading_between_forward_and_backward_is_safe():
    """New values come in new arrays, so a backward that needs the old ones still has them."""
    model = nn.Linear(2, 1, rng=0)
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = model(x).sum()
    weight = model.weight.data.copy()
    model.load_state_dict({"weight": np.zeros((1, 2)), "bias": np.zeros(1)})
    y.backward()
    assert_array_equal(x.grad, weight[0])


def test_any_attribute_may_hold_modules():
    class Model(nn.Module):
        def __init__(self):
            self._children = [nn.Linear(2, 2, rng=0)]

    assert [name for name, _ in Model().named_parameters()] == ["_children.0.weight", "_children.0.bias"]
    assert "Linear" in repr(Model())
