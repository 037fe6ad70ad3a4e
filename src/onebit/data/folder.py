"""Class folders: ImageNet, and any images of the user's own.

    DIR/train/<class>/**.jpg        DIR/val/<class>/**.jpg   (or valid/, validation/, test/)

Tiny-ImageNet's ``val/images/`` with its ``val_annotations.txt`` is read as well.

Classes are the sub-folders of ``train``, sorted by name; images are sorted by path within a class. Since that order is
by class, its last images would be one class: the hold-out and ``limit`` therefore take the images whose path (relative
to ``train``, ``/`` between its parts) has the smallest SHA-256 digest: a fixed random choice, the same everywhere.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from onebit.data.augment import Augment, resized_draws
from onebit.data.dataset import DATASETS, DatasetInfo, check_holdout
from onebit.data.decode import central_square, random_part
from onebit.errors import DataError, OnebitError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"})
IMAGE_SIZE = 256
_TEST_FOLDERS = ("test", "val", "valid", "validation")
_ANNOTATIONS = "val_annotations.txt"
_LAYOUT = "expected train/<class>/<image files> and val/<class>/<image files> (or test/) in it"


@dataclass
class FolderDataset:
    """Images in files, decoded when a batch needs them; always RGB.

    Like :class:`onebit.data.Dataset`, with ``paths`` (relative to ``root``) in place of ``images``. ``image_size``: the
    short side is resized to it and the central square taken, so that ``shape`` is ``(3, image_size, image_size)``.
    """

    name: str
    split: str
    root: Path
    paths: list[str]
    labels: Tensor
    classes: list[str]
    image_size: int = IMAGE_SIZE
    mean: tuple[float, ...] = field(default_factory=lambda: DATASETS["folder"].mean)
    std: tuple[float, ...] = field(default_factory=lambda: DATASETS["folder"].std)
    note: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of an image after decoding."""
        return 3, self.image_size, self.image_size

    def where(self, index: int) -> str:
        """What to call image ``index`` in a message."""
        return str(self.root / self.paths[index])

    def open(self, index: int) -> Image.Image:
        """The image, not decoded yet."""
        return Image.open(self.root / self.paths[index])


def load_folder(
    folder: Path, split: str, *, holdout: int = 0, limit: int | None = None, image_size: int | None = None
) -> FolderDataset:
    """List the images of one split; nothing is decoded yet. Raises DataError saying what layout is expected."""
    if not folder.is_dir():
        raise DataError(f"the folder {folder} does not exist; {_LAYOUT}; name it with --data-dir or ONEBIT_DATA")
    known = _subfolders(folder / "train")
    top = _test_folder(folder, known) if split == "test" else folder / "train"
    if top is None or not _subfolders(top):
        found = ", ".join(f"{name}/" for name in _subfolders(folder)[:5]) or "no folders"
        missing = "val/ (or test/, valid/, validation/)" if split == "test" else "train/"
        raise DataError(f"{folder} has no class folders in {missing}: it holds {found}; {_LAYOUT}")
    classes = known or _subfolders(top)
    paths, labels = _list_images(top, classes)
    if split != "test":
        check_holdout(holdout, len(paths), str(top))
    chosen = choose(paths, split, holdout, limit)
    return FolderDataset(
        "folder",
        split,
        top,
        [paths[i] for i in chosen],
        torch.tensor([labels[i] for i in chosen]),
        classes,
        image_size or IMAGE_SIZE,
    )


def choose(keys: Sequence[str], split: str, holdout: int, limit: int | None) -> list[int]:
    """Positions of the images of a split, ascending: the hold-out and the limit go by the SHA-256 of the keys."""
    everything = list(range(len(keys)))
    if not holdout and limit is None:
        return everything
    by_digest = sorted(
        everything, key=lambda index: hashlib.sha256(keys[index].encode("utf-8", "surrogateescape")).digest()
    )
    if split == "holdout":
        by_digest = by_digest[:holdout]
    elif split == "train":
        by_digest = by_digest[holdout:]
    return sorted(by_digest[:limit])


