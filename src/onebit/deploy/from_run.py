"""From a finished run to a packed network, and back to the data that the run was measured on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from onebit.data import Batches
from onebit.deploy.file import MAGIC
from onebit.deploy.pack import Precision, pack
from onebit.deploy.packed_model import PackedModel, load
from onebit.errors import UsageError
from onebit.training.checkpoints import find_checkpoint, load_model
from onebit.training.evaluation import Counts
from onebit.training.recipe import Recipe
from onebit.training.recipe_files import recipe_from_dict
from onebit.training.sets import evaluation_batches, load_split


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a .onebit file, by its first bytes, or by its name where there is none to read."""
    path = Path(path)
    if not path.is_file():
        return path.suffix == ".onebit"
    with open(path, "rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC or path.suffix == ".onebit"


def pack_run(path: str | os.PathLike[str], *, which: str = "last", precision: Precision = "float32") -> PackedModel:
    """Pack the network of a run folder or checkpoint, with its classes, its normalisation and where it comes from.

    Raises:
        CheckpointError, UsageError: as :func:`onebit.load_model` and :func:`onebit.pack`.
    """
    model, checkpoint = load_model(path, which)
    recipe, data = checkpoint["recipe"], checkpoint["data"]
    file = find_checkpoint(path, which).resolve()
    folder = file.parent.parent if file.parent.name == "checkpoints" else file.parent
    run = {
        "recipe": recipe["name"],
        "folder": folder.name,
        "checkpoint": file.name,
        "seed": recipe["training"]["seed"],
        "epoch": checkpoint["epoch"],
        "data": recipe["data"],
    }
    describe: Any = getattr(model, "packed_metadata", dict)
    return pack(
        model,
        (data["in_channels"], data["image_size"], data["image_size"]),
        precision=precision,
        classes=data["classes"] or None,
        mean=data.get("mean"),
        std=data.get("std"),
        metadata={"model": recipe["model"]["name"], "method": recipe["method"]["name"], "run": run, **describe()},
    )


def open_packed(
    path: str | os.PathLike[str], *, which: str = "last", precision: Precision = "float32", kernel: str | None = None,
    threads: int = 1,
) -> PackedModel:  # fmt: skip
    """A .onebit file, or a run folder or checkpoint, which is packed first."""
    if is_packed(path):
        return load(path, kernel=kernel, threads=threads)
    return pack_run(path, which=which, precision=precision).using(kernel=kernel, threads=threads)


def data_recipe(packed: PackedModel) -> Recipe:
    """A recipe whose data section is that of the run which a packed network comes from.

    Raises:
        UsageError: if it was not packed from a run.
    """
    data = (packed.metadata.get("run") or {}).get("data")
    if not isinstance(data, dict):
        raise UsageError("this packed network does not say which data it was trained on; pack it from its run folder")
    return recipe_from_dict({"data": data})


def pixel_batches(recipe: Recipe, dataset: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """The recipe's evaluation images as uint8 pixels (N, C, H, W), with labels (N,)."""
    channels = len(dataset.mean)
    plain = dataclasses.replace(dataset, mean=(0.0,) * channels, std=(1.0,) * channels)
    batches: Batches = evaluation_batches(recipe, plain)
    for images, labels in batches.epoch(0):
        yield images.mul(255).round().byte(), labels


def evaluate_packed(
    path: str | os.PathLike[str], *, split: str = "test", data_dir: str | os.PathLike[str] | None = None,
    kernel: str | None = None, threads: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Measure a .onebit file on a split of the data set that its run was trained on, through the engine.

    Returns:
        {"dataset", "split", "n", "top1", "top5", "loss", "note"} as :func:`onebit.evaluate`.
    Raises:
        UsageError: if it was not packed from a run, or the data set has other classes. DataError: as the data set.
    """
    packed = load(path, kernel=kernel, threads=threads)
    recipe = data_recipe(packed)
    dataset = load_split(recipe, split, Path(data_dir) if data_dir is not None else None, False)
    counts = Counts()
    for pixels, labels in pixel_batches(recipe, dataset):
        logits = packed(pixels)
        if logits.shape[1:] != (len(dataset.classes),):
            raise UsageError(
                f"the network's answers have shape {tuple(logits.shape[1:])}, {dataset.name} has {len(dataset.classes)} classes"
            )
        hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
        counts.add(hits, F.cross_entropy(logits, labels, reduction="sum").item())
    return {"dataset": dataset.name, "split": split, **counts.figures(), "note": dataset.note}
