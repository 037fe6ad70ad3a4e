"""onebit reproduce TABLE."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from onebit.cli.arguments import parse_known, print_json, print_table


@dataclass
class Arguments:
    """Run a table of the papers, as far as it was not run yet, and print the papers' numbers beside ours.

    rbcn-ablation: the columns Bi, R, R+G, R+G+B for given widths, data, epochs and seeds, beside one teacher.
    Any key of the recipe can be overridden, as in `onebit train`.
    Example: onebit reproduce rbcn-ablation --recipe rbcn-cifar10-cpu --seeds 0 1 2 --model.widths 32 32 64 128
    """

    table: Annotated[Literal["rbcn-ablation"], tyro.conf.Positional]
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
    csv: Path | None = None
    """Also write the figures as CSV, with seeds, spread and hardware."""
    markdown: Path | None = None
    """Also write the table as Markdown."""
    figure: Path | None = None
    """Also draw it, as SVG."""
    quiet: bool = False
    """Nothing on stderr but errors."""
    json: bool = False
    """Print the table as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments, overrides = parse_known(Arguments, "reproduce", argv)
    from onebit.files import write_text
    from onebit.reports.ablation import ablation_results, ablation_svg, ablation_table
    from onebit.training.ablation import run_ablation
    from onebit.training.recipe_files import load_recipe, override_recipe
    from onebit.training.recipe_rules import check_recipe
    from onebit.training.run import is_main_process

    recipe = override_recipe(load_recipe(arguments.recipe), overrides, "onebit reproduce rbcn-ablation")
    check_recipe(recipe)
    runs = run_ablation(
        recipe,
        arguments.out or Path("runs") / f"{recipe.name}-ablation",
        seeds=arguments.seeds,
        columns=arguments.columns,
        data_dir=arguments.data_dir,
        download=arguments.download,
        quiet=arguments.quiet,
    )
    if not is_main_process():
        return
    table = ablation_table(recipe, runs)
    written = (
        (arguments.csv, lambda: ablation_results(recipe, runs).csv()),
        (arguments.markdown, table.markdown),
        (arguments.figure, lambda: ablation_svg(recipe, runs)),
    )
    for path, text in written:
        if path is not None:
            write_text(path, text())
            print(f"written: {path}", file=sys.stderr)
    if arguments.json:
        print_json(table.to_dict())
    else:
        print_table(table)
