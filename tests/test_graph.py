"""The read-only view of a graph: what was recorded, in order, under which names, and how large the gradients were."""

import gc
import threading
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn


def leaf(values, name=None, dtype=None):
    return tg.tensor(values, dtype=dtype, requires_grad=True, name=name)


def small():
    x, w = leaf([[1.0, 2.0]], "x"), leaf([[3.0], [4.0]], "w", np.float32)
    c = tg.tensor(2.0, name="c")
    a = x @ w
    a.name = "a"
    return x, w, a, ((a * c) * 5.0 + a).sum()


def by_name(graph):
    return {n.name: n for n in graph.nodes if n.name}


def test_nodes_are_in_the_order_of_their_making():
    *_, y = small()
    g = tg.graph(y)
    assert [n.op for n in g.nodes] == ["", "", "", "matmul", "multiply", "multiply", "add", "sum"]
    assert [n.kind for n in g.nodes] == ["leaf", "leaf", "constant"] + ["operation"] * 5
    assert [n.name for n in g.nodes] == ["x", "w", "c", "a", None, None, None, None]
    assert [n.parents for n in g.nodes] == [(), (), (), (0, 1), (3, 2), (4,), (5, 3), (6,)]
    assert [n.id for n in g.nodes] == list(range(8))
    assert g.outputs == (7,)


def test_shapes_and_dtypes():
    *_, y = small()
    g = tg.graph(y)
    assert [n.shape for n in g.nodes] == [(1, 2), (2, 1), (), (1, 1), (1, 1), (1, 1), (1, 1), ()]
    assert [n.dtype for n in g.nodes] == ["float64", "float32"] + ["float64"] * 6


def test_parents_come_before_their_children_in_any_graph():
    rnn = nn.RNN(2, 3, rng=0)
    ys, h = rnn(np.ones((4, 2)), unroll=True)
    g = tg.graph(ys, h)
    assert [n.id for n in g.nodes] == list(range(len(g.nodes)))
    assert all(p < n.id for n in g.nodes for p in n.parents)
    assert len(g.outputs) == 2
    assert {n.name for n in g.nodes if n.kind == "leaf"} == {
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
    }
    for name, node in by_name(g).items():
        if name.startswith("h_") and name != "h_0":
            assert node.scope.step == int(name[2:])


def test_an_argument_used_twice_is_there_twice():
    x = leaf(2.0)
    assert tg.graph(x * x).nodes[1].parents == (0, 0)


def test_unnamed_constants_do_not_appear_and_unreached_nodes_neither():
    x = leaf([1.0, 2.0])
    _ = tg.exp(x)
    y = (x * tg.tensor([3.0, 4.0]) + np.ones(2)).sum()
    assert [n.op for n in tg.graph(y).nodes] == ["", "multiply", "add", "sum"]


def test_several_outputs():
    x = leaf(1.0)
    a = x * 2
    b = tg.exp(a)
    g = tg.graph(b, x, a)
    assert g.outputs == (2, 0, 1)
    assert tg.graph(x).outputs == (0,)
    assert tg.graph(x).nodes[0].kind == "leaf"


def test_a_name_given_late_is_there():
    x = leaf(1.0)
    y = x * 2
    x.name, y.name = "x", "y"
    assert [n.name for n in tg.graph(y).nodes] == ["x", "y"]


def test_scopes():
    x = leaf(1.0)
    with tg.scope("model"):
        with tg.scope("cell", step=2):
            a = x * 2
        with tg.scope(step=3):
            b = tg.exp(a)
            with tg.scope("cell"):
                c = tg.tanh(b)
    d = c * 1
    scopes = [n.scope for n in tg.graph(d).nodes]
    assert [str(s) for s in scopes] == ["", "t=2/model/cell", "t=3/model", "t=3/model/cell", ""]
    assert scopes[1] == tg.Scope(("model", "cell"), 2)
    assert scopes[4] == tg.Scope()


def test_a_scope_ends_with_an_exception_and_is_a_thread_s_own():
    with pytest.raises(KeyError), tg.scope("broken", step=1):
        raise KeyError
    seen = []
    with tg.scope("here"):
        thread = threading.Thread(target=lambda: seen.append(str(leaf(1.0).node.scope)))
        thread.start()
        thread.join()
        assert str(leaf(1.0).node.scope) == "here"
    assert seen == [""]
    assert str(leaf(1.0).node.scope) == ""


