"""The RBCN ablation: Bi, R, R+G, R+G+B (and XNOR) over seeds, beside one teacher; what is missing is run, the rest read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onebit.errors import CheckpointError, UsageError, unknown_name
from onebit.training.checkpoints import resume_check
from onebit.training.recipe import MethodConfig, Recipe
from onebit.training.recipe_files import load_recipe, recipe_to_dict
from onebit.training.run import train
from onebit.training.teacher import teacher_recipe

Change = Callable[[Recipe], None]


def _without_guidance(recipe: Recipe) -> None:
    recipe.adversarial.enabled = False
    recipe.refresh.enabled = False


def _bi(recipe: Recipe) -> None:
    _without_guidance(recipe)
    shared = {k: v for k, v in recipe.method.options.items() if k in ("estimator", "scale_grad", "init", "init_scale")}
    recipe.method = MethodConfig("bireal", shared)


def _xnor(recipe: Recipe) -> None:
    _without_guidance(recipe)
    shared = {k: v for k, v in recipe.method.options.items() if k in ("init", "init_scale")}
    recipe.method = MethodConfig("xnor", shared)


def _rectified(adversarial: bool, refresh: bool) -> Change:
    def change(recipe: Recipe) -> None:
        if recipe.method.name != "rbcn":
            raise UsageError(
                f'the ablation starts from a recipe with method "rbcn", this one has {recipe.method.name!r}'
            )
        recipe.adversarial.enabled, recipe.refresh.enabled = adversarial, refresh

    return change


#: what each column of the ablation switches on, as a change of the full recipe
COLUMNS: dict[str, Change] = {
    "XNOR": _xnor,
    "Bi": _bi,
    "R": _rectified(False, False),
    "R+G": _rectified(True, False),
    "R+G+B": _rectified(True, True),
}


@dataclass(frozen=True)
class AblationRun:
    """One finished run: its column, its seed, accuracies in percent, and how long it took."""

    column: str
    seed: int
    split: str
    n: int
    top1: float
    test_top1: float
    seconds: float
    teacher_top1: float | None
    folder: Path


def column_recipe(recipe: Recipe, column: str, seed: int) -> Recipe:
    """The recipe of one column and seed.

    Raises:
        UsageError: for an unknown column (the nearest is named).
    """
    if column not in COLUMNS:
        raise unknown_name("column", column, COLUMNS)
    changed = copy.deepcopy(recipe)
    COLUMNS[column](changed)
    changed.name = f"{recipe.name}-{column.lower().replace('+', '')}-seed{seed}"
    changed.training.seed = seed
    return changed


def run_ablation(
    recipe: Recipe,
    folder: str | Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    columns: Sequence[str] = ("Bi", "R", "R+G", "R+G+B"),
    data_dir: str | Path | None = None,
    download: bool = False,
    quiet: bool = False,
) -> list[AblationRun]:
    """Run every column for every seed, skipping finished runs and resuming broken ones.

    All students learn beside one teacher, trained once with the recipe's own seed, in ``folder/teacher`` (unless the recipe
    loads one). Seeds change the student's start and the order of its batches.
    """
    if not seeds or not columns:
        raise UsageError(f"an ablation needs at least one seed and one column, got seeds {seeds} and columns {columns}")
    folder = Path(folder)
    seeds, columns = list(dict.fromkeys(seeds)), list(dict.fromkeys(columns))
    recipe = copy.deepcopy(recipe)
    wanted = [column_recipe(recipe, column, seed) for seed in seeds for column in columns]
    if recipe.teacher.source == "train":
        path = folder / "teacher"
        run_or_read(teacher_recipe(recipe), path, data_dir, download, quiet)
        for item in wanted:
            item.teacher.source, item.teacher.checkpoint = "load", str(path)
    for item in wanted:
        if not item.needs_teacher():
            item.teacher.source, item.teacher.checkpoint = "none", ""
    runs = []
    for item, (seed, column) in zip(wanted, [(s, c) for s in seeds for c in columns], strict=True):
        path = folder / item.name.removeprefix(f"{recipe.name}-")
        runs.append(read_run(run_or_read(item, path, data_dir, download, quiet), column, seed))
    return runs


def run_or_read(recipe: Recipe, path: Path, data_dir: str | Path | None, download: bool, quiet: bool) -> Path:
    """Train into ``path`` unless a finished run is there; resume one that was cut off; refuse one of another recipe."""
    started = (path / "recipe.toml").exists()
    if started:
        stored = load_recipe(path / "recipe.toml")
        stored.teacher.checkpoint = recipe.teacher.checkpoint  # the folder may have been moved, with the teacher in it
        resume_check({"recipe": recipe_to_dict(stored)}, recipe, path)
    if not (path / "evaluation.json").exists():
        train(recipe, run_dir=path, data_dir=data_dir, resume=started, download=download, quiet=quiet)
    return path


def read_run(path: Path, column: str, seed: int) -> AblationRun:
    """The figures of a finished run: on the hold-out where there is one, else on the test split.

    Raises:
        CheckpointError: if its files are damaged.
    """
    try:
        evaluation = json.loads((path / "evaluation.json").read_text())
        figures = evaluation.get("holdout") or evaluation
        teacher = evaluation.get("teacher")
        teacher_figures = (teacher.get("holdout") or teacher) if teacher else None
        records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        return AblationRun(
            column,
            seed,
            "holdout" if "holdout" in evaluation else "test",
            figures["n"],
            figures["top1"],
            evaluation["top1"],
            records[-1].get("seconds", 0.0),
            teacher_figures["top1"] if teacher_figures else None,
            path,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the finished run {path} is damaged: its evaluation.json or metrics.jsonl cannot be read ({error!r}); "
            "remove the folder to have it trained anew"
        ) from error
