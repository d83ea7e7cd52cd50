"""Modules, layers, cells and losses, with PyTorch's names."""

from . import functional
from .cells import GRUCell, LSTMCell, LSTMState, RNNCell
from .linear import Linear
from .module import Module
from .rnn import RNN

__all__ = [
    "RNN",
    "GRUCell",
    "LSTMCell",
    "LSTMState",
    "Linear",
    "Module",
    "RNNCell",
    "functional",
]
