"""How long a picture of an unrolled RNN takes, beside plain `dot` over the same graph as torchviz would write it.

Both get the recorded graph and give SVG text. Both use the same Graphviz, each time in a process of its own: ours to
lay out one step and to render, `dot` to lay out the whole. Every step is drawn, none is left out.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from itertools import groupby

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.compare import CharRNN, draw_parameters
from tinygrad_rnn.draw.engine import DrawingError, render
from tinygrad_rnn.graph import Graph

from .clock import quiet
from .report import Report

__all__ = ["NODES", "TARGETS", "run", "torchviz_form", "unrolled_graph"]

NODES = (50, 500, 2_000, 10_000)
TARGETS = {500: 1.0, 2_000: 2.0, 10_000: 6.0}  # seconds, by nodes
VOCABULARY, HIDDEN = 20, 8


def run(report: Report, rounds: int = 3, limit: float = 120.0) -> None:
    """One table: seconds of ours and of `dot`, which is stopped at `limit` seconds and then not asked again."""
    report.heading("Seconds to an SVG of an unrolled RNN with all its steps, from the recorded graph")
    report.say(
        f"Medians of {rounds} rounds, in which both take turns. dot: the whole graph in torchviz's form, stopped at "
        f"{limit:g} s."
    )
    rows, times = [], []
    for wanted in NODES:
        graph = unrolled_graph(wanted)
        contenders = {
            "ours": lambda graph=graph: tg.draw(graph, elide=False, max_nodes=2 * NODES[-1], timeout=limit).svg,
            "dot": lambda graph=graph: render(
                [torchviz_form(graph)], layout="dot", output="svg", what="torchviz's form", timeout=limit
            ),
        }
        seconds = _in_turns(contenders, rounds, limit)
        ours, dot = (statistics.median(seconds[name]) for name in ("ours", "dot"))
        target = TARGETS.get(wanted)
        mark = "" if target is None else f" {'✓' if ours <= target else '✗'} ≤ {target:g}"
        slow = dot >= limit
        ratios = [a / b for a, b in zip(seconds["ours"], seconds["dot"], strict=True)]
        times.append((len(graph.nodes), ours))
        rows.append(
            [
                f"{len(graph.nodes):,} nodes, T = {max(node.scope.step or 0 for node in graph.nodes):,}",
                f"{ours:.2f}{mark}",
                f"{1e3 * ours / len(graph.nodes):.2f}",
                f"over {limit:g}" if slow else f"{dot:.2f}",
                f"{'under ' if slow else ''}{statistics.median(ratios):.3f}",
            ]
        )
    report.table(["", "ours", "ms a node", "dot", "ours / dot"], rows)
    (few, fast), (many, long) = times[1], times[-1]
    power = np.log(long / fast) / np.log(many / few)
    report.say(f"From {few:,} to {many:,} nodes the time grows as nodes^{power:.2f}.")


def _in_turns(contenders: dict[str, Callable[[], object]], rounds: int, limit: float) -> dict[str, list[float]]:
    """Seconds by contender and round; once over the limit, the limit for all rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    with quiet():
        for _ in range(rounds):
            for name, make in contenders.items():
                if limit in seconds[name]:
                    seconds[name].append(limit)
                    continue
                gc.collect()
                start = time.perf_counter()
                try:
                    make()
                except DrawingError as error:
                    if "limit of" not in str(error):
                        raise
                    seconds[name].append(limit)
                else:
                    seconds[name].append(min(time.perf_counter() - start, limit))
    return seconds


def unrolled_graph(nodes: int) -> Graph:
    """The graph of `compare`'s RNN after its backward, over as many steps as make about this many nodes."""
    few, more = len(_graph(1).nodes), len(_graph(2).nodes)
    return _graph(max(1, round((nodes - few) / (more - few)) + 1))


def _graph(steps: int) -> Graph:
    read = np.arange(steps) % VOCABULARY
    loss = CharRNN(draw_parameters(VOCABULARY, HIDDEN, seed=0))(np.eye(VOCABULARY)[read], read)
    loss.backward()
    return tg.graph(loss)


def torchviz_form(graph: Graph) -> str:
    """The graph as torchviz writes it: a box for each node, filled by its kind, an arrow for each edge, no steps."""
    fill = {"leaf": "lightblue", "constant": "orange", "operation": "lightgrey"}
    lines = ["digraph {", 'graph [size="12,12"]', "node [shape=box style=filled align=left fontsize=10 ranksep=0.1]"]
    for kind, members in groupby(graph.nodes, key=lambda node: node.kind):
        lines.append(f"node [fillcolor={fill[kind]}]")
        lines += [f'{node.id} [label="{node.name or node.op}\\n {node.shape}"]' for node in members]
    lines += [f"{parent} -> {node.id}" for node in graph.nodes for parent in node.parents]
    return "\n".join([*lines, "}"])
