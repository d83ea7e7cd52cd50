"""Random programs: operations put together in ways nobody thought of, against PyTorch, finite differences, themselves.

A program is a list of steps, each an operation on earlier results. It is drawn along with the numbers it works on, so
that no number comes near a kink or a tie, and none grows: a result beyond 3 is scaled down, by a factor that is then
part of the step. What no later step uses is the result, so nothing that was drawn is in vain.

Indices and `einsum`'s subscripts are drawn too, against NumPy's own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import autograd, ops

# ---------------------------------------------------------------------------------------------------------- operations


@dataclass(frozen=True)
class Operation:
    """An operation in both languages.

    Args:
        f: takes the language (`tinygrad_rnn` or `torch`), the operands and the settings.
        torch: the same in PyTorch, if it is called differently there.
        operands: how many it takes.
        fits: a NumPy function that fails where this one must: it tells which arrays may be the second operand.
        draw: draws settings for operands; `None` if there are none for these.
        gap: how far its operands are from where it has no derivative.

    """

    f: Callable[..., Any]
    torch: Callable[..., Any] | None = None
    operands: int = 1
    fits: Callable[..., Any] = np.add
    draw: Callable[..., dict[str, Any] | None] = lambda draw, *xs: {}
    gap: Callable[..., Any] = lambda *xs, **settings: math.inf


def any_two(x, y):
    """A function that fails for no operands."""


def called(name, **more):
    """An operation of the same name in both languages."""
    return Operation(lambda m, *xs, **settings: getattr(m, name)(*xs, *settings.values()), **more)


def axis_of(draw, x):
    return {"axis": draw(st.integers(-x.ndim, x.ndim - 1))} if x.ndim else None


def axes_of(draw, x):
    """One axis or more (of a number, none: PyTorch takes no axes for all of them)."""
    axes = draw(st.lists(st.integers(0, x.ndim - 1), min_size=1, unique=True)) if x.ndim else []
    return {"axis": tuple(a - draw(st.sampled_from([0, x.ndim])) for a in axes), "keepdims": draw(st.booleans())}


def axes_with_elements(draw, x):
    return axes_of(draw, x) if x.size else None


def second_place(x, axis, **_):
    """How far apart the two largest, and the two smallest, numbers over the axes are."""
    axes = [a % x.ndim for a in axis]
    rows = np.moveaxis(x, axes, range(len(axes))).reshape(math.prod(x.shape[a] for a in axes), -1)
    between = np.diff(np.sort(rows, axis=0), axis=0)
    return between[[0, -1]] if len(between) else math.inf


def torch_prod(torch, x, axis, keepdims):
    for a in axis:
        x = torch.prod(x, a, keepdim=True)
    return x if keepdims else torch.squeeze(x, axis)


def with_square_matrices(draw, x):
    return {} if x.ndim >= 2 and x.shape[-2] else None


def positive_definite(m, x):
    """1 + X Xᵀ, of the size of X's rows."""
    return m.eye(x.shape[-2], dtype=x.dtype) + m.matmul(x, m.swapaxes(x, -1, -2))


def solved(m, x, y):
    return m.linalg.solve(positive_definite(m, x), m.reshape(y, (*y.shape[:-1], y.shape[-1])))


def some_index(draw, x):
    return {"index": draw(indices(x.shape))}


def shape_with_as_many(draw, x):
    whole = [(*x.shape, 1), (1, *x.shape), x.shape[::-1], (x.size,)]
    return {"shape": draw(st.sampled_from(whole + [(n, -1) for n in (1, 2, 3) if x.size and x.size % n == 0]))}


def moved(name, draw, ours=None, numpy=None):
    """An operation that only moves numbers. In PyTorch: look up where NumPy's function takes each number from."""
    numpy = numpy or getattr(np, name)

    def looked_up(torch, x, **settings):
        places = numpy(np.arange(math.prod(x.shape)).reshape(x.shape), *settings.values())
        return x.reshape(-1)[torch.tensor(np.array(places))]

    f = ours or getattr(tg, name)
    return Operation(lambda m, x, **settings: f(x, *settings.values()), looked_up, draw=draw)


def last_writer(shape, index):
    """For each number of x, the last of the values put in at an index that goes there, or −1. One after the other."""
    writer = np.full(math.prod(shape), -1)
    for k, place in enumerate(np.ravel(np.arange(writer.size).reshape(shape)[index])):
        writer[place] = k
    return writer.reshape(shape)


