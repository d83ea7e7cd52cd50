"""Modules, layers, cells and losses, with PyTorch's names."""

from . import functional
from .linear import Linear
from .module import Module
from .rnn import RNN, RNNCell

__all__ = [
    "RNN",
    "Linear",
    "Module",
    "RNNCell",
    "functional",
]
