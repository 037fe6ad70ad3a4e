"""``rbcn``: the rectified binary convolution (Liu et al., Rectified Binary Convolutional Networks, IJCAI 2019)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.functional import Estimator, hard_sign, scale_signs
from onebit.methods.registry import METHODS, Method
from onebit.nn import BinaryConv2d, BinaryLayer, BinaryLinear
from onebit.nn.binary_layer import ScaleGrad, WeightInit

KernelGrad = Literal["paper", "full"]
KernelTarget = Literal["matrix", "mean"]


class _KernelLoss(torch.autograd.Function):
    """Eq. 3 with the gradients of Eqs. 7, 11 and 15, keeping nothing but the parameters themselves.

    ``W - C o sign(W) = sign(W) o (abs(W) - C)``, so every formula is written in the excess ``abs(W) - C``.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, matrix: Tensor, estimator: Estimator, factor: float, full: bool, mean: bool
    ) -> Tensor:
        ctx.save_for_backward(weight, matrix)
        ctx.estimator, ctx.factor, ctx.full, ctx.mean = estimator, factor, full, mean
        excess = weight.abs().sub_(matrix.mean() if mean else matrix)
        return factor / 2 * excess.square_().sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, matrix = ctx.saved_tensors
        target = matrix.mean() if ctx.mean else matrix
        scaled = weight.abs().sub_(target).mul_(ctx.factor * gradient)
        to_matrix = -scaled.sum(0)
        if ctx.mean:
            to_matrix = to_matrix.mean().expand_as(matrix)
        slope = ctx.estimator.derivative(weight).mul_(-target)
        if ctx.full:
            slope.add_(1)
        return slope.mul_(scaled).mul_(hard_sign(weight)), to_matrix, None, None, None, None


class RectifiedLayer(BinaryLayer):
    """Weights ``C o sign(W_i)`` with one learnable matrix C per layer, shared by all its filters (Eqs. 5-16).

    Forward (Eq. 6): ``conv2d(sign(x), sign(W)) * mean(C)``: only bits and one real number per layer ship.

    Gradients, with G = dL/dW_eff and g the ``weight_estimator`` (Eq. 8, ``bireal``):
        to W (Eqs. 7-9): ``dL/dW_i = (C o G_i) o g(W_i)`` with ``scale_grad="scaled"``, ``G_i o g(W_i)`` with
        ``"unit"``.
        to C (Eq. 13): ``dL/dC = sum over i of G_i o sign(W_i)``, element by element: the mean of the forward is passed
        straight through to the full matrix.

    Kernel loss (Eq. 3): ``(kernel_weight / 2) * sum over i of ||W_i - C o sign(W_i)||^2``.
        to C (Eq. 15): ``-kernel_weight * sum over i of (W_i - C o sign(W_i)) o sign(W_i)``.
        to W: ``kernel_grad="paper"`` sends it only through sign(W) (Eqs. 7, 11):
        ``-kernel_weight * (W_i - C o sign(W_i)) o C o g(W_i)``; ``"full"`` adds the direct term
        ``+kernel_weight * (W_i - C o sign(W_i))``.

    C starts at the mean of abs(W) in every entry. Batch norm after the convolution makes the loss blind to mean(C), so
    that C drifts, and an entry below zero turns the kernel loss against the weights; ``keep_positive`` (default) holds
    every entry at or above a tenth of its start. The published equations have no such bound.

    Further options:
        kernel_target: ``matrix`` compares W with C o sign(W), ``mean`` with mean(C) * sign(W).
    """

    matrix: nn.Parameter
    matrix_floor: Tensor
    roles: ClassVar[dict[str, str]] = {"weight": "binary", "matrix": "matrix"}

    def configure(  # ty: ignore[incompatible-method-override]
        self,
        estimator: str = "bireal",
        weight_estimator: str = "bireal",
        scale_grad: ScaleGrad = "unit",
        kernel_weight: float = 1e-4,
        kernel_grad: KernelGrad = "paper",
        kernel_target: KernelTarget = "matrix",
        keep_positive: bool = True,
        init: WeightInit = "he",
        init_scale: float = 0.1,
    ) -> None:
        if kernel_grad not in ("paper", "full"):
            raise UsageError(f"kernel_grad is 'paper' or 'full', not {kernel_grad!r}")
        if kernel_target not in ("matrix", "mean"):
            raise UsageError(f"kernel_target is 'matrix' or 'mean', not {kernel_target!r}")
        if not 0 <= kernel_weight < float("inf"):
            raise UsageError(f"kernel_weight must be 0 or more, got {kernel_weight}")
        self.kernel_weight, self.kernel_grad, self.kernel_target = kernel_weight, kernel_grad, kernel_target
        self.keep_positive = keep_positive
        self.matrix = nn.Parameter(torch.empty_like(self.weight[0]))
        self.register_buffer("matrix_floor", torch.zeros((), dtype=self.weight.dtype))
        super().configure(estimator, weight_estimator, scale_grad, init, init_scale)

    def reset_scale(self) -> None:
        """Set every entry of C to the mean of abs(W), and the bound of ``keep_positive`` to a tenth of it."""
        with torch.no_grad():
            mean = self.weight.abs().mean()
            self.matrix.fill_(mean)
            self.matrix_floor.copy_(mean / 10)

    def scale(self) -> Tensor:
        """mean(C), one number for the layer."""
        return self.matrix.mean().view([1] * (self.weight.dim() - 1))

    def effective_weight(self) -> Tensor:
        through = self.matrix.detach() if self.scale_grad == "scaled" else None
        return scale_signs(self.binary_weight(), self.matrix, value=self.matrix.detach().mean(), through=through)

    def penalty(self) -> Tensor | None:
        if not self.kernel_weight:
            return None
        full, mean = self.kernel_grad == "full", self.kernel_target == "mean"
        return _KernelLoss.apply(self.weight, self.matrix, self.weight_estimator, self.kernel_weight, full, mean)

    def constrain(self) -> None:
        if self.keep_positive:
            with torch.no_grad():
                torch.maximum(self.matrix, self.matrix_floor, out=self.matrix)


class RectifiedConv2d(RectifiedLayer, BinaryConv2d):
    """The rectified binary convolution; C has the shape of one filter, (C_in / groups, kH, kW). See RectifiedLayer."""


class RectifiedLinear(RectifiedLayer, BinaryLinear):
    """The linear form; C has shape (in_features,)."""


METHODS.add("rbcn", Method("rbcn", RectifiedConv2d, RectifiedLinear, "Liu et al., RBCN, IJCAI 2019"))
