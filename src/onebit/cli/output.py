"""Where a reproduced or compared table goes: stdout as table or JSON, and files."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onebit.cli.arguments import print_json, print_table

if TYPE_CHECKING:
    from onebit.reports.reproduction import Reproduction


@dataclass
class Output:
    """Options of every command that prints such a table."""

    csv: Path | None = None
    """Also write the figures as CSV: means, deviations and numbers of runs in columns of their own."""
    markdown: Path | None = None
    """Also write the table as Markdown."""
    html: Path | None = None
    """Also write it as a page of its own."""
    figure: Path | None = None
    """Also draw it, where there is a figure: a file that ends in .svg or .png."""
    json: bool = False
    """Print the table as JSON."""


def check_figure(output: Output) -> None:
    """Refuse a figure's file of an unknown kind before anything is run for it."""
    from onebit.reports.reproduction import figure_kind

    if output.figure is not None:
        figure_kind(output.figure)


def hand_over(done: Reproduction, output: Output) -> None:
    """Write the files that were asked for, naming each on stderr, and print the table."""
    for path in done.write(csv=output.csv, markdown=output.markdown, html=output.html, figure=output.figure):
        print(f"written: {path}", file=sys.stderr)
    if output.json:
        print_json(done.table.to_dict())
    else:
        print_table(done.narrow())
