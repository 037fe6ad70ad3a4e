"""Memory of a captured network: its tensors, the most that live at once, and what training keeps for the backward pass."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch

from onebit.accounting.path_search import carries_gradient
from onebit.graph import Graph, Node
from onebit.graph.kinds import VIEWS
from onebit.nn import BinaryLayer

_KEEPS_OUTPUT = frozenset(
    ("relu", "sigmoid", "tanh", "softmax", "_softmax", "log_softmax", "_log_softmax", "exp", "sqrt", "rsqrt")
)
_KEEPS_NOTHING = ("sign", "sgn", "cumsum", "round", "floor", "ceil", "upsample")
_INDEX_BYTES = 8
_WORD = 32
_LANES = 16


def tensor_bytes(node: Node) -> int:
    """Bytes of a node's result, in its own dtype; 0 for a view of a parameter."""
    if node.op in VIEWS and node.parameters and not node.inputs:
        return 0
    return math.prod(node.shape) * node.dtype.itemsize


def buffers(graph: Graph) -> tuple[int, ...]:
    """For every node the node whose memory its result lies in: its own, or that of what it views or overwrites."""
    owner: list[int] = []
    for node in graph.nodes:
        shares = bool(node.inputs) and (node.op in VIEWS or node.arguments.get("in_place", False))
        owner.append(owner[node.inputs[0]] if shares else node.index)
    return tuple(owner)


def peak_bytes(graph: Graph) -> int:
    """The most bytes of activations that live at once in a forward pass without gradients, input and output included.

    Operations run in the captured order; a tensor is freed after its last reader; views and in-place operations take no
    memory of their own. Parameters, and what an operation needs within itself, are not counted.
    """
    owner = buffers(graph)
    last = list(range(len(owner)))
    for node in graph.nodes:
        for index in (node.index, *node.inputs):
            last[owner[index]] = max(last[owner[index]], node.index)
    for index in graph.outputs:
        last[owner[index]] = len(owner)
    # At the owner's step its bytes come, after its last reader's they go.
    live, most, freed = 0, 0, [0] * (len(owner) + 1)
    for node in graph.nodes:
        if owner[node.index] == node.index:
            live += tensor_bytes(node)
            freed[last[node.index]] += tensor_bytes(node)
        most = max(most, live)
        live -= freed[node.index]
    return most


@dataclass
class Kept:
    """What one node has the backward pass keep.

    ``tensors``: nodes whose memory is kept as it is (several nodes may keep the same); ``codes``: further bytes for each
    image, such as a binary layer's code of its input; ``fixed``: bytes whatever the batch, such as effective weights.
    """

    tensors: set[int] = field(default_factory=set)
    codes: int = 0
    fixed: int = 0


def kept_for_backward(graph: Graph, learned: Collection[str]) -> list[Kept]:
    """What training keeps, node by node (parameters themselves left out).

    =====================  ===========================================================================================
    real conv and linear   its input (a linear layer only if its weight learns)
    matrix product         both factors; a product of two tensors likewise
    norm                   its input, and two statistics per channel
    max pooling            its input, and an index of 8 bytes for every output
    average pooling        its input (nothing where it averages everything)
    activation             its output (relu, sigmoid, tanh, softmax) or its input (all others)
    binary layer           ``activation_bits`` codes of its input, of ``estimator.bits`` an element; its effective weight
    add, concat, shape     nothing; interpolation likewise
    where                  its condition
    any other              its inputs: an estimate
    =====================  ===========================================================================================

    Args:
        learned: names of the parameters that learn; nodes that none of them reaches keep nothing, nor do those that ran
            with gradients switched off.
    """
    owner, needs = buffers(graph), [False] * len(graph.nodes)
    weighty = [False] * len(graph.nodes)
    held: set[int] = set()
    kept = []
    for node in graph.nodes:
        # What is made of parameters alone, such as a normalised weight, is there once, whatever the batch.
        inputs = [weighty[i] for i in node.inputs]
        weighty[node.index] = all(inputs) and bool(inputs or node.parameters)
        learns = [name for name in node.parameters if name in learned]
        reached = bool(learns) or any(needs[i] for i in node.inputs)
        needs[node.index] = reached and carries_gradient(node)
        own = _keeps(node, learns, needs) if needs[node.index] else Kept()
        tensors = {owner[i] for i in own.tensors}
        once = {i for i in tensors if weighty[i]}
        fixed = own.fixed + sum(tensor_bytes(graph.nodes[i]) for i in once - held)
        held |= once
        kept.append(Kept(tensors - once, own.codes, fixed))
    return kept


