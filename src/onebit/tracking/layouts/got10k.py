"""GOT-10k: ``<split>/list.txt`` and ``<split>/<sequence>/`` with images, ``groundtruth.txt``, ``meta_info.ini``, labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onebit.errors import DataError, UsageError
from onebit.files import called
from onebit.tracking.annotations import read_boxes, read_labels, read_text
from onebit.tracking.layouts.sequence_set import SequenceSet, known_subset
from onebit.tracking.sequences import Sequence, from_file, list_frames, number_of

LOOKS = "train/, val/ or test/ with list.txt and <sequence>/groundtruth.txt, or one of these folders"
SPLITS = ("train", "val", "test")
# Without --subset: the split that can be scored comes first.
_ORDER = ("val", "test", "train")
_TRUTH, _META, _LIST = "groundtruth.txt", "meta_info.ini", "list.txt"


def looks_like(root: Path) -> bool:
    return any((root / split / _LIST).is_file() for split in SPLITS) or _is_split(root) or (root / _META).is_file()


def load(root: Path, subset: str | None) -> SequenceSet:
    """Every sequence of a split; ``root`` may be the whole data set, a split's folder or a sequence's."""
    subset = known_subset("split of GOT-10k", subset, SPLITS)
    if (root / _META).is_file():
        return SequenceSet("got10k", root, "GOT-10k", "all", (_sequence(root, subset or ""),))
    folder, split = _split_folder(root, subset)
    listed = [name for name in map(str.strip, read_text(folder / _LIST, "list of sequences").splitlines()) if name]
    present = [name for name in listed if (folder / name).is_dir()]
    sequences = tuple(_sequence(folder / name, split) for name in present)
    missing = tuple(name for name in listed if name not in present)
    return SequenceSet("got10k", folder, "GOT-10k", split, sequences, missing)


def _is_split(root: Path) -> bool:
    return (root / _LIST).is_file() and any(root.glob(f"*/{_TRUTH}"))


def _split_folder(root: Path, subset: str | None) -> tuple[Path, str]:
    if (root / _LIST).is_file():
        own = name if (name := called(root).lower()) in SPLITS else "all"
        if subset is not None and own not in (subset, "all"):
            raise UsageError(f"{root} is the split {own!r} of GOT-10k, not {subset!r}; name its parent folder")
        return root, subset or own
    present = [split for split in _ORDER if (root / split / _LIST).is_file()]
    if subset is not None and subset not in present:
        raise DataError(f"{root / subset / _LIST} does not exist; there is: {', '.join(present) or 'no split'}")
    if not present:
        raise DataError(f"{root} has no list.txt and no split with one ({LOOKS})")
    return root / (subset or present[0]), subset or present[0]


def _sequence(folder: Path, split: str) -> Sequence:
    truth = folder / _TRUTH
    written, frames = read_boxes(truth), list_frames(folder)
    withheld = len(written) == 1 and split in ("test", "", "all")
    if len(written) != len(frames) and not withheld:
        raise DataError(f"{truth} has {len(written)} lines for {len(frames)} images; download the sequence again")
    meta = _meta(folder / _META)
    return Sequence(
        called(folder),
        frames,
        from_file(written, 1),
        first_frame_number=number_of(frames[0]) or 1,
        origin=1,
        annotation=truth,
        written=written,
        cover=None if withheld else _labels(folder, "cover", len(frames)),
        absence=None if withheld else _labels(folder, "absence", len(frames)),
        resolution=_resolution(meta.get("resolution"), folder / _META),
        object_class=meta.get("object_class"),
        layout="got10k",
    )


def _labels(folder: Path, what: str, count: int) -> NDArray[np.int64] | None:
    path = folder / f"{what}.label"
    return read_labels(path, count) if path.is_file() else None


def _meta(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.partition(":") for line in read_text(path, "file of facts").splitlines())
    return {key.strip(): value.strip() for key, colon, value in lines if colon}


def _resolution(text: str | None, path: Path) -> tuple[int, int] | None:
    if text is None:
        return None
    numbers = re.fullmatch(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)", text)
    if numbers is None:
        raise DataError(f"{path}: resolution is {text!r}; expected (width, height)")
    return int(numbers[1]), int(numbers[2])
