"""The same computation in PyTorch: the same values, the same gradients, the same choices at kinks and infinities."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn import functional

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
F = torch.nn.functional

rng = np.random.default_rng(13)
inf, nan = np.inf, np.nan


def normal(*shape):
    return rng.normal(size=shape)


def both(ours, theirs, arrays, ct=None):
    """Value and gradients, ours and theirs, for one cotangent."""
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    with np.errstate(invalid="ignore", divide="ignore"):  # where both say NaN or infinity, NumPy warns
        out = ours(*xs)
        want = theirs(*ts)
        ct = np.asarray(rng.normal(size=out.shape) if ct is None else ct, out.dtype)
        out.backward(ct)
    want.backward(torch.tensor(ct))
    return (
        [out.data, *[x.grad for x in xs]],
        [want.detach().numpy(), *[np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in ts]],
    )


def agree(ours, theirs, *arrays, rtol=1e-12, ct=None):
    got, want = both(ours, theirs, arrays, ct)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        assert_allclose(g, w, rtol=rtol, atol=rtol)


OPERATIONS = {
    "add": (tg.add, torch.add, [normal(2, 3), normal(3)]),
    "subtract": (tg.subtract, torch.subtract, [normal(2, 3), normal(2, 1)]),
    "multiply": (tg.multiply, torch.multiply, [normal(2, 1), normal(1, 3)]),
    "divide": (tg.divide, torch.divide, [normal(2, 3), normal(3)]),
    "negative": (tg.negative, torch.negative, [normal(2, 3)]),
    "power": (tg.power, torch.pow, [np.exp(normal(2, 3)), normal(3)]),
    "power, number": (lambda x: x**3, lambda x: x**3, [normal(2, 3)]),
    "power, base": (lambda x: 2**x, lambda x: 2**x, [normal(2, 3)]),
    "exp": (tg.exp, torch.exp, [normal(2, 3)]),
    "log": (tg.log, torch.log, [np.exp(normal(2, 3))]),
    "sqrt": (tg.sqrt, torch.sqrt, [np.exp(normal(2, 3))]),
    "tanh": (tg.tanh, torch.tanh, [normal(2, 3)]),
    "sigmoid": (tg.sigmoid, torch.sigmoid, [normal(2, 3)]),
    "relu": (tg.relu, torch.relu, [normal(2, 3)]),
    "maximum": (tg.maximum, torch.maximum, [normal(2, 3), normal(3)]),
    "where": (
        lambda x, y: tg.where(np.array([True, False, True]), x, y),
        lambda x, y: torch.where(torch.tensor([True, False, True]), x, y),
        [normal(2, 3), normal(2, 1)],
    ),
    "matmul": (tg.matmul, torch.matmul, [normal(2, 3), normal(3, 4)]),
    "matmul, vectors": (tg.matmul, torch.matmul, [normal(3), normal(3)]),
    "matmul, matrix and vector": (tg.matmul, torch.matmul, [normal(2, 3), normal(3)]),
    "matmul, vector and stack": (tg.matmul, torch.matmul, [normal(3), normal(2, 3, 4)]),
    "matmul, stacks": (tg.matmul, torch.matmul, [normal(2, 1, 2, 3), normal(4, 3, 2)]),
    "inner": (tg.inner, torch.inner, [normal(2, 2, 3), normal(4, 3)]),
    "linear": (functional.linear, F.linear, [normal(2, 2, 3), normal(4, 3), normal(4)]),
    "sum": (lambda x: tg.sum(x, (0, -1)), lambda x: x.sum((0, -1)), [normal(2, 3, 2)]),
    "mean": (lambda x: tg.mean(x, 1, True), lambda x: x.mean(1, True), [normal(2, 3)]),
    "max": (lambda x: tg.max(x, 1), lambda x: x.amax(1), [normal(2, 3)]),
    "logsumexp": (lambda x: tg.logsumexp(x, (0, 1)), lambda x: x.logsumexp((0, 1)), [normal(2, 3)]),
    "softmax": (lambda x: tg.softmax(x, 0), lambda x: x.softmax(0), [normal(2, 3)]),
    "log_softmax": (lambda x: tg.log_softmax(x, 1), lambda x: x.log_softmax(1), [normal(2, 3)]),
    "reshape": (lambda x: x.reshape(3, -1), lambda x: x.reshape(3, -1), [normal(2, 3)]),
    "transpose": (lambda x: x.transpose(2, 0, 1), lambda x: x.permute(2, 0, 1), [normal(2, 3, 4)]),
    "swapaxes": (lambda x: x.swapaxes(0, -1), lambda x: x.swapaxes(0, -1), [normal(2, 3, 4)]),
    "broadcast_to": (lambda x: tg.broadcast_to(x, (2, 3)), lambda x: x.expand(2, 3), [normal(2, 1)]),
    "expand_dims": (lambda x: tg.expand_dims(x, 1), lambda x: x.unsqueeze(1), [normal(2, 3)]),
    "squeeze": (lambda x: x.squeeze(1), lambda x: x.squeeze(1), [normal(2, 1, 3)]),
    "concatenate": (lambda *xs: tg.concatenate(xs, 1), lambda *xs: torch.cat(xs, 1), [normal(2, 1), normal(2, 3)]),
    "stack": (lambda *xs: tg.stack(xs, 1), lambda *xs: torch.stack(xs, 1), [normal(2, 3), normal(2, 3)]),
    "unstack": (lambda x: tg.unstack(x, 1)[1], lambda x: x.unbind(1)[1], [normal(2, 3)]),
    "getitem": (lambda x: x[1:, ::2], lambda x: x[1:, ::2], [normal(3, 4)]),
    "getitem, integers": (lambda x: x[[0, 0, 2]], lambda x: x[[0, 0, 2]], [normal(3, 4)]),
    "getitem, pairs": (lambda x: x[[0, 0], [1, 1]], lambda x: x[[0, 0], [1, 1]], [normal(3, 4)]),
}


@pytest.mark.parametrize(("ours", "theirs", "arrays"), OPERATIONS.values(), ids=OPERATIONS)
def test_operation(ours, theirs, arrays):
    agree(ours, theirs, *arrays)
    agree(ours, theirs, *[a.astype(np.float32) for a in arrays], rtol=2e-5)


@pytest.mark.parametrize(("ours", "theirs", "arrays"), OPERATIONS.values(), ids=OPERATIONS)
def test_second_derivative(ours, theirs, arrays):
    """The gradient of the gradient's squares."""
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    ours_first = tg.autograd.grad((ours(*xs) ** 2).sum(), xs, create_graph=True)
    theirs_first = torch.autograd.grad((theirs(*ts) ** 2).sum(), ts, create_graph=True)
    sum((g * g).sum() for g in ours_first).backward()
    sum((g * g).sum() for g in theirs_first).backward()
    for x, t in zip(xs, ts, strict=True):
        assert_allclose(x.grad, t.grad.numpy(), rtol=1e-11, atol=1e-11)


