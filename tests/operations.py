"""Operations that a random program, or a random cell of a loop, is put together of, and the steps that it takes.

A step is an operation on earlier results. It is drawn along with the numbers it works on, so that no number comes near
a kink or a tie, and none grows: a result beyond 3 is scaled down, by a factor that is then part of the step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import tinygrad_rnn as tg
from tinygrad_rnn import ops

__all__ = ["OPERATIONS", "SEEDS", "Step", "broadcasts_to", "indices", "last_writer", "steps_on"]

SEEDS = st.integers(0, 2**16)

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
        looks_up: whether its second operand is zeros and ones of type int, which a loop's x may have.

    """

    f: Callable[..., Any]
    torch: Callable[..., Any] | None = None
    operands: int = 1
    fits: Callable[..., Any] = np.add
    draw: Callable[..., dict[str, Any] | None] = lambda draw, *xs: {}
    gap: Callable[..., Any] = lambda *xs, **settings: math.inf
    looks_up: bool = False


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


def axes_and_ddof(draw, x):
    found = axes_with_elements(draw, x)
    return found and {**found, "ddof": draw(st.sampled_from([0, 0.5]))}


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
    return m.linalg.solve(positive_definite(m, x), y)


def solvable(x, y):
    """NumPy's own, for one matrix and columns beside each other."""
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError("want matrices")
    np.linalg.solve(np.eye(len(x)), y)


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
    "scaled": Operation(
        lambda m, x, by: by * x, draw=lambda draw, x: {"by": draw(st.sampled_from([2, -1, 0.5, True]))}
    ),
    "cube": Operation(lambda m, x: 0.5 * x**3),
    "reciprocal": Operation(lambda m, x: 1 / (1 + x * x)),
    "log": Operation(lambda m, x: m.log(1 + x * x)),
    "log1p": Operation(lambda m, x: m.log1p(x * x)),
    "sqrt": Operation(lambda m, x: m.sqrt(1 + x * x)),
    "tan": Operation(lambda m, x: m.tan(0.5 * m.sin(x))),
    "arcsin": Operation(lambda m, x: m.arcsin(0.5 * m.sin(x))),
    "arctanh": Operation(lambda m, x: m.arctanh(0.5 * m.sin(x))),
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
    "total": Operation(lambda m, x: m.sum(x)),
    "sum": called("sum", draw=axes_of),
    "mean": called("mean", draw=axes_with_elements),
    "prod": Operation(lambda m, x, axis, keepdims: m.prod(x, axis, keepdims), torch_prod, draw=axes_of),
    "logsumexp": called("logsumexp", draw=axes_with_elements),
    "max": called("amax", draw=axes_with_elements, gap=second_place),
    "min": called("amin", draw=axes_with_elements, gap=second_place),
    "var": Operation(
        lambda m, x, axis, keepdims, ddof: m.var(x, axis, ddof=ddof, keepdims=keepdims),
        lambda torch, x, axis, keepdims, ddof: torch.var(x, axis, correction=ddof, keepdim=keepdims),
        draw=axes_and_ddof,
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
    "times its transpose": Operation(lambda m, x: m.matmul(x, m.swapaxes(x, -1, -2)), draw=with_square_matrices),
    "einsum": Operation(
        lambda m, x, y: m.einsum("...i,...i->...", x, y), operands=2, fits=lambda x, y: np.einsum("...i,...i", x, y)
    ),
    "solve": Operation(solved, operands=2, fits=solvable, draw=lambda draw, x, y: {}),
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
    "pad with zeros": Operation(
        lambda m, x: m.pad(x, 1),
        lambda torch, x: torch.nn.functional.pad(x, (1, 1) * x.ndim),
        draw=lambda draw, x: {} if x.ndim else None,
    ),
    "half": Operation(
        lambda m, x: m.split(x, [1])[1], lambda torch, x: x[1:], draw=lambda draw, x: {} if x.ndim else None
    ),
    "table": Operation(
        lambda m, x, rows: x[rows],
        operands=2,
        fits=any_two,
        draw=lambda draw, x, rows: {} if x.ndim and len(x) > 1 else None,
        looks_up=True,
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

# --------------------------------------------------------------------------------------------------------------- steps


@dataclass(frozen=True)
class Step:
    """An operation on the values at these places, times a factor."""

    name: str
    places: tuple[int, ...]
    settings: dict[str, Any]
    factor: float = 1.0

    def __call__(self, m, values):
        """The result in one of the languages, `tinygrad_rnn` or `torch`."""
        operation = OPERATIONS[self.name]
        f = operation.f if m is tg else operation.torch or operation.f
        out = f(m, *[values[i] for i in self.places], **self.settings)
        return out if self.factor == 1 else out * self.factor


GAP = 0.05  # from where a function has no derivative


@st.composite
def steps_on(draw, arrays, longest, among, first):
    """Up to so many steps on arrays and on what they give, and all values.

    Every other step is to be among some operations. `first` says which places its first operand may be at, by the
    number of the attempt and of the values.
    """
    names = np.random.default_rng(draw(SEEDS)).permutation(list(OPERATIONS)).tolist()  # each comes first once
    values, steps = [np.asarray(a) for a in arrays], []
    wanted = draw(st.sampled_from(range(1, longest + 1)))
    for k in range(3 * wanted):  # not every step that is drawn will do
        step = draw(one_step(values, names if k % 2 else among, first(k, len(values))))
        if step is None:
            continue
        out = step(tg, [tg.tensor(v) for v in values]).data
        top = np.max(np.abs(out), initial=0)
        if out.size > 64 or out.ndim > 4 or not np.isfinite(top):
            continue
        factor = 1.0 if top <= 3 else 2.5 / float(top)
        steps.append(replace(step, factor=factor))
        values.append(out * factor)
        if len(steps) == wanted:
            break
    return steps, values


@st.composite
def one_step(draw, values, names, first):
    """A step on some of the values, late ones preferred, or `None` if what was drawn doesn't fit them."""
    name = draw(st.sampled_from(names))
    operation = OPERATIONS[name]
    places = [draw(st.sampled_from([i for i in first if is_float(values[i])][::-1]))]
    if operation.operands == 2:
        others = [i for i, v in enumerate(values) if is_float(v) != operation.looks_up]
        fitting = [i for i in others if fits(operation.fits, values[places[0]], values[i])]
        if not fitting:
            return None
        places.append(draw(st.sampled_from(fitting[::-1])))
    xs = [values[i] for i in places]
    chosen = operation.draw(draw, *xs)
    if chosen is None or np.min(np.abs(operation.gap(*xs, **chosen)), initial=math.inf) < GAP:
        return None
    return Step(name, tuple(places), chosen)


def is_float(x):
    return x.dtype.kind == "f"


def fits(f, x, y):
    try:
        f(x, y)
    except (ValueError, IndexError):  # the latter if there is no such axis
        return False
    return True
