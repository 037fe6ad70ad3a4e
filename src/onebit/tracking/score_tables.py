"""Tables of scored trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onebit.reports.table import Column, Table
from onebit.tracking.layouts import SequenceSet
from onebit.tracking.protocols import Scores

Records = Mapping[str, Mapping[str, Any]]


def scores_table(scores: Sequence[Scores], data: SequenceSet, records: Records) -> Table:
    """A row per tracker, best first; the title names data, protocol and number of sequences.

    Args:
        records: tracker -> what stands in its ``evaluation.json``, empty for files of others: it knows the seconds spent on
            reading images, and how many processes ran at once.
    """
    measures = list(scores[0].headline())
    columns = ["tracker", *(Column(name, ".3f") for name in measures)]
    columns += [Column(name, ".1f") for name in ("speed_fps", "frames_per_second", "with_reading")]
    ordered = sorted(scores, key=lambda one: -(one.headline()[measures[0]] or 0.0))
    rows = [
        [one.tracker, *one.headline().values(), one.speed.toolkit, one.speed.fps, _with_reading(one, records)]
        for one in ordered
    ]
    notes = []
    if any(one.speed.fps for one in scores):
        notes.append(
            "speed_fps: mean over frames of 1/t, as the toolkits have it; frames_per_second: frames by seconds in the "
            "tracker; with_reading: the same with the reading of images."
        )
    crowds: dict[int, list[str]] = {}
    for one in scores:
        known = records[one.tracker].get("sequences", {})
        crowds.setdefault(
            max((known[name]["workers"] for name in one.sequences if name in known), default=1), []
        ).append(one.tracker)
    notes += [
        f"Run by {count} processes at once, which slow each other: {', '.join(names)}; measure speed with --workers 1."
        for count, names in sorted(crowds.items())
        if count > 1
    ]
    notes += data.facts()[1:]
    return Table(about(scores[0]), columns, rows, notes).without_empty_columns()


def sequence_table(scores: Sequence[Scores]) -> Table:
    """A row per tracker and sequence."""
    measures = [name for name in next(iter(scores[0].to_dict()["sequences"].values())) if name != "frames"]
    rows = []
    for one in scores:
        for name, values in one.to_dict()["sequences"].items():
            speed = one.speeds[name].fps
            rows.append([one.tracker, name, values["frames"], *(values[measure] for measure in measures), speed])
    columns = [Column(measure, "" if measure == "scored" else ".3f") for measure in measures]
    heads = ["tracker", "sequence", "frames", *columns, Column("frames_per_second", ".1f")]
    return Table("Sequence by sequence", heads, rows)


def origins_table(folders: Mapping[str, object], records: Records) -> Table:
    """Where each tracker's boxes are from: what was run and on what, as its record says."""
    rows = []
    for name, folder in folders.items():
        said = {part: _listed(records[name].get(part, {})) for part in ("settings", "environment")}
        rows.append([name, said["settings"] or "files of others", said["environment"] or None, str(folder)])
    return Table("Where the boxes are from", ["tracker", "settings", "run on", "folder"], rows)


def about(scores: Scores) -> str:
    """Data, protocol and number of sequences, for a title."""
    count = len(scores.sequences)
    return f"{scores.title}, protocol {scores.protocol}, {count} sequence{'s' * (count != 1)}"


def _with_reading(scores: Scores, records: Records) -> float | None:
    known = records[scores.tracker].get("sequences", {})
    parts = [known[name] for name in scores.sequences if name in known]
    if len(parts) < len(scores.sequences):
        return None
    repetitions = records[scores.tracker]["settings"].get("repetitions", 1)
    seconds = sum(part["seconds"] + part["reading_seconds"] for part in parts)
    return repetitions * sum(part["frames"] for part in parts) / seconds


def _listed(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in table.items() if value not in (None, ""))
