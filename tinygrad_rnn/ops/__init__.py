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
