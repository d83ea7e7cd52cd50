"""tinygrad_rnn: backpropagation through time that falls out of a generic backward pass."""

from . import autograd, bptt, nn, ops, scan
from .check import GradientError, check_grads
from .graph import Graph, GraphNode, graph
from .ops import (
    add,
    asarray,
    astype,
    broadcast_to,
    concatenate,
    default_dtype,
    divide,
    exp,
    expand_dims,
    get_default_dtype,
    inner,
    log,
    log_softmax,
    logsumexp,
    matmul,
    max,
    maximum,
    mean,
    multiply,
    negative,
    power,
    relu,
    reshape,
    set_default_dtype,
    sigmoid,
    softmax,
    sqrt,
    squeeze,
    stack,
    subtract,
    sum,
    swapaxes,
    tanh,
    tensor,
    transpose,
    unstack,
    where,
)
from .scan import unroll
from .scope import Scope, scope
from .tape import Node, Tensor, enable_grad, no_grad, primitive
from .transforms import grad, hvp, jvp, value_and_grad, vjp
