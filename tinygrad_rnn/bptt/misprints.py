"""Printed and right: the formulas that can't be used as the documents print them, each with a measurement.

A formula whose shapes don't fit is measured in the most charitable reading in which they do. The judge is the complex
step, which knows no formula.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np

from .model import Activation, FloatArray, Parameters
from .numerical import complex_step

_Factor: TypeAlias = Callable[[int, int], FloatArray]


class _Example:
    """A small seeded network and what the formulas name: row t of h, slope and delta_z is h_t, f'(a_t) and δz_t."""

    def __init__(self, activation: Activation) -> None:
        # H = O, so that W_hyᵀ on the wrong side has a shape at all; h_0 ≠ 0, so that the first use of W_hh counts.
        T, H, I = 5, 4, 3  # noqa: E741  # the field's names
        rng = np.random.default_rng(0)
        W_xh, W_hh, W_hy = rng.normal(size=(H, I)), rng.normal(size=(H, H)) / 2, rng.normal(size=(H, H))
        b_h, b_y, h0 = rng.normal(size=(3, H)) / 2
        xs, labels = rng.normal(size=(T, I)), rng.integers(H, size=T)
        parameters = Parameters(W_xh=W_xh, W_hh=W_hh, b_h=b_h, W_hy=W_hy, b_y=b_y, h0=h0)
        self.judge = complex_step(parameters, xs, labels, activation)["W_hh"].values.reshape(H, H)

        f, derivative = _ACTIVATIONS[activation]
        self.T, self.eye, self.W_hh, self.W_hy = T, np.eye(H), W_hh, W_hy
        self.h, self.slope, self.delta_z = np.zeros((3, T + 1, H))
        self.immediate, self.total = np.zeros((2, T + 1, H, H, H))  # ∂⁺h_t/∂W_hh and ∂h_t/∂W_hh: [t, of h, row, column]
        self.h[0] = h0
        for t in range(1, T + 1):
            a = W_hh @ self.h[t - 1] + W_xh @ xs[t - 1] + b_h
            self.h[t], self.slope[t] = f(a), derivative(a)
            exponentials = np.exp(W_hy @ self.h[t] + b_y)
            self.delta_z[t] = exponentials / exponentials.sum() - self.eye[labels[t - 1]]
            self.immediate[t] = np.einsum("i,ir,c->irc", self.slope[t], self.eye, self.h[t - 1])
            self.total[t] = self.immediate[t] + np.tensordot(self.jacobian(t), self.total[t - 1], 1)

    def jacobian(self, j: int) -> FloatArray:
        """J_j = ∂h_j/∂h_{j-1} = diag(f'(a_j)) W_hh."""
        return np.asarray(np.diag(self.slope[j]) @ self.W_hh)

    def product(self, factors: Iterable[FloatArray]) -> FloatArray:
        """The factors from left to right; I if there is none."""
        return reduce(np.matmul, factors, self.eye)

    def newest_left(self, t: int, k: int) -> FloatArray:
        """J_t J_{t-1} … J_{k+1}."""
        return self.product(self.jacobian(j) for j in range(t, k, -1))

    def double_sum(
        self,
        chain: _Factor | None = None,
        dh_dW: FloatArray | None = None,
        W_hy: FloatArray | None = None,
    ) -> FloatArray:
        """Σ_t Σ_{k<=t} δz_tᵀ W_hy · J_t … J_{k+1} · ∂⁺h_k/∂W_hh, with any of the three factors exchanged."""
        chain = self.newest_left if chain is None else chain
        dh_dW = self.immediate if dh_dW is None else dh_dW
        W_hy = self.W_hy if W_hy is None else W_hy
        total = np.zeros_like(self.W_hh)
        for t in range(1, self.T + 1):
            for k in range(1, t + 1):
                total += np.tensordot(self.delta_z[t] @ W_hy @ chain(t, k), dh_dW[k], 1)
        return total

    def from_states(self, delta_h: Iterable[FloatArray], slope: FloatArray) -> FloatArray:
        """Σ_t s_t ⊙ δh_t h_{t-1}ᵀ for the δh_1 … δh_T given, where s_t ought to be f'(a_t)."""
        return np.asarray((slope[1:] * np.array(list(delta_h))).T @ self.h[:-1])

    def recursion(self, back: Callable[[int, FloatArray], FloatArray]) -> list[FloatArray]:
        """δh_t = W_hyᵀ δz_t + back(t, δh_{t+1}), for t = 1 … T."""
        delta_h = [self.W_hy.T @ self.delta_z[self.T]]
        for t in range(self.T - 1, 0, -1):
            delta_h.insert(0, self.W_hy.T @ self.delta_z[t] + back(t, delta_h[0]))
        return delta_h

    def expansion(self, chain: _Factor) -> list[FloatArray]:
        """δh_t = Σ_{i>=t} chain(i, t)ᵀ W_hyᵀ δz_i, for t = 1 … T."""
        steps = range(1, self.T + 1)
        return [np.sum([chain(i, t).T @ self.W_hy.T @ self.delta_z[i] for i in steps if i >= t], axis=0) for t in steps]


