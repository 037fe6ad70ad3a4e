"""Batch-norm refresh: after an epoch the other layers adapt to the binary weights, which stay fixed (Alg. 1, line 17)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.nn import BinaryLayer
from onebit.training.processes import average_gradients
from onebit.training.recipe import RefreshConfig


def refreshed_parameters(model: nn.Module, scope: str) -> list[nn.Parameter]:
    """What the refresh trains: ``bn`` the affine of every batch norm, ``other`` everything but binary layers."""
    if scope == "bn":
        return [p for m in model.modules() if _is_norm(m) for p in m.parameters(recurse=False)]
    fixed = {id(p) for m in model.modules() if isinstance(m, BinaryLayer) for p in m.parameters(recurse=False)}
    return [p for p in model.parameters() if id(p) not in fixed]


def refreshed_names(model: nn.Module, scope: str) -> set[str]:
    """The state that the refresh changes: its parameters and every running statistic."""
    chosen = {id(p) for p in refreshed_parameters(model, scope)}
    statistics = {f"{name}.{key}" for name, m in model.named_modules() if _is_norm(m) for key, _ in m.named_buffers()}
    return {name for name, p in model.named_parameters() if id(p) in chosen} | statistics


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def refresh_batch_norm(
    fabric: Any,
    model: nn.Module,
    batches: Any,
    epoch: int,
    config: RefreshConfig,
    loss: Callable[..., Tensor] = F.cross_entropy,
) -> int:
    """Train the refreshed parameters (SGD on ``loss(output, target)``) and running statistics on a share of an epoch.

    Returns the number of steps. W and C are bit-identical before and after. With several processes the gradients are
    averaged over them.
    """
    chosen = refreshed_parameters(model, config.scope)
    learning = {p: p.requires_grad for p in model.parameters()}
    model.requires_grad_(False)
    for parameter in chosen:
        parameter.requires_grad_(True)
    optimizer = torch.optim.SGD(chosen, lr=config.lr, momentum=config.momentum)
    model.train()
    steps = max(1, math.ceil(config.fraction * len(batches)))
    try:
        for step, (inputs, target) in enumerate(batches.epoch(epoch)):
            if step == steps:
                break
            with fabric.autocast():
                output = model(inputs)
            gradients = torch.autograd.grad(loss(output.float(), target), chosen)
            for parameter, gradient in zip(chosen, gradients, strict=True):
                parameter.grad = gradient
            average_gradients(fabric, chosen)
            optimizer.step()
    finally:
        for parameter, required in learning.items():
            parameter.requires_grad_(required)
            parameter.grad = None
    return steps
