"""Gradients of results that are already on the tape, as PyTorch's `torch.autograd.grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from .backward import cotangent_for, pull, recorded
from .tape import Tensor

__all__ = ["grad"]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    cotangents: ArrayLike | Tensor | Sequence[ArrayLike | Tensor | None] | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> tuple[Tensor, ...]:
    """Σ_i ∂⟨cotangent_i, output_i⟩/∂input_j for each input j. No `.grad` changes.

    Args:
        outputs: one or more recorded tensors.
        inputs: leaves or intermediate results that the outputs were computed from.
        cotangents: one for each output, of its shape; scalars need none.
        create_graph: record the computation, so that the gradients can be differentiated again.
        retain_graph: keep the residuals for another backward; by default only with `create_graph`.

    Raises `RuntimeError` if an output or input needs no gradient, or if an input has no influence on any output.
    """
    ys = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    xs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    given: Any = (None,) * len(ys) if cotangents is None else cotangents
    if isinstance(outputs, Tensor):
        given = (cotangents,)
    if len(given) != len(ys):
        raise ValueError(f"autograd.grad: {len(ys)} outputs want as many cotangents, got {len(given)}")
    for i, t in enumerate(ys):
        recorded(f"autograd.grad: outputs[{i}]", t)
    for i, t in enumerate(xs):
        recorded(f"autograd.grad: inputs[{i}]", t)
    cts = [
        cotangent_for(f"autograd.grad: the cotangent of outputs[{i}]", y, ct)
        for i, (y, ct) in enumerate(zip(ys, given, strict=True))
    ]
    keep = create_graph if retain_graph is None else retain_graph
    found = pull(ys, cts, xs, record=create_graph, free=not keep)
    for i, (x, ct) in enumerate(zip(xs, found, strict=True)):
        if ct is None:
            called = "" if x.name is None else f" ({x.name!r})"
            raise RuntimeError(f"autograd.grad: inputs[{i}]{called} was not used to compute the outputs")
    return tuple(ct for ct in found if ct is not None)
