"""onebit track train RECIPE [overrides]."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from onebit.cli.arguments import print_json, print_table
from onebit.cli.train_command import parse_with_recipe


@dataclass
class Arguments:
    """Train a tracker by a recipe on sequences with boxes (GOT-10k, OTB, UAV123 or a lone folder) and on still images.

    Every key of the recipe can be overridden: `onebit track train RECIPE --help` lists them with their values.
    Example: onebit track train siamfc-cpu --data GOT-10k OTB --stills photos --pairs.holdout David Skiing
    """

    recipe: Annotated[str, tyro.conf.Positional]
    """siamfc-cpu, xnor-siamfc-cpu, rb-sf-cpu, siamfc, xnor-siamfc, rb-sf, or a .toml file."""
    data: tuple[Path, ...] = ()
    """Folders of sequences; how each is laid out is found by looking."""
    stills: tuple[Path, ...] = ()
    """Folders of images, from which pairs are made by shifts and scales."""
    run_dir: Path | None = None
    """The run folder (default: runs/RECIPE)."""
    resume: bool = False
    """Go on with the run in the run folder."""
    quiet: bool = False
    """Nothing on stderr but errors."""
    json: bool = False
    """Print the figures of the last epoch as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments, recipe = parse_with_recipe(Arguments, "track train", argv)
    from onebit.tracking.train import train_tracker

    result = train_tracker(
        recipe,
        arguments.data,
        arguments.stills,
        run_dir=arguments.run_dir,
        resume=arguments.resume,
        quiet=arguments.quiet,
        say=(lambda line: None) if arguments.quiet else (lambda line: print(line, file=sys.stderr)),
    )
    if not result.main_process:
        return
    if arguments.json:
        print_json({key: value for key, value in result.evaluation.items() if key != "classes"})
        return
    from onebit.reports import Table

    rows = [
        [label, figures["n"], figures["top1"], figures["top5"], figures["loss"]]
        for label, figures in (
            ("teacher (32-bit)", result.evaluation["teacher"]),
            (recipe.method.name, result.evaluation),
        )
        if figures
    ]
    columns = ["network", "pairs", "found by the highest response %", "by the five highest %", "loss"]
    print_table(Table(f"{recipe.name}: {result.evaluation['note'].partition(';')[0]}", columns, rows))
    print(f"run folder: {result.folder}; next: onebit track run VIDEO --model {result.folder} --init x,y,w,h")