def torch_at(torch, x, value, index):
    """Where numbers are put, and the value spread out: for both as flat arrays."""
    places = np.arange(math.prod(x.shape)).reshape(x.shape)[index]
    return torch.tensor(np.ravel(places)), torch.broadcast_to(value, np.shape(places)).reshape(-1)


def torch_set(torch, x, value, index):
    _, values = torch_at(torch, x, value, index)
    writer = np.ravel(last_writer(x.shape, index))
    source = np.where(writer < 0, np.arange(writer.size), writer.size + writer)
    return torch.cat([x.reshape(-1), values])[torch.tensor(source)].reshape(x.shape)


def torch_add(torch, x, value, index):
    places, values = torch_at(torch, x, value, index)
    return x.reshape(-1).index_add(0, places, values).reshape(x.shape)


def place_for(draw, x, value):
    if x.ndim and x.size and draw(st.booleans()):  # as many places as there are values, some perhaps named repeatedly
        return {"index": draw(npst.integer_array_indices(x.shape, result_shape=st.just(value.shape)))}
    index = draw(indices(x.shape))
    return {"index": index} if broadcasts_to(value.shape, np.zeros(x.shape)[index].shape) else None


def broadcasts_to(small, large):
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


def joined_along(draw, x, y):
    axis = draw(st.integers(-x.ndim, x.ndim - 1)) if x.ndim and x.ndim == y.ndim else 0
    agree = x.ndim and x.ndim == y.ndim and np.delete(x.shape, axis).tolist() == np.delete(y.shape, axis).tolist()
    return {"axis": axis} if agree else None


def mask_for(draw, x, y):
    shape = np.broadcast_shapes(x.shape, y.shape)
    return {"mask": draw(masks(shape))}


def torch_where(torch, x, y, mask):
    return torch.where(torch.tensor(mask), x, y)


def labels_for(draw, x):
    if not x.ndim or not x.shape[-1]:
        return None
    return {"labels": draw(npst.arrays(int, x.shape[:-1], elements=st.integers(0, x.shape[-1] - 1)))}


def torch_cross_entropy(torch, x, labels):
    return -torch.log_softmax(x, -1).gather(-1, torch.tensor(labels)[..., None])[..., 0]


def nn(name):
    return lambda torch, x: getattr(torch.nn.functional, name)(x)


