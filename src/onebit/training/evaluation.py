"""Measuring a network on a split: top-1, top-5, loss, confusion."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.data import Batches


class Counts:
    """What is counted over batches: answers, those right at once and among the first five, and the sum of their losses."""

    def __init__(self) -> None:
        self._totals = torch.zeros(4, dtype=torch.float64)

    def add(self, hits: Tensor, loss: float) -> None:
        """``hits`` (N, k), bool: whether each answer's best, second best ... is right; ``loss``: summed over the N."""
        counts = [len(hits), hits[:, 0].sum().item(), hits.any(1).sum().item(), loss]
        self._totals += torch.tensor(counts, dtype=torch.float64)

    def figures(self, fabric: Any = None) -> dict[str, Any]:
        """{"n", "top1", "top5", "loss"}, in percent and as a mean, over the processes of ``fabric``."""
        totals = self._totals
        if fabric is not None and fabric.world_size > 1:
            totals = fabric.all_reduce(totals.to(fabric.device), reduce_op="sum").cpu()
        n, top1, top5, loss = totals.tolist()
        return {"n": int(n), "top1": 100 * top1 / n, "top5": 100 * top5 / n, "loss": loss / n}


@torch.no_grad()
def evaluate_model(
    model: nn.Module, batches: Batches, *, fabric: Any = None, confusion: bool = False, autocast: bool = True
) -> dict[str, Any]:
    """Top-1 and top-5 in percent and the mean cross-entropy of ``model`` on ``batches``.

    Args:
        model: (N, C, H, W) -> logits (N, classes); left in the mode it was in.
        fabric: sums the counts over its processes, and gives precision unless ``autocast`` is False (then float32).
        confusion: also count (true class, predicted class) as nested lists under "confusion".
    Returns:
        {"n", "top1", "top5", "loss"}; top5 with fewer than 5 classes counts all of them.
    """
    training = model.training
    model.eval()
    classes = len(batches.dataset.classes)
    counts = Counts()
    table = torch.zeros(classes, classes, dtype=torch.int64)
    for images, labels in batches.epoch(0):
        if not len(labels):
            continue
        with fabric.autocast() if fabric and autocast else contextlib.nullcontext():
            logits = model(images)
        logits = logits.float()
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
        counts.add(best == labels[:, None], F.cross_entropy(logits, labels, reduction="sum").item())
        if confusion:
            pairs = labels.cpu() * classes + best[:, 0].cpu()
            table += torch.bincount(pairs, minlength=classes**2).view(classes, classes)
    model.train(training)
    result = counts.figures(fabric)
    if confusion:
        if fabric is not None and fabric.world_size > 1:
            table = fabric.all_reduce(table.to(fabric.device), reduce_op="sum").cpu()
        result["confusion"] = table.tolist()
    return result
