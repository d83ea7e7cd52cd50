"""Time and memory of a training step, beside the peers. `python -m benchmarks` runs everything; see README.md."""

import os

# Before NumPy or PyTorch is imported: one thread for every library, and no forced choice of OpenBLAS's kernels.
for _library in ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "VECLIB"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)
