"""onebit evaluate RUN|CHECKPOINT|FILE.onebit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from onebit.cli.arguments import parse, print_json, print_table
from onebit.errors import UsageError


@dataclass
class Arguments:
    """Measure a trained network on a split of the data set it was trained on.

    A packed network runs on the engine. Example: onebit evaluate runs/digits-demo --split test
    """

    path: Annotated[Path, tyro.conf.Positional]
    """A run folder, a checkpoint or a .onebit file."""
    split: Literal["test", "holdout", "train"] = "test"
    """Which images."""
    data_dir: Path | None = None
    """Where data sets lie (default: $ONEBIT_DATA, then ./data)."""
    which: Literal["last", "best"] = "last"
    """Which checkpoint of a run folder."""
    threads: int | None = None
    """For a .onebit file: threads of the engine (default 1)."""
    json: bool = False
    """Print the figures as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "evaluate", argv)
    from onebit.deploy.from_run import evaluate_packed, is_packed
    from onebit.training.run import evaluate

    where: Any = {"split": arguments.split, "data_dir": arguments.data_dir}
    if is_packed(arguments.path):
        result = evaluate_packed(arguments.path, threads=1 if arguments.threads is None else arguments.threads, **where)
    else:
        if arguments.threads is not None:
            raise UsageError(f"--threads is for packed networks; {arguments.path} is run by torch")
        result = evaluate(arguments.path, which=arguments.which, **where)
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
