"""resnet18, resnet34, and the same with the shortcuts of Bi-Real and EBi-Real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onebit.methods import Method
from onebit.models.registry import MODELS
from onebit.models.residual import ResidualNetwork, ShortcutSpan

UNITS = {"18": (4, 4, 4, 4), "34": (6, 8, 12, 6)}


def _network(method: Method, depth: str, widths: Sequence[int], **options: Any) -> ResidualNetwork:
    # Three widths read "a-b-c-d" as stem and three stages, the other reading of the published strings.
    three = isinstance(widths, Sequence) and len(widths) == 3
    return ResidualNetwork(method, units=UNITS[depth][:3] if three else UNITS[depth], widths=widths, **options)


def _register_resnet(depth: str) -> None:
    def build(
        method: Method,
        num_classes: int,
        in_channels: int,
        image_size: int,
        widths: Sequence[int] = (64, 128, 256, 512),
        stem: str = "auto",
        stem_width: int | None = None,
        shortcut: str = "unit",
        shortcut_conv: str = "real",
    ) -> ResidualNetwork:
        options = {"stem": stem, "stem_width": stem_width, "shortcut": shortcut, "shortcut_conv": shortcut_conv}
        options |= {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
        return _network(method, depth, widths, **options)

    build.__doc__ = f"ResNet{depth} (He et al. 2016); by default every 3x3 convolution has its own shortcut."
    MODELS.add(f"resnet{depth}", build)


def _register_fixed(family: str, depth: str, shortcut: ShortcutSpan, doc: str) -> None:
    def build(
        method: Method,
        num_classes: int,
        in_channels: int,
        image_size: int,
        widths: Sequence[int] = (64, 128, 256, 512),
        stem: str = "auto",
        stem_width: int | None = None,
        shortcut_conv: str = "real",
    ) -> ResidualNetwork:
        options = {"stem": stem, "stem_width": stem_width, "shortcut": shortcut, "shortcut_conv": shortcut_conv}
        options |= {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
        return _network(method, depth, widths, **options)

    build.__doc__ = doc
    MODELS.add(f"{family}_resnet{depth}", build)


for _depth in UNITS:
    _register_resnet(_depth)
    _register_fixed("bireal", _depth, "unit", f"Bi-Real ResNet{_depth} (Liu et al. 2018): a shortcut per convolution.")
_register_fixed(
    "ebireal", "18", "both", "EBi-Real ResNet18 (IGP): Bi-Real with one more shortcut over every two units."
)
