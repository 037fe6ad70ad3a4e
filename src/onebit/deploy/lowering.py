"""From a captured graph to the operations of a packed network, with every obstacle named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from onebit.deploy.call import Call, NotPackableError
from onebit.deploy.folding import Draft
from onebit.deploy.layer_rules import binary_layer
from onebit.deploy.rules import REMEDIES, RULES
from onebit.errors import UsageError
from onebit.graph import Graph, Node

#: these only pass on what an obstacle before them made, or combine it
_PASSING = ("shape", "add", "multiply", "concat")
_VIEWS = ("view", "reshape", "flatten", "squeeze", "unsqueeze", "alias", "detach", "contiguous", "clone")


@dataclass(frozen=True)
class Obstacle:
    """An operation that cannot be packed: where it is, what it is, why it cannot and what to do."""

    path: str
    op: str
    source: str
    reason: str

    def __str__(self) -> str:
        name = repr(self.path) if self.path else "the network itself"
        return f"{name} ({', '.join(filter(None, (self.op, self.source)))}): {self.reason}"


class Lowering:
    """The operations of a module's graph as drafts.

    ``output`` is the last of them; ``obstacles`` lists what has no packed form, all of it at once.
    """

    def __init__(self, module: nn.Module, graph: Graph) -> None:
        self.graph = graph
        self.obstacles: list[Obstacle] = []
        self._state = _state(module)
        self._batch = graph.nodes[graph.inputs[0]].shape[0]
        self._drafts: dict[int, Draft] = {}
        self._constants: dict[int, np.ndarray | None] = {}
        # Nodes whose draft stands for other nodes before them that somebody else reads, too.
        self._shared: set[int] = set()
        self._live = _live(graph)
        for node in graph.nodes:
            if node.index in self._live:
                self._lower(node)
        self._check_sizes()
        if len(graph.outputs) != 1:
            self._obstruct(graph.nodes[-1], f"the network returns {len(graph.outputs)} tensors; one is packed")
        elif graph.outputs[0] not in self._drafts:
            self._obstruct(graph.nodes[graph.outputs[0]], "what it returns does not depend on the image")

    @property
    def output(self) -> Draft:
        return self._drafts[self.graph.outputs[0]]

    def _check_sizes(self) -> None:
        """What fits one image size alone has to end in a flatten, which refuses all others."""
        for node in self.graph.nodes:
            draft = self._drafts.get(node.index)
            if draft is None or not draft.is_fixed:
                continue
            readers = [self._drafts.get(i, draft) for i in self.graph.consumers(node.index)]
            if node.index in self.graph.outputs or any(r is not draft and r.kind != "flatten" for r in readers):
                sizes = f"{node.shape[2]} x {node.shape[3]}"
                self._obstruct(
                    node, f"it pools to {sizes}, in windows that depend on the image; pool to 1 x 1, or flatten next"
                )

    def _obstruct(self, node: Node, reason: str) -> None:
        obstacle = Obstacle(node.path, node.op, node.source, reason)
        if obstacle not in self.obstacles:
            self.obstacles.append(obstacle)

    def _lower(self, node: Node) -> None:
        if node.kind != "input" and all(i in self._constants for i in node.inputs):
            self._constants[node.index] = self._constant(node)
            return
        stuck = any(self._drafts[i].kind == "unknown" for i in node.inputs if i in self._drafts)
        try:
            draft = self._draft(node)
        except NotPackableError as reason:
            if not (stuck and node.kind in _PASSING and node.op in RULES):
                self._obstruct(node, str(reason))
            draft = Draft("unknown", (), _shape(node) or (1, 1, 1))
        self._drafts[node.index] = draft
        for i in node.inputs:
            if self._drafts.get(i) is draft and not self._read_once(i):
                self._shared.add(node.index)

    def _draft(self, node: Node) -> Draft:
        shape = _shape(node)
        if shape is None or node.shape[0] != self._batch or not node.dtype.is_floating_point:
            raise NotPackableError(
                f"its result has shape {node.shape} and type {str(node.dtype).removeprefix('torch.')} for a batch of "
                f"{self._batch} images; floats (N, channels, height, width) or (N, features) are packed"
            )
        if node.kind == "input":
            return Draft("input", (), shape)
        if node.arguments.get("output"):
            raise NotPackableError("only the first result of an operation is packed")
        rule = self._rule(node)
        inputs = tuple(self._drafts[i] for i in node.inputs if i in self._drafts)
        constants = [self._constants[i] for i in node.inputs if i in self._constants]
        if rule is not binary_layer:
            constants += [_array(self._state[name]) for name in node.parameters]
        known = tuple(values for values in constants if values is not None)
        if len(known) < len(constants):
            raise NotPackableError(
                "it reads a tensor that forward computes or makes; register it as a real parameter or buffer"
            )
        return rule(Call(node, inputs, known, shape, self._read_once(node.inputs[0])))

    def _rule(self, node: Node) -> Callable[[Call], Draft]:
        if node.kind in ("binary_conv", "binary_linear"):
            return binary_layer
        if node.op not in RULES:
            raise NotPackableError(
                f"{node.op} has no packed form; {REMEDIES.get(node.op, 'let PyTorch run it (partial=True)')}"
            )
        return RULES[node.op]

    def _read_once(self, index: int) -> bool:
        """Whether nothing but one later node reads the value of node ``index``."""
        readers = [reader for reader in self.graph.consumers(index) if reader in self._live]
        return len(readers) == 1 and index not in self.graph.outputs and index not in self._shared

    def _constant(self, node: Node) -> np.ndarray | None:
        """The value of a node that does not depend on the image, where it is a parameter or a view of one."""
        sources = [self._constants[i] for i in node.inputs] + [_array(self._state[name]) for name in node.parameters]
        if len(sources) != 1 or sources[0] is None or node.op not in (*_VIEWS, "parameter"):
            return None
        return sources[0].reshape(node.shape) if sources[0].size == np.prod(node.shape) else None


def _live(graph: Graph) -> set[int]:
    """The nodes that the result depends on, and the inputs."""
    found, waiting = set(graph.inputs), list(graph.outputs)
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += graph.nodes[index].inputs
    return found


def _shape(node: Node) -> tuple[int, int, int] | None:
    if len(node.shape) == 4:
        return node.shape[1], node.shape[2], node.shape[3]
    # A squeeze of both dimensions goes by (N, features, 1).
    return (node.shape[1], 1, 1) if len(node.shape) == 2 or (len(node.shape) == 3 and node.shape[2] == 1) else None


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name.

    Raises:
        UsageError: if they have no values (device "meta").
    """
    tensors: dict[str, Tensor] = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    empty = [name for name, tensor in tensors.items() if tensor.device.type == "meta"]
    if empty:
        raise UsageError(f"{empty[0]!r} has a shape but no values (device 'meta'); load the trained weights, then pack")
    return tensors


def _array(tensor: Tensor) -> np.ndarray | None:
    return None if tensor.is_complex() else tensor.detach().cpu().double().numpy()
