"""onebit pack RUN|CHECKPOINT -o FILE.onebit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from onebit.cli.arguments import parse, print_json, print_table


@dataclass
class Arguments:
    """Pack a trained network into one file: weights as bits, batch norm and scales folded, classes and normalisation inside.

    Example: onebit pack runs/digits-demo -o digits.onebit
    """

    path: Annotated[Path, tyro.conf.Positional]
    """A run folder or a checkpoint file."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The file to write."""
    precision: Literal["float32", "int16", "int8"] = "float32"
    """What the first convolution and 1x1 convolutions compute in: float32; int16 (pixels times 16-bit weights, nearly
    lossless and faster); int8 (8-bit weights, fastest, may cost accuracy: measure with `onebit evaluate`)."""
    which: Literal["last", "best"] = "last"
    """Which checkpoint of a run folder."""
    json: bool = False
    """Print the figures as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "pack", argv)
    from onebit.deploy.from_run import pack_run
    from onebit.deploy.inspection import sizes

    packed = pack_run(arguments.path, which=arguments.which, precision=arguments.precision)
    packed.save(arguments.output)
    figures = {"file": str(arguments.output), **sizes(packed), "precision": arguments.precision}
    if arguments.json:
        print_json(figures)
        return
    from onebit.reports import Column, Table

    columns = ["file", "precision", Column("bytes", ","), Column("in float32", ","), Column("times smaller", ".1f")]
    row = [figures[key] for key in ("file", "precision", "bytes", "float32_bytes", "ratio")]
    print_table(Table(f"packed: {packed.metadata['model']}, {packed.metadata['method']}", columns, [row]))
