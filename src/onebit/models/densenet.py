"""binary_densenet51 and 69: every layer reads all earlier ones of its stage (BinaryDenseNet, Bethge et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.methods import Method
from onebit.models.registry import MODELS, Tap, check_images, check_widths
from onebit.models.stem import Stem, make_stem
from onebit.nn import ConvFactory

#: makes one layer of a stage: (input channels, growth) -> module that returns growth more channels than it takes
LayerFactory = Callable[[int, int], nn.Module]


class NormedConv(nn.Sequential):
    """norm -> sign -> 3x3 convolution: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, conv: ConvFactory, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.BatchNorm2d(in_channels), conv(in_channels, out_channels, 3, padding=1))


class DenseLayer(nn.Module):
    """``concat(x, conv(sign(norm(x))))``: (N, C, H, W) -> (N, C + growth, H, W)."""

    def __init__(self, conv: ConvFactory, in_channels: int, growth: int) -> None:
        super().__init__()
        self.branch = NormedConv(conv, in_channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], 1)


def make_transition(in_channels: int, out_channels: int) -> nn.Sequential:
    """Between two stages: norm, 2x2 max pooling, ReLU, real 1x1 convolution."""
    convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(nn.BatchNorm2d(in_channels), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU(), convolution)


class DenseNetwork(nn.Module):
    """Real stem, stages of dense layers with real transitions between them, real classifier.

    Args:
        layer: makes a dense layer; layers: how many per stage; growth: channels that each adds.
        reductions: the channels at the end of a stage are divided by this (rounded down) in the transition.
        init_features: channels of the stem.
    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)
    """

    def __init__(
        self,
        layer: LayerFactory,
        *,
        layers: Sequence[int],
        growth: int,
        reductions: Sequence[float],
        init_features: int,
        num_classes: int,
        in_channels: int,
        image_size: int,
        stem: Stem = "auto",
    ) -> None:
        super().__init__()
        layers = check_widths(layers, None, "layers per stage such as 12-12-12-10")
        (growth,) = check_widths((growth,), 1, "one positive growth")
        (channels,) = check_widths((init_features,), 1, "one positive init_features")
        listed = isinstance(reductions, Sequence) and all(type(r) in (int, float) and r >= 1 for r in reductions)
        if not listed or len(reductions) != len(layers) - 1:
            raise UsageError(f"{len(layers)} stages take {len(layers) - 1} reductions of 1 or more, got {reductions!r}")
        self.in_channels = in_channels
        self.stem = make_stem(stem, in_channels, channels, image_size)
        self.stages, self.transitions = nn.ModuleList(), nn.ModuleList()
        for index, count in enumerate(layers):
            stage = nn.Sequential()
            for _ in range(count):
                stage.append(layer(channels, growth))
                channels += growth
            self.stages.append(stage)
            if index < len(reductions):
                reduced = int(channels / reductions[index])
                if reduced < 1:
                    raise UsageError(f"reduction {reductions[index]} leaves none of {channels} channels")
                self.transitions.append(make_transition(channels, reduced))
                channels = reduced
        self.taps = tuple(Tap(f"stages.{s}.{i}", s) for s, count in enumerate(layers) for i in range(count))
        self.head = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        x = self.stages[0](self.stem(x))
        for transition, stage in zip(self.transitions, list(self.stages)[1:], strict=True):
            x = stage(transition(x))
        return self.classifier(self.head(x).flatten(1))


def _register(name: str, per_stage: tuple[int, ...], reduced: tuple[float, ...]) -> None:
    def build(
        method: Method,
        num_classes: int,
        in_channels: int,
        image_size: int,
        growth: int = 32,
        layers: Sequence[int] = per_stage,
        reductions: Sequence[float] = reduced,
        init_features: int = 64,
        stem: str = "auto",
    ) -> DenseNetwork:
        return DenseNetwork(
            lambda channels, growth: DenseLayer(method.conv, channels, growth),
            layers=layers,
            growth=growth,
            reductions=reductions,
            init_features=init_features,
            num_classes=num_classes,
            in_channels=in_channels,
            image_size=image_size,
            stem=cast(Stem, stem),
        )

    build.__doc__ = f"BinaryDenseNet of {sum(per_stage)} dense layers, growth 32: depth {5 + sum(per_stage)}."
    MODELS.add(name, build)


_register("binary_densenet51", (12, 12, 12, 10), (2.7, 2.7, 2.2))
_register("binary_densenet69", (12, 16, 24, 12), (3.3, 3.3, 4.0))
