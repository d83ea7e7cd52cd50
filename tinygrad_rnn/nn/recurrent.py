"""What a recurrent cell and a recurrent layer have in common: a kind of step, and weights for it."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from sys import intern
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from ..ops.creation import argument, flags_checked
from ..tape import Array, Tensor
from .arguments import floating, sizes_checked
from .module import Module
from .steps import Step, Weights

__all__ = ["Recurrent"]

# Of all arguments but the sizes, in the order in which `repr` shows them.
DEFAULTS = {
    "num_layers": 1,
    "nonlinearity": "tanh",
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "proj_size": 0,
    "residual": False,
    "recurrent_dropout": 0.0,
    "layer_norm": False,
    "forget_bias": None,
    "reset_after": True,
}


class Recurrent(Module):
    """A module with the weights of one or more cells, each under PyTorch's names and a suffix."""

    kind: ClassVar[type[Step]]

    def __init__(self, input_size: int, hidden_size: int, bias: bool, options: dict[str, Any]) -> None:
        what = type(self).__name__
        sizes_checked(what, input_size=input_size, hidden_size=hidden_size)
        flags_checked(what, bias=bias)
        own = [field.name for field in fields(self.kind) if field.name != "what"]
        for name in options:
            if name not in own:
                raise TypeError(
                    f"{what}: there is no argument {name!r}; beside the common ones it has {', '.join(own)}"
                )
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self.step = self.kind(what=what, **options)
        for name in own:
            setattr(self, name, getattr(self.step, name))
        self.output_size = self.step.output_size(hidden_size)
        self._read: dict[str, attrgetter[tuple[Any, ...]]] = {}

    def extra_repr(self) -> str:
        """The sizes, and the arguments that differ from their defaults."""
        given = {name: getattr(self, name, default) for name, default in DEFAULTS.items()}
        named = [f"{name}={value!r}" for name, value in given.items() if value != DEFAULTS[name]]
        return ", ".join([str(self.input_size), str(self.hidden_size), *named])

    def _make_weights(self, suffix: str, input_size: int, dtype: DTypeLike | None, rng: np.random.Generator) -> None:
        dtype = floating(self.step.what, dtype)
        made = self.step.weights(input_size, self.hidden_size, self.bias, dtype, rng)
        for name, p in made._asdict().items():
            setattr(self, name + suffix, p)
        self._read[suffix] = attrgetter(*[intern(name + suffix) for name in Weights._fields])

    def _weights(self, suffix: str) -> Weights:
        return Weights._make(self._read[suffix](self))

    def _states(self, hx: Any, lead: tuple[int, ...], read: tuple[int, ...]) -> list[Tensor]:
        """The tensors of a state. Raises `ValueError` for one that isn't [*lead, its size], for an input [*read]."""
        what, names = self.step.what, self.step.states
        found = [argument(what, name, part) for name, part in zip(names, self.step.parts(hx), strict=True)]
        for tensor, name, shape in zip(found, names, self._state_shapes(lead), strict=True):
            if tensor.shape != shape:
                raise ValueError(
                    f"{what}: {name} must have shape {list(shape)} for input of shape {read}, got {tensor.shape}"
                )
        return found

    def _zeros(self, lead: tuple[int, ...], dtype: DTypeLike) -> list[Array]:
        """A state to start from."""
        return [np.zeros(shape, dtype) for shape in self._state_shapes(lead)]

    def _state_shapes(self, lead: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [(*lead, size) for size in (self.output_size, self.hidden_size)[: len(self.step.states)]]
