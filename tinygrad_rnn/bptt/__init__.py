"""Backpropagation through time derived by hand, three times, in NumPy alone."""

from .double_sum import DoubleSum, double_sum
from .misprints import MISPRINTS, Disagreement, Misprint
from .model import Activation, Gradients, Parameters
from .numerical import Samples, central_difference, complex_step
from .recursion import Recursion, recursion
from .slides import SLIDES, SlideNumber

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
