"""Parameters of a captured network by bit-width, as a convention counts them, each where it is read first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from torch import Tensor, nn

from onebit.accounting.conventions import Convention
from onebit.accounting.memory import packed_bits
from onebit.graph import Graph, Node
from onebit.nn import BinaryLayer

Bits = Counter[int]


class ParameterCount:
    """Hands out every parameter of ``module`` once, to the node that reads it first.

    ``of(node)`` gives numbers by bit-width (``{1: 36864, 32: 64}``) and bits of storage; ``unread()`` what no node read.
    """

    def __init__(self, module: nn.Module, graph: Graph, convention: Convention) -> None:
        self.convention = convention
        self.graph = graph
        self._parameters: dict[str, Tensor] = dict(module.named_parameters())
        self._buffers: dict[str, Tensor] = dict(module.named_buffers())
        self._seen: set[str] = set()

    def of(self, node: Node) -> tuple[Bits, int]:
        """Numbers by bit-width and bits of storage that ``node`` brings."""
        names = [name for name in node.parameters if name not in self._seen]
        self._seen.update(names)
        if not names:
            return Counter(), 0
        if isinstance(node.layer, BinaryLayer) and node.kind.startswith("binary"):
            return self._of_binary(node, node.layer, names)
        if node.kind == "norm":
            return _sum({32: self._norm_numbers(node)})
        return self._real(names)

    def unread(self) -> dict[str, tuple[Bits, int]]:
        """What no node read, by the path of its module: parameters of parts that the forward did not pass."""
        paths: dict[str, list[str]] = {}
        for name in self._parameters:
            if name not in self._seen:
                paths.setdefault(name.rpartition(".")[0], []).append(name)
        return {path: self._real(names) for path, names in paths.items()}

    def _real(self, names: list[str]) -> tuple[Bits, int]:
        numbers: Bits = Counter()
        for name in names:
            if name in self._parameters:
                tensor = self._parameters[name]
                numbers[8 * tensor.element_size()] += tensor.numel()
        return _sum(numbers)

    def _of_binary(self, node: Node, layer: BinaryLayer, names: list[str]) -> tuple[Bits, int]:
        """The bits that ship and the parameters of role "real"; others (RBCN's C) serve training or make the scale."""
        own = {name: name.rpartition(".")[2] for name in names}
        real, bits = self._real([name for name, last in own.items() if layer.roles.get(last, "real") == "real"])
        if not any(layer.roles.get(last) == "binary" for last in own.values()):
            return real, bits
        outputs = node.shape[1] if node.kind == "binary_conv" else node.shape[-1]
        weights = outputs * math.prod(node.operands["weight"][1:])
        readers = [self.graph.nodes[i] for i in self.graph.consumers(node.index)]
        folded = bool(readers) and all(reader.kind == "norm" for reader in readers)
        scales = layer.weight_bits * outputs if self.convention.scales else 0
        if self.convention.packed and not folded:
            scales = outputs
        stored = packed_bits(node, layer) if self.convention.packed else layer.weight_bits * weights
        numbers = real + Counter({layer.weight_bits: weights}) + Counter({32: scales})
        return numbers, bits + stored + 32 * scales

    def _norm_numbers(self, node: Node) -> int:
        sizes = {name: math.prod(shape) for name, shape in node.operands.items() if name not in ("input", "self")}
        learned = sum(size for name, size in sizes.items() if name in ("weight", "bias"))
        return {
            "none": 0,
            "learned": learned,
            "folded": 2 * max(sizes.values(), default=0),
            "all": sum(sizes.values()),
        }[self.convention.norms]


def _sum(numbers: Mapping[int, int]) -> tuple[Bits, int]:
    counted = Counter({width: number for width, number in numbers.items() if number})
    return counted, sum(width * number for width, number in counted.items())
