"""wrn22 and wrn40: wide residual networks of three stages, depth 6n + 4, named stem-stage1-stage2-stage3."""

from __future__ import annotations

from collections.abc import Sequence

from onebit.methods import Method
from onebit.models.registry import MODELS, check_widths
from onebit.models.residual import ResidualNetwork


def _wide_resnet(
    method: Method,
    blocks: int,
    base_width: int,
    widths: Sequence[int],
    num_classes: int,
    in_channels: int,
    image_size: int,
    stem: str,
) -> ResidualNetwork:
    standard = (base_width, base_width, 2 * base_width, 4 * base_width)
    chosen = standard if isinstance(widths, Sequence) and not isinstance(widths, str) and not len(widths) else widths
    chosen = check_widths(chosen, 4, "four widths, stem-stage1-stage2-stage3 such as 64-64-128-256")
    return ResidualNetwork(
        method,
        units=(2 * blocks,) * 3,
        widths=chosen[1:],
        stem_width=chosen[0],
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=image_size,
        stem=stem,  # ty: ignore[invalid-argument-type]
    )


@MODELS.register("wrn22")
def wrn22(
    method: Method,
    num_classes: int,
    in_channels: int,
    image_size: int,
    base_width: int = 64,
    widths: Sequence[int] = (),
    stem: str = "auto",
) -> ResidualNetwork:
    """Wide ResNet of depth 22 (Zagoruyko and Komodakis 2016): n = 3, widths i-i-2i-4i with i = ``base_width``."""
    return _wide_resnet(method, 3, base_width, widths, num_classes, in_channels, image_size, stem)


@MODELS.register("wrn40")
def wrn40(
    method: Method,
    num_classes: int,
    in_channels: int,
    image_size: int,
    base_width: int = 64,
    widths: Sequence[int] = (),
    stem: str = "auto",
) -> ResidualNetwork:
    """Wide ResNet of depth 40: n = 6; otherwise as wrn22."""
    return _wide_resnet(method, 6, base_width, widths, num_classes, in_channels, image_size, stem)
