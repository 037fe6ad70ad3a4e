"""What a data set is, and the one function that loads them all by name."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from onebit.errors import DataError, UsageError, unknown_name
from onebit.registry import Registry

if TYPE_CHECKING:
    from onebit.data.folder import FolderDataset

SPLITS = ("train", "holdout", "test")
#: what to do about a damaged file, at the end of an error's sentence
AGAIN = "delete it and load with --download, or copy it again"


@dataclass
class Dataset:
    """A small data set: all its images in one tensor, in the official order.

    - ``images``: uint8 ``(N, C, H, W)``; ``labels``: int64 ``(N,)``, 0 .. number of classes - 1
    - ``classes``: the names, in the order of the labels
    - ``mean``, ``std``: one number per channel, of pixel values in 0..1; constants of the data set, whatever the split
    - ``note``: what a reader of a result must know, e.g. ``"JPEG copy"``; usually empty

    Raises DataError when the parts do not fit together.
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor
    classes: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    note: str = ""

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(
                f"{self.name}: images are {self.images.dtype} {tuple(self.images.shape)}; expected uint8 (N, C, H, W)"
            )
        if len(self.images) != len(self.labels):
            raise DataError(
                f"{self.name}: {len(self.images)} images but {len(self.labels)} labels; "
                "the files do not belong together"
            )
        if len(self.mean) != self.images.shape[1] or len(self.std) != self.images.shape[1]:
            raise DataError(
                f"{self.name}: images have {self.images.shape[1]} channels, "
                f"but mean and std have {len(self.mean)} and {len(self.std)}"
            )
        check_labels(self.labels.numpy(), len(self.classes), self.name)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width


@dataclass
class Part:
    """What a reader returns: arrays of the train or test part, in official order."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    note: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known about a data set before it is read. ``train``, ``test``: numbers of images, 0 where they vary."""

    name: str
    title: str
    classes: int = 0
    shape: tuple[int, int, int] = (3, 0, 0)
    train: int = 0
    test: int = 0
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    source: str = ""
    read: Callable[[Path, str], Part] | None = field(default=None, repr=False)
    fetch: Callable[[Path], None] | None = field(default=None, repr=False)


DATASETS: Registry[DatasetInfo] = Registry("data set")


def list_datasets() -> list[str]:
    """The names that :func:`load_dataset` knows, sorted.

    >>> list_datasets()
    ['cifar10', 'cifar100', 'digits', 'folder', 'hub', 'mnist']
    """
    _register()
    return DATASETS.names()


def load_dataset(
    name: str,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    holdout: int = 0,
    limit: int | None = None,
    download: bool = False,
    image_size: int | None = None,
    hub: str | None = None,
) -> Dataset | FolderDataset:
    """Load one split of a data set by name.

    - ``split``: ``"train"`` (without the held-out images), ``"holdout"`` (those) or ``"test"``. The hold-out is the
      last ``holdout`` train images in official order; for folders and hub sets see :mod:`onebit.data.folder`.
    - ``data_dir``: where the files are; else ``$ONEBIT_DATA``, else ``./data``. For ``folder`` it is the folder itself.
    - ``limit``: only the first so many images of the split. They are not balanced over the classes.
    - ``download``: fetch files that are missing or found damaged (checked, see :func:`onebit.data.download`); hub sets
      are fetched by their own package in any case.
    - ``image_size``: folders and hub sets: the short side is resized to it and the centre square taken (default 256).
      Small sets: images are resized to this side once, when loaded (by default they stay as they are).
    - ``hub``: for ``hub``: the name there, ``"owner/name"`` or ``"owner/name:configuration"``.

    Raises UsageError for an unknown name or split or impossible numbers, DataError for missing or damaged files.

    >>> digits = load_dataset("digits", "train", holdout=200)
    >>> len(digits), digits.shape, len(digits.classes)
    (1237, (1, 8, 8), 10)
    """
    _register()
    info = DATASETS[name]
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if holdout < 0 or (split == "holdout" and holdout == 0):
        raise UsageError(
            f"holdout is {holdout}; give the number of train images to hold out, 1 or more, to use the split {split!r}"
        )
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; give 1 or more images, or leave it out")
    if image_size is not None and image_size < 1:
        raise UsageError(f"image_size is {image_size}; give a side of 1 or more pixels, or leave it out")
    if hub is not None and name != "hub":
        raise UsageError(f"a hub name ({hub!r}) goes with the data set 'hub', not with {name!r}")
    folder = data_folder(data_dir)
    if name == "folder":
        from onebit.data.folder import load_folder

        return load_folder(folder, split, holdout=holdout, limit=limit, image_size=image_size)
    if name == "hub":
        from onebit.data.hub import load_hub

        return load_hub(hub, split, holdout=holdout, limit=limit, image_size=image_size)
    if info.read is None:
        raise UsageError(f"the data set {name!r} is registered without a reader")
    if download and info.fetch is not None:
        info.fetch(folder)
    part = info.read(folder, "test" if split == "test" else "train")
    chosen = _choose(len(part.labels), split, holdout, limit, name)
    images = torch.from_numpy(part.images[chosen])
    if image_size is not None:
        images = resize(images, image_size)
    labels = torch.from_numpy(part.labels[chosen])
    return Dataset(name, split, images, labels, part.classes, info.mean, info.std, part.note)


def data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    """The argument, else ``$ONEBIT_DATA``, else ``./data``."""
    return Path(data_dir if data_dir is not None else os.environ.get("ONEBIT_DATA") or "data").expanduser()


def check_labels(labels: NDArray[np.int64], classes: int, where: str) -> None:
    """Raise DataError, with the place and the value, when a label is not in 0 .. classes - 1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataError(
            f"{where}: label {labels[wrong[0]]} of image {wrong[0]} is out of range (0 to {classes - 1}); "
            "the file is damaged or not this data set"
        )


def check_holdout(holdout: int, count: int, name: str) -> None:
    """Raise UsageError when holding out ``holdout`` of ``count`` images would leave nothing to train on."""
    if holdout >= count:
        raise UsageError(f"holdout is {holdout}, but {name} has only {count} train images; hold out fewer")


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 ``(N, C, H, W)`` to uint8 ``(N, C, size, size)``, bilinear and antialiased."""
    if tuple(images.shape[-2:]) == (size, size):
        return images
    pieces = [
        F.interpolate(piece.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
        .round_()
        .clamp_(0, 255)
        .byte()
        for piece in images.split(1000)
    ]
    return torch.cat(pieces)


def _choose(count: int, split: str, holdout: int, limit: int | None, name: str) -> slice:
    start, stop = 0, count
    if split != "test":
        check_holdout(holdout, count, name)
        start, stop = (count - holdout, count) if split == "holdout" else (0, count - holdout)
    return slice(start, stop if limit is None else min(stop, start + limit))


def _register() -> None:
    # Readers import this module for its types, so they are imported late.
    for reader in ("cifar", "digits", "folder", "hub", "mnist"):
        importlib.import_module(f"onebit.data.{reader}")