def _keeps(node: Node, learns: Sequence[str], needs: Sequence[bool]) -> Kept:
    inputs, size, item = node.inputs, math.prod(node.shape), node.dtype.itemsize
    if isinstance(node.layer, BinaryLayer) and node.kind.startswith("binary"):
        return _binary_keeps(node, node.layer, inputs)
    if node.arguments.get("output", 0) or node.kind in ("add", "concat", "shape", "constant", "input"):
        return Kept()
    first = set(inputs[:1])
    if node.kind == "conv":
        return Kept(set(inputs))
    if node.kind == "linear":
        # A weight that is a parameter is read first; one that is computed is a further input.
        computed = [i for i in inputs[1:] if needs[i]]
        return Kept(set(inputs) if computed else first if node.parameters[0] in learns else set())
    if node.kind == "norm":
        channels = max((math.prod(s) for name, s in node.operands.items() if name != "input"), default=0)
        return Kept(first, fixed=2 * channels * item)
    if node.kind == "multiply":
        both = len(inputs) > 1
        return Kept(set(inputs) if both or learns else set())
    if node.kind == "pool":
        if node.op.startswith(("max_pool", "adaptive_max_pool")):
            return Kept(first, codes=size * _INDEX_BYTES)
        everything = node.op == "mean" or ("adaptive" in node.op and set(node.shape[2:]) == {1})
        return Kept() if everything else Kept(first)
    if node.op.startswith(_KEEPS_NOTHING):
        return Kept()
    if node.op == "where":
        return Kept(first)
    if node.op in _KEEPS_OUTPUT:
        return Kept({node.index})
    return Kept(set(inputs))


def _binary_keeps(node: Node, layer: BinaryLayer, inputs: Sequence[int]) -> Kept:
    weight = node.operands["weight"]
    outputs = node.shape[1] if node.kind == "binary_conv" else node.shape[-1]
    fixed = layer.activation_bits * outputs * math.prod(weight[1:]) * node.dtype.itemsize
    tensors: set[int] = set()
    codes = 0
    if node.dtype == torch.float64:
        tensors = set(inputs[:1])
    else:
        elements = math.prod(node.operands["input"])
        codes = layer.activation_bits * math.ceil(elements * layer.estimator.bits / 8)
    if layer.real_macs(node.shape):
        # K is made of abs(x) by way of its channel mean, and multiplies the output.
        tensors = set(inputs[:1])
        size = math.prod(node.shape)
        mean = math.prod(node.operands["input"]) // node.operands["input"][1] if node.kind == "binary_conv" else 0
        codes += (mean + size + size // outputs) * node.dtype.itemsize
    return Kept(tensors, codes, fixed)


def packed_bits(node: Node, layer: BinaryLayer) -> int:
    """Bits of a binary layer's weights as they lie in memory when deployed.

    For every kernel position the input channels of a group fill whole words of 32 bits, and the output channels of a group
    whole blocks of 16, one word of each side by side:
    ``weight_bits * groups * kH * kW * 32 ceil(C_in / groups / 32) * 16 ceil(C_out / groups / 16)``.
    """
    weight, groups = node.operands["weight"], node.arguments.get("groups", 1)
    outputs = node.shape[1] if node.kind == "binary_conv" else node.shape[-1]
    words = _WORD * math.ceil(weight[1] / _WORD)
    lanes = _LANES * math.ceil(outputs // groups / _LANES)
    return layer.weight_bits * groups * math.prod(weight[2:]) * words * lanes
