"""onebit demo."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onebit.cli.arguments import parse, print_json, print_table

if TYPE_CHECKING:
    from onebit.reports import Table


@dataclass
class Arguments:
    """Train a full-precision network and its rectified 1-bit twin on the 1,797 real digits inside the package, pack it, check
    the packed network against PyTorch on all test digits, and time both.

    Needs no data and no network. Example: onebit demo
    """

    run_dir: Path | None = None
    """The run folder (default: runs/demo, with a number behind it where that is taken)."""
    seed: int = 0
    """Of the start and of the order of the batches."""
    quiet: bool = False
    """Nothing on stderr but errors."""
    json: bool = False
    """Print the figures as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "demo", argv)
    from onebit.cli.train_command import result_table
    from onebit.deploy.shipped import ship
    from onebit.reports import write_report
    from onebit.reports.speed import speed_json
    from onebit.training.recipe_files import load_recipe
    from onebit.training.run import train

    started = time.monotonic()
    recipe = load_recipe("digits-demo")
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, seed=arguments.seed))
    result = train(recipe, run_dir=arguments.run_dir or _free_folder(Path("runs/demo")), quiet=arguments.quiet)
    page = write_report(result.folder)
    shipped = ship(result.folder)
    shipped["times"] = speed_json(shipped.pop("timings"), 1)["rows"]
    seconds = time.monotonic() - started
    if arguments.json:
        kept = ("dataset", "split", "n", "top1", "top5", "loss", "holdout", "teacher")
        figures = {key: result.evaluation.get(key) for key in kept}
        print_json({**figures, "packed": shipped, "seconds": seconds, "report": str(page)})
        return
    print_table(result_table(result.evaluation, "demo"))
    print_table(_shipped_table(shipped))
    print(f"{seconds:.0f} s in all. Look at the report: {page}", file=sys.stderr)


def _shipped_table(shipped: dict[str, Any]) -> Table:
    from onebit.reports import Table

    rows = [
        (
            "file",
            f"{shipped['file']}: {shipped['bytes']:,} bytes, {shipped['ratio']:.1f} times smaller than in float32",
        ),
        ("same class as PyTorch", f"{shipped['same_class']} of {shipped['images']} test digits"),
        ("signs that differ", f"{shipped['flips']} of {shipped['signs']:,}"),
        ("largest difference of an output", f"{shipped['largest_difference']:.1e}"),
        *(
            (f"time, {row['engine']}", f"{row['median_ms']:.3f} ms, {row['ratio']:.1f} times ours")
            for row in shipped["times"]
        ),
    ]
    return Table("packed", ["", "one image, one thread"], rows)


def _free_folder(folder: Path) -> Path:
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
