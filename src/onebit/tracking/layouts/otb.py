"""OTB: ``<Sequence>/img/0001.jpg`` ... and ``<Sequence>/groundtruth_rect*.txt``.

Y. Wu, J. Lim, M.-H. Yang, "Object tracking benchmark", TPAMI 2015. The published annotations of some sequences cover part
of the images; two folders hold two targets each, and one annotation file is empty.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from onebit.errors import DataError
from onebit.files import called
from onebit.tracking.annotations import is_blank, read_boxes
from onebit.tracking.layouts.otb_subsets import SUBSETS
from onebit.tracking.layouts.sequence_set import SequenceSet, known_subset
from onebit.tracking.sequences import Sequence, from_file, list_frames, number_of

LOOKS = "<Sequence>/img/ with images and <Sequence>/groundtruth_rect*.txt"
# First and last frame of the annotation, by the numbers in the images' names, where it is not every image.
RANGES = {"david": (300, 770), "football1": (1, 74), "freeman3": (1, 460), "freeman4": (1, 283), "diving": (1, 215)}
# The toolkits' folders of results.
_RESULTS = {"OTB2013": "OTB2013", "OTB2015": "OTB2015", "TB50": "OTBtb50", "TB100": "OTBtb100"}


def looks_like(root: Path) -> bool:
    return _is_sequence(root) or any(_is_sequence(folder) for folder in _folders(root))


def load(root: Path, subset: str | None) -> SequenceSet:
    """Every sequence below ``root`` (or ``root`` itself), or those of a named subset, in the order of their names."""
    folders = [root] if _is_sequence(root) else [folder for folder in _folders(root) if _is_sequence(folder)]
    missing: tuple[str, ...] = ()
    subset = known_subset("subset of OTB", subset, SUBSETS)
    if subset is not None:
        present = {folder.name for folder in folders}
        missing = tuple(name for name in SUBSETS[subset] if name not in present)
        folders = [folder for folder in folders if folder.name in SUBSETS[subset]]
    sequences, left_out = [], []
    for folder in folders:
        files = sorted(folder.glob("groundtruth_rect*.txt"))
        filled = [path for path in files if not is_blank(path)]
        left_out += [f"{path} is empty and was left out" for path in files if path not in filled]
        sequences += [
            _sequence(folder, path, number if len(filled) > 1 else 0) for number, path in enumerate(filled, start=1)
        ]
    _check_names(sequences)
    name = _RESULTS[subset or "OTB2015"]
    return SequenceSet("otb", root, name, subset or "all", tuple(sequences), missing, tuple(left_out))


def _is_sequence(folder: Path) -> bool:
    return (folder / "img").is_dir() and any(folder.glob("groundtruth_rect*.txt"))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def _sequence(folder: Path, truth: Path, target: int) -> Sequence:
    """One target; ``target`` counts from 1 in a folder of several and is 0 for the only one."""
    name = called(folder)
    written, frames = read_boxes(truth), list_frames(folder / "img")
    images, note = len(frames), ""
    first, last = RANGES.get(name.lower(), (0, 0))
    if last and (number_of(frames[0]) or 0) <= first and last <= (number_of(frames[-1]) or 0):
        frames = tuple(path for path in frames if first <= (number_of(path) or 0) <= last)
        if len(frames) < images:
            note = f"frames {first} to {last} of {images} images, as the benchmark says"
    if len(written) > len(frames):
        raise DataError(
            f"{truth} has {len(written)} boxes for {len(frames)} images in {folder / 'img'}; images are missing"
        )
    if len(written) < len(frames):
        frames = frames[: len(written)]
        note = f"{len(written)} boxes for {images} images: the images after the last box were left out"
    # "2" for groundtruth_rect.2.txt: Human4's only filled annotation file has it too.
    digit = truth.stem.rpartition(".")[2]
    others = tuple(f"{name}{mark}{digit}" for mark in (".", "-", "_", "")) if digit.isdigit() else ()
    own = f"{name}.{target}" if target else name
    return Sequence(
        own,
        frames,
        from_file(written, 1),
        first_frame_number=number_of(frames[0]) or 1,
        origin=1,
        annotation=truth,
        written=written,
        layout="otb",
        note=note,
        aliases=tuple(other for other in others if other != own),
    )


def _check_names(sequences: list[Sequence]) -> None:
    """No name may mean two sequences: ``Skater2`` is a folder, never the second target of ``Skater``."""
    counts = Counter(name for one in sequences for name in {one.name, *one.aliases})
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise DataError(f"two targets would both be called {twice[0]!r}; rename one of the folders")
