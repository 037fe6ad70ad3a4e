"""onebit compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onebit.cli.arguments import parse_known
from onebit.cli.output import Output, check_figure, hand_over


@dataclass
class Arguments(Output):
    """Train structures at equal cost, as far as it was not done yet, and print accuracy beside cost and gradient paths.

    Every structure gets the largest width whose storage and computation stay within those of the recipe's own network.
    Any key of the recipe can be overridden, as in `onebit train`.
    Structures: resnet, bireal, ebireal, igp3, igp7, densenet, igp_densenet.
    Example: onebit compare --recipe structures-cifar10-cpu --structures bireal igp7 --methods bireal rbcn --seeds 0 1 2
    """

    recipe: str = "structures-cifar10-cpu"
    """The recipe that all share; its network is the reference."""
    structures: tuple[str, ...] = ("resnet", "bireal", "ebireal", "igp3", "igp7", "densenet", "igp_densenet")
    """Which structures."""
    methods: tuple[str, ...] = ("bireal",)
    """Which methods, each in every structure."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run per structure, method and seed."""
    out: Path | None = None
    """Where the runs go (default: runs/RECIPE-structures); what is finished there is read, what was cut off is resumed."""
    data_dir: Path | None = None
    """Where data sets lie (default: $ONEBIT_DATA, then ./data)."""
    download: bool = False
    """Fetch a data set that is not there."""
    quiet: bool = False
    """Nothing on stderr but errors."""


def run(argv: Sequence[str]) -> None:
    arguments, overrides = parse_known(Arguments, "compare", argv)
    from onebit.reports.structures import compared_structures
    from onebit.training.processes import is_main_process
    from onebit.training.recipe_files import load_recipe, override_recipe
    from onebit.training.recipe_rules import check_recipe
    from onebit.training.structures import run_structures

    recipe = override_recipe(load_recipe(arguments.recipe), overrides, "onebit compare")
    check_recipe(recipe)
    check_figure(arguments)
    results = run_structures(
        recipe,
        arguments.out or Path("runs") / f"{recipe.name}-structures",
        structures=arguments.structures,
        methods=arguments.methods,
        seeds=arguments.seeds,
        data_dir=arguments.data_dir,
        download=arguments.download,
        quiet=arguments.quiet,
    )
    if is_main_process():
        hand_over(compared_structures(recipe, results), arguments)
