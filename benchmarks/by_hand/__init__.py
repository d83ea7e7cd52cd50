"""BPTT written by hand in NumPy, as fast as we know how: what the compiled loop is held against.

Buffers and their views are made once; a call is a training step. No line here is used by the package.
"""

from .gru import GRU
from .layout import Columns, Rows
from .lstm import LSTM
from .rnn import RNN
from .step import fitting

__all__ = ["GRU", "LSTM", "RNN", "Columns", "Rows", "fitting"]
