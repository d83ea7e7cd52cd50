"""The command line: `python -m benchmarks [all | step | memory | overhead | drawing | profile | timeloop]`."""

from __future__ import annotations

from pathlib import Path

import click

from . import drawing, hotspots, memory, overhead, step
from .contenders import CONTENDERS, Shape
from .options import rounds, saved, several
from .report import Report, begun
from .timeloop.commands import timeloop


class _ShapeType(click.ParamType):
    name = "T,B,H"

    def convert(self, value: str | Shape, param: click.Parameter | None, ctx: click.Context | None) -> Shape:
        try:
            T, B, H = (int(part) for part in value.split(",")) if isinstance(value, str) else value
        except ValueError:
            self.fail(f"want three whole numbers as in 50,32,128, got {value!r}", param, ctx)
        if min(T, B, H) < 1:
            self.fail(f"want positive numbers, got {value!r}", param, ctx)
        return Shape(T, B, H)


_loss = click.option(
    "--loss", type=click.Choice(["all", "last"]), default="all", help="L of all states, or of the last."
)
_saved = saved(Path(__file__).parent / "results.md")
_keep = click.option("--keep-memory", is_flag=True, help="Let malloc keep freed memory (glibc), for all contenders.")


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Time and memory of a training step of a tanh RNN, beside PyTorch, HIPS autograd, MyGrad and NumPy by hand."""
    if context.invoked_subcommand is None:
        context.invoke(everything)


@main.command("all")
@_saved
def everything() -> Report:
    """Everything: step, memory, overhead and drawing (the default)."""
    report = begun()
    step.run(report)
    memory.run(report)
    overhead.run(report)
    drawing.run(report)
    return report


@main.command("step")
@several("--shape", "shapes", _ShapeType())
@_loss
@rounds
@_keep
@_saved
def _step(shapes: tuple[Shape, ...], loss: str, rounds: int | None, keep_memory: bool) -> Report:
    """Time of one training step."""
    if keep_memory:
        step.keep_memory()
    report = begun()
    step.run(report, shapes or step.SHAPES, loss, rounds)  # type: ignore[arg-type]
    return report


@main.command("memory")
@click.option("--shape", type=_ShapeType(), default=memory.SHAPE)
@click.option("--repeats", type=click.IntRange(1), default=5)
@_loss
@_saved
def _memory(shape: Shape, repeats: int, loss: str) -> Report:
    """Peak memory of one training step."""
    report = begun()
    memory.run(report, shape, loss, repeats)  # type: ignore[arg-type]
    return report


@main.command("overhead")
@rounds
@_saved
def _overhead(rounds: int | None) -> Report:
    """Time per recorded operation."""
    report = begun()
    overhead.run(report, rounds or 40)
    return report


@main.command("drawing")
@rounds
@click.option("--limit", type=click.FloatRange(1), default=120.0, show_default=True, help="Seconds for plain dot.")
@_saved
def _drawing(rounds: int | None, limit: float) -> Report:
    """Time to draw unrolled RNNs of 50 to 10,000 nodes, beside plain dot."""
    report = begun()
    drawing.run(report, rounds or 3, limit)
    return report


@main.command("profile")
@click.option("--shape", type=_ShapeType(), default=Shape(50, 32, 128))
@click.option("--who", type=click.Choice(list(CONTENDERS)), default="ours-layer")
@_loss
@click.option("--lines", type=click.IntRange(1), default=25)
def _profile(shape: Shape, who: str, loss: str, lines: int) -> None:
    """Where a step spends its time (cProfile)."""
    hotspots.run(who, shape, loss, lines)  # type: ignore[arg-type]


main.add_command(timeloop)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
