"""The data of a run: its splits, and the batches made of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from onebit.data import Augment, Batches, load_dataset
from onebit.errors import UsageError
from onebit.training.recipe import Recipe

#: images of train that are measured after every epoch where no hold-out is kept
SAMPLE = 5000


def load_split(recipe: Recipe, split: str, data_dir: str | Path | None, download: bool) -> Any:
    """One split of the recipe's data set."""
    config = recipe.data
    return load_dataset(
        config.dataset,
        split,
        data_dir=data_dir,
        holdout=config.holdout,
        limit=config.limit if split == "train" and config.limit else None,
        download=download,
        image_size=config.image_size or None,
        hub=config.hub or None,
    )


def load_splits(recipe: Recipe, data_dir: str | Path | None, download: bool) -> dict[str, Any]:
    """train, holdout (or None) and test of the recipe's data set; without a hold-out, also a sample of train to watch."""
    holdout = load_split(recipe, "holdout", data_dir, download) if recipe.data.holdout else None
    sample = dataclasses.replace(recipe.data, limit=min(recipe.data.limit or SAMPLE, SAMPLE))
    watched = dataclasses.replace(recipe, data=sample)
    return {
        "train": load_split(recipe, "train", data_dir, download),
        "train_sample": None if holdout else load_split(watched, "train", data_dir, download),
        "holdout": holdout,
        "test": load_split(recipe, "test", data_dir, download),
    }


def describe(dataset: Any, recipe: Recipe) -> dict[str, Any]:
    """What a checkpoint keeps of its data set, enough to build the network and to feed it."""
    channels, height, width = Batches(dataset, 2, seed=0, train=True, augment=recipe.data.augment).shape
    if height != width:
        raise UsageError(
            f"{dataset.name} gives {height}x{width} images; set data.augment.crop or data.image_size to make them square"
        )
    return {
        "num_classes": len(dataset.classes),
        "in_channels": channels,
        "image_size": height,
        "classes": list(dataset.classes),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
    }


def training_batches(recipe: Recipe, dataset: Any, fabric: Any, stream: int = 0) -> Batches:
    """Shuffled, augmented batches; another ``stream`` gives the same images in another order and with other crops."""
    return Batches(
        dataset,
        recipe.data.batch_size,
        seed=recipe.training.seed + 1_000_003 * stream,
        train=True,
        augment=recipe.data.augment,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        workers=recipe.data.workers,
    )


def evaluation_batches(recipe: Recipe, dataset: Any, fabric: Any = None) -> Batches:
    """Batches in order, centre-cropped as the recipe crops; without a fabric, all of them on the CPU."""
    return Batches(
        dataset,
        256,
        seed=0,
        train=False,
        augment=Augment(crop=recipe.data.augment.crop),
        device=fabric.device if fabric else "cpu",
        rank=fabric.global_rank if fabric else 0,
        world_size=fabric.world_size if fabric else 1,
        workers=recipe.data.workers,
    )
