"""The ablation as a picture: every seed a dot, the mean a bar, and the paper's gains beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from onebit.reports.figures.style import INK, MUTED, STUDENT, TEACHER


def ablation_figure(
    ours: Mapping[str, Sequence[float]], paper: Mapping[str, float], teacher: float | None, label: str
) -> Figure:
    """Accuracy per column (left) and gain over Bi (right).

    Args:
        ours: column -> accuracies in percent, one per seed; paper: column -> printed accuracy, where there is one.
        teacher: the teacher's accuracy on the same images, drawn as a line; label: what was run, in one line.
    """
    columns = list(ours)
    means = {column: sum(values) / len(values) for column, values in ours.items()}
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    for x, column in enumerate(columns):
        left.plot([x - 0.28, x + 0.28], [means[column]] * 2, color=STUDENT, linewidth=2.5, solid_capstyle="round")
        left.plot([x] * len(ours[column]), ours[column], "o", color=INK, markersize=4, alpha=0.7)
    if teacher is not None:
        left.axhline(teacher, color=TEACHER, linewidth=1.2, linestyle="--")
        place = {"xy": (-0.5, teacher), "xytext": (0, 3), "textcoords": "offset points"}
        left.annotate("full-precision teacher", **place, color=TEACHER)
    left.set_ylabel("top-1 accuracy (%)")
    left.set_title("accuracy: a dot per seed, bar = mean", color=INK)
    shown = [column for column in columns if "Bi" in means and column != "Bi"]
    for x, column in enumerate(shown):
        base = sum(ours["Bi"]) / len(ours["Bi"])
        right.plot(
            [x - 0.12] * len(ours[column]), [v - base for v in ours[column]], "o", color=INK, markersize=4, alpha=0.7
        )
        right.plot(
            [x - 0.3, x + 0.06], [means[column] - base] * 2, color=STUDENT, linewidth=2.5, solid_capstyle="round"
        )
        if column in paper and "Bi" in paper:
            right.plot([x + 0.22], [paper[column] - paper["Bi"]], "D", color=TEACHER, markersize=5, fillstyle="none")
    right.axhline(0, color=MUTED, linewidth=0.8)
    right.set_ylabel("gain over Bi (points)")
    right.set_title("gain over Bi: ours, and the paper's (diamonds)", color=INK)
    for axes, names in ((left, columns), (right, shown)):
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.6, len(names) - 0.4)
    figure.supxlabel(label, fontsize=7.5, color=MUTED)
    return figure
