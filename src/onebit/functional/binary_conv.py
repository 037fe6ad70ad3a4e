"""The convolution of a binarised input: the reference, and the training form that keeps bits instead of floats."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onebit.errors import UsageError
from onebit.functional.estimators import Estimator, get_estimator
from onebit.functional.sign import hard_sign

Pair = tuple[int, int]
Gradients = tuple[Tensor | None, Tensor | None]


def reference_binary_conv2d(
    x: Tensor, weight: Tensor, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1), groups: int = 1
) -> Tensor:
    """The exact integer sums that every other implementation must equal, bit for bit.

    ``y[n, o, i, j] = sum over c, k, l of sign(x)[n, c, i*s + k*d - p, j*s + l*d - p] * weight[o, c, k, l]``, where a
    tap that falls in the padding contributes 0. It is written as sums of 32-bit integers over shifted copies, not as a
    convolution, so that it shares nothing with the implementations that it judges.

    Args:
        x: (N, C_in, H, W), any real dtype; binarised by ``x >= 0``.
        weight: (C_out, C_in / groups, kH, kW) of -1 and +1.
    Returns:
        int32 tensor (N, C_out, H_out, W_out).
    Raises:
        UsageError: if shapes do not fit or a weight is neither -1 nor +1.

    >>> reference_binary_conv2d(torch.tensor([[[[0.5, -2.0, 0.0]]]]), torch.ones(1, 1, 1, 3), padding=(0, 1))
    tensor([[[[0, 1, 0]]]], dtype=torch.int32)
    """
    if x.dim() != 4 or weight.dim() != 4:
        raise UsageError(
            f"expected x (N, C, H, W) and weight (O, C, kH, kW), got {tuple(x.shape)} and {tuple(weight.shape)}"
        )
    channels_out, channels_in, kernel_h, kernel_w = weight.shape
    if x.shape[1] != channels_in * groups or channels_out % groups:
        raise UsageError(
            f"input of {x.shape[1]} channels does not fit weight {tuple(weight.shape)} with {groups} groups"
        )
    if not bool((weight.abs() == 1).all()):
        raise UsageError("a binary weight holds only -1 and +1")
    signs = F.pad(torch.where(x >= 0, 1, -1).to(torch.int32), (padding[1], padding[1], padding[0], padding[0]))
    taps = weight.to(torch.int32)
    height = (signs.shape[2] - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    width = (signs.shape[3] - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    if height < 1 or width < 1:
        raise UsageError(f"kernel {kernel_h}x{kernel_w} is larger than the padded input {tuple(signs.shape[2:])}")
    total = torch.zeros(x.shape[0], groups, channels_out // groups, height, width, dtype=torch.int32, device=x.device)
    grouped = signs.view(x.shape[0], groups, channels_in, *signs.shape[2:])
    taps = taps.view(groups, channels_out // groups, channels_in, kernel_h, kernel_w)
    for k in range(kernel_h):
        for m in range(kernel_w):
            top, left = k * dilation[0], m * dilation[1]
            rows = slice(top, top + (height - 1) * stride[0] + 1, stride[0])
            columns = slice(left, left + (width - 1) * stride[1] + 1, stride[1])
            window = grouped[:, :, :, rows, columns]
            for channel in range(channels_in):
                total += window[:, :, None, channel] * taps[None, :, :, channel, k, m, None, None]
    return total.view(x.shape[0], channels_out, height, width)


def sign_conv2d(
    x: Tensor,
    weight: Tensor,
    estimator: str | Estimator,
    stride: int | Pair = (1, 1),
    padding: int | Pair = (0, 0),
    dilation: int | Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """``conv2d(sign(x), weight)`` that keeps only the estimator's code of ``x``, 1 to 8 bits an element, for the backward.

    Gradients: ``dL/dweight`` is that of a convolution with input ``sign(x)``; ``dL/dx = g(x) * dL/dsign(x)``.
    Without a gradient to compute it is the two plain operations, which graph capture and export can follow.

    Args:
        x: (N, C_in, H, W) float.
        weight: (C_out, C_in / groups, kH, kW) float, real values allowed (a scale may be in it).
        stride, padding, dilation: pairs (height, width), or one number for both.
    Returns:
        (N, C_out, H_out, W_out), in the autocast dtype where autocast is on (never for float64), else in x's dtype.
    Raises:
        UsageError: if x is not of a floating dtype, or the padding is a word such as 'same'.
    """
    stride, padding, dilation = _pair(stride, "stride"), _pair(padding, "padding"), _pair(dilation, "dilation")

    def convolve(signs: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(signs, kernel, None, stride, padding, dilation, groups)

    def gradients(upstream: Tensor, signs: Tensor, kernel: Tensor, need: tuple[bool, bool]) -> tuple[Tensor, Tensor]:
        mask = [need[0], need[1], False]
        return torch.ops.aten.convolution_backward(
            upstream, signs, kernel, None, stride, padding, dilation, False, [0, 0], groups, mask
        )[:2]

    return _sign_then(x, weight, get_estimator(estimator), convolve, gradients)


def sign_linear(x: Tensor, weight: Tensor, estimator: str | Estimator) -> Tensor:
    """``linear(sign(x), weight)``, as frugal in the backward as :func:`sign_conv2d`; x: (..., in), weight: (out, in)."""

    def gradients(upstream: Tensor, signs: Tensor, kernel: Tensor, need: tuple[bool, bool]) -> Gradients:
        to_signs = upstream @ kernel if need[0] else None
        flat = upstream.reshape(-1, upstream.shape[-1])
        return to_signs, flat.T @ signs.reshape(-1, signs.shape[-1]) if need[1] else None

    return _sign_then(x, weight, get_estimator(estimator), F.linear, gradients)


def _pair(value: int | Pair, name: str) -> Pair:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(v, int) for v in pair):
        raise UsageError(f"{name} is a whole number or a pair of them (height, width), not {value!r}")
    return pair


def _sign_then(x: Tensor, weight: Tensor, estimator: Estimator, operate: Callable, gradients: Callable) -> Tensor:
    if not x.is_floating_point():
        raise UsageError(f"the input of a binary layer is a tensor of floats, got {x.dtype}; convert it with .float()")
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _SignThen.apply(x, weight, estimator, operate, gradients)
    return operate(torch.where(x >= 0, 1.0, -1.0).to(x.dtype), weight.to(x.dtype))


class _SignThen(torch.autograd.Function):
    """A linear operation of ``sign(x)`` and a weight that keeps the estimator's code of x instead of sign(x)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, estimator: Estimator, operate: Callable, gradients: Callable
    ) -> Tensor:
        device = x.device.type
        exact = x.dtype == torch.float64
        # As autocast does it: double precision stays, and a device without autocast (meta) has no dtype to ask for.
        cast = not exact and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if cast else x.dtype
        signs, kernel = hard_sign(x), weight.to(dtype)
        ctx.estimator, ctx.gradients, ctx.exact, ctx.shape = estimator, gradients, exact, x.shape
        ctx.dtypes = x.dtype, weight.dtype
        ctx.save_for_backward(kernel, *((x,) if exact else estimator.encode(x.detach(), signs)))
        with torch.autocast(device, enabled=False) if cast else contextlib.nullcontext():
            return operate(signs.to(dtype), kernel)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        kernel, *code = ctx.saved_tensors
        need = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        signs = hard_sign(code[0]) if ctx.exact else ctx.estimator.decode_sign(tuple(code), ctx.shape, upstream.dtype)
        to_signs, to_weight = ctx.gradients(upstream, signs, kernel, need)
        to_x = None
        if need[0]:
            exact = ctx.exact
            to_x = (
                to_signs * ctx.estimator.derivative(code[0]) if exact else ctx.estimator.backward(to_signs, tuple(code))
            )
            to_x = to_x.to(ctx.dtypes[0])
        return to_x, to_weight.to(ctx.dtypes[1]) if need[1] else None, None, None, None
