"""The unit that 1-bit networks are made of: sign -> convolution -> norm -> + shortcut."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

ConvFactory = Callable[..., nn.Module]


def make_shortcut(in_channels: int, out_channels: int, stride: int, conv: ConvFactory | None = None) -> nn.Module:
    """Identity where the shape is kept; else average pooling (stride > 1), a 1x1 convolution and batch norm.

    The convolution is real; ``conv``, a method's factory, makes it otherwise.
    """
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    layers: list[nn.Module] = [nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)] if stride > 1 else []
    if conv is None:
        convolution: nn.Module = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
    else:
        convolution = conv(in_channels, out_channels, 1)
    return nn.Sequential(*layers, convolution, nn.BatchNorm2d(out_channels))


class BinaryUnit(nn.Module):
    """``u(x) = norm(conv(x)) + shortcut(x)``; the convolution binarises its own input.

    Args:
        conv: makes the convolution; called as ``conv(in, out, kernel, stride=..., padding=...)``. A method's factory,
            so that the same unit is a 1-bit unit or its full-precision twin.
        stride: of the convolution; the shortcut pools by the same factor.
        shortcut: False leaves the shortcut out (for blocks that carry one over several units).
        shortcut_conv: makes the 1x1 convolution of a shortcut that changes the shape (default: a real one).
    Shapes:
        (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride))
    """

    def __init__(
        self,
        conv: ConvFactory,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        kernel_size: int = 3,
        shortcut: bool = True,
        shortcut_conv: ConvFactory | None = None,
    ) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut = make_shortcut(in_channels, out_channels, stride, shortcut_conv) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return y if self.shortcut is None else y + self.shortcut(x)
