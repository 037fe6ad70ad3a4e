"""What a captured module looks like: nodes, each one operation with the shape of its result, in the order they ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Node:
    """One operation and the tensor it made.

    ``kind`` is one of: ``input``, ``binary_conv``, ``binary_linear``, ``conv``, ``linear``, ``matmul``, ``norm``,
    ``add``, ``multiply``, ``concat``, ``pool``, ``activation``, ``shape`` (moves or copies numbers), ``constant``, ``other``.
    """

    #: position in ``Graph.nodes``; every input has a smaller one
    index: int
    kind: str
    #: what ran: the class of a binary layer, else torch's name of the operation ("conv2d", "cat")
    op: str
    #: the nodes whose values it reads, in the order of its arguments; parameters and buffers are no nodes
    inputs: tuple[int, ...]
    #: shape and dtype of its result
    shape: Shape
    dtype: torch.dtype
    #: dotted path of the innermost module that was running; "" is the captured module itself
    path: str
    layer: nn.Module | None
    #: state_dict names of the parameters and buffers it reads
    parameters: tuple[str, ...]
    #: arguments other than tensors, by name: stride, padding, groups, dim, ...; ``in_place`` where the input was overwritten,
    #: ``output`` (0, 1, ...) where the operation has several, ``no_grad`` where it ran with gradients switched off
    arguments: Mapping[str, Any]
    #: "file.py:123", the line outside torch that ran it; "" where there is none
    source: str
    #: shapes of the tensor arguments by name, parameters included (weight, bias, mat2, ...)
    operands: Mapping[str, Shape] = field(default_factory=dict)

    def __str__(self) -> str:
        inputs = ", ".join(f"%{i}" for i in self.inputs)
        where = f"  # {self.path}" if self.path else ""
        return f"%{self.index} = {self.op}({inputs}) -> {self.shape} [{self.kind}]{where}"


@dataclass(frozen=True, eq=False)
class Graph:
    """The nodes of one forward pass in evaluation mode, in the order they ran; indices of its inputs and outputs."""

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @cached_property
    def _consumers(self) -> tuple[tuple[int, ...], ...]:
        readers: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for index in dict.fromkeys(node.inputs):
                readers[index].append(node.index)
        return tuple(tuple(indices) for indices in readers)

    def consumers(self, index: int) -> tuple[int, ...]:
        """The nodes that read node ``index``, each once, in the order they ran."""
        return self._consumers[index]

    def __str__(self) -> str:
        return "\n".join(str(node) for node in self.nodes)
