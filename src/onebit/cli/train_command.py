"""onebit train RECIPE [overrides]."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import tyro

from onebit.cli.arguments import parse_known, print_json, print_table

if TYPE_CHECKING:
    from onebit.training.recipe import Recipe


@dataclass
class Arguments:
    """Train by a recipe: a teacher if it has one, then the 1-bit network; leaves a run folder with a report.

    Every key of the recipe can be overridden: `onebit train RECIPE --help` lists them with their values.
    Example: onebit train rbcn-cifar10-cpu --data-dir data --training.epochs 2 --optimizer.lr 0.001
    """

    recipe: Annotated[str, tyro.conf.Positional]
    """A name from `onebit list recipes`, or a .toml file."""
    data_dir: Path | None = None
    """Where data sets lie (default: $ONEBIT_DATA, then ./data)."""
    run_dir: Path | None = None
    """The run folder (default: runs/RECIPE)."""
    resume: bool = False
    """Go on with the run in the run folder."""
    download: bool = False
    """Fetch a data set that is not there."""
    report: bool = True
    """Draw the report page at the end."""
    quiet: bool = False
    """Nothing on stderr but errors."""
    json: bool = False
    """Print the evaluation as JSON."""


class NamesRecipe(Protocol):
    """Arguments of which one is a recipe: a shipped name or a file."""

    recipe: str


A = TypeVar("A", bound=NamesRecipe)


def parse_with_recipe(kind: type[A], command: str, argv: Sequence[str]) -> tuple[A, Recipe]:
    """Arguments, and the recipe they name with its keys overridden; `RECIPE --help` lists those keys instead."""
    asks = [argument for argument in argv if argument in ("-h", "--help")]
    wants_recipe_help = bool(asks) and not argv[0].startswith("-")
    if wants_recipe_help:
        argv = [argument for argument in argv if argument not in asks]
    arguments, overrides = parse_known(kind, command, argv)

    from onebit.training.recipe_files import load_recipe, override_recipe

    recipe = load_recipe(arguments.recipe)
    program = f"onebit {command} {arguments.recipe}"
    return arguments, override_recipe(recipe, ["--help"] if wants_recipe_help else overrides, program)


def run(argv: Sequence[str]) -> None:
    arguments, recipe = parse_with_recipe(Arguments, "train", argv)
    from onebit.training.run import train

    result = train(
        recipe,
        run_dir=arguments.run_dir,
        data_dir=arguments.data_dir,
        resume=arguments.resume,
        download=arguments.download,
        quiet=arguments.quiet,
    )
    if not result.main_process:
        return
    if arguments.report:
        from onebit.reports import write_report

        page = write_report(result.folder)
        if not arguments.quiet:
            print(f"report: {page}", file=sys.stderr)
    if arguments.json:
        kept = ("dataset", "split", "n", "top1", "top5", "loss", "holdout", "teacher", "note")
        print_json({key: result.evaluation.get(key) for key in kept})
    else:
        print_table(result_table(result.evaluation, recipe.name))


def result_table(evaluation: dict, name: str):
    """Teacher and student side by side."""
    from onebit.reports import Table

    rows = []
    teacher = evaluation.get("teacher")
    for label, figures in (("teacher (32-bit)", teacher), ("student", evaluation)):
        if figures:
            holdout = figures.get("holdout") or {}
            rows.append([label, holdout.get("top1"), figures["top1"], figures["top5"], figures["loss"]])
    note = f" ({evaluation['note']})" if evaluation.get("note") else ""
    columns = ["network", "hold-out top-1 %", "test top-1 %", "test top-5 %", "test loss"]
    return Table(f"{name}: {evaluation['dataset']}{note}, {evaluation['n']} test images", columns, rows)
