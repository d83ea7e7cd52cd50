"""Imports run downhill only: a file imports from rows above its own, never back up, and never in a circle."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tinygrad_rnn

PACKAGE = "tinygrad_rnn"
ROOT = Path(tinygrad_rnn.__file__).parent

# Row by row. A module may import from its own row as long as that makes no circle; a package stands for what is in it.
LAYERS = [
    ["heap", "seal", "setting", "turned"],
    ["scope"],
    ["tape"],
    ["tree", "watch"],
    ["primitive"],
    ["backward"],
    ["forward"],
    ["ops"],
    ["batching", "einops_backend", "random"],
    ["autograd", "transforms"],
    ["checkpoint", "jacobian"],
    ["check"],
    ["graph"],
    ["scan"],
    ["nn"],
    ["optim"],
    ["bptt", "draw", "text"],
    ["cli"],
    ["__main__"],
]
ROW = {name: row for row, names in enumerate(LAYERS) for name in names}


def module_name(path, root=ROOT):
    """`ops/shapes.py` is `tinygrad_rnn.ops.shapes`, `ops/__init__.py` is `tinygrad_rnn.ops`."""
    parts = [PACKAGE, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(root=ROOT):
    return {module_name(path, root): path for path in sorted(root.rglob("*.py"))}


def is_type_checking(node):
    return "TYPE_CHECKING" in (getattr(node.test, "id", None), getattr(node.test, "attr", None))


def statements(tree):
    """Every node that runs: those under `if TYPE_CHECKING` don't."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and is_type_checking(node):
            stack.extend(node.orelse)
            continue
        yield node
        stack.extend(ast.iter_child_nodes(node))


def imported(name, path, known):
    """The full names of the modules that a module imports, wherever in its text."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                found.add(inner if inner in known else source)
    return found


def arrows(root=ROOT):
    """(importing module, imported module), both of the package."""
    known = modules(root)
    return [
        (name, target)
        for name, path in known.items()
        for target in sorted(imported(name, path, known))
        if target.split(".")[0] == PACKAGE
    ]


def layer(module):
    """`tinygrad_rnn.ops.shapes` is in the layer `ops`."""
    return module.split(".")[1] if "." in module else ""


def uphill(root=ROOT):
    """Imports that run back up. The package's own `__init__` only re-exports: it is above all but the command line."""
    found = []
    for name, target in arrows(root):
        below, above = layer(name), layer(target)
        if not below:
            continue
        if not above:
            if below not in ("cli", "__main__"):
                found.append(f"{name} imports the whole package")
        elif ROW[above] > ROW[below]:
            found.append(f"{name} imports {target}")
    return found


def test_every_module_has_a_row():
    assert {layer(m) for m in modules()} - {""} <= set(ROW)


def test_imports_run_downhill():
    assert uphill() == []


def test_imports_make_no_circle():
    graph = {m: set() for m in modules()}
    for name, target in arrows():
        graph[name].add(target)
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_equations_import_numpy_only():
    known = modules()
    for name, path in known.items():
        if layer(name) != "bptt" or name.endswith(".compare"):
            continue
        for target in imported(name, path, known):
            top = target.split(".")[0]
            assert top in sys.stdlib_module_names or top == "numpy" or layer(target) == "bptt", (
                f"{name} imports {target}"
            )
            assert not target.endswith(".compare"), f"{name} imports {target}, which sees the engine"


def test_the_comparison_alone_sees_both():
    seen = {name for name, target in arrows() if layer(name) == "bptt" and layer(target) != "bptt"}
    assert seen <= {f"{PACKAGE}.bptt.compare"}


def test_pictures_see_the_graph_view_only():
    for name, target in arrows():
        if layer(name) == "draw":
            assert layer(target) in ("draw", "graph", "scope"), f"{name} imports {target}"


def test_nothing_but_the_command_line_imports_the_command_line():
    assert {name for name, target in arrows() if layer(target) in ("cli", "__main__")} <= {f"{PACKAGE}.__main__"}


def test_the_core_knows_numpy_and_the_standard_library():
    known = modules()
    for name, path in known.items():
        if layer(name) in ("draw", "cli", "__main__", "bptt", "text", "einops_backend"):
            continue
        for target in imported(name, path, known):
            top = target.split(".")[0]
            extra = ("platformdirs",) if name == "tinygrad_rnn.scan.c.compiler" else ()
            assert top in sys.stdlib_module_names or top in ("numpy", PACKAGE, *extra), f"{name} imports {target}"


@pytest.mark.parametrize(
    ("place", "text", "complaint"),
    [
        ("tape.py", "from .ops import tanh", "tinygrad_rnn.tape imports tinygrad_rnn.ops"),
        (
            "ops/shapes.py",
            "def f():\n    from .. import transforms",
            "tinygrad_rnn.ops.shapes imports tinygrad_rnn.transforms",
        ),
        ("scan/__init__.py", "from ..nn.module import Module", "tinygrad_rnn.scan imports tinygrad_rnn.nn.module"),
        ("nn/init.py", "import tinygrad_rnn.cli", "tinygrad_rnn.nn.init imports tinygrad_rnn.cli"),
        ("graph.py", "from . import nn", "tinygrad_rnn.graph imports tinygrad_rnn.nn"),
        ("check.py", "from tinygrad_rnn import tanh", "tinygrad_rnn.check imports the whole package"),
        ("tape.py", "if TYPE_CHECKING:\n    from .ops import tanh\nelse:\n    pass", None),
        (
            "tape.py",
            "if TYPE_CHECKING:\n    pass\nelse:\n    from . import ops",
            "tinygrad_rnn.tape imports tinygrad_rnn.ops",
        ),
        ("nn/module.py", "from ..tape import Tensor\nfrom .linear import Linear", None),
    ],
)
def test_an_arrow_that_runs_back_up_is_seen(tmp_path, place, text, complaint):
    """The test's own eyesight."""
    for name in ("tape", "cli", "check", "graph", "transforms", "ops/shapes", "nn/init", "nn/module", "nn/linear"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for package in (".", "ops", "nn", "scan"):
        (tmp_path / package).mkdir(exist_ok=True)
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / place).write_text(text, encoding="utf-8")
    assert uphill(tmp_path) == ([complaint] if complaint else [])
