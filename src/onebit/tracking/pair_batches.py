"""Batches of training pairs: a pure function of seed, epoch and step, whatever the number of processes and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onebit.data.augment import order
from onebit.data.batches import share_of
from onebit.errors import UsageError
from onebit.tracking.labels import label_map
from onebit.tracking.pairs import Crops, PairSource

_PAIR = 0x7061  # keeps this stream of random numbers apart from others; see onebit.data.augment
Batch = tuple[tuple[Tensor, Tensor], Tensor]


class PairBatches:
    """Batches of pairs, epoch after epoch.

    Args:
        train: shuffled and varied, the last incomplete batch dropped unless it is the only one; else in order, without
            variation, the same pairs in every epoch.
        rank, world_size: each process takes its contiguous share of the global batch.
        workers: threads that read and cut the next batches.

    >>> from onebit.training.recipe import PairsConfig
    >>> source = PairSource((), (), (), PairsConfig())
    >>> len(PairBatches(source, 8, seed=0, train=False))
    0
    """

    def __init__(
        self,
        source: PairSource,
        batch_size: int,
        *,
        seed: int,
        train: bool,
        device: str | torch.device = "cpu",
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
    ) -> None:
        if train and batch_size % world_size:
            raise UsageError(f"batch_size {batch_size} does not divide among {world_size} processes; choose a multiple")
        self.source, self.batch_size, self.seed, self.train = source, batch_size, seed, train
        self.device, self.rank, self.world_size, self.workers = torch.device(device), rank, world_size, workers

    def __len__(self) -> int:
        """Steps per epoch."""
        count = len(self.source)
        return max(1, count // self.batch_size) if self.train else -(-count // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield ((exemplars (B, 3, 127, 127), searches (B, 3, 239, 239)), labels (B, 15, 15)), float32, pixels 0..255."""
        count = len(self.source)
        sequence = order(self.seed, epoch, count) if self.train else torch.arange(count)
        shares = [sequence[self._share(step)].tolist() for step in range(start, len(self))]
        for pairs in self._made([[(index, epoch) for index in share] for share in shares]):
            inputs = [_to_tensor([pair[branch] for pair in pairs], self.device) for branch in (0, 1)]
            yield (inputs[0], inputs[1]), label_map().to(self.device).expand(len(pairs), 15, 15)

    def _share(self, step: int) -> slice:
        return share_of(step, self.batch_size, len(self.source), self.rank, self.world_size)

    def _make(self, job: tuple[int, int]) -> Crops:
        index, epoch = job
        seed = self.seed & 0xFFFFFFFFFFFFFFFF
        rng = np.random.default_rng(np.random.SeedSequence([seed, _PAIR, epoch if self.train else 0, index]))
        return self.source.pair(index, rng) if self.train else self.source.plain_pair(index, rng)

    def _made(self, batches: list[list[tuple[int, int]]]) -> Iterator[list[Crops]]:
        if not self.workers:
            for jobs in batches:
                yield [self._make(job) for job in jobs]
            return
        with ThreadPoolExecutor(self.workers) as pool:
            yield from _ahead(pool.map, self._make, batches, ahead=2)


def _ahead(start: Callable[..., Any], make: Callable[..., Any], batches: list[Any], ahead: int) -> Iterator[list[Any]]:
    """What ``start(make, batch)`` gives for every batch, begun so many batches early."""
    waiting: list[Any] = []
    for batch in batches:
        waiting.append(start(make, batch))
        if len(waiting) > ahead:
            yield list(waiting.pop(0))
    for begun in waiting:
        yield list(begun)


def _to_tensor(images: list[Any], device: torch.device) -> Tensor:
    """Images (H, W, 3) uint8 as (N, 3, H, W) float32, channels last in memory."""
    stacked = np.stack(images) if images else np.zeros((0, 1, 1, 3), np.uint8)
    return torch.from_numpy(stacked).to(device).permute(0, 3, 1, 2).float()
