"""resnet18 and resnet34."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onebit.methods import Method
from onebit.models.registry import MODELS
from onebit.models.residual import ResidualNetwork


def _resnet(method: Method, units: Sequence[int], widths: Sequence[int], **options: Any) -> ResidualNetwork:
    # Three widths read "a-b-c-d" as stem and three stages, the other reading of the published strings.
    three = isinstance(widths, Sequence) and len(widths) == 3
    return ResidualNetwork(method, units=units[:3] if three else units, widths=widths, **options)


@MODELS.register("resnet18")
def resnet18(
    method: Method,
    num_classes: int,
    in_channels: int,
    image_size: int,
    widths: Sequence[int] = (64, 128, 256, 512),
    stem: str = "auto",
    stem_width: int | None = None,
    shortcut: str = "unit",
) -> ResidualNetwork:
    """ResNet18 (He et al. 2016): four stages of four 3x3 convolutions; by default every one has its own shortcut."""
    options = {"stem": stem, "stem_width": stem_width, "shortcut": shortcut}
    options |= {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    return _resnet(method, (4, 4, 4, 4), widths, **options)


@MODELS.register("resnet34")
def resnet34(
    method: Method,
    num_classes: int,
    in_channels: int,
    image_size: int,
    widths: Sequence[int] = (64, 128, 256, 512),
    stem: str = "auto",
    stem_width: int | None = None,
    shortcut: str = "unit",
) -> ResidualNetwork:
    """ResNet34: stages of 6, 8, 12 and 6 convolutions; otherwise as resnet18."""
    options = {"stem": stem, "stem_width": stem_width, "shortcut": shortcut}
    options |= {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    return _resnet(method, (6, 8, 12, 6), widths, **options)
