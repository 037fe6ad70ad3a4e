"""igp_densenet51 and 69: dense networks whose layers are small fractals (IGP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from onebit.methods import Method
from onebit.models.densenet import DenseNetwork, NormedConv
from onebit.models.join import Join, JoinKind
from onebit.models.registry import MODELS
from onebit.models.stem import Stem
from onebit.nn import ConvFactory


class FractalDenseLayer(nn.Module):
    """``concat(x, join(A(x), C(B(x))))``: (N, C, H, W) -> (N, C + growth, H, W), depth 2 (IGP).

    A and B map C channels to ``growth``, C maps ``growth`` to ``growth`` and sees B alone; each is norm -> sign -> 3x3
    convolution. ``inner_shortcut`` makes C a residual: ``C(b) + b``.
    """

    def __init__(
        self,
        conv: ConvFactory,
        in_channels: int,
        growth: int,
        join: JoinKind = "mean",
        drop_path: float = 0.0,
        inner_shortcut: bool = True,
    ) -> None:
        super().__init__()
        self.direct = NormedConv(conv, in_channels, growth)
        self.first = NormedConv(conv, in_channels, growth)
        self.second = NormedConv(conv, growth, growth)
        self.inner_shortcut = inner_shortcut
        self.join = Join(join, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(first)
        if self.inner_shortcut:
            second = second + first
        return torch.cat([x, self.join(self.direct(x), second)], 1)


def _register(name: str, per_stage: tuple[int, ...], reduced: tuple[float, ...], width: int) -> None:
    def build(
        method: Method,
        num_classes: int,
        in_channels: int,
        image_size: int,
        growth: int = width,
        layers: Sequence[int] = per_stage,
        reductions: Sequence[float] = reduced,
        init_features: int = 64,
        stem: str = "auto",
        join: str = "mean",
        drop_path: float = 0.0,
        inner_shortcut: bool = True,
    ) -> DenseNetwork:
        return DenseNetwork(
            lambda channels, growth: FractalDenseLayer(
                method.conv, channels, growth, cast(JoinKind, join), drop_path, inner_shortcut
            ),
            layers=layers,
            growth=growth,
            reductions=reductions,
            init_features=init_features,
            num_classes=num_classes,
            in_channels=in_channels,
            image_size=image_size,
            stem=cast(Stem, stem),
        )

    build.__doc__ = f"IGP-DenseNet of {sum(per_stage)} fractal dense layers of depth 2, growth {width}."
    MODELS.add(name, build)


# The paper does not print the reductions; these are the ones that meet its printed costs.
_register("igp_densenet51", (6, 6, 6, 5), (1.9, 2.3, 2.2), 53)
_register("igp_densenet69", (6, 8, 12, 6), (1.9, 2.3, 3.4), 48)
