"""Gradient paths as a picture: binary layers with their costs, shortcuts over them, and the cheapest path of each level."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

from onebit.accounting.flow import Series, flow, steps_of
from onebit.accounting.path_names import short_count
from onebit.accounting.path_search import path_cost
from onebit.reports.figures.flow_layout import BOX, MARK, RADIUS, Picture, lay_out, size
from onebit.reports.figures.style import CATEGORIES, GRID, INK, MUTED, PAPER, label, styled, svg_text

if TYPE_CHECKING:
    from onebit.accounting.paths import GradientPaths
    from onebit.graph import Node

LEVELS = (*CATEGORIES[:4], CATEGORIES[5], CATEGORIES[6], CATEGORIES[7])
SYMBOLS = {"add": "+", "mean": "μ", "multiply": "×", "concat": "‖", "other": "∗"}
_MEANING = {"add": "sum", "mean": "mean", "multiply": "product", "concat": "concatenation", "other": "another join"}
DOT = 0.09  # radius of a place where branches part
_FEW = 20  # binary layers up to which a drawing is one of a block: large, with the layers' widths
_LARGE_ROW, _ROW = 12.0, 28.0  # length in units from which a row is broken
_SIDE = 0.55  # margin on either side, in units
_TOP, _LINE = 0.66, 0.235  # inches: for the titles, and a line of the legend


def paths_svg(paths: GradientPaths) -> str:
    """The drawing of :func:`paths_figure` as SVG text."""
    with styled():
        return svg_text(paths_figure(paths))


def paths_png(paths: GradientPaths, dpi: int = 200) -> bytes:
    """The same as a PNG file's bytes."""
    stream = io.BytesIO()
    with styled():
        paths_figure(paths).savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def paths_figure(paths: GradientPaths) -> Figure:
    """One network or block, its cheapest path of each level in colour, and a legend of costs and lengths."""
    panel = _Panel(paths)
    figure, axes = _canvas(panel.width, panel.height, panel.unit)
    panel.draw(axes, 0.0, 0.0)
    return figure