OPERATIONS = {
    # Functions of one number, each on a domain where it is smooth.
    **{name: called(name) for name in ("sin", "cos", "tanh", "sigmoid", "exp", "expm1", "exp2", "arctan", "arcsinh")},
    **{name: called(name) for name in ("sinh", "cosh", "erf", "square")},
    "negative, shifted": Operation(lambda m, x: 1.5 - x),
    "cube": Operation(lambda m, x: 0.5 * x**3),
    "reciprocal": Operation(lambda m, x: 1 / (1 + x * x)),
    "log": Operation(lambda m, x: m.log(1 + x * x)),
    "log1p": Operation(lambda m, x: m.log1p(x * x)),
    "sqrt": Operation(lambda m, x: m.sqrt(1 + x * x)),
    "tan": Operation(lambda m, x: m.tan(0.3 * x)),
    "arcsin": Operation(lambda m, x: m.arcsin(0.3 * x)),
    "arctanh": Operation(lambda m, x: m.arctanh(0.3 * x)),
    "arccosh": Operation(lambda m, x: m.arccosh(2 + x * x)),
    "softplus": Operation(lambda m, x: m.softplus(x), nn("softplus")),
    "silu": Operation(lambda m, x: m.silu(x), nn("silu")),
    "gelu": Operation(lambda m, x: m.gelu(x), nn("gelu")),
    "log_sigmoid": Operation(lambda m, x: m.log_sigmoid(x), nn("logsigmoid")),
    # With kinks and jumps, which the gap keeps away.
    "abs": called("abs", gap=np.abs),
    "relu": called("relu", gap=np.abs),
    "clip": Operation(lambda m, x: m.clip(x, -1, 1), gap=lambda x: np.abs(np.abs(x) - 1)),
    "remainder": Operation(lambda m, x: m.remainder(x, 1), gap=lambda x: np.abs(x - np.round(x))),
    # Of two numbers, with broadcasting.
    **{name: called(name, operands=2) for name in ("add", "subtract", "multiply", "logaddexp")},
    "divide": Operation(lambda m, x, y: x / (1 + y * y), operands=2),
    "power": Operation(lambda m, x, y: (1 + x * x) ** y, operands=2),
    "hypot": Operation(lambda m, x, y: m.hypot(x, 1 + y * y), operands=2),
    "arctan2": Operation(lambda m, x, y: m.arctan2(x, 1 + y * y), operands=2),
    "maximum": called("maximum", operands=2, gap=np.subtract),
    "minimum": called("minimum", operands=2, gap=np.subtract),
    "where": Operation(lambda m, x, y, mask: m.where(mask, x, y), torch_where, operands=2, draw=mask_for),
    # Over axes.
    "sum": called("sum", draw=axes_of),
    "mean": called("mean", draw=axes_with_elements),
    "prod": Operation(lambda m, x, axis, keepdims: m.prod(x, axis, keepdims), torch_prod, draw=axes_of),
    "logsumexp": called("logsumexp", draw=axes_with_elements),
    "max": called("amax", draw=axes_with_elements, gap=second_place),
    "min": called("amin", draw=axes_with_elements, gap=second_place),
    "var": Operation(
        lambda m, x, axis, keepdims: m.var(x, axis, keepdims=keepdims),
        lambda torch, x, axis, keepdims: torch.var(x, axis, correction=0, keepdim=keepdims),
        draw=axes_with_elements,
    ),
    "std": Operation(
        lambda m, x, axis, keepdims: m.std(x, axis, keepdims=keepdims),
        lambda torch, x, axis, keepdims: torch.std(x, axis, correction=0, keepdim=keepdims),
        draw=axes_with_elements,
        gap=lambda x, axis, keepdims: np.std(x, axis),
    ),
    "norm": Operation(
        lambda m, x, axis: m.linalg.norm(x, 3, axis),
        lambda torch, x, axis: torch.linalg.vector_norm(x, 3, axis),
        draw=axis_of,
        gap=lambda x, axis: np.linalg.norm(x, axis=axis),
    ),
    **{name: called(name, draw=axis_of) for name in ("softmax", "log_softmax", "cumsum", "cumprod")},
    "cross_entropy": Operation(lambda m, x, labels: ops.cross_entropy(x, labels), torch_cross_entropy, draw=labels_for),
    # Products.
    "matmul": called("matmul", operands=2, fits=np.matmul),
    "inner": called("inner", operands=2, fits=lambda x, y: np.tensordot(x, y, (-1, -1))),
    "tensordot": Operation(lambda m, x, y: m.tensordot(x, y, 1), operands=2, fits=lambda x, y: np.tensordot(x, y, 1)),
    "outer": Operation(lambda m, x, y: m.outer(m.ravel(x), m.ravel(y)), operands=2, fits=any_two),
    "det": Operation(lambda m, x: m.linalg.det(positive_definite(m, x)), draw=with_square_matrices),
    "slogdet": Operation(lambda m, x: m.linalg.slogdet(positive_definite(m, x))[1], draw=with_square_matrices),
    "inv": Operation(lambda m, x: m.linalg.inv(positive_definite(m, x)), draw=with_square_matrices),
    # Numbers moved, joined and put in.
    "getitem": moved("getitem", some_index, ops.getitem, lambda x, index: x[index]),
    "reshape": moved("reshape", shape_with_as_many),
    "transpose": moved("transpose", lambda draw, x: {"axes": tuple(draw(st.permutations(range(x.ndim))))}),
    "moveaxis": moved(
        "moveaxis",
        lambda draw, x: (
            {"source": draw(st.integers(-x.ndim, x.ndim - 1)), "to": draw(st.integers(0, x.ndim - 1))}
            if x.ndim
            else None
        ),
    ),
    "flip": moved("flip", axis_of),
    "roll": moved("roll", lambda draw, x: {"shift": draw(st.integers(-4, 4)), **(axis_of(draw, x) or {})}),
    "tile": moved("tile", lambda draw, x: {"reps": tuple(draw(st.lists(st.integers(0, 2), max_size=3)))}),
    "repeat": moved("repeat", lambda draw, x: {"repeats": draw(st.integers(0, 2)), **(axis_of(draw, x) or {})}),
    "broadcast_to": moved("broadcast_to", lambda draw, x: {"shape": (draw(st.integers(0, 2)), *x.shape)}),
    "pad": moved(
        "pad",
        lambda draw, x: (
            {"width": draw(st.integers(0, 2)), "mode": draw(st.sampled_from(["edge", "reflect", "symmetric", "wrap"]))}
            if x.size
            else None
        ),
    ),
    "diagonal": moved("diagonal", lambda draw, x: {"offset": draw(st.integers(-1, 1))} if x.ndim >= 2 else None),
    "concatenate": Operation(
        lambda m, x, y, axis: m.concatenate([x, y], axis), operands=2, fits=any_two, draw=joined_along
    ),
    "stack": Operation(
        lambda m, x, y, axis: m.stack([x, y], axis),
        operands=2,
        draw=lambda draw, x, y: {"axis": draw(st.integers(-x.ndim - 1, x.ndim))} if x.shape == y.shape else None,
    ),
    "set_at": Operation(
        lambda m, x, y, index: ops.set_at(x, index, y), torch_set, operands=2, fits=any_two, draw=place_for
    ),
    "add_at": Operation(
        lambda m, x, y, index: ops.add_at(x, index, y), torch_add, operands=2, fits=any_two, draw=place_for
    ),
}

