"""A program run in torch with the arithmetic of docs/file-format.md, addition by addition: slow, and the judge of the engine.

It also stands in for the engine where that was not built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from onebit.deploy.program import COUNT_PADDING, Operation, Program
from onebit.deploy.shapes import window_count
from onebit.errors import UsageError

_MIDPOINT, _BELOW_FLOAT32 = 1 << 28, (1 << 29) - 1


def run_program(program: Program, images: Tensor) -> Tensor:
    """The output of ``program`` for a batch of images, (N, C, H, W); a classifier's is (N, classes, 1, 1).

    Args:
        images: float32 (N, C, H, W), normalised as in training, or uint8 pixels.
    Raises:
        UsageError: for images of another number of channels, a size that the program cannot take, or pixels (or floats) where it
            takes the other.
    """
    return run_values(program, images, keep=False)[-1]


@torch.inference_mode()
def run_values(program: Program, images: Tensor, keep: bool = True) -> list[Tensor]:
    """What every operation of ``program`` makes, (N, C, H, W) each; without ``keep`` only the last one is there at the end."""
    values: list[Any] = []
    last = {i: index for index, op in enumerate(program.operations) for i in op.inputs}
    for index, op in enumerate(program.operations):
        if index == 0:
            value = _image(program, images)
        else:
            inputs = [values[i] for i in op.inputs]
            tensors = {role: as_tensor(program.tensors[position]) for role, position in op.tensors.items()}
            try:
                value = _RUN[op.kind](op, tensors, *inputs)
            except (_DoesNotFitError, RuntimeError) as error:
                sizes = " and ".join(f"{x.shape[1]} x {x.shape[2]} x {x.shape[3]}" for x in inputs)
                raise UsageError(
                    f"{program.describe(index)} cannot take maps of {sizes} (channels x height x width), made from images "
                    f"of {images.shape[2]} x {images.shape[3]} pixels: {error}; give images of another size"
                ) from None
        values.append(value)
        if not keep:
            for i in op.inputs:
                if last[i] == index:
                    values[i] = None
    return values


def fma(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``a * b + c`` of float32 tensors, rounded once.

    The product is exact in double precision. The sum is rounded to double first, which matters only where that lands just between
    two float32: there the rounding error decides. (Results below 2^-126 may be rounded twice.)
    """
    product, addend = a.double() * b.double(), c.double()
    total = product + addend
    between = (total.view(torch.int64) & _BELOW_FLOAT32) == _MIDPOINT
    if bool(between.any()):
        part = total - product
        lost = (product - (total - part)) + (addend - part)
        towards = torch.where(lost > 0, torch.inf, -torch.inf).to(total.dtype)
        total = torch.where(between & (lost != 0), torch.nextafter(total, towards), total)
    return total.float()


def as_tensor(array: np.ndarray) -> Tensor:
    """A tensor in the array's memory, or of a copy where torch cannot take it as it lies."""
    takes = array.flags.writeable and min(array.strides) >= 0
    return torch.from_numpy(array if takes else array.copy())


class _DoesNotFitError(Exception):
    """A map of a size that an operation cannot take."""


def _image(program: Program, images: Tensor) -> Tensor:
    op, table = program.operations[0], program.tensor(0, "scale")
    if images.dim() != 4 or images.shape[1] != op.channels:
        raise UsageError(f"this network takes images (N, {op.channels}, H, W), got {tuple(images.shape)}")
    if images.dtype == torch.uint8:
        if op.flags:
            return images
        if table is None:
            raise UsageError(
                "this network was packed without mean and std; give float32 images, normalised as in training"
            )
        rows = as_tensor(table)
        return torch.stack([rows[c][images[:, c].long()] for c in range(op.channels)], 1)
    if images.dtype != torch.float32 or op.flags:
        raise UsageError(
            f"this network takes {'pixels (uint8)' if op.flags else 'float32 or uint8'}, got {images.dtype}"
        )
    if bool(images.isnan().any()):
        raise UsageError("the images hold a NaN")
    return images


def _windows(op: Operation, x: Tensor) -> tuple[Tensor, Tensor, list[tuple[int, int, Any, Any]]]:
    """x framed with zeros, 1 where the frame holds x, and for every tap (row, column, slices) of all its positions."""
    counts, frame = [], []
    for axis, size in enumerate(x.shape[2:]):
        count, padding = window_count(size, op, axis), op.padding[axis]
        reach = op.dilation[axis] * (op.kernel[axis] - 1) + 1
        if not count:
            raise _DoesNotFitError(f"the kernel reaches over {reach} pixels")
        counts.append(count)
        frame.append((padding, max(padding, (count - 1) * op.stride[axis] + reach - padding - size)))
    edges = (*frame[1], *frame[0])
    inside = F.pad(torch.ones(1, 1, *x.shape[2:], dtype=torch.bool), edges)
    taps = []
    for row in range(op.kernel[0]):
        for column in range(op.kernel[1]):
            y0, x0 = row * op.dilation[0], column * op.dilation[1]
            rows = slice(y0, y0 + (counts[0] - 1) * op.stride[0] + 1, op.stride[0])
            columns = slice(x0, x0 + (counts[1] - 1) * op.stride[1] + 1, op.stride[1])
            taps.append((row, column, rows, columns))
    return F.pad(x, edges), inside, taps


def _channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)


