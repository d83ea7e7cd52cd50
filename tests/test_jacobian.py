"""Jacobians and Hessians: of any shapes, in any mode, against finite differences and against PyTorch."""

import itertools
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import autograd

rng = np.random.default_rng(11)
MODES = ["reverse", "forward", "auto"]


def numeric(f, x, step=1e-6):
    """∂f/∂x by central differences."""
    J = np.empty((*np.shape(f(x)), *x.shape))
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = step
        J[(..., *i)] = (np.asarray(f(x + e)) - np.asarray(f(x - e))) / (2 * step)
    return J


def value_of(f):
    return lambda x: tg.asarray(f(tg.tensor(x))).data


# --------------------------------------------------------------------------------------------------------------- shapes

SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("given", SHAPES, ids=str)
@pytest.mark.parametrize("wanted", SHAPES, ids=str)
def test_every_shape_to_every_shape(given, wanted, mode):
    """f(x)_i = Σ_j tanh(A_ij x_j) + x's first one cubed."""
    A = rng.normal(size=(*wanted, *given))

    def f(x):
        y = tg.tanh(x * A) if A.ndim else tg.tanh(x * A.item())
        return tg.sum(tg.reshape(y, (*wanted, -1 if A.size else int(np.prod(given)))), axis=-1)

    x = rng.normal(size=given)
    got = tg.jacobian(f, mode=mode)(x)
    assert type(got) is tg.Tensor
    assert got.shape == (*wanted, *given)
    assert_allclose(got.data, A * (1 - np.tanh(x * A) ** 2), rtol=1e-12)
    assert not got.requires_grad


@pytest.mark.parametrize("mode", MODES)
def test_of_a_python_number(mode):
    got = tg.jacobian(lambda x: tg.stack([x, x * x]), mode=mode)(3.0)
    assert_array_equal(got.data, [1, 6])


