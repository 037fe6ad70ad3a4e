"""A whole run: teacher, student, evaluation, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onebit.errors import CheckpointError, OnebitError, UsageError
from onebit.files import write_text
from onebit.models.registry import TRACKERS
from onebit.training.checkpoints import build_model, load_model, resume_check
from onebit.training.environment import environment
from onebit.training.evaluation import evaluate_model
from onebit.training.fit import Fit
from onebit.training.processes import first_then_others, make_fabric
from onebit.training.recipe import Recipe
from onebit.training.recipe_files import (
    load_recipe,
    recipe_from_dict,
    recipe_to_dict,
    recipe_to_toml,
)
from onebit.training.recipe_rules import check_recipe
from onebit.training.sets import evaluation_batches, load_split, load_splits
from onebit.training.task import Classification, Task
from onebit.training.teacher import copy_teacher, load_teacher, teacher_recipe


@dataclass
class RunResult:
    """What a run came to: its folder, the student, and the figures that went into evaluation.json."""

    folder: Path
    model: nn.Module
    evaluation: dict[str, Any]
    main_process: bool = True


def train(
    recipe: Recipe | str,
    *,
    run_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    download: bool = False,
    teacher: nn.Module | None = None,
    quiet: bool = False,
) -> RunResult:
    """Train by a recipe: the teacher first if it has one to train (a joint one with the student), then the student;
    evaluate; leave a run folder.

    Args:
        recipe: a Recipe, a shipped name or a .toml file.
        run_dir: the run folder (default ``runs/NAME``); it must not hold a run already, unless ``resume``.
        data_dir: where data sets lie (default: $ONEBIT_DATA, then ./data); download: fetch what is missing.
        resume: go on from the last checkpoints in ``run_dir``; on a CPU the result is bit-identical to a run that never stopped.
        teacher: a full-precision network of your own, used as it is; recipe.teacher is not read then, except its ``taps``
            (and a ``source`` of "joint" is refused: it would be trained).
            It comes back in evaluation mode, without gradients, on the device of the run.
        quiet: nothing on stderr.
    Returns:
        the folder, the trained student and its evaluation on the test split (the hold-out where the recipe has one, too).
    Raises:
        UsageError, DataError, CheckpointError, NonFiniteLossError: see their docstrings.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if recipe.model.name in TRACKERS:
        raise UsageError(
            f"recipe {recipe.name!r} trains a tracker, which learns from sequences; use `onebit track train` (or "
            "onebit.tracking.train.train_tracker)"
        )

    def make_task() -> Classification:
        return Classification(recipe, load_splits(recipe, data_dir, download))

    return run_task(recipe, make_task, run_dir, resume, teacher, quiet)


def run_task(
    recipe: Recipe,
    make_task: Callable[[], Task],
    run_dir: str | Path | None = None,
    resume: bool = False,
    teacher: nn.Module | None = None,
    quiet: bool = False,
) -> RunResult:
    """:func:`train` for any task; ``make_task`` reads its data, once in each process, the first one before the others."""
    check_recipe(recipe, own_teacher=teacher is not None)
    folder = Path(run_dir) if run_dir is not None else Path("runs") / recipe.name
    # Every process looks for itself before the first of them writes: a refusal then ends them all.
    prepare_folder(folder, recipe, resume)
    fabric = make_fabric(recipe)
    task = first_then_others(fabric, make_task)
    build_seeded(recipe, task.data)  # an impossible student is refused before its teacher is trained
    fabric.barrier()
    own_teacher, joint = teacher is not None, recipe.teacher.source == "joint"
    twin = teacher_recipe(recipe)
    if joint:
        teacher = build_seeded(twin, task.data)
    elif teacher is None and recipe.teacher.source == "load":
        teacher = load_teacher(recipe, task.data)
    elif teacher is None and recipe.teacher.source == "train" and recipe.method.name != "real":
        teacher = build_seeded(twin, task.data)
        fit_network(twin, fabric, teacher, None, task, folder / "teacher", "teacher", quiet)
        task.save(folder / "teacher", twin, teacher, fabric)
    if teacher is not None and not joint:
        teacher = teacher.to(fabric.device).eval().requires_grad_(False)
        if own_teacher or recipe.teacher.source == "load":
            task.check_teacher(teacher, fabric.device)
            task.save(folder / "teacher", recipe, teacher, fabric, details=False)
    student = build_seeded(recipe, task.data)
    if recipe.model.copy_teacher and teacher is not None:
        copy_teacher(student, teacher.cpu())
        teacher.to(fabric.device)
    guide = teacher if recipe.objectives() else None
    fit_network(recipe, fabric, student, guide, task, folder, "student", quiet)
    if joint and teacher is not None:
        task.save(folder / "teacher", twin, teacher, fabric)
    evaluation = task.save(folder, recipe, student, fabric)
    fabric.barrier()
    return RunResult(folder, student.eval(), evaluation, fabric.is_global_zero)


