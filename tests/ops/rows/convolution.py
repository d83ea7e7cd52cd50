"""The row of `ops/convolution.py`."""

import numpy as np

import tinygrad_rnn as tg

from ..cases import Case, Row, normal


def convolve(x, kernel, mode="full", axis=-1, method="auto"):
    """Row by row, by NumPy."""
    x, kernel = [np.moveaxis(a, axis, -1) if a.ndim > 1 else a for a in (x, kernel)]
    lead = np.broadcast_shapes(x.shape[:-1], kernel.shape[:-1])
    xs, kernels = [np.broadcast_to(a, (*lead, a.shape[-1])) for a in (x, kernel)]
    like = np.convolve(np.ones(x.shape[-1]), np.ones(kernel.shape[-1]), "full" if mode == "causal" else mode)
    length = x.shape[-1] if mode == "causal" else len(like)
    out = np.empty((*lead, length), np.result_type(x, kernel))
    for place in np.ndindex(lead):
        out[place] = np.convolve(xs[place], kernels[place], "full" if mode == "causal" else mode)[:length]
    return np.moveaxis(out, -1, axis)


def conv1d(torch, x, kernel, mode="full", axis=-1, method="auto"):
    """PyTorch's conv1d doesn't turn the kernel round, and wants a batch, a group for each channel, and the padding."""
    x, kernel = [a.movedim(axis, -1) if a.ndim > 1 else a for a in (x, kernel)]
    lead = torch.broadcast_shapes(x.shape[:-1], kernel.shape[:-1])
    m, n = x.shape[-1], kernel.shape[-1]
    rows = [a.broadcast_to(*lead, a.shape[-1]).reshape(-1, a.shape[-1]) for a in (x, kernel)]
    if len(rows[0]) == 0:
        full = rows[0].sum() * rows[1].sum() + torch.zeros(0, m + n - 1, dtype=x.dtype)
    else:
        full = torch.nn.functional.conv1d(rows[0][None], rows[1].flip(-1)[:, None], padding=n - 1, groups=len(rows[0]))[
            0
        ]
    start = {"full": 0, "causal": 0, "same": (min(m, n) - 1) // 2, "valid": min(m, n) - 1}[mode]
    length = {"full": m + n - 1, "causal": m, "same": max(m, n), "valid": abs(m - n) + 1}[mode]
    return full[:, start : start + length].reshape(*lead, length).movedim(-1, axis)


LENGTHS = {"longer": (5, 3), "shorter": (3, 5), "equal": (4, 4), "even": (6, 2), "one": (4, 1), "ones": (1, 1)}

ROWS = [
    Row(
        "convolve",
        tg.convolve,
        convolve,
        [
            *[
                Case(f"{name}, {mode}, {method}", (normal(m), normal(n)), {"mode": mode, "method": method})
                for name, (m, n) in LENGTHS.items()
                for mode in ("full", "same", "valid", "causal")
                for method in ("direct", "fft")
            ],
            *[
                Case(f"{name}, {mode}, {method}", arrays, {"mode": mode, "axis": axis, "method": method})
                for method in ("direct", "fft")
                for name, arrays, axis, mode in [
                    ("rows", (normal(2, 5), normal(2, 3)), -1, "full"),
                    ("one kernel for all rows", (normal(2, 5), normal(3)), -1, "same"),
                    ("one row for all kernels", (normal(3), normal(2, 5)), -1, "causal"),
                    ("both broadcast", (normal(2, 1, 4), normal(3, 2)), -1, "valid"),
                    ("a sequence of channels", (normal(4, 2), normal(3, 2)), 0, "causal"),
                    ("one kernel for all channels", (normal(4, 2), normal(3)), 0, "causal"),
                    ("time, batch, channels", (normal(4, 2, 3), normal(2, 3)), 0, "causal"),
                    ("batch, time, channels", (normal(2, 4, 3), normal(2, 3)), -2, "full"),
                    ("no rows", (normal(0, 4), normal(2)), -1, "full"),
                ]
            ],
            Case("long", (normal(2, 40), normal(1, 12))),
            Case("long, without batch", (normal(300), normal(270)), {"mode": "same"}),
        ],
        "convolve",
        rtol=1e-13,
        torch=conv1d,
    ),
]