@pytest.mark.parametrize("mode", MODES)
def test_of_what_does_not_depend_on_the_argument(mode):
    assert_array_equal(tg.jacobian(lambda x: tg.tensor([1.0, 2.0]), mode=mode)(np.ones(3)).data, np.zeros((2, 3)))
    J = tg.jacobian(lambda x, y: x * x, (0, 1), mode=mode)(np.ones(2), np.ones(3))
    assert_array_equal(J[0].data, 2 * np.eye(2))
    assert_array_equal(J[1].data, np.zeros((2, 3)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_kept(mode, dtype):
    x = np.array([1.0, 2.0], dtype)
    assert tg.jacobian(lambda x: x**2 / 3 + 1, mode=mode)(x).dtype == dtype
    assert tg.hessian(lambda x: (x**3).sum() / 3)(x).dtype == dtype
    J = tg.jacobian(lambda x, y: (x * 2, y * 3.0), (0, 1), mode=mode)(x, np.ones(2))
    assert (J[0][0].dtype, J[1][1].dtype) == (dtype, np.float64)


# ----------------------------------------------------------------------------------------------------- trees, arguments


@pytest.mark.parametrize("mode", MODES)
def test_trees_in_and_out(mode):
    x = {"a": rng.normal(size=2), "b": (rng.normal(size=(2, 2)), None)}

    def f(p):
        a, b = p["a"], p["b"][0]
        return [b @ a, {"sum": (a * a).sum()}]

    J = tg.jacobian(f, mode=mode)(x)
    assert_allclose(J[0]["a"].data, x["b"][0], rtol=1e-13)
    assert_allclose(J[0]["b"][0].data, np.einsum("ij,k->ijk", np.eye(2), x["a"]), rtol=1e-13)
    assert J[0]["b"][1] is None
    assert_allclose(J[1]["sum"]["a"].data, 2 * x["a"], rtol=1e-13)
    assert_array_equal(J[1]["sum"]["b"][0].data, np.zeros((2, 2)))


@pytest.mark.parametrize("mode", MODES)
def test_argnums(mode):
    args = (rng.normal(size=2), rng.normal(size=3), rng.normal(size=()))
    f = lambda x, y, z: x[:, None] * y * z  # noqa: E731
    want = [
        np.einsum("ik,j->ijk", np.eye(2), args[1]) * args[2],
        np.einsum("i,jk->ijk", args[0], np.eye(3)) * args[2],
        np.outer(args[0], args[1]),
    ]
    for i in (0, 1, 2):
        assert_allclose(tg.jacobian(f, i, mode=mode)(*args).data, want[i], rtol=1e-13)
        assert_allclose(tg.jacobian(f, i - 3, mode=mode)(*args).data, want[i], rtol=1e-13)
    for argnums in [(0,), (2, 0), [0, 1, 2], (-1, 1), (0, 0), (1, -2)]:
        got = tg.jacobian(f, argnums, mode=mode)(*args)
        assert type(got) is tuple
        assert len(got) == len(argnums)
        for J, i in zip(got, argnums, strict=True):
            assert_allclose(J.data, want[i], rtol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_auxiliary_results(mode):
    x = np.array([1.0, 2.0])
    J, aux = tg.jacobian(lambda x: (x * x, {"y": x + 1, "n": 3}), mode=mode, has_aux=True)(x)
    assert_array_equal(J.data, [[2, 0], [0, 4]])
    assert_array_equal(aux["y"].data, [2, 3])
    assert not aux["y"].requires_grad
    assert aux["n"] == 3
    H, aux = tg.hessian(lambda x: ((x**3).sum(), x + 1), has_aux=True)(x)
    assert_array_equal(H.data, [[6, 0], [0, 12]])
    assert_array_equal(aux.data, [2, 3])
    assert type(aux) is tg.Tensor
    (H,), aux = tg.hessian(lambda x: ((x**3).sum(), x + 1), (0,), has_aux=True)(x)
    assert_array_equal(H[0].data, [[6, 0], [0, 12]])
    assert_array_equal(aux.data, [2, 3])


@pytest.mark.parametrize("mode", MODES)
def test_a_jacobian_by_what_else_is_on_the_tape(mode):
    w = tg.tensor([2.0, 3.0], requires_grad=True)
    J = tg.jacobian(lambda x: w * x**2, mode=mode)(np.array([5.0, 7.0]))
    assert J.requires_grad
    (g,) = autograd.grad(J, w, np.array([[1.0, 10.0], [100.0, 1.0]]))
    assert_allclose(g.data, [10, 14])


# ------------------------------------------------------------------------------------------------------------- Hessians

W = rng.normal(size=(3, 4))


def scalar(x):
    return (tg.softmax(W @ x) ** 2).sum() * tg.tanh(x).sum() + tg.max(x) ** 3 + tg.relu(x * x - 0.1).sum()


COMBINATIONS = list(itertools.product(["reverse", "forward"], repeat=2))


@pytest.mark.parametrize("modes", COMBINATIONS, ids=" then ".join)
def test_hessians_in_every_combination_of_modes(modes):
    x = rng.normal(size=4)
    got = tg.jacobian(tg.jacobian(scalar, mode=modes[0]), mode=modes[1])(x)
    assert_allclose(got.data, numeric(value_of(tg.grad(scalar)), x), rtol=1e-6, atol=1e-8)
    assert_allclose(got.data, tg.hessian(scalar)(x).data, rtol=1e-11, atol=1e-13)
    assert_allclose(got.data, got.data.T, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("modes", list(itertools.product(["reverse", "forward"], repeat=3)), ids=" ".join)
def test_the_third_derivative(modes):
    """∂³/∂x_i ∂x_j ∂x_k of (a·x)³ + softmax's, in every combination of modes."""
    a = np.array([1.0, -2.0])
    f = lambda x: (x @ a) ** 3  # noqa: E731
    g = lambda x: tg.logsumexp(x * a) + tg.tanh(x).sum()  # noqa: E731
    x = np.array([0.3, 0.7])

    def third(f):
        for mode in modes:
            f = tg.jacobian(f, mode=mode)
        return f

    assert_allclose(third(f)(x).data, 6 * np.einsum("i,j,k->ijk", a, a, a), rtol=1e-12)
    assert_allclose(third(g)(x).data, numeric(value_of(tg.hessian(g)), x), rtol=1e-6, atol=1e-8)


def test_a_hessian_of_several_arguments_and_of_a_tree():
    f = lambda p, y: (p["a"] * y).sum() ** 2 + (p["b"] ** 3) * y[0]  # noqa: E731
    p, y = {"a": np.array([1.0, 2.0]), "b": np.array(3.0)}, np.array([5.0, 7.0])
    H = tg.hessian(f)(p, y)
    assert_allclose(H["a"]["a"].data, 2 * np.outer(y, y), rtol=1e-13)
    assert_array_equal(H["a"]["b"].data, [0, 0])
    assert_array_equal(H["b"]["a"].data, [0, 0])
    assert_allclose(H["b"]["b"].data, 6 * 3 * 5, rtol=1e-13)
    both = tg.hessian(f, (0, 1))(p, y)
    assert_allclose(both[0]["a"][0]["a"].data, 2 * np.outer(y, y), rtol=1e-13)
    mixed = both[0]["b"][1]
    assert_allclose(mixed.data, [3 * 9, 0], rtol=1e-13)
    assert_allclose(both[1][0]["b"].data, mixed.data, rtol=1e-13)
    assert both[1][1].shape == (2, 2)
    twice = tg.hessian(lambda x: (x**3).sum(), (0, 0))(np.ones(2))
    for row in twice:
        for block in row:
            assert_array_equal(block.data, 6 * np.eye(2))


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)], ids=str)
def test_hessians_of_any_shape(shape):
    x = rng.normal(size=shape)
    H = tg.hessian(lambda x: (tg.tanh(x) * x).sum() * x.sum())(x)
    assert H.shape == shape + shape
    want = numeric(value_of(tg.grad(lambda x: (tg.tanh(x) * x).sum() * x.sum())), x)
    assert_allclose(H.data, want, rtol=1e-6, atol=1e-8)


def test_a_jacobian_inside_of_other_transforms():
    x, v = rng.normal(size=4), rng.normal(size=4)
    for mode in MODES:
        rows = lambda x, m=mode: tg.jacobian(lambda x: tg.softmax(x) * x.sum(), mode=m)(x)  # noqa: E731
        assert_allclose(tg.jvp(rows, (x,), (v,))[1].data, numeric(value_of(rows), x) @ v, rtol=1e-6, atol=1e-8)
        square = lambda x, r=rows: (r(x) ** 2).sum()  # noqa: E731
        assert_allclose(tg.grad(square)(x).data, numeric(value_of(square), x), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_size_zero_inside_of_other_transforms(mode):
    empty = lambda x: tg.jacobian(lambda y: (y * x)[:0], mode=mode)(x)  # noqa: E731
    assert tg.jvp(empty, (np.ones(2),), (np.ones(2),))[1].shape == (0, 2)
    assert tg.grad(lambda x: empty(x).sum())(np.ones(2)).data.tolist() == [0, 0]


# ----------------------------------------------------------------------------------------------------- against PyTorch


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("mode", MODES)
def test_against_torch(mode):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(2, 3))
    A = rng.normal(size=(3, 3))

    def f(np_, x, A):
        y = np_.tanh(x @ A)
        return np_.stack([y, y * x])

    theirs = torch.func.jacrev(lambda x: f(torch, x, torch.tensor(A)))(torch.tensor(x))
    assert_allclose(tg.jacobian(lambda x: f(tg, x, A), mode=mode)(x).data, theirs.numpy(), rtol=1e-12)
    theirs = torch.func.hessian(lambda x: (f(torch, x, torch.tensor(A)) ** 2).sum())(torch.tensor(x))
    assert_allclose(tg.hessian(lambda x: (f(tg, x, A) ** 2).sum())(x).data, theirs.numpy(), rtol=1e-11, atol=1e-13)
    theirs = torch.func.vmap(torch.func.jacfwd(lambda x: f(torch, x, torch.tensor(A))))(torch.tensor(x))
    assert_allclose(tg.vmap(tg.jacobian(lambda x: f(tg, x, A), mode=mode))(x).data, theirs.numpy(), rtol=1e-12)


# --------------------------------------------------------------------------------------------------------------- errors


def test_errors():
    with pytest.raises(ValueError, match="jacobian: mode must be 'auto', 'reverse' or 'forward', got 'backward'"):
        tg.jacobian(lambda x: x, mode="backward")
    with pytest.raises(ValueError, match="jacobian: argnums names argument 1, but the function was called with 1"):
        tg.jacobian(lambda x: x, 1)(1.0)
    with pytest.raises(TypeError, match="jacobian: argument 0 must be of floating-point numbers"):
        tg.jacobian(lambda x: x)(np.array([1, 2]))
    with pytest.raises(ValueError, match=re.escape("the function must return a scalar, got a tensor of shape (2,)")):
        tg.hessian(lambda x: x * x)(np.ones(2))
    with pytest.raises(TypeError, match=r"^jacobian: the function must return a tensor, got float"):
        tg.jacobian(lambda x: 3.0)(1.0)
    with pytest.raises(TypeError, match=r"^hessian: argument 0 must be of floating-point numbers"):
        tg.hessian(lambda x: x)(np.array(1))
    with pytest.raises(TypeError, match=r"^jacobian: with has_aux=True the function must return a pair"):
        tg.jacobian(lambda x: x, has_aux=True)(1.0)
