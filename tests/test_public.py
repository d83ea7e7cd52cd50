"""The names that others rely on: a change here is a change of the interface, and belongs in the changelog."""

import importlib
import importlib.resources
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_rnn as tg

PUBLIC = {
    "tinygrad_rnn": [
        "AnomalyError",
        "Drawing",
        "DrawingError",
        "GradientError",
        "Graph",
        "GraphNode",
        "Node",
        "Scope",
        "Tensor",
        "abs",
        "add",
        "amax",
        "amin",
        "arange",
        "arccos",
        "arccosh",
        "arcsin",
        "arcsinh",
        "arctan",
        "arctan2",
        "arctanh",
        "argmax",
        "argmin",
        "array_split",
        "asarray",
        "ascontiguousarray",
        "astype",
        "autograd",
        "bptt",
        "broadcast_arrays",
        "broadcast_to",
        "ceil",
        "check_grads",
        "checkpoint",
        "clip",
        "concatenate",
        "convolve",
        "cos",
        "cosh",
        "cumprod",
        "cumsum",
        "default_dtype",
        "detect_anomaly",
        "diag",
        "diagonal",
        "divide",
        "dot",
        "draw",
        "einsum",
        "elu",
        "enable_grad",
        "erf",
        "exp",
        "exp2",
        "expand_dims",
        "expm1",
        "eye",
        "flip",
        "floor",
        "floor_divide",
        "full",
        "full_like",
        "gelu",
        "get_default_dtype",
        "grad",
        "graph",
        "hessian",
        "hvp",
        "hypot",
        "inner",
        "jacobian",
        "jvp",
        "leaky_relu",
        "linalg",
        "linspace",
        "log",
        "log10",
        "log1p",
        "log2",
        "log_sigmoid",
        "log_softmax",
        "logaddexp",
        "logsumexp",
        "matmul",
        "matrix_transpose",
        "max",
        "maximum",
        "mean",
        "min",
        "minimum",
        "moveaxis",
        "multiply",
        "negative",
        "nn",
        "no_grad",
        "ones",
        "ones_like",
        "ops",
        "outer",
        "pad",
        "permute_dims",
        "positive",
        "power",
        "primitive",
        "prod",
        "random",
        "ravel",
        "reciprocal",
        "record_cotangents",
        "record_values",
        "relu",
        "remainder",
        "repeat",
        "reshape",
        "roll",
        "round",
        "scan",
        "scan_backend",
        "scan_program",
        "scope",
        "set_default_dtype",
        "set_scan_backend",
        "sigmoid",
        "sign",
        "silu",
        "sin",
        "sinh",
        "softmax",
        "softplus",
        "softsign",
        "split",
        "sqrt",
        "square",
        "squeeze",
        "stack",
        "std",
        "subtract",
        "sum",
        "swapaxes",
        "take",
        "take_along_axis",
        "tan",
        "tanh",
        "tensor",
        "tensordot",
        "tile",
        "trace",
        "transpose",
        "tril",
        "triu",
        "unstack",
        "value_and_grad",
        "var",
        "vjp",
        "vmap",
        "where",
        "zeros",
        "zeros_like",
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
        "GRU",
        "GRUCell",
        "LSTM",
        "LSTMCell",
        "LSTMState",
        "Linear",
        "Module",
        "RNN",
        "RNNCell",
        "functional",
    ],
    "tinygrad_rnn.nn.functional": [
        "cross_entropy",
        "dropout",
        "elu",
        "gelu",
        "layer_norm",
        "leaky_relu",
        "linear",
        "log_softmax",
        "logsigmoid",
        "logsumexp",
        "relu",
        "sigmoid",
        "silu",
        "softmax",
        "softplus",
        "softsign",
        "tanh",
    ],
    "tinygrad_rnn.nn.init": [
        "uniform",
    ],
    "tinygrad_rnn.ops": [
        "abs",
        "add",
        "add_at",
        "amax",
        "amin",
        "arange",
        "arccos",
        "arccosh",
        "arcsin",
        "arcsinh",
        "arctan",
        "arctan2",
        "arctanh",
        "argmax",
        "argmin",
        "array_split",
        "asarray",
        "ascontiguousarray",
        "astype",
        "broadcast_arrays",
        "broadcast_to",
        "ceil",
        "clip",
        "concatenate",
        "convolve",
        "cos",
        "cosh",
        "cross_entropy",
        "cumprod",
        "cumsum",
        "default_dtype",
        "diag",
        "diagonal",
        "divide",
        "dot",
        "einsum",
        "elu",
        "erf",
        "exp",
        "exp2",
        "expand_dims",
        "expm1",
        "eye",
        "flip",
        "floor",
        "floor_divide",
        "full",
        "full_like",
        "gelu",
        "get_default_dtype",
        "getitem",
        "hypot",
        "inner",
        "leaky_relu",
        "linalg",
        "linspace",
        "log",
        "log10",
        "log1p",
        "log2",
        "log_sigmoid",
        "log_softmax",
        "logaddexp",
        "logsumexp",
        "matmul",
        "matrix_transpose",
        "max",
        "maximum",
        "mean",
        "min",
        "minimum",
        "moveaxis",
        "multiply",
        "negative",
        "ones",
        "ones_like",
        "outer",
        "pad",
        "permute_dims",
        "positive",
        "power",
        "prod",
        "ravel",
        "reciprocal",
        "relu",
        "remainder",
        "repeat",
        "reshape",
        "roll",
        "round",
        "set_at",
        "set_default_dtype",
        "sigmoid",
        "sign",
        "silu",
        "sin",
        "sinh",
        "softmax",
        "softplus",
        "softsign",
        "split",
        "sqrt",
        "square",
        "squeeze",
        "stack",
        "std",
        "subtract",
        "sum",
        "swapaxes",
        "take",
        "take_along_axis",
        "tan",
        "tanh",
        "tensor",
        "tensordot",
        "tile",
        "trace",
        "transpose",
        "tril",
        "triu",
        "unstack",
        "var",
        "where",
        "zeros",
        "zeros_like",
    ],
    "tinygrad_rnn.ops.linalg": [
        "det",
        "inv",
        "norm",
        "slogdet",
        "solve",
    ],
    "tinygrad_rnn.random": [
        "Generator",
        "default_rng",
    ],
    "tinygrad_rnn.scan": [
        "scan",
    ],
    "tinygrad_rnn.scan.explain": [
        "Program",
        "scan_program",
    ],
}

