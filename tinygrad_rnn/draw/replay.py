"""The replay: one self-contained web page that goes through a backward pass on the drawing, step by step.

What happens when is worked out here, in the tape's own order; `replay.js` only shows it. Names are data: they reach the
page as escaped text or as JSON, and its policy lets nothing run but the page's own script, nor load anything.
"""

import base64
import hashlib
import html
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Literal

from ..graph import BackwardStep, Graph, GraphNode
from .heat import Heat, ink_on, short_number
from .labels import headline, operand_name, pretty, tooltip, visible
from .theme import THEMES, Theme

__all__ = ["notebook_frame", "replay_page"]

_PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="{theme}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<button id="replay-play" type="button" aria-keyshortcuts="Space">Play</button>
<button id="replay-back" type="button" aria-label="One step back" aria-keyshortcuts="ArrowLeft">‹</button>
<button id="replay-forward" type="button" aria-label="One step forward" aria-keyshortcuts="ArrowRight">›</button>
<input id="replay-slider" type="range" min="0" max="{last}" value="0" aria-label="Step of the backward pass">
<span id="replay-count"></span>
<label>Speed <select id="replay-speed"><option value=".25">¼×</option><option value=".5">½×</option>\
<option value="1" selected>1×</option><option value="2">2×</option><option value="4">4×</option></select></label>
<p id="replay-says" role="status" aria-live="polite"></p>
</header>
<main aria-label="Drawing">{svg}</main>
<footer>
<div id="replay-ledger" role="group" aria-label="Sums at shared tensors"></div>
<div id="replay-legend" aria-label="Scale of the gradient norms" role="img"></div>
<p id="replay-note">{note}</p>
<p>Keys: ← → step, space play, Home End, + − 0 zoom, shift with arrows pan, Tab through the nodes, Esc.</p>
</footer>
<script type="application/json" id="replay-data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def replay_page(
    svg: str,
    graph: Graph,
    *,
    title: str,
    theme: Literal["light", "dark"],
    places: Mapping[int, str] | None = None,
) -> str:
    """The web page that replays the backward pass of `graph` on `svg`, its drawing.

    A backward pass that wasn't recorded is told from the norms that it left behind, without its contributions.

    Args:
        svg: a drawing from Graphviz.
        graph: what is drawn.
        title: plain text.
        theme: that of the drawing.
        places: the element that stands for each node; by default "n7" for node 7, and "elided" for what isn't shown.
    """
    data, note = _story(svg, graph, THEMES[theme], places)
    style, script = _colours(THEMES[theme]) + _own("replay.css"), _own("replay.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        theme=theme,
        policy=policy,
        title=html.escape(visible(title)),
        style=style,
        last=len(data["steps"]),
        svg=_bare(svg),
        note=html.escape(note),
        # ASCII only, so that no line separator and no lone surrogate is in it; and nothing that could end the element.
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        script=script,
    )


def notebook_frame(page: str) -> str:
    """`page` as a notebook shows it: in a frame of its own, without a way to the notebook around it."""
    return (
        f'<iframe srcdoc="{html.escape(page)}" sandbox="allow-scripts" title="Replay of the backward pass" '
        'width="100%" height="640" frameborder="0"></iframe>'
    )


def _colours(theme: Theme) -> str:
    """The page around the drawing has the drawing's colours."""
    return (
        f":root {{ --paper: {theme.paper}; --node: {theme.node}; --ink: {theme.ink}; --quiet: {theme.frame_ink}; "
        f"--line: {theme.frame_border}; }}\n"
    )


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _bare(svg: str) -> str:
    """The <svg> element without what stands before it, and without comments."""
    return re.sub(r"<!--.*?-->\n?", "", svg[svg.index("<svg") :], flags=re.DOTALL)


def _story(svg: str, graph: Graph, theme: Theme, places: Mapping[int, str] | None) -> tuple[dict[str, Any], str]:
    """What the script reads, and what the page remarks on it."""
    elements = set(re.findall(r'<g id="([^"]+)" class="node"', svg))
    has_legend = any(name.startswith("legend") for name in elements)
    nodes = {node.id: node for node in graph.nodes}
    number = {i: k for k, i in enumerate(nodes)}
    steps = graph.backward or tuple(
        BackwardStep(node.id, node.grad_norm, ()) for node in reversed(graph.nodes) if node.grad_norm is not None
    )
    heat = Heat.of([step.norm for step in steps], theme)
    palette: dict[str, int] = {}

    def shade(norm: float) -> int:
        return palette.setdefault(heat.fill(norm) if heat else theme.node, len(palette))

    arrivals = [arrival for step in steps for arrival in step.arrivals]
    most_added = _largest((a.target, a.norm) for a in arrivals)
    most = _largest((a.target, a.total) for a in arrivals)

    if places is None:
        places = {i: f"n{i}" if f"n{i}" in elements else "elided" for i in nodes}
    data = {
        "steps": [
            [
                number[step.node],
                short_number(step.norm),
                shade(step.norm),
                [
                    [
                        number[a.target],
                        short_number(a.norm),
                        shade(a.norm),
                        _share(a.norm, most_added[a.target]),
                        short_number(a.total),
                        shade(a.total),
                        _share(a.total, most[a.target]),
                    ]
                    for a in step.arrivals
                ],
            ]
            for step in steps
        ],
        "nodes": [
            [places.get(i, ""), _label(node, nodes), tooltip(node), [number[p] for p in node.parents], node.scope.step]
            for i, node in nodes.items()
        ],
        "shared": [number[i] for i in _shared(steps, nodes)],
        "ticks": [[short_number(norm), shade(norm)] for norm in heat.ticks()] if heat and not has_legend else [],
        "faint": theme.faint,
    }
    return data | {"palette": [[fill, ink_on(fill)] for fill in palette]}, _note(graph, steps)


def _largest(norms: Iterable[tuple[int, float]]) -> dict[int, float]:
    """The largest finite norm by node."""
    largest: dict[int, float] = defaultdict(float)
    for i, norm in norms:
        if math.isfinite(norm):
            largest[i] = max(largest[i], norm)
    return largest


def _share(norm: float, of: float) -> float:
    if not math.isfinite(norm):
        return 1.0
    return round(norm / of, 3) if of else 0.0


def _shared(steps: tuple[BackwardStep, ...], nodes: Mapping[int, GraphNode]) -> list[int]:
    """The nodes whose sum is worth watching: leaves used more than once, and whatever several time steps read."""
    count: Counter[int] = Counter()
    times: dict[int, set[int | None]] = defaultdict(set)
    for step in steps:
        for arrival in step.arrivals:
            count[arrival.target] += 1
            times[arrival.target].add(nodes[step.node].scope.step)
    return [
        i
        for i, node in nodes.items()
        if node.scope.step is None and count[i] > 1 and (node.kind == "leaf" or len(times[i] - {None}) > 1)
    ]


def _label(node: GraphNode, nodes: Mapping[int, GraphNode]) -> str:
    if node.name is not None:
        return pretty(node.name)
    operands = [operand_name(nodes[p], nodes) if nodes[p].scope.step is None else None for p in node.parents]
    return operand_name(node, nodes) or headline(node, operands)


def _note(graph: Graph, steps: tuple[BackwardStep, ...]) -> str:
    if not steps:
        return "No gradient yet: call backward() before drawing."
    if not graph.backward:
        return "What each use contributed was not recorded: run backward() in record_cotangents()."
    return ""