def path_panels_figure(panels: Sequence[GradientPaths], columns: int = 2) -> Figure:
    """Several blocks side by side, row by row, as in IGP's Figure 2."""
    drawn = [_Panel(paths, f"({chr(ord('a') + i)})\u2002", key=False) for i, paths in enumerate(panels)]
    rows = [drawn[i : i + columns] for i in range(0, len(drawn), columns)]
    widths = [max(row[c].width for row in rows if c < len(row)) for c in range(columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    figure, axes = _canvas(sum(widths), sum(heights) + drawn[0].line, drawn[0].unit)
    top = 0.0
    for row, height in zip(rows, heights, strict=True):
        for column, panel in enumerate(row):
            panel.draw(axes, sum(widths[:column]), top, height)
        top -= height
    _key(axes, _SIDE - 0.2, top, [panel.picture for panel in drawn])
    return figure


def _canvas(width: float, height: float, unit: float) -> tuple[Figure, Axes]:
    """Axes in units that fill the figure; (0, 0) is the upper left corner."""
    figure = Figure(figsize=(width * unit, height * unit))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(-height, 0)
    return figure, axes


class _Panel:
    """One drawing with title and legend, and the room that it takes."""

    def __init__(self, paths: GradientPaths, letter: str = "", key: bool = True) -> None:
        assert paths.graph is not None
        self.paths = paths
        whole = flow(paths.graph)
        parts = whole.part.parts if isinstance(whole.part, Series) else (whole.part,)
        self.large = paths.binary_layers <= _FEW and max(size(part).width for part in parts) <= 1.5 * _LARGE_ROW
        self.unit = 0.68 if self.large else 0.42  # inches
        self.picture = lay_out(whole, _LARGE_ROW if self.large else _ROW)
        self.routes = [steps_of(level.routes[0].nodes) for level in paths.levels]
        self.letter, self.key = letter, key
        self.top, self.line, self.point = _TOP / self.unit, _LINE / self.unit, 1 / 72 / self.unit  # in units
        left, bottom, right, top = self.picture.bounds
        lines = len(paths.levels) + key
        self.width = max(right - left, 3.2 / self.unit) + 2 * _SIDE
        self.height = self.top + top - bottom + 0.3 + self.line * lines + 0.25

    def scaled(self, points: float) -> float:
        """A font size or line width of blocks, smaller in networks."""
        return points if self.large else 0.78 * points

    def draw(self, axes: Axes, x: float, y: float, height: float | None = None) -> None:
        """Draw with the upper left corner at (x, y), the legend at the foot of ``height``."""
        left, _, _, top = self.picture.bounds
        spare = (height or self.height) - self.height
        dx, dy = x + _SIDE - left, y - self.top - spare / 2 - top
        self._title(axes, x + _SIDE - 0.2, y)
        self._wires(axes, dx, dy)
        self._things(axes, dx, dy)
        foot = y - (height or self.height)
        self._legend(axes, x + _SIDE - 0.2, foot + 0.25 + self.line * (len(self.paths.levels) + self.key))

    def _title(self, axes: Axes, x: float, y: float) -> None:
        paths = self.paths
        shapes = ", ".join(" × ".join(map(str, shape)) for shape in paths.input_shapes)
        layers = f"{paths.binary_layers} binary layer{'s' if paths.binary_layers != 1 else ''}"
        axes.text(
            x, y - 14 * self.point, self.letter + label(paths.model, 40), fontsize=10, fontweight="bold", va="center"
        )
        axes.text(x, y - 30 * self.point, f"{layers}, input {shapes}", fontsize=7.5, color=MUTED, va="center")

    def _wires(self, axes: Axes, dx: float, dy: float) -> None:
        step = self.scaled(2.7) * self.point
        for wire in self.picture.wires:
            points = wire.points + np.array([dx, dy])
            taken = [i for i, route in enumerate(self.routes) if route & wire.steps]
            if not taken:
                axes.plot(
                    *points.T, color=MUTED, linewidth=self.scaled(0.9), solid_capstyle="butt", snap=False, zorder=1
                )
            for place, level in enumerate(taken):
                aside = _beside(points, ((len(taken) - 1) / 2 - place) * step)
                colour = LEVELS[level % len(LEVELS)]
                axes.plot(
                    *aside.T, color=colour, linewidth=self.scaled(2.0), solid_capstyle="round", snap=False, zorder=2
                )
        for (x, y), name, side in ((self.picture.start, "x", -1), (self.picture.end, "y", 1)):
            aside, font = side * (0.14 + 1.5 * step), self.scaled(10)
            axes.text(x + dx + aside, y + dy, name, fontsize=font, style="italic", ha="center", va="center_baseline")
        x, y = self.picture.start
        for level in range(len(self.routes)):
            middle = y + dy + ((len(self.routes) - 1) / 2 - level) * step
            tip, back = x + dx - 1.8 * step, x + dx + 0.5 * step
            corners = [(tip, middle), (back, middle + 0.72 * step), (back, middle - 0.72 * step)]
            axes.add_patch(Polygon(corners, facecolor=LEVELS[level % len(LEVELS)], edgecolor="none", zorder=3))

    def _things(self, axes: Axes, dx: float, dy: float) -> None:
        for x, y, layer in self.picture.boxes:
            self._box(axes, x + dx, y + dy, layer)
        for x, y in self.picture.marks:
            corner = (x + dx - MARK / 2, y + dy - MARK / 2)
            axes.add_patch(
                Rectangle(corner, MARK, MARK, facecolor=PAPER, edgecolor=MUTED, linewidth=self.scaled(0.9), zorder=3)
            )
        for x, y, kind in self.picture.joints:
            if not kind:
                axes.add_patch(Circle((x + dx, y + dy), DOT, facecolor=INK, edgecolor="none", zorder=3))
                continue
            circle = Circle(
                (x + dx, y + dy), RADIUS, facecolor=PAPER, edgecolor=INK, linewidth=self.scaled(0.8), zorder=4
            )
            axes.add_patch(circle)
            axes.text(
                x + dx, y + dy, SYMBOLS[kind], fontsize=self.scaled(8.5), ha="center", va="center_baseline", zorder=5
            )
        for x, y, text in self.picture.captions:
            axes.text(x + dx, y + dy, text, fontsize=self.scaled(8), color=MUTED, va="bottom")

    def _box(self, axes: Axes, x: float, y: float, layer: Node) -> None:
        width, height = BOX
        shape = FancyBboxPatch(
            (x - width / 2 + 0.08, y - height / 2 + 0.08),
            width - 0.16,
            height - 0.16,
            boxstyle="round,pad=0.08,rounding_size=0.1",
            facecolor=GRID,
            edgecolor="none",
            zorder=3,
        )
        axes.add_patch(shape)
        symbol = self.paths.symbols.get(layer.path)
        cost = formula(symbol) if symbol else short_count(path_cost(layer))
        if not self.large:
            axes.text(x, y, cost, fontsize=6.4, ha="center", va="center_baseline", parse_math=bool(symbol), zorder=5)
            return
        axes.text(x, y + 0.12, cost, fontsize=8.5, ha="center", va="center_baseline", parse_math=bool(symbol), zorder=5)
        axes.text(x, y - 0.14, _channels(layer), fontsize=6, color=MUTED, ha="center", va="center_baseline", zorder=5)

    def _legend(self, axes: Axes, x: float, y: float) -> None:
        for i, level in enumerate(self.paths.levels):
            line = y - self.line * (i + 0.5)
            colour = LEVELS[i % len(LEVELS)]
            axes.plot([x, x + 22 * self.point], [line, line], color=colour, linewidth=2.4, solid_capstyle="round")
            text = f"$N_{{{i + 1}}}$ = {self._value(i)}, $L_{{{i + 1}}}$ = {level.length}"
            axes.text(x + 30 * self.point, line, text, fontsize=8.5, va="center_baseline", parse_math=True)
        if self.key:
            _key(axes, x, y - self.line * (len(self.paths.levels) + 0.5), [self.picture])

    def _value(self, i: int) -> str:
        level, symbols = self.paths.levels[i], self.paths.expressions[i]
        if level.cost == 0 or not self.paths.symbols:
            return short_count(level.cost)
        return f"{formula(symbols)} = {short_count(level.cost)}"


def _key(axes: Axes, x: float, y: float, pictures: Sequence[Picture]) -> None:
    """What the signs in the pictures mean."""
    used = {kind for picture in pictures for *_, kind in picture.joints if kind}
    notes = [f"{sign}\u2002{_MEANING[kind]}" for kind, sign in SYMBOLS.items() if kind in used]
    notes += ["□\u2002real layer"] if any(picture.marks for picture in pictures) else []
    axes.text(x, y, "\u2003\u2003".join(notes), fontsize=7.5, color=MUTED, va="center_baseline")


def formula(expression: str) -> str:
    r"""A symbolic cost as mathematics mark-up.

    >>> formula("2N^BR"), formula("N1^BD + N2^BD")
    ('$2N^{BR}$', '$N_{1}^{BD} + N_{2}^{BD}$')
    """
    text = re.sub(r"N(\d*)\^(\w+)", lambda m: f"N_{{{m[1]}}}^{{{m[2]}}}" if m[1] else f"N^{{{m[2]}}}", expression)
    return "$" + text.replace("~", r"\approx") + "$"


def _channels(layer: Node) -> str:
    """``3×3, 64`` if the layer keeps its channels, else ``3×3, 64→128``."""
    module: Any = layer.layer
    if layer.kind == "binary_linear":
        return f"{module.in_features}→{module.out_features}"
    height, width = module.kernel_size
    into, out = module.in_channels, module.out_channels
    return f"{height}×{width}, {into if into == out else f'{into}→{out}'}"


def _beside(points: np.ndarray, distance: float) -> np.ndarray:
    """The line at ``distance`` to the left of a line."""
    if distance == 0:
        return points
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    return points + distance * np.stack([-along[:, 1], along[:, 0]], axis=1)
