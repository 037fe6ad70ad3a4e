"""The report's figures in words: headline names, tiles, and the tables of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from onebit.reports.records import Epoch, Run
from onebit.reports.table import Column, Table
from onebit.reports.values import clean


@dataclass(frozen=True)
class Accuracy:
    """The accuracy to quote for a run: ``top1`` in percent, on the images of ``split``, and in what state."""

    top1: float
    split: str
    detail: str


@dataclass(frozen=True)
class Tile:
    """One key figure: what it is, its value, a line of detail, and whose it is (student, teacher or nobody's)."""

    name: str
    value: str
    detail: str = ""
    owner: str = ""


def accuracies(run: Run) -> tuple[Accuracy | None, Accuracy | None]:
    """The accuracies to quote for a run and for its teacher, on the same images where both are known there.

    That is the evaluation of the final weights; before there is one, the hold-out images after the last epoch.
    """
    evaluated = partial(_evaluation, counted=counts(run))
    first, second = (_held_out, evaluated) if (own := evaluated(run)) is None else (evaluated, _held_out)
    teacher = None if run.teacher is None else first(run.teacher) or second(run.teacher)
    return own or _held_out(run), teacher


def _evaluation(run: Run, counted: str) -> Accuracy | None:
    evaluation = run.evaluation
    if evaluation is None or evaluation.scores.top1 is None:
        return None
    split = evaluation.split or "evaluation"
    return Accuracy(evaluation.scores.top1, split, f"{split}, {evaluation.n:,} {counted}" if evaluation.n else split)


def _held_out(run: Run) -> Accuracy | None:
    if run.evaluation is not None and run.evaluation.holdout.top1 is not None:
        return Accuracy(run.evaluation.holdout.top1, "hold-out", "hold-out")
    for epoch in reversed(run.epochs):
        if epoch.holdout.top1 is not None:
            return Accuracy(epoch.holdout.top1, "hold-out", f"hold-out, after epoch {epoch.number}")
    return None


def subject(run: Run) -> dict[str, str]:
    """What was trained on what: ``method``, ``model``, ``data``, ``seed`` and ``recipe``, as far as the run says so."""
    places = {
        "method": ("method", "name"),
        "model": ("model", "name"),
        "data": ("data", "dataset"),
        "seed": ("training", "seed"),
        "recipe": ("name",),
    }
    found = {what: value for what, path in places.items() if (value := _look_up(run.recipe, path)) is not None}
    if found.get("data") == "hub":
        found["data"] = _look_up(run.recipe, ("data", "hub")) or "hub"
    if run.evaluation is not None and run.evaluation.dataset:
        found.setdefault("data", run.evaluation.dataset)
    return found


def counts(run: Run) -> str:
    """What a run's accuracies are shares of: images, or the pairs of them that a tracker is trained on."""
    return "pairs" if subject(run).get("data") == "pairs" else "images"


def _look_up(recipe: dict[str, Any], path: tuple[str, ...]) -> str | None:
    value: object = recipe
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return clean(value) if isinstance(value, (str, int)) and value != "" else None


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(4.21), duration(95), duration(3720), duration(200000)
    ('4.2 s', '1 min 35 s', '1 h 2 min', '2 d 7 h')
    """
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds) if seconds < 600 else 60 * round(seconds / 60)
    for size, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def tiles(run: Run) -> list[Tile]:
    """The key figures, as far as they are known."""
    own, teacher = accuracies(run)
    name = "Teacher" if run.role == "teacher" else "Student"
    result = []
    if teacher is not None:
        result.append(Tile("Teacher top-1", f"{teacher.top1:.2f} %", teacher.detail, "teacher"))
    if own is not None:
        result.append(Tile(f"{name} top-1", f"{own.top1:.2f} %", own.detail, name.lower()))
    if own is not None and teacher is not None and own.split == teacher.split:
        result.append(Tile("Student − teacher", _with_sign(f"{own.top1 - teacher.top1:.2f}"), "percentage points"))
    if run.binary_share is not None and run.binary_parameters:
        detail = f"{run.binary_parameters:,} of {run.parameters:,}"
        result.append(Tile("1-bit weights", f"{100 * run.binary_share:.1f} %", detail))
    if run.seconds is not None and math.isfinite(run.seconds):
        per_epoch = f"{duration(run.seconds / len(run.epochs))} per epoch" if run.epochs else ""
        result.append(Tile("Training time", duration(run.seconds), per_epoch))
    return result


def comparison(run: Run) -> Table:
    """Teacher and student side by side."""
    runs = [part for part in (run.teacher, run) if part is not None]
    names = ["Teacher" if part.role == "teacher" else "Student" for part in runs]
    split = run.evaluation.split if run.evaluation is not None and run.evaluation.split else "evaluation"
    lines = []
    for name, show, value in _COMPARED:
        values = [value(part) for part in runs]
        known = [v for v in values if v is not None and math.isfinite(v)]
        if not known:
            continue
        line = [name.format(split=split), *(show(v) if v is not None and math.isfinite(v) else "" for v in values)]
        if len(runs) == 2:
            compared = name.endswith(("(%)", "loss")) and len(known) == 2
            line.append(_with_sign(show(known[-1] - known[0])) if compared else "")
        lines.append(line)
    heads = [*names, "Difference"] if len(runs) == 2 else names
    return Table("", ["", *(Column(head, align="right") for head in heads)], lines)


def _evaluated(kind: str) -> Callable[[Run], float | None]:
    return lambda run: None if run.evaluation is None else getattr(run.evaluation.scores, kind)


def _rate(run: Run) -> float | None:
    known = [e.images_per_second for e in run.epochs if e.images_per_second is not None]
    return float(np.median(known)) if known else None


# name, how its number is written, where it comes from
_COMPARED: tuple[tuple[str, Callable[[float], str], Callable[[Run], float | None]], ...] = (
    ("{split} top-1 (%)", "{:.2f}".format, _evaluated("top1")),
    ("{split} top-5 (%)", "{:.2f}".format, _evaluated("top5")),
    ("{split} loss", "{:.4f}".format, _evaluated("loss")),
    ("hold-out top-1 (%)", "{:.2f}".format, lambda run: run.evaluation.holdout.top1 if run.evaluation else None),
    ("best hold-out top-1 (%)", "{:.2f}".format, lambda run: None if run.best is None else run.best.holdout.top1),
    ("best epoch", "{:.0f}".format, lambda run: None if run.best is None else run.best.number),
    ("parameters", "{:,.0f}".format, lambda run: run.parameters),
    ("of these 1-bit", "{:,.0f}".format, lambda run: run.binary_parameters),
    ("epochs", "{:.0f}".format, lambda run: len(run.epochs) or None),
    ("images/s in training", "{:,.0f}".format, _rate),
    ("training time", duration, lambda run: run.seconds),
)


def _with_sign(number: str) -> str:
    if float(number) == 0:
        return number.lstrip("-")
    return number.replace("-", "−") if number.startswith("-") else f"+{number}"


def epoch_table(run: Run) -> Table:
    """All figures of every epoch; columns without any are left out."""
    columns = [
        Column("epoch", "d"),
        Column("train loss", ".4f"),
        Column("train top‑1 (%)", ".2f"),
        Column("hold‑out loss", ".4f"),
        Column("hold‑out top‑1 (%)", ".2f"),
        Column("hold‑out top‑5 (%)", ".2f"),
        Column("before refresh (%)", ".2f"),
        Column("flips (%)", ".2f"),
        Column("accuracy of D (%)", ".1f"),
        Column("adversarial weight", ".3g"),
        Column("gradient ratio", ".3g"),
        Column("mean of C", ".4g"),
        Column("learning rate", ".3g"),
        Column("seconds", ".1f"),
        Column("images/s", ",.0f"),
    ]
    return Table("", columns, [_epoch_row(epoch) for epoch in run.epochs]).without_empty_columns()


def _epoch_row(epoch: Epoch) -> list[object]:
    judged = [d.accuracy for d in epoch.discriminators.values() if d.accuracy is not None]
    return [
        epoch.number,
        epoch.train.loss,
        epoch.train.top1,
        epoch.holdout.loss,
        epoch.holdout.top1,
        epoch.holdout.top5,
        epoch.before_refresh.top1,
        None if epoch.flips is None else 100 * epoch.flips,
        100 * sum(judged) / len(judged) if judged else None,
        epoch.adversarial_weight,
        epoch.gradient_ratio,
        epoch.matrix.mean,
        epoch.rates.get("binary", next(iter(epoch.rates.values()), None)),
        epoch.seconds,
        epoch.images_per_second,
    ]


def confused_pairs(run: Run, most: int = 10) -> Table | None:
    """The mistakes made most often: true class, answer, how many images, and which share of the true class."""
    evaluation = run.evaluation
    if evaluation is None or evaluation.confusion is None:
        return None
    counts = evaluation.confusion
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    rows = [
        (
            evaluation.class_name(int(t)),
            evaluation.class_name(int(p)),
            int(wrong[t, p]),
            100 * wrong[t, p] / counts[t].sum(),
        )
        for t, p in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[t, p] > 0
    ]
    columns = ["true class", "taken for", Column("images", ",d"), Column("of the class (%)", ".1f")]
    return Table("", columns, rows) if rows else None
