"""Text as sequences of characters to predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Characters", "characters", "default_text", "read_text"]


def default_text() -> str:
    """The text that every CPython carries: Python's own documentation, topic by topic."""
    from pydoc_data.topics import topics  # half a megabyte; only when it is asked for

    return "\n".join(topics[name] for name in sorted(topics))


def read_text(path: str | Path) -> str:
    """A UTF-8 text file's contents.

    Raises `OSError` if it can't be read, `ValueError` if it is empty or isn't text.
    """
    content = Path(path).read_bytes()
    if not content:
        raise ValueError(f"{path}: the file is empty")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not a text file in UTF-8 (byte {error.start} is {content[error.start]:#04x})"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path}: not a text file (it has a NUL at character {text.index(chr(0))})")
    return text


@dataclass(frozen=True)
class Characters:
    """Steps of text: at each, a character as a one-hot row, and the index of the one that comes next."""

    text: str  # the characters that are read
    vocabulary: str  # every character of the whole text, sorted; an index is a place in it
    xs: npt.NDArray[np.float64]  # [T, V]
    labels: npt.NDArray[np.int64]  # [T]


def characters(text: str, steps: int, start: int = 0) -> Characters:
    """The `steps` characters from `start` on, each with its successor; the vocabulary is that of the whole text.

    Raises `ValueError` if steps < 1, start < 0, or the text has no `steps` + 1 characters from there on.

    >>> characters("hello", steps=2).labels  # 'h' and 'e' are read; 'e' and 'l' are to be predicted, of "ehlo"
    array([0, 2])
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if start < 0:
        raise ValueError(f"start must be at least 0, got {start}")
    window = text[start : start + steps + 1]
    if len(window) < steps + 1:
        raise ValueError(
            f"{steps} steps from character {start} need {steps + 1} characters (the last is only predicted), "
            f"but the text of {len(text)} has {len(window)} from there on"
        )
    vocabulary = "".join(sorted(set(text)))
    place = {c: i for i, c in enumerate(vocabulary)}
    indices = np.array([place[c] for c in window], np.int64)
    xs = np.zeros((steps, len(vocabulary)))
    xs[np.arange(steps), indices[:-1]] = 1.0
    return Characters(window[:-1], vocabulary, xs, indices[1:])
