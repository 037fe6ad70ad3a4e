"""onebit list models|methods|objectives|recipes|datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from onebit.cli.arguments import parse, print_json
from onebit.errors import unknown_name

KINDS = ("models", "methods", "objectives", "recipes", "datasets")


@dataclass
class Arguments:
    """Name what there is, a line each.  Example: onebit list models"""

    kind: Annotated[str, tyro.conf.Positional]
    """models, methods, objectives, recipes or datasets."""
    json: bool = False
    """Print a JSON list instead."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "list", argv)
    names = _names(arguments.kind)
    if arguments.json:
        print_json(names)
    else:
        print("\n".join(names))


def _names(kind: str) -> list[str]:
    if kind not in KINDS:
        raise unknown_name("kind of thing", kind, KINDS)
    if kind == "objectives":
        from onebit.training.objective import list_objectives

        return list_objectives()
    if kind == "recipes":
        from onebit.training.recipe_files import list_recipes

        return list_recipes()
    if kind == "datasets":
        from onebit.data import list_datasets

        return list_datasets()
    import onebit

    return onebit.list_models(kind="any") if kind == "models" else onebit.list_methods()
