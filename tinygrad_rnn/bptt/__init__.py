"""Backpropagation through time derived by hand, three times, in NumPy alone."""

from tinygrad_rnn.bptt.double_sum import DoubleSum, double_sum
from tinygrad_rnn.bptt.misprints import MISPRINTS, Disagreement, Misprint
from tinygrad_rnn.bptt.model import Activation, Gradients, Parameters
from tinygrad_rnn.bptt.numerical import Samples, central_difference, complex_step
from tinygrad_rnn.bptt.recursion import Recursion, recursion
from tinygrad_rnn.bptt.slides import SLIDES, SlideNumber

__all__ = [
    "MISPRINTS",
    "SLIDES",
    "Activation",
    "Disagreement",
    "DoubleSum",
    "Gradients",
    "Misprint",
    "Parameters",
    "Recursion",
    "Samples",
    "SlideNumber",
    "central_difference",
    "complex_step",
    "double_sum",
    "recursion",
]
