"""Options that the commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .report import Report

__all__ = ["rounds", "saved", "several"]

rounds = click.option("--rounds", type=click.IntRange(1), help="How often everyone takes a turn.")


def several(name: str, argument: str, kind: click.ParamType, told: str = "") -> Callable[..., Any]:
    """An option that can be given several times."""
    return click.option(name, argument, type=kind, multiple=True, help=f"{told}Can be given several times.")


def saved(path: Path, command: str = "") -> Callable[[Callable[..., Report]], Callable[..., None]]:
    """`--save`: the report that a command returns is written to a file too."""

    def with_save(run: Callable[..., Report]) -> Callable[..., None]:
        @click.option("--save", is_flag=True, help=f"Write the tables to benchmarks/{path.name} too.")
        @functools.wraps(run)
        def saving(*args: Any, save: bool = False, **kwargs: Any) -> None:
            report = run(*args, **kwargs)
            if save:
                report.save(path, command)

        return saving

    return with_save
