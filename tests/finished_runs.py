"""Run folders as a finished training leaves them, as far as tables read them, without the training."""

from __future__ import annotations

import json
from pathlib import Path

from onebit.training import load_recipe, recipe_to_toml

CLASSES = {"cifar10": 10, "cifar100": 100, "folder": 1000}


def write_run(
    folder: Path,
    card: str,
    *,
    seed: int,
    top1: float,
    top5: float = 99.0,
    classes: int | None = None,
    **changes: object,
) -> Path:
    """A finished run of a shipped card; ``changes`` are recipe keys with ``__`` for a dot, ``method__name="xnor"``."""
    recipe = load_recipe(card)
    recipe.training.seed = seed
    for key, value in changes.items():
        part, _, name = key.partition("__")
        setattr(getattr(recipe, part), name, value)
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe_to_toml(recipe))
    count = CLASSES[recipe.data.dataset] if classes is None else classes
    evaluation = {
        "dataset": recipe.data.dataset,
        "split": "test",
        "note": "",
        "n": 10_000,
        "top1": top1,
        "top5": top5,
        "loss": 1.0,
        "classes": [f"class {i}" for i in range(count)],
        "holdout": {"n": 5000, "top1": 1.0, "top5": 2.0, "loss": 3.0},
        "teacher": None,
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder
