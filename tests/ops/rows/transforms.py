"""The rows of `transforms.py`."""

from tinygrad_rnn import transforms

from ..cases import Row, unary

ROWS = [
    Row("variable", transforms._variable, lambda x: x, unary(), "variable"),
]
