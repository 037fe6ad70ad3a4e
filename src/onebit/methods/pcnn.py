"""``pcnn``: the projection convolution (Gu et al., Projection Convolutional Neural Networks for 1-bit CNNs, AAAI 2019)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.functional import Estimator, hard_sign
from onebit.methods.registry import METHODS, Method
from onebit.nn import BinaryConv2d, BinaryLayer, BinaryLinear
from onebit.nn.binary_layer import WeightInit

Projected = Literal["mean", "matrix"]


def _signs(weight: Tensor, projection: Tensor, mean: bool) -> Tensor:
    """sign(W_j o C_i), or of mean(W_j) C_i: (I, J, C_in, kH, kW) from (I, 1, C_in, kH, kW) and (1, J, 1, kH, kW)."""
    if mean:
        projection = projection.flatten(2).mean(2).view(1, -1, *[1] * (weight.dim() - 2))
    return hard_sign(projection * weight)


class _Project(torch.autograd.Function):
    """The bits of all projections, with the gradients of the task; it keeps the two parameters and nothing else."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, projection: Tensor, estimator: Estimator, mean: bool) -> Tensor:
        ctx.save_for_backward(weight, projection)
        ctx.estimator = estimator
        return _signs(weight, projection, mean)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, projection = ctx.saved_tensors
        through = ctx.estimator.derivative(projection * weight).mul_(gradient)
        return (
            (through * projection).sum_to_size(weight.shape),
            (through * weight).sum_to_size(projection.shape),
            None,
            None,
        )