def evaluate(
    path: str | Path,
    *,
    split: str = "test",
    data_dir: str | Path | None = None,
    which: str = "last",
) -> dict[str, Any]:
    """Measure the network of a run folder or checkpoint on a split of its data set.

    Returns:
        {"dataset", "split", "n", "top1", "top5", "loss", "note"}; percent, and what to know about the data.
    """
    model, checkpoint = load_model(path, which)
    recipe = recipe_from_dict(checkpoint["recipe"])
    dataset = load_split(recipe, split, data_dir, False)
    if len(dataset.classes) != checkpoint["data"]["num_classes"]:
        raise UsageError(
            f"the network knows {checkpoint['data']['num_classes']} classes, {dataset.name} has {len(dataset.classes)}"
        )
    result = evaluate_model(model, evaluation_batches(recipe, dataset))
    return {"dataset": dataset.name, "split": split, **result, "note": dataset.note}


def build_seeded(recipe: Recipe, data: dict[str, Any]) -> nn.Module:
    """The recipe's network, drawn from its seed alone."""
    torch.manual_seed(recipe.training.seed)
    return build_model(recipe, data)


def fit_network(
    recipe: Recipe,
    fabric: Any,
    model: nn.Module,
    teacher: nn.Module | None,
    task: Task,
    folder: Path,
    role: str,
    quiet: bool,
) -> None:
    """Train one network into its folder, and a joint teacher into the one inside it."""
    joint = teacher is not None and recipe.teacher.source == "joint"
    for network in (model, teacher) if joint else (model,):
        network.to(device=fabric.device, memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
    if fabric.is_global_zero:
        start_folder(folder, recipe, fabric)
        if joint:
            start_folder(folder / "teacher", teacher_recipe(recipe), fabric)
    fabric.barrier()
    Fit(recipe, fabric, model, teacher, task, folder, role, quiet).run()


def start_folder(folder: Path, recipe: Recipe, fabric: Any) -> None:
    """Make a folder ready for its checkpoints: the recipe, what it runs on, and nothing half-written."""
    make_folder(folder / "checkpoints")
    for part in (*folder.glob(".*.part"), *folder.glob("checkpoints/.*.part")):
        part.unlink(missing_ok=True)  # what a killed process was writing
    write_text(folder / "recipe.toml", recipe_to_toml(recipe))
    write_text(folder / "environment.json", json.dumps(environment(fabric), indent=1) + "\n")


def prepare_folder(folder: Path, recipe: Recipe, resume: bool) -> None:
    """Refuse to write over a run, or to resume one that is not there or was another; nothing is written.

    Raises:
        UsageError: if the folder holds a run (without resume), a run of another recipe, or is not a folder.
        CheckpointError: if there is nothing to resume.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the run")
    runs = ((folder, recipe), (folder / "teacher", teacher_recipe(recipe)))
    started = any((path / file).exists() for path, _ in runs for file in ("recipe.toml", "checkpoints/last.pt"))
    if started and not resume:
        raise UsageError(
            f"{folder} holds a run already; add --resume to go on with it, or choose another folder (--run-dir)"
        )
    if resume and not started:
        raise CheckpointError(f"{folder} holds no run to resume; leave --resume out to start one")
    for path, expected in runs:
        if (path / "recipe.toml").exists():
            resume_check({"recipe": recipe_to_dict(load_recipe(path / "recipe.toml"))}, expected, path)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        OnebitError: with the cause, if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OnebitError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose another (--run-dir)"
        ) from error
