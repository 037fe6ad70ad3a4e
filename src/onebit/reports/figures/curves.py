"""Curves over epochs: loss, accuracy, learning rates, terms, adversarial training, discriminators, matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from onebit.reports.figures.style import (
    CATEGORIES,
    INK,
    MUTED,
    STUDENT,
    TEACHER,
    epoch_axis,
    label,
    legend_below,
    log_axis,
    marker,
    new_figure,
    ramp,
)
from onebit.reports.records import Epoch, Run

_MANY = 6  # more discriminators than this are told apart by their order, not one by one


def runs_of(run: Run) -> list[tuple[Run, str, str]]:
    """The runs whose curves there are, the teacher first: (run, its name, its colour)."""
    own = (run, "teacher", TEACHER) if run.role == "teacher" else (run, "student", STUDENT)
    parts = [own] if run.teacher is None else [(run.teacher, "teacher", TEACHER), own]
    return [part for part in parts if part[0].epochs]


def loss(run: Run) -> Figure | None:
    """Training and hold-out loss of teacher and student."""
    lines = []
    for part, name, colour in runs_of(run):
        lines.append((part, f"{name}, training", colour, "--", part.series(lambda e: e.train.loss)))
        lines.append((part, f"{name}, hold-out", colour, "-", part.series(lambda e: e.holdout.loss)))
    return _compare(lines, "loss", log=True)


def accuracy(run: Run) -> Figure | None:
    """Top-1 of teacher and student on training and hold-out images; before each refresh as open circles."""
    lines = []
    for part, name, colour in runs_of(run):
        lines.append((part, f"{name}, training", colour, "--", part.series(lambda e: e.train.top1)))
        lines.append((part, f"{name}, hold-out", colour, "-", part.series(lambda e: e.holdout.top1)))
    before = run.series(lambda e: e.before_refresh.top1)
    teacher = run.teacher
    level = None
    if teacher is not None and not teacher.epochs and teacher.evaluation is not None and teacher.evaluation.scores.top1:
        level = (f"teacher, {label(teacher.evaluation.split or 'evaluation')}", teacher.evaluation.scores.top1)
    circles = (run, before) if np.isfinite(before).any() else None
    return _compare(lines, "top-1 accuracy (%)", circles=circles, level=level)


def _compare(
    lines: list[tuple[Run, str, str, str, np.ndarray]],
    y_label: str,
    *,
    log: bool = False,
    circles: tuple[Run, np.ndarray] | None = None,
    level: tuple[str, float] | None = None,
) -> Figure | None:
    lines = [line for line in lines if np.isfinite(line[4]).any()]
    if not lines:
        return None
    figure, grid = new_figure(3.3)
    axes = grid[0, 0]
    handles: dict[str, Line2D] = {}
    for part, name, colour, dash, values in lines:
        width = 1.2 if dash == "--" else 1.7
        points = marker(len(values), dash == "--")
        (handles[name],) = axes.plot(part.numbers(), values, color=colour, linestyle=dash, linewidth=width, **points)
    if level is not None:  # a teacher that was loaded has no curve of its own
        handles[level[0]] = axes.axhline(level[1], color=TEACHER, linewidth=1.2, linestyle=":")
    if circles is not None:
        part, values = circles
        size = 4.5 if len(values) <= 60 else 2.5
        (handles["before batch-norm refresh"],) = axes.plot(
            part.numbers(),
            values,
            "o",
            color=INK,
            markerfacecolor="none",
            markeredgewidth=0.9,
            markersize=size,
            zorder=3,
        )
    if log:
        log_axis(axes, np.concatenate([line[4] for line in lines]))
    axes.set_ylabel(y_label)
    epoch_axis(axes, np.concatenate([line[0].numbers() for line in lines]))
    legend_below(figure, list(handles.values()), list(handles))
    return figure


def rates(run: Run) -> Figure | None:
    """Learning rate of every group of parameters."""
    return _named(
        run,
        lambda e: e.rates,
        "learning rate",
        names={"matrix": "matrix C"},
    )


def terms(run: Run) -> Figure | None:
    """The parts of the training loss."""
    return _named(run, lambda e: e.terms, "part of the training loss")


def _named(
    run: Run, value: Callable[[Epoch], dict[str, float]], y_label: str, *, names: dict[str, str] | None = None
) -> Figure | None:
    keys = run.names(value)
    curves = {key: run.series(lambda epoch, key=key: value(epoch).get(key)) for key in keys}
    curves = {key: _positive(curve) for key, curve in curves.items()}
    curves = {key: curve for key, curve in curves.items() if np.isfinite(curve).any()}
    if not curves:
        return None
    titles: dict[bytes, str] = {}  # curves that coincide are drawn once, under all their names
    for key, curve in curves.items():
        name = (names or {}).get(key, key)
        titles[curve.tobytes()] = f"{titles[curve.tobytes()]}, {name}" if curve.tobytes() in titles else name
    figure, grid = new_figure(3.0)
    axes = grid[0, 0]
    handles = [
        axes.plot(
            run.numbers(), np.frombuffer(curve), color=CATEGORIES[i % len(CATEGORIES)], **marker(len(run.epochs))
        )[0]
        for i, curve in enumerate(titles)
    ]
    log_axis(axes, np.concatenate(list(curves.values())))
    axes.set_ylabel(y_label)
    epoch_axis(axes, run.numbers())
    legend_below(figure, handles, [label(title, 36) for title in titles.values()])
    return figure


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def adversarial(run: Run) -> Figure | None:
    """Weight of the adversarial term and the size of its gradient beside that of the task loss."""
    panels = [
        ("adversarial weight", run.series(lambda e: e.adversarial_weight), False),
        ("gradient ratio\n(adversarial / task)", _positive(run.series(lambda e: e.gradient_ratio)), True),
    ]
    return _stack(run, panels, STUDENT)


def matrix(run: Run) -> Figure | None:
    """The learnable matrices C: mean and least entry, and the share of negative entries."""
    if not any(np.isfinite(run.series(value)).any() for value in (lambda e: e.matrix.mean, lambda e: e.matrix.min)):
        return None
    negative = 100 * run.series(lambda e: e.matrix.negative_share)
    shown = bool((negative > 0).any())
    figure, grid = new_figure(3.6 if shown else 2.8, 1 + shown, sharex=True, height_ratios=[3, 1.4] if shown else [1])
    axes = grid[0, 0]
    axes.axhline(0, color=MUTED, linewidth=0.8)
    handles = {}
    for name, dash, value in (
        ("mean of C", "-", lambda e: e.matrix.mean),
        ("least entry of C", "--", lambda e: e.matrix.min),
    ):
        curve = run.series(value)
        if np.isfinite(curve).any():
            (handles[name],) = axes.plot(
                run.numbers(), curve, color=STUDENT, linestyle=dash, **marker(len(curve), dash == "--")
            )
    axes.set_ylabel("entries of C")
    if shown:
        grid[1, 0].plot(run.numbers(), negative, color=STUDENT, **marker(len(negative)))
        grid[1, 0].set_ylabel("negative (%)")
        grid[1, 0].set_ylim(0, max(1.0, 1.1 * float(np.nanmax(negative))))
    epoch_axis(grid[-1, 0], run.numbers())
    legend_below(figure, list(handles.values()), list(handles))
    return figure


def _stack(run: Run, panels: list[tuple[str, np.ndarray, bool]], colour: str) -> Figure | None:
    panels = [panel for panel in panels if np.isfinite(panel[1]).any()]
    if not panels:
        return None
    figure, grid = new_figure(1.2 + 1.2 * len(panels), len(panels), sharex=True)
    for axes, (name, values, log) in zip(grid[:, 0], panels, strict=True):
        axes.plot(run.numbers(), values, color=colour, **marker(len(values)))
        axes.set_ylabel(name)
        if log:
            log_axis(axes, values)
        else:
            axes.set_ylim(0, 1.15 * float(np.nanmax(values)) or 1)
    epoch_axis(grid[-1, 0], run.numbers())
    return figure


def discriminators(run: Run) -> Figure | None:
    """Accuracy of every discriminator, and its mean outputs for the teacher's (real) and the student's (fake) maps."""
    names = run.names(lambda e: e.discriminators)

    def curves(field: str) -> list[np.ndarray]:
        return [run.series(lambda e, name=name: getattr(e.discriminators.get(name), field, None)) for name in names]

    right, real, fake = ([100 * v for v in curves("accuracy")], curves("real"), curves("fake"))
    panels = [(draw, y) for draw, y in ((_accuracies, [right]), (_outputs, [real, fake])) if np.isfinite(y).any()]
    if not names or not panels:
        return None
    many = len(names) > _MANY
    figure, grid = new_figure(1.1 + 1.6 * len(panels), len(panels), sharex=True)
    colours = ramp(len(names))
    for axes, (draw, values) in zip(grid[:, 0], panels, strict=True):
        draw(axes, run.numbers(), values, colours, 1.0 if many else 1.6)
    epoch_axis(grid[-1, 0], run.numbers())
    shown = [0, len(names) // 2, len(names) - 1] if many else range(len(names))
    handles = [Line2D([], [], color=colours[i], linewidth=2) for i in shown]
    titles = [label(names[i]) for i in shown]
    if panels[-1][0] is _outputs:
        handles += [Line2D([], [], color=INK, linestyle=dash, linewidth=1.2) for dash in ("-", "--")]
        titles += ["D(real)", "D(fake)"]
    legend_below(figure, handles, titles)
    return figure


def _accuracies(
    axes: Axes, epochs: np.ndarray, values: list[list[np.ndarray]], colours: list[str], width: float
) -> None:
    axes.axhline(50, color=MUTED, linewidth=0.9, linestyle=":")
    for curve, colour in zip(values[0], colours, strict=True):
        axes.plot(epochs, curve, color=colour, linewidth=width, markersize=3, **marker(len(epochs)))
    axes.set_ylim(min(45.0, float(np.nanmin(values)) - 3), 103)
    axes.set_ylabel("accuracy of D (%)")


def _outputs(axes: Axes, epochs: np.ndarray, values: list[list[np.ndarray]], colours: list[str], width: float) -> None:
    axes.axhline(0.5, color=MUTED, linewidth=0.9, linestyle=":")
    for curves, dash in zip(values, ("-", "--"), strict=True):
        for curve, colour in zip(curves, colours, strict=True):
            points = marker(len(epochs), dash == "--")
            axes.plot(epochs, curve, color=colour, linewidth=width, linestyle=dash, markersize=3, **points)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("mean output of D")
