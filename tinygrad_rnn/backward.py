"""Reverse mode: the walk that pulls cotangents back over the tape.

`walk` goes through the nodes in reverse order of creation. At each one the cotangent is complete, because everything
computed from it came later and has been visited; its rules then say what to add to each parent's. `Tensor.backward`
and `pull` are what it is used for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from .primitive import Plan, Rule
from .seal import Seal, new_era
from .tape import Array, Node, Tensor, enable_grad, innermost, norm
from .turned import backward_pass
from .watch import Watcher, watchers

__all__ = ["backward", "cotangent_for", "fitted", "pull", "pull_plain", "recorded", "walk"]


def backward(output: Tensor, cotangent: npt.ArrayLike | Tensor | None = None, *, retain_graph: bool = False) -> None:
    """See `Tensor.backward`."""
    if type(output) is not Tensor:
        raise TypeError(
            "backward: inside jvp, vmap or the cell of a scan there is no .grad to fill in, for it is a plain array; "
            "use grad, vjp or autograd.grad"
        )
    node = recorded("backward", output)
    ct = cotangent_for("backward: the cotangent", output, cotangent)
    grads: list[tuple[Node, Array]] = []
    norms: list[tuple[Node, float]] = []
    measured, length = None, 0.0
    with backward_pass():
        for n, c in walk([(node, ct.value)], wanted=None, free=not retain_graph):
            if n.plan is None:
                grads.append((n, c if n.grad is None else np.asarray(n.grad + c)))
                continue
            if c is not measured:  # a sum hands the same array to all its terms
                measured, length = c, norm(c)
            norms.append((n, length))
    for n, grad in grads:  # all or nothing: no gradient changes until all are there
        n.grad = grad
    for n, length in norms:
        n.ct_norm = length
    new_era()


def recorded(what: str, t: Tensor) -> Node:
    """The node of a tensor that needs a gradient; an error that says why there is none."""
    if t.node is None or not t.node.needs_grad:
        raise RuntimeError(
            f"{what}: this tensor (shape {t.shape}) needs no gradient: nothing that it was computed from has "
            "requires_grad=True, or it was computed inside no_grad()"
        )
    return t.node


def cotangent_for(what: str, output: Tensor, cotangent: npt.ArrayLike | Tensor | None) -> Tensor:
    """A cotangent in the output's shape and dtype; 1 for a scalar if none is given. Errors call it `what`."""
    if cotangent is None:
        if output.shape != ():
            raise RuntimeError(
                f"{what} can be left out only for a scalar, and this tensor has shape {output.shape}: "
                "give one of that shape, or reduce the tensor first, for instance with .sum()"
            )
        return Tensor(np.array(1, output.dtype))
    ct = cotangent if isinstance(cotangent, Tensor) else Tensor(np.asarray(cotangent))
    if ct.shape != output.shape:
        raise ValueError(f"{what} must have the tensor's shape {output.shape}, got {ct.shape}")
    if ct.dtype.kind not in "fiub":
        raise TypeError(f"{what} must be of real numbers, got dtype {ct.dtype}")
    return ct if ct.dtype == output.dtype else ct.astype(output.dtype)


# ------------------------------------------------------------------------------------------------------------- the walk


