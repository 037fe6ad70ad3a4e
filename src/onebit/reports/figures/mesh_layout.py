"""Where the joints of a mesh stand: the parts of a network that are neither in series nor in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onebit.accounting.flow import Mesh


@dataclass(frozen=True)
class MeshPlan:
    """x and y of every joint, the line (y) that every part stands on, and how far all that reaches up and down."""

    x: list[float]
    y: list[float]
    lanes: list[float]
    up: float
    down: float


def plan_mesh(
    mesh: Mesh, sizes: Sequence[tuple[float, float, float]], rise: float, gap: float, fork: float, around: float
) -> MeshPlan:
    """The longest way through the mesh on the middle line, shortcuts over it, everything else on lanes under it.

    Args:
        sizes: width, reach up and reach down of every part.
        rise: between shortcuts; gap: between lanes; fork: width for changing lanes; around: for a joint.
    """
    spine = _longest_way(mesh, [width for width, *_ in sizes])
    place = {joint: i for i, joint in enumerate(spine)}
    straight = set(pairwise(spine))
    x = [0.0] * len(mesh.joints)
    for (start, end, _), (width, *_) in sorted(zip(mesh.parts, sizes, strict=True), key=lambda pair: pair[0][:2]):
        x[end] = max(x[end], x[start] + width + around + (0.0 if (start, end) in straight else fork))
    up = max((sizes[i][1] for i, part in enumerate(mesh.parts) if part[:2] in straight), default=0.0)
    down = max((sizes[i][2] for i, part in enumerate(mesh.parts) if part[:2] in straight), default=0.0)
    lanes = [0.0] * len(mesh.parts)
    y = [0.0] * len(mesh.joints)

    def is_arc(i: int) -> bool:
        start, end, _ = mesh.parts[i]
        return start in place and end in place and sizes[i][1] < 0.15

    loose = [i for i, part in enumerate(mesh.parts) if part[:2] not in straight]
    tops: list[tuple[float, float, float]] = []
    for i in sorted((i for i in loose if is_arc(i)), key=lambda i: x[mesh.parts[i][1]] - x[mesh.parts[i][0]]):
        left, right = x[mesh.parts[i][0]], x[mesh.parts[i][1]]
        height = max((h for a, b, h in tops if a < right and left < b), default=up) + rise
        tops.append((left, right, height))
        lanes[i] = height
    bottoms: list[tuple[float, float, float]] = []

    def lane(left: float, right: float, reach_up: float, reach_down: float) -> float:
        under = max((depth for a, b, depth in bottoms if a < right and left < b), default=down) + gap + reach_up
        bottoms.append((left, right, under + reach_down))
        return -under

    for joint in range(len(mesh.joints)):
        if joint in place:
            continue
        around_it = [i for i, part in enumerate(mesh.parts) if joint in part[:2]]
        left = min(x[mesh.parts[i][0]] for i in around_it)
        right = max(x[mesh.parts[i][1]] for i in around_it)
        y[joint] = lane(left, right, max(sizes[i][1] for i in around_it), max(sizes[i][2] for i in around_it))
    for i in loose:
        start, end, _ = mesh.parts[i]
        if is_arc(i):
            continue
        if start in place and end in place:
            lanes[i] = lane(x[start], x[end], sizes[i][1], sizes[i][2])
        else:
            lanes[i] = y[end] if end not in place else y[start]
    highest = max((h for *_, h in tops), default=up)
    return MeshPlan(x, y, lanes, max(highest, up), max((depth for *_, depth in bottoms), default=down))


def _longest_way(mesh: Mesh, widths: Sequence[float]) -> list[int]:
    """The joints on the widest way from the first to the last."""
    best: list[tuple[float, int]] = [(0.0, -1)] + [(-1.0, -1)] * (len(mesh.joints) - 1)
    for (start, end, _), width in sorted(zip(mesh.parts, widths, strict=True), key=lambda pair: pair[0][:2]):
        if best[start][0] + width > best[end][0]:
            best[end] = (best[start][0] + width, start)
    way, joint = [], len(mesh.joints) - 1
    while joint >= 0:
        way.append(joint)
        joint = best[joint][1]
    return way[::-1]
