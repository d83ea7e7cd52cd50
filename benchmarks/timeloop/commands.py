"""The command line of the time loop: `python -m benchmarks timeloop [step | memory | growth | profile | program]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from .. import THREADS
from ..options import rounds, saved, several
from ..report import Report, begun
from . import ENTRIES, growth, memory, ours, step, where
from .task import CELLS, SHAPES, task

__all__ = ["timeloop"]

_cell = several("--cell", "cells", click.Choice(CELLS))
_shape = several("--shape", "shapes", click.IntRange(1, len(SHAPES)), "1 to 6, in the issue's order. ")
_who = several("--who", "keys", click.Choice(sorted(ENTRIES)))
_threads = click.option("--threads", type=click.IntRange(1), multiple=True, default=(1,), show_default=True)
_saved = saved(Path(__file__).parent.parent / "timeloop.md", " timeloop")
_into = click.option("--into", type=click.Path(path_type=Path), hidden=True)


@click.group(invoke_without_command=True)
@click.pass_context
def timeloop(context: click.Context) -> None:
    """RNN, LSTM and GRU with an output layer, beside PyTorch's and JAX's loops and BPTT by hand."""
    if context.invoked_subcommand is None:
        context.invoke(everything)


@timeloop.command("all")
@_saved
def everything() -> Report:
    """Everything, the times with one thread and with two."""
    report = Report()
    report.adopt(_elsewhere(1, "step"))
    report.adopt(_elsewhere(2, "step"))
    for part in (memory.run, memory.checkpoint, growth.lengths, growth.compiling, growth.importing, where.run):
        part(report)
    return report


@timeloop.command("step")
@_cell
@_shape
@_who
@rounds
@_threads
@_saved
@_into
def _step(
    cells: Any, shapes: Any, keys: Any, rounds: int | None, threads: tuple[int, ...], into: Path | None
) -> Report:
    """Time of one training step."""
    report = Report()
    if threads == (THREADS,) or into:
        begun(report)
        step.run(report, cells or CELLS, _shapes(shapes), keys, rounds)
    else:  # BLAS and XLA take their number of threads when they load
        again = [f"--cell={c}" for c in cells] + [f"--shape={s}" for s in shapes] + [f"--who={k}" for k in keys]
        again += [] if rounds is None else [f"--rounds={rounds}"]
        for n in threads:
            report.adopt(_elsewhere(n, "step", *again))
    if into:
        into.write_text("\n".join(report.markdown))
    return report


@timeloop.command("memory")
@_cell
@_shape
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True)
@_saved
def _memory(cells: Any, shapes: Any, repeats: int) -> Report:
    """Peak memory, plain and with checkpoints."""
    report = begun()
    memory.run(report, cells or CELLS, _shapes(shapes), repeats)
    memory.checkpoint(report, cells or CELLS, repeats=repeats)
    return report


@timeloop.command("growth")
@_cell
@_saved
def _growth(cells: Any) -> Report:
    """Time for 1,000 to 100,000 steps, to compile, and to import."""
    report = begun()
    growth.lengths(report, cells or CELLS)
    growth.compiling(report, cells or CELLS)
    growth.importing(report)
    return report


@timeloop.command("profile")
@_cell
@_shape
@_who
@rounds
@_saved
def _profile(cells: Any, shapes: Any, keys: Any, rounds: int | None) -> Report:
    """Where a step's time goes: products, calls, the rest."""
    report = begun()
    where.run(report, cells or CELLS, _shapes(shapes), keys or ("ours-scan", "numpy"), rounds or 7)
    return report


@timeloop.command("program")
@click.argument("cell", type=click.Choice(CELLS))
def _program(cell: Any) -> None:
    """The program that a cell is compiled to, and why it is so."""
    program = ours.program(task(cell, SHAPES[2]))
    click.echo(f"{program.source}\n\n{program.explain()}" if program.compiled else program.explain())


def _shapes(numbers: tuple[int, ...]) -> Any:
    return [SHAPES[i - 1] for i in numbers] or SHAPES


def _elsewhere(threads: int, *arguments: str) -> str:
    """Run a command in a process with so many threads; its tables as Markdown."""
    environment = os.environ | {"BENCHMARK_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "tables.md"
        command = [sys.executable, "-m", "benchmarks", "timeloop", *arguments, f"--into={into}"]
        subprocess.run(command, cwd=Path(__file__).parent.parent.parent, env=environment, check=True)
        return into.read_text()
