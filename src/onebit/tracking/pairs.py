"""Training pairs: an exemplar and an image to search it in, from sequences with boxes and from still images."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onebit.errors import DataError, UsageError
from onebit.tracking.augment import centre_crop, draw_resize, vary_exemplar, vary_search
from onebit.tracking.boxes import centres
from onebit.tracking.crop import EXEMPLAR, INSTANCE, SEARCH, crop_and_resize, search_side
from onebit.tracking.images import Image, image_size, read_image
from onebit.tracking.sequences import IMAGE_ENDINGS, first_names
from onebit.tracking.sequences import Sequence as Video
from onebit.training.recipe import PairsConfig

Crops = tuple[Image, Image]
# Share of the shorter side of a still image that its box takes, least and most.
_STILL_BOX = (0.2, 0.6)
_TRIES = 100


def usable_frames(video: Video, size: tuple[int, int], min_size: int = 20) -> NDArray[np.int64]:
    """The frames of a sequence that training may use; ``size`` is (width, height) of its images.

    Kept: w h >= 20; w, h in [min_size, 500]; w / W, h / H in [0.01, 0.5]; w / max(h, 1) in [0.25, 4]; with GOT-10k's labels,
    cover > max(1, 0.3 * largest cover). Absent targets (NaN) are not kept.
    """
    with np.errstate(invalid="ignore"):
        w, h = video.boxes[:, 2], video.boxes[:, 3]
        kept = (w * h >= 20) & (np.minimum(w, h) >= min_size) & (np.maximum(w, h) <= 500)
        for side, whole in ((w, size[0]), (h, size[1])):
            kept &= (side / whole >= 0.01) & (side / whole <= 0.5)
        kept &= (w / np.maximum(h, 1) >= 0.25) & (w / np.maximum(h, 1) <= 4)
    if video.cover is not None:
        kept &= video.cover > max(1.0, 0.3 * video.cover.max())
    return np.flatnonzero(kept)


def draw_pair(frames: NDArray[np.int64], rng: np.random.Generator, max_distance: int = 100) -> tuple[int, int]:
    """Two of the frames, the earlier first, fewer than ``max_distance`` apart; of two frames these two, whatever apart.

    Tried 100 times; then the same frame twice.
    """
    if len(frames) == 2:
        return int(frames[0]), int(frames[1])
    for _ in range(_TRIES):
        first, second = sorted(rng.choice(frames, 2, replace=False).tolist())
        if second - first < max_distance:
            return first, second
    frame = int(rng.choice(frames))
    return frame, frame


@dataclass(frozen=True)
class PairSource:
    """What pairs are drawn from: sequences with their usable frames, and still images.

    A pair is known by its index: the first ``per_sequence * len(videos)`` belong to sequences in turn, the rest to stills.
    """

    videos: tuple[Video, ...]
    frames: tuple[NDArray[np.int64], ...]
    stills: tuple[Path, ...]
    config: PairsConfig

    def __len__(self) -> int:
        """Pairs in an epoch."""
        return self.config.per_sequence * len(self.videos) + self.config.per_still * len(self.stills)

    def pair(self, index: int, rng: np.random.Generator) -> Crops:
        """The varied crops (127, 127, 3) and (239, 239, 3) of pair ``index``; ``rng`` decides on everything else."""
        exemplar, search = self.crops(index, rng)
        most = self.config.stretch
        return vary_exemplar(exemplar, rng, most), vary_search(search, rng, most)

    def plain_pair(self, index: int, rng: np.random.Generator) -> Crops:
        """The same without variation, for measuring."""
        exemplar, search = self.crops(index, rng, vary=False)
        return centre_crop(exemplar, EXEMPLAR), centre_crop(search, SEARCH)

    def crops(self, index: int, rng: np.random.Generator, vary: bool = True) -> Crops:
        """Two crops of 255 x 255 around the target."""
        count = self.config.per_sequence * len(self.videos)
        if index >= count:
            return self._still(self.stills[(index - count) // self.config.per_still], rng)
        number = index % len(self.videos)
        if len(self.frames[number]) < 2:  # another sequence takes its place; there is one, or the source was refused
            number = int(rng.choice([i for i, frames in enumerate(self.frames) if len(frames) > 1]))
        video = self.videos[number]
        first, second = draw_pair(self.frames[number], rng, self.config.max_distance)
        modes = [draw_resize(rng) if vary else "linear" for _ in range(2)]
        cut = [
            _cut(read_image(video.frames[i]), video.boxes[i], m) for i, m in zip((first, second), modes, strict=True)
        ]
        return cut[0], cut[1]

    def _still(self, path: Path, rng: np.random.Generator) -> Crops:
        """Two views of a random box of an image, the second shifted, scaled, and of another brightness."""
        image = read_image(path)
        height, width = image.shape[:2]
        size = min(height, width) * rng.uniform(*_STILL_BOX, size=2)
        corner = rng.uniform(size=2) * (np.array([width, height]) - size)
        box = np.concatenate([corner, size])
        exemplar = _cut(image, box, draw_resize(rng))
        factor, gain = np.exp(rng.uniform(-1, 1, 2) * np.log1p(self.config.still_scale))
        box[:2] += rng.uniform(-1, 1, 2) * self.config.still_shift * search_side(size) / INSTANCE
        view = np.concatenate([box[:2] + size / 2 * (1 - factor), size * factor])
        search = np.clip(np.rint(_cut(image, view, draw_resize(rng)) * gain), 0, 255).astype(np.uint8)
        if rng.random() < 0.5:
            exemplar, search = exemplar[:, ::-1], search[:, ::-1]
        return np.ascontiguousarray(exemplar), np.ascontiguousarray(search)


def _cut(image: Image, box: NDArray[np.float64], mode: str) -> Image:
    # In float32, as the reference has it: rounding the side of the square depends on it.
    return crop_and_resize(image, centres(box), search_side(box[2:].astype(np.float32)), INSTANCE, mode=mode)


def make_source(videos: Sequence[Video], stills: Sequence[Path], config: PairsConfig) -> PairSource:
    """A source of pairs.

    Raises:
        DataError: if no sequence has two usable frames and there are no stills.
    """
    annotated = [video for video in videos if video.annotated]
    frames = tuple(usable_frames(video, image_size(video.frames[0]), config.min_size) for video in annotated)
    stills = tuple(stills) if config.per_still else ()
    if not any(len(usable) > 1 for usable in frames):
        if videos and not stills:
            raise DataError(
                f"none of the {len(videos)} sequences has two frames with a box that training can use (each side "
                f"{config.min_size} to 500 pixels and 1 % to 50 % of the image's): lower pairs.min_size or give other data"
            )
        annotated, frames = [], ()
    source = PairSource(tuple(annotated), frames, stills, config)
    if not len(source):
        raise DataError(
            "there is nothing to train on: give folders of sequences (--data) or of still images (--stills)"
        )
    return source


def split_videos(videos: Iterable[Video], holdout: Sequence[str]) -> tuple[list[Video], list[Video]]:
    """Sequences to train on, and those whose name matches one of the patterns.

    Raises:
        UsageError: for a pattern that matches no sequence.
    """
    videos = list(videos)
    for pattern in holdout:
        if not any(fnmatch.fnmatchcase(video.name, pattern) for video in videos):
            names = first_names([video.name for video in videos])
            raise UsageError(f"pairs.holdout names {pattern!r}, which matches no sequence; there are: {names}")
    held = [video for video in videos if any(fnmatch.fnmatchcase(video.name, pattern) for pattern in holdout)]
    return [video for video in videos if video not in held], held


def find_stills(root: str | os.PathLike[str]) -> list[Path]:
    """The images of a folder and the folders below it, sorted by name.

    Raises:
        DataError: if there is none.
    """
    root = Path(root)
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS and path.is_file())
    if not found:
        raise DataError(f"{root} holds no images; --stills takes a folder of images, or of folders of images")
    return found