# ------------------------------------------------------------------------------------------------------------- indices


def masks(shape):
    return npst.arrays(bool, shape, fill=st.nothing())  # every element drawn: else most are False


@st.composite
def indices(draw, shape):
    """Any index of an array: basic, by integers, by a mask, or some of each."""
    kinds = [npst.basic_indices(shape, allow_newaxis=True, max_dims=4), mixed_indices(shape)]
    some = npst.array_shapes(max_dims=2, max_side=3)
    if shape and 0 not in shape:
        kinds.append(npst.integer_array_indices(shape, result_shape=some))
    if shape and shape[0]:
        kinds.append(npst.arrays(int, some, elements=st.integers(-shape[0], shape[0] - 1)))
    masked = draw(st.integers(0, len(shape)))
    kinds.append(masks(shape[:masked]))
    return draw(st.one_of(kinds))


@st.composite
def mixed_indices(draw, shape):
    """For each axis an integer, a slice, integers that broadcast with the others', or a mask; with `None` and `...`."""
    common = draw(npst.array_shapes(min_dims=0, max_dims=2, max_side=3))
    many = common in ((), (1,), (1, 1))  # then a mask may select any number
    parts = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        kinds = [st.slices(n)]
        if n:
            some = draw(st.sampled_from([common, (), common[-1:]]))
            kinds += [st.integers(-n, n - 1), npst.arrays(int, some, elements=st.integers(-n, n - 1))]
        kind = draw(st.integers(0, len(kinds)))
        if kind == len(kinds):
            if many:
                parts.append(draw(masks((n,))))
                many = False  # of two masks, both would have to select as many
            else:
                parts.append(slice(None))
        else:
            parts.append(draw(kinds[kind]))
    for extra in (None, Ellipsis):
        if draw(st.booleans()):
            place = draw(st.integers(0, len(parts))) if extra is None else len(parts)
            parts.insert(place, extra)
    return tuple(parts)


SHAPES = st.lists(st.sampled_from([2, 3, 4, 1, 0]), max_size=3).map(tuple)
SEEDS = st.integers(0, 2**16)


@st.composite
def arrays_and_indices(draw):
    shape = draw(SHAPES)
    return np.random.default_rng(draw(SEEDS)).normal(size=shape), draw(indices(shape))


@given(arrays_and_indices(), SEEDS)
@settings(max_examples=120)
def test_reading_at_any_index(x_and_index, seed):
    """The gradient of x[index] is the cotangent added up by `np.add.at`."""
    array, index = x_and_index
    x = tg.tensor(array, requires_grad=True)
    out = x[index]
    assert_array_equal(out.data, array[index])
    ct = np.random.default_rng(seed).normal(size=out.shape)
    want = np.zeros(array.shape)
    np.add.at(want, index, ct)
    (recorded,) = autograd.grad(out, x, ct, create_graph=True)
    (x[index] * 1).backward(ct)
    assert_allclose(x.grad, want, rtol=1e-15, atol=1e-15)
    assert_array_equal(recorded.data, x.grad)
    assert_array_equal(tg.jvp(lambda x: x[index], (array,), (2 * array,))[1].data, 2 * array[index])
    many = np.stack([array, 2 * array, -array])
    assert_array_equal(tg.vmap(lambda x: x[index])(many).data, np.stack([a[index] for a in many]))
    pulled = tg.vmap(lambda x, ct: tg.vjp(lambda x: x[index], x)[1](ct)[0])(many, np.stack([ct, ct * 2, ct * 0]))
    assert_allclose(pulled.data, np.stack([want, want * 2, want * 0]), rtol=1e-15, atol=1e-15)


