"""UAV123, UAV20L and UAV123_10fps: ``anno/<version>/<sequence>.txt`` and ``data_seq/<version>/<folder>/000001.jpg`` ...

M. Mueller, N. Smith, B. Ghanem, "A benchmark and simulator for UAV tracking", ECCV 2016. Several short sequences of UAV123
are ranges of one folder of images; which ones is in a table, not on the disk. Absent targets are NaN.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from onebit.errors import DataError
from onebit.tracking.annotations import read_boxes
from onebit.tracking.layouts.sequence_set import SequenceSet, known_subset
from onebit.tracking.sequences import Sequence, from_file, list_frames

LOOKS = "anno/UAV123/*.txt (or UAV20L, UAV123_10fps) and data_seq/"
VERSIONS = ("UAV123", "UAV20L", "UAV123_10fps")
SLOW = "UAV123_10fps"
# <folder>_1, <folder>_2 ...: first and last frame at 30 frames a second. All other sequences start at frame 1 of a folder
# of their own name.
RANGES = {
    "bird1": ((1, 253), (775, 1477), (1573, 2437)),
    "car1": ((1, 751), (751, 1627), (1627, 2629)),
    "car6": ((1, 487), (487, 1807), (1807, 2953), (2953, 3925), (3925, 4861)),
    "car8": ((1, 1357), (1357, 2575)),
    "car16": ((1, 415), (415, 1993)),
    "group1": ((1, 1333), (1333, 2515), (2515, 3925), (3925, 4873)),
    "group2": ((1, 907), (907, 1771), (1771, 2683)),
    "group3": ((1, 1567), (1567, 2827), (2827, 4369), (4369, 5527)),
    "person2": ((1, 1189), (1189, 2623)),
    "person4": ((1, 1501), (1501, 2743)),
    "person5": ((1, 877), (877, 2101)),
    "person7": ((1, 1249), (1249, 2065)),
    "person8": ((1, 1075), (1075, 1525)),
    "person12": ((1, 601), (601, 1621)),
    "person14": ((1, 847), (847, 1813), (1813, 2923)),
    "person17": ((1, 1501), (1501, 2347)),
    "person19": ((1, 1243), (1243, 2791), (2791, 4357)),
    "truck4": ((1, 577), (577, 1261)),
    "uav1": ((1, 1555), (1555, 2377), (2473, 3469)),
}


def looks_like(root: Path) -> bool:
    return any((root / "anno" / version).is_dir() for version in VERSIONS)


def load(root: Path, subset: str | None) -> SequenceSet:
    """Every sequence of a version; without ``subset`` the first of :data:`VERSIONS` that is there."""
    present = [version for version in VERSIONS if (root / "anno" / version).is_dir()]
    version = known_subset("version of UAV123", subset, VERSIONS) or next(iter(present), "UAV123")
    if version not in present:
        raise DataError(f"{root / 'anno' / version} does not exist; there is: {', '.join(present) or 'no annotation'}")
    folder = root / "data_seq" / (SLOW if version == SLOW else "UAV123")
    sequences, missing, left_out = [], [], []
    if not folder.is_dir():
        left_out.append(f"{folder} does not exist: result files can be scored, but no tracker can be run")
    for truth in sorted((root / "anno" / version).glob("*.txt")):
        images, span = place(truth.stem, version)
        if (folder / images).is_dir() or left_out:
            sequences.append(_sequence(truth, folder / images, span))
        else:
            missing.append(truth.stem)
    if not sequences and missing:
        raise DataError(
            f"{folder / place(missing[0], version)[0]} does not exist: the images of {missing[0]} are missing"
        )
    return SequenceSet("uav123", root, version, version, tuple(sequences), tuple(missing), tuple(left_out))


def place(name: str, version: str = "UAV123") -> tuple[str, tuple[int, int] | None]:
    """The folder of a sequence's images, and its first and last frame where it shares that folder.

    At 10 frames a second every third image is kept and numbered anew: n becomes 1 + (n - 1) // 3.

    >>> place("bird1_2"), place("bird1_2", "UAV123_10fps"), place("wakeboard7")
    (('bird1', (775, 1477)), ('bird1', (259, 493)), ('wakeboard7', None))
    """
    parts = re.fullmatch(r"(.+)_(\d+)", name)
    if version == "UAV20L" or parts is None or not 0 < int(parts[2]) <= len(RANGES.get(parts[1], ())):
        return name, None
    first, last = RANGES[parts[1]][int(parts[2]) - 1]
    if version == SLOW:
        first, last = 1 + (first - 1) // 3, 1 + (last - 1) // 3
    return parts[1], (first, last)


def _sequence(truth: Path, images: Path, span: tuple[int, int] | None) -> Sequence:
    written = read_boxes(truth, absent=True)
    boxes = from_file(written, 1)
    boxes[np.isnan(boxes).any(axis=1)] = np.nan
    first, last = span or (1, len(written))
    if last - first + 1 != len(written):
        raise DataError(f"{truth} has {len(written)} lines for frames {first} to {last}, which are {last - first + 1}")
    note = f"frames {first} to {last} of the folder {images.name}" if span else ""
    # Scores of result files need no images, and their names are known.
    named = tuple(images / f"{number:06d}.jpg" for number in range(first, last + 1))
    frames = list_frames(images, first, last) if images.is_dir() else named
    return Sequence(
        truth.stem,
        frames,
        boxes,
        first_frame_number=first,
        origin=1,
        annotation=truth,
        written=written,
        layout="uav123",
        note=note,
    )
