"""Training a tracker's network: pairs instead of images, responses instead of classes; everything else is onebit.training's."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.files import write_bytes, write_text
from onebit.tracking.crop import EXEMPLAR, SEARCH
from onebit.tracking.labels import balanced_loss
from onebit.tracking.pair_batches import PairBatches
from onebit.tracking.pairs import make_source, split_videos
from onebit.tracking.sequences import Sequence as Video
from onebit.tracking.sequences import first_names
from onebit.training.evaluation import Counts
from onebit.training.evaluation_files import kernel_histograms, npz
from onebit.training.recipe import Recipe


class Tracking:
    """Pairs of crops; balanced cross-entropy of the responses.

    ``top1`` is the share of pairs whose highest response lies on a labelled position, ``top5`` of those where one of the five
    highest does. They are measured on pairs of the held-out sequences, or, without any, on pairs of those of training.
    """

    def __init__(self, recipe: Recipe, videos: Sequence[Video], stills: Sequence[Path] = ()) -> None:
        train, held = split_videos(videos, recipe.pairs.holdout)
        self.source = make_source(train, stills, recipe.pairs)
        self.measured = "holdout" if held else "train_sample"
        config = dataclasses.replace(recipe.pairs, per_sequence=recipe.pairs.measured)
        if held:
            self.watched = make_source(held, [], config)
        else:
            still = () if self.source.videos else self.source.stills
            self.watched = dataclasses.replace(self.source, stills=still, config=config)
        self.data: dict[str, Any] = {
            "num_classes": 1,
            "in_channels": 3,
            "image_size": SEARCH,
            "classes": [],
            # The network takes pixels as they are, 0 to 255.
            "mean": [0.0] * 3,
            "std": [1 / 255] * 3,
            "sequences": [video.name for video in self.source.videos],
            "stills": len(self.source.stills),
            "holdout": [video.name for video in held],
        }

    def batches(self, recipe: Recipe, fabric: Any, stream: int = 0) -> PairBatches:
        return PairBatches(
            self.source,
            recipe.data.batch_size,
            seed=recipe.training.seed + 1_000_003 * stream,
            train=True,
            device=fabric.device,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            workers=recipe.data.workers,
        )

    def measured_batches(self, recipe: Recipe, fabric: Any) -> PairBatches:
        rank, world = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
        device = fabric.device if fabric else "cpu"
        return PairBatches(self.watched, 16, seed=0, train=False, device=device, rank=rank, world_size=world)

    def loss(self, output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        return balanced_loss(output, target)

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        return _found(output, target, 1).any(1).float().mean()

    @torch.no_grad()
    def measure(self, model: nn.Module, batches: Any, fabric: Any = None) -> dict[str, Any]:
        training = model.training
        model.eval()
        counts = Counts()
        for inputs, target in batches.epoch(0):
            if not len(target):
                continue
            output = model(inputs).float()
            counts.add(_found(output, target, 5), balanced_loss(output, target).item() * len(target))
        model.train(training)
        return counts.figures(fabric)

    def check_teacher(self, teacher: nn.Module, device: Any) -> None:
        """Refuse a teacher that cannot take a pair or does not answer with 15 x 15 responses."""
        pair = tuple(torch.zeros(2, 3, side, side, device=device) for side in (EXEMPLAR, SEARCH))
        try:
            with torch.no_grad():
                answer = teacher(pair)
        except Exception as error:  # the user's own network may fail in any way
            raise UsageError(f"the teacher cannot take a pair of 127x127 and 239x239 images: {error}") from error
        got = tuple(getattr(answer, "shape", ())) or type(answer).__name__
        if got != (2, 15, 15):
            raise UsageError(f"the teacher answers {got} to two pairs, not (2, 15, 15); take a siamfc as teacher")

    def save(self, folder: Path, recipe: Recipe, model: nn.Module, fabric: Any, details: bool = True) -> dict[str, Any]:
        figures = self.measure(model, self.measured_batches(recipe, fabric), fabric)
        named = first_names([video.name for video in self.watched.videos]) or "still images"
        result = {
            "dataset": "tracking pairs",
            "split": self.measured,
            "note": f"pairs of {named}; top-1: the highest response lies on a labelled position",
            **figures,
            "classes": [],
            "teacher": None,
        }
        theirs = folder / "teacher" / "evaluation.json"
        if theirs.exists():
            known = json.loads(theirs.read_text())
            result["teacher"] = {key: known[key] for key in ("n", "top1", "top5", "loss") if key in known}
        if fabric.is_global_zero:
            if details:
                write_bytes(folder / "kernels.npz", npz(kernel_histograms(model)))
            write_text(folder / "evaluation.json", json.dumps(result, indent=1) + "\n")
        return result


def _found(output: Tensor, target: Tensor, count: int) -> Tensor:
    """Whether the ``count`` highest responses of each pair, the highest first, are labelled, (N, count)."""
    best = output.flatten(1).topk(count, dim=1).indices
    return target.flatten(1).gather(1, best).gt(0.5)
