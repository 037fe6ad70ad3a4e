"""An exponential moving average of a network's parameters and running statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch import nn


class MovingAverage:
    """``average <- decay * average + (1 - decay) * value`` after every step, for every floating tensor of the state."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - self.decay)
            else:
                self.state[name].copy_(value)

    @torch.no_grad()
    def adopt(self, names: set[str]) -> None:
        """Take some values over as they are: what a batch-norm refresh has just set is not to be averaged away."""
        for name, value in self.model.state_dict().items():
            if name in names:
                self.state[name].copy_(value)

    def synchronise(self, fabric: Any) -> None:
        """Give every process the mean of all processes' averaged running statistics."""
        if fabric.world_size > 1:
            for name, _ in self.model.named_buffers():
                if name in self.state and self.state[name].is_floating_point():
                    self.state[name] = fabric.all_reduce(self.state[name], reduce_op="mean")

    @contextlib.contextmanager
    def applied(self) -> Generator[None]:
        """The network with the averaged values in it; its own come back afterwards."""
        own = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.state)
        try:
            yield
        finally:
            self.model.load_state_dict(own)
