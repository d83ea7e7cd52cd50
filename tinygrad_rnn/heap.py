"""Freed memory, kept for the next training step.

The C library's malloc (glibc's) hands large arrays back to the system as soon as they are freed, and the next step pays
for each of their pages anew: a tenth to a fifth of its time. But it learns: once an array of up to 32 MB has been freed
that came from the system, it keeps what is freed later, up to twice as much. Elsewhere this does nothing.
"""

from __future__ import annotations

import numpy as np

__all__ = ["keep_freed_memory"]


def keep_freed_memory() -> None:
    """Free an array of nearly 32 MB. It is never written to, so it takes no memory while it is there."""
    np.empty((1 << 25) - (1 << 13), np.uint8)