@given(arrays_and_indices(), st.data())
@settings(max_examples=120)
def test_writing_at_any_index(x_and_index, data):
    """Of several values for one place the last stays and alone gets a gradient; of those added, all do."""
    array, index = x_and_index
    place = array[index].shape
    shape = data.draw(st.sampled_from([place, (), place[1:], tuple(1 for _ in place)]))
    rng = np.random.default_rng(data.draw(SEEDS))
    put = rng.normal(size=shape)
    spread, ct = np.broadcast_to(put, place), rng.normal(size=array.shape)
    writer = last_writer(array.shape, index)

    x, value = tg.tensor(array, requires_grad=True), tg.tensor(put, requires_grad=True)
    out = x.at[index].set(value)
    want = np.where(writer < 0, array, np.append(spread.ravel(), 0)[writer])
    assert_array_equal(out.data, want)
    out.backward(ct)
    assert_array_equal(x.grad, np.where(writer < 0, ct, 0))
    each = np.zeros(spread.size)
    each[writer[writer >= 0]] = ct[writer >= 0]
    assert_allclose(value.grad, summed_to(each.reshape(place), shape), rtol=1e-14, atol=1e-14)

    x, value = tg.tensor(array, requires_grad=True), tg.tensor(put, requires_grad=True)
    out = x.at[index].add(value)
    want = array.copy()
    np.add.at(want, index, spread)
    assert_allclose(out.data, want, rtol=1e-14, atol=1e-14)
    out.backward(ct)
    assert_array_equal(x.grad, ct)
    assert_allclose(value.grad, summed_to(ct[index], shape), rtol=1e-14, atol=1e-14)


def summed_to(x, shape):
    """Summed over the axes along which an array of that shape is broadcast to x's."""
    x = np.sum(x, axis=tuple(range(x.ndim - len(shape))))
    return np.sum(x, axis=tuple(a for a, n in enumerate(shape) if n == 1), keepdims=True)


# -------------------------------------------------------------------------------------------------------------- einsum


@st.composite
def einsums(draw):
    """Subscripts and shapes that fit them: letters repeated, `...`, axes of length 1 that broadcast."""
    lengths = {a: draw(st.sampled_from([2, 3, 1, 0])) for a in "ijk"}
    hidden = draw(st.sampled_from([(), (2,), (3, 2)]))
    terms, shapes, hides = [], [], False
    for _ in range(draw(st.integers(1, 3))):
        letters = draw(st.lists(st.sampled_from("ijk"), max_size=3))
        ones = {a for a in "ijk" if draw(st.integers(0, 5)) == 5}
        shape = [1 if a in ones else lengths[a] for a in letters]
        if draw(st.booleans()):
            own = [draw(st.sampled_from([n, n, 1])) for n in hidden[draw(st.integers(0, len(hidden))) :]]
            place = draw(st.integers(0, len(letters)))
            shape[place:place], letters[place:place], hides = own, ["..."], True
        terms.append("".join(letters))
        shapes.append(tuple(shape))
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        used = sorted({a for a in subscripts if a.isalpha()})
        output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
        output.insert(draw(st.integers(0, len(output))), "..." if hides else "")
        subscripts += "->" + "".join(output)
    rng = np.random.default_rng(draw(SEEDS))
    return subscripts, [rng.normal(size=shape) for shape in shapes]


@given(einsums(), SEEDS, st.sampled_from([False, True, "greedy", "optimal"]))
@settings(max_examples=150)
def test_any_einsum(subscripts_and_arrays, seed, optimize):
    """It is NumPy's, and linear in each operand: its derivative along one is it of a unit vector in that place."""
    subscripts, arrays = subscripts_and_arrays
    want = np.einsum(subscripts, *arrays)
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    out = tg.einsum(subscripts, *xs, optimize=optimize)
    assert out.shape == want.shape
    assert_allclose(out.data, want, rtol=1e-12, atol=1e-12)
    ct = np.random.default_rng(seed).normal(size=want.shape)
    out.backward(ct)
    for i, (x, a) in enumerate(zip(xs, arrays, strict=True)):
        units = np.eye(a.size).reshape(a.size, *a.shape)
        gradient = [np.vdot(ct, np.einsum(subscripts, *arrays[:i], unit, *arrays[i + 1 :])) for unit in units]
        assert_allclose(x.grad, np.reshape(gradient, a.shape), rtol=1e-11, atol=1e-11)


# ------------------------------------------------------------------------------------------------------------- programs


