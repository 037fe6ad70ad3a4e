"""Success and precision plots of several trackers, with the scores in the legend, best first."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from onebit.reports.figures.style import CATEGORIES, GRID, label, new_figure

_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Curve:
    """A tracker's curve: its name, its score (the number in the legend) and a share of frames per threshold, 0 to 1."""

    name: str
    score: float
    values: Sequence[float]


def tracker_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each tracker, the same in every plot and film strip; they come again after eight.

    >>> len(set(tracker_colours(["a", "b", "c"]).values()))
    3
    """
    return {name: CATEGORIES[i % len(CATEGORIES)] for i, name in enumerate(names)}


def success_figure(
    curves: Sequence[Curve], thresholds: Sequence[float], title: str, measure: str, colours: Mapping[str, str]
) -> Figure:
    """Share of frames whose overlap exceeds a threshold; ``measure`` says what the legend's numbers are."""
    return _plot(curves, thresholds, colours, title, "overlap above", "share of frames", measure, 0.2)


def precision_figure(
    curves: Sequence[Curve], thresholds: Sequence[float], title: str, measure: str, colours: Mapping[str, str]
) -> Figure:
    """Share of frames whose centre is within a distance; the line at 20 pixels is where the score is read."""
    figure = _plot(curves, thresholds, colours, title, "centre error within (pixels)", "share of frames", measure, 10)
    figure.axes[0].axvline(20, color=GRID, linewidth=1.4, zorder=0)
    return figure


def _plot(
    curves: Sequence[Curve],
    thresholds: Sequence[float],
    colours: Mapping[str, str],
    title: str,
    x: str,
    y: str,
    measure: str,
    step: float,
) -> Figure:
    heading = textwrap.wrap(title, 56)
    figure, grid = new_figure(2.8 + 0.17 * len(heading) + 0.19 * len(curves))
    axes = grid[0, 0]
    axes.set_title("\n".join(heading), loc="left")
    order = list(colours)
    handles, names = [], []
    best_first = sorted(curves, key=lambda curve: -curve.score)
    for place, curve in enumerate(best_first, start=1):
        dash = _DASHES[order.index(curve.name) // len(CATEGORIES) % len(_DASHES)]
        # Wider than the same curves of others, which are drawn over it.
        over = sum(list(other.values) == list(curve.values) for other in best_first[place:])
        handles += axes.plot(thresholds, curve.values, dash, color=colours[curve.name], linewidth=1.7 + 1.8 * over)
        names.append(f"{curve.score:.3f}  {label(curve.name, 42)}")
    axes.set_xlim(thresholds[0], thresholds[-1])
    axes.set_ylim(0, 1.005)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    figure.legend(
        handles, names, loc="outside lower left", ncols=1, title=measure, alignment="left", title_fontsize=8.5
    )
    return figure
