"""Every operation, one row each: the function, NumPy's function that it must equal, and inputs to try both on.

`test_table.py` holds every row to the same promises: the forward is the oracle's, the derivatives are right in every
mode and to second order, examples in a batch don't mix, dtypes are kept, memory is never shared. A new operation needs
a row in `rows/`, in the file that is called like its own, and nothing else; without one the suite fails.
"""

from .rows import (
    contractions,
    convolution,
    cumulative,
    elementwise,
    indexing,
    linalg,
    matrices,
    products,
    reductions,
    shapes,
    softmax,
    transforms,
)

KINDS = (
    elementwise,
    reductions,
    cumulative,
    softmax,
    products,
    contractions,
    matrices,
    linalg,
    convolution,
    shapes,
    indexing,
    transforms,
)
ROWS = [row for kind in KINDS for row in kind.ROWS]

PAIRS = [(row, case) for row in ROWS for case in row.cases]
IDS = [f"{row.name}: {case.name}" for row, case in PAIRS]
SMOOTH = [(row, case) for row, case in PAIRS if case.smooth]
SMOOTH_IDS = [f"{row.name}: {case.name}" for row, case in SMOOTH]