_ACTIVATIONS: dict[Activation, tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], FloatArray]]] = {
    "tanh": (np.tanh, lambda a: np.cosh(a) ** -2.0),
    "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), lambda a: np.cosh(a / 2) ** -2.0 / 4),
    "relu": (lambda a: a * (a > 0), lambda a: np.heaviside(a, 0.0)),
    "identity": (lambda a: a, np.ones_like),
}


@dataclass(frozen=True)
class Disagreement:
    """‖dL/dW_hh by the formula - dL/dW_hh by the complex step‖ / ‖the latter‖, in the Frobenius norm."""

    printed: float
    right: float


@dataclass(frozen=True)
class Misprint:
    """One formula as printed and put right, and dL/dW_hh of a small network by each."""

    item: str  # of the checklist
    document: str
    equation: str
    printed: str
    right: str
    why: str
    holds_for: tuple[Activation, ...]  # the activations for which the printed form is right all the same
    by_printed: Callable[[_Example], FloatArray]
    by_right: Callable[[_Example], FloatArray]

    def measure(self, activation: Activation = "tanh") -> Disagreement:
        """Both forms against the complex step, on one seeded network: T = 5, H = O = 4, I = 3, h_0 ≠ 0."""
        example = _Example(activation)

        def off(gradient: FloatArray) -> float:
            return float(np.linalg.norm(gradient - example.judge) / np.linalg.norm(example.judge))

        return Disagreement(printed=off(self.by_printed(example)), right=off(self.by_right(example)))


def _right_recursion(e: _Example) -> FloatArray:
    return e.from_states(e.recursion(lambda t, delta_h: e.W_hh.T @ (e.slope[t + 1] * delta_h)), e.slope)


def _last_factor(e: _Example) -> FloatArray:
    def chain(t: int, k: int) -> FloatArray:
        if k > 1 or t < 3:
            return e.newest_left(t, k)
        return np.asarray(e.newest_left(t, 2) @ e.newest_left(t, 1))  # ∂h_t/∂h_1 in the place of ∂h_2/∂h_1

    return e.double_sum(chain)


