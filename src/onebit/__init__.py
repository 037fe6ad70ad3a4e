"""onebit: train, understand and ship 1-bit convolutional networks.

Everything below is imported when it is first used, so that ``import onebit`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "BinarizeReport": "onebit.models",
    "BinarizeWarning": "onebit.models",
    "GradientPaths": "onebit.accounting",
    "OnebitError": "onebit.errors",
    "PackedModel": "onebit.deploy",
    "Recipe": "onebit.training",
    "Summary": "onebit.accounting",
    "binarize": "onebit.models",
    "create_model": "onebit.models",
    "evaluate": "onebit.training",
    "fit_width": "onebit.accounting",
    "gradient_paths": "onebit.accounting",
    "list_datasets": "onebit.data",
    "list_methods": "onebit.methods",
    "list_objectives": "onebit.training",
    "list_models": "onebit.models",
    "list_recipes": "onebit.training",
    "load": "onebit.deploy",
    "load_dataset": "onebit.data",
    "load_model": "onebit.training",
    "load_recipe": "onebit.training",
    "pack": "onebit.deploy",
    "representational_capability": "onebit.accounting",
    "summarize": "onebit.accounting",
    "train": "onebit.training",
    "write_report": "onebit.reports",
}

if TYPE_CHECKING:
    from onebit.accounting import (
        GradientPaths,
        Summary,
        fit_width,
        gradient_paths,
        representational_capability,
        summarize,
    )
    from onebit.data import list_datasets, load_dataset
    from onebit.deploy import PackedModel, load, pack
    from onebit.errors import OnebitError
    from onebit.methods import list_methods
    from onebit.models import BinarizeReport, BinarizeWarning, binarize, create_model, list_models
    from onebit.reports import write_report
    from onebit.training import Recipe, evaluate, list_objectives, list_recipes, load_model, load_recipe, train

__all__ = [
    "BinarizeReport",
    "BinarizeWarning",
    "GradientPaths",
    "OnebitError",
    "PackedModel",
    "Recipe",
    "Summary",
    "__version__",
    "binarize",
    "create_model",
    "evaluate",
    "fit_width",
    "gradient_paths",
    "list_datasets",
    "list_methods",
    "list_models",
    "list_objectives",
    "list_recipes",
    "load",
    "load_dataset",
    "load_model",
    "load_recipe",
    "pack",
    "representational_capability",
    "summarize",
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