def decoded_batches(
    dataset: FolderDataset,
    batches: Sequence[Tensor],
    workers: int = 0,
    resized: Augment | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> Iterator[Tensor]:
    """Decode one batch of images after the other, in order: uint8 ``(B, 3, h, w)`` on the CPU.

    ``resized``: draw a random resized part for each image, from (seed, epoch, index); else the central square. With
    ``workers`` > 0 that many processes decode ahead. Raises DataError naming the first image that cannot be read.
    """
    job = _Job(dataset, resized, seed, epoch)
    # The generator is ours because a loader without one draws from torch's global state, which belongs to the training.
    loader = DataLoader(
        job,
        batch_sampler=[batch.tolist() for batch in batches],
        num_workers=workers,
        collate_fn=_stack,
        generator=torch.Generator(),
    )
    size = (resized.crop if resized else 0) or dataset.image_size
    try:
        for pixels in loader:
            if isinstance(pixels, str):
                raise DataError(pixels)
            yield torch.from_numpy(pixels) if len(pixels) else torch.empty(0, 3, size, size, dtype=torch.uint8)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise OnebitError(
            f"a process that decodes the images of {dataset.root} died ({error}); use fewer workers or free some memory"
        ) from error


@dataclass
class _Job(TorchDataset):
    """What a worker process needs to decode any image."""

    dataset: FolderDataset
    resized: Augment | None
    seed: int
    epoch: int

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> NDArray[np.uint8] | str:
        try:
            with self.dataset.open(index) as image:
                if self.resized is None:
                    return central_square(image, self.dataset.image_size)
                size = self.resized.crop or self.dataset.image_size
                return random_part(image, size, self.resized, resized_draws(self.seed, self.epoch, index))
        # Pillow's decoders raise much more than OSError on damaged files. The message travels as a value: an
        # exception would arrive from a worker wrapped in its traceback.
        except Exception as error:
            return f"{self.dataset.where(index)} is not a readable image ({error}); replace it or remove it"


def _stack(images: list[Any]) -> NDArray[np.uint8] | str:
    # numpy arrays go through the worker's pipe; tensors would need shared memory, which containers keep small.
    for image in images:
        if isinstance(image, str):
            return image
    return np.stack(images) if images else np.empty((0,), np.uint8)


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror or error})") from error


def _test_folder(folder: Path, classes: list[str]) -> Path | None:
    # ImageNet has a test/ without labels beside its val/: the first that shares a class with train/ is meant.
    present = [folder / name for name in _TEST_FOLDERS if _subfolders(folder / name)]
    labelled = [top for top in present if (top / _ANNOTATIONS).is_file() or set(classes) & set(_subfolders(top))]
    return next(iter(labelled or present), None)


def _list_images(top: Path, classes: list[str]) -> tuple[list[str], list[int]]:
    numbers = {name: number for number, name in enumerate(classes)}
    if (top / _ANNOTATIONS).is_file():
        return _list_annotated(top, numbers)
    paths: list[str] = []
    labels: list[int] = []
    for name in _subfolders(top):
        if name not in numbers:
            raise DataError(
                f"{top / name} is a class that train/ does not have; add train/{name}/ or remove the folder"
            )
        inside = sorted(_walk(top / name, name))
        if not inside and top.name == "train":
            raise DataError(
                f"{top / name} holds no images ({', '.join(sorted(EXTENSIONS))}); add some or remove the folder"
            )
        paths += inside
        labels += [numbers[name]] * len(inside)
    if not paths:
        raise DataError(f"{top} holds no images ({', '.join(sorted(EXTENSIONS))}); {_LAYOUT}")
    return paths, labels


def _list_annotated(top: Path, numbers: dict[str, int]) -> tuple[list[str], list[int]]:
    """Tiny-ImageNet's val: all files in ``images/``, and a table of file name, class, box."""
    lines = (top / _ANNOTATIONS).read_text(encoding="utf-8", errors="replace").splitlines()
    rows = sorted(line.split("\t")[:2] for line in lines if line.strip())
    for row in rows:
        if len(row) != 2 or row[1] not in numbers:
            raise DataError(
                f"{top / _ANNOTATIONS} has the line {row!r}; expected a file name, a tab and a class of train/"
            )
    return [f"images/{name}" for name, _ in rows], [numbers[label] for _, label in rows]


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, f"{prefix}/{entry.name}")
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                yield f"{prefix}/{entry.name}"


DATASETS.add(
    "folder", DatasetInfo(name="folder", title="Class folders: ImageNet, or your own images", source="--data-dir DIR")
)
