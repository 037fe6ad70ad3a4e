"""Scored trackers side by side: tables, ``performance.json``, plots, and a page with film strips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onebit.errors import DataError, UsageError, unknown_name
from onebit.files import called, write_bytes, write_text
from onebit.reports.table import Table
from onebit.tracking.evaluate import read_record
from onebit.tracking.layouts import SequenceSet
from onebit.tracking.protocols import Scores, score_tracker
from onebit.tracking.results import read_result
from onebit.tracking.score_tables import about, origins_table, scores_table, sequence_table
from onebit.tracking.scores import (
    OVERLAP_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    CurveScore,
    OverlapScore,
)
from onebit.tracking.sequences import from_file


@dataclass(frozen=True)
class Entry:
    """A tracker in a report: what it is called and the folder of its results."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Report:
    """What was written: the page, all files, the scores of each tracker and the table of them."""

    page: Path
    files: tuple[Path, ...]
    scores: tuple[Scores, ...]
    table: Table


def write_tracking_report(
    data: SequenceSet,
    entries: Sequence[Entry],
    folder: Path,
    *,
    protocol: str = "got10k",
    strips: int = 24,
    pictures: int = 6,
    overwrite: bool = False,
) -> Report:
    """Score every tracker on ``data`` and write the report into ``folder/<data set>``.

    Written are ``report.html``, ``scores.csv``, ``scores.md``, ``sequences.csv``, ``success_plots`` and ``precision_plots``
    as PNG and SVG (GOT-10k has no precision), and ``<tracker>/performance.json`` in the toolkits' keys.

    Args:
        strips: how many sequences get a film strip, at most; pictures: frames in each.
        overwrite: replace the report that is there, whatever trackers, sequences and protocol it was of.

    Raises:
        UsageError: for no tracker, or two of one name, or when a report is there and ``overwrite`` is False; what
            :func:`~onebit.tracking.protocols.score_tracker` raises.
    """
    names = [entry.name for entry in entries]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"a report needs trackers with names of their own, got {', '.join(names) or 'none'}")
    if pictures < 1:
        raise UsageError(f"a film strip has at least 1 picture, got {pictures}; without strips: 0 strips")
    home = folder / data.name
    before = _report_files(home)
    if before and not overwrite:
        raise UsageError(
            f"{home} holds a report already ({before[0].relative_to(home)}); choose another --out or --overwrite"
        )
    scores = tuple(score_tracker(data, entry.folder, entry.name, protocol) for entry in entries)
    records = {entry.name: read_record(entry.folder) for entry in entries}
    table, per_sequence = scores_table(scores, data, records), sequence_table(scores)
    origins = origins_table({entry.name: entry.folder for entry in entries}, records)
    texts = {
        home / "scores.csv": _csv(table, scores[0]),
        home / "scores.md": table.markdown() + "\n",
        home / "sequences.csv": _csv(per_sequence, scores[0]),
        **{home / one.tracker / "performance.json": _json(one.to_performance()) for one in scores},
    }
    plots = _plots(scores)
    pictured = {home / f"{name}.{kind}": content for name, _, kinds in plots for kind, content in kinds.items()}
    page = home / "report.html"
    tables = [table, per_sequence, origins]
    texts[page] = _page(data, entries, scores, tables, plots, strips, pictures)
    for path in before:  # a tracker that is not in this report would stay with the scores of another
        path.unlink()
    for path, text in texts.items():
        write_text(path, text)
    for path, content in pictured.items():
        write_bytes(path, content)
    return Report(page, (*texts, *pictured), scores, table)


def find_entries(
    data: SequenceSet, results: Path, trackers: Sequence[str] | None = None, others: Sequence[Path] = ()
) -> list[Entry]:
    """The trackers of a report: those named (or all) below ``results/<data set>``, then the folders of others.

    Raises:
        UsageError: for a tracker that has no results there (the nearest is named), or when there is none at all.
    """
    # A subset of OTB is a part of the whole, whose results serve as well.
    homes = [results / name for name in dict.fromkeys((data.name, *(["OTB2015"] if data.layout == "otb" else [])))]
    folders = [path for home in homes if home.is_dir() for path in sorted(home.iterdir()) if path.is_dir()]
    present = {path.name: path for path in reversed(folders)}
    chosen = list(trackers) if trackers is not None else sorted(present)
    for name in chosen:
        if name not in present:
            raise unknown_name(f"tracker in {homes[0]}", name, present)
    if not chosen and not others:
        raise UsageError(
            f"there are no results in {homes[0]}; run `onebit track evaluate`, or name folders with --others"
        )
    return [Entry(name, present[name]) for name in chosen] + [Entry(called(path), path) for path in others]