def _conv(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    framed, inside, taps = _windows(op, x)
    weight = tensors["weight"].unflatten(0, (op.groups, -1))
    grouped = framed.unflatten(1, (op.groups, -1))[:, :, None]
    y = tensors["bias"].view(1, op.groups, -1, 1, 1)
    for row, column, rows, columns in taps:
        here = inside[:, :, None, rows, columns]
        for c in range(weight.shape[-1]):
            added = fma(grouped[:, :, :, c, rows, columns], weight[None, :, :, row, column, c, None, None], y)
            y = torch.where(here, added, y)
    return y.flatten(1, 2)


def _pixel_conv(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    _, inside, taps = _windows(op, x)
    weight = tensors["weight"].double().permute(0, 3, 1, 2)
    sums = F.conv2d(x.double(), weight, None, op.stride, op.padding, op.dilation)
    bias = _channel(tensors["bias"]).double()
    for row, column, rows, columns in taps:
        bias = bias + _channel(tensors["offset"][:, row, column]).double() * inside[:, :, rows, columns]
    return fma(sums.float(), _channel(tensors["scale"]), bias.float())


def _binary_conv(op: Operation, tensors: dict[str, Tensor], x: Tensor, factor: Tensor | None = None) -> Tensor:
    # A copy with ordinary strides: torch 2.13 computes nonsense from permuted weights of one channel, and contiguous() keeps those.
    weight = (
        torch.where(tensors["weight"], 1.0, -1.0).permute(0, 1, 4, 2, 3).clone(memory_format=torch.contiguous_format)
    )
    # Sums of -1 and +1 are whole numbers, exact in float32 below 2^24 of them.
    dtype = torch.float32 if weight[0, 0].numel() < 1 << 24 else torch.float64
    y = _channel(tensors["bias"])
    for base, shift, scale in zip(tensors["index"].tolist(), tensors["shift"], tensors["scale"], strict=True):
        signs = torch.where(x + shift >= 0, 1.0, -1.0).to(dtype)
        sums = F.conv2d(signs, weight[base].to(dtype), None, op.stride, op.padding, op.dilation, op.groups).float()
        if factor is not None:
            if factor.shape[2:] != sums.shape[2:]:
                raise _DoesNotFitError(f"its result is {tuple(sums.shape[2:])}, its factor {tuple(factor.shape[2:])}")
            sums = sums * factor
        y = fma(sums, _channel(scale), y)
    return y


def _pointwise(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    most = x.abs().amax((1, 2, 3), keepdim=True)
    # Not 2047 / most, which torch computes as a product with the reciprocal, rounded twice.
    factor = torch.full_like(most, 2047) / most
    factor = torch.where(factor.isfinite(), factor, 0)
    sums = F.conv2d((x * factor).round().double(), tensors["weight"].double()[:, :, None, None])
    return fma(sums.float(), _channel(tensors["scale"]) * (most / 2047), _channel(tensors["bias"]))


def _affine(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    return fma(x, _channel(tensors["scale"]), _channel(tensors["bias"]))


def _add(op: Operation, tensors: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    if a.shape != b.shape:
        raise _DoesNotFitError("they are of two sizes")
    return a + b


def _multiply(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    return x * torch.tensor(op.p0, dtype=torch.float32)


def _concat(op: Operation, tensors: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], 1)


def _max_pool(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    framed, inside, taps = _windows(op, x)
    most = torch.tensor(-torch.inf)
    for _, _, rows, columns in taps:
        candidate = framed[:, :, rows, columns]
        most = torch.where(inside[:, :, rows, columns] & (candidate > most), candidate, most)
    return most


def _average_pool(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    framed, inside, taps = _windows(op, x)
    if op.flags & COUNT_PADDING:
        inside = torch.zeros_like(inside)
        inside[:, :, : x.shape[2] + 2 * op.padding[0], : x.shape[3] + 2 * op.padding[1]] = True
    total, count = torch.zeros(()), torch.zeros(())
    for _, _, rows, columns in taps:
        total = total + framed[:, :, rows, columns]
        count = count + inside[:, :, rows, columns]
    return total / count


def _mean_pool(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    total = torch.zeros(())
    for pixel in x.flatten(2).unbind(2):
        total = total + pixel
    return (total / (x.shape[2] * x.shape[3]))[:, :, None, None]


def _relu(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.0)


def _prelu(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    return torch.where(x >= 0, x, x * _channel(tensors["scale"]))


def _clamp(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    low, high = (torch.tensor(p, dtype=torch.float32) for p in (op.p0, op.p1))
    return torch.where(x < low, low, torch.where(x > high, high, x))


def _mean_abs(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    channels = x.shape[1]
    blocks = F.pad(x.abs(), (0, 0, 0, 0, 0, -channels % 16)).unflatten(1, (-1, 16))
    lanes = torch.zeros_like(blocks[:, 0])
    for block in blocks.unbind(1):
        lanes = lanes + block
    for half in (8, 4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half : 2 * half]
    return lanes / channels


def _flatten(op: Operation, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    if x[0].numel() != op.channels:
        raise _DoesNotFitError(f"it makes a vector of {op.channels}")
    return x.reshape(len(x), -1, 1, 1)


_RUN: dict[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "pixel_conv": _pixel_conv,
    "binary_conv": _binary_conv,
    "pointwise": _pointwise,
    "affine": _affine,
    "add": _add,
    "multiply": _multiply,
    "concat": _concat,
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "mean_pool": _mean_pool,
    "relu": _relu,
    "prelu": _prelu,
    "clamp": _clamp,
    "mean_abs": _mean_abs,
    "flatten": _flatten,
}
