"""A unit as a row of operations, with the number of maps that each tensor between them can be (IGP's Figure 1)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from onebit.accounting.capability import Capability, representational_capability
from onebit.reports.figures.strokes import arc
from onebit.reports.figures.style import GRID, INK, MUTED, PAPER, STUDENT, TEACHER

_LIFT = 0.95  # height of the shortcut
_WIDTH, _HEIGHT = 11.4, 4.5


def capability_figure(height: int = 14, width: int = 14, channels: int = 32, kernel: int = 3) -> Figure:
    """The flow of one unit, log2 R under each tensor, and at the addition Bi-Real's claim beside IGP's correction."""
    capability = representational_capability(height, width, channels, kernel)
    figure = Figure(figsize=(_WIDTH * 0.68, _HEIGHT * 0.68))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(0, _HEIGHT)
    axes.text(0.35, 4.2, "Representational capability of a binary unit", fontsize=10, fontweight="bold", va="center")
    text = f"{height} × {width} map, {channels} channels, {kernel} × {kernel} kernel; "
    text += "under each tensor, the number R of maps that it can be"
    axes.text(0.35, 3.87, text, fontsize=7.5, color=MUTED, va="center")
    _flow(axes)
    _counts(axes, capability, height * width * channels, kernel * kernel * channels + 1)
    return figure


# where the tensors and the operations between them stand
_X = {"x": 0.75, "sign": 1.75, "b": 2.75, "conv": 4.05, "m": 5.3, "norm": 6.4, "r": 7.5, "add": 8.6, "sum": 9.9}
_Y = 2.4


def _flow(axes: Axes) -> None:
    axes.plot([_X["x"], _X["sum"] + 0.95], [_Y, _Y], color=MUTED, linewidth=1.1, zorder=1)
    axes.annotate(
        "", (_X["sum"] + 1.12, _Y), (_X["sum"] + 0.8, _Y), arrowprops={"arrowstyle": "-|>", "color": MUTED, "lw": 1.1}
    )
    points = np.array(arc(_X["x"], _X["add"], _Y, _Y + _LIFT, 0.5))
    axes.plot(*points.T, color=TEACHER, linewidth=1.8, zorder=1)
    axes.text((_X["x"] + _X["add"]) / 2, _Y + _LIFT + 0.12, "shortcut", fontsize=7.5, color=TEACHER, ha="center")
    for place, name, wide in (("sign", "sign", 0.9), ("conv", "1-bit conv", 1.35), ("norm", "batch norm", 1.3)):
        box = FancyBboxPatch(
            (_X[place] - wide / 2 + 0.08, _Y - 0.2),
            wide - 0.16,
            0.4,
            boxstyle="round,pad=0.08,rounding_size=0.1",
            facecolor=GRID,
            edgecolor="none",
            zorder=3,
        )
        axes.add_patch(box)
        axes.text(_X[place], _Y, name, fontsize=8, ha="center", va="center_baseline", zorder=4)
    axes.add_patch(Circle((_X["add"], _Y), 0.18, facecolor=PAPER, edgecolor=INK, linewidth=0.8, zorder=4))
    axes.text(_X["add"], _Y, "+", fontsize=8.5, ha="center", va="center_baseline", zorder=5)
    names = {"x": "A_r^{l}", "b": "A_b^{l}", "m": "A_m^{l+1}", "r": "A_r^{l+1}", "sum": "A_{add}^{l+1}"}
    for place, name in names.items():
        axes.add_patch(Circle((_X[place], _Y), 0.09, facecolor=INK, edgecolor="none", zorder=4))
        axes.text(_X[place], _Y - 0.36, f"${name}$", fontsize=9, ha="center", va="center", parse_math=True)


def _counts(axes: Axes, capability: Capability, entries: int, values: int) -> None:
    rows = {
        "x": (f"{values}^{{{entries}}}", capability.normalized),
        "b": (f"2^{{{entries}}}", capability.binary),
        "m": (f"{values}^{{{entries}}}", capability.convolved),
        "r": (f"{values}^{{{entries}}}", capability.normalized),
    }
    for place, (formula, bits) in rows.items():
        _count(axes, _X[place], 1.62, formula, bits, INK)
    axes.text(_X["sum"], 1.62, "claimed by Bi-Real", fontsize=7, color=STUDENT, ha="center", va="center")
    _count(axes, _X["sum"], 1.34, f"{values}^{{2 \\cdot {entries}}}", capability.claimed, STUDENT)
    axes.text(_X["sum"], 0.72, "corrected", fontsize=7, color=TEACHER, ha="center", va="center")
    _count(axes, _X["sum"], 0.44, f"{values}^{{{entries}}}", capability.added, TEACHER)
    note = "$A_r^{l+1}$ is computed from $A_r^l$: their sum can be no more maps than $A_r^l$ alone."
    axes.text(0.35, 0.3, note, fontsize=7.5, color=MUTED, va="center", parse_math=True)


def _count(axes: Axes, x: float, y: float, formula: str, bits: float, colour: str) -> None:
    axes.text(x, y, f"${formula}$", fontsize=9, color=colour, ha="center", va="center", parse_math=True)
    axes.text(x, y - 0.28, f"{bits:,.0f} bit", fontsize=7.5, color=colour, ha="center", va="center")