MISPRINTS: tuple[Misprint, ...] = (
    Misprint(
        item="D3",
        document="000",
        equation="(7)-(10)",
        printed="∂h_t/∂W_hh = Σ_k ∂h_t/∂h_k · ∂h_k/∂W_hh",
        right="∂h_t/∂W_hh = Σ_k ∂h_t/∂h_k · ∂⁺h_k/∂W_hh",
        why="One symbol for two things: on the right it's the immediate derivative ∂⁺, with h_{k-1} held fixed. "
        "As printed, (8) says that the path through h_{t-1} is zero, and (7) counts paths many times over.",
        holds_for=(),
        by_printed=lambda e: e.double_sum(dh_dW=e.total),
        by_right=lambda e: e.double_sum(),
    ),
    Misprint(
        item="D3",
        document="000",
        equation="(10), last term",
        printed="∂h_t/∂h_{t-1} … ∂h_t/∂h_1 · ∂h_1/∂W_hh",
        right="∂h_t/∂h_{t-1} … ∂h_2/∂h_1 · ∂⁺h_1/∂W_hh",
        why="The last factor is one step, from h_1 to h_2. With h_0 = 0 that's unseen: ∂⁺h_1/∂W_hh is 0 too.",
        holds_for=(),
        by_printed=_last_factor,
        by_right=lambda e: e.double_sum(),
    ),
    Misprint(
        item="D3",
        document="000",
        equation="(10)-(13), Π",
        printed="Π_{j=k+1}^{t} ∂h_j/∂h_{j-1}, which reads J_{k+1} … J_t",
        right="J_t J_{t-1} … J_{k+1}, newest on the left",
        why="Matrices don't commute: the line above, in (10), has the newest first; the Π, in its index's order, the "
        "oldest. For the identity every J_j is W_hh, and the order doesn't matter.",
        holds_for=("identity",),
        by_printed=lambda e: e.double_sum(lambda t, k: e.product(e.jacobian(j) for j in range(k + 1, t + 1))),
        by_right=lambda e: e.double_sum(),
    ),
    Misprint(
        item="D4",
        document="000",
        equation="(11)-(13)",
        printed="(ŷ_t - y_t) · W_hyᵀ · Σ_k (Π J) ∂h_k/∂W",
        right="(ŷ_t - y_t)ᵀ W_hy Σ_k (Π J) ∂⁺h_k/∂W",
        why="[O] times [H, O] fits only when H = O, and is wrong then. Π J on the right needs a row on its left, so "
        "(ŷ - y)ᵀ W_hy; the column W_hyᵀ (ŷ - y) would need (Π J)ᵀ on its left.",
        holds_for=(),
        by_printed=lambda e: e.double_sum(W_hy=e.W_hy.T),
        by_right=lambda e: e.double_sum(),
    ),
    Misprint(
        item="D4",
        document="000",
        equation="after (13)",
        printed="∂h_j/∂h_{j-1} = f'(a_j) · W_hh",
        right="∂h_j/∂h_{j-1} = diag(f'(a_j)) W_hh",
        why="f' scales the rows of W_hh. A vector times a matrix, as in NumPy's `f_prime * W_hh`, scales the columns.",
        holds_for=("identity",),
        by_printed=lambda e: e.double_sum(lambda t, k: e.product(e.slope[j] * e.W_hh for j in range(t, k, -1))),
        by_right=lambda e: e.double_sum(),
    ),
    Misprint(
        item="D6",
        document="001",
        equation="hidden states",
        printed="δh_t = W_hhᵀ δh_{t+1} + W_qhᵀ δo_t,  dL/dW_hh = Σ δh_t h_{t-1}ᵀ",
        right="δh_t = W_hhᵀ δ_{t+1} + W_qhᵀ δo_t,  δ_t = φ'(a_t) ⊙ δh_t,  dL/dW_hh = Σ δ_t h_{t-1}ᵀ",
        why="The forward slides have φ; these have lost φ'. They hold for the identity only.",
        holds_for=("identity",),
        by_printed=lambda e: e.from_states(e.recursion(lambda t, delta_h: e.W_hh.T @ delta_h), np.ones_like(e.slope)),
        by_right=_right_recursion,
    ),
    Misprint(
        item="D6",
        document="001",
        equation="hidden states, W_hhᵀ",
        printed="h_t = φ(x_t W_xh + h_{t-1} W_hh + b_h) together with W_hhᵀ δh_{t+1}",
        right="W_hh δh_{t+1}; or h_t = φ(W_hx x_t + W_hh h_{t-1} + b_h)",
        why="Forward in rows (in columns once, at the start), backward in columns. The slides turn W_hq into W_qh and "
        "W_xh into W_hx on the way; W_hh turned has the same name, so one of the two lines has its transpose. "
        "(Measured with φ' put back.)",
        holds_for=(),
        by_printed=lambda e: e.from_states(
            e.recursion(lambda t, delta_h: e.W_hh @ (e.slope[t + 1] * delta_h)), e.slope
        ),
        by_right=_right_recursion,
    ),
    Misprint(
        item="D7",
        document="001",
        equation="full expansion",
        printed="δh_t = Σ_{i=t}^{T} (W_hhᵀ)^{T-i} W_qhᵀ δo_{T+t-i}",
        right="δh_t = Σ_{i=t}^{T} (J_i … J_{t+1})ᵀ W_qhᵀ δo_i",
        why="It is D6 expanded, powers of W_hhᵀ: its indices are right, and it holds for the identity only.",
        holds_for=("identity",),
        by_printed=lambda e: e.from_states(
            e.expansion(lambda i, t: np.linalg.matrix_power(e.W_hh, i - t)), np.ones_like(e.slope)
        ),
        by_right=lambda e: e.from_states(e.expansion(e.newest_left), e.slope),
    ),
    Misprint(
        item="D8",
        document="001",
        equation="example, step 4",
        printed="δh_t = δo_t W_hy + δh_{t+1} W_hh (1 - h_t²)",
        right="δh_t = δo_t W_hy + δh_{t+1} W_hh (1 - h_{t+1}²)",
        why="What comes back from h_{t+1} passes the tanh of step t+1. `SLIDES` has what follows. (Measured with "
        "vectors: f'(a_t) ⊙ W_hhᵀ δh_{t+1} against W_hhᵀ (f'(a_{t+1}) ⊙ δh_{t+1}).)",
        holds_for=("identity",),
        by_printed=lambda e: e.from_states(e.recursion(lambda t, delta_h: e.slope[t] * (e.W_hh.T @ delta_h)), e.slope),
        by_right=_right_recursion,
    ),
)
