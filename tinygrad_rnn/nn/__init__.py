"""Modules, layers, cells and losses, with PyTorch's names."""

from . import functional
from .cells import GRUCell, LSTMCell, RNNCell
from .linear import Linear
from .module import Module
from .rnn import GRU, LSTM, RNN
from .steps import LSTMState

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "LSTMState",
    "Linear",
    "Module",
    "RNNCell",
    "functional",
]
