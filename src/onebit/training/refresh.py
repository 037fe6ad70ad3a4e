"""Batch-norm refresh: after an epoch the other layers adapt to the binary weights, which stay fixed (Alg. 1, line 17)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.nn import BinaryLayer
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


def refresh_batch_norm(fabric: Any, model: nn.Module, batches: Any, epoch: int, config: RefreshConfig) -> int:
    """Train the refreshed parameters (task loss, SGD) and running statistics on a share of an epoch; returns the steps.

    W and C are bit-identical before and after. With several processes the gradients are averaged over them.
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
        for step, (images, labels) in enumerate(batches.epoch(epoch)):
            if step == steps:
                break
            with fabric.autocast():
                logits = model(images)
            gradients = torch.autograd.grad(F.cross_entropy(logits.float(), labels), chosen)
            for parameter, gradient in zip(chosen, gradients, strict=True):
                parameter.grad = gradient
            average_gradients(fabric, chosen)
            optimizer.step()
    finally:
        for parameter, required in learning.items():
            parameter.requires_grad_(required)
            parameter.grad = None
    return steps


def average_gradients(fabric: Any, parameters: list[nn.Parameter]) -> None:
    """Average the gradients over all processes, in one message."""
    with_gradient = [p for p in parameters if p.grad is not None]
    if fabric.world_size == 1 or not with_gradient:
        return
    flat = torch.cat([p.grad.flatten() for p in with_gradient if p.grad is not None])
    flat = fabric.all_reduce(flat, reduce_op="mean")
    for parameter, part in zip(with_gradient, flat.split([p.numel() for p in with_gradient]), strict=True):
        parameter.grad = part.view_as(parameter)


def average_values(fabric: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The means of scalars over all processes, in one message, without gradient."""
    detached = {name: value.detach() for name, value in values.items()}
    if fabric.world_size == 1:
        return detached
    means = fabric.all_reduce(torch.stack([value.float() for value in detached.values()]), reduce_op="mean")
    return dict(zip(detached, means, strict=True))


def average_buffers(fabric: Any, model: nn.Module) -> None:
    """Give every process the mean of all processes' running statistics."""
    if fabric.world_size > 1:
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.copy_(fabric.all_reduce(buffer, reduce_op="mean"))