TENSOR = [
    "T",
    "argmax",
    "argmin",
    "astype",
    "at",
    "backward",
    "clip",
    "cumprod",
    "cumsum",
    "data",
    "detach",
    "diagonal",
    "dot",
    "dtype",
    "flatten",
    "grad",
    "is_leaf",
    "item",
    "itemsize",
    "mT",
    "max",
    "mean",
    "min",
    "name",
    "nbytes",
    "ndim",
    "node",
    "numpy",
    "prod",
    "ravel",
    "repeat",
    "requires_grad",
    "reshape",
    "round",
    "shape",
    "size",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "take",
    "tolist",
    "trace",
    "transpose",
    "value",
    "var",
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


LATE = ["Drawing", "DrawingError", "Graph", "GraphNode", "bptt", "draw", "graph"]


def in_a_new_process(code):
    """What `code` prints, where nothing of the package is imported yet."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_package_imports_what_training_needs():
    loaded = in_a_new_process(
        "import sys, numpy; before = {*sys.modules}; import tinygrad_rnn; print(*{*sys.modules} - before)"
    )
    assert "tinygrad_rnn.nn" in loaded
    late = ("tinygrad_rnn.draw", "tinygrad_rnn.graph", "tinygrad_rnn.bptt", "tinygrad_rnn.text", "tinygrad_rnn.cli")
    assert [m for m in loaded if m.startswith((*late, "xml", "http", "email", "click", "rich", "pygraphviz"))] == []


@pytest.mark.parametrize(
    "first",
    [
        "tg.draw, tg.graph",
        "from tinygrad_rnn import draw, graph; assert (draw, graph) == (tg.draw, tg.graph)",
        "import tinygrad_rnn.draw, tinygrad_rnn.graph, tinygrad_rnn.bptt",
        "from tinygrad_rnn.draw import Drawing; from tinygrad_rnn.graph import Graph",
        "import tinygrad_rnn.draw.engine",
        "from tinygrad_rnn import *; assert (Drawing, bptt) == (tg.Drawing, tg.bptt)",
    ],
)
def test_however_it_is_imported_draw_is_the_function(first):
    assert in_a_new_process(
        f"import types; import tinygrad_rnn as tg; {first}\n"
        "x = tg.tensor(1.0, requires_grad=True, name='x')\n"
        "assert isinstance(tg.draw(tg.graph(tg.tanh(x))), tg.Drawing)\n"
        "assert issubclass(tg.DrawingError, Exception) and isinstance(tg.bptt, types.ModuleType)\n"
        "from tinygrad_rnn import draw, graph; from tinygrad_rnn.draw import draw as same\n"
        "print(type(draw).__name__, type(graph).__name__, draw is same is tg.draw)"
    ) == ["function", "function", "True"]


def test_what_is_imported_late_is_listed():
    assert in_a_new_process(f"import tinygrad_rnn as tg; print(*sorted({{*tg.__all__, *{LATE}}} - {{*dir(tg)}}))") == []


def test_a_misspelt_name_is_an_error():
    with pytest.raises(AttributeError, match=r"^module 'tinygrad_rnn' has no attribute 'drow'$"):
        tg.drow  # noqa: B018
    with pytest.raises(ImportError, match="drow"):
        from tinygrad_rnn import drow  # noqa: F401


def test_the_package_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(tg)) is tg


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
