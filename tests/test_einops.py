"""einops on tensors: NumPy's results, and gradients through them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg

einops = pytest.importorskip("einops", reason="einops is not installed: its backend is not tested")
pytest.importorskip("tinygrad_rnn.einops_backend")

X = np.arange(24.0).reshape(2, 3, 4) / 10 + 0.05
Y = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.5], [-0.5, 0.75]])

CALLS = {
    "transpose": lambda x: einops.rearrange(x, "a b c -> c a b"),
    "join": lambda x: einops.rearrange(x, "a b c -> (a c) b"),
    "split": lambda x: einops.rearrange(x, "a b (c d) -> a d (b c)", c=2),
    "ellipsis": lambda x: einops.rearrange(x, "a ... -> ... a"),
    "new axis": lambda x: einops.rearrange(x, "a b c -> a 1 b c 1"),
    "list": lambda x: einops.rearrange([x, x * 2], "n a b c -> (n a) b c"),
    "sum": lambda x: einops.reduce(x, "a b c -> b", "sum"),
    "mean": lambda x: einops.reduce(x, "a (b 1) c -> a c", "mean"),
    "max": lambda x: einops.reduce(x, "a b (c d) -> a c", "max", d=2),
    "min": lambda x: einops.reduce(x, "a b c -> ", "min"),
    "prod": lambda x: einops.reduce(x, "a b c -> a 1 c", "prod"),
    "repeat": lambda x: einops.repeat(x, "a b c -> a (b k) c", k=2),
    "repeat along two": lambda x: einops.repeat(x, "a b c -> m a b c n", m=2, n=3),
    "einsum": lambda x: einops.einsum(x, x * 2, "time batch i, time batch j -> batch i j"),
    "einsum with an array": lambda x: einops.einsum(x, Y if type(x) is np.ndarray else tg.tensor(Y), "a b i, i j -> b"),
    "pack": lambda x: einops.pack([x, x[:, 0]], "a * c")[0],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_einops(call):
    t = tg.tensor(X, requires_grad=True)
    out = call(t)
    assert type(out) is tg.Tensor
    assert out.requires_grad
    assert_allclose(out.data, call(X), rtol=1e-14)
    tg.check_grads(call, (X,))
    assert_allclose(tg.vmap(call)(np.stack([X, 2 * X])).data[1], call(2 * X), rtol=1e-14)


def test_truth_values_are_plain():
    t = tg.tensor(X - 1.0, requires_grad=True)
    assert_array_equal(einops.reduce(t, "a b c -> b", "all"), [True, True, True])


def test_the_mean_of_integers_is_refused_as_einops_does():
    with pytest.raises(NotImplementedError):
        einops.reduce(tg.tensor([1, 2]), "a -> ", "mean")


def test_sizes_can_be_read():
    assert einops.parse_shape(tg.tensor(X), "a _ c") == {"a": 2, "c": 4}
    assert_array_equal(einops.asnumpy(tg.tensor(X, requires_grad=True)), X)
