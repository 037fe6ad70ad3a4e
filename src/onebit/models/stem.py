"""The real first layers of a network, for small and for large images."""

from __future__ import annotations

from typing import Literal

from torch import nn

from onebit.errors import UsageError

Stem = Literal["auto", "cifar", "imagenet"]


def make_stem(kind: Stem, in_channels: int, width: int, image_size: int) -> nn.Sequential:
    """A real convolution and batch norm, at stride 4 for large images.

    ``cifar`` is 3x3 at stride 1, ``imagenet`` 7x7 at stride 2, then 3x3 max pooling at stride 2; ``auto`` takes ``cifar`` up to
    64 pixels.
    """
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