def walk(
    roots: Sequence[tuple[Node, Any]], wanted: set[Node] | None, *, free: bool, record: bool = False, since: int = 0
) -> Iterator[tuple[Node, Any]]:
    """Pull cotangents back from `roots`; yield each node with its finished cotangent, in reverse order of creation.

    Args:
        roots: nodes and their cotangents: arrays, or tensors when recording.
        wanted: go only where one of these is reached; `None` means every leaf.
        free: drop each node's residuals on leaving it.
        record: run the rules on tensors, so that the result can be differentiated.
        since: what was made before the node of this number isn't gone through: it is where the graph begins.

    Nothing is computed before the whole graph was found to be there and unharmed. The array given for a leaf or a
    wanted node shares no memory with any other.
    """
    order = _leading_to(wanted, [node for node, _ in roots], since)
    _check_unharmed(order, since)
    alive = set(order)
    sums = _Sums()
    for node, ct in roots:
        if node in alive:
            sums.add(node, ct)
    totals = sums.totals
    watching = watchers.get()
    while order:
        node = order.pop()
        if node in sums.waiting:
            sums.multiply_out(node)
        ct = totals.pop(node, None)
        if ct is None:
            continue
        plan = node.plan
        if (plan is None or (wanted is not None and node in wanted)) and node not in sums.owned:
            ct = ct.astype(ct.dtype) if record else np.array(ct)
        for watcher in watching if node.index >= since else ():
            watcher.completed(node, ct)
        yield node, ct
        if plan is None or node.index < since:
            continue
        saved: Any = _as_tensors(node, plan) if record else node.saved
        if plan.variadic:
            ((_, rule, which, _),) = plan.steps
            parts = rule(ct, *saved) if which is None else rule(ct, *[saved[k] for k in which])
            for parent, part in zip(node.parents, parts, strict=True):
                if parent in alive and part is not None:
                    sums.add(parent, _seen(watching, since, node, parent, part) if watching else part)
        else:
            for i, rule, which, pooled in plan.steps:
                parent = node.parents[i]
                if parent not in alive:
                    continue
                use = (ct, *saved) if which is None else (ct, *[saved[k] for k in which])
                if pooled is not None and not watching:
                    sums.wait(parent, rule, pooled, use)
                    continue
                part = rule(*use)
                sums.add(parent, _seen(watching, since, node, parent, part) if watching else part, use)
        if free:
            node.saved, node.seals = None, ()


def _seen(watching: Sequence[Watcher], since: int, source: Node, target: Node, part: Any) -> Any:
    """What a rule gave, as it will be added up, once the watchers have seen it."""
    part = fitted(part, target)
    for watcher in watching if target.index >= since else ():
        watcher.contributed(source, target, part)
    return part


class _Sums:
    """Where cotangents add up: a running total for each node, and uses that wait to be multiplied out together."""

    def __init__(self) -> None:
        self.totals: dict[Node, Any] = {}
        self.owned: set[Node] = set()  # whose total nobody else has, so that it may be added to in place
        self.waiting: dict[Node, dict[Rule, tuple[Rule, list[tuple[Any, ...]]]]] = {}

    def add(self, node: Node, ct: Any, use: tuple[Any, ...] = ()) -> None:
        """Add what a rule made of `use` (or a root's cotangent) to a node's total."""
        if ct.shape != node.shape or ct.dtype != node.dtype:
            ct = fitted(ct, node)
        total = self.totals.get(node)
        if total is None:
            self.totals[node] = ct
            if use and _is_fresh(ct, use):
                self.owned.add(node)
        elif node in self.owned:
            total += ct
        else:
            self.totals[node] = total = total + ct
            if type(total) is np.ndarray:
                self.owned.add(node)

    def wait(self, node: Node, rule: Rule, pooled: Rule, use: tuple[Any, ...]) -> None:
        """Keep a use for later, when there are more to multiply out with it."""
        pools = self.waiting.get(node)
        if pools is None:
            pools = self.waiting[node] = {}
        _, uses = pools.setdefault(rule, (pooled, []))
        uses.append(use)
        # A long sequence must not keep all its cotangents alive.
        if len(uses) * use[0].size > _POOL and len(uses) * use[0].size > 2 * math.prod(node.shape):
            self.multiply_out(node)

    def multiply_out(self, node: Node) -> None:
        for rule, (pooled, uses) in self.waiting.pop(node).items():
            total = NotImplemented if len(uses) == 1 else pooled(*map(list, zip(*uses, strict=True)))
            if total is not NotImplemented:
                self.add(node, total, uses[0])
                continue
            for use in uses:
                self.add(node, rule(*use), use)


_POOL = 1 << 16  # how many numbers may wait, at least


def _is_fresh(part: Any, use: tuple[Any, ...]) -> bool:
    """Whether a rule made a new array rather than handing on one that it was given, or a view."""
    if type(part) is not np.ndarray or part.base is not None:
        return False
    for u in use:  # noqa: SIM110 - a generator takes three times as long, once a node
        if u is part:
            return False
    return True


def fitted(ct: Any, node: Any) -> Any:
    """A rule's result in the shape and dtype of the argument: summed over what was broadcast."""
    if ct.shape != node.shape:
        lead = ct.ndim - len(node.shape)
        stretched = [lead + i for i, n in enumerate(node.shape) if lead >= 0 and n == 1 != ct.shape[lead + i]]
        kept = [n for i, n in enumerate(node.shape) if lead + i not in stretched]
        summed = _sum_over(ct, lead, stretched) if lead >= 0 else ct
        if lead < 0 or list(summed.shape) != kept:
            raise RuntimeError(f"backward: a rule gave a cotangent of shape {ct.shape} to {node}")
        ct = summed if summed.shape == node.shape else summed.reshape(node.shape)
    return ct if ct.dtype == node.dtype else ct.astype(node.dtype)


