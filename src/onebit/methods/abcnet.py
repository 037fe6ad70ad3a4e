"""``abcnet``: ABC-Net (Lin et al., Towards Accurate Binary Convolutional Neural Network, NeurIPS 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.functional import hard_sign, sign
from onebit.methods.registry import METHODS, Method
from onebit.nn import BinaryConv2d, BinaryLayer, BinaryLinear, BinaryTerm
from onebit.nn.binary_layer import WeightInit

Share = Literal["layer", "filter"]


class _Combination(torch.autograd.Function):
    """``sum over m of alpha_m B_m`` whose gradient goes straight through every B_m; it keeps the sum of alpha alone."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, signs: Tensor, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(alpha.sum(0))
        return (signs * alpha).sum(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient * ctx.saved_tensors[0], None, None


class AbcLayer(BinaryLayer):
    """``sum over n, m of beta_n alpha_m * conv2d(H_n(x), B_m)`` with M weight bases and N activation bases.

    Weight bases: ``B_m = sign(W - mean(W) + u_m std(W))``, ``u_m = -1 + 2 (m - 1) / (M - 1)``, 0 for M = 1; the
    standard deviation is the population's. alpha is the least-squares fit ``argmin ||W - sum of alpha_m B_m||^2``, the shortest
    one where bases coincide. ``share`` says what is fitted together: the ``layer`` (one mean, std and alpha) or each
    ``filter`` (the paper's channel-wise form).

    Activation bases: ``H_n(x) = +1 if clip(x + v_n, 0, 1) >= 1/2, else -1``, which is ``sign(x + v_n - 1/2)``; v_n and beta_n
    learn (``activation_shift``, ``activation_scale``).

    Gradients, with G = dL/d(sum of alpha_m B_m) and A the input that the convolution sees:
        to W: ``sum of alpha_m * G``, straight through every B_m; mean, std and alpha are held constant.
        to x and v_n: ``dL/dH_n * 1[0 <= x + v_n <= 1]``, summed over all elements for v_n (estimator ``box``).
        to beta_n: ``dL/dA * H_n(x)``, summed.

    Our choices, where the paper leaves them open: ``v_n - 1/2`` starts evenly spaced on [-1, 1] (0 for N = 1: the plain sign) and
    beta_n at 1/N. Batch norm after the layer is blind to the size of beta, so that an adaptive optimiser lets it drift;
    ``keep_positive`` holds every beta_n at or above a tenth of its start.

    The terms of :meth:`packed` and of the sum in evaluation are in the order n = 1: m = 1..M, n = 2: m = 1..M, ...
    With M > 1, alpha is solved for in double precision, an M x M system per layer or filter.

    >>> layer = AbcConv2d(2, 1, 1, weight_bases=2).eval()
    >>> _ = layer.weight.data.copy_(torch.tensor([[[[3.0]], [[1.0]]]]))  # mean 2, std 1
    >>> [(term.weight.flatten().tolist(), term.scale.item()) for term in layer.packed()]
    [([1.0, -1.0], 1.0), ([1.0, 1.0], 2.0)]
    >>> layer.weight_bits, layer.activation_bits
    (2, 1)
    """

    activation_shift: nn.Parameter
    activation_scale: nn.Parameter
    roles: ClassVar[dict[str, str]] = {"weight": "binary", "activation_shift": "norm", "activation_scale": "norm"}

    def configure(  # ty: ignore[incompatible-method-override]
        self,
        weight_bases: int = 1,
        activation_bases: int = 1,
        share: Share = "layer",
        estimator: str = "box",
        keep_positive: bool = True,
        init: WeightInit = "he",
        init_scale: float = 0.1,
    ) -> None:
        for name, count in (("weight_bases", weight_bases), ("activation_bases", activation_bases)):
            if count < 1:
                raise UsageError(f"{name} must be 1 or more, got {count}")
        if share not in ("layer", "filter"):
            raise UsageError(f"share is 'layer' or 'filter', not {share!r}")
        self.weight_bits, self.activation_bits = weight_bases, activation_bases
        self.share, self.keep_positive = share, keep_positive
        self.activation_shift = nn.Parameter(self.weight.new_tensor(_spread(activation_bases)) + 0.5)
        self.activation_scale = nn.Parameter(self.weight.new_full((activation_bases,), 1 / activation_bases))
        super().configure(estimator, "identity", "scaled", init, init_scale)

    def shifts(self) -> Tensor:
        """``v_n - 1/2``: what is added to the input before its sign, (N,)."""
        return self.activation_shift - 0.5

    def binary_weight(self) -> Tensor:
        """B_m of shape (M, C_out, C_in / groups, kH, kW) or (M, out, in), without the first dimension for M = 1."""
        bases = [sign(values, "identity", exact=True) for values in self._before_sign(self.weight)]
        return torch.stack(bases) if len(bases) > 1 else bases[0]

    def scale(self) -> Tensor:
        """beta_n alpha_m, (N, M, C_out or 1, 1, 1) or (N, M, out or 1), without the first two dimensions for M = N = 1."""
        alpha = self._alpha(self._signs())
        scale = self.activation_scale[:, None, None] * alpha
        scale = scale.view(*scale.shape, *[1] * (self.weight.dim() - 2))
        return scale[0, 0] if scale.shape[:2] == (1, 1) else scale

    def effective_weight(self) -> Tensor:
        """``beta_n * sum of alpha_m B_m``: in the shape of ``weight`` for N = 1, along a leading dimension for more."""
        signs = self._signs()
        alpha = self._alpha(signs)
        combined = _Combination.apply(self.weight, signs, alpha.view(*alpha.shape, *[1] * (self.weight.dim() - 1)))
        if self.activation_bits == 1:
            return combined * self.activation_scale
        return combined * self.activation_scale.view(-1, *[1] * self.weight.dim())

    def constrain(self) -> None:
        if self.keep_positive:
            with torch.no_grad():
                self.activation_scale.clamp_(min=0.1 / self.activation_bits)

    def packed(self) -> tuple[BinaryTerm, ...]:
        with torch.no_grad():
            return tuple(BinaryTerm(weight, scale, shift) for shift, weight, scale in self._terms())

    def _respond(self, x: Tensor) -> Tensor:
        if self.training:
            weights = self.effective_weight().view(-1, *self.weight.shape)
            # The shift takes x's dtype first, so that whole numbers stay what they are and are refused.
            outputs = (self._sums(x + s.to(x.dtype), w) for s, w in zip(self.shifts(), weights, strict=True))
        else:
            outputs = (self._sums(x + shift.to(x.dtype), w) * scale for shift, w, scale in self._terms())
        return reduce(torch.add, outputs)

    def _terms(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        shape = self.activation_bits, self.weight_bits
        weights = self.binary_weight().view(self.weight_bits, *self.weight.shape)
        scales = self.scale()
        scales = scales.view(*shape, *scales.shape[-(self.weight.dim() - 1) :])
        for shift, row in zip(self.shifts(), scales, strict=True):
            for weight, scale in zip(weights, row, strict=True):
                yield shift, weight, scale

    def _before_sign(self, weight: Tensor) -> list[Tensor]:
        std, mean = torch.std_mean(weight.detach(), self._shared(), correction=0, keepdim=True)
        return [weight - mean + u * std for u in _spread(self.weight_bits)]

    def _signs(self) -> Tensor:
        return torch.stack([hard_sign(values) for values in self._before_sign(self.weight.detach())])

    def _shared(self, first: int = 0) -> tuple[int, ...]:
        """The dimensions of ``weight`` that share a fit, counted from ``first``."""
        return tuple(range(first + (self.share == "filter"), first + self.weight.dim()))

    def _alpha(self, signs: Tensor) -> Tensor:
        """The least-squares factors of the bases, (M, 1) or (M, C_out)."""
        products = (signs * self.weight.detach()).mean(self._shared(1)).view(len(signs), -1)
        if len(signs) == 1:
            return products
        # Each basis holds the +1s of the one before it, so that two of them differ as often as their sums say.
        means = signs.mean(self._shared(1), dtype=torch.float64).view(len(signs), -1).T
        gram = 1 - (means[:, :, None] - means[:, None, :]).abs()
        # Bases that coincide make the system singular; the pseudo-inverse shares the factor among them.
        inverse = torch.linalg.pinv(gram, rtol=1e-12, hermitian=True)
        return (inverse @ products.T.double()[:, :, None])[:, :, 0].T.to(products.dtype)


def _spread(count: int) -> list[float]:
    """``count`` numbers from -1 to 1, evenly spaced; 0 alone."""
    return [-1 + 2 * i / (count - 1) for i in range(count)] if count > 1 else [0.0]


class AbcConv2d(AbcLayer, BinaryConv2d):
    """ABC-Net's convolution; see :class:`AbcLayer`."""


class AbcLinear(AbcLayer, BinaryLinear):
    """The linear form of :class:`AbcConv2d`."""


METHODS.add("abcnet", Method("abcnet", AbcConv2d, AbcLinear, "Lin et al., ABC-Net, NeurIPS 2017"))
