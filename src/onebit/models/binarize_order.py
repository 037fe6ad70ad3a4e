"""Which layers of a user's network are its first, its last and its shortcuts: by the captured forward, or by registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import nn

from onebit.graph import Graph, Node
from onebit.models.binarize_layers import Layer

WEIGHTED = frozenset({"conv", "linear", "binary_conv", "binary_linear"})
# What a shortcut may hold beside its convolution.
_LIGHT = frozenset({"norm", "activation", "pool", "shape"})
_SHORTCUT_NAMES = ("shortcut", "downsample", "skip", "identity")


@dataclass(frozen=True)
class Order:
    """Roles of layers, as sets of ``id(module)``.

    Attributes:
        first: for each input of the network, the first layer to read it.
        last: for each output of the network, the last layer that it is computed from.
        shortcut: 1x1 convolutions on the way past other layers to an addition.
        reasons: layers that must stay real because of how forward uses them, and why.
        dimensions: of each layer's input.
    """

    first: set[int] = field(default_factory=set)
    last: set[int] = field(default_factory=set)
    shortcut: set[int] = field(default_factory=set)
    reasons: dict[int, str] = field(default_factory=dict)
    dimensions: dict[int, int] = field(default_factory=dict)


def order_of_registration(layers: list[Layer]) -> Order:
    """The first convolution and the last layer to be registered; shortcuts by their names."""
    convolutions = [layer for layer in layers if not isinstance(layer.module, nn.Linear)] or layers
    named = [
        id(layer.module)
        for layer in layers
        if _is_pointwise(layer.module) and any(word in path.lower() for path in layer.paths for word in _SHORTCUT_NAMES)
    ]
    return Order(
        {id(layer.module) for layer in convolutions[:1]}, {id(layer.module) for layer in layers[-1:]}, set(named)
    )


def order_of_execution(network: nn.Module, graph: Graph, layers: list[Layer]) -> Order:
    """What the captured forward says."""
    nodes = graph.nodes
    order = Order()
    for index in graph.inputs:
        readers = _reach(index, graph.consumers, nodes)
        order.first.update(id(nodes[i].layer) for i in sorted(readers)[:1])
    for index in graph.outputs:
        makers = _reach(index, lambda i: nodes[i].inputs, nodes)
        order.last.update(id(nodes[i].layer) for i in sorted(makers)[-1:])
    order.shortcut.update(id(node.layer) for node in _shortcuts(graph))
    parameters = dict(network.named_parameters(remove_duplicate=False))
    read_elsewhere: dict[int, Node] = {}
    ran: dict[int, list[Node]] = {}
    for node in nodes:
        if node.kind in WEIGHTED:
            ran.setdefault(id(node.layer), []).append(node)
        own = node.layer._parameters.values() if node.layer is not None else ()
        for parameter in (parameters[name] for name in node.parameters if name in parameters):
            if all(parameter is not mine for mine in own):
                read_elsewhere[id(parameter)] = node
    for layer in layers:
        key, shapes = id(layer.module), {_input_shape(graph, node) for node in ran.get(id(layer.module), ())}
        order.dimensions[key] = max(map(len, shapes), default=0)
        others = [read_elsewhere[id(p)] for p in layer.module._parameters.values() if id(p) in read_elsewhere]
        odd = [shape for shape in shapes if isinstance(layer.module, nn.Conv2d) and len(shape) != 4]
        if others:
            where = f"{others[0].op} in {others[0].source}" if others[0].source else others[0].op
            order.reasons[key] = f"its parameters are read outside of it, by {where}"
        elif not shapes:
            order.reasons[key] = "it does not run in evaluation mode"
        elif odd:
            order.reasons[key] = f"its input has shape {odd[0]}, not (N, C, H, W)"
    return order


def _input_shape(graph: Graph, node: Node) -> tuple[int, ...]:
    return graph.nodes[node.inputs[0]].shape if node.inputs else ()


def _is_pointwise(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)


def _reach(start: int, step: Callable[[int], Iterable[int]], nodes: tuple[Node, ...]) -> set[int]:
    """The layers that are reached from a node without passing another layer."""
    found, seen, waiting = set(), {start}, [start]
    while waiting:
        index = waiting.pop()
        if nodes[index].kind in WEIGHTED:
            found.add(index)
            continue
        new = [i for i in step(index) if i not in seen]
        seen.update(new)
        waiting.extend(new)
    return found


def _shortcuts(graph: Graph) -> Iterable[Node]:
    """1x1 convolutions that lead to an addition whose other operand was computed, by layers, from the same tensor."""
    nodes = graph.nodes
    for node in nodes:
        if node.kind != "add" or len(set(node.inputs)) < 2:
            continue
        for operand in set(node.inputs):
            end = _trunk(operand, nodes)[-1]
            if nodes[end].kind == "conv" and _is_pointwise(nodes[end].layer) and nodes[end].inputs:
                forks = _trunk(nodes[end].inputs[0], nodes)
                if any(_passes_layers(other, forks, nodes) for other in set(node.inputs) - {operand}):
                    yield nodes[end]


def _trunk(index: int, nodes: tuple[Node, ...]) -> list[int]:
    """The node and what lies before it, up to the first layer, join or input."""
    path = [index]
    while nodes[path[-1]].kind in _LIGHT and len(nodes[path[-1]].inputs) == 1:
        path.append(nodes[path[-1]].inputs[0])
    return path


def _passes_layers(start: int, targets: list[int], nodes: tuple[Node, ...]) -> bool:
    """Whether a node is computed from one of the targets by way of a layer."""
    waiting, seen = [(start, False)], set()
    while waiting:
        index, passed = waiting.pop()
        if index in targets and passed:
            return True
        if (index, passed) in seen or index < min(targets):
            continue
        seen.add((index, passed))
        passed = passed or nodes[index].kind in WEIGHTED
        waiting.extend((i, passed) for i in nodes[index].inputs)
    return False
