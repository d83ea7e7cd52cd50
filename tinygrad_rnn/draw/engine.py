"""Graphviz, always in another process and always with a time limit.

Inside this process Graphviz can kill Python (an assertion in C is a SIGABRT), corrupt itself between threads, hold the
interpreter's lock for minutes and leak. So: a `dot` on the PATH, or else the Graphviz that pygraphviz's wheels carry,
run by a child Python (`child.py`); at the limit the whole process group is killed.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["DrawingError", "NoEngineError", "render"]


class DrawingError(RuntimeError):
    """A drawing can't be made: no Graphviz, one that failed, crashed or took too long, or a graph too large."""


class NoEngineError(DrawingError):
    """There is no Graphviz on this machine."""


def render(texts: Sequence[str], *, layout: str, output: str, what: str, timeout: float) -> bytes:
    """The renderings of DOT `texts` as `output` ("svg", "png", "pdf", "json"), one after the other, in one process.

    `layout` is Graphviz's name for it: "dot" places nodes, "nop2" only renders what is placed already. `what` names the
    drawing in errors. Raises `NoEngineError` when there is no Graphviz, and `DrawingError` when it fails, complains on
    stderr of anything but fonts, crashes, or runs for longer than `timeout` seconds.
    """
    command, stdin, engine = _command(texts, layout, output, what)
    doing = f"{what}: {engine}, laying out with {layout!r} as {output}"
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a group of its own, so that the limit kills whatever it started too
        )
    except OSError as error:
        raise DrawingError(f"{doing}, could not be started: {error}") from error
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise DrawingError(
            f"{doing}, was stopped at the limit of {timeout:g} s; show less (elide=True, depth=) or raise timeout="
        ) from None
    finally:  # after a KeyboardInterrupt too: never leave a layout, or what it started, running behind
        _kill(process)
    complaint = _complaint(stderr)
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise DrawingError(f"{doing}, crashed ({name}){complaint and ': '}{complaint}")
    if process.returncode:
        raise DrawingError(f"{doing}, failed with exit status {process.returncode}{complaint and ': '}{complaint}")
    if complaint:  # Graphviz draws something even of a broken label, and says so only here
        raise DrawingError(f"{doing}, complained: {complaint}")
    if texts and not stdout:
        raise DrawingError(f"{doing}, wrote nothing")
    return stdout


def _command(texts: Sequence[str], layout: str, output: str, what: str) -> tuple[list[str], bytes, str]:
    """What to run, what to feed it and what to call it."""
    dot = shutil.which("dot")
    if dot is not None:
        return [dot, f"-K{layout}", f"-T{output}"], "\n".join(texts).encode(), f"Graphviz ({dot})"
    spec = importlib.util.find_spec("pygraphviz")  # finds, doesn't import
    if spec is None or spec.origin is None:
        raise NoEngineError(
            f"{what}: no Graphviz found: neither `dot` on the PATH nor pygraphviz; install either, with "
            "`apt install graphviz`, `brew install graphviz` or `pip install pygraphviz`; only .dot files need none"
        )
    site = str(Path(spec.origin).parents[1])
    child = str(Path(__file__).with_name("child.py"))
    return (
        [sys.executable, "-I", child, site, layout, output],
        json.dumps(list(texts)).encode(),
        "Graphviz (pygraphviz's, in a child process)",
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End all of its group, itself and what it started, and let go of its pipes."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):  # all of it had ended by itself
            os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what it didn't read
                pipe.close()
    process.wait()


# Which fonts a machine has, and so how wide its text comes out, is its own affair and no fault of the drawing.
_FONTS = re.compile(
    r"^Fontconfig (warning|error)|Pango-(WARNING|CRITICAL)|hard-coded metrics|^Warning: .*\bfont\b"
    r"|size too small for label$|^Warning: no value for width of (non-)?ASCII character"
)


def _complaint(stderr: bytes, *, lines: int = 6) -> str:
    said = [line for line in stderr.decode(errors="replace").splitlines() if line.strip() and not _FONTS.search(line)]
    # The last lines carry the reason: an assertion follows its warnings, a traceback ends in its error.
    return "\n".join(["…", *said[-lines:]] if len(said) > lines else said)
