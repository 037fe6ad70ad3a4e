"""onebit reproduce TABLE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from onebit.cli.arguments import parse, parse_known
from onebit.cli.output import Output, check_figure, hand_over


@dataclass
class Arguments(Output):
    """Print a table or figure of the papers with our numbers beside the printed ones; what was not run stays empty.

    rbcn-cifar, rbcn-imagenet: accuracies. rbcn-efficiency: costs. igp-table1: costs and errors on ImageNet.
    igp-figure1: representational capability. igp-figure2: gradient paths of the six blocks.
    rbcn-ablation runs what is missing and has options of its own: onebit reproduce rbcn-ablation --help
    Example: onebit reproduce igp-table1 --runs runs --html table1.html
    """

    table: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    """Which table or figure."""
    runs: tuple[Path, ...] | None = None
    """Folders that are searched for finished runs (default: runs, if it is there)."""


@dataclass
class AblationArguments(Output):
    """Run the ablation of RBCN, as far as it was not run yet, and print the paper's numbers beside ours.

    The columns Bi, R, R+G, R+G+B for given widths, data, epochs and seeds, beside one teacher. Any key of the recipe
    can be overridden, as in `onebit train`.
    Example: onebit reproduce rbcn-ablation --recipe rbcn-cifar10-cpu --seeds 0 1 2 --model.widths 32 32 64 128
    """

    table: Annotated[str, tyro.conf.Positional] = "rbcn-ablation"
    """Which table."""
    recipe: str = "rbcn-cifar10-cpu"
    """The recipe of the full column; the others switch parts of it off."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run per column and seed."""
    columns: tuple[str, ...] = ("Bi", "R", "R+G", "R+G+B")
    """Which columns; XNOR is a fifth."""
    out: Path | None = None
    """Where the runs go (default: runs/RECIPE-ablation); what is finished there is read, what was cut off is resumed."""
    data_dir: Path | None = None
    """Where data sets lie (default: $ONEBIT_DATA, then ./data)."""
    download: bool = False
    """Fetch a data set that is not there."""
    quiet: bool = False
    """Nothing on stderr but errors."""


def run(argv: Sequence[str]) -> None:
    if "rbcn-ablation" in argv:
        _ablation(argv)
        return
    arguments = parse(Arguments, "reproduce", argv)
    from onebit.reports.reproduce import reproduce

    hand_over(reproduce(arguments.table, arguments.runs), arguments)


def _ablation(argv: Sequence[str]) -> None:
    arguments, overrides = parse_known(AblationArguments, "reproduce", argv)
    from onebit.reports.reproduce import reproduced_ablation
    from onebit.training.ablation import run_ablation
    from onebit.training.processes import is_main_process
    from onebit.training.recipe_files import load_recipe, override_recipe
    from onebit.training.recipe_rules import check_recipe

    recipe = override_recipe(load_recipe(arguments.recipe), overrides, "onebit reproduce rbcn-ablation")
    check_recipe(recipe)
    check_figure(arguments)
    runs = run_ablation(
        recipe,
        arguments.out or Path("runs") / f"{recipe.name}-ablation",
        seeds=arguments.seeds,
        columns=arguments.columns,
        data_dir=arguments.data_dir,
        download=arguments.download,
        quiet=arguments.quiet,
    )
    if is_main_process():
        hand_over(reproduced_ablation(recipe, runs), arguments)
