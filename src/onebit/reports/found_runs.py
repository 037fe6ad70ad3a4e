"""Finished runs found in folders, put together by what they trained: the source of every figure in our columns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onebit.errors import OnebitError, UsageError
from onebit.reports.records import Evaluation
from onebit.reports.run_files import read_run
from onebit.reports.subjects import Subject, subject_of
from onebit.reports.summary_stats import Spread, spread

if TYPE_CHECKING:
    from onebit.training.recipe import Recipe

# What may differ between runs that are repeats of one another.
_REPEATS = {"name", "description", "data.workers", "teacher.checkpoint"}
_REPEATS |= {f"training.{key}" for key in ("seed", "accelerator", "devices", "threads")}

# What the description of every run says anyway.
_SAID = {
    *("data.dataset", "data.limit", "data.holdout", "data.batch_size", "data.image_size", "data.augment.crop"),
    *("training.epochs", "training.precision", "optimizer.name", "optimizer.lr", "schedule.name"),
    *("test images", "note"),
}


@dataclass(frozen=True)
class FoundRun:
    """A finished run: where it lies, its recipe, what it trained, and its scores on the test images in percent."""

    path: Path
    recipe: Recipe
    subject: Subject
    evaluation: Evaluation

    @property
    def seed(self) -> int:
        return self.recipe.training.seed


@dataclass(frozen=True)
class Repeats:
    """Runs of one recipe that differ in nothing but their seed.

    ``own`` names further keys of the recipe, with their values, in which it differs from other repeats of its subject.
    """

    subject: Subject
    runs: tuple[FoundRun, ...]
    own: tuple[str, ...] = ()

    def score(self, name: str) -> Spread | None:
        """Mean and spread over the seeds of ``top1`` or ``top5`` on the test images, in percent."""
        return spread(getattr(run.evaluation.scores, name) for run in self.runs)

    def description(self) -> str:
        """What was really run, in one line: data, schedule, seeds."""
        recipe, evaluation = self.runs[0].recipe, self.runs[0].evaluation
        data, optimizer = recipe.data, recipe.optimizer
        train = f"{data.limit:,}" if data.limit else "all"
        kept = f" but {data.holdout:,}" if data.holdout and not data.limit else ""
        side = data.augment.crop or data.image_size
        size = f" at {side}x{side}" if side else ""
        note = f" ({evaluation.note})" if evaluation.note else ""
        own = f"; {', '.join(self.own)}" if self.own else ""
        return (
            f"{data.dataset}: {train}{kept} training images{size}, {evaluation.n or 0:,} test images{note}; "
            f"{recipe.training.epochs} epochs, batch {data.batch_size}, {optimizer.name} {optimizer.lr:g} "
            f"{recipe.schedule.name}, {recipe.training.precision}{own}; "
            f"seed{'s' if len(self.runs) > 1 else ''} {' '.join(str(run.seed) for run in self.runs)}"
        )


@dataclass(frozen=True)
class Found:
    """What ``folders`` hold: ``repeats`` by subject, how many finished runs in all, and which of them could not be read."""

    repeats: Mapping[Subject, Sequence[Repeats]]
    folders: tuple[str, ...] = ("runs",)
    total: int = 0
    problems: tuple[str, ...] = ()

    def of(self, subject: Subject | None) -> Sequence[Repeats]:
        """The runs of a subject, one entry for each way in which it was trained; none gives an empty sequence."""
        return self.repeats.get(subject, ()) if subject is not None else ()


def find_runs(folders: Iterable[str | os.PathLike[str]] | None = None) -> Found:
    """Every finished run below ``folders`` (those with recipe.toml and evaluation.json, teachers included).

    Runs whose recipes differ in nothing but the seed are put together; of two with the same seed the first by path counts.
    Without ``folders`` it is the folder ``runs`` of the working directory, if there is one.

    Raises:
        UsageError: for a folder that does not exist or holds no finished run.
    """
    paths: dict[Path, None] = {}
    folders = None if folders is None else tuple(folders)
    for folder in map(Path, folders or ()):
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise UsageError(f"the folder of runs {folder} {what}; name one that `onebit train` wrote into")
        below = _finished(folder)
        if not below:
            raise UsageError(
                f"the folder of runs {folder} holds no finished run (recipe.toml with evaluation.json beside it)"
            )
        paths |= dict.fromkeys(below)
    if folders is None:
        paths |= dict.fromkeys(_finished(Path("runs")))
    groups: dict[str, dict[int, FoundRun]] = {}
    problems = []
    for path in paths:
        try:
            run = _found(path)
        except OnebitError as error:
            problems.append(f"{path} was left out: {error}")
            continue
        if run is not None:
            groups.setdefault(json.dumps(_settings(run)), {}).setdefault(run.seed, run)
    by_subject: dict[Subject, list[tuple[FoundRun, ...]]] = {}
    for by_seed in groups.values():
        runs = tuple(by_seed[seed] for seed in sorted(by_seed))
        by_subject.setdefault(runs[0].subject, []).append(runs)
    repeats = {subject: _told_apart(subject, several) for subject, several in by_subject.items()}
    searched = ("runs",) if folders is None else tuple(map(str, folders))
    return Found(repeats, searched, len(paths), tuple(problems))


def _told_apart(subject: Subject, several: Sequence[tuple[FoundRun, ...]]) -> list[Repeats]:
    settings = [_settings(runs[0]) for runs in several]
    keys = dict.fromkeys(key for setting in settings for key in setting)
    differing = [
        key for key in keys if key not in _SAID and len({json.dumps(setting.get(key)) for setting in settings}) > 1
    ]
    return [
        Repeats(subject, runs, tuple(f"{key} {setting[key]}" for key in differing if key in setting))
        for runs, setting in zip(several, settings, strict=True)
    ]


def _finished(folder: Path) -> list[Path]:
    files = folder.rglob("evaluation.json")
    return sorted({file.parent.resolve() for file in files if (file.parent / "recipe.toml").is_file()})


def _found(path: Path) -> FoundRun | None:
    from onebit.training.recipe_files import recipe_from_dict

    run = read_run(path, arrays=False)
    if run.evaluation is None or run.evaluation.scores.top1 is None:
        raise UsageError("its evaluation.json is damaged")
    if not run.recipe:
        raise UsageError("its recipe.toml is damaged")
    recipe = recipe_from_dict(run.recipe)
    subject = subject_of(recipe, len(run.evaluation.classes) or None)
    return None if subject is None else FoundRun(path, recipe, subject, run.evaluation)


def _settings(run: FoundRun) -> dict[str, Any]:
    """The recipe's keys and values less those that repeats may differ in, with the test images: never two tests in one mean."""
    from onebit.training.recipe_files import recipe_to_dict

    tables = recipe_to_dict(run.recipe)
    if not run.recipe.needs_teacher():
        tables.pop("teacher", None)
    flat = {key: value for key, value in _flat(tables) if key not in _REPEATS}
    return flat | {"test images": run.evaluation.n, "note": run.evaluation.note}


def _flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
