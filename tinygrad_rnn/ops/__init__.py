"""Every operation, with its derivative beside it."""

from . import methods
from .creation import asarray, default_dtype, get_default_dtype, set_default_dtype, tensor
from .elementwise import (
    add,
    astype,
    divide,
    exp,
    log,
    maximum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    sqrt,
    subtract,
    tanh,
    where,
)
from .indexing import getitem, unstack
from .linalg import inner, matmul
from .reductions import cross_entropy, log_softmax, logsumexp, max, mean, softmax, sum
from .shapes import broadcast_to, concatenate, expand_dims, reshape, squeeze, stack, swapaxes, transpose

__all__ = [
    "add",
    "asarray",
    "astype",
    "broadcast_to",
    "concatenate",
    "cross_entropy",
    "default_dtype",
    "divide",
    "exp",
    "expand_dims",
    "get_default_dtype",
    "getitem",
    "inner",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "multiply",
    "negative",
    "power",
    "relu",
    "reshape",
    "set_default_dtype",
    "sigmoid",
    "softmax",
    "sqrt",
    "squeeze",
    "stack",
    "subtract",
    "sum",
    "swapaxes",
    "tanh",
    "tensor",
    "transpose",
    "unstack",
    "where",
]
