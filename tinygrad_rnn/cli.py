"""The command line: `tinygrad-rnn compare` and `tinygrad-rnn draw`.

Exit codes: 0 all ways agree (or the picture is drawn), 1 they don't, 2 unusable input (one line on stderr).
"""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .bptt import SLIDES
from .bptt.compare import TOLERANCE, CharRNN, Comparison, Step, compare, draw_parameters, slides_by_tape
from .draw import Drawing, DrawingError, draw
from .graph import graph, record_cotangents, record_values
from .nn import GRUCell, LSTMCell, LSTMState, Module
from .nn.functional import cross_entropy
from .ops import tensor
from .scan import scan
from .tape import Tensor
from .text import Characters, characters, default_text, read_text

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tinygrad-rnn")
def cli() -> None:
    """An autodiff framework in which backpropagation through time falls out of the generic backward pass."""


Command = TypeVar("Command", bound=Callable[..., None])


def _text_options(steps: int, hidden: int) -> Callable[[Command], Command]:
    """The options that say what is read, and by how large a model."""
    options = (
        click.option("--text", metavar="FILE", help="The text to read, in UTF-8.  [default: Python's documentation]"),
        click.option("--steps", default=steps, show_default=True, help="How many characters to unroll over."),
        click.option("--start", default=0, show_default=True, help="The character to start from, counted from 0."),
        click.option("--hidden", default=hidden, show_default=True, help="The size of the hidden state."),
    )

    def with_options(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


def _read(text: str | None, steps: int, start: int, hidden: int, seed: int) -> Characters:
    """What is to be read, once everything that was asked for is seen to be possible."""
    for name, value, least in (("hidden", hidden, 1), ("seed", seed, 0)):
        if value < least:
            raise click.ClickException(f"--{name} must be at least {least}, got {value}")
    try:
        return characters(default_text() if text is None else read_text(text), steps, start)
    except OSError as error:
        raise click.ClickException(f"--text {text}: {error.strerror or error}") from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _too_large(steps: int, hidden: int, found: Characters) -> click.ClickException:
    return click.ClickException(
        f"not enough memory for {steps} steps of {hidden} units over {len(found.vocabulary)} characters"
    )


@cli.command("compare")
@_text_options(steps=25, hidden=64)
@click.option("--activation", type=click.Choice(["tanh", "relu", "sigmoid"]), default="tanh", show_default=True)
@click.option(
    "--seed", default=0, show_default=True, help="Draws the parameters, and the entries for the complex step."
)
@click.option(
    "--example", type=click.Choice(["slides"]), help="Instead of a text: a worked example from the documents."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--draw", "picture", metavar="FILE", help="Draw the unrolled graph to a .svg, .dot, .png or .pdf file.")
def compare_command(
    text: str | None,
    steps: int,
    start: int,
    hidden: int,
    activation: Any,
    seed: int,
    example: str | None,
    as_json: bool,
    picture: str | None,
) -> None:
    """Hold the tape's gradients of an RNN on real text against BPTT derived by hand.

    Four ways that share no code: the tape, the recursion people write, the double sum over (t, k) with explicit
    Jacobians, and the complex step on a sample of entries. Exit code 0 if all agree, 1 if not, 2 for unusable input.
    """
    if example is not None:
        options = click.get_current_context()
        given = [
            f"--{name}"
            for name in ("text", "steps", "start", "hidden", "activation", "seed")
            if options.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        ]
        if given:
            raise click.ClickException(f"--example slides has its own numbers; leave out {', '.join(given)}")
        _compare_slides(as_json, picture)
        return
    found = _read(text, steps, start, hidden, seed)
    try:
        with Console(stderr=True).status(f"comparing over {steps} steps, {steps * (steps + 1) // 2} pairs (t, k)"):
            parameters = draw_parameters(len(found.vocabulary), hidden, seed)
            result = compare(parameters, found.xs, found.labels, activation, seed=seed)
    except MemoryError:
        raise _too_large(steps, hidden, found) from None
    drawn = _save(result.output, picture)
    setting = {
        "text": text or "pydoc_data.topics",
        "start": start,
        "steps": steps,
        "vocabulary": len(found.vocabulary),
        "hidden": hidden,
        "activation": activation,
        "seed": seed,
    }
    if as_json:
        _print_json(
            setting | {"reads": found.text},
            {
                "losses": dict(result.losses),
                "gradients": [
                    {
                        "parameter": d.parameter,
                        "way": d.way,
                        "entries": d.entries,
                        "norm": d.norm,
                        "absolute_difference": d.absolute,
                        "relative_difference": d.relative,
                        "agrees": d.agrees,
                    }
                    for d in result.differences
                ],
                "tolerance": TOLERANCE,
                "agree": result.agree,
                "drawing": drawn,
            },
        )
    else:
        _print_comparison(setting, found.text, result, drawn)
    sys.exit(0 if result.agree else 1)


def _print_json(*parts: dict[str, Any]) -> None:
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    click.echo(json.dumps(merged, indent=2, ensure_ascii=False))


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 112)


def _print_comparison(setting: dict[str, Any], reads: str, result: Comparison, drawn: str | None) -> None:
    console = _console()
    console.print(
        Text(
            f"{setting['steps']} steps of {setting['text']} from character {setting['start']}: {reads!r}\n"
            f"RNN: {setting['vocabulary']} characters, {setting['hidden']} {setting['activation']} units, "
            f"float64, seed {setting['seed']}; loss: cross-entropy summed over the steps"
        )
    )
    table = Table(caption=f"relative: the largest difference over the largest entry; tolerance {TOLERANCE:.0e}")
    for column in ("parameter", "way"):
        table.add_column(column)
    for column in ("entries", "norm", "largest difference", "relative"):
        table.add_column(column, justify="right")
    last = None
    for d in result.differences:
        if last not in (None, d.parameter):
            table.add_section()
        differs = (
            ("—", "—") if d.way == "tape" else (f"{d.absolute:.1e}", f"{d.relative:.1e}" + ("" if d.agrees else "  ✗"))
        )
        table.add_row(d.parameter if d.parameter != last else "", d.way, str(d.entries), f"{d.norm:.10g}", *differs)
        last = d.parameter
    console.print(table)
    console.print(Text("loss  " + "   ".join(f"{way} {loss:.12g}" for way, loss in result.losses.items())))
    worst = max(d.relative for d in result.differences)
    console.print(
        Text(
            f"All four ways agree: the largest relative difference is {worst:.1e}."
            if result.agree
            else f"The ways DISAGREE: the largest relative difference is {worst:.1e}, the tolerance {TOLERANCE:.0e}."
        )
    )
    if drawn:
        console.print(Text(drawn))


# ---------------------------------------------------------------------------------------------------- the slides


def _compare_slides(as_json: bool, picture: str | None) -> None:
    loss, tape = slides_by_tape()
    worst = max(abs(tape[row.symbol] - row.right) for row in SLIDES if row.symbol in tape)
    agree = worst <= TOLERANCE
    drawn = _save(loss, picture)
    wrong = sum(not row.consistent for row in SLIDES)
    if as_json:
        _print_json(
            {
                "example": "slides",
                "numbers": [
                    {
                        "step": row.step,
                        "symbol": row.symbol,
                        "printed": f"{row.printed:.{row.decimals}f}",
                        "right": row.right,
                        "tape": tape.get(row.symbol),
                        "consistent": row.consistent,
                        "kind": row.kind,
                        "reason": row.reason,
                    }
                    for row in SLIDES
                ],
                "tolerance": TOLERANCE,
                "agree": agree,
                "drawing": drawn,
            }
        )
    else:
        console = _console()
        table = Table(title="The slides' three-step example (001, part 3): printed and right")
        table.add_column("step", justify="right")
        table.add_column("")
        table.add_column("printed", justify="right")
        table.add_column("right", justify="right")
        table.add_column("tape", justify="right")
        table.add_column("")
        table.add_column("why")
        last = None
        for row in SLIDES:
            if last not in (None, row.step):
                table.add_section()
            table.add_row(
                str(row.step) if row.step != last else "",
                row.symbol,
                f"{row.printed:.{row.decimals}f}",
                f"{row.right:.6f}",
                f"{tape[row.symbol]:.6f}" if row.symbol in tape else "",
                "" if row.consistent else f"✗ {row.kind}",
                Text("" if row.consistent else row.reason),
            )
            last = row.step
        console.print(table)
        console.print(
            Text(
                f"{wrong} of {len(SLIDES)} printed numbers differ from the right ones (✗). The slides multiply what "
                "comes back from step t+1 by 1 − h_t²; it is 1 − h_{t+1}² that belongs there."
            )
        )
        console.print(
            Text(
                f"The tape {'agrees' if agree else 'DISAGREES'} with the right column wherever it has the quantity: "
                f"the largest difference is {worst:.1e}."
            )
        )
        if drawn:
            console.print(Text(drawn))
    sys.exit(0 if agree else 1)


# ---------------------------------------------------------------------------------------------------- the picture


@cli.command("draw")
@click.option("--cell", type=click.Choice(["rnn", "lstm", "gru"]), default="rnn", show_default=True)
@_text_options(steps=5, hidden=4)
@click.option("--seed", default=0, show_default=True, help="Draws the parameters.")
@click.option("--view", type=click.Choice(["unrolled", "rolled"]), default="unrolled", show_default=True)
@click.option("--depth", type=int, help="Fold modules to this many levels: one box a call.")
@click.option("--path", metavar="FROM:TO[,TO]", help="Fade all but what carries gradient, as in L_3:W_hh.")
@click.option("--gradients", is_flag=True, help="Write and colour the norms of the gradients; draw the backward edges.")
@click.option("--values", is_flag=True, help="Write the first few numbers of each value.")
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@click.option("--elide/--no-elide", default=None, help="Leave out the steps in the middle.  [default: if over 12]")
@click.option("--output", metavar="FILE", required=True, help="A .svg, .html (the replay), .png, .pdf or .dot file.")
@click.option("--open", "show", is_flag=True, help="Open the file in the browser.")
def draw_command(
    cell: str,
    text: str | None,
    steps: int,
    start: int,
    hidden: int,
    seed: int,
    view: Any,
    depth: int | None,
    path: str | None,
    gradients: bool,
    values: bool,
    theme: Any,
    elide: bool | None,
    output: str,
    show: bool,
) -> None:
    """Draw the graph of an RNN, an LSTM or a GRU that predicts real text, each character from those before it.

    The loss of step t is L_t, their sum L. An .html file is a replay of the backward pass. Exit code 0 once the file is
    written, 2 for unusable input.
    """
    found = _read(text, steps, start, hidden, seed)
    source, targets = _from_and_to(path)
    replayed = Path(output).suffix.lower() == ".html"

    def drawing() -> Drawing:
        with ExitStack() as recording:
            seen = recording.enter_context(record_values()) if values else None
            loss = _loss(cell, found, hidden, seed)
            sent = None
            if gradients or replayed:
                sent = recording.enter_context(record_cotangents())
                loss.backward()
        return draw(
            graph(loss, values=seen, cotangents=sent),
            view=view,
            depth=depth,
            path=None if path is None else (source, targets),
            gradients=gradients,
            values=values,
            theme=theme,
            elide=elide,
        )

    try:
        with Console(stderr=True).status(f"drawing {steps} steps"):
            click.echo(_drawn(drawing, output, f"--output {output}"))
    except MemoryError:
        raise _too_large(steps, hidden, found) from None
    if show and not webbrowser.open(Path(output).resolve().as_uri()):
        raise click.ClickException(f"--open: no browser was found; the picture is in {output}")


def _from_and_to(path: str | None) -> tuple[str, list[str]]:
    """FROM:TO,TO as two."""
    source, _, targets = (path or "").partition(":")
    names = targets.split(",")
    if path is not None and not (source and all(names)):
        raise click.ClickException(f"--path must be FROM:TO or FROM:TO,TO, as in L_3:W_hh,h_0; got {path!r}")
    return source, names


class _Gated(Module):
    """An LSTM or a GRU in the place of `CharRNN`'s cell: L is the sum of the losses of all steps."""

    def __init__(self, cell: LSTMCell | GRUCell, vocabulary: int, rng: np.random.Generator) -> None:
        self.cell = cell
        self.W_hy = tensor(
            rng.standard_normal((vocabulary, cell.hidden_size)) / cell.hidden_size**0.5, requires_grad=True
        )
        self.b_y = tensor(0.1 * rng.standard_normal(vocabulary), requires_grad=True)

    def step(self, state: Any, at: Step) -> tuple[Any, dict[str, Tensor]]:
        """The next state, and the loss of predicting the next character from it."""
        state = self.cell(at.x, state)
        h = state.h if isinstance(state, LSTMState) else state
        return state, {"L": cross_entropy(self.W_hy @ h + self.b_y, at.label)}

    def forward(self, found: Characters) -> Tensor:
        """L."""
        h_0 = tensor(np.zeros(self.cell.hidden_size), name="h_0")
        state = LSTMState(h_0, tensor(np.zeros(h_0.shape))) if isinstance(self.cell, LSTMCell) else h_0
        _, losses = scan(self.step, state, Step(tensor(found.xs), tensor(found.labels)), unroll=True)
        total = losses["L"].sum()
        total.name = "L"
        return total  # type: ignore[no-any-return]


def _loss(kind: str, found: Characters, hidden: int, seed: int) -> Tensor:
    """L, with parameters drawn by `seed`."""
    vocabulary = len(found.vocabulary)
    if kind == "rnn":
        return CharRNN(draw_parameters(vocabulary, hidden, seed))(found.xs, found.labels)  # type: ignore[no-any-return]
    rng = np.random.default_rng(seed)
    cell = (LSTMCell if kind == "lstm" else GRUCell)(vocabulary, hidden, rng=rng)
    return _Gated(cell, vocabulary, rng)(found)  # type: ignore[no-any-return]


def _save(output: Tensor, picture: str | None) -> str | None:
    """Draw to a file, if one is wanted; a sentence that says what was drawn."""
    return None if picture is None else _drawn(lambda: draw(output), picture, f"--draw {picture}")


def _drawn(make: Callable[[], Drawing], picture: str, option: str) -> str:
    """Write a drawing to a file; a sentence that says what was drawn."""
    try:
        drawing = make()
        drawing.save(picture)
    except (OSError, ValueError, DrawingError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise click.ClickException(f"{option}: {reason}") from None
    return f"Drawn to {Path(picture)}: {drawing.summary}"


def main() -> None:
    """The program: click's own errors in one line, like ours."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"tinygrad-rnn: {' '.join(error.format_message().split())}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("tinygrad-rnn: interrupted", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
