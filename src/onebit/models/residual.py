"""Residual networks: a real stem, stages of binary units, a real classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.methods import Method
from onebit.models.registry import Tap, check_images, check_widths
from onebit.models.stem import Stem, make_stem
from onebit.nn import BinaryUnit, ConvFactory, make_shortcut

ShortcutSpan = Literal["unit", "block", "both"]
ShortcutConv = Literal["real", "binary"]


class ResidualBlock(nn.Module):
    """Two units under one shortcut, as in the original ResNet: ``shortcut(x) + unit(unit(x))``."""

    def __init__(
        self, conv: ConvFactory, in_channels: int, out_channels: int, stride: int, shortcut_conv: ConvFactory | None
    ) -> None:
        super().__init__()
        self.units = nn.Sequential(
            BinaryUnit(conv, in_channels, out_channels, stride, shortcut=False),
            BinaryUnit(conv, out_channels, out_channels, shortcut=False),
        )
        self.shortcut = make_shortcut(in_channels, out_channels, stride, shortcut_conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.units(x) + self.shortcut(x)


class DoublyResidualBlock(nn.Module):
    """Two units with a shortcut each and one more over both (EBi-Real): ``s + u1(x) = a;  s + a + u2(a)``, s = shortcut(x).

    The outer shortcut reuses what the first unit's shortcut made of x, so that it costs nothing where the size changes.
    """

    def __init__(
        self, conv: ConvFactory, in_channels: int, out_channels: int, stride: int, shortcut_conv: ConvFactory | None
    ) -> None:
        super().__init__()
        self.shortcut = make_shortcut(in_channels, out_channels, stride, shortcut_conv)
        self.first = BinaryUnit(conv, in_channels, out_channels, stride, shortcut=False)
        self.second = BinaryUnit(conv, out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        return self.second(self.first(x) + shortcut) + shortcut


class ResidualNetwork(nn.Module):
    """Stem, stages of binary units, average pooling and a real linear classifier.

    Args:
        units: binary convolutions per stage.
        widths: channels per stage; stages after the first start with stride 2.
        stem_width: channels of the stem (default: the first stage's).
        shortcut: ``unit`` gives every convolution its own shortcut (Bi-Real), ``block`` one to every two (ResNet), ``both``
            every convolution its own and every two one more (EBi-Real).
        shortcut_conv: ``real`` or ``binary`` 1x1 convolutions where a shortcut changes the shape.
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
        shortcut_conv: ShortcutConv = "real",
    ) -> None:
        super().__init__()
        widths = check_widths(widths, len(units), f"{len(units)} widths, one a stage such as 64-64-128-256")
        if shortcut not in ("unit", "block", "both"):
            raise UsageError(f"shortcut is 'unit', 'block' or 'both', not {shortcut!r}")
        if shortcut_conv not in ("real", "binary"):
            raise UsageError(f"shortcut_conv is 'real' or 'binary', not {shortcut_conv!r}")
        channels = widths[0] if stem_width is None else check_widths((stem_width,), 1, "one positive stem_width")[0]
        projection = method.conv if shortcut_conv == "binary" else None
        self.in_channels = in_channels
        self.stem = make_stem(stem, in_channels, channels, image_size)
        self.stages = nn.Sequential()
        taps = []
        for index, (count, width) in enumerate(zip(units, widths, strict=True)):
            stage = nn.Sequential()
            for position in range(count if shortcut == "unit" else count // 2):
                stride = 2 if index > 0 and position == 0 else 1
                if shortcut == "unit":
                    block: nn.Module = BinaryUnit(method.conv, channels, width, stride, shortcut_conv=projection)
                elif shortcut == "block":
                    block = ResidualBlock(method.conv, channels, width, stride, projection)
                else:
                    block = DoublyResidualBlock(method.conv, channels, width, stride, projection)
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
