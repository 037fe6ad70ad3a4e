"""Gradient paths in characters: the network drawn with lines, and a line for every level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onebit.accounting.flow import Joint, Link, Mesh, Parallel, Part, Series, flow
from onebit.accounting.path_names import short_count
from onebit.accounting.path_search import is_binary, path_cost

if TYPE_CHECKING:
    from onebit.accounting.path_search import Level
    from onebit.accounting.paths import GradientPaths
    from onebit.graph import Node

SIGNS = {"add": "(+)", "mean": "(μ)", "multiply": "(×)", "concat": "(‖)", "other": "(∗)", "": ""}
_MEANING = {"add": "(+) sum", "mean": "(μ) mean", "multiply": "(×) product", "concat": "(‖) concatenation"}
_NAMES = 4  # binary layers of a path that are named


@dataclass(frozen=True)
class _Picture:
    """Lines of one width; parts are connected on line ``level``."""

    lines: tuple[str, ...]
    level: int = 0

    @property
    def width(self) -> int:
        return len(self.lines[0])


def paths_text(paths: GradientPaths, width: int) -> str:
    """Title, drawing and levels; where the drawing is wider than ``width``, what layers there are instead."""
    shapes = ", ".join(" × ".join(map(str, shape)) for shape in paths.input_shapes)
    count = paths.binary_layers
    title = f"{paths.model}: {count} binary layer{'' if count == 1 else 's'}, input {shapes}"
    return "\n\n".join([title, _drawing(paths, width) or _layers(paths), "\n".join(_levels(paths))])


def _levels(paths: GradientPaths) -> list[str]:
    lines = []
    for i, (level, symbol) in enumerate(zip(paths.levels, paths.expressions, strict=True), start=1):
        cost = f"{level.cost:,}"
        value = f"N{i} = {symbol} = {cost}" if paths.symbols and level.cost else f"N{i} = {cost}"
        lines.append((value, f"L{i} = {level.length}", _through(level)))
    width = max(len(value) for value, *_ in lines)
    return [f"{value:<{width}}   {length}   {through}" for value, length, through in lines]


def _through(level: Level) -> str:
    layers = level.routes[0].layers
    if not layers:
        return "past every binary layer"
    named = ", ".join(layers[:_NAMES]) + (f" and {len(layers) - _NAMES} more" if len(layers) > _NAMES else "")
    merged = f" (costs up to {level.routes[-1].cost:,} count as one)" if len(level.routes) > 1 else ""
    return f"through {named}{merged}"


def _layers(paths: GradientPaths) -> str:
    assert paths.graph is not None
    counts = Counter((node.shape[1:], path_cost(node)) for node in paths.graph.nodes if is_binary(node))
    lines = [
        f"{count:5} × {short_count(cost):>8}   -> {' × '.join(map(str, shape))}"
        for (shape, cost), count in counts.items()
    ]
    return "\n".join(lines) if lines else "no binary layers"


def _drawing(paths: GradientPaths, width: int) -> str | None:
    assert paths.graph is not None
    whole = flow(paths.graph)
    if _meshed(whole.part):
        return None
    parts = whole.part.parts if isinstance(whole.part, Series) else (whole.part,)
    joints = (*(whole.part.joints if isinstance(whole.part, Series) else ()), whole.end)
    rows: list[list[_Picture]] = [[_text("x ─")]]
    for number, (part, joint) in enumerate(zip(parts, joints, strict=True)):
        last = number == len(parts) - 1
        drawn = [_draw(part, paths.symbols), *_sign(joint)] + ([_text("─ y")] if last else [])
        if sum(p.width for p in rows[-1]) + sum(p.width for p in drawn) > width - 1 and len(rows[-1]) > 1:
            rows[-1].append(_text("─"))
            rows.append([_text("  ─")])
        rows[-1] += drawn
    pictures = [_beside(row) for row in rows]
    if any(picture.width > width for picture in pictures):
        return None
    used = [text for kind, text in _MEANING.items() if any(SIGNS[kind] in line for p in pictures for line in p.lines)]
    used += ["□ real layer"] if any("□" in line for p in pictures for line in p.lines) else []
    drawn_rows = ["\n".join(line.rstrip() for line in picture.lines) for picture in pictures]
    return "\n".join([*drawn_rows, *(["", "   ".join(used)] if used else [])])


def _meshed(part: Part) -> bool:
    return isinstance(part, Mesh) or (isinstance(part, (Series, Parallel)) and any(map(_meshed, part.parts)))


def _draw(part: Part, symbols: Mapping[str, str]) -> _Picture:
    if isinstance(part, Link):
        return _text(_box(part.layer, symbols) if part.layer is not None else "─□─" if part.real else "──")
    assert not isinstance(part, Mesh)
    inner = [_draw(child, symbols) for child in part.parts]
    if isinstance(part, Series):
        pieces = [inner[0]]
        for joint, picture in zip(part.joints, inner[1:], strict=True):
            pieces += [*_sign(joint), picture]
        return _beside(pieces)
    bare = [isinstance(child, Link) and child.layer is None for child in part.parts]
    ordered = [p for p, b in zip(inner, bare, strict=True) if not b] + [
        p for p, b in zip(inner, bare, strict=True) if b
    ]
    return _under(ordered)


def _box(layer: Node, symbols: Mapping[str, str]) -> str:
    return f"─[{symbols.get(layer.path) or short_count(path_cost(layer))}]─"


def _sign(joint: Joint) -> list[_Picture]:
    return [_text(SIGNS[joint.kind])] if joint.kind else []


def _text(text: str) -> _Picture:
    return _Picture((text,))


def _beside(pictures: list[_Picture]) -> _Picture:
    """Pictures in a line, connected."""
    above = max(p.level for p in pictures)
    below = max(len(p.lines) - p.level for p in pictures)
    lines = []
    for offset in range(-above, below):
        cells = [
            (p.lines[p.level + offset] if 0 <= p.level + offset < len(p.lines) else " " * p.width) for p in pictures
        ]
        lines.append("".join(cells))
    return _Picture(tuple(lines), above)


def _under(pictures: list[_Picture]) -> _Picture:
    """Pictures under each other, forked from and joined to the first one's line."""
    width = max(p.width for p in pictures)
    lines, levels = [], []
    for picture in pictures:
        levels.append(len(lines) + picture.level)
        for i, line in enumerate(picture.lines):
            filler = "─" if i == picture.level else " "
            left = (width - picture.width) // 2
            lines.append(filler * left + line + filler * (width - picture.width - left))
    framed = []
    for i, line in enumerate(lines):
        if i < levels[0] or i > levels[-1]:
            left, right = " ", " "
        elif i == levels[0]:
            left, right = "┬", "┬"
        elif i == levels[-1]:
            left, right = "└", "┘"
        else:
            left, right = ("├", "┤") if i in levels else ("│", "│")
        framed.append(left + line + right)
    return _Picture(tuple(framed), levels[0])
