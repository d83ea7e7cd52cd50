"""What a benchmark prints: rich tables, on the terminal and, with --save, in a Markdown file."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from . import THREADS

__all__ = ["Report", "begun", "machine"]


@dataclass
class Report:
    """Prints as it goes, and remembers, so that it can be saved."""

    console: Console = field(default_factory=lambda: Console(width=None if sys.stdout.isatty() else 132))
    markdown: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """A section."""
        self.console.print(f"\n[bold]{text}[/bold]")
        self.markdown.append(f"\n## {text}\n")

    def say(self, text: str) -> None:
        """A line of text."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.markdown.append(f"{text}\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; the first column is text, the others are numbers."""
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for i, column in enumerate(columns):
            shown.add_column(column, justify="right" if i else "left")
        for row in rows:
            shown.add_row(*[_coloured(cell) for cell in row])
        self.console.print(shown)
        rule = ["---" if i == 0 else "--:" for i in range(len(columns))]
        self.markdown += ["| " + " | ".join(row) + " |" for row in (columns, rule, *rows)]
        self.markdown.append("")

    def adopt(self, markdown: str) -> None:
        """Remember what another process printed."""
        self.markdown.append(markdown)

    def save(self, path: Path, command: str) -> None:
        """Write what was printed as Markdown."""
        path.write_text(f"# Results of `python -m benchmarks{command}`\n\n" + "\n".join(self.markdown).lstrip())
        self.console.print(f"written to {path}")


def begun(report: Report | None = None) -> Report:
    """A report (or this one) that has said on what it runs; PyTorch's threads are set."""
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(THREADS)
    report = report or Report()
    for line in machine():
        report.say(line)
    return report


def _coloured(cell: str) -> str:
    return cell.replace("✓", "[green]✓[/green]").replace("✗", "[red]✗[/red]")


def machine() -> list[str]:
    """The processor, the versions, and the threads in use, which must be those that were asked for."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "torch", "autograd", "mygrad", "jax"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} missing")
    lines = [f"{_processor()}, {os.cpu_count()} CPUs. " + ", ".join(versions) + "."]
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return [*lines, "threadpoolctl is missing: thread counts were set but not checked."]
    pools = [f"{p['internal_api']} {p['version'] or ''} ({p.get('architecture', '-')})" for p in threadpool_info()]
    wrong = [p for p in threadpool_info() if p["num_threads"] != THREADS]
    if wrong:
        raise RuntimeError(f"{THREADS} threads were asked for, not {wrong}: was NumPy imported before `benchmarks`?")
    return [*lines, f"{'One thread' if THREADS == 1 else f'{THREADS} threads'} each, checked: {', '.join(pools)}."]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
