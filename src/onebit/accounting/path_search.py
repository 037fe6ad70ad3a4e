"""The search behind gradient paths: the smallest distinct costs of whole paths through a captured graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onebit.accounting.macs import multiply_accumulates
from onebit.errors import OnebitError, UsageError

if TYPE_CHECKING:
    from onebit.graph import Graph, Node

MOST_COSTS = 1 << 16  # distinct costs that are told apart at one node before the search gives up

#: cost of a path from the input -> (its least number of binary layers, then of nodes; the node before on that path, or -1)
_Costs = dict[int, tuple[int, int, int]]


@dataclass(frozen=True)
class Route:
    """One gradient path: its cost N, the binary layers on it, and every captured node from input to output."""

    cost: int
    layers: tuple[str, ...]
    nodes: tuple[int, ...] = field(repr=False)

    @property
    def length(self) -> int:
        """Number of binary layers on the path."""
        return len(self.layers)


@dataclass(frozen=True)
class Level:
    """Paths whose costs count as one: a route for every distinct cost, the cheapest first."""

    routes: tuple[Route, ...]

    @property
    def cost(self) -> int:
        """N of the level: its smallest cost."""
        return self.routes[0].cost

    @property
    def length(self) -> int:
        """L of the level: the least number of binary layers on any of its paths."""
        return min(route.length for route in self.routes)


def is_binary(node: Node) -> bool:
    """Whether the node is a binary layer."""
    return node.kind in ("binary_conv", "binary_linear")


def path_cost(node: Node) -> int:
    """N of a binary layer, at batch 1: the multiplications of the gradient with respect to its input; 0 for any other node.

    However many bits the method gives weights and activations, a product counts once.
    """
    return multiply_accumulates(node) if is_binary(node) else 0


def carries_gradient(node: Node) -> bool:
    """Whether a gradient can come back through the node: not through ``detach``, ``no_grad`` and whole numbers."""
    cut = node.op == "detach" or node.arguments.get("no_grad", False)
    return not cut and (node.dtype.is_floating_point or node.dtype.is_complex)


def cheapest_levels(graph: Graph, k: int, tolerance: float) -> tuple[Level, ...]:
    """The k cheapest levels of the paths from the graph's inputs to its outputs.

    The search keeps the m smallest distinct costs of every node, which is exact: a cost among the m smallest at a node
    comes from one among the m smallest before it. m grows until level k is complete, that is, until a cost beyond it
    is seen or there are no more costs. Merging inside the search would lose levels, so it is done on the result alone.
    """
    keep = 4 * k
    while True:
        tables, found = _smallest_costs(graph, keep)
        if not found:
            raise OnebitError("no gradient reaches the input: no differentiable operation leads from it to the output")
        levels = merge_levels(sorted(found), tolerance)
        if len(found) < keep or len(levels) > k:
            return tuple(
                Level(tuple(_route(graph, tables, found[cost][2], cost) for cost in level)) for level in levels[:k]
            )
        if keep >= MOST_COSTS:
            raise UsageError(
                f"more than {keep} distinct costs lie in the {k} cheapest levels at tolerance {tolerance:g}; "
                "ask for a smaller k or a smaller tolerance"
            )
        keep *= 4


def merge_levels(costs: Sequence[int], tolerance: float) -> list[list[int]]:
    """Sorted costs grouped into levels: a level reaches from its smallest cost a up to ``(1 + tolerance) a``.

    >>> merge_levels([0, 100, 105, 110, 111, 120], 0.1)
    [[0], [100, 105, 110], [111, 120]]
    """
    levels: list[list[int]] = []
    for cost in costs:
        if levels and cost - levels[-1][0] <= tolerance * levels[-1][0]:
            levels[-1].append(cost)
        else:
            levels.append([cost])
    return levels


def _smallest_costs(graph: Graph, keep: int) -> tuple[list[_Costs], _Costs]:
    """For every node, and for the output, the ``keep`` smallest distinct costs of paths from an input."""
    tables: list[_Costs] = []
    for node in graph.nodes:
        if node.index in graph.inputs:
            tables.append({0: (0, 0, -1)})
        elif not carries_gradient(node):
            tables.append({})
        else:
            tables.append(_merge(tables, node.inputs, path_cost(node), int(is_binary(node)), keep))
    return tables, _merge(tables, graph.outputs, 0, 0, keep)


def _merge(tables: list[_Costs], sources: Sequence[int], cost: int, length: int, keep: int) -> _Costs:
    merged: _Costs = {}
    for source in dict.fromkeys(sources):
        for before, (count, nodes, _) in tables[source].items():
            total, found = before + cost, (count + length, nodes + 1, source)
            if total not in merged or found[:2] < merged[total][:2]:
                merged[total] = found
    return merged if len(merged) <= keep else {total: merged[total] for total in sorted(merged)[:keep]}


def _route(graph: Graph, tables: list[_Costs], index: int, cost: int) -> Route:
    nodes, left = [], cost
    while index >= 0:
        nodes.append(index)
        left, index = left - path_cost(graph.nodes[index]), tables[index][left][2]
    nodes.reverse()
    return Route(cost, tuple(graph.nodes[i].path for i in nodes if is_binary(graph.nodes[i])), tuple(nodes))
