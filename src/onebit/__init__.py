"""onebit: train, understand and ship 1-bit convolutional networks.

Everything below is imported when it is first used, so that ``import onebit`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "OnebitError": "onebit.errors",
    "Recipe": "onebit.training",
    "create_model": "onebit.models",
    "evaluate": "onebit.training",
    "list_methods": "onebit.methods",
    "list_models": "onebit.models",
    "list_recipes": "onebit.training",
    "load_dataset": "onebit.data",
    "load_model": "onebit.training",
    "load_recipe": "onebit.training",
    "train": "onebit.training",
    "write_report": "onebit.reports",
}

if TYPE_CHECKING:
    from onebit.data import load_dataset
    from onebit.errors import OnebitError
    from onebit.methods import list_methods
    from onebit.models import create_model, list_models
    from onebit.reports import write_report
    from onebit.training import Recipe, evaluate, list_recipes, load_model, load_recipe, train

__all__ = [
    "OnebitError",
    "Recipe",
    "__version__",
    "create_model",
    "evaluate",
    "list_methods",
    "list_models",
    "list_recipes",
    "load_dataset",
    "load_model",
    "load_recipe",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'onebit' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
