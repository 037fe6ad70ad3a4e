"""``real``: the full-precision twin, in which ReLU stands where a 1-bit network has sign."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from onebit.methods.registry import METHODS, Method


class RealConv2d(nn.Conv2d):
    """``conv2d(relu(x), weight)``, with a bias on request; He-normal start.

    Shapes:
        (N, C_in, H, W) float -> (N, C_out, H_out, W_out)
    """

    weight_bits: ClassVar[int] = 32
    activation_bits: ClassVar[int] = 32

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = False, **arguments: Any
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias=bias, **arguments)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.relu(input))


class RealLinear(nn.Linear):
    """``linear(relu(x), weight)``, without bias; He-normal start."""

    weight_bits: ClassVar[int] = 32
    activation_bits: ClassVar[int] = 32

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.relu(input))


METHODS.add("real", Method("real", RealConv2d, RealLinear, "the full-precision twin of every structure"))
