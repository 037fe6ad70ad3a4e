"""onebit run FILE.onebit IMAGE..."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from onebit.cli.arguments import parse, print_json, print_table


@dataclass
class Arguments:
    """Classify images with a packed network: the five likeliest classes of each, and how long the network took.

    Images are resized and cut as in evaluation. Example: onebit run digits.onebit seven.png eight.png
    """

    file: Annotated[Path, tyro.conf.Positional]
    """A .onebit file."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files."""
    threads: int = 1
    """Threads of the engine."""
    kernel: str | None = None
    """Force a kernel: avx512, avx2, neon, portable, reference (default: $ONEBIT_KERNEL, else the fastest)."""
    json: bool = False
    """Print the predictions as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "run", argv)
    from onebit.deploy.classify import classify
    from onebit.deploy.packed_model import load

    packed = load(arguments.file, kernel=arguments.kernel, threads=arguments.threads)
    predictions = classify(packed, arguments.images)
    if arguments.json:
        print_json({"predictions": predictions})
        return
    from onebit.reports import Column, Table

    rows = [_row(prediction, rank) for prediction in predictions for rank in range(len(prediction["classes"]))]
    columns = ["image", "class", Column("score (%)", ".2f"), Column("ms", ".3f")]
    title = f"{arguments.file}, kernel {packed.kernel}, threads {packed.threads}"
    print_table(Table(title, columns, rows))


def _row(prediction: dict[str, Any], rank: int) -> tuple[object, ...]:
    found, first = prediction["classes"][rank], rank == 0
    return (
        prediction["image"] if first else "",
        found["name"],
        100 * found["score"],
        prediction["ms"] if first else None,
    )
