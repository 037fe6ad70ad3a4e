"""What a run learns: its batches, its loss, its figures. The loop, the teacher and the objectives are the same for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from onebit.training.evaluation import evaluate_model
from onebit.training.evaluation_files import save_evaluation
from onebit.training.recipe import Recipe
from onebit.training.sets import describe, evaluation_batches, training_batches
from onebit.training.teacher import check_teacher


class Task(Protocol):
    """Batches are pairs (inputs, target): inputs are what the network is called with, a tensor or a tuple of tensors.

    Attributes:
        data: what a checkpoint keeps of the data, enough to build the network and to feed it.
        measured: what is measured after every epoch, by its name in the metrics.
    """

    data: dict[str, Any]
    measured: str

    def batches(self, recipe: Recipe, fabric: Any, stream: int = 0) -> Any:
        """Batches to learn from; another ``stream`` draws them anew."""
        ...

    def measured_batches(self, recipe: Recipe, fabric: Any) -> Any:
        """Batches of what is measured after every epoch."""
        ...

    def loss(self, output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """The task loss of a batch, a mean."""
        ...

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        """The share of right answers in a batch, 0 to 1."""
        ...

    def measure(self, model: nn.Module, batches: Any, fabric: Any = None) -> dict[str, Any]:
        """{"n", "top1", "top5", "loss"} of a network; the model is left in the mode it was in."""
        ...

    def check_teacher(self, teacher: nn.Module, device: Any) -> None:
        """Refuse a teacher that does not answer the task's questions."""
        ...

    def save(self, folder: Path, recipe: Recipe, model: nn.Module, fabric: Any, details: bool = True) -> dict[str, Any]:
        """Measure the trained network and write what the run folder keeps of it; returns evaluation.json."""
        ...


class Classification:
    """Images and their classes; cross-entropy; the shares of right first and five first answers."""

    def __init__(self, recipe: Recipe, sets: dict[str, Any]) -> None:
        self.sets = sets
        self.data = describe(sets["train"], recipe)
        self.measured = "holdout" if sets["holdout"] is not None else "train_sample"

    def batches(self, recipe: Recipe, fabric: Any, stream: int = 0) -> Any:
        return training_batches(recipe, self.sets["train"], fabric, stream)

    def measured_batches(self, recipe: Recipe, fabric: Any) -> Any:
        return evaluation_batches(recipe, self.sets[self.measured], fabric)

    def loss(self, output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(output, target, label_smoothing=smoothing)

    def hits(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(1) == target).float().mean()

    def measure(self, model: nn.Module, batches: Any, fabric: Any = None) -> dict[str, Any]:
        return evaluate_model(model, batches, fabric=fabric)

    def check_teacher(self, teacher: nn.Module, device: Any) -> None:
        check_teacher(teacher, self.data, device)

    def save(self, folder: Path, recipe: Recipe, model: nn.Module, fabric: Any, details: bool = True) -> dict[str, Any]:
        return save_evaluation(folder, recipe, model, self.sets, fabric, details)


def first_of(inputs: Any, count: int) -> Any:
    """The first rows of a batch's inputs, tensor or tuple.

    >>> import torch
    >>> [len(part) for part in first_of((torch.zeros(4, 1), torch.zeros(4, 2)), 2)]
    [2, 2]
    """
    return inputs[:count] if isinstance(inputs, Tensor) else tuple(part[:count] for part in inputs)