def test_modules_are_scopes():
    class Model(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(2, 3, rng=0)
            self.outer = nn.Linear(3, 1, rng=0)

        def forward(self, x):
            return self.outer(tg.tanh(self.inner(x)))

    scopes = [(n.op, str(n.scope)) for n in tg.graph(Model()(np.ones((1, 2)))).nodes if n.kind == "operation"]
    assert scopes[0] == ("inner", "Model/inner")
    assert ("tanh", "Model") in scopes
    assert scopes[-1] == ("add", "Model/outer")


@pytest.mark.parametrize(
    "untracked",
    [
        lambda: (),
        lambda: (tg.tensor(1.0),),
        lambda: (tg.tensor(1.0) * 2,),
        lambda: (leaf(1.0), tg.tensor(1.0)),
        lambda: (leaf(1.0).detach(),),
    ],
    ids=["nothing", "constant", "of a constant", "one of two", "detached"],
)
def test_a_graph_of_what_the_tape_knows_nothing_of(untracked):
    with pytest.raises(ValueError, match=r"graph: want one or more tensors computed from .*requires_grad=True"):
        tg.graph(*untracked())


# ------------------------------------------------------------------------------------------------------- gradient norms


def test_norms_are_there_once_a_backward_has_run():
    x, w, a, y = small()
    assert {n.grad_norm for n in tg.graph(y).nodes} == {None}
    (of_a,) = tg.autograd.grad(y, a, retain_graph=True)
    assert {n.grad_norm for n in tg.graph(y).nodes} == {None}
    y.backward()
    nodes = tg.graph(y).nodes
    names = by_name(tg.graph(y))
    assert names["x"].grad_norm == pytest.approx(np.linalg.norm(x.grad), rel=1e-14)
    assert names["w"].grad_norm == pytest.approx(np.linalg.norm(w.grad), rel=1e-6)
    assert names["a"].grad_norm == pytest.approx(np.linalg.norm(of_a.data), rel=1e-14)
    assert names["c"].grad_norm is None
    assert nodes[-1].grad_norm == 1.0
    assert all(type(n.grad_norm) is float for n in nodes if n.kind != "constant")


def test_every_intermediate_norm_is_that_of_its_gradient():
    rnn = nn.RNN(2, 3, rng=0)
    xs = np.random.default_rng(0).standard_normal((4, 5, 2))
    ys, _ = rnn(xs, unroll=True)
    y = tg.tanh(ys)
    loss = (y * y).sum()
    (of_ys, of_y) = tg.autograd.grad(loss, [ys, y], retain_graph=True)
    loss.backward()
    norms = {n.op: n.grad_norm for n in tg.graph(loss).nodes}
    assert norms["stack"] == pytest.approx(np.linalg.norm(of_ys.data), rel=1e-13)
    named = by_name(tg.graph(loss))
    for p in rnn.parameters():
        assert named[p.name].grad_norm == pytest.approx(np.linalg.norm(p.grad), rel=1e-13)
    assert of_y.shape == y.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30, 3e38])
def test_norms_of_tiny_and_huge_gradients(scale, dtype):
    x = leaf(np.zeros((3, 4)), dtype=dtype)
    ct = (np.arange(12).reshape(3, 4) % 5 - 2).astype(dtype) / 2 * dtype(scale)
    (x + 0).backward(ct)
    expected = float(np.sqrt(np.sum(ct.astype(np.longdouble) ** 2)))
    for node in tg.graph(x + 0).nodes[:1]:
        assert node.grad_norm == pytest.approx(expected, rel=1e-5 if dtype is np.float32 else 1e-12, abs=0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_norms_of_gradients_that_blew_up(bad):
    x = leaf(np.zeros(3))
    (x + 0).backward(np.array([1.0, bad, 2.0]))
    norm = tg.graph(x).nodes[0].grad_norm
    assert np.isnan(norm) if np.isnan(bad) else norm == np.inf


def test_norms_of_empty_and_zero_gradients():
    for shape in [(0, 3), (2, 2)]:
        x = leaf(np.zeros(shape))
        (x * 0).sum().backward()
        assert tg.graph(x).nodes[0].grad_norm == 0.0


def test_a_second_backward_gives_leaves_the_norm_of_the_sum():
    x = leaf([3.0, 4.0], "x")
    for k in (1, 2):
        y = (x * x).sum() / 2
        y.backward()
        assert by_name(tg.graph(y))["x"].grad_norm == pytest.approx(5.0 * k)


def test_a_leaf_s_norm_is_that_of_its_grad_as_it_is_now():
    def norms():
        return {name: node.grad_norm for name, node in by_name(tg.graph(y)).items()}

    x = leaf([3.0, 4.0], "x")
    y = (x * x).sum() / 2
    y.name = "y"
    y.backward()
    assert norms() == {"x": 5.0, "y": 1.0}
    x.grad *= 0.5
    assert norms() == {"x": 2.5, "y": 1.0}
    x.grad = None
    assert norms() == {"x": None, "y": 1.0}


# ------------------------------------------------------------------------------------------------------------- the view


def test_the_view_keeps_no_array_alive_and_can_t_be_changed():
    x = leaf(np.ones(3), "x")
    y = tg.tanh(x * 2)
    arrays = [weakref.ref(y.value), weakref.ref(x.value)]
    g = tg.graph(y)
    with pytest.raises(AttributeError):
        g.nodes[0].name = "z"
    with pytest.raises(AttributeError):
        g.outputs = ()
    del x, y
    assert [r() for r in arrays] == [None, None]
    assert g.nodes[0].name == "x"


def test_the_graph_of_a_deep_chain():
    y = leaf(1.0)
    for _ in range(20_000):
        y = y * 1.0
    gc.collect()
    assert len(tg.graph(y).nodes) == 20_001
