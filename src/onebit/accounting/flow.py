"""How a network flows: its captured graph with every chain drawn together, as parts in series and in parallel.

Both drawings of gradient paths, the one in characters and the one in curves, are made from this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from onebit.accounting.path_search import carries_gradient, is_binary

if TYPE_CHECKING:
    from onebit.graph import Graph, Node

#: two captured nodes, one reading the other; -1 stands for all inputs of the graph, -2 for all its outputs
Step = tuple[int, int]
START, END = -1, -2


@dataclass(frozen=True)
class Joint:
    """Where parts meet: ``add``, ``mean``, ``multiply``, ``concat`` or ``other`` if branches join there, else ``""``."""

    kind: str
    node: int


@dataclass(frozen=True)
class Link:
    """A chain without branches: at most one binary layer, or a real one, or neither (shortcuts, norms, pooling).

    ``steps`` are steps that a gradient path takes if, and only if, it takes this link; a link that stands for several
    equal ones has one for each.
    """

    steps: frozenset[Step]
    layer: Node | None = None
    real: bool = False

    @property
    def bare(self) -> bool:
        """Whether no layer with weights is on it."""
        return self.layer is None and not self.real


@dataclass(frozen=True)
class Series:
    """Parts one after the other; ``joints[i]`` stands between ``parts[i]`` and ``parts[i + 1]``."""

    parts: tuple[Part, ...]
    joints: tuple[Joint, ...]


@dataclass(frozen=True)
class Parallel:
    """Parts side by side, from one joint to another; the shortest first."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Mesh:
    """What is neither: parts between numbered joints, from joint 0 to the last, every part from a lower to a higher number."""

    joints: tuple[Joint, ...]
    parts: tuple[tuple[int, int, Part], ...]


Part = Link | Series | Parallel | Mesh
_Edges = dict[Step, list[Part]]


@dataclass(frozen=True)
class Flow:
    """A network between its input and its output; ``end`` is the joint at its output, if branches meet there."""

    part: Part
    end: Joint


def steps_of(nodes: Sequence[int]) -> frozenset[Step]:
    """The steps that a path over these captured nodes takes."""
    whole = (START, *nodes, END)
    return frozenset(pairwise(whole))


def entry(part: Part) -> frozenset[Step]:
    """Steps of which a path takes one if, and only if, it goes through the part."""
    if isinstance(part, Link):
        return part.steps
    if isinstance(part, Series):
        return entry(part.parts[0])
    if isinstance(part, Parallel):
        return frozenset().union(*map(entry, part.parts))
    return frozenset().union(*(entry(inner) for start, _, inner in part.parts if start == 0))


def layers_of(part: Part) -> Iterable[Node]:
    """The binary layers of a part, as they come."""
    if isinstance(part, Link):
        return [part.layer] if part.layer is not None else []
    parts = [inner for *_, inner in part.parts] if isinstance(part, Mesh) else part.parts
    return [layer for inner in parts for layer in layers_of(inner)]


def flow(graph: Graph) -> Flow:
    """The graph as parts in series and in parallel, without what carries no gradient from output to input."""
    joints, order, edges = _contract(graph)
    start, end = order[0], order[-1]
    _reduce(edges, joints, {start, end})
    rest = [node for node in order if node in {n for step in edges for n in step}]
    part, last = _assemble(edges, joints, rest), joints[end]
    if isinstance(part, Series) and _bare(part.parts[-1]):
        last = part.joints[-1]
        part = Series(part.parts[:-1], part.joints[:-1]) if len(part.parts) > 2 else part.parts[0]
    return Flow(part, last)


def _contract(graph: Graph) -> tuple[dict[int, Joint], list[int], _Edges]:
    """Every node on a way from an input to an output, in order, and a link for each reading of one by another."""
    forward = set(graph.inputs)
    for node in graph.nodes:
        if node.index not in forward and carries_gradient(node) and forward.intersection(node.inputs):
            forward.add(node.index)
    alive = forward.intersection(graph.outputs)
    for node in reversed(graph.nodes):
        if node.index in alive and node.index not in graph.inputs:
            alive.update(forward.intersection(node.inputs))
    edges: _Edges = defaultdict(list)
    joints = {START: Joint("", START), END: Joint("", END)}
    for node in graph.nodes:
        if node.index not in alive:
            continue
        sources = [START] if node.index in graph.inputs else [i for i in dict.fromkeys(node.inputs) if i in alive]
        for source in sources:
            layer = node if is_binary(node) else None
            link = Link(frozenset({(source, node.index)}), layer, node.kind in ("conv", "linear"))
            edges[source, node.index].append(link)
        readers = [i for i in graph.consumers(node.index) if i in alive] + [END] * (node.index in graph.outputs)
        joints[node.index] = Joint(_kind(graph, node, sources, readers), node.index)
    for index in dict.fromkeys(graph.outputs):
        if index in alive:
            edges[index, END].append(Link(frozenset({(index, END)})))
    return joints, [START, *sorted(alive), END], dict(edges)