class _ProjectionLoss(torch.autograd.Function):
    """``factor / 2 * ||bits * scale - W_j o T||^2``, the bits and their scale held constant; T is C_i, or C_i + eta delta."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, projection: Tensor, target: Tensor, scale: Tensor, factor: float, mean: bool
    ) -> Tensor:
        ctx.save_for_backward(weight, projection, target, scale)
        ctx.factor, ctx.mean = factor, mean
        return factor / 2 * _ProjectionLoss.difference(weight, projection, target, scale, mean).square_().sum()

    @staticmethod
    def difference(weight: Tensor, projection: Tensor, target: Tensor, scale: Tensor, mean: bool) -> Tensor:
        return (projection * target).sub_(_signs(weight, projection, mean).mul_(scale))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, projection, target, _ = ctx.saved_tensors
        scaled = _ProjectionLoss.difference(*ctx.saved_tensors, ctx.mean).mul_(ctx.factor * gradient)
        to_weight = (scaled * projection).sum_to_size(weight.shape)
        return to_weight, (scaled * target).sum_to_size(projection.shape), None, None, None, None


class ProjectionLayer(BinaryLayer):
    """Weights ``Chat_ij = a sign(W_j o C_i)``: J projections of each of C_out / J latent filters C_i.

    C_i is ``weight``, of C_out / J filters; W_j is ``projection``, J matrices of a kernel's size (single numbers in a linear
    layer), copied over the channels of a filter and shared by all filters of the layer; ``a`` is the mean of abs(C) over the
    layer (Eq. 3.57). The J copies of a filter are J neighbouring output channels, ``D_i = concat over j of Chat_ij``: channel
    ``i J + j`` is copy j of filter i, so that groups keep their channels together. In deployment only the bits remain.

    Equation numbers are those of the authors' book (Zhang et al., Binary Neural Networks, CRC Press 2023, section 3.5).

    Forward (``projected``): ``mean`` takes mean(W_j) for W_j, as the authors' implementation does by the book ("the mean of W
    in the forward process" and "the original W in the backward propagation"). A positive mean has no effect
    on a sign: all J copies then have the same bits, and with J = 1 they are sign(C_i). ``matrix`` takes W_j itself, so that
    copies differ where the signs of the W_j do.

    Gradients of the task, G_ij = dL_S/dChat_ij, by the full W_j in either case:
        to C: ``dL_S/dC_i = sum over j of G_ij o 1[abs(W_j o C_i) <= 1] o W_j``
        to W (Eq. 3.55): ``dL_S/dW_j = sum over i and channels of G_ij o 1[abs(W_j o C_i) <= 1] o C_i``

    Projection loss (Eq. 3.42): ``L_P = projection_weight / 2 * sum over i, j of ||Chat_ij - W_j o (C_i + eta delta_ij)||^2``.
        to C (Eq. 3.52): ``projection_weight * sum over j of [W_j o (C_i + eta delta_ij) - Chat_ij] o W_j``
        to W (Eq. 3.56): the same bracket ``o (C_i + eta delta_ij)``, summed over i and channels.

    delta_ij is dL_S/dChat_ij, which is known only after the backward pass that the loss itself takes part in. With ``eta`` = 0
    (default) it drops out. Otherwise it is the one of the last backward pass in training mode, kept in the buffer ``delta``
    (zeros before the first), so that it survives a resume; it is what that pass delivered: under a scaled loss it is scaled, and
    an objective other than the task's is in it.

    Every entry of W_j starts at 1: the first projection is the identity. With ``projected="matrix"`` those of j > 1 start at -1 or
    +1 at random (our choice), so that copies differ from the start. ``keep_positive`` (default) holds every entry at or above a
    tenth of its start where ``projected="mean"``: a mean that crosses zero would turn every bit of the layer, and an entry
    below zero the gradient. The published equations have no such bound.

    Further options:
        projections: J. Channels (of each group) that J does not divide are refused.
        projection_weight: lambda; 1e-4 was best of the four published values.

    >>> layer = ProjectionConv2d(1, 4, 1, projections=2)
    >>> _ = layer.weight.data.copy_(torch.tensor([0.5, -0.1]).view(2, 1, 1, 1))
    >>> layer.binary_weight().flatten().tolist(), round(layer.scale().item(), 6)
    ([1.0, 1.0, -1.0, -1.0], 0.3)
    """

    projection: nn.Parameter
    delta: Tensor
    roles: ClassVar[dict[str, str]] = {"weight": "binary", "projection": "matrix"}

    def configure(  # ty: ignore[incompatible-method-override]
        self,
        projections: int = 1,
        projected: Projected = "mean",
        projection_weight: float = 1e-4,
        eta: float = 0.0,
        keep_positive: bool = True,
        estimator: str = "clip",
        weight_estimator: str = "clip",
        init: WeightInit = "he",
        init_scale: float = 0.1,
    ) -> None:
        if projected not in ("mean", "matrix"):
            raise UsageError(f"projected is 'mean' or 'matrix', not {projected!r}")
        for name, number in (("projection_weight", projection_weight), ("eta", eta)):
            if not 0 <= number < float("inf"):
                raise UsageError(f"{name} must be 0 or more, got {number}")
        if projections < 1:
            raise UsageError(f"projections must be 1 or more, got {projections}")
        channels, groups = len(self.weight), getattr(self, "groups", 1)
        if channels % (projections * groups):
            raise UsageError(
                f"{channels} output channels are no multiple of {projections * groups}, {projections} projections in "
                f"{groups} group{'s' * (groups > 1)}; choose another width or another number of projections"
            )
        self.projections, self.projected, self.keep_positive = projections, projected, keep_positive
        self.projection_weight, self.eta = projection_weight, eta
        self.weight = nn.Parameter(self.weight.new_empty(channels // projections, *self.weight.shape[1:]))
        self.projection = nn.Parameter(self.weight.new_empty(projections, *self.weight.shape[2:]))
        if eta:
            self.register_buffer("delta", self.weight.new_zeros(channels, *self.weight.shape[1:]))
        super().configure(estimator, weight_estimator, "unit", init, init_scale)

    def reset_scale(self) -> None:
        """Set every W_j to its start; forget delta."""
        with torch.no_grad():
            self.projection.fill_(1)
            if self.projected == "matrix":
                self.projection[1:].bernoulli_(0.5).mul_(2).sub_(1)
            if self.eta:
                self.delta.zero_()

    def take_weight(self, weight: Tensor) -> Tensor:
        """Start from the real weights of a twin: C_i from the mean over its J channels, as Eq. 3.41 has it for W_j = 1."""
        return super().take_weight(weight.unflatten(0, (-1, self.projections)).mean(1))

    def binary_weight(self) -> Tensor:
        signs = _Project.apply(*self._factors(), self.weight_estimator, self.projected == "mean")
        return signs.flatten(0, 1)

    def scale(self) -> Tensor:
        """a, the mean of abs(C), one number for the layer."""
        return self.weight.detach().abs().mean().view([1] * (self.weight.dim() - 1))

    def effective_weight(self) -> Tensor:
        effective = super().effective_weight()
        if self.eta and self.training and effective.requires_grad:
            effective.register_hook(self._keep_delta)
        return effective

    def penalty(self) -> Tensor | None:
        if not self.projection_weight:
            return None
        weight, projection = self._factors()
        target = weight.detach()
        if self.eta:
            target = target + self.eta * self.delta.view(-1, self.projections, *weight.shape[2:])
        mean = self.projected == "mean"
        return _ProjectionLoss.apply(
            weight, projection, target, self._over_weight(self.scale()), self.projection_weight, mean
        )

    def constrain(self) -> None:
        if self.keep_positive and self.projected == "mean":
            with torch.no_grad():
                self.projection.clamp_(min=0.1)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """C as (I, 1, C_in, kH, kW) and W as (1, J, 1, kH, kW)."""
        return self.weight[:, None], self.projection[None, :, None]

    def _keep_delta(self, gradient: Tensor) -> None:
        with torch.no_grad():
            self.delta.copy_(gradient)


class ProjectionConv2d(ProjectionLayer, BinaryConv2d):
    """The convolution: ``weight`` is (C_out / J, C_in / groups, kH, kW), ``projection`` (J, kH, kW). See ProjectionLayer."""


class ProjectionLinear(ProjectionLayer, BinaryLinear):
    """The linear form: ``weight`` is (out / J, in), ``projection`` (J,)."""


METHODS.add("pcnn", Method("pcnn", ProjectionConv2d, ProjectionLinear, "Gu et al., Projection CNNs, AAAI 2019"))
