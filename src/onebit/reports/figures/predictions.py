"""Figures of what the network answers: confusion matrix and example images."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from onebit.reports.figures.style import INK, MUTED, RIGHT, WRONG, label, new_figure, tint
from onebit.reports.records import Evaluation, Run

_NUMBERED = 12  # classes up to which every cell can hold its number in readable type
_NAMED = 24  # classes up to which every row and column can carry its name
_PER_FIGURE = 12
_LARGEST_SIDE = 192  # pixels; larger examples are reduced


def confusion(run: Run) -> Figure | None:
    """Rows are true classes, columns predicted ones; every row adds up to 100 %."""
    evaluation = run.evaluation
    if evaluation is None or evaluation.confusion is None:
        return None
    counts = evaluation.confusion
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, grid = new_figure(4.3)
    axes = grid[0, 0]
    image = axes.imshow(share, cmap=tint("#2a7fc0"), norm=PowerNorm(0.4, 0, 100), interpolation="none", aspect="equal")
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(MUTED)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    _class_ticks(axes, evaluation, len(counts))
    if len(counts) <= _NUMBERED:
        size = 7.5 if len(counts) <= 10 else 6.5
        for row, column in np.argwhere(share >= 1):
            value = share[row, column]
            colour = "#ffffff" if value > 40 else INK
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=size, color=colour)
    else:
        bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02, aspect=24, label="share of the true class (%)")
        bar.set_ticks([0, 1, 5, 20, 50, 100])
        bar.ax.spines["outline"].set_edgecolor(MUTED)
        bar.ax.minorticks_off()
    return figure


def _class_ticks(axes: Axes, evaluation: Evaluation, count: int) -> None:
    if count > _NAMED:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        return
    names = [label(evaluation.class_name(i), 12) for i in range(count)]
    short = max(map(len, names)) <= 2
    axes.set_xticks(range(count), names, fontsize=7.5, rotation=0 if short else 90)
    axes.set_yticks(range(count), names, fontsize=7.5)
    axes.tick_params(length=0)


def right_examples(run: Run) -> Figure | None:
    """Images that were classified correctly, with class and probability."""
    return _examples(run, right=True)


def wrong_examples(run: Run) -> Figure | None:
    """Images that were misclassified: true class above, answer and its probability below."""
    return _examples(run, right=False)


def _examples(run: Run, *, right: bool) -> Figure | None:
    examples = run.examples
    if examples is None:
        return None
    chosen = np.flatnonzero((examples.labels == examples.predictions) == right)[:_PER_FIGURE]
    if not len(chosen):
        return None
    columns, colour, mark = 4, RIGHT if right else WRONG, "✓" if right else "✗"
    rows = -(-len(chosen) // columns)
    figure, grid = new_figure((1.42 if right else 1.6) * rows, rows, columns)
    names = run.evaluation or Evaluation()
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for axes, index in zip(grid.flat, chosen, strict=False):
        axes.imshow(_reduced(examples.images[index]), cmap="gray", vmin=0, vmax=255, interpolation="none")
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(colour)
        axes.spines[:].set_linewidth(2)
        truth, answer = names.class_name(examples.labels[index]), names.class_name(examples.predictions[index])
        probability = examples.probabilities[index]
        sure = f"\n{100 * probability:.0f} %" if np.isfinite(probability) else ""
        if not right:
            axes.set_title(label(truth, 14), fontsize=8, pad=4)
        axes.set_xlabel(f"{mark} {label(answer, 13)}{sure}", fontsize=8, color=colour, labelpad=3)
    return figure


def _reduced(image: np.ndarray) -> np.ndarray:
    if max(image.shape[:2]) <= _LARGEST_SIDE:
        return image
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    return np.asarray(picture)
