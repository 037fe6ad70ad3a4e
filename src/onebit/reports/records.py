"""What a run folder holds, as typed records. Every figure may be missing (``None``): a run can end anywhere.

Top-1 and top-5 are percentages; shares, discriminator accuracies and probabilities lie in 0..1; times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

Role = Literal["student", "teacher"]


@dataclass(frozen=True)
class Scores:
    """Loss and accuracies on one split."""

    loss: float | None = None
    top1: float | None = None
    top5: float | None = None


@dataclass(frozen=True)
class Discriminator:
    """One discriminator over one epoch: ``real`` and ``fake`` are its mean outputs for teacher and student maps."""

    accuracy: float | None = None
    loss: float | None = None
    real: float | None = None
    fake: float | None = None
    update_share: float | None = None


@dataclass(frozen=True)
class Matrix:
    """The learnable matrices C of all layers together."""

    min: float | None = None
    mean: float | None = None
    negative_share: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One line of ``metrics.jsonl``. ``terms`` are the parts of the training loss by name (task, kernel, ...)."""

    number: int
    seconds: float | None = None
    images_per_second: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    train: Scores = field(default_factory=Scores)
    terms: dict[str, float] = field(default_factory=dict)
    holdout: Scores = field(default_factory=Scores)
    before_refresh: Scores = field(default_factory=Scores)
    flips: float | None = None
    flips_per_layer: dict[str, float] = field(default_factory=dict)
    discriminators: dict[str, Discriminator] = field(default_factory=dict)
    gradient_ratio: float | None = None
    adversarial_weight: float | None = None
    matrix: Matrix = field(default_factory=Matrix)


@dataclass(frozen=True)
class Evaluation:
    """Scores of the final weights on a named split, and on the hold-out images.

    ``confusion[t, p]`` counts images of class t predicted as p.
    """

    dataset: str | None = None
    split: str | None = None
    note: str | None = None
    n: int | None = None
    scores: Scores = field(default_factory=Scores)
    holdout: Scores = field(default_factory=Scores)
    classes: tuple[str, ...] = ()
    confusion: np.ndarray | None = None

    def class_name(self, index: int) -> str:
        """The class's name, or its number where the run does not name it."""
        return self.classes[index] if 0 <= index < len(self.classes) else str(index)


@dataclass(frozen=True)
class Examples:
    """Images (K, H, W, 3) or (K, H, W) uint8 with label, prediction and its probability, each (K,)."""

    images: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Kernel:
    """One binary layer: histogram of its latent weights, values of its scaled binary weights, share of +1."""

    layer: str
    edges: np.ndarray
    counts: np.ndarray
    levels: np.ndarray
    positive: float | None


@dataclass(frozen=True)
class Run:
    """A run folder, read. ``problems`` are sentences about what was found damaged and left out."""

    path: Path
    role: Role
    epochs: tuple[Epoch, ...] = ()
    planned_epochs: int | None = None
    parameters: int | None = None
    binary_parameters: int | None = None
    status: str | None = None
    total_seconds: float | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    recipe_text: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    examples: Examples | None = None
    kernels: tuple[Kernel, ...] = ()
    teacher: Run | None = None
    problems: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run says that it came to its end."""
        return self.status == "finished"

    @property
    def seconds(self) -> float | None:
        """Duration of the run as it states it, else the sum over the logged epochs."""
        if self.total_seconds is not None:
            return self.total_seconds
        known = [epoch.seconds for epoch in self.epochs if epoch.seconds is not None]
        return sum(known) if known else None

    @property
    def binary_share(self) -> float | None:
        """Share of the weights that are 1-bit, 0..1."""
        if not self.parameters or self.binary_parameters is None:
            return None
        return self.binary_parameters / self.parameters

    @property
    def best(self) -> Epoch | None:
        """The epoch with the best hold-out top-1 (the first of equals)."""
        scored = [epoch for epoch in self.epochs if epoch.holdout.top1 is not None]
        return max(scored, key=lambda epoch: epoch.holdout.top1 or 0.0, default=None)

    def numbers(self) -> np.ndarray:
        """Epoch numbers, (E,) integer."""
        return np.array([epoch.number for epoch in self.epochs], dtype=int)

    def series(self, value: Callable[[Epoch], float | None]) -> np.ndarray:
        """``value`` of every epoch, (E,) float64, NaN where it is missing or not finite."""
        raw = np.array([np.nan if (v := value(epoch)) is None else v for epoch in self.epochs], dtype=float)
        return np.where(np.isfinite(raw), raw, np.nan)

    def names(self, value: Callable[[Epoch], dict[str, Any]]) -> list[str]:
        """The keys of a per-epoch dictionary over all epochs, in order of first appearance."""
        return list(dict.fromkeys(name for epoch in self.epochs for name in value(epoch)))
