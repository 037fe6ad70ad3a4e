"""A sequence: the images of one video and the boxes of one target in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence as Several
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onebit.errors import DataError
from onebit.tracking.boxes import Boxes, one_based_to_zero, zero_to_one_based

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


@dataclass(frozen=True, eq=False)
class Sequence:
    """The frames of one target, with its boxes as far as they are known.

    Attributes:
        name: as the toolkits write it in the names of result files, ``Jogging.1`` for the first of two targets.
        frames: image files in order, one per frame.
        boxes: (n, 4), 0-based x, y, w, h; a row of NaN where the target is absent. ``n`` is the number of frames, or 1
            where the ground truth is withheld (GOT-10k's test split).
        first_frame_number: the number in the first image's name.
        origin: what files of this sequence call the top left pixel: 1 in GOT-10k, OTB and UAV123, else 0.
        annotation: the file of ground truth, whose first line is the first box; for messages.
        written: the boxes as they stand in the annotation file, which is what scores are computed from; by default
            those that ``boxes`` give.
        cover, absence: GOT-10k's labels per frame: visible share in eighths (0 is invisible) and 0 or 1.
        resolution: (width, height) as the data set states it; object_class: what the target is.
        layout: the layout it was read from; note: what was cut or left out in reading it, in one sentence.
        aliases: the other names under which toolkits write results of it.

    Raises ValueError when the parts do not fit each other.

    >>> Sequence("ball", (Path("1.jpg"), Path("2.jpg")), np.array([[0, 0, 9, 9.0], [1, 0, 9, 9]])).absent
    array([False, False])
    """

    name: str
    frames: tuple[Path, ...]
    boxes: Boxes
    first_frame_number: int = 1
    origin: int = 0
    annotation: Path | None = None
    written: Boxes | None = None
    cover: NDArray[np.int64] | None = None
    absence: NDArray[np.int64] | None = None
    resolution: tuple[int, int] | None = None
    object_class: str | None = None
    layout: str = "folder"
    note: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or len(self.boxes) not in (1, len(self.frames)):
            raise ValueError(f"{self.name}: boxes of shape {self.boxes.shape} for {len(self.frames)} frames")
        for what in ("written", "cover", "absence"):
            part = getattr(self, what)
            if part is not None and len(part) != len(self.boxes):
                raise ValueError(f"{self.name}: {len(part)} rows of {what} for {len(self.boxes)} boxes")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def absent(self) -> NDArray[np.bool_]:
        """Where the ground truth says that the target cannot be seen, (n,)."""
        return np.asarray(np.isnan(self.boxes).any(axis=1))

    @property
    def annotated(self) -> bool:
        """Whether every frame has a row of ground truth, so that a result can be scored."""
        return len(self.boxes) == len(self.frames)

    @property
    def truth(self) -> Boxes:
        """The boxes as they stand in the file."""
        return to_file(self.boxes, self.origin) if self.written is None else self.written


def first_names(names: Several[str], most: int = 8) -> str:
    """Names for a sentence: the first of them, and dots for the rest.

    >>> first_names(["a", "b", "c"], most=2)
    'a, b, ...'
    """
    return ", ".join([*names[:most], *["..."] * (len(names) > most)])


def from_file(boxes: Boxes, origin: int) -> Boxes:
    """Boxes of a file as 0-based ones; ``origin`` is what the file calls the top left pixel."""
    return one_based_to_zero(boxes) if origin else boxes.copy()


def to_file(boxes: Boxes, origin: int) -> Boxes:
    """0-based boxes as a file has them, the inverse of :func:`from_file`."""
    return zero_to_one_based(boxes) if origin else boxes.copy()


def number_of(path: Path) -> int | None:
    """The last whole number in a file's name: 12 for ``img00012.jpg``, ``None`` without digits."""
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else None


def list_frames(folder: Path, first: int | None = None, last: int | None = None) -> tuple[Path, ...]:
    """The images of a folder in the order of their numbers, those numbered ``first`` to ``last`` where these are given.

    Names that are not numbered one by one are sorted as text, with 2 before 10. Files that are no images are passed over.

    Raises:
        DataError: when there is no image, two have one number, or a number is missing in between (it is named).
    """
    if not folder.is_dir():
        raise DataError(f"the folder of images {folder} does not exist")
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS and path.name[0] != "."]
    if not images:
        raise DataError(f"{folder} holds no images ({', '.join(sorted(IMAGE_ENDINGS))})")
    numbers = {path: number for path in images if (number := number_of(path)) is not None}
    # 0001_640x480.jpg has its number elsewhere: one number for all is none.
    distinct = len({path.stem for path in images}) == len(images)
    if len(numbers) < len(images) or (distinct and len(set(numbers.values())) < len(images)):
        if first is not None or last is not None:
            raise DataError(
                f"the images in {folder} ({min(path.name for path in images)}, ...) are not numbered one by one; "
                f"frames {first} to {last} are wanted"
            )
        return tuple(sorted(images, key=lambda path: _natural(path.name)))
    images.sort(key=lambda path: (numbers[path], path.name))
    low, high = first if first is not None else numbers[images[0]], last if last is not None else numbers[images[-1]]
    images = [path for path in images if low <= numbers[path] <= high]
    expected = iter(range(low, high + 1))
    before: Path | None = None
    for path in images:
        if before is not None and numbers[path] == numbers[before]:
            raise DataError(f"{folder}: {before.name} and {path.name} are both frame {numbers[path]}; remove one")
        if (number := next(expected)) != numbers[path]:
            after = f"after {before.name} comes {path.name}" if before is not None else f"the first is {path.name}"
            raise DataError(f"{folder}: frame {number} is missing ({after}); put the image back or renumber the rest")
        before = path
    if (number := next(expected, None)) is not None:
        ends = f"the last is {before.name}" if before is not None else "there is none in that range"
        raise DataError(f"{folder}: frame {number} is missing ({ends}, {last} is wanted); put the image back")
    return tuple(images)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts ``img2`` before ``img10``."""
    parts: Iterable[str] = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
