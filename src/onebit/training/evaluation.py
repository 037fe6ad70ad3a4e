"""Measuring a network on a split: top-1, top-5, loss, confusion."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from onebit.data import Batches


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
    totals = torch.zeros(4, dtype=torch.float64)
    table = torch.zeros(classes, classes, dtype=torch.int64)
    for images, labels in batches.epoch(0):
        if not len(labels):
            continue
        with fabric.autocast() if fabric and autocast else contextlib.nullcontext():
            logits = model(images)
        logits = logits.float()
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
        hits = best == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        counts = [len(labels), hits[:, 0].sum().item(), hits.any(1).sum().item(), loss.item()]
        totals += torch.tensor(counts, dtype=torch.float64)
        if confusion:
            table += torch.bincount(labels.cpu() * classes + best[:, 0].cpu(), minlength=classes**2).view(
                classes, classes
            )
    model.train(training)
    if fabric is not None and fabric.world_size > 1:
        totals = fabric.all_reduce(totals.to(fabric.device), reduce_op="sum").cpu()
        table = fabric.all_reduce(table.to(fabric.device), reduce_op="sum").cpu()
    n, top1, top5, loss = totals.tolist()
    result: dict[str, Any] = {"n": int(n), "top1": 100 * top1 / n, "top5": 100 * top5 / n, "loss": loss / n}
    if confusion:
        result["confusion"] = table.tolist()
    return result
