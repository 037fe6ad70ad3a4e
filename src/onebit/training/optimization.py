"""Optimisers with one group per role of parameter, and learning-rate schedules as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from onebit.nn import BinaryLayer
from onebit.training.recipe import OptimizerConfig, ScheduleConfig


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """The model's parameters by role, each group with its rate (``base_lr``) and decay.

    ``binary``: latent weights of binary layers; ``matrix``: RBCN's C, PCNN's projections; ``real``: other tensors of two or more
    dimensions; ``norm``: vectors (batch norm, biases), without decay by default. The layers say which is which.
    """
    roles: dict[int, str] = {}
    for module in model.modules():
        if isinstance(module, BinaryLayer):
            roles |= {id(getattr(module, name)): role for name, role in module.roles.items()}
    members: dict[str, list[nn.Parameter]] = {"real": [], "norm": [], "binary": [], "matrix": []}
    for parameter in model.parameters():
        members[roles.get(id(parameter), "real" if parameter.dim() > 1 else "norm")].append(parameter)
    settings = {
        "real": (config.lr, config.weight_decay),
        "norm": (config.lr, config.norm_weight_decay),
        "binary": (config.lr * config.binary_lr_scale, config.binary_weight_decay),
        "matrix": (config.matrix_lr, 0.0),
    }
    return [
        {"params": parameters, "name": name, "lr": lr, "base_lr": lr, "weight_decay": decay}
        for name, parameters in members.items()
        if parameters
        for lr, decay in [settings[name]]
    ]


def make_optimizer(
    model: nn.Module, config: OptimizerConfig, more: Sequence[dict[str, Any]] = ()
) -> torch.optim.Optimizer:
    """The optimiser that the recipe names, over :func:`parameter_groups` and ``more`` groups of the same form."""
    groups = [*parameter_groups(model, config), *more]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr)


def schedule_factor(config: ScheduleConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The factor on every learning rate at a step counted from 0.

    After ``warmup_epochs`` of linear rise: ``step`` multiplies by gamma every ``step_epochs``; ``exponential`` is
    ``final^(epoch / epochs)``, constant within an epoch; ``cosine`` and ``linear`` go to 0 at the end of the run.

    >>> [round(schedule_factor(ScheduleConfig("step", step_epochs=2), s, 1, 6), 3) for s in range(6)]
    [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    """
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.name == "step":
        return config.gamma ** (step // (config.step_epochs * steps_per_epoch))
    if config.name == "exponential":
        return config.final ** (step // steps_per_epoch / epochs)
    progress = (step - warmup) / max(1.0, epochs * steps_per_epoch - warmup)
    return anneal_factor(config.name, progress)


def anneal_factor(name: str, progress: float) -> float:
    """1 at progress 0; at progress 1, 0 for ``cosine`` and ``linear``, still 1 for ``constant`` and ``none``."""
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress if name == "linear" else 1.0


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """Set every group's rate to ``factor`` times its base; returns the rates by group name."""
    rates = {}
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
        rates[group["name"]] = group["lr"]
    return rates