# ------------------------------------------------------------------------------------------------ choices and extremes

EXTREMES = {
    "relu at 0": (tg.relu, torch.relu, [np.array([-1.0, -0.0, 0.0, 1.0, inf, -inf])]),
    "maximum, ties": (tg.maximum, torch.maximum, [np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])]),
    "max, ties": (
        lambda x: tg.max(x, 1),
        lambda x: x.amax(1),
        [np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [-inf, -inf, -inf]])],
    ),
    "sigmoid, far out": (tg.sigmoid, torch.sigmoid, [np.array([-inf, -1000.0, -30.0, 30.0, 1000.0, inf])]),
    "tanh, far out": (tg.tanh, torch.tanh, [np.array([-inf, -1000.0, 1000.0, inf])]),
    "exp, far out": (tg.exp, torch.exp, [np.array([-inf, -1000.0])]),
    "sqrt at 0": (tg.sqrt, torch.sqrt, [np.array([0.0, 4.0])]),
    "log at 0": (tg.log, torch.log, [np.array([0.0, 1.0])]),
    "0²": (lambda x: x**2, lambda x: x**2, [np.array([0.0, -2.0])]),
    "0^1": (lambda x: x**1, lambda x: x**1, [np.array([0.0, -2.0])]),
    "0^0": (lambda x: x**0, lambda x: x**0, [np.array([0.0, -2.0])]),
    "0^½": (lambda x: x**0.5, lambda x: x**0.5, [np.array([0.0, 4.0])]),
    "0^y": (tg.power, torch.pow, [np.zeros(4), np.array([0.0, 1.0, 2.0, 0.5])]),
    "0^y, number": (lambda y: 0.0**y, lambda y: 0.0**y, [np.array([0.0, 1.0, 2.0, 0.5])]),
    "0^−1": (lambda y: 0.0**y, lambda y: 0.0**y, [np.array([-1.0])]),
    "(−2)^y": (tg.power, torch.pow, [np.array([-2.0, -2.0]), np.array([2.0, 3.0])]),
    "logsumexp, large": (lambda x: tg.logsumexp(x, 1), lambda x: x.logsumexp(1), [normal(2, 3) + 1e4]),
    "logsumexp, −∞": (lambda x: tg.logsumexp(x, 1), lambda x: x.logsumexp(1), [np.array([[-inf, 0.0, 1.0]])]),
    "softmax, large": (lambda x: tg.softmax(x, 1), lambda x: x.softmax(1), [normal(2, 3) * 1e4]),
    "softmax, −∞": (lambda x: tg.softmax(x, 1), lambda x: x.softmax(1), [np.array([[-inf, 0.0, 1.0]])]),
    "softmax, all −∞": (lambda x: tg.softmax(x, 1), lambda x: x.softmax(1), [np.full((1, 2), -inf)]),
    "log_softmax, large": (lambda x: tg.log_softmax(x, 1), lambda x: x.log_softmax(1), [normal(2, 3) * 1e4]),
    "log_softmax, −∞": (lambda x: tg.log_softmax(x, 1), lambda x: x.log_softmax(1), [np.array([[-inf, 0.0, 1.0]])]),
}