def _sum_over(ct: Any, lead: int, stretched: list[int]) -> Any:
    """Σ ct over `lead` axes in front and those stretched."""
    if type(ct) is np.ndarray and ct.ndim == lead + 1 and lead and not stretched and ct.flags.c_contiguous:
        # A bias is the weight of an input that is always 1: as a product, its gradient is faster and more exact.
        rows = ct.reshape((math.prod(ct.shape[:lead]), ct.shape[lead]))
        return np.ones(len(rows), ct.dtype) @ rows
    return ct.sum(axis=(*range(lead), *stretched))


def _as_tensors(node: Node, plan: Plan) -> list[Any]:
    """The residuals as tensors, with the nodes that they came from: what a recorded backward runs on."""
    kept = list(node.saved or ())
    out: list[Any] = [
        Tensor(value, node if i < 0 else node.parents[i]) if type(value) is np.ndarray else value
        for i, value in zip(plan.arrays, kept, strict=False)
    ] + kept[len(plan.arrays) :]
    if plan.primitive.variadic and plan.primitive.arguments[0] in plan.saves:
        k = plan.saves.index(plan.primitive.arguments[0])
        out[k] = tuple(Tensor(value, parent) for value, parent in zip(kept[k], node.parents, strict=True))
    return out


def _leading_to(wanted: set[Node] | None, roots: Sequence[Node], since: int) -> list[Node]:
    """The nodes that the roots were computed from and that lead to a wanted one, in order of creation."""
    seen = set(roots)
    stack = list(seen)
    while stack:
        node = stack.pop()
        for parent in node.parents if node.index >= since else ():
            if parent is not None and parent.needs_grad and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    order = sorted(seen, key=attrgetter("index"))
    if wanted is None:
        return order
    leading: set[Node | None] = set()
    for node in order:
        if node in wanted or not leading.isdisjoint(node.parents):
            leading.add(node)
    return [node for node in order if node in leading]


def _check_unharmed(order: Sequence[Node], since: int) -> None:
    seals: dict[Seal, None] = {}
    for node in order:
        if node.index < since:
            continue
        if node.saved is None:
            raise RuntimeError(
                f"backward: an earlier backward went through {node} and freed what it had kept; "
                "call that one with retain_graph=True to go through it again"
            )
        for seal in node.seals:
            seals[seal] = None
    for seal in seals:
        seal.check()


# ------------------------------------------------------------------------------------------------- pulling back tensors


def pull(
    outputs: Sequence[Tensor], cts: Sequence[Tensor], inputs: Sequence[Tensor], *, record: bool, free: bool
) -> list[Tensor | None]:
    """Σ_i ∂⟨ct_i, output_i⟩/∂input_j for each input j, or `None` where no output depends on it.

    Lifted tensors take over, as in a primitive.
    """
    for t in (*outputs, *cts):
        if type(t) is not Tensor:
            return innermost((*outputs, *cts)).pull(outputs, cts, inputs)
    return pull_plain(outputs, cts, inputs, record=record, free=free)


def pull_plain(
    outputs: Sequence[Tensor],
    cts: Sequence[Tensor],
    inputs: Sequence[Tensor],
    *,
    record: bool,
    free: bool,
    since: int = 0,
) -> list[Tensor | None]:
    """`pull` through plain tensors. The cotangents may be lifted, if the pass is recorded. For `since` see `walk`."""
    nodes = [recorded("grad", x) for x in inputs]
    wanted = set(nodes)
    roots = [
        (y.node, c if record else c.value)
        for y, c in zip(outputs, cts, strict=True)
        if y.node is not None and y.node.needs_grad
    ]
    with enable_grad() if record else backward_pass():
        found = {n: ct for n, ct in walk(roots, wanted, free=free, record=record, since=since) if n in wanted}
    new_era()
    results = {n: ct if record else Tensor(ct) for n, ct in found.items()}
    return [_again(results.get(n)) if n in nodes[:i] else results.get(n) for i, n in enumerate(nodes)]


def _again(ct: Tensor | None) -> Tensor | None:
    """The same gradient for an input that was given twice, in memory of its own."""
    return None if ct is None else ct.astype(ct.dtype)