@dataclass(frozen=True)
class Step:
    """An operation on the values at these places, times a factor."""

    name: str
    places: tuple[int, ...]
    settings: dict[str, Any]
    factor: float

    def __call__(self, m, values):
        operation = OPERATIONS[self.name]
        xs = [values[i] for i in self.places]
        f = operation.f if m is tg else operation.torch or operation.f
        out = f(m, *xs, **self.settings)
        return out if self.factor == 1 else out * self.factor


@dataclass(frozen=True)
class Program:
    """A function of as many arrays as there are leaves; its result is one axis of all numbers that no step uses."""

    leaves: list[np.ndarray]
    steps: list[Step]
    order: list[int] | None = None  # in which the steps are taken, if not as they stand

    @property
    def ends(self):
        used = {i for step in self.steps for i in step.places}
        return [i for i in range(len(self.leaves) + len(self.steps)) if i not in used]

    def values(self, m, leaves):
        found = dict(enumerate(leaves))
        for i in self.order or range(len(self.steps)):
            found[len(leaves) + i] = self.steps[i](m, found)
        return found

    def __call__(self, *leaves, m=tg):
        values = self.values(m, leaves)
        return m.concatenate([m.ravel(values[i]) for i in self.ends])

    def terms(self, *leaves):
        """A number for each part of the result, on which all of its numbers have their own influence."""
        values = self.values(tg, leaves)
        return [(tg.ravel(v) * np.linspace(0.5, 1.5, v.size).astype(v.dtype)).sum() for v in map(values.get, self.ends)]

    def scalar(self, *leaves):
        """Of several terms the product with the first, so that the Hessian mixes all."""
        first, *others = self.terms(*leaves)
        return tg.sin(first) + sum(term * (1 + tg.cos(first)) for term in others)

    def tensors(self, dtype=float):
        return [tg.tensor(a, dtype=dtype, requires_grad=True) for a in self.leaves]

    def directions(self, seed=0):
        rng = np.random.default_rng(seed)
        return rng.normal(size=self(*self.leaves).shape), [rng.normal(size=a.shape) for a in self.leaves]


LEAVES = [(2, 3), (3,), (3, 3), (), (3, 2), (2, 1, 3), (1, 3), (2, 2, 2), (1,), (0, 3), (2, 0)]
GAP = 0.05  # from where a function has no derivative


@st.composite
def programs(draw, longest=10, among=tuple(OPERATIONS)):
    """Programs of up to so many steps, of which every other one is to be among some operations."""
    rng = np.random.default_rng(draw(SEEDS))
    leaves = [rng.uniform(-2, 2, shape) for shape in draw(st.lists(st.sampled_from(LEAVES), min_size=1, max_size=3))]
    names = rng.permutation(list(OPERATIONS)).tolist()  # hypothesis likes what comes first; this way each does once
    values, steps = [np.asarray(a) for a in leaves], []
    wanted = draw(st.sampled_from(range(1, longest + 1)))
    for k in range(3 * wanted):  # not every step that is drawn will do
        step = draw(steps_on(values, names if k % 2 else among)) if len(steps) < wanted else None
        if step is None:
            continue
        out = step(tg, [tg.tensor(v) for v in values]).data
        top = np.max(np.abs(out), initial=0)
        if out.size > 64 or out.ndim > 4 or not np.isfinite(top):
            continue
        factor = 1.0 if top <= 3 else 2.5 / float(top)
        steps.append(Step(step.name, step.places, step.settings, factor))
        values.append(out * factor)
    assume(steps)
    return Program(leaves, steps)


@st.composite
def steps_on(draw, values, names):
    """A step on some of the values, or `None` if what was drawn doesn't fit them."""
    name = draw(st.sampled_from(names))
    operation = OPERATIONS[name]
    places = [len(values) - 1 - draw(st.integers(0, min(3, len(values) - 1)))]
    if operation.operands == 2:
        fitting = [i for i, v in enumerate(values) if fits(operation.fits, values[places[0]], v)]
        if not fitting:
            return None
        places.append(draw(st.sampled_from(fitting)))
    xs = [values[i] for i in places]
    chosen = operation.draw(draw, *xs)
    if chosen is None or np.min(np.abs(operation.gap(*xs, **chosen)), initial=math.inf) < GAP:
        return None
    return Step(name, tuple(places), chosen, 1.0)


def fits(f, x, y):
    try:
        f(x, y)
    except (ValueError, IndexError):  # the latter if there is no such axis
        return False
    return True


# ------------------------------------------------------------------------------------------------------- against others


with_each = pytest.mark.parametrize("name", OPERATIONS)


