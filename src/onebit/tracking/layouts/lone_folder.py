"""A user's own data: a folder of images with one annotation file beside them, or several such folders under one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onebit.errors import DataError, UsageError
from onebit.files import called
from onebit.tracking.annotations import read_boxes
from onebit.tracking.layouts.sequence_set import SequenceSet
from onebit.tracking.sequences import IMAGE_ENDINGS, Sequence, from_file, list_frames, number_of

LOOKS = (
    "a folder of images with one annotation file (.txt or .csv, a line x,y,w,h a frame), or a folder of such folders"
)
_ENDINGS = (".txt", ".csv")
_PREFERRED = "groundtruth"


def looks_like(root: Path) -> bool:
    return _is_sequence(root) or any(_is_sequence(path) for path in root.iterdir() if path.is_dir())


def load(root: Path, subset: str | None) -> SequenceSet:
    """The sequence in ``root``, or those in its folders; their boxes are 0-based."""
    if subset is not None:
        raise UsageError(f"a folder of images has no subsets, got {subset!r}; choose sequences by name")
    folders = [root] if _is_sequence(root) else sorted(path for path in root.iterdir() if path.is_dir())
    sequences = tuple(_sequence(folder) for folder in folders if _is_sequence(folder))
    name = called(root)
    return SequenceSet("folder", root, name, "all", sequences)


def _is_sequence(folder: Path) -> bool:
    return bool(_candidates(folder)) and any(path.suffix.lower() in IMAGE_ENDINGS for path in folder.iterdir())


def _candidates(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS and path.name[0] != ".")


def _annotation(folder: Path) -> Path:
    files = _candidates(folder)
    preferred = [path for path in files if path.stem.lower().startswith(_PREFERRED)]
    chosen = preferred or files
    if len(chosen) != 1:
        names = ", ".join(path.name for path in files)
        raise DataError(f"{folder} holds several annotation files ({names}); keep one, or call it {_PREFERRED}.txt")
    return chosen[0]


def _sequence(folder: Path) -> Sequence:
    truth = _annotation(folder)
    written, frames = read_boxes(truth, absent=True), list_frames(folder)
    if len(written) > len(frames):
        raise DataError(
            f"{truth} has {len(written)} boxes for {len(frames)} images; remove the lines that have no image"
        )
    note = ""
    if 1 < len(written) < len(frames):
        note = f"{len(written)} boxes for {len(frames)} images: the images after the last box were left out"
        frames = frames[: len(written)]
    boxes = from_file(written, 0)
    boxes[np.isnan(boxes).any(axis=1)] = np.nan
    number = number_of(frames[0])
    return Sequence(
        called(folder),
        frames,
        boxes,
        first_frame_number=1 if number is None else number,
        annotation=truth,
        written=written,
        note=note,
    )
