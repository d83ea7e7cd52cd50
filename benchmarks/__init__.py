"""Time and memory of a training step, beside the peers. `python -m benchmarks` runs everything; see README.md."""

import os

# Before any library is imported: so many threads for each, and no forced choice of OpenBLAS's kernels.
THREADS = int(os.environ.setdefault("BENCHMARK_THREADS", "1"))
for _library in ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "VECLIB"):
    os.environ[f"{_library}_NUM_THREADS"] = str(THREADS)
os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ["NPROC"] = str(THREADS)  # the size of XLA's thread pool
if THREADS == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
