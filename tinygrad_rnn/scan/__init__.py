"""Loops over time. What explains a loop is in `explain.py`, and is loaded when it is asked for."""

from .scan import scan

__all__ = ["scan"]
