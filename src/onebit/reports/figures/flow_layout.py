"""Where a network's parts stand in a drawing: input to the left, output to the right, long networks in rows.

Lengths are in units of which a binary layer's box takes about one. Parts in series stand in a line, parts in parallel
under each other, and a shortcut bends over what it bypasses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onebit.accounting.flow import END, Joint, Link, Mesh, Parallel, Part, Series, Step, entry, layers_of
from onebit.reports.figures.mesh_layout import MeshPlan, plan_mesh
from onebit.reports.figures.strokes import Point, arc, rounded, s_curve

if TYPE_CHECKING:
    from onebit.accounting.flow import Flow
    from onebit.graph import Node

BOX = (1.16, 0.56)  # of a binary layer
MARK = 0.2  # side of a real layer's square
RADIUS = 0.17  # of a joint
LEAD = 0.26  # wire on either side of a box
FORK = 0.85  # width in which wires part to rows
BEND = 0.5  # width in which a shortcut rises
RISE = 0.3  # of a shortcut over what it bypasses
ROW = 0.3  # between parts under each other
INSET = 0.07  # between the feet of shortcuts that rise from one place
TURN = 0.5  # between a row's end and the way back to the next row
CAPTION = 0.3  # height of a row's caption
END_WIRE = 0.55  # before the first part and behind the last


@dataclass(frozen=True)
class Wire:
    """A line from left to right (points, 2), and the steps of the paths that run along it."""

    points: np.ndarray
    steps: frozenset[Step]


@dataclass
class Picture:
    """What is drawn where; y grows upwards. ``bounds``: left, bottom, right, top."""

    wires: list[Wire] = field(default_factory=list)
    boxes: list[tuple[float, float, Node]] = field(default_factory=list)
    marks: list[tuple[float, float]] = field(default_factory=list)
    joints: list[tuple[float, float, str]] = field(default_factory=list)
    captions: list[tuple[float, float, str]] = field(default_factory=list)
    start: tuple[float, float] = (0.0, 0.0)
    end: tuple[float, float] = (0.0, 0.0)
    bounds: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Size:
    """Width of a part, and how far it reaches over and under the line that its ends lie on."""

    width: float
    up: float
    down: float


def size(part: Part) -> Size:
    """The room that a part needs."""
    if isinstance(part, Link):
        half = (BOX[1] if part.layer is not None else MARK if part.real else 0.0) / 2
        width = BOX[0] + 2 * LEAD if part.layer is not None else MARK + 0.3 if part.real else 2 * LEAD
        return Size(width, half, half)
    if isinstance(part, Series):
        sizes = [size(inner) for inner in part.parts]
        width = sum(s.width for s in sizes) + sum(2 * _radius(joint) for joint in part.joints)
        return Size(width, max(s.up for s in sizes), max(s.down for s in sizes))
    if isinstance(part, Mesh):
        plan = _plan(part)
        return Size(plan.x[-1], plan.up, plan.down)
    arcs, others = _sorted(part)
    sizes = [size(inner) for inner in others]
    if len(others) == 1:
        return Size(max(sizes[0].width, 2 * BEND), sizes[0].up + RISE * len(arcs), sizes[0].down)
    if not others:
        return Size(2 * BEND + MARK, RISE * len(arcs), 0.0)
    half = (sum(s.up + s.down for s in sizes) + ROW * (len(others) - 1)) / 2
    return Size(max(s.width for s in sizes) + 2 * FORK, half + RISE * len(arcs), half)


def lay_out(flow: Flow, longest_row: float = 28.0) -> Picture:
    """The whole network; one that is longer than ``longest_row`` is broken where its maps change size, and in between."""
    picture = Picture()
    rows = _rows(flow, longest_row)
    ends: list[tuple[float, float]] = []
    bottom = 0.0
    for row, joint in rows:
        room = size(row)
        y = bottom - 2 * TURN - CAPTION - room.up if ends else 0.0
        right = room.width + _radius(joint)
        if ends:
            _turn(picture, ends[-1], bottom - TURN, (0.0, y), entry(row))
        _place(picture, row, 0.0, right, y)
        if len(rows) > 1:
            picture.captions.append((0.0, y + room.up + 0.16, _caption(row)))
        if joint.kind:
            picture.joints.append((right, y, joint.kind))
        ends.append((right, y))
        bottom = y - room.down
    first, last, steps = ends[0][1], ends[-1], entry(flow.part)
    picture.start, picture.end = (-END_WIRE, first), (last[0] + END_WIRE, last[1])
    _wire(picture, [picture.start, (0.0, first)], steps)
    _wire(picture, [last, picture.end], steps)
    _measure(picture)
    return picture


def _rows(flow: Flow, longest: float) -> list[tuple[Part, Joint]]:
    """The network in rows, each with the joint at its end: as few as fit, of whole stages where there are several."""
    part = flow.part
    if size(part).width <= longest or not isinstance(part, Series):
        return [(part, flow.end)]
    longest = max(longest, 1.05 * max(size(inner).width for inner in part.parts))
    joints = (*part.joints, flow.end)
    stages: list[list[int]] = []
    last = None
    for i, inner in enumerate(part.parts):
        shapes = [layer.shape[2:] for layer in layers_of(inner)]
        if not stages or (shapes and last is not None and shapes[-1] != last):
            # what leads to the first layer of a stage belongs to it
            moved = []
            while stages and len(stages[-1]) > 1 and not list(layers_of(part.parts[stages[-1][-1]])):
                moved.insert(0, stages[-1].pop())
            stages.append(moved)
        stages[-1].append(i)
        last = shapes[-1] if shapes else last
    rows = []
    for stage in stages:
        widths = [size(part.parts[i]).width + 2 * RADIUS for i in stage]
        count = max(1, math.ceil(sum(widths) / longest - 0.15))
        taken, goal = [], sum(widths) / count
        done = 0.0
        for i, width in zip(stage, widths, strict=True):
            if taken and done + width / 2 > goal and list(layers_of(part.parts[i])):
                rows.append(taken)
                taken, done = [], 0.0
            taken.append(i)
            done += width
        rows.append(taken)
    return [(_slice(part, row), joints[row[-1]]) for row in rows]


def _slice(part: Series, row: list[int]) -> Part:
    if len(row) == 1:
        return part.parts[row[0]]
    return Series(tuple(part.parts[i] for i in row), tuple(part.joints[i] for i in row[:-1]))


def _caption(row: Part) -> str:
    shapes = list(dict.fromkeys(layer.shape[1:] for layer in layers_of(row)))
    if not shapes:
        return ""
    widths = sorted({shape[0] for shape in shapes})
    width = f"{widths[0]}" if len(widths) == 1 else f"{widths[0]}–{widths[-1]}"
    if len(shapes[-1]) < 3:
        return f"{width} features"
    return f"{' × '.join(map(str, shapes[-1][1:]))}, {width} channels a layer"


def _place(picture: Picture, part: Part, x0: float, x1: float, y: float, feet: tuple[int, int] = (1, 1)) -> None:
    """Put a part between x0 and x1; ``feet`` counts the shortcuts that rise at its ends, for those inside it."""
    if isinstance(part, Link):
        _wire(picture, [(x0, y), (x1, y)], part.steps)
        _on_link(picture, part, (x0 + x1) / 2, y)
    elif isinstance(part, Series):
        _place_series(picture, part, x0, x1, y, feet)
    elif isinstance(part, Mesh):
        _place_mesh(picture, part, x0, x1, y)
    else:
        _place_parallel(picture, part, x0, x1, y, feet)


def _on_link(picture: Picture, link: Link, x: float, y: float) -> None:
    if link.layer is not None:
        picture.boxes.append((x, y, link.layer))
    elif link.real:
        picture.marks.append((x, y))


def _place_series(picture: Picture, part: Series, x0: float, x1: float, y: float, feet: tuple[int, int]) -> None:
    spare = (x1 - x0 - size(part).width) / 2
    x, steps = x0, entry(part)
    if spare > RADIUS:
        _wire(picture, [(x0, y), (x0 + spare, y)], steps)
        _wire(picture, [(x1 - spare, y), (x1, y)], steps)
        x, x1 = x0 + spare, x1 - spare
        spare, feet = 0.0, (1, 1)
    last = len(part.parts) - 1
    for i, inner in enumerate(part.parts):
        end = x + size(inner).width
        end += (_radius(part.joints[i - 1]) if i else spare) + (_radius(part.joints[i]) if i < last else spare)
        _place(picture, inner, x, end, y, (feet[0] if i == 0 else 1, feet[1] if i == last else 1))
        if i < last and part.joints[i].kind:
            picture.joints.append((end, y, part.joints[i].kind))
        x = end


def _place_parallel(picture: Picture, part: Parallel, x0: float, x1: float, y: float, feet: tuple[int, int]) -> None:
    arcs, others = _sorted(part)
    room = size(part)
    picture.joints.append((x0, y, ""))
    top = room.up - RISE * len(arcs)
    if len(others) == 1:
        _place(picture, others[0], x0, x1, y, (feet[0] + len(arcs), feet[1] + len(arcs)))
    elif others:
        upper = y + top
        for inner in others:
            own = size(inner)
            line = upper - own.up
            steps = entry(inner)
            _wire(picture, s_curve((x0, y), (x0 + FORK, line)), steps)
            _wire(picture, s_curve((x1 - FORK, line), (x1, y)), steps)
            _place(picture, inner, x0 + FORK, x1 - FORK, line)
            upper -= own.up + own.down + ROW
    for number, link in enumerate(arcs):
        height = y + top + RISE * (number + 1) if others or number else y
        outside = len(arcs) - 1 - number
        left, right = x0 + INSET * (feet[0] + outside), x1 - INSET * (feet[1] + outside)
        if height == y:
            left, right = x0, x1
        _wire(picture, arc(left, right, y, height, BEND), link.steps)
        _on_link(picture, link, (x0 + x1) / 2, height)


def _place_mesh(picture: Picture, part: Mesh, x0: float, x1: float, y: float) -> None:
    plan = _plan(part)
    stretch = (x1 - x0) / plan.x[-1]
    at = [(x0 + stretch * x, y + lane) for x, lane in zip(plan.x, plan.y, strict=True)]
    for (start, end, inner), lane in zip(part.parts, plan.lanes, strict=True):
        (left, from_y), (right, to_y) = at[start], at[end]
        line = y + lane
        if isinstance(inner, Link) and inner.layer is None and lane > 0:
            _wire(picture, arc(left + INSET, right - INSET, y, line, BEND), inner.steps)
            _on_link(picture, inner, (left + right) / 2, line)
            continue
        for first, second, apart in (
            ((left, from_y), (left + FORK, line), from_y),
            ((right - FORK, line), (right, to_y), to_y),
        ):
            if apart != line:
                _wire(picture, s_curve(first, second), entry(inner))
        _place(picture, inner, left + FORK * (from_y != line), right - FORK * (to_y != line), line)
    picture.joints += [(*place, joint.kind) for place, joint in zip(at[:-1], part.joints, strict=False)]


def _plan(part: Mesh) -> MeshPlan:
    sizes = [size(inner) for *_, inner in part.parts]
    return plan_mesh(part, [(s.width, s.up, s.down) for s in sizes], RISE, ROW, 2 * FORK, 2 * RADIUS)


def _turn(
    picture: Picture, start: tuple[float, float], middle: float, end: tuple[float, float], steps: frozenset[Step]
) -> None:
    """From a row's end back under it to the start of the next."""
    (x0, y0), (x1, y1) = start, end
    right, left = x0 + TURN, x1 - TURN
    corners = [(x0, y0), (right, y0), (right, middle), (left, middle), (left, y1), (x1, y1)]
    _wire(picture, rounded(corners, 0.3), steps)


def _sorted(part: Parallel) -> tuple[list[Link], list[Part]]:
    """The links without binary layers, which bend over, and the rest."""
    arcs = [inner for inner in part.parts if isinstance(inner, Link) and inner.layer is None]
    return arcs, [inner for inner in part.parts if not (isinstance(inner, Link) and inner.layer is None)]


def _radius(joint: Joint) -> float:
    return RADIUS if joint.kind and joint.node != END else 0.0


def _wire(picture: Picture, points: list[Point], steps: frozenset[Step]) -> None:
    picture.wires.append(Wire(np.array(points), steps))


def _measure(picture: Picture) -> None:
    points = np.concatenate([wire.points for wire in picture.wires])
    (left, bottom), (right, top) = points.min(0), points.max(0)
    for _, y, _ in picture.boxes:
        bottom, top = min(bottom, y - BOX[1] / 2), max(top, y + BOX[1] / 2)
    for _, y, _ in picture.captions:
        top = max(top, y + 0.3)
    picture.bounds = (float(left), float(bottom), float(right), float(top))
