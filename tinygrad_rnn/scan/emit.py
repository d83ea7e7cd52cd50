"""A program's text and its functions: `Sections` and `Places` as NumPy code, put together and compiled.

The loop itself is written by one of two: `_loop` here, in NumPy, or `loop_in_c` (c/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .backend import Language
from .comments import comment
from .names import Names, preamble
from .operands import Operands
from .place import numpy_takes_out, placed
from .split import Sections
from .statements import Statements
from .step import Equation, Var

if TYPE_CHECKING:
    from .c import CFunction

__all__ = ["Emitted", "compile_loops", "emit"]

# Writes the loop: its lines in the function of a block, and the function in C that they call, if they do.
LoopWriter: TypeAlias = "Callable[[Operands, str], tuple[list[str], CFunction | None]]"


@dataclass(eq=False, repr=False)
class Emitted:
    """The functions of a program, each with what it takes → what it returns.

    Args:
        source: their text.
        once: constants → values that are the same in all steps.
        for_length: n, constants, those values → the function that works through a block of n steps: carries, inputs,
            arrays to fill (`stored`) → the carries that aren't stacked, the totals. It can be called for block after
            block.
        finish: totals, constants, those values → sums over all steps.
        values: what it computes, and what the code calls it.
        inputs: the values that it reads of all steps, the xs first.
        in_c: the loop, if it is written in C.
        why_not: why it isn't, where C was asked for.
    """

    source: str
    once: Callable[..., Any]
    for_length: Callable[..., Callable[..., Any]]
    finish: Callable[..., Any]
    values: Operands
    inputs: list[Var]
    in_c: CFunction | None = None
    why_not: str = ""


def emit(
    program: Sections,
    stored: Sequence[Var],
    name: str,
    backwards: bool,
    language: Language,
    called: Mapping[Any, str],
) -> Emitted:
    """A program's functions, which write the values `stored` of all steps to arrays that they are given.

    Values are called after themselves, or as `called` says, which knows functions and constants, too, by their keys.
    """
    if language == "numpy":
        return _emitted(program, stored, name, backwards, called, _loop, numpy_takes_out)
    from .c import NotInCError, fused, loop_in_c

    try:
        return _emitted(fused(program), stored, name, backwards, called, loop_in_c, lambda e: True)
    except NotInCError as why:
        in_numpy = _emitted(program, stored, name, backwards, called, _loop, numpy_takes_out)
        return replace(in_numpy, why_not=str(why))


def compile_loops(*programs: Emitted) -> None:
    """Compile those loops that are in C now, side by side, and not one by one when they are first run."""
    if functions := [p.in_c for p in programs if p.in_c]:
        from .c import compile_together

        compile_together(functions)


def _emitted(
    program: Sections,
    stored: Sequence[Var],
    name: str,
    backwards: bool,
    called: Mapping[Any, str],
    write_loop: LoopWriter,
    takes_out: Callable[[Equation], bool],
) -> Emitted:
    """The functions, with the loop as `write_loop` writes it; `takes_out` is for `placed`."""
    names = _names(program, called)
    values = Operands(program, names, placed(program, set(stored), takes_out), stored, backwards)
    statements = Statements(values)
    inputs = _inputs(program, names)
    constants = [names(v) for v in program.step.constants]
    once_values = _once_values(program)

    before = _lines(statements, ((statements.whole(e), e) for e in program.before))
    loop_lines, in_c = write_loop(values, name)
    body = _body(values, statements, inputs, before, loop_lines)
    forms = values.forms.values()
    made = [*map(names, once_values), *(form for form, _ in forms)]
    block = _function(name, ["n", *constants, *made], body)
    lines = [f"{statements.once(e)}  # {comment(e, values)}" for e in program.once]
    lines += [f"{form} = {text}" for form, text in forms]
    once = _function(f"{name}_once", constants, [*lines, f"return {_tuple(made)}"])
    ends = [f"{statements.once(e)}  # {comment(e, values)}" for e in program.last]
    sums = [" + ".join(values.whole(v) for v in terms) or "None" for terms in program.sums]
    totals = [names(t.out) for t in program.totals]
    finish = _function(f"{name}_finish", [*totals, *constants, *made], [*ends, f"return [{', '.join(sums)}]"])

    source = "\n\n".join([*([once] if lines else []), block, *([finish] if program.totals else [])])
    text = [f'{in_c.__name__}_in_c = r"""\n{in_c.source}"""\n'] if in_c else []
    source = "\n\n\n".join([preamble(names.space, source), source, *text])
    space = dict(names.space)
    exec(compile("\n\n".join([once, block, finish]), f"<scan: {name}>", "exec"), space)
    once_made, for_length, finished = (space[f"{name}{part}"] for part in ("_once", "", "_finish"))
    return Emitted(source, once_made, for_length, finished, values, inputs, in_c)


def _names(program: Sections, called: Mapping[Any, str]) -> Names:
    """Names for the functions and inputs, before others take them."""
    names = Names()
    for key, name in called.items():
        if key not in names.of:
            names.of[key] = names.new(name)
    ours: list[Any] = [np.empty, np.dot, np.array, np.copyto, np.broadcast_to, np.ascontiguousarray]
    for function in ours:
        names.numpy(function)
    for e in (*program.once, *program.equations, *program.last):
        function = e.prim.lowering.numpy or e.prim.forward
        names.thing(function.__name__.strip("_"), function)
    for v in (*program.step.carry, *program.step.xs, *program.step.constants):
        names(v)
    return names


def _used(program: Sections) -> dict[Var, None]:
    """What the equations of a block, and its totals, read: each value once, in order."""
    used = dict.fromkeys(a for e in program.equations for a in e.inputs)
    return used | dict.fromkeys(a for t in program.totals for a in t.args if isinstance(a, Var))


def _inputs(program: Sections, names: Names) -> list[Var]:
    """What the program reads of all steps: the xs, and what nothing here computes."""
    step = program.step
    known = {e.out for e in (*program.once, *program.equations)}
    known.update(step.carry, step.constants)
    known.update(step.xs)
    return [*step.xs, *sorted((v for v in _used(program) if v not in known), key=names)]


def _once_values(program: Sections) -> list[Var]:
    """What is the same in all steps and is used."""
    used = {a for e in program.last for a in e.inputs} | _used(program).keys()
    used |= {v for terms in program.sums for v in terms if isinstance(v, Var)}
    return [e.out for e in program.once if e.out in used]


def _body(
    values: Operands,
    statements: Statements,
    inputs: Sequence[Var],
    before: Sequence[tuple[str, str]],
    loop: Sequence[str],
) -> list[str]:
    """What the function does that makes a block's function: memory, and the block's function."""
    names, program, step = values.names, values.program, values.step
    static = [names(v) for i, v in enumerate(step.carry) if i not in values.places.states]
    after = _lines(statements, ((statements.whole(e), e) for e in program.after))
    body = [f"{carry} = {names.numpy(np.array)}({carry})" for carry in static]
    body += statements.pieces(own=False)
    body += _section("before the loop, for all t at once", before)
    if views := statements.views(own=False):
        body += ["# where the loop reads and writes", *views]
    body += loop
    body += _section("after the loop, for all t at once", after)
    body += [f"{statements.total(t)}  # {comment(t, values)}" for t in program.totals]
    body.append(f"return {_tuple(static)}, {_tuple([names(t.out) for t in program.totals])}")
    block = _function("block", [*map(names, (*step.carry, *inputs, *values.stored))], body)
    own = statements.buffers()
    memory = ["# memory of its own, for block after block of n steps", *own, ""] if own else []
    return [*memory, *block.splitlines(), "", "return block"]


def _loop(values: Operands, name: str) -> tuple[list[str], None]:
    """The loop's lines in NumPy."""
    statements = Statements(values)
    lines = _lines(statements, ((statements.in_step(e), e) for e in values.program.loop))
    copyto, step = values.names.numpy(np.copyto), values.step
    for i in values.places.copied:
        lines.append((f"{copyto}({values.state_names[i]}, {values.row(step.new_carry[i])})", ""))
    if not lines:
        return [], None
    rows = list(values.rows.values())
    if not rows:
        head = f"for t in {'reversed(range(n))' if values.backwards else 'range(n)'}:"
    elif len(rows) == 1:
        head = f"for {rows[0][0]} in {rows[0][1]}:"
    else:
        head = f"for {', '.join(a for a, _ in rows)} in zip({', '.join(b for _, b in rows)}):"
    title = "# the loop" + (", from the last step to the first" if values.backwards else "")
    return [title, head, *(f"    {line}" for line in _aligned(lines, max(len(s) for s, _ in lines)))], None


def _lines(statements: Statements, pairs: Iterable[tuple[str | None, Equation]]) -> list[tuple[str, str]]:
    return [(statement, comment(e, statements.values)) for statement, e in pairs if statement is not None]


def _section(title: str, lines: Sequence[tuple[str, str]]) -> list[str]:
    width = min(88, max((len(s) for s, _ in lines), default=0))
    return [f"# {title}", *_aligned(lines, width)] if lines else []


def _aligned(lines: Sequence[tuple[str, str]], width: int) -> list[str]:
    return [f"{s:<{width}}  # {comment}" if comment else s for s, comment in lines]


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _function(name: str, arguments: Sequence[str], body: Sequence[str]) -> str:
    lines = (f"    {line}" if line else "" for line in body)
    return f"def {name}({', '.join(arguments)}):\n" + "\n".join(lines) + "\n"
