"""Modules: named trees of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from reprlib import recursive_repr
from textwrap import indent
from typing import Any

from ..ops.creation import flags_checked
from ..primitive import real_numbers
from ..scope import scope
from ..tape import Array, Tensor
from ..tree import kind

__all__ = ["Module"]


class Module:
    """A part of a model. Its parameters: leaves that need a gradient when set as attributes, and its modules'.

    Write `forward`; call the module. Parameters are named after the attributes that hold them.

    >>> from tinygrad_rnn import tensor
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = tensor(2.0, requires_grad=True)
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(tensor(3.0))
    tensor(6., requires_grad=True)
    >>> dict(Scale().named_parameters())
    {'factor': tensor(2., name='factor', requires_grad=True)}
    """

    training: bool = True
    _name: str | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with scope(self._name or type(self).__name__):
            return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        names = self.__dict__.setdefault("_parameter_names", {})
        names.pop(name, None)
        if isinstance(value, Tensor) and value.requires_grad and value.is_leaf:
            names[name] = None
            if value.name is None:
                value.name = name
        elif isinstance(value, Module) and value._name is None:
            object.__setattr__(value, "_name", name)
        object.__setattr__(self, name, value)

    def extra_repr(self) -> str:
        """What the module's `repr` says between its parentheses, before the modules in it."""
        return ""

    @recursive_repr()
    def __repr__(self) -> str:
        children = [f"({name}): {child!r}" for name, child in _children(self)]
        inside = "\n".join(filter(None, [self.extra_repr(), *children]))
        if children:
            inside = f"\n{indent(inside, '  ')}\n"
        return f"{type(self).__name__}({inside})"

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """The module itself and all inside it, outermost first, with dotted names; each once, by its first name."""
        return self._named_modules("", set())

    def _named_modules(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in _children(self):
            yield from child._named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters by dotted name, frozen ones too; one that is shared appears once, by its first name."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name in module.__dict__.get("_parameter_names", ()):
                value = vars(module).get(name)
                if isinstance(value, Tensor) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> Iterator[Tensor]:
        """The parameters, each once."""
        return (p for _, p in self.named_parameters())

    def zero_grad(self) -> None:
        """Forget the gradients: each parameter's `grad` becomes `None`."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> Module:
        """Training mode, for this module and all inside it."""
        flags_checked(type(self).__name__, mode=mode)
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Evaluation mode: the opposite of `train`."""
        return self.train(False)

    def state_dict(self) -> dict[str, Array]:
        """A copy of each parameter's array, by dotted name."""
        return {name: p.value.copy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Take the parameters' values from a mapping of arrays; their dtypes stay as they are.

        Raises `KeyError` for missing or (if `strict`) unexpected names, `ValueError` for a shape that differs,
        `TypeError` for what isn't of real numbers. Then nothing has changed.
        """
        flags_checked("load_state_dict", strict=strict)
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: state must be a mapping of names to arrays, got {kind(state)}")
        own = dict(self.named_parameters())
        missing = [name for name in own if name not in state] if strict else []
        unexpected = [name for name in state if name not in own] if strict else []
        if missing or unexpected:
            raise KeyError(f"load_state_dict: missing: {missing}; unexpected: {unexpected}")
        new = {}
        for name, p in own.items():
            if name in state:
                array = real_numbers(f"load_state_dict: {name!r}", state[name]).astype(p.dtype)
                if array.shape != p.shape:
                    raise ValueError(f"load_state_dict: {name!r} wants shape {p.shape}, got {array.shape}")
                new[name] = array
        for name, array in new.items():
            own[name].data = array


def _children(module: Module) -> Iterator[tuple[str, Module]]:
    """The modules that attributes hold, also in lists and tuples."""
    for name, value in vars(module).items():
        if isinstance(value, Module):
            yield name, value
        elif isinstance(value, (list, tuple)):
            yield from ((f"{name}.{i}", item) for i, item in enumerate(value) if isinstance(item, Module))
