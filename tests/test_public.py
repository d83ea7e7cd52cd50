"""The names that others rely on: a change here is a change of the interface, and belongs in the changelog."""

import importlib
import importlib.resources
import inspect
from pathlib import Path

import pytest

import tinygrad_rnn as tg

PUBLIC = {
    "tinygrad_rnn": [
        "Drawing",
        "DrawingError",
        "GradientError",
        "Graph",
        "GraphNode",
        "Node",
        "Scope",
        "Tensor",
        "add",
        "asarray",
        "ascontiguousarray",
        "astype",
        "autograd",
        "bptt",
        "broadcast_to",
        "check_grads",
        "concatenate",
        "default_dtype",
        "divide",
        "draw",
        "enable_grad",
        "exp",
        "expand_dims",
        "get_default_dtype",
        "grad",
        "graph",
        "hvp",
        "inner",
        "jvp",
        "log",
        "log_softmax",
        "logsumexp",
        "matmul",
        "max",
        "maximum",
        "mean",
        "moveaxis",
        "multiply",
        "negative",
        "nn",
        "no_grad",
        "ops",
        "power",
        "primitive",
        "relu",
        "reshape",
        "scan",
        "scope",
        "set_default_dtype",
        "sigmoid",
        "softmax",
        "sqrt",
        "squeeze",
        "stack",
        "subtract",
        "sum",
        "swapaxes",
        "tanh",
        "tensor",
        "transpose",
        "unroll",
        "unstack",
        "value_and_grad",
        "vjp",
        "vmap",
        "where",
    ],
    "tinygrad_rnn.autograd": [
        "grad",
    ],
    "tinygrad_rnn.bptt": [
        "Activation",
        "Disagreement",
        "DoubleSum",
        "Gradients",
        "MISPRINTS",
        "Misprint",
        "Parameters",
        "Recursion",
        "SLIDES",
        "Samples",
        "SlideNumber",
        "central_difference",
        "complex_step",
        "double_sum",
        "recursion",
    ],
    "tinygrad_rnn.bptt.compare": [
        "CharRNN",
        "Comparison",
        "Difference",
        "TOLERANCE",
        "compare",
        "draw_parameters",
        "slides_by_tape",
    ],
    "tinygrad_rnn.draw": [
        "Drawing",
        "DrawingError",
        "draw",
    ],
    "tinygrad_rnn.nn": [
        "Linear",
        "Module",
        "RNN",
        "RNNCell",
        "functional",
    ],
    "tinygrad_rnn.nn.functional": [
        "cross_entropy",
        "linear",
        "log_softmax",
        "logsumexp",
        "relu",
        "sigmoid",
        "softmax",
        "tanh",
    ],
    "tinygrad_rnn.nn.init": [
        "uniform",
    ],
    "tinygrad_rnn.ops": [
        "add",
        "asarray",
        "ascontiguousarray",
        "astype",
        "broadcast_to",
        "concatenate",
        "cross_entropy",
        "default_dtype",
        "divide",
        "exp",
        "expand_dims",
        "get_default_dtype",
        "getitem",
        "inner",
        "log",
        "log_softmax",
        "logsumexp",
        "matmul",
        "max",
        "maximum",
        "mean",
        "moveaxis",
        "multiply",
        "negative",
        "power",
        "relu",
        "reshape",
        "set_default_dtype",
        "sigmoid",
        "softmax",
        "sqrt",
        "squeeze",
        "stack",
        "subtract",
        "sum",
        "swapaxes",
        "tanh",
        "tensor",
        "transpose",
        "unstack",
        "where",
    ],
    "tinygrad_rnn.scan": [
        "unroll",
    ],
}

TENSOR = [
    "T",
    "astype",
    "backward",
    "data",
    "detach",
    "dtype",
    "grad",
    "is_leaf",
    "item",
    "max",
    "mean",
    "name",
    "ndim",
    "node",
    "numpy",
    "requires_grad",
    "reshape",
    "shape",
    "size",
    "squeeze",
    "sum",
    "swapaxes",
    "transpose",
    "value",
]


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names(module):
    m = importlib.import_module(module)
    assert sorted(m.__all__) == PUBLIC[module]
    assert all(hasattr(m, name) for name in PUBLIC[module])
    assert len(set(m.__all__)) == len(m.__all__)


def test_what_a_tensor_can_do():
    assert sorted(name for name in dir(tg.Tensor) if not name.startswith("_")) == TENSOR


def test_names_that_mean_the_same_are_the_same():
    for name in PUBLIC["tinygrad_rnn.ops"]:
        if name in PUBLIC["tinygrad_rnn"]:
            assert getattr(tg, name) is getattr(tg.ops, name)
    for name in PUBLIC["tinygrad_rnn.nn.functional"]:
        if name in PUBLIC["tinygrad_rnn"] and name != "linear":
            assert getattr(tg.nn.functional, name) is getattr(tg, name)


def members(cls):
    """The public methods and properties that a class of this package defines itself."""
    for name, member in vars(cls).items():
        if not name.startswith("_") and (callable(member) or isinstance(member, (property, classmethod, staticmethod))):
            yield f"{cls.__name__}.{name}", inspect.getdoc(getattr(cls, name))


def documented():
    """(name, docstring) of every public function, class, method and property of the package."""
    for module, names in PUBLIC.items():
        m = importlib.import_module(module)
        yield module, m.__doc__
        for name in names:
            thing = getattr(m, name)
            if inspect.isclass(thing) and thing.__module__.startswith("tinygrad_rnn"):
                yield f"{module}.{name}", thing.__doc__
                for member, doc in members(thing):
                    yield f"{module}.{member}", doc
            elif inspect.isroutine(thing):
                yield f"{module}.{name}", inspect.getdoc(thing)


def test_every_public_name_has_a_docstring():
    assert [name for name, doc in documented() if not (doc or "").strip()] == []


def test_every_module_says_what_it_is_for():
    root = Path(tg.__file__).parent
    missing = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if not path.read_text(encoding="utf-8").lstrip().startswith(('"""', "#!"))
    ]
    assert missing == []


def test_the_types_are_shipped():
    assert importlib.resources.files("tinygrad_rnn").joinpath("py.typed").is_file()


def test_the_wheel_has_every_file_of_the_package():
    wheel = pytest.importorskip("hatchling.builders.wheel")
    root = Path(__file__).parents[1]
    if not (root / "pyproject.toml").exists():
        pytest.skip("not in a checkout")
    shipped = {Path(f.distribution_path).as_posix() for f in wheel.WheelBuilder(str(root)).recurse_included_files()}
    package = {p.relative_to(root).as_posix() for p in (root / "tinygrad_rnn").rglob("*.py")}
    assert "tinygrad_rnn/py.typed" in shipped
    assert package <= shipped
    assert all(name.startswith("tinygrad_rnn/") for name in shipped)
