"""onebit evaluate RUN|CHECKPOINT."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from onebit.cli.arguments import parse, print_json, print_table


@dataclass
class Arguments:
    """Measure a trained network on a split of the data set it was trained on.

    Example: onebit evaluate runs/digits-demo --split test
    """

    path: Annotated[Path, tyro.conf.Positional]
    """A run folder or a checkpoint file."""
    split: Literal["test", "holdout", "train"] = "test"
    """Which images."""
    data_dir: Path | None = None
    """Where data sets lie (default: $ONEBIT_DATA, then ./data)."""
    which: Literal["last", "best"] = "last"
    """Which checkpoint of a run folder."""
    json: bool = False
    """Print the figures as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "evaluate", argv)
    from onebit.training.run import evaluate

    result = evaluate(arguments.path, split=arguments.split, data_dir=arguments.data_dir, which=arguments.which)
    note = result.pop("note")
    if arguments.json:
        if note:
            print(f"onebit: note: {result['dataset']}: {note}", file=sys.stderr)
        print_json(result)
        return
    from onebit.reports import Table

    title = f"{arguments.path}: {result['dataset']} {result['split']}" + (f" ({note})" if note else "")
    columns = ["images", "top-1 %", "top-5 %", "loss"]
    print_table(Table(title, columns, [[result["n"], result["top1"], result["top5"], result["loss"]]]))
