"""Graphs made by hand or drawn by Hypothesis, and the slow count of their paths that the search is held against."""

import torch
from hypothesis import strategies as st

from onebit.graph import Graph, Node


def graph_of(rows, outputs=None, inputs=(0,)):
    """A graph from (cost, inputs of the node) for every node: cost 0 is an addition, more a binary layer of that cost."""
    nodes = []
    for index, (cost, sources) in enumerate(rows):
        kind = "input" if index in inputs else "binary_linear" if cost else "add"
        operands = {"weight": (1, cost)} if cost else {}
        nodes.append(
            Node(index, kind, kind, tuple(sources), (1, 1), torch.float32, f"n{index}", None, (), {}, "", operands)
        )
    return Graph(tuple(nodes), tuple(inputs), tuple(outputs or [len(rows) - 1]))


def is_layer(graph, index):
    return graph.nodes[index].kind == "binary_linear"


def all_paths(graph):
    """Every path from an input to an output, as node indices, found by walking."""
    finished = []

    def walk(path):
        if path[-1] in graph.outputs:
            finished.append(tuple(path))
        for node in graph.nodes:
            if path[-1] in node.inputs and node.index not in graph.inputs:
                walk([*path, node.index])

    for start in graph.inputs:
        walk([start])
    return finished


def cost_and_length(graph, path):
    costs = [graph.nodes[i].operands["weight"][1] for i in path if is_layer(graph, i)]
    return sum(costs), len(costs)


def slow_levels(graph, k, tolerance):
    """[(cost, length)] of the k cheapest levels, by listing every path."""
    found = sorted(cost_and_length(graph, path) for path in all_paths(graph))
    levels = []
    while found and len(levels) < k:
        first = found[0][0]
        inside = [entry for entry in found if entry[0] <= first + tolerance * first]
        levels.append((first, min(length for _, length in inside)))
        found = found[len(inside) :]
    return levels


@st.composite
def graphs(draw, most=9):
    """Small graphs with costs that crowd: equal ones, nearly equal ones, and sums that meet; nothing leads nowhere."""
    rows = [(0, ())]
    for index in range(1, draw(st.integers(2, most))):
        earlier = st.integers(max(0, index - 4), index - 1)
        sources = draw(st.lists(earlier, min_size=1, max_size=3, unique=True))
        cost = draw(st.sampled_from([0, 100, 100, 105, 109, 111, 118, 200, 205, 300]))
        rows.append((cost, sources[:1] if cost else sources))
    read = {source for _, sources in rows for source in sources}
    return graph_of([*rows, (0, [i for i in range(len(rows)) if i not in read])])
