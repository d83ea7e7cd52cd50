"""Time and memory of one training step, beside the peers. `python -m benchmarks` runs everything; README.md says how to read it."""

import os

# Before NumPy or PyTorch is imported: one thread for every library, and no forced choice of OpenBLAS's kernels.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)
