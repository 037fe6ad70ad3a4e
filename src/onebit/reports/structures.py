"""Structures at equal cost: the table, the figures with what they stand on, and the picture of accuracy against N2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onebit.reports.origin import ORIGIN, origin
from onebit.reports.reproduction import Reproduction
from onebit.reports.summary_stats import spread
from onebit.reports.table import Column, Table

if TYPE_CHECKING:
    from onebit.training.recipe import Recipe
    from onebit.training.structures import StructureResult


def structures_table(recipe: Recipe, results: Sequence[StructureResult]) -> Table:
    """One line per structure and method: width, cost, the first stage's N1..N3, accuracy with spread."""
    rows = []
    for result in results:
        fitted, costs = result.fitted, [*result.paths.costs, None, None, None][:3]
        rows.append(
            [
                result.structure.label,
                result.method,
                fitted.width,
                fitted.storage_bits / 1e6,
                fitted.computation / 1e6,
                *(None if cost is None else cost / 1e6 for cost in costs),
                spread([run.top1 for run in result.runs]),
                spread([run.test_top1 for run in result.runs]),
            ]
        )
    split, n = (results[0].runs[0].split, results[0].runs[0].n) if results else ("test", 0)
    budget = results[0].fitted if results else None
    notes = [
        f"{_data_and_epochs(recipe)}, {recipe.optimizer.name} at {recipe.optimizer.lr:g}, "
        f"{recipe.schedule.name} schedule; mean ± sample standard deviation of the last epoch on the {split} split ({n} images).",
        "Width: the largest (first stage's channels, or a dense network's growth) whose storage and computation both stay "
        f"within those of {recipe.model.name} {'-'.join(map(str, recipe.model.widths))}"
        + (
            f": {budget.budget_storage_bits / 1e6:.3f} Mbit, {budget.budget_computation / 1e6:.3f} million."
            if budget
            else "."
        ),
        "N1, N2, N3: the cheapest gradient paths through the first stage, millions of multiplications.",
    ]
    headings = [
        Column("structure"),
        Column("method"),
        Column("width"),
        Column("storage (Mbit)", ".3f"),
        Column("computation (1e6)", ".3f"),
        Column("N1", ".2f"),
        Column("N2", ".2f"),
        Column("N3", ".2f"),
        Column(f"{split} top-1 (%)", ".2f"),
        Column("test top-1 (%)", ".2f"),
    ]
    return Table("Structures at equal cost", headings, rows, notes)


def structures_results(recipe: Recipe, results: Sequence[StructureResult]) -> Table:
    """The figures with what they stand on: data, schedule, seeds, mean, spread, hardware, code."""
    rows = []
    for result in results:
        own, test = spread([run.top1 for run in result.runs]), spread([run.test_top1 for run in result.runs])
        assert own is not None
        assert test is not None
        fitted = result.fitted
        rows.append(
            [
                recipe.name,
                result.structure.label,
                result.method,
                fitted.model,
                " ".join(f"{k}={v}".replace(" ", "") for k, v in fitted.options.items()),
                fitted.storage_bits,
                fitted.computation,
                *[*result.paths.costs, None, None, None][:3],
                *[*result.paths.lengths, None, None, None][:3],
                recipe.data.dataset,
                recipe.data.limit or "all",
                f"{result.runs[0].split} ({result.runs[0].n} images)",
                recipe.training.epochs,
                recipe.training.precision,
                " ".join(str(run.seed) for run in result.runs),
                own.n,
                own.mean,
                own.std,
                " ".join(f"{run.top1:.2f}" for run in result.runs),
                test.mean,
                test.std,
                sum(run.seconds for run in result.runs) / len(result.runs),
                *origin(run.folder for run in result.runs),
            ]
        )
    names = "recipe structure method model options storage_bits computation N1 N2 N3 L1 L2 L3 data train_images split epochs "
    names += "precision seeds n mean_top1 std_top1 top1_per_seed mean_test_top1 std_test_top1 seconds_per_run"
    return Table(f"{recipe.name}: results", [*names.split(), *ORIGIN], rows)


def compared_structures(recipe: Recipe, results: Sequence[StructureResult]) -> Reproduction:
    """The comparison as table, results file and picture, see :func:`onebit.training.structures.run_structures`."""
    table, figures = structures_table(recipe, results), structures_results(recipe, results)
    return Reproduction(
        "structures", table, results=figures, draw=lambda kind: structures_drawing(recipe, results, kind)
    )


def structures_drawing(recipe: Recipe, results: Sequence[StructureResult], kind: str) -> bytes:
    """Accuracy against N2 at equal cost, as the bytes of an SVG or PNG file."""
    from onebit.reports.figures.structures import structures_figure
    from onebit.reports.figures.style import figure_bytes, styled

    points = [
        (result.structure.label, result.method, result.paths.costs[1] / 1e6, [run.top1 for run in result.runs])
        for result in results
        if len(result.paths.costs) > 1
    ]
    split = results[0].runs[0].split if results else "test"
    label = (
        f"{_data_and_epochs(recipe)}; "
        f"none exceeds the storage and computation of {recipe.model.name} {'-'.join(map(str, recipe.model.widths))}"
    )
    with styled():
        return figure_bytes(structures_figure(points, f"{split} top-1 accuracy (%)", label), kind)


def _data_and_epochs(recipe: Recipe) -> str:
    epochs = recipe.training.epochs
    images = f"{recipe.data.limit:,}" if recipe.data.limit else "all"
    return f"{recipe.data.dataset}, {images} training images, {epochs} epoch{'' if epochs == 1 else 's'}"
