"""The contract of a binary layer: its bits, its scale, its costs, its own loss term, each stated once for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.functional import get_estimator, scale_signs, sign

ScaleGrad = Literal["unit", "scaled"]
WeightInit = Literal["he", "uniform"]


@dataclass(frozen=True)
class BinaryTerm:
    """One binary convolution to deploy: bits (+1/-1) and the real scale that multiplies its integer sums.

    ``shift``, a tensor of one number: the term's input is binarised as ``sign(x + shift)``; None stands for 0.
    """

    weight: Tensor
    scale: Tensor
    shift: Tensor | None = None


class BinaryLayer(nn.Module):
    """What every layer with binary weights and activations states; mixed into Conv2d and Linear, refined by methods.

    Options that methods share (``xnor`` fixes ``weight_estimator`` and ``scale_grad`` itself and does not take them):
        estimator: stands in for the derivative of the activation's sign (``clip``, ``box``, ``bireal``, ``identity``).
        weight_estimator: the same for the weight's sign.
        scale_grad: whether the gradient on the weight's sign carries the scale (``scaled``: the chain rule,
            dL/dsign(W) = scale * dL/dW_eff) or not (``unit``: as in the code that Bi-Real's authors released).
        init: ``he`` (normal, variance 2 / fan-in) or ``uniform`` (on [0, 1) * 1e-3, Bi-Real's release, without
            init_scale).
        init_scale: factor on ``he``. Small latent weights flip early in training; 0.1 was measured to train best.
    """

    weight: Tensor
    #: what a weight and an activation cost; a layer of several terms (ABC-Net) states its own
    weight_bits: int = 1
    activation_bits: int = 1
    #: whether the terms' sum is multiplied by K(x), the mean of abs(x) over channels and over each window, zeros in the padding
    #: counted (XNOR-Net)
    scales_by_input: bool = False
    #: parameter name -> role, by which optimisers group: "binary" (latent weights), "matrix" (RBCN's C, PCNN's
    #: projections), "norm" (vectors, without decay), else "real"
    roles: ClassVar[dict[str, str]] = {"weight": "binary"}

    def configure(
        self,
        estimator: str = "bireal",
        weight_estimator: str = "clip",
        scale_grad: ScaleGrad = "unit",
        init: WeightInit = "he",
        init_scale: float = 0.1,
    ) -> None:
        """Take the options and draw the latent weight; called once by the constructors of conv and linear layers."""
        if scale_grad not in ("unit", "scaled"):
            raise UsageError(f"scale_grad is 'unit' or 'scaled', not {scale_grad!r}")
        if init not in ("he", "uniform"):
            raise UsageError(f"init is 'he' or 'uniform', not {init!r}")
        if not 0 < init_scale < float("inf"):
            raise UsageError(f"init_scale must be more than 0, got {init_scale}")
        self.estimator = get_estimator(estimator)
        self.weight_estimator = get_estimator(weight_estimator)
        self.scale_grad, self.init, self.init_scale = scale_grad, init, init_scale
        self.draw_weight()

    def draw_weight(self) -> None:
        """Draw the latent weight anew, as ``init`` and ``init_scale`` say."""
        with torch.no_grad():
            if self.init == "uniform":
                self.weight.uniform_(0, 1e-3)
            else:
                fan_in = self.weight[0].numel()
                self.weight.normal_(0, self.init_scale * (2 / fan_in) ** 0.5)
        self.reset_scale()

    def reset_scale(self) -> None:
        """Set what is derived from the latent weight at the start (RBCN's C); call it after loading foreign weights."""

    def take_weight(self, weight: Tensor) -> Tensor:
        """Start from trained real weights of a real twin's shape; returns the factor that multiplied them, a number.

        They keep their signs and proportions but get the mean magnitude that the latent weight was drawn with, so that they
        can still flip; what is derived from them is set anew.
        """
        with torch.no_grad():
            mean = weight.abs().mean()
            factor = self.weight.abs().mean() / mean.clamp(min=torch.finfo(mean.dtype).tiny)
            self.weight.copy_(weight * factor)
        self.reset_scale()
        return factor

    def binary_weight(self) -> Tensor:
        """The bits that ship, as +1/-1, (C_out, C_in / groups, kH, kW) or (out, in); differentiable.

        A layer of several weight bases has them along a leading dimension.
        """
        return sign(self.weight, self.weight_estimator, exact=True)

    def scale(self) -> Tensor:
        """The real scale, (C_out, 1, 1) or (1, 1, 1) for convolutions and (C_out,) or (1,) for linear layers.

        A layer of several terms has one for each of them, along leading dimensions.
        """
        return self._per_output(self.weight.detach().abs().flatten(1).mean(1))

    def effective_weight(self) -> Tensor:
        """``binary_weight() * scale()`` in the shape of the bits, with the method's gradient to all that learns."""
        scale = self._over_weight(self.scale())
        return scale_signs(self.binary_weight(), scale, through=scale if self.scale_grad == "scaled" else None)

    def penalty(self) -> Tensor | None:
        """The method's own loss term of this layer, or None."""
        return None

    def constrain(self) -> None:
        """Bring parameters back to where the method allows them; training calls it after every optimiser step."""

    def real_macs(self, output_shape: Sequence[int]) -> int:
        """Real multiplications beside the binary ones and the scale, for an output of that shape (batch included)."""
        return 0

    def packed(self) -> tuple[BinaryTerm, ...]:
        """The terms to deploy, whose sum in this order is the layer in evaluation, bit for bit; one for most methods.

        Where ``scales_by_input`` is set, the sum is multiplied by K(x).
        """
        return (BinaryTerm(self.binary_weight().detach(), self.scale().detach()),)

    def _respond(self, x: Tensor) -> Tensor:
        """The layer's output for an input of the right shape: scale folded in training, integer sums in evaluation."""
        if self.training:
            return self._sums(x, self.effective_weight())
        return self._sums(x, self.binary_weight()) * self.scale()

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution or linear map of sign(x)."""
        raise NotImplementedError

    def _per_output(self, values: Tensor) -> Tensor:
        return values.view(-1, *([1] * (self.weight.dim() - 2)))

    def _over_weight(self, scale: Tensor) -> Tensor:
        return scale.view(-1, *([1] * (self.weight.dim() - 1)))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, estimator={self.estimator.name}, scale_grad={self.scale_grad}"
