"""Discriminators: they learn to tell the twin's feature maps from the student's, and the student learns to fool them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.training.objective import normalize_channels
from onebit.training.recipe import AdversarialConfig


class Discriminator(nn.Module):
    """Blocks of Linear + LeakyReLU(0.2) on a pooled feature map; returns the logit of "this map is the real network's".

    The probability is ``D = sigmoid(logit)``. Maps are averaged to ``pool`` x ``pool`` where they are at least so large (to
    1 x 1 where smaller), and, with ``normalize``, brought to zero mean and unit variance per channel over the batch.

    Shapes:
        (N, C, H, W) or (N, F) -> (N,)
    """

    def __init__(self, shape: Sequence[int], config: AdversarialConfig) -> None:
        super().__init__()
        self.normalize = config.normalize
        self.pool = 0
        features = shape[0]
        if len(shape) == 3:
            self.pool = (config.pool if min(shape[1:]) >= config.pool else 1) if config.pool else 0
            features *= self.pool**2 if self.pool else shape[1] * shape[2]
        sizes = [features, *config.widths]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, maps: Tensor) -> Tensor:
        maps = maps.float()
        if maps.dim() == 4 and self.pool:
            maps = F.adaptive_avg_pool2d(maps, self.pool)
        if self.normalize:
            maps = normalize_channels(maps)
        return self.layers(maps.flatten(1)).squeeze(1)


class Discriminators(nn.Module):
    """One discriminator per matched feature map, with its own throttle and its own score.

    Losses (Eqs. 2, 4), per discriminator, the batch mean, summed over discriminators:
        for D: ``-log D(R) - log(1 - D(T))`` on the twin's maps R and the student's T, both without gradient to them;
        for the student: ``(1 - D(T))^2`` (``least-squares``) or ``-log D(T)`` (``log``), without gradient to D.
    """

    accuracy: Tensor

    def __init__(self, names: Sequence[str], shapes: Sequence[Sequence[int]], config: AdversarialConfig) -> None:
        super().__init__()
        self.config = config
        self.names = list(names)
        self.members = nn.ModuleList(Discriminator(shape, config) for shape in shapes)
        # The last measured accuracy decides on throttling, so it is part of the state.
        self.register_buffer("accuracy", torch.full((len(self.members),), 0.5))

    def due(self, step: int) -> list[int]:
        """Which members are updated at this step: the accurate ones only every ``throttle_interval`` steps."""
        if step % self.config.throttle_interval == 0:
            return list(range(len(self.members)))
        return [i for i, a in enumerate(self.accuracy.tolist()) if a <= self.config.throttle_accuracy]

    def loss(
        self, real: Sequence[Tensor], fake: Sequence[Tensor], due: Sequence[int]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """The discriminators' own loss over the members in ``due``, and per member (accuracy, loss, mean D(R), mean D(T))."""
        losses, scores = [], {}
        for index in due:
            logit_real = self.members[index](real[index].detach())
            logit_fake = self.members[index](fake[index].detach())
            loss = F.softplus(-logit_real).mean() + F.softplus(logit_fake).mean()
            losses.append(loss)
            with torch.no_grad():
                accuracy = ((logit_real > 0).float().mean() + (logit_fake < 0).float().mean()) / 2
                probabilities = logit_real.sigmoid().mean(), logit_fake.sigmoid().mean()
                scores[index] = torch.stack([accuracy, loss.detach(), *probabilities])
        return torch.stack(losses).sum(), scores

    def generator_loss(self, fake: Sequence[Tensor]) -> Tensor:
        """The student's term: gradients reach the maps, not the discriminators."""
        self.requires_grad_(False)
        try:
            terms = []
            for member, maps in zip(self.members, fake, strict=True):
                logit = member(maps)
                least_squares = self.config.generator_loss == "least-squares"
                terms.append((1 - logit.sigmoid()).square().mean() if least_squares else F.softplus(-logit).mean())
            return torch.stack(terms).sum()
        finally:
            self.requires_grad_(True)
