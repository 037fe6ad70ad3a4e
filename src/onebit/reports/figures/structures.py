"""Accuracy of structures against the cost of their cheapest gradient paths, as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from onebit.reports.figures.style import CATEGORIES, MUTED, plain

Point = tuple[str, str, float, Sequence[float]]

_MARKS = "osD^vP"
# In points: about the length of the axis, and how far marks stand from each other at least.
_AXIS, _APART = 360.0, 10.0
# Room beside the first and the last mark, as a factor.
_MARGIN = 1.4


def structures_figure(points: Sequence[Point], measure: str, label: str) -> Figure:
    """A mark per structure and method: its mean, its seeds as dots, N2 on a logarithmic axis.

    Structures differ in colour and methods in shape, both named beside the axes, where names cannot collide. Marks of nearly
    equal N2 stand side by side.

    Args:
        points: (structure, method, N2 in millions of multiplications, accuracies in percent, one per seed).
        measure: what the accuracy is; label: what was run, in one line.
    """
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.subplots()
    structures = list(dict.fromkeys(structure for structure, _, _, _ in points))
    methods = list(dict.fromkeys(method for _, method, _, _ in points))
    colours = {name: CATEGORIES[i % len(CATEGORIES)] for i, name in enumerate(structures)}
    marks = {name: _MARKS[i % len(_MARKS)] for i, name in enumerate(methods)}
    costs = [cost for _, _, cost, _ in points]
    axes.set_xscale("log")
    if costs:
        # Moved marks do not count when matplotlib chooses limits.
        heights = [value for *_, values in points for value in values]
        room = 0.06 * (max(heights) - min(heights)) or 1.0
        axes.set_xlim(min(costs) / _MARGIN, max(costs) * _MARGIN)
        axes.set_ylim(min(heights) - room, max(heights) + room)
    for (structure, method, cost, values), shift in zip(points, _shifts(costs), strict=True):
        moved = axes.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
        style: dict[str, Any] = {"color": colours[structure], "transform": moved, "linestyle": "none"}
        axes.plot([cost] * len(values), values, ".", markersize=4, alpha=0.5, **style)
        axes.plot([cost], [sum(values) / len(values)], marks[method], markersize=7, **style)
    narrow = bool(costs) and max(costs) < 5 * min(costs)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7) if narrow else (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("N2: the second cheapest gradient path through the first stage (1e6 multiplications)")
    axes.set_ylabel(measure)
    names = [Line2D([], [], color=colours[name], marker="o", linestyle="none", label=name) for name in structures]
    if len(methods) > 1:
        names += [Line2D([], [], color=MUTED, marker=marks[name], linestyle="none", label=name) for name in methods]
    figure.legend(handles=names, loc="outside right upper")
    figure.supxlabel(
        f"{label}\nlarge: mean over seeds; dots: single seeds; side by side where N2 is nearly equal",
        fontsize=7.5,
        color=MUTED,
    )
    return figure


def _shifts(costs: Sequence[float]) -> list[float]:
    """How far each mark stands from its place, in points, so that those of nearly one cost do not hide each other.

    >>> [round(shift, 6) for shift in _shifts([1.0, 5.0, 1.0])]
    [-5.0, 0.0, 5.0]
    """
    if not costs:
        return []
    scale = _AXIS / math.log(_MARGIN**2 * max(costs) / min(costs))
    places = [scale * math.log(cost) for cost in costs]

    def spread_out(group: list[int]) -> list[float]:
        middle = sum(places[i] for i in group) / len(group)
        return [middle + _APART * (k - (len(group) - 1) / 2) for k in range(len(group))]

    groups: list[list[int]] = []
    for index in sorted(range(len(costs)), key=lambda i: costs[i]):
        group = [index]
        while groups and spread_out(group)[0] - spread_out(groups[-1])[-1] < _APART:
            group = groups.pop() + group
        groups.append(group)
    moved = {i: place for group in groups for i, place in zip(group, spread_out(group), strict=True)}
    return [moved[i] - place for i, place in enumerate(places)]
