"""What the response of a training pair should be, and the loss that compares the two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from onebit.tracking.crop import STRIDE


def label_map(size: int = 15, positive: float = 16.0) -> Tensor:
    """1 where the city-block distance from the middle is at most ``positive`` pixels (2 responses), else 0; (size, size).

    The other radius of the reference, 0, leaves no ring of ignored responses between the two.

    >>> int(label_map().sum()), int(label_map(17).sum())
    (13, 13)
    """
    offset = (torch.arange(size) - (size - 1) / 2).abs()
    return (offset[:, None] + offset <= positive / STRIDE).float()


def balanced_loss(response: Tensor, labels: Tensor) -> Tensor:
    """``0.5 * mean over positives of softplus(-r) + 0.5 * mean over negatives of softplus(r)``, over the whole batch.

    It is the cross-entropy of logits, each sign weighted by one over its count; without positives (or negatives), the other
    half stands alone.

    Shapes:
        two times (N, h, w) -> ()
    Gradient:
        to the response: ``-0.5 / P * sigmoid(-r)`` at positives, ``0.5 / N * sigmoid(r)`` at negatives.

    >>> round(balanced_loss(torch.zeros(2, 15, 15), label_map().expand(2, 15, 15)).item(), 6)
    0.693147
    """
    positive = labels > 0.5
    halves = [F.softplus(-response[positive]), F.softplus(response[~positive])]
    return torch.stack([half.mean() for half in halves if half.numel()]).mean()