@pytest.mark.parametrize(("ours", "theirs", "arrays"), EXTREMES.values(), ids=EXTREMES)
def test_at_the_extremes(ours, theirs, arrays):
    out = theirs(*[torch.tensor(a) for a in arrays])
    agree(ours, theirs, *arrays, ct=np.arange(1.0, 1.0 + out.numel()).reshape(out.shape))


@pytest.mark.parametrize("x", [[-inf, -inf], [inf, 1000.0], [inf, -inf]])
def test_logsumexp_of_infinities(x):
    x = np.array([x])
    got, want = both(lambda x: tg.logsumexp(x, 1), lambda x: x.logsumexp(1), [x])
    assert_array_equal(got[0], want[0])


# --------------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_cross_entropy(reduction, scale):
    labels = np.array([0, 2, 1, 1])
    agree(
        lambda x: functional.cross_entropy(x, labels, reduction=reduction),
        lambda x: F.cross_entropy(x, torch.tensor(labels), reduction=reduction),
        normal(4, 3) * scale,
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_sequences(reduction):
    """PyTorch has the classes second; here `axis` says where they are."""
    labels = rng.integers(3, size=(4, 5))
    agree(
        lambda x: functional.cross_entropy(x, labels, axis=1, reduction=reduction),
        lambda x: F.cross_entropy(x, torch.tensor(labels), reduction=reduction),
        normal(4, 3, 5),
    )


def test_cross_entropy_of_one():
    agree(lambda x: functional.cross_entropy(x, 1), lambda x: F.cross_entropy(x, torch.tensor(1)), normal(3))


def test_cross_entropy_with_infinite_logits():
    agree(
        lambda x: functional.cross_entropy(x, [1, 0]),
        lambda x: F.cross_entropy(x, torch.tensor([1, 0])),
        np.array([[-inf, 0.0, 1.0], [0.0, -inf, 1.0]]),
    )


# --------------------------------------------------------------------------------------------------------------- layers

DTYPES = {np.float64: (torch.float64, 1e-11), np.float32: (torch.float32, 5e-5)}


def same_weights(ours, theirs):
    """Load a PyTorch module's state by name, and check that nothing was left over."""
    state = theirs.state_dict()
    ours.load_state_dict(state)
    assert set(ours.state_dict()) == set(state)
    for name, value in ours.state_dict().items():
        assert_array_equal(value, state[name].numpy())


def same_gradients(ours, theirs, rtol):
    wanted = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        want = wanted[name].grad.numpy()
        assert p.grad.dtype == want.dtype
        assert_allclose(p.grad, want, rtol=0, atol=rtol * np.abs(want).max(), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_linear(dtype, bias):
    kind, rtol = DTYPES[dtype]
    theirs = torch.nn.Linear(3, 4, bias, dtype=kind)
    ours = nn.Linear(3, 4, bias, dtype=dtype)
    same_weights(ours, theirs)
    x, ct = normal(5, 2, 3).astype(dtype), normal(5, 2, 4).astype(dtype)
    y, want = ours(x), theirs(torch.tensor(x))
    assert_allclose(y.data, want.detach().numpy(), rtol=rtol, atol=rtol)
    y.backward(ct)
    want.backward(torch.tensor(ct))
    same_gradients(ours, theirs, rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (4,)])
@pytest.mark.parametrize("given", [True, False])
def test_rnn(batch, bias, nonlinearity, given, dtype):
    kind, rtol = DTYPES[dtype]
    theirs = torch.nn.RNN(3, 5, nonlinearity=nonlinearity, bias=bias, dtype=kind)
    ours = nn.RNN(3, 5, 1, nonlinearity, bias, dtype=dtype)
    same_weights(ours, theirs)
    xs, h_0 = normal(7, *batch, 3).astype(dtype), normal(1, *batch, 5).astype(dtype)
    ct = normal(7, *batch, 5).astype(dtype)

    x, h = tg.tensor(xs, requires_grad=True), tg.tensor(h_0, requires_grad=True)
    ys, h_n = ours(x, h if given else None)
    ((ys * ct).sum() + (h_n**2).sum()).backward()

    tx, th = torch.tensor(xs, requires_grad=True), torch.tensor(h_0, requires_grad=True)
    tys, th_n = theirs(tx, th if given else None)
    ((tys * torch.tensor(ct)).sum() + (th_n**2).sum()).backward()

    assert (ys.shape, h_n.shape) == (tuple(tys.shape), tuple(th_n.shape))
    assert_allclose(ys.data, tys.detach().numpy(), rtol=rtol, atol=rtol)
    assert_allclose(h_n.data, th_n.detach().numpy(), rtol=rtol, atol=rtol)
    same_gradients(ours, theirs, rtol)
    for mine, other in ((x, tx), (h, th)) if given else ((x, tx),):
        want = other.grad.numpy()
        assert_allclose(mine.grad, want, rtol=0, atol=rtol * np.abs(want).max())


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (4,)])
def test_rnn_cell(batch, bias, nonlinearity):
    theirs = torch.nn.RNNCell(3, 5, bias, nonlinearity, dtype=torch.float64)
    ours = nn.RNNCell(3, 5, bias, nonlinearity)
    same_weights(ours, theirs)
    xs, h_0 = normal(6, *batch, 3), normal(*batch, 5)
    h, th = tg.tensor(h_0), torch.tensor(h_0)
    for x in xs:
        h, th = ours(x, h), theirs(torch.tensor(x), th)
    assert_allclose(h.data, th.detach().numpy(), rtol=1e-12, atol=1e-13)
    (h * h).sum().backward()
    (th * th).sum().backward()
    same_gradients(ours, theirs, 1e-11)
    assert_allclose(ours(xs[0]).data, theirs(torch.tensor(xs[0])).detach().numpy(), rtol=1e-12, atol=1e-13)


def test_a_language_model_trains_alike():
    """RNN, linear layer, cross-entropy: five steps of gradient descent stay together."""
    ours = [nn.RNN(4, 8), nn.Linear(8, 4)]
    theirs = [torch.nn.RNN(4, 8, dtype=torch.float64), torch.nn.Linear(8, 4, dtype=torch.float64)]
    for a, b in zip(ours, theirs, strict=True):
        same_weights(a, b)
    text = rng.integers(4, size=13)
    xs, labels = np.eye(4)[text[:-1]], text[1:]
    for _ in range(5):
        loss = functional.cross_entropy(ours[1](ours[0](xs)[0]), labels)
        want = F.cross_entropy(theirs[1](theirs[0](torch.tensor(xs))[0]), torch.tensor(labels))
        assert_allclose(loss.item(), want.item(), rtol=1e-12)
        for module in (*ours, *theirs):
            module.zero_grad()
        loss.backward()
        want.backward()
        for a, b in zip(ours, theirs, strict=True):
            same_gradients(a, b, 1e-11)
            for p, q in zip(a.parameters(), b.parameters(), strict=True):
                p.data -= 0.3 * p.grad
                q.data -= 0.3 * q.grad
