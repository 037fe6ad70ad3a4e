"""Signs times a scale, where the gradient that reaches each of the two is the method's choice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def scale_signs(signs: Tensor, scale: Tensor, *, value: Tensor | None = None, through: Tensor | None = None) -> Tensor:
    """``signs * value``; gradients ``dL/dsigns = dL/dy * through`` and ``dL/dscale = sum of dL/dy * signs``.

    Args:
        signs: (C_out, ...) tensor of -1 and +1.
        scale: tensor broadcastable to ``signs``, the one that learns; its gradient is summed to its own shape.
        value: what multiplies in the forward (default ``scale``). RBCN multiplies by mean(C) and lets C learn.
        through: what the gradient of ``signs`` is multiplied by (default ``scale``; a tensor of one 1 leaves it alone).

    >>> signs = torch.tensor([[1.0, -1.0]], requires_grad=True)
    >>> scale = torch.tensor([[1.0, 3.0]], requires_grad=True)
    >>> y = scale_signs(signs, scale, value=scale.mean()); y.sum().backward()
    >>> y.tolist(), signs.grad.tolist(), scale.grad.tolist()
    ([[2.0, -2.0]], [[1.0, 3.0]], [[1.0, -1.0]])
    """
    return _ScaleSigns.apply(signs, scale, scale if value is None else value, scale if through is None else through)


class _ScaleSigns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, signs: Tensor, scale: Tensor, value: Tensor, through: Tensor) -> Tensor:
        ctx.save_for_backward(signs, through)
        ctx.scale_shape = scale.shape
        return signs * value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        signs, through = ctx.saved_tensors
        to_scale = (gradient * signs).sum_to_size(ctx.scale_shape) if ctx.needs_input_grad[1] else None
        return gradient * through, to_scale, None, None