@with_each
@given(data=st.data())
@settings(max_examples=4)
def test_values_and_gradients_are_pytorchs(name, data):
    program = data.draw(programs(longest=6, among=(name,)))
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
    xs, ys = program.tensors(), [torch.tensor(a, requires_grad=True) for a in program.leaves]
    ours, theirs = program(*xs), program(*ys, m=torch)
    assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-10, atol=1e-10)
    ct, _ = program.directions()
    ours.backward(ct)
    theirs.backward(torch.tensor(ct))
    for x, y in zip(xs, ys, strict=True):
        assert_allclose(x.grad, y.grad.numpy(), rtol=1e-10, atol=1e-10)


@with_each
@given(data=st.data())
@settings(max_examples=4)
def test_derivatives_are_those_of_finite_differences(name, data):
    program = data.draw(programs(longest=6, among=(name,)))
    tg.check_grads(program, program.leaves, order=1)


@given(programs(longest=4))
@settings(max_examples=25)
def test_second_derivatives_are_those_of_finite_differences(program):
    tg.check_grads(program, program.leaves, order=2)


# ------------------------------------------------------------------------------------------- one mode against the other


def assert_close(got, want, rtol=1e-12):
    """Equal to rounding, of the largest number in either tree of arrays."""
    got, want = [[np.asarray(x) for x in tree] for tree in (got, want)]
    scale = max([np.max(np.abs(w), initial=0) for w in want], default=0)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        assert_allclose(g, w, rtol=0, atol=rtol * max(scale, 1))


def dot(xs, ys):
    return sum(np.vdot(np.asarray(x), np.asarray(y)) for x, y in zip(xs, ys, strict=True))


@given(programs())
def test_the_pullback_is_linear(program):
    ct, _ = program.directions()
    other, _ = program.directions(seed=1)
    _, pullback = tg.vjp(program, *program.leaves)
    one, two, both = pullback(ct), pullback(other), pullback(2 * ct - 3 * other)
    assert_close(both, [2 * a.data - 3 * b.data for a, b in zip(one, two, strict=True)])


