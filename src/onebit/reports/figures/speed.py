"""Times of engines as bars."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from onebit.reports.figures.style import INK, MUTED, STUDENT, TEACHER, label, new_figure


def bars(rows: Sequence[tuple[str, str, float, float, float, float]]) -> Figure:
    """A bar for every (engine, network, median, p10, p90, ratio); ours and other 1-bit networks stand out."""
    figure, grid = new_figure(0.75 + 0.36 * len(rows))
    axes = grid[0, 0]
    for place, (engine, network, median, p10, p90, ratio) in enumerate(rows):
        is_ours = engine.startswith("onebit")
        colour = STUDENT if is_ours else TEACHER if network.endswith("1-bit") else MUTED
        axes.barh(place, median, 0.62, color=colour)
        axes.plot([p10, p90], [place, place], color=INK, linewidth=1, solid_capstyle="butt")
        text = f"{median:.3g} ms" + (f"   {ratio:.1f}x" if place else "")
        axes.annotate(text, (max(median, p90), place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [f"{label(row[0], 28)}\n{label(row[1], 30)}" for row in rows])
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.42 * max(max(row[2], row[4]) for row in rows))
    axes.set_xlabel("milliseconds an image")
    return figure
