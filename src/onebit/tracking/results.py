"""Result files in the layouts of the toolkits: written as they write them, and read from wherever others put them.

GOT-10k:  ``<tracker>/<seq>/<seq>_001.txt`` (and ``_002`` ... for repetitions), ``<tracker>/<seq>/<seq>_time.txt``
others:   ``<tracker>/<seq>.txt``, ``<tracker>/times/<seq>_time.txt``

A row is x,y,w,h with three decimals, one a frame, the first the given box. Scores are computed from what stands there.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onebit.errors import DataError
from onebit.files import write_text
from onebit.tracking.annotations import read_boxes, read_text
from onebit.tracking.boxes import Boxes
from onebit.tracking.layouts import SequenceSet
from onebit.tracking.sequences import Sequence, to_file

_AGAIN = "run the tracker again on this sequence"


@dataclass(frozen=True, eq=False)
class Result:
    """What one tracker said about one sequence.

    Attributes:
        boxes: per repetition (n, 4), as they stand in the files, so in the files' own origin.
        times: seconds per frame of all repetitions, one after the other, or ``None``.
        files: where the boxes stand.
    """

    boxes: tuple[Boxes, ...]
    times: NDArray[np.float64] | None
    files: tuple[Path, ...]


def results_folder(root: Path, data: SequenceSet, tracker: str) -> Path:
    """Where the toolkits keep a tracker's results: ``root/<data set>/<tracker>``."""
    return root / data.name / tracker


def result_files(folder: Path, layout: str, name: str, repetitions: int = 1) -> tuple[list[Path], Path]:
    """The files of boxes, one a repetition, and the file of times, as the data set's toolkit names them."""
    if layout == "got10k":
        home = folder / name
        return [home / f"{name}_{number:03d}.txt" for number in range(1, repetitions + 1)], home / f"{name}_time.txt"
    return [folder / f"{name}.txt"], folder / "times" / f"{name}_time.txt"


def write_result(
    folder: Path, sequence: Sequence, boxes: Several[Boxes], times: Several[NDArray[np.float64]]
) -> list[Path]:
    """Write the boxes (0-based, one array a repetition) and the times of a sequence, replacing what was there.

    Several repetitions are for GOT-10k, whose file of times gets a column for each.

    Raises:
        ValueError: for more than one repetition in another layout, or a wrong number of boxes.
    """
    files, time_file = result_files(folder, sequence.layout, sequence.name, len(boxes))
    for path, rows in zip(files, boxes, strict=True):
        if rows.shape != (len(sequence), 4):
            raise ValueError(f"{rows.shape} boxes for the {len(sequence)} frames of {sequence.name}")
        lines = (",".join(f"{value:.3f}" for value in row) for row in to_file(rows, sequence.origin))
        write_text(path, "".join(f"{line}\n" for line in lines))
    for path in _found(folder, sequence.layout, sequence.name):
        if path not in files:
            path.unlink()
    columns = np.stack(times, axis=1)
    write_text(time_file, "".join(",".join(f"{value:.8f}" for value in row) + "\n" for row in columns))
    return files


def read_result(folder: Path, sequence: Sequence) -> Result:
    """A tracker's result of one sequence, under any of the names and places that toolkits use.

    Looked for are ``<seq>/<seq>_001.txt`` and its repetitions, ``<seq>_001.txt`` (GOT-10k) and ``<seq>.txt``, for the
    sequence's name and then its aliases (``Jogging-1``, ``Jogging_1``, ``Jogging1`` for ``Jogging.1``); numbers may be
    separated by commas, tabs or spaces.

    Raises:
        DataError: when there is none, or one has the wrong number of rows or columns, a NaN, an infinity or a negative size.
    """
    for name in (sequence.name, *sequence.aliases):
        files = _found(folder, sequence.layout, name)
        if files:
            boxes = tuple(read_boxes(path, what="result file", remedy=_AGAIN) for path in files)
            for path, rows in zip(files, boxes, strict=True):
                if len(rows) != len(sequence):
                    raise DataError(
                        f"the result file {path} has {len(rows)} rows for the {len(sequence)} frames of {sequence.name}; "
                        f"{_AGAIN}"
                    )
            return Result(boxes, _times(folder, name), tuple(files))
    tried = f"{sequence.name}.txt or {sequence.name}/{sequence.name}_001.txt"
    raise DataError(f"{folder} holds no result of {sequence.name} ({tried}); run the tracker on it or leave it out")


def has_result(folder: Path, sequence: Sequence) -> bool:
    """Whether there is a result file for the sequence, right or wrong."""
    return any(_found(folder, sequence.layout, name) for name in (sequence.name, *sequence.aliases))


def _found(folder: Path, layout: str, name: str) -> list[Path]:
    pattern = f"{_literal(name)}_[0-9][0-9][0-9].txt"
    # Elsewhere ball_001.txt is the result of another sequence, ball_001.
    for place in (folder / name, folder) if layout == "got10k" else (folder / name,):
        repeated = sorted(place.glob(pattern)) if place.is_dir() else []
        if repeated:
            return repeated
    single = folder / f"{name}.txt"
    return [single] if single.is_file() else []


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "[*?" else letter for letter in name)


def _times(folder: Path, name: str) -> NDArray[np.float64] | None:
    places = (folder / name / f"{name}_time.txt", folder / "times" / f"{name}_time.txt", folder / f"{name}_time.txt")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return None
    try:
        values = [float(word) for word in read_text(path, "file of times").replace(",", " ").split()]
    except ValueError as error:
        raise DataError(f"the file of times {path} holds something that is no number of seconds ({error})") from None
    times = np.array(values)
    return times[np.isfinite(times)]
