"""Figures of the binary weights: how many flip, their histograms before sign, their levels after."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from onebit.reports.figures.style import (
    INK,
    MINUS,
    MUTED,
    PLUS,
    STUDENT,
    epoch_axis,
    label,
    legend_below,
    marker,
    new_figure,
    plain,
    symmetric_ticks,
    tint,
)
from onebit.reports.records import Run

_FLOOR = 0.1  # percent: below it the flip axis is linear, so that a quiet epoch can be shown as zero
_TICKS = ((0, 0.1, 1, 10, 100), (0, 0.1, 0.3, 1, 3, 10, 30, 100), (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100))


def short_names(layers: list[str]) -> list[str]:
    """Layer paths without the components that all of them end in.

    >>> short_names(["stages.0.0.conv", "stages.0.1.conv"]), short_names(["conv"])
    (['stages.0.0', 'stages.0.1'], ['conv'])
    """
    paths = [layer.split(".") for layer in layers]
    while len(paths) > 1 and min(map(len, paths)) > 1 and len({path[-1] for path in paths}) == 1:
        paths = [path[:-1] for path in paths]
    return [".".join(path) for path in paths]


def flips(run: Run) -> Figure | None:
    """Share of binary weights that changed sign over each epoch: all together, and layer by layer."""
    total = 100 * run.series(lambda e: e.flips)
    layers = run.names(lambda e: e.flips_per_layer)
    per_layer = [100 * run.series(lambda e, layer=layer: e.flips_per_layer.get(layer)) for layer in layers]
    panels = [name for name, values in (("total", [total]), ("layers", per_layer)) if np.isfinite(values).any()]
    if not panels:
        return None
    heights = {"total": 1.9, "layers": max(1.0, 0.17 * len(layers))}
    ratios = [heights[panel] for panel in panels]
    figure, grid = new_figure(sum(ratios) + 0.8, len(panels), sharex=True, height_ratios=ratios)
    if "total" in panels:
        axes = grid[0, 0]
        axes.plot(run.numbers(), total, color=STUDENT, **marker(len(total)))
        low, high = float(np.nanmin(total)), float(np.nanmax(total))
        if high > 3 * low:
            axes.set_yscale("symlog", linthresh=_FLOOR, linscale=0.4)
            _flip_ticks(axes.yaxis, low, high)
        axes.set_ylim(bottom=0 if low < _FLOOR else None)
        axes.set_ylabel("all weights that flip (%)")
    if "layers" in panels:
        _flip_map(figure, grid[-1, 0], run, np.array(per_layer), short_names(layers))
    epoch_axis(grid[-1, 0], run.numbers())
    if "layers" in panels:
        first, last = run.numbers()[[0, -1]]
        grid[-1, 0].set_xlim(first - 0.5, last + 0.5)
    return figure


def _flip_ticks(axis: Axis, low: float, high: float) -> None:
    """As few round percentages as possible, but three, between ``low`` and ``high``."""
    inside = [[tick for tick in ticks if low <= tick <= high] for ticks in _TICKS]
    axis.set_major_locator(FixedLocator(next((ticks for ticks in inside if len(ticks) >= 3), inside[-1])))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))


def _flip_map(figure: Figure, axes: Axes, run: Run, values: np.ndarray, names: list[str]) -> None:
    numbers = run.numbers()
    full = np.full((len(values), int(numbers[-1] - numbers[0]) + 1), np.nan)
    full[:, numbers - numbers[0]] = values
    high = max(float(np.nanmax(values)), _FLOOR)
    image = axes.imshow(
        full,
        cmap=tint(STUDENT),
        norm=SymLogNorm(_FLOOR, linscale=0.4, vmin=0, vmax=high),
        aspect="auto",
        interpolation="none",
        extent=(numbers[0] - 0.5, numbers[-1] + 0.5, len(values) - 0.5, -0.5),
    )
    axes.grid(False)
    axes.set_yticks(range(len(names)), [label(name, 16) for name in names], fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("layer")
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=max(1.0, 0.17 * len(names)) / 0.13, label="flips (%)")
    bar.ax.spines["outline"].set_edgecolor(MUTED)
    _flip_ticks(bar.ax.yaxis, 0, high)


def histograms(run: Run) -> Figure | None:
    """Latent weights of every binary layer: what is left of zero becomes -1, the rest +1."""
    if not run.kernels:
        return None
    columns = min(3, len(run.kernels))
    rows = math.ceil(len(run.kernels) / columns)
    figure, grid = new_figure(0.55 + max(1.0 * rows, 1.5), rows, columns)
    names = short_names([kernel.layer for kernel in run.kernels])
    for axes in grid.flat[len(run.kernels) :]:
        axes.remove()
    for axes, kernel, name in zip(grid.flat, run.kernels, names, strict=False):
        centres = (kernel.edges[:-1] + kernel.edges[1:]) / 2
        share = kernel.counts / max(kernel.counts.sum(), 1)
        for chosen, colour in ((centres < 0, MINUS), (centres >= 0, PLUS)):
            axes.stairs(np.where(chosen, share, 0), kernel.edges, color=colour, fill=True)
        axes.axvline(0, color=INK, linewidth=0.7)
        axes.set_title(label(name, 20), fontsize=8, pad=3)
        axes.set_ylim(0, 1.08 * float(share.max()) or 1)
        axes.yaxis.set_major_locator(NullLocator())
        axes.spines["left"].set_visible(False)
        limit = float(np.abs(kernel.edges).max()) or 1.0
        axes.set_xlim(-limit, limit)
        symmetric_ticks(axes, limit)
        axes.tick_params(axis="x", labelsize=7.5, pad=2)
    figure.supxlabel("latent weight", fontsize=8.5)
    return figure


def levels(run: Run) -> Figure | None:
    """What ships: the values of every layer's scaled binary weights, and the share of each sign."""
    if not run.kernels:
        return None
    kernels = run.kernels
    rows = np.arange(len(kernels))
    figure, grid = new_figure(1.0 + max(0.8, 0.24 * len(kernels)), 1, 2, sharey=True, width_ratios=[3, 2])
    left, right = grid[0]
    limit = 1.1 * (max((np.abs(kernel.levels).max() for kernel in kernels if kernel.levels.size), default=0.0) or 1.0)
    for row, kernel in zip(rows, kernels, strict=True):
        for values, colour in ((kernel.levels[kernel.levels < 0], MINUS), (kernel.levels[kernel.levels >= 0], PLUS)):
            if len(kernel.levels) <= 4:
                left.plot(values, np.full(len(values), row), "o", color=colour, markersize=6)
            else:
                _strokes(left, row, values, limit, colour)
        if kernel.positive is not None and math.isfinite(kernel.positive):
            share = 100 * kernel.positive
            right.barh(row, 100 - share, color=MINUS, height=0.62)
            right.barh(row, share, left=100 - share, color=PLUS, height=0.62)
            right.text(104, row, f"{share:.1f}", va="center", fontsize=7.5, clip_on=False)
    left.axvline(0, color=INK, linewidth=0.7)
    names = short_names([kernel.layer for kernel in kernels])
    left.set_yticks(rows, [label(name, 16) for name in names], fontsize=7.5)
    left.set_ylim(len(kernels) - 0.4, -0.6)
    left.set_xlabel("value after sign and scale")
    left.set_xlim(-limit, limit)
    symmetric_ticks(left, limit)
    right.set_xlim(0, 122)
    right.axvline(50, color=INK, linewidth=0.7)
    right.set_xticks([0, 50, 100])
    right.set_xlabel("share of weights (%)")
    right.tick_params(axis="y", length=0)
    right.grid(False)
    legend_below(figure, [Patch(color=MINUS), Patch(color=PLUS)], ["−1", "+1 (its share in figures)"])
    return figure


def _strokes(axes: Axes, row: int, values: np.ndarray, limit: float, colour: str) -> None:
    """One upright stroke per value in a single path; strokes that would cover each other are drawn once."""
    distinct = np.unique(np.round(values / limit * 250)) * limit / 250
    x = np.repeat(distinct, 3)
    y = np.tile([row - 0.3, row + 0.3, np.nan], len(distinct))
    axes.plot(x, y, color=colour, linewidth=1.1)
