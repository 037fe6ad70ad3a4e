"""A finished run, shipped: packed into its folder, compared with PyTorch on its test images, timed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onebit.deploy.agreement import agreement
from onebit.deploy.float_twin import float_twin
from onebit.deploy.from_run import data_recipe, pack_run, pixel_batches
from onebit.deploy.inspection import sizes
from onebit.deploy.peers import images_for, ours, torch_contender
from onebit.deploy.timing import Call, Contender, measure
from onebit.training.checkpoints import load_model
from onebit.training.sets import load_split


def ship(folder: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Pack a run into FOLDER/model.onebit, run it and PyTorch on all test images, and time both on one image and one thread.

    Returns:
        {"file", "bytes", "ratio", "images", "same_class", "largest_difference", "signs", "flips", "timings"}; timings: of ours, of
        the same network in torch, and of its float twin in torch.
    """
    file = Path(folder) / "model.onebit"
    packed = pack_run(folder)
    packed.save(file)
    network, _ = load_model(folder)
    recipe = data_recipe(packed)
    dataset = load_split(recipe, "test", Path(data_dir) if data_dir is not None else None, False)
    found = agreement(network, packed, (pixels for pixels, _ in pixel_batches(recipe, dataset)))
    name, images = str(packed.metadata["model"]), torch.from_numpy(images_for(packed.program))
    rivals = [
        ours(packed, name),
        Contender("torch, 1-bit", name, partial(_open_network, network, images)),
        torch_contender(float_twin(packed.program), name),
    ]
    size = sizes(packed)
    timings = measure(rivals, rounds=9)
    return {"file": str(file), "bytes": size["bytes"], "ratio": size["ratio"], **found.to_dict(), "timings": timings}


def _open_network(network: nn.Module, images: Tensor, threads: int) -> Call:
    def run() -> None:
        with torch.inference_mode():
            network(images)

    return run
