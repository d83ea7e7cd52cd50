"""The list of those who take part; each is a function from a task to a step and a way to read off its gradients."""

from __future__ import annotations

from ..contenders import Contender, entering

__all__ = ["ENTRIES", "entry"]

ENTRIES: dict[str, Contender] = {}
entry = entering(ENTRIES)
