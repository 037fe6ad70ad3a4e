"""``xnor``: XNOR-Net (Rastegari et al., ECCV 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from onebit.errors import UsageError
from onebit.functional import hard_sign
from onebit.methods.registry import METHODS, Method
from onebit.nn import BinaryConv2d, BinaryLayer, BinaryLinear
from onebit.nn.binary_layer import WeightInit

AlphaGrad = Literal["paper", "exact"]


class _XnorWeight(torch.autograd.Function):
    """alpha_i * sign(W_i), alpha_i = mean(abs(W_i)); see XnorLayer for the two gradients."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, alpha: Tensor, alpha_grad: str) -> Tensor:
        ctx.save_for_backward(weight, alpha)
        ctx.alpha_grad = alpha_grad
        return hard_sign(weight) * alpha

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, alpha = ctx.saved_tensors
        count = weight[0].numel()
        through_sign = gradient * alpha * (weight.abs() <= 1)
        if ctx.alpha_grad == "paper":
            return gradient / count + through_sign, None, None
        signs = hard_sign(weight)
        through_alpha = (gradient * signs).flatten(1).sum(1).view_as(alpha) * signs / count
        return through_alpha + through_sign, None, None


class XnorLayer(BinaryLayer):
    """Weights ``alpha_i * sign(W_i)``, ``alpha_i = mean(abs(W_i))`` over filter i's n weights; alpha has a gradient too.

    Gradient (``alpha_grad``):
        ``paper``: ``dL/dW = dL/dW_eff * (1/n + alpha * 1[abs(W) <= 1])``, element by element, as printed (section 3.1).
        ``exact``: the chain rule,
        ``dL/dW = sign(W)/n * sum(dL/dW_eff * sign(W)) + dL/dW_eff * alpha * 1[abs(W) <= 1]``.

    Further options:
        input_scale: multiply by K, the box-filtered channel mean of abs(x) (section 3.2); off, as in the code that
            followed the paper, because it costs real arithmetic per pixel and changes little.
    """

    def configure(  # ty: ignore[incompatible-method-override]
        self,
        estimator: str = "clip",
        alpha_grad: AlphaGrad = "paper",
        input_scale: bool = False,
        init: WeightInit = "he",
        init_scale: float = 0.1,
    ) -> None:
        if alpha_grad not in ("paper", "exact"):
            raise UsageError(f"alpha_grad is 'paper' or 'exact', not {alpha_grad!r}")
        self.alpha_grad = alpha_grad
        self.input_scale = self.scales_by_input = input_scale
        super().configure(
            estimator=estimator, weight_estimator="clip", scale_grad="scaled", init=init, init_scale=init_scale
        )

    def effective_weight(self) -> Tensor:
        return _XnorWeight.apply(self.weight, self._over_weight(self.scale()), self.alpha_grad)


class XnorConv2d(XnorLayer, BinaryConv2d):
    """XNOR-Net's convolution; see :class:`XnorLayer`."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y * self.input_scales(x) if self.input_scale else y

    def real_macs(self, output_shape: Sequence[int]) -> int:
        """With ``input_scale``: the box filter's kH * kW for every pixel of K, and one for every element of the output."""
        if not self.input_scale:
            return 0
        images, _, height, width = output_shape
        return images * height * width * self.kernel_size[0] * self.kernel_size[1] + math.prod(output_shape)

    def input_scales(self, x: Tensor) -> Tensor:
        """K: (N, 1, H_out, W_out), the mean of abs(x) over channels and over each window (zeros in the padding)."""
        mean = x.abs().mean(1, keepdim=True)
        height, width = self.kernel_size
        box = mean.new_full((1, 1, height, width), 1 / (height * width))
        return F.conv2d(mean, box, None, self.stride, self.padding, self.dilation)


class XnorLinear(XnorLayer, BinaryLinear):
    """The linear form; with ``input_scale`` K is the mean of abs(x) over the features."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y * x.abs().mean(-1, keepdim=True) if self.input_scale else y

    def real_macs(self, output_shape: Sequence[int]) -> int:
        """With ``input_scale``: one for K of every input, and one for every element of the output."""
        return math.prod(output_shape[:-1]) * (1 + output_shape[-1]) if self.input_scale else 0


METHODS.add("xnor", Method("xnor", XnorConv2d, XnorLinear, "Rastegari et al., XNOR-Net, ECCV 2016"))
