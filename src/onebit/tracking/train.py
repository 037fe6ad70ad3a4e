"""Training a tracker by a recipe, on folders of sequences and of still images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from onebit.errors import UsageError
from onebit.models import list_models
from onebit.tracking.layouts import load_sequences
from onebit.tracking.pairs import find_stills
from onebit.tracking.task import Tracking
from onebit.training.processes import is_main_process
from onebit.training.recipe import Recipe
from onebit.training.recipe_files import load_recipe
from onebit.training.run import RunResult, run_task

Folder = str | os.PathLike[str]


def train_tracker(
    recipe: Recipe | str,
    data: Sequence[Folder] = (),
    stills: Sequence[Folder] = (),
    *,
    run_dir: str | Path | None = None,
    resume: bool = False,
    teacher: nn.Module | None = None,
    quiet: bool = False,
    say: Callable[[str], Any] = lambda _: None,
) -> RunResult:
    """Train a tracker's network by a recipe; like :func:`onebit.train`, it leaves a run folder and can be resumed.

    Args:
        recipe: a Recipe of a tracker, a shipped name (``siamfc-cpu``) or a .toml file.
        data: folders of sequences, each in any known layout; stills: folders of images, from which pairs are made, too.
        teacher: a full-precision siamfc of your own, used as it is.
        say: gets a line about every data set that was found, in the main process.
    Raises:
        UsageError: for a recipe of another kind of model, or values that cannot work; DataError: for data that cannot be read.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if recipe.model.name not in list_models(kind="tracker"):
        raise UsageError(
            f"recipe {recipe.name!r} trains {recipe.model.name!r}, which is no tracker; train it with `onebit train`"
        )

    def make_task() -> Tracking:
        sets = [load_sequences(root) for root in data]
        if is_main_process():
            for line in (line for one in sets for line in one.facts()):
                say(line)
        images = [path for root in stills for path in find_stills(root)]
        return Tracking(recipe, [video for one in sets for video in one.sequences], images)

    return run_task(recipe, make_task, run_dir, resume, teacher, quiet)
