"""Random programs: operations put together in ways nobody thought of, against PyTorch, finite differences and themselves.

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
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import tinygrad_rnn as tg
from tinygrad_rnn import ops

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
        return x.reshape(-1)[torch.tensor(np.asarray(places))]

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
    index = draw(indices(x.shape))
    return {"index": index} if broadcasts_to(value.shape, np.shape(np.zeros(x.shape)[index])) else None


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
    return {"mask": draw(npst.arrays(bool, shape))}


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
    "inner": called("inner", operands=2, fits=np.inner),
    "tensordot": Operation(lambda m, x, y: m.tensordot(x, y, 1), operands=2, fits=lambda x, y: np.tensordot(x, y, 1)),
    "outer": Operation(lambda m, x, y: m.outer(m.ravel(x), m.ravel(y)), operands=2, fits=np.outer),
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
        lambda m, x, y, axis: m.concatenate([x, y], axis), operands=2, fits=lambda x, y: x + y, draw=joined_along
    ),
    "stack": Operation(
        lambda m, x, y, axis: m.stack([x, y], axis),
        operands=2,
        draw=lambda draw, x, y: {"axis": draw(st.integers(-x.ndim - 1, x.ndim))} if x.shape == y.shape else None,
    ),
    "set_at": Operation(lambda m, x, y, index: ops.set_at(x, index, y), torch_set, operands=2, draw=place_for),
    "add_at": Operation(lambda m, x, y, index: ops.add_at(x, index, y), torch_add, operands=2, draw=place_for),
}

# ------------------------------------------------------------------------------------------------------------- indices


@st.composite
def indices(draw, shape):
    """Any index of an array: basic, by integers, by a mask, or some of each."""
    kinds = [npst.basic_indices(shape, allow_newaxis=True, max_dims=4), mixed_indices(shape)]
    if shape and 0 not in shape:
        kinds.append(npst.integer_array_indices(shape, result_shape=npst.array_shapes(max_dims=2, max_side=3)))
    masked = draw(st.integers(0, len(shape)))
    kinds.append(npst.arrays(bool, shape[:masked]))
    return draw(st.one_of(kinds))


@st.composite
def mixed_indices(draw, shape):
    """For each axis an integer, a slice, integers that broadcast with the others', or a mask; with `None` and `...`."""
    common = draw(npst.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
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
                parts.append(draw(npst.arrays(bool, (n,))))
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


SHAPES = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
SEEDS = st.integers(0, 2**16)


@st.composite
def arrays_and_indices(draw):
    shape = draw(SHAPES)
    return np.random.default_rng(draw(SEEDS)).normal(size=shape), draw(indices(shape))


@given(arrays_and_indices(), SEEDS)
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
        out = operation.f(m, *xs, **self.settings)if m is tg or operation.torch is None else operation.torch(m, *xs, **self.settings)
        return out if self.factor == 1 else out * self.factor


@dataclass(frozen=True)
class Program:
    """A function of as many arrays as there are leaves; its result is one axis of all numbers that no step uses."""

    leaves: list[np.ndarray]
    steps: list[Step]
    order: list[int] = field(default_factory=list)  # in which the steps are taken; as they stand, if none is given

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


LEAVES = [(), (3,), (2, 3), (3, 2), (3, 3), (2, 1, 3), (1, 3), (2, 2, 2), (1,), (0, 3), (2, 0)]
GAP = 0.05  # from where a function has no derivative


@st.composite
def programs(draw, longest=10):
    rng = np.random.default_rng(draw(SEEDS))
    leaves = [rng.normal(size=shape) for shape in draw(st.lists(st.sampled_from(LEAVES), min_size=1, max_size=3))]
    values, steps = [np.asarray(a) for a in leaves], []
    for _ in range(draw(st.integers(1, longest))):
        step = draw(steps_on(values))
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
def steps_on(draw, values):
    """A step on some of the values, or `None` if what was drawn doesn't fit them."""
    name = draw(st.sampled_from(list(OPERATIONS)))
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
    except ValueError:
        return False
    return True
