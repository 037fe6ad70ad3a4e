"""onebit track report DATA."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onebit.cli.arguments import parse, print_json, print_table
from onebit.cli.track_evaluate import DataArguments


@dataclass
class Arguments(DataArguments):
    """Score trackers from their result files and put them side by side: table, performance.json, plots, film strips.

    Written to OUT/<data set>: report.html, scores.csv, scores.md, sequences.csv, success_plots and precision_plots (PNG, SVG),
    and <tracker>/performance.json in the toolkits' keys. A report that is there stays, unless --overwrite replaces it wholly.

    Example: onebit track report data/OTB

    Example: onebit track report data/OTB --trackers rbsf xnor --others ../pysot/results/OTB100/siamrpn --subset TB50
    """

    results: Path = Path("results")
    """Where `onebit track evaluate` put its result files."""
    trackers: tuple[str, ...] | None = None
    """Names of trackers below RESULTS/<data set>; all that are there when left out."""
    others: tuple[Path, ...] = ()
    """Folders with result files of other trackers, from any toolkit; each is called as its folder."""
    out: Path = Path("reports")
    """Where the report goes."""
    strips: int = 24
    """How many sequences get a film strip, at most."""
    pictures: int = 6
    """Frames in a film strip."""
    overwrite: bool = False
    """Replace the report that is there, whatever trackers, sequences and protocol it was of."""
    json: bool = False
    """Print the scores of all trackers and the page's path as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "track report", argv)
    data = arguments.load()
    from onebit.tracking.report import find_entries, write_tracking_report

    entries = find_entries(data, arguments.results, arguments.trackers, arguments.others)
    report = write_tracking_report(
        data,
        entries,
        arguments.out,
        protocol=arguments.protocol,
        strips=arguments.strips,
        pictures=arguments.pictures,
        overwrite=arguments.overwrite,
    )
    for path in report.files:
        print(f"written: {path}", file=sys.stderr)
    if arguments.json:
        print_json({"report": str(report.page), "trackers": [scores.to_dict() for scores in report.scores]})
    else:
        print_table(report.table)
