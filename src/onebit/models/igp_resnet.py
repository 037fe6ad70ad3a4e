"""igp_resnet21, 37, 41 and 69: fractal blocks of binary units, in which short gradient paths abound (IGP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.methods import Method
from onebit.models.join import Join, JoinKind
from onebit.models.registry import MODELS, Tap, check_images, check_widths
from onebit.models.stem import Stem, make_stem
from onebit.nn import BinaryUnit, ConvFactory, make_shortcut


class FractalBlock(nn.Module):
    """``f_1 = u``, ``f_{c+1}(x) = join(u(x), f_c(f_c(x)))``, u a binary unit with its own shortcut (IGP; FractalNet).

    A block of c columns has M = 2^c - 1 convolutions, all C -> C, and a longest path of 2^(c-1) of them.

    >>> from onebit.methods import get_method
    >>> block = FractalBlock(get_method("bireal").conv, 8, columns=3)
    >>> sum(isinstance(module, BinaryUnit) for module in block.modules())
    7
    """

    def __init__(
        self, conv: ConvFactory, channels: int, columns: int, join: JoinKind = "mean", drop_path: float = 0.0
    ) -> None:
        super().__init__()
        if columns < 2:
            raise UsageError(f"a fractal block has 2 columns or more, got {columns}")
        self.unit = BinaryUnit(conv, channels, channels)

        def deeper() -> nn.Module:
            if columns == 2:
                return BinaryUnit(conv, channels, channels)
            return FractalBlock(conv, channels, columns - 1, join, drop_path)

        self.deep = nn.Sequential(deeper(), deeper())
        self.join = Join(join, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.unit(x), self.deep(x))


class FractalStage(nn.Module):
    """Entry (pooling and a real 1x1 convolution where size or width change), fractal blocks, and what may bridge them.

    ``column`` joins one binary unit over all blocks; ``shortcut`` joins a real 1x1 convolution of the stage's pooled input.
    """

    def __init__(
        self,
        method: Method,
        in_channels: int,
        channels: int,
        stride: int,
        blocks: int,
        columns: int,
        join: JoinKind,
        drop_path: float,
        column: bool,
        shortcut: bool,
    ) -> None:
        super().__init__()
        self.entry = make_shortcut(in_channels, channels, stride)
        self.blocks = nn.Sequential(
            *(FractalBlock(method.conv, channels, columns, join, drop_path) for _ in range(blocks))
        )
        self.column = BinaryUnit(method.conv, channels, channels) if column else None
        self.column_join = Join(join, drop_path) if column else None
        self.shortcut = make_shortcut(in_channels, channels, stride) if shortcut else None
        self.shortcut_join = Join(join, drop_path) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        entered = self.entry(x)
        y = self.blocks(entered)
        if self.column is not None and self.column_join is not None:
            y = self.column_join(self.column(entered), y)
        if self.shortcut is not None and self.shortcut_join is not None:
            y = self.shortcut_join(self.shortcut(x), y)
        return y


class IGPResNet(nn.Module):
    """Real stem, four stages of fractal blocks, average pooling, real classifier (IGP).

    Args:
        blocks: fractal blocks per stage; columns: of each block, M = 2^columns - 1 convolutions.
        widths: channels per stage; stages after the first halve the image.
        join, drop_path: how branches meet, see :class:`~onebit.models.join.Join`.
        stage_shortcut: stages after the first get a real 1x1 convolution from their pooled input to their output.
        stage_column: every stage gets one more binary unit over all its blocks.
    Shapes:
        (N, in_channels, H, W) -> (N, num_classes)
    """

    def __init__(
        self,
        method: Method,
        *,
        blocks: Sequence[int],
        columns: int,
        widths: Sequence[int],
        num_classes: int,
        in_channels: int,
        image_size: int,
        stem: Stem = "auto",
        join: JoinKind = "mean",
        drop_path: float = 0.0,
        stage_shortcut: bool = False,
        stage_column: bool = False,
    ) -> None:
        super().__init__()
        blocks = check_widths(blocks, None, "blocks per stage such as 2-2-2-2")
        widths = check_widths(widths, len(blocks), f"{len(blocks)} widths, one a stage such as 41-82-164-328")
        self.in_channels = in_channels
        self.stem = make_stem(stem, in_channels, widths[0], image_size)
        self.stages = nn.Sequential()
        channels, taps = widths[0], []
        for index, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            shortcut = stage_shortcut and index > 0
            stride = 2 if index else 1
            self.stages.append(
                FractalStage(method, channels, width, stride, count, columns, join, drop_path, stage_column, shortcut)
            )
            channels = width
            taps += [Tap(f"stages.{index}.blocks.{position}", index) for position in range(count)]
            if stage_column or shortcut:
                taps.append(Tap(f"stages.{index}", index))
        self.taps = tuple(taps)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return self.classifier(self.pool(self.stages(self.stem(x))).flatten(1))


def _register(depth: int, columns: int, layout: tuple[int, ...], width: int, with_shortcut: bool) -> None:
    def build(
        method: Method,
        num_classes: int,
        in_channels: int,
        image_size: int,
        widths: Sequence[int] = (width, 2 * width, 4 * width, 8 * width),
        blocks: Sequence[int] = layout,
        stem: str = "auto",
        join: str = "mean",
        drop_path: float = 0.0,
        stage_shortcut: bool = with_shortcut,
        stage_column: bool = False,
    ) -> IGPResNet:
        return IGPResNet(
            method,
            blocks=blocks,
            columns=columns,
            widths=widths,
            num_classes=num_classes,
            in_channels=in_channels,
            image_size=image_size,
            stem=cast(Stem, stem),
            join=cast(JoinKind, join),
            drop_path=drop_path,
            stage_shortcut=stage_shortcut,
            stage_column=stage_column,
        )

    build.__doc__ = f"IGP-ResNet{depth}({width}): {sum(layout)} fractal blocks of M = {2**columns - 1} convolutions."
    MODELS.add(f"igp_resnet{depth}", build)


# Depth = 5 + the longest paths of all blocks. The published cost of 37(41) is met with the stage shortcut only.
_register(21, 2, (2, 2, 2, 2), 53, False)
_register(37, 3, (2, 2, 2, 2), 41, True)
_register(41, 3, (2, 2, 3, 2), 48, False)
_register(69, 4, (2, 2, 2, 2), 31, False)
