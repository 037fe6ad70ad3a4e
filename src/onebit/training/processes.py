"""One process or several: starting them, telling the first from the rest, and keeping what they hold the same."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.training.recipe import Recipe

T = TypeVar("T")


def make_fabric(recipe: Recipe) -> Any:
    """Lightning Fabric as the recipe asks, launched.

    Raises:
        UsageError: if this machine has no such accelerator, or not so many of them.
    """
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # its notes are not ours to repeat

    config = recipe.training
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        fabric = Fabric(accelerator=config.accelerator, devices=config.devices, precision=config.precision)
    except Exception as error:  # Fabric has many ways to say that this machine lacks something
        asked = f'training.accelerator = "{config.accelerator}" with training.devices = {config.devices}'
        raise UsageError(f"{asked} cannot be had here: {error}") from error
    fabric.launch()
    if fabric.world_size > 1:
        atexit.unregister(_leave_group)
        atexit.register(_leave_group)
    return fabric


def first_then_others(fabric: Any, make: Callable[[], T]) -> T:
    """``make()`` in the first process, then in the others, so that one alone fetches what is missing.

    What it raises, a process raises after all have tried: one that ended early would leave the others to a broken connection.
    """
    made, failure = None, None
    with fabric.rank_zero_first():
        try:
            made = make()
        except Exception as error:
            failure = error
    if failure is not None:
        raise failure
    return cast(T, made)


def is_main_process() -> bool:
    """Whether this is the one process, of those that train together, that prints and writes."""
    return not _in_group() or torch.distributed.get_rank() == 0


def _in_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _leave_group() -> None:
    # Left to the interpreter's exit, a process group may abort the process after its work is done.
    if _in_group():
        torch.distributed.destroy_process_group()


def seed_epoch(seed: int, epoch: int, rank: int) -> None:
    """Start torch's generators from seed, epoch and process: what a network draws (drop-path) is drawn again after a resume."""
    words = np.random.SeedSequence([seed & 0xFFFFFFFFFFFFFFFF, epoch, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0]) >> 1)


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