@given(programs())
def test_forward_and_reverse_mode_are_adjoint(program):
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩."""
    u, v = program.directions()
    y, moved = tg.jvp(program, program.leaves, v)
    out, pullback = tg.vjp(program, *program.leaves)
    assert_array_equal(y.data, out.data)
    assert_array_equal(out.data, program(*program.tensors()).data)
    terms = [np.abs(u * moved.data).sum(), *[np.abs(a * b.data).sum() for a, b in zip(v, pullback(u), strict=True)]]
    assert abs(np.vdot(u, moved.data) - dot(pullback(u), v)) <= 1e-12 * max(1, *terms)


@given(programs())
@settings(max_examples=30)
def test_jacobians_by_rows_and_by_columns_are_equal(program):
    by = tuple(range(len(program.leaves)))
    rows = tg.jacobian(program, by, mode="reverse")(*program.leaves)
    columns = tg.jacobian(program, by, mode="forward")(*program.leaves)
    assert_close(columns, rows)
    ct, _ = program.directions()
    pulled = tg.vjp(program, *program.leaves)[1](ct)
    assert_close([np.tensordot(ct, J.data, 1) for J in rows], pulled)


@given(programs())
def test_a_batch_is_worked_out_like_its_examples(program):
    u, v = program.directions()

    def everything(u, xs):
        y, pullback = tg.vjp(program, *xs)
        return [y, *pullback(u), tg.jvp(program, xs, v)[1]]

    scales = [1.0, 1.03125, 0.96875]
    many = [np.stack([s * a for s in scales]) for a in program.leaves]
    got = tg.vmap(everything)(np.stack([s * u for s in scales]), many)
    for k, s in enumerate(scales):
        assert_close([g.data[k] for g in got], everything(s * u, [s * a for a in program.leaves]), rtol=1e-11)


@given(programs())
def test_the_hessian_is_symmetric(program):
    """⟨u, H v⟩ = ⟨v, H u⟩, H v in forward over reverse; and it is that of reverse over reverse."""
    (_, u), (_, v) = program.directions(), program.directions(seed=1)
    Hu, Hv = [tg.hvp(lambda xs: program.scalar(*xs), program.leaves, w) for w in (u, v)]
    scale = max(1, *[np.abs(a * b.data).sum() for a, b in zip((*u, *v), (*Hv, *Hu), strict=True)])
    assert abs(dot(u, Hv) - dot(v, Hu)) <= 1e-11 * scale
    xs = program.tensors()
    gradients = autograd.grad(program.scalar(*xs), xs, create_graph=True)
    along = sum((g * w).sum() for g, w in zip(gradients, v, strict=True))
    along.backward()
    assert_close([x.grad for x in xs], Hv, rtol=1e-11)


@given(programs())
def test_a_checkpoint_gives_the_same_gradients(program):
    xs, ys = program.tensors(), program.tensors()
    ct, _ = program.directions()
    program(*xs).backward(ct)
    tg.checkpoint(program)(*ys).backward(ct)
    assert_close([y.grad for y in ys], [x.grad for x in xs])


# -------------------------------------------------------------------------------------------- what makes no difference


@given(programs())
def test_how_gradients_are_asked_for_makes_no_difference(program):
    """Together, one by one, recorded, from a graph that is kept, with names, by `backward`: to the last bit."""
    xs = program.tensors()
    out, (ct, _) = program(*xs), program.directions()
    together = [g.data for g in autograd.grad(out, xs, ct, retain_graph=True)]
    alone = [autograd.grad(out, x, ct, retain_graph=True)[0].data for x in xs]
    recorded = [g.data for g in autograd.grad(out, xs, ct, create_graph=True)]
    out.backward(ct)
    named = [tg.tensor(a, requires_grad=True, name=f"x{i}") for i, a in enumerate(program.leaves)]
    program(*named).backward(ct)
    lone = []
    for i, a in enumerate(program.leaves):
        x = tg.tensor(a, requires_grad=True)
        program(*program.leaves[:i], x, *program.leaves[i + 1 :]).backward(ct)
        lone.append(x.grad)
    for i, want in enumerate(together):
        for got in (alone[i], recorded[i], xs[i].grad, named[i].grad, lone[i]):
            assert_array_equal(got, want)


@st.composite
def reordered_programs(draw):
    """A program, and the same one with its steps in another order that has each after those it needs."""
    program = draw(programs())
    first = len(program.leaves)
    waiting, order = list(range(len(program.steps))), []
    while waiting:
        ready = [i for i in waiting if all(j < first or j - first in order for j in program.steps[i].places)]
        order.append(draw(st.sampled_from(ready[::-1])))
        waiting.remove(order[-1])
    return program, Program(program.leaves, program.steps, order)


@given(reordered_programs())
def test_the_order_in_which_the_graph_was_built_makes_no_difference(both):
    xs, ys = [program.tensors() for program in both]
    one, other = [program(*zs) for program, zs in zip(both, (xs, ys), strict=True)]
    assert_array_equal(other.data, one.data)
    ct, _ = both[0].directions()
    one.backward(ct)
    other.backward(ct)
    assert_close([y.grad for y in ys], [x.grad for x in xs])


@given(programs(), st.randoms(use_true_random=False))
def test_the_order_of_a_sums_terms_makes_no_difference(program, random):
    xs, ys = program.tensors(), program.tensors()
    terms, shuffled = program.terms(*xs), program.terms(*ys)
    random.shuffle(shuffled)
    for total in (terms, shuffled):
        sum(total[1:], total[0]).backward()
    assert_close([y.grad for y in ys], [x.grad for x in xs])


# --------------------------------------------------------------------------------------------------------------- dtypes


@given(programs(), st.sampled_from([np.float16, np.float32]))
def test_dtypes_are_kept_everywhere(program, dtype):
    xs = program.tensors(dtype)
    out = program(*xs)
    ct = np.ones(out.shape, dtype)
    with np.errstate(all="ignore"):  # float16 may overflow; here only its type counts
        found = autograd.grad(out, xs, ct, create_graph=True)
    assert {node.dtype for node in tg.graph(out, *[g for g in found if g.requires_grad]).nodes} == {
        np.dtype(dtype).name
    }
    assert {g.dtype for g in found} == {np.dtype(dtype)}
    assert tg.jvp(program, xs, [np.ones(x.shape, dtype) for x in xs])[1].dtype == dtype


@given(programs(longest=5))
def test_gradients_in_float32_are_those_in_float64(program):
    """Of short programs: nine exponentials one upon the other would make a large error of the first one's rounding."""
    single = [a.astype(np.float32) for a in program.leaves]
    xs, ys = [[tg.tensor(a, dtype=dtype, requires_grad=True) for a in single] for dtype in (np.float32, np.float64)]
    ct = np.ones(program(*single).shape)
    program(*xs).backward(ct.astype(np.float32))
    program(*ys).backward(ct)
    assert_close([x.grad for x in xs], [y.grad for y in ys], rtol=1e-4)
