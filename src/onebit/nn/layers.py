"""BinaryConv2d and BinaryLinear: torch's layers with binary weights and binary inputs."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.functional import sign_conv2d, sign_linear
from onebit.nn.binary_layer import BinaryLayer


class BinaryConv2d(BinaryLayer, nn.Conv2d):
    """``conv2d(sign(x), binary_weight()) * scale()``; a padded tap contributes 0; there is no bias.

    In evaluation the convolution runs on +1 and -1 alone, so its float32 sums are exact integers, and the scale is
    applied to them. In training the scale is folded into the weight, which costs nothing per activation; the two outputs
    differ by rounding. The methods' gradients (scale_grad, C through its mean) belong to training mode: to train with
    fixed norms, put the norms alone into evaluation mode.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups: as for torch.nn.Conv2d.
        options: see :class:`~onebit.nn.binary_layer.BinaryLayer`; methods add their own.
    Shapes:
        (N, C_in, H, W) float -> (N, C_out, H_out, W_out)
    Raises:
        UsageError: if the input has not 4 dimensions or not ``in_channels`` channels; for a padding in words ('same').

    >>> import torch
    >>> layer = BinaryConv2d(2, 1, 1).eval()
    >>> _ = layer.weight.data.copy_(torch.tensor([[[[0.5]], [[-0.25]]]]))
    >>> layer(torch.tensor([[[[3.0]], [[-0.1]]]])).item()  # (1 * 1 + -1 * -1) * mean(0.5, 0.25)
    0.75
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        **options: Any,
    ) -> None:
        if isinstance(padding, str):
            raise UsageError(f"padding is a number of pixels or a pair of them (height, width), not {padding!r}")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False)
        self.configure(**options)

    def forward(self, x: Tensor) -> Tensor:  # ty: ignore[lost-keyword-for-regular-parameter]
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise UsageError(f"this layer takes (N, {self.in_channels}, H, W), got {tuple(x.shape)}")
        return self._respond(x)

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        geometry: tuple[Any, Any, Any] = self.stride, self.padding, self.dilation
        return sign_conv2d(x, weight, self.estimator, *geometry, groups=self.groups)


class BinaryLinear(BinaryLayer, nn.Linear):
    """``linear(sign(x), binary_weight()) * scale()``, without bias; see :class:`BinaryConv2d`.

    Shapes:
        (..., in_features) float -> (..., out_features)
    """

    def __init__(self, in_features: int, out_features: int, **options: Any) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.configure(**options)

    def forward(self, x: Tensor) -> Tensor:  # ty: ignore[lost-keyword-for-regular-parameter]
        if x.shape[-1:] != (self.in_features,):
            raise UsageError(f"this layer takes (..., {self.in_features}), got {tuple(x.shape)}")
        return self._respond(x)

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return sign_linear(x, weight, self.estimator)
