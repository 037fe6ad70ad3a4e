"""Signs times a scale, where the gradient that reaches each of the two is the method's choice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onebit.functional.packing import pack_bits, unpack_bytes


def scale_signs(signs: Tensor, scale: Tensor, *, value: Tensor | None = None, through: Tensor | None = None) -> Tensor:
    """``signs * value``; gradients ``dL/dsigns = dL/dy * through`` and ``dL/dscale = sum of dL/dy * signs``.

    Args:
        signs: (C_out, ...) tensor of -1 and +1.
        scale: tensor broadcastable to ``signs``, the one that learns; its gradient is summed to its own shape.
        value: what multiplies in the forward (default ``scale``). RBCN multiplies by mean(C) and lets C learn.
        through: what the gradient of ``signs`` is multiplied by; None leaves it alone.

    >>> signs = torch.tensor([[1.0, -1.0]], requires_grad=True)
    >>> scale = torch.tensor([[1.0, 3.0]], requires_grad=True)
    >>> y = scale_signs(signs, scale, value=scale.mean(), through=scale); y.sum().backward()
    >>> y.tolist(), signs.grad.tolist(), scale.grad.tolist()
    ([[2.0, -2.0]], [[1.0, 3.0]], [[1.0, -1.0]])
    """
    return _ScaleSigns.apply(signs, scale, scale if value is None else value, through)


class _ScaleSigns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, signs: Tensor, scale: Tensor, value: Tensor, through: Tensor | None) -> Tensor:
        ctx.shapes = signs.shape, scale.shape
        # One bit a sign is kept, and only where the scale learns.
        kept = (pack_bits(signs > 0),) if ctx.needs_input_grad[1] else ()
        ctx.learns, ctx.chain = bool(kept), through is not None
        ctx.save_for_backward(*kept, *([] if through is None else [through]))
        return signs * value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        shape, scale_shape = ctx.shapes
        to_scale = None
        if ctx.learns:
            signs = unpack_bytes(saved[0], shape.numel()).view(shape).to(gradient.dtype).mul_(2).sub_(1)
            to_scale = signs.mul_(gradient).sum_to_size(scale_shape)
        return gradient * saved[-1] if ctx.chain else gradient, to_scale, None, None
