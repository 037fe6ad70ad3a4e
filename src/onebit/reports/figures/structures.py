"""Accuracy of structures against the cost of their cheapest gradient paths, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from onebit.reports.figures.style import INK, MUTED, STUDENT, TEACHER, plain

Point = tuple[str, str, float, Sequence[float]]


def structures_figure(points: Sequence[Point], measure: str, label: str) -> Figure:
    """A mark per structure: its mean, its seeds as dots, N2 on a logarithmic axis; methods differ in colour.

    Args:
        points: (structure, method, N2 in millions of multiplications, accuracies in percent, one per seed).
        measure: what the accuracy is; label: what was run, in one line.
    """
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.subplots()
    methods = list(dict.fromkeys(method for _, method, _, _ in points))
    colours = dict(zip(methods, [STUDENT, TEACHER, INK, MUTED], strict=False))
    drawn: set[str] = set()
    for structure, method, cost, values in points:
        mean = sum(values) / len(values)
        colour = colours.get(method, MUTED)
        axes.plot([cost] * len(values), values, ".", color=colour, markersize=5, alpha=0.45)
        axes.plot([cost], [mean], "o", color=colour, markersize=7, label=method if method not in drawn else None)
        drawn.add(method)
        name = structure if method == methods[0] else f"{structure}, {method}"
        axes.annotate(name, (cost, mean), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8, color=INK)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.xaxis.set_minor_formatter(NullFormatter())
    costs = [cost for _, _, cost, _ in points]
    if costs:
        axes.set_xlim(min(costs) / 1.3, max(costs) * 2.2)
    axes.set_xlabel("N2: the second cheapest gradient path through the first stage (1e6 multiplications)")
    axes.set_ylabel(measure)
    if len(methods) > 1:
        axes.legend(loc="lower left", frameon=False)
    figure.supxlabel(label, fontsize=7.5, color=MUTED)
    return figure
