"""The table of `onebit reproduce rbcn-ablation`: the paper's numbers beside ours, with spread and what was really run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onebit.reports.origin import ORIGIN, origin
from onebit.reports.paper import paper_numbers
from onebit.reports.summary_stats import spread
from onebit.reports.table import Column, Table

if TYPE_CHECKING:
    from onebit.training.ablation import AblationRun
    from onebit.training.recipe import Recipe


def ablation_drawing(recipe: Recipe, runs: Sequence[AblationRun], kind: str) -> bytes:
    """The same as a picture: a file's bytes, ``kind`` is "svg" or "png"."""
    from onebit.reports.figures.ablation import ablation_figure
    from onebit.reports.figures.style import figure_bytes, styled

    widths = "-".join(map(str, recipe.model.widths))
    ours: dict[str, list[float]] = {}
    for run in runs:
        ours.setdefault(run.column, []).append(run.top1)
    paper = {column: value for (row, column), value in paper_numbers("rbcn-ablation").values.items() if row == widths}
    teachers = [run.teacher_top1 for run in runs if run.teacher_top1 is not None]
    label = (
        f"ours: {recipe.model.name} {widths}, {recipe.data.dataset}, {recipe.training.epochs} epochs, "
        f"{runs[0].n if runs else 0} {runs[0].split if runs else 'test'} images; paper: CIFAR-100, 200 epochs"
    )
    with styled():
        return figure_bytes(ablation_figure(ours, paper, teachers[0] if teachers else None, label), kind)


def ablation_table(recipe: Recipe, runs: Sequence[AblationRun]) -> Table:
    """One line per column of the ablation: paper, ours, gains over Bi, seeds, minutes.

    The paper's numbers are for CIFAR-100 and 200 epochs; they stand in the line whatever was run, and the notes say what was.
    Where the paper has no number (other widths, XNOR) its cell is empty.
    """
    paper = paper_numbers("rbcn-ablation")
    widths = "-".join(map(str, recipe.model.widths))
    columns = list(dict.fromkeys(run.column for run in runs))
    ours = {column: spread([run.top1 for run in runs if run.column == column]) for column in columns}
    base = ours.get("Bi")
    printed_base = paper.values.get((widths, "Bi"))
    rows = []
    for column in columns:
        printed, own = paper.values.get((widths, column)), ours[column]
        gain = None if printed is None or printed_base is None or column == "Bi" else printed - printed_base
        own_gain = None if own is None or base is None or column == "Bi" else own.mean - base.mean
        test = spread([run.test_top1 for run in runs if run.column == column])
        minutes = sum(run.seconds for run in runs if run.column == column) / 60
        rows.append([column, printed, gain, own, own_gain, test, minutes])
    split = runs[0].split if runs else "test"
    teachers = {round(run.teacher_top1, 2) for run in runs if run.teacher_top1 is not None}
    notes = [
        f"Ours: {recipe.model.name} {widths or '(own widths)'} on {recipe.data.dataset}, {recipe.training.epochs} epochs, "
        f"{recipe.optimizer.name} at {recipe.optimizer.lr:g}, {recipe.schedule.name} schedule; mean ± sample standard "
        f"deviation of the last epoch on the {split} split ({runs[0].n if runs else 0} images).",
        f"Paper: {paper.source}.",
        *paper.notes,
    ]
    if teachers:
        notes.insert(1, f"Teacher on the same split: {', '.join(map(str, sorted(teachers)))} %.")
    headings = [
        Column("network"),
        Column("paper (top-1 %)", ".2f"),
        Column("paper, gain over Bi", "+.2f"),
        Column(f"ours, {split} (top-1 %)", ".2f"),
        Column("ours, gain over Bi", "+.2f"),
        Column("ours, test (top-1 %)", ".2f"),
        Column("minutes in all", ".1f"),
    ]
    return Table(f"RBCN ablation, {recipe.model.name} {widths}", headings, rows, notes)


def ablation_results(recipe: Recipe, runs: Sequence[AblationRun]) -> Table:
    """The figures with what they stand on, one line per column: data, schedule, seeds, mean, spread, hardware, code."""
    rows = []
    for column in dict.fromkeys(run.column for run in runs):
        members = [run for run in runs if run.column == column]
        own, test = spread([run.top1 for run in members]), spread([run.test_top1 for run in members])
        assert own is not None
        assert test is not None
        rows.append(
            [
                recipe.name,
                column,
                f"{recipe.model.name} {'-'.join(map(str, recipe.model.widths))}".strip(),
                recipe.data.dataset,
                f"{members[0].split} ({members[0].n} images)",
                recipe.training.epochs,
                recipe.training.precision,
                " ".join(str(run.seed) for run in members),
                own.n,
                own.mean,
                own.std,
                " ".join(f"{run.top1:.2f}" for run in members),
                test.mean,
                test.std,
                members[0].teacher_top1,
                sum(run.seconds for run in members) / len(members),
                *origin(run.folder for run in members),
            ]
        )
    names = "recipe column model data split epochs precision seeds n mean_top1 std_top1 top1_per_seed"
    names += " mean_test_top1 std_test_top1 teacher_top1 seconds_per_run"
    return Table(f"{recipe.name}: results", [*names.split(), *ORIGIN], rows)
