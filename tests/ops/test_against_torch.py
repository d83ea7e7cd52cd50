"""The rows of the table that have a counterpart in PyTorch: the same values, the same gradients."""

import functools
import operator

import numpy as np
import pytest
from numpy.testing import assert_allclose

from .table import PAIRS
from .test_table import directions, gradients, leaves

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with it is skipped")
COUNTERPARTS = [(row, case) for row, case in PAIRS if row.torch is not None]


def in_torch(row, case):
    """The case in PyTorch: value and gradients for a cotangent."""
    xs = [torch.tensor(a, requires_grad=True) for a in case.arrays]
    f = functools.partial(row.torch, torch) if callable(row.torch) else operator.attrgetter(row.torch)(torch)
    out = f(*xs, **case.kwargs)
    ct, _ = directions(case, out)
    out.backward(torch.tensor(ct))
    return out.detach().numpy(), [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in xs]


@pytest.mark.parametrize(("row", "case"), COUNTERPARTS, ids=[f"{row.name}: {case.name}" for row, case in COUNTERPARTS])
def test_gradients_are_pytorchs(row, case):
    value, grads = in_torch(row, case)
    out = row.f(*leaves(case), **case.kwargs)
    assert_allclose(out.data, value, rtol=1e-12, atol=1e-13)
    ct, _ = directions(case, out)
    for got, want in zip(gradients(row, case, leaves(case), ct), grads, strict=True):
        assert_allclose(got, want, rtol=1e-11, atol=1e-12)
