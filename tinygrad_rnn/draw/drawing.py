"""`draw`: a graph becomes a `Drawing`, which shows itself in a notebook and saves itself to a file."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from ..graph import Graph, Tensor, graph
from .columns import MANY_NODES, Column, choose_columns
from .dot import to_dot
from .engine import DrawingError, NoEngineError, render
from .fold import fold
from .heat import Heat
from .labels import pretty
from .legend import with_legend, with_title
from .look import Look
from .path import faded, on_path
from .picture import Picture
from .plain import plain_picture, unplaced_picture
from .replay import notebook_frame, replay_page
from .rolled import roll
from .route import HIDDEN_ID
from .steps import Plan, plan_steps
from .svg import to_svg
from .theme import THEMES
from .twins import with_twins
from .unrolled import unrolled_picture
from .whole_file import write_whole

__all__ = ["Drawing", "draw"]

View = Literal["unrolled", "rolled"]
ThemeName = Literal["light", "dark"]


class Drawing:
    """A finished drawing. `dot` is its DOT text, `svg` its SVG, `html` the page that replays its backward pass.

    In the DOT text every node and line has its place already: `neato -n2` renders it as it is here, while `dot` would
    lay it out anew. On a machine without Graphviz it has no places, and there is nothing but the DOT text.
    """

    def __init__(
        self,
        picture: Picture,
        graph: Graph,
        places: Mapping[int, str],
        *,
        title: str,
        summary: str,
        theme: ThemeName,
        timeout: float,
    ) -> None:
        self.picture = picture
        self.summary = summary  # what is shown and what isn't, in a few words
        self._graph = graph
        self._places = places  # node of the graph -> id of the shape that stands for it
        self._title = title
        self._theme: ThemeName = theme
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<Drawing of {self.picture.what}>"

    @cached_property
    def dot(self) -> str:
        """The DOT text."""
        return to_dot(self.picture, THEMES[self._theme])

    @cached_property
    def svg(self) -> str:
        """The SVG text, a whole document. Raises `DrawingError` where there was no Graphviz to lay it out."""
        if not self.picture.placed:
            return self._render("svg").decode()
        return to_svg(self.picture, THEMES[self._theme], title=self._title, description=self.summary)

    @cached_property
    def html(self) -> str:
        """A web page that stands alone and replays the backward pass. Raises `DrawingError` as `svg` does."""
        return replay_page(self.svg, self._graph, title=self._title, theme=self._theme, places=self._places)

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return notebook_frame(self.html)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the drawing to `path`, whose suffix says as what: .svg, .dot, .png, .pdf or .html. Returns the path.

        The file appears whole or not at all. Raises `ValueError` for any other suffix, `DrawingError` when Graphviz
        fails, and `OSError` when the file can't be written.
        """
        path = Path(path)
        made: dict[str, Callable[[], bytes]] = {
            ".svg": lambda: self.svg.encode(),
            ".dot": lambda: self.dot.encode(),
            ".png": lambda: self._render("png"),
            ".pdf": lambda: self._render("pdf"),
            ".html": lambda: self.html.encode(),
        }
        make = made.get(path.suffix.lower())
        if make is None:
            raise ValueError(f"save: {str(path)!r} ends in {path.suffix!r}; wanted one of {', '.join(made)}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"save: {str(path)!r}: there is no directory {str(path.parent)!r}")
        write_whole(path, make())
        return path

    def _render(self, output: str) -> bytes:
        layout = "nop2" if self.picture.placed else "dot"
        return render([self.dot], layout=layout, output=output, what=self.picture.what, timeout=self._timeout)


def draw(
    what: Tensor | Graph,
    *,
    view: View = "unrolled",
    depth: int | None = None,
    path: tuple[str, str | Sequence[str]] | None = None,
    elide: bool | None = None,
    keep: int = 2,
    gradients: bool = False,
    values: bool = False,
    shapes: bool = True,
    theme: ThemeName = "light",
    title: str | None = None,
    max_nodes: int = 20_000,
    timeout: float = 60.0,
) -> Drawing:
    """Draw what a tensor was computed from: time steps as boxes from left to right, parameters once, on rails.

    Args:
        what: a tensor, or the graph of one; without any time step it is drawn as a plain graph, from left to right.
        view: "rolled" shows one step for all, with edges that lead back to it.
        depth: fold each call of a module that is this many modules deep into one box; None folds nothing.
        path: the name of a loss or another output, and the names of tensors: all but what carries gradient from the one
            to the others is faded.
        elide: cut a sequence down to its first and last `keep` steps, with one dashed box between them that says what
            it hides; None does it for more than 12 steps or 300 nodes.
        keep: how many steps stay at each end of a longer sequence.
        gradients: write ‖∂L/∂·‖ on the nodes, colour them by it on a log scale, and draw how it flows back.
        values: write the first few numbers of each node, where a graph has them recorded.
        shapes: write the shape of each node.
        theme: "light" or "dark".
        title: a line above the drawing.
        max_nodes: the most nodes that a drawing may show.
        timeout: seconds after which Graphviz is stopped, at layout and again at each rendering.

    Raises:
        ValueError: the graph is empty, the tensor isn't on the tape, or an argument is out of its range.
        DrawingError: more than `max_nodes` nodes, or Graphviz is missing, fails, crashes or takes too long.
    """
    _check(view, depth, path, keep, theme)
    whole = what if isinstance(what, Graph) else graph(what)
    if not whole.nodes:
        raise ValueError("draw: the graph has no nodes")
    kept = None if path is None else on_path(whole, path)
    folded = fold(whole, depth)
    plan = plan_steps(folded.graph, folded)
    called = _called(whole, len(plan.times))
    places: Mapping[int, int] = folded.places
    if view == "rolled" and plan.times:
        rolled = roll(plan)
        plan, columns = rolled.plan, [rolled.column]
        places = {i: rolled.places[place] for i, place in places.items() if place in rolled.places}
    else:
        columns = choose_columns(plan, elide=elide, keep=keep)
    hidden = {i for column in columns if column.hidden for i in column.members}
    shown = len(plan.nodes) - len(hidden)
    if shown > max_nodes:
        advice = "draw fewer (elide=True, depth=, view='rolled') or " if plan.times else ""
        raise DrawingError(f"{called}: {shown:,} nodes to show, the limit is {max_nodes:,}; {advice}raise max_nodes=")
    ids = {i: HIDDEN_ID if place in hidden else f"n{place}" for i, place in places.items()}
    colours = THEMES[theme]
    heat = Heat.of((node.grad_norm for node in plan.nodes.values()), colours) if gradients else None
    look = Look(heat, frozenset(folded.graph.outputs), colours, shapes, values)
    picture = _picture(plan, columns, look, called, timeout)
    if kept is not None:
        picture = faded(picture, {ids[i] for i in kept if i in ids})
    if heat is not None and picture.placed:
        picture = with_twins(picture, whole, heat, ids)
    if gradients and picture.placed:
        missing = any(node.grad_norm is None and node.kind != "constant" for node in plan.nodes.values())
        picture = with_legend(picture, heat, colours, missing=missing)
    if title is not None and picture.placed:
        picture = with_title(picture, title)
    summary = _summary(called, plan, columns, shown, depth, path, gradients, chosen=elide is None)
    return Drawing(
        picture,
        whole,
        ids,
        title=called if title is None else title,
        summary=summary,
        theme=theme,
        timeout=timeout,
    )


def _picture(plan: Plan, columns: list[Column], look: Look, what: str, timeout: float) -> Picture:
    try:
        if columns:
            return unrolled_picture(plan, columns, look, what=what, timeout=timeout)
        return plain_picture(plan, look, what=what, timeout=timeout)
    except NoEngineError:  # its DOT text can be had all the same, all else raises this again
        return unplaced_picture(plan, look, what=what)


def _check(view: str, depth: int | None, path: object, keep: int, theme: str) -> None:
    for name, value, wanted in (("view", view, get_args(View)), ("theme", theme, get_args(ThemeName))):
        if value not in wanted:
            raise ValueError(f"draw: {name} must be {' or '.join(map(repr, wanted))}, got {value!r}")
    if depth is not None and depth < 1:
        raise ValueError(f"draw: depth must be at least 1 or None, got {depth}")
    if keep < 1:
        raise ValueError(f"draw: keep must be at least 1, got {keep}")
    if path is not None and (isinstance(path, str) or not isinstance(path, Sequence) or len(path) != 2):
        raise ValueError(
            f"draw: path must be (from, to), names of nodes such as ('L_3', ['W_hh', 'h_0']), got {path!r}"
        )


def _summary(
    called: str,
    plan: Plan,
    columns: Sequence[Column],
    shown: int,
    depth: int | None,
    path: tuple[str, str | Sequence[str]] | None,
    gradients: bool,
    *,
    chosen: bool,
) -> str:
    """What is shown, in a few words; `chosen` says that nobody asked for leaving out steps."""
    said = [called]
    if plan.rolled:
        said.append("one step stands for all")
    if depth is not None:
        said.append(f"modules are folded to depth {depth}")
    for before, column in enumerate(columns):
        if column.hidden:
            ends = f"shown are the first {before} and the last {len(columns) - before - 1} of its steps"
            said.append(f"{ends}, with a box for the rest" + (" (elide=False shows all)" if chosen else ""))
    if path is not None:
        goals = [path[1]] if isinstance(path[1], str) else path[1]
        said.append(f"faded is what carries no gradient from {pretty(path[0])} to {', '.join(map(pretty, goals))}")
        if gradients:
            said.append(f"the norms are those of the last backward, which need not have begun at {pretty(path[0])}")
    if len(said) > 1:
        said.append(f"{shown:,} nodes")
    if shown > MANY_NODES:
        ways = "elide=True, depth= or view='rolled' show fewer" if plan.times else "depth= shows fewer"
        said.append(f"more than {MANY_NODES} nodes are hard to read: {ways}")
    return "; ".join(said)


def _called(view: Graph, steps: int) -> str:
    nodes = f"{len(view.nodes):,} node{'s' if len(view.nodes) != 1 else ''}"
    return f"a graph of {nodes}" + (f" in {steps:,} time step{'s' if steps != 1 else ''}" if steps else "")