def _report_files(home: Path) -> list[Path]:
    """What a report of any trackers has left in its folder; other files there are none of its business."""
    plots = [f"{name}_plots.{kind}" for name in ("success", "precision") for kind in ("png", "svg")]
    named = [home / name for name in ("report.html", "scores.csv", "scores.md", "sequences.csv", *plots)]
    return [*(path for path in named if path.is_file()), *sorted(home.glob("*/performance.json"))]


def _csv(table: Table, one: Scores) -> str:
    """A table for a file of its own, where no title says which data and protocol its numbers are of."""
    rows = [(one.title, one.protocol, *row) for row in table.rows]
    return Table(table.title, ["data", "protocol", *table.columns], rows).csv()


def _json(value: Any) -> str:
    return json.dumps(value, indent=4) + "\n"


Drawn = tuple[str, str, dict[str, bytes]]


def _plots(scores: Sequence[Scores]) -> list[Drawn]:
    """File name, title and the bytes by kind of file, of each plot."""
    from onebit.reports.figures.style import figure_bytes, styled
    from onebit.reports.figures.tracking import Curve, precision_figure, success_figure, tracker_colours

    colours = tracker_colours([one.tracker for one in scores])
    overalls = {one.tracker: one.overall for one in scores}
    pooled = isinstance(scores[0].overall, OverlapScore)
    drawn = []
    with styled():
        curves = [Curve(name, _main(one), one.success_curve.tolist()) for name, one in overalls.items()]
        thresholds, measure = (OVERLAP_THRESHOLDS, "AO") if pooled else (SUCCESS_THRESHOLDS, "success")
        figures = [("success_plots", f"Success: {about(scores[0])}", success_figure, curves, thresholds, measure)]
        if not pooled:
            curves = [
                Curve(name, float(one.precision), one.precision_curve.tolist())
                for name, one in overalls.items()
                if isinstance(one, CurveScore)
            ]
            title = f"Precision: {about(scores[0])}"
            figures.append(
                ("precision_plots", title, precision_figure, curves, PRECISION_THRESHOLDS, "precision at 20 px")
            )
        for name, title, draw, lines, xs, measure in figures:
            figure = draw(lines, xs.tolist(), title, measure, colours)
            drawn.append((name, title, {kind: figure_bytes(figure, kind) for kind in ("png", "svg")}))
    return drawn


def _main(score: OverlapScore | CurveScore) -> float:
    return float(score.ao if isinstance(score, OverlapScore) else score.success)


def _page(
    data: SequenceSet,
    entries: Sequence[Entry],
    scores: Sequence[Scores],
    tables: Sequence[Table],
    plots: Sequence[Drawn],
    strips: int,
    pictures: int,
) -> str:
    from onebit.reports.figures.tracking import tracker_colours
    from onebit.reports.film_strip import bright, film_strip
    from onebit.reports.tracking_page import Plot, Strip, tracking_page

    colours = bright(tracker_colours([entry.name for entry in entries]))
    shown, remarks = [], []
    for sequence in data.sequences[: max(strips, 0)]:
        first = sequence.first_frame_number
        tracks = {
            entry.name: from_file(read_result(entry.folder, sequence).boxes[0], sequence.origin) for entry in entries
        }
        try:
            numbers = range(first, first + len(sequence))
            html = film_strip(sequence.frames, numbers, sequence.boxes, tracks, colours, pictures)
        except DataError as error:
            remarks.append(f"No film strip of {sequence.name}: {error}.")
            continue
        shown.append(Strip(sequence.name, _note(sequence.name, len(sequence), scores), html))
    if strips and len(data) > strips:
        remarks.append(f"Film strips are shown of the first {strips} of {len(data)} sequences.")
    captions = {
        "success_plots": "How many frames overlap the ground truth by more than each threshold.",
        "precision_plots": "How many frames have their centre within each distance of the true one.",
    }
    drawings = [Plot(name, title, captions[name], kinds["svg"].decode()) for name, title, kinds in plots]
    frames = sum(map(len, data.sequences))
    counts = (
        f"{n:,} {what}{'s' * (n != 1)}"
        for n, what in ((len(data), "sequence"), (frames, "frame"), (len(scores), "tracker"))
    )
    facts = " · ".join([f"protocol {scores[0].protocol}", *counts])
    return tracking_page(data.title, facts, tables, drawings, shown, colours, remarks)


def _note(name: str, frames: int, scores: Sequence[Scores]) -> str:
    values = {one.tracker: _main(one.sequences[name]) for one in scores}
    measure = "AO" if isinstance(scores[0].overall, OverlapScore) else "success"
    ordered = sorted(values, key=lambda tracker: -values[tracker])
    return f"{frames} frames; {measure}: " + ", ".join(f"{tracker} {values[tracker]:.3f}" for tracker in ordered)