def _kind(graph: Graph, node: Node, sources: Sequence[int], readers: Sequence[int]) -> str:
    if len(sources) < 2:
        return ""
    after = graph.nodes[readers[0]] if len(readers) == 1 and readers[0] >= 0 else None
    # a mean is written as a sum times a constant, or as a stack of which the mean is taken
    halved = after is not None and len(after.inputs) == 1 and (after.kind == "multiply" or after.op == "mean")
    if halved and (node.kind == "add" or node.op == "stack"):
        return "mean"
    return node.kind if node.kind in ("add", "multiply", "concat") else "other"


def _reduce(edges: _Edges, joints: dict[int, Joint], ends: set[int]) -> None:
    """Put parts in parallel and in series together until nothing more can be."""
    before: dict[int, set[int]] = defaultdict(set)
    after: dict[int, set[int]] = defaultdict(set)
    for start, end in edges:
        after[start].add(end)
        before[end].add(start)
    for step in edges:
        edges[step] = [_parallel(edges[step])]
    waiting = [node for node in joints if node not in ends]
    while waiting:
        node = waiting.pop()
        if len(before[node]) != 1 or len(after[node]) != 1:
            continue
        (start,), (end,) = before[node], after[node]
        part = _series(edges.pop((start, node))[0], joints[node], edges.pop((node, end))[0])
        edges[start, end] = [_parallel([*edges.get((start, end), []), part])]
        before[node], after[node] = set(), set()
        after[start] = (after[start] - {node}) | {end}
        before[end] = (before[end] - {node}) | {start}
        waiting += [other for other in (start, end) if other not in ends]


def _series(first: Part, joint: Joint, second: Part) -> Part:
    if not isinstance(_opened(first)[-1], (Parallel, Mesh)):
        joint = replace(joint, kind="")  # nothing meets here, or no more
    if not joint.kind:
        mine, theirs = _opened(first), _opened(second)
        if _bare(mine[-1]):
            return second if len(mine) == 1 else _chain(mine[:-1], _joints(first)[:-1], _joints(first)[-1], second)
        if _bare(theirs[0]):
            return first if len(theirs) == 1 else _series(first, _joints(second)[0], _rest(second))
    return _chain(_opened(first), _joints(first), joint, second)


def _chain(parts: tuple[Part, ...], joints: tuple[Joint, ...], joint: Joint, second: Part) -> Series:
    return Series((*parts, *_opened(second)), (*joints, joint, *_joints(second)))


def _rest(part: Part) -> Part:
    assert isinstance(part, Series)
    return part.parts[1] if len(part.parts) == 2 else Series(part.parts[1:], part.joints[1:])


def _bare(part: Part) -> bool:
    return isinstance(part, Link) and part.bare


def _joints(part: Part) -> tuple[Joint, ...]:
    return part.joints if isinstance(part, Series) else ()


def _opened(part: Part) -> tuple[Part, ...]:
    return part.parts if isinstance(part, Series) else (part,)


def _parallel(parts: Sequence[Part]) -> Part:
    """Parts side by side; links without layers that do the same for a gradient are one."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Parallel) else (part,))]
    kept = [part for part in flat if not isinstance(part, Link) or part.layer is not None]
    for real in (False, True):
        same = [part for part in flat if isinstance(part, Link) and part.layer is None and part.real == real]
        if same:
            kept.append(Link(frozenset().union(*(link.steps for link in same)), None, real))
    kept.sort(key=lambda part: len(list(layers_of(part))))
    return kept[0] if len(kept) == 1 else Parallel(tuple(kept))


def _assemble(edges: _Edges, joints: dict[int, Joint], order: Sequence[int]) -> Part:
    """What is left, cut at the nodes that every path passes: a link each, or a mesh between two of them."""
    position = {node: i for i, node in enumerate(order)}
    farthest = [0] * len(order)
    for start, end in edges:
        farthest[position[start]] = max(farthest[position[start]], position[end])
    cuts, reach = [0], 0
    for i in range(len(order)):
        if i and reach == i:
            cuts.append(i)
        reach = max(reach, farthest[i])
    result: Part | None = None
    for first, last in pairwise(cuts):
        inside = [
            (position[start] - first, position[end] - first, part)
            for (start, end), (part,) in edges.items()
            if first <= position[start] < last
        ]
        meshed = Mesh(tuple(joints[node] for node in order[first : last + 1]), tuple(inside))
        part = inside[0][2] if last == first + 1 else meshed
        result = part if result is None else _series(result, joints[order[first]], part)
    assert result is not None
    return result
