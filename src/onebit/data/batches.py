"""Batches of normalised images: shuffled, augmented and cut into ranks as a pure function of seed, epoch and step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from onebit.data.augment import Augment, Normalise, centre_crop, crop_and_flip, cutout, draws, order
from onebit.data.dataset import Dataset
from onebit.data.folder import FolderDataset, decoded_batches
from onebit.errors import DataError, UsageError


def share_of(step: int, batch_size: int, length: int, rank: int, world_size: int) -> slice:
    """Positions in an epoch's sequence of ``length`` that a rank takes at ``step``.

    >>> share_of(1, 4, 7, 0, 2), share_of(1, 4, 7, 1, 2)
    (slice(4, 5, None), slice(5, 7, None))
    """
    first = step * batch_size
    count = min(batch_size, length - first)
    return slice(first + count * rank // world_size, first + count * (rank + 1) // world_size)


class Batches:
    """The batches of a data set, epoch after epoch.

    - ``batch_size``: of the global batch; each of ``world_size`` ranks yields its contiguous share.
    - ``train=True``: shuffled and augmented; the last incomplete batch is dropped, unless it is the only one.
      ``train=False``: in order, centre crop to ``augment.crop`` only, nothing dropped. There the last batch may be
      smaller, and empty on some ranks; every rank yields the same number of batches.
    - ``device``: where the batches are. A small data set is copied there once, as uint8.
    - ``workers``: processes that decode the images of a folder or hub set; of no effect for small sets.

    The batches depend on (``seed``, epoch, step) and nothing else: not on the device, not on the number of workers, not
    on what was iterated before. Attributes: ``shape`` (channels, height, width of what the network gets), ``dataset``.
    Raises UsageError when sizes do not fit, DataError for an empty set or an unreadable image.

    >>> from onebit.data import load_dataset
    >>> batches = Batches(load_dataset("digits", "test"), 100, seed=0, train=False)
    >>> len(batches), [tuple(images.shape) for images, labels in batches.epoch(0)][-1]
    (4, (60, 1, 8, 8))
    """

    def __init__(
        self,
        dataset: Dataset | FolderDataset,
        batch_size: int,
        *,
        seed: int,
        train: bool,
        augment: Augment | None = None,
        device: str | torch.device = "cpu",
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
    ) -> None:
        self.dataset, self.batch_size, self.seed, self.train = dataset, batch_size, seed, train
        self.augment = augment or Augment()
        self.device, self.rank, self.world_size, self.workers = torch.device(device), rank, world_size, workers
        self._check()
        channels, *size = dataset.shape
        height, width = (
            self.augment.output_size((size[0], size[1])) if train else (self.augment.crop or s for s in size)
        )
        self.shape = (channels, height, width)
        self._normalise = Normalise(dataset.mean, dataset.std, self.device)
        self._labels = dataset.labels.to(self.device)
        self._images = dataset.images.to(self.device) if isinstance(dataset, Dataset) else None

    def __len__(self) -> int:
        """Steps per epoch."""
        count = len(self.dataset)
        return max(1, count // self.batch_size) if self.train else -(-count // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images float32 ``(B, C, h, w)`` and labels int64 ``(B,)`` on the device, from step ``start`` on."""
        count = len(self.dataset)
        sequence = order(self.seed, epoch, count) if self.train else torch.arange(count)
        steps = range(start, len(self))
        decoded = self._decode([sequence[self._share(step)] for step in steps], epoch)
        sequence = sequence.to(self.device)
        for step in steps:
            chosen = sequence[self._share(step)]
            pixels = next(decoded) if self._images is None else self._images.index_select(0, chosen)
            yield self._finish(pixels, epoch, step), self._labels.index_select(0, chosen)

    def raw(self, indices: Sequence[int] | Tensor) -> Tensor:
        """The images as stored, for showing: uint8 ``(K, C, H, W)`` on the CPU."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        if isinstance(self.dataset, Dataset):
            return self.dataset.images[chosen]
        return torch.cat([*decoded_batches(self.dataset, [chosen], workers=0)])

    def _share(self, step: int) -> slice:
        return share_of(step, self.batch_size, len(self.dataset), self.rank, self.world_size)

    def _decode(self, indices: list[Tensor], epoch: int) -> Iterator[Tensor]:
        if isinstance(self.dataset, Dataset):
            return
        resized = self.augment if self.train and self.augment.random_resized else None
        for pixels in decoded_batches(self.dataset, indices, self.workers, resized, self.seed, epoch):
            pinned = pixels.pin_memory() if self.device.type == "cuda" else pixels
            yield pinned.to(self.device, non_blocking=True)

    def _finish(self, pixels: Tensor, epoch: int, step: int) -> Tensor:
        if not self.train:
            return self._normalise(centre_crop(pixels, self.augment.crop))
        # Drawn for the whole batch, so that the images do not depend on the number of ranks.
        first, share = step * self.batch_size, self._share(step)
        count = min(self.batch_size, len(self.dataset) - first)
        numbers = draws(self.seed, epoch, step, count)[share.start - first : share.stop - first]
        images = self._normalise(crop_and_flip(pixels, numbers, self.augment))
        return cutout(images, numbers, self.augment.cutout) if self.augment.cutout else images

    def _check(self) -> None:
        name = self.dataset.name
        if not len(self.dataset):
            raise DataError(f"the {self.dataset.split} split of {name} is empty; there is nothing to make batches of")
        if self.batch_size < 1 or self.workers < 0:
            raise UsageError(
                f"batch_size is {self.batch_size} and workers {self.workers}; they must be at least 1 and 0"
            )
        if self.world_size < 1 or not 0 <= self.rank < self.world_size:
            raise UsageError(f"rank {self.rank} of {self.world_size}; the rank must be in 0 .. world_size - 1")
        if self.train and self.batch_size % self.world_size:
            raise UsageError(
                f"batch_size {self.batch_size} does not divide among {self.world_size} processes; "
                f"choose a multiple of {self.world_size}"
            )
        if self.augment.random_resized and isinstance(self.dataset, Dataset):
            raise UsageError(f"augment.random_resized is for folders and hub sets, not for {name}; use crop and pad")
