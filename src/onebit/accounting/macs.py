"""Multiply-accumulates of one operation, from the shapes of its operands."""

from __future__ import annotations

import math

from onebit.graph import Node

_RECURRENT = frozenset(("lstm", "gru", "rnn_tanh", "rnn_relu"))
# The operand whose last dimension a matrix product sums over.
_SUMMED = {"addmm": "mat1", "baddbmm": "batch1", "addbmm": "batch1", "addmv": "mat"}


def multiply_accumulates(node: Node) -> int:
    """Products of two numbers that ``node`` adds up; 0 for what only adds, scales, moves or compares.

    A convolution has ``kH * kW * C_in / groups`` for every element of its output (a transposed one
    ``kH * kW * C_out / groups`` for every element of its input), a linear layer the number of its inputs, a matrix
    product the length of the sum. Taps in the padding count, as they do in every published table.

    >>> from torch import nn
    >>> from onebit.graph import capture
    >>> [multiply_accumulates(node) for node in capture(nn.Conv2d(3, 8, 3, padding=1, groups=1), (1, 3, 4, 4)).nodes]
    [0, 3456]
    """
    if node.arguments.get("output", 0):
        return 0
    size, operands = math.prod(node.shape), node.operands
    if node.kind in ("binary_conv", "binary_linear"):
        return size * math.prod(operands["weight"][1:])
    if node.kind == "conv":
        transposed = "transpose" in node.op or node.arguments.get("transposed", False)
        return (math.prod(operands["input"]) if transposed else size) * math.prod(operands["weight"][1:])
    if node.kind == "linear":
        return size * operands["weight"][-1]
    if node.kind == "matmul":
        return _products(node, size)
    if node.op.removesuffix("_cell") in _RECURRENT:
        steps = math.prod(operands["input"][:-1])
        matrices = [s for name, s in operands.items() if name.startswith(("params", "w_")) and len(s) == 2]
        return steps * sum(map(math.prod, matrices))
    return 0


def _products(node: Node, size: int) -> int:
    operands = node.operands
    if node.op == "bilinear":
        return size * (math.prod(operands["weight"][1:]) + operands["weight"][1])
    if "scaled_dot_product" in node.op:
        query, value = operands["query"], operands["value"]
        return math.prod(node.shape[:-1]) * operands["key"][-2] * (query[-1] + value[-1])
    if node.op == "addbmm":
        return math.prod(operands["batch1"]) * operands["batch2"][-1]
    return size * operands[_SUMMED.get(node.op, "self")][-1]
