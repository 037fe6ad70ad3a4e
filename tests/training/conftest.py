"""Small runs on the shipped digits: a narrow lenet, a few hundred images, one thread."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from onebit.training import Recipe, recipe_from_dict
from onebit.training.checkpoints import build_model
from onebit.training.fit import Fit
from onebit.training.processes import make_fabric
from onebit.training.run import build_seeded
from onebit.training.sets import load_splits
from onebit.training.task import Classification
from onebit.training.teacher import teacher_recipe

# Nothing to collect here; several files of this name would be in each other's way.
collect_ignore = ["conftest.py"]

BASE: dict[str, Any] = {
    "name": "small",
    "data": {"dataset": "digits", "batch_size": 64, "holdout": 120, "limit": 256},
    "model": {"name": "lenet", "widths": [6, 8, 16]},
    "method": {"name": "rbcn"},
    "teacher": {"source": "none"},
    "training": {"epochs": 1, "threads": 1, "accelerator": "cpu"},
}
#: everything that the loop can do at once
FULL: dict[str, Any] = {
    "adversarial": {"enabled": True, "widths": [12, 8], "probe_every": 2, "max_ratio": 0.05, "anneal": "linear"},
    "distillation": {"weight": 0.5},
    "refresh": {"enabled": True, "fraction": 0.5},
    "teacher": {"source": "train", "epochs": 2},
    "training": {"ema": 0.9, "label_smoothing": 0.1},
    "optimizer": {"clip_norm": 5.0},
}
#: the same with a teacher that trains beside its student (whose logits no second objective may match)
JOINT: dict[str, Any] = {
    "apprentice": {"enabled": True},
    "features": {"weight": 0.1, "attach": "per_layer"},
    "distillation": {"weight": 0.0},
    "teacher": {"source": "joint", "epochs": 0, "lr": 0.004},
}


def merge(*tables: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Recipe]:
    """``recipe({"optimizer": {"lr": 0.1}})``: the small recipe with changes; ``full=True``: with everything switched on;
    ``joint=True``: with everything that goes with a joint teacher.
    """

    def make(changes: dict[str, Any] | None = None, full: bool = False, joint: bool = False) -> Recipe:
        return recipe_from_dict(merge(BASE, FULL if full or joint else {}, JOINT if joint else {}, changes or {}))

    return make


@pytest.fixture
def make_fit(tmp_path: Path) -> Callable[..., Fit]:
    """A Fit ready to step, its teacher untrained: ``make_fit(recipe)``."""

    def make(recipe: Recipe, teacher: nn.Module | None = None, folder: Path = tmp_path / "fit") -> Fit:
        fabric = make_fabric(recipe)
        sets = load_splits(recipe, None, False)
        task = Classification(recipe, sets)
        data = task.data
        student = build_seeded(recipe, data)
        if teacher is None and recipe.needs_teacher():
            teacher = build_model(teacher_recipe(recipe), data).eval()
            teacher.requires_grad_(recipe.teacher.source == "joint")
        for path in (folder, folder / "teacher"):
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        return Fit(recipe, fabric, student, teacher, task, folder, "student", quiet=True)

    return make


@pytest.fixture
def batch() -> Callable[[Fit], tuple[torch.Tensor, torch.Tensor]]:
    """The first training batch of a Fit."""
    return lambda fit, step=0: next(iter(fit.train.epoch(0, start=step)))
