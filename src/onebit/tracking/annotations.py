"""Files of boxes and labels as benchmarks write them: one row a line, comma, tab or space between the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onebit.errors import DataError
from onebit.tracking.boxes import Boxes


def read_boxes(
    path: Path,
    *,
    absent: bool = False,
    what: str = "annotation file",
    remedy: str = "give the box or remove the sequence",
) -> Boxes:
    """The boxes of a file as they stand there, (n, 4) float64; separators may be commas, tabs, spaces or semicolons.

    Args:
        absent: whether NaN is allowed, for frames without a target; in the first row it never is.
        what: the kind of file; remedy: what to do about a NaN; both for messages.

    Raises:
        DataError: naming file and line, for anything but four numbers in a row, a NaN that is not allowed, an infinity, a
            negative size, or a file without rows.
    """
    rows = [_row(path, number, words, absent, what, remedy) for number, words in _lines(path, what)]
    if not rows:
        raise DataError(f"the {what} {path} is empty: it needs a line x,y,w,h per frame")
    boxes = np.array(rows)
    if np.isnan(boxes[0]).any():
        raise DataError(f"{path}, line 1: the first box is NaN; a tracker starts from it, so it has to be known")
    return boxes


def read_labels(path: Path, count: int) -> NDArray[np.int64]:
    """Whole numbers, one a line, ``count`` of them (``cover.label``, ``absence.label``).

    Raises:
        DataError: naming file and line.
    """
    values = []
    for number, words in _lines(path, "label file"):
        try:
            (word,) = words
            values.append(int(float(word)))
        except (ValueError, OverflowError):
            raise DataError(f"{path}, line {number}: expected one whole number, got {' '.join(words)!r}") from None
    if len(values) != count:
        raise DataError(f"{path} has {len(values)} lines for {count} frames; download the sequence again")
    return np.array(values, dtype=np.int64)


def read_text(path: Path, what: str) -> str:
    """A text file's content.

    Raises:
        DataError: when it cannot be read or is no text.
    """
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"the {what} {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise DataError(f"the {what} {path} is not a text file") from None


def is_blank(path: Path) -> bool:
    """Whether a text file holds nothing but white space."""
    return not read_text(path, "annotation file").strip()


def _lines(path: Path, what: str) -> list[tuple[int, list[str]]]:
    """Line numbers and words; blank lines at the end are no rows, one in between is a row without words."""
    lines = read_text(path, what).rstrip().splitlines()
    return [(number, line.translate(_SEPARATORS).split()) for number, line in enumerate(lines, start=1)]


_SEPARATORS = str.maketrans({",": " ", ";": " ", "\t": " "})


def _row(path: Path, number: int, words: Sequence[str], absent: bool, what: str, remedy: str) -> list[float]:
    where = f"{path}, line {number}"
    if len(words) != 4:
        raise DataError(
            f"{where}: a row of the {what} has 4 columns x,y,w,h, this one has {len(words)}: {' '.join(words)!r}"
        )
    try:
        row = [float(word) for word in words]
    except ValueError:
        raise DataError(f"{where}: {' '.join(words)!r} are not four numbers x,y,w,h") from None
    if any(map(math.isnan, row)):
        if not absent:
            raise DataError(f"{where}: NaN is not allowed in this {what}; {remedy}")
        return row
    if any(map(math.isinf, row)):
        raise DataError(f"{where}: an infinite number in {' '.join(words)!r}; every number of a box has to be finite")
    if min(row[2:]) < 0:
        raise DataError(f"{where}: width and height cannot be negative, got {' '.join(words)!r} as x,y,w,h")
    return row
