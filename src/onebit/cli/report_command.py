"""onebit report RUN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from onebit.cli.arguments import parse, print_json


@dataclass
class Arguments:
    """Draw the figures of a run and its report page, finished or not.

    Example: onebit report runs/digits-demo
    """

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    json: bool = False
    """Print the page's path as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "report", argv)
    from onebit.reports import write_report

    page = write_report(arguments.run)
    if arguments.json:
        print_json({"report": str(page)})
    else:
        print(page)
