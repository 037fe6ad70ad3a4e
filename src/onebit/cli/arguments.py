"""Arguments of every command, parsed from dataclasses."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

from onebit.errors import unknown_name

T = TypeVar("T")


def parse(kind: type[T], command: str, argv: Sequence[str]) -> T:
    """A dataclass from a command's arguments; wrong usage exits with status 2, --help with 0."""
    import tyro

    return tyro.cli(kind, prog=f"onebit {command}", args=list(argv))


def parse_known(kind: type[T], command: str, argv: Sequence[str]) -> tuple[T, list[str]]:
    """:func:`parse`, handing back what it does not know: overrides of recipe keys, which have a dot in their name.

    Raises:
        UsageError: for any other unknown option (the nearest is named).
    """
    import tyro

    arguments, rest = tyro.cli(kind, prog=f"onebit {command}", args=list(argv), return_unknown_args=True)
    options = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(typing.cast(typing.Any, kind))]
    for flag in (argument.partition("=")[0] for argument in rest):
        if flag.startswith("--") and "." not in flag and flag not in ("--name", "--description"):
            raise unknown_name("option", flag, options)
    return arguments, rest


def print_json(value: Any) -> None:
    """One JSON object on stdout, and nothing else there."""
    json.dump(value, sys.stdout)
    sys.stdout.write("\n")


def print_table(table: Any) -> None:
    """A table of onebit.reports on stdout, wider than the terminal if its words do not fit."""
    from rich.console import Console
    from rich.segment import Segment

    console, drawn = Console(), table.rich()
    while (taken := max(map(Segment.get_line_length, Segment.split_lines(console.render(drawn))))) > console.width:
        console.width = taken
    console.print(drawn)
