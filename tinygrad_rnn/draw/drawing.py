"""`draw`: a graph becomes a `Drawing`, which shows itself in a notebook and saves itself to a file."""

import os
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ..graph import Graph, Tensor, graph
from .columns import Column, choose_columns
from .dot import to_dot
from .engine import DrawingError, render
from .heat import Heat
from .legend import with_legend
from .look import Look
from .picture import Picture
from .plain import plain_picture
from .steps import plan_steps
from .unrolled import unrolled_picture

__all__ = ["Drawing", "draw"]

_FORMATS = ("svg", "dot", "png", "pdf")


class Drawing:
    """A finished drawing. `dot` is its DOT text, `svg` its SVG; `save` writes either of them, a PNG or a PDF.

    In the DOT text every node and line has its place already: `neato -n2` renders it as it is here, while `dot` would
    lay it out anew.
    """

    def __init__(self, picture: Picture, *, summary: str, timeout: float) -> None:
        self.dot = to_dot(picture)
        self.summary = summary  # what is shown and what isn't, in a few words
        self._what = picture.what
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<Drawing of {self._what}>"

    @cached_property
    def svg(self) -> str:
        """The SVG text, a whole document. Raises `DrawingError` when Graphviz fails or takes too long."""
        return self._render("svg").decode()

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing to `path`, whose suffix says as what: .svg, .dot, .png or .pdf. Returns the path.

        The file appears whole or not at all. Raises `ValueError` for any other suffix, `DrawingError` when Graphviz
        fails, and `OSError` when the file can't be written.
        """
        path = Path(path)
        suffix = path.suffix.lower().removeprefix(".")
        if suffix not in _FORMATS:
            wanted = ", ".join(f".{name}" for name in _FORMATS)
            raise ValueError(f"save: {str(path)!r} ends in {path.suffix!r}; wanted one of {wanted}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"save: {str(path)!r}: there is no directory {str(path.parent)!r}")
        texts = {"svg": lambda: self.svg.encode(), "dot": self.dot.encode}
        data = texts[suffix]() if suffix in texts else self._render(suffix)
        _write_whole(path, data)
        return path

    def _render(self, output: str) -> bytes:
        return render([self.dot], layout="nop2", output=output, what=self._what, timeout=self._timeout)


def draw(
    what: Tensor | Graph,
    *,
    max_steps: int | None = 8,
    keep: int = 2,
    heat: bool = True,
    max_nodes: int = 2000,
    timeout: float = 60.0,
) -> Drawing:
    """Draw what a tensor was computed from: time steps as boxes from left to right, parameters once, gradients as heat.

    Args:
        what: a tensor, or the graph of one; without any time step it is drawn as a plain graph, from left to right.
        max_steps: a sequence longer than this is cut down to its first and last `keep` steps, with one dashed box
            between them that says what it hides; None draws every step.
        keep: how many steps stay at each end of a longer sequence.
        heat: colour nodes by the norm of their gradients, on a log scale, where they have one.
        max_nodes: the most nodes that a drawing may show.
        timeout: seconds after which Graphviz is stopped, at layout and again at each rendering.

    Raises:
        ValueError: the graph is empty, the tensor isn't on the tape, or an argument is out of its range.
        DrawingError: more than `max_nodes` nodes, or Graphviz is missing, fails, crashes or takes too long.
    """
    view = what if isinstance(what, Graph) else graph(what)
    if not view.nodes:
        raise ValueError("draw: the graph has no nodes")
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"draw: max_steps must be at least 1 or None, got {max_steps}")
    if keep < 1:
        raise ValueError(f"draw: keep must be at least 1, got {keep}")
    plan = plan_steps(view)
    columns = choose_columns(plan, max_steps=max_steps, keep=keep)
    called = _called(view, len(plan.times))
    hidden = sum(len(column.members) for column in columns if column.hidden)
    shown = len(view.nodes) - hidden
    if shown > max_nodes:
        advice = "draw fewer steps (max_steps=, keep=) or " if len(plan.times) > 2 else ""
        raise DrawingError(f"{called}: {shown:,} nodes to show, the limit is {max_nodes:,}; {advice}raise max_nodes=")
    scale = Heat.of(node.grad_norm for node in view.nodes) if heat else None
    look = Look(scale, frozenset(view.outputs))
    if columns:
        picture = unrolled_picture(plan, columns, look, what=called, timeout=timeout)
    else:
        picture = plain_picture(plan, look, what=called, timeout=timeout)
    return Drawing(with_legend(picture, scale), summary=_summary(called, columns, shown), timeout=timeout)


def _summary(called: str, columns: Sequence[Column], shown: int) -> str:
    for column in columns:
        if column.hidden:
            before = columns.index(column)
            return (
                f"{called}; shown are its first {before} steps and its last {len(columns) - before - 1}, "
                f"{shown:,} nodes, with a box for the rest"
            )
    return called


def _called(view: Graph, steps: int) -> str:
    nodes = f"{len(view.nodes):,} node{'s' if len(view.nodes) != 1 else ''}"
    return f"a graph of {nodes}" + (f" in {steps:,} time step{'s' if steps != 1 else ''}" if steps else "")


def _write_whole(path: Path, data: bytes) -> None:
    """Into a new file beside `path` that then takes its name: a reader never sees half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
