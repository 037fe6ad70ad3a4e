"""Residual networks: a real stem, stages of binary units, a real classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.methods import Method
from onebit.models.registry import Tap, check_images, check_widths
from onebit.nn import BinaryUnit, make_shortcut

ShortcutSpan = Literal["unit", "block"]
Stem = Literal["auto", "cifar", "imagenet"]


class ResidualBlock(nn.Module):
    """Two units under one shortcut, as in the original ResNet: ``shortcut(x) + unit(unit(x))``."""

    def __init__(self, method: Method, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.units = nn.Sequential(
            BinaryUnit(method.conv, in_channels, out_channels, stride, shortcut=False),
            BinaryUnit(method.conv, out_channels, out_channels, shortcut=False),
        )
        self.shortcut = make_shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.units(x) + self.shortcut(x)


def make_stem(kind: Stem, in_channels: int, width: int, image_size: int) -> nn.Sequential:
    """The real first layers: ``cifar`` is 3x3 at stride 1, ``imagenet`` 7x7 at stride 2, then 3x3 max pooling at stride 2."""
    if kind == "auto":
        kind = "cifar" if image_size <= 64 else "imagenet"
    if kind not in ("cifar", "imagenet"):
        raise UsageError(f"stem is 'auto', 'cifar' or 'imagenet', not {kind!r}")
    if kind == "cifar":
        convolution = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        layers: list[nn.Module] = [convolution, nn.BatchNorm2d(width)]
    else:
        convolution = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        layers = [convolution, nn.BatchNorm2d(width), nn.MaxPool2d(3, 2, padding=1)]
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
    return nn.Sequential(*layers)


class ResidualNetwork(nn.Module):
    """Stem, stages of binary units, average pooling and a real linear classifier.

    Args:
        units: binary convolutions per stage.
        widths: channels per stage; stages after the first start with stride 2.
        stem_width: channels of the stem (default: the first stage's).
        shortcut: ``unit`` gives every convolution its own shortcut (Bi-Real), ``block`` one to every two (ResNet).
    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)
    """

    def __init__(
        self,
        method: Method,
        *,
        units: Sequence[int],
        widths: Sequence[int],
        num_classes: int,
        in_channels: int,
        image_size: int,
        stem: Stem = "auto",
        stem_width: int | None = None,
        shortcut: ShortcutSpan = "unit",
    ) -> None:
        super().__init__()
        widths = check_widths(widths, len(units), f"{len(units)} widths, one a stage such as 64-64-128-256")
        if shortcut not in ("unit", "block"):
            raise UsageError(f"shortcut is 'unit' or 'block', not {shortcut!r}")
        channels = widths[0] if stem_width is None else check_widths((stem_width,), 1, "one positive stem_width")[0]
        self.in_channels = in_channels
        self.stem = make_stem(stem, in_channels, channels, image_size)
        self.stages = nn.Sequential()
        taps = []
        for index, (count, width) in enumerate(zip(units, widths, strict=True)):
            stage = nn.Sequential()
            for position in range(count if shortcut == "unit" else count // 2):
                stride = 2 if index > 0 and position == 0 else 1
                block = (
                    BinaryUnit(method.conv, channels, width, stride)
                    if shortcut == "unit"
                    else ResidualBlock(method, channels, width, stride)
                )
                stage.append(block)
                channels = width
                taps.append(Tap(f"stages.{index}.{position}", index))
            self.stages.append(stage)
        self.taps = tuple(taps)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return self.classifier(self.pool(self.stages(self.stem(x))).flatten(1))
