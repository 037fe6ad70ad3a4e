"""Shapes of a program's values for images of one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onebit.deploy.program import CEIL_MODE, Operation, Pair, Program
from onebit.errors import UsageError

Shape = tuple[int, int, int]


def value_shapes(program: Program, height: int, width: int) -> list[Shape]:
    """(channels, height, width) of every value, for images of ``height`` x ``width`` pixels.

    Raises:
        UsageError: naming the operation that does not work at that size.

    >>> image = Operation("input", channels=3)
    >>> value_shapes(Program((image, Operation("mean_pool", (0,), channels=3))), 32, 24)
    [(3, 32, 24), (3, 1, 1)]
    """
    shapes: list[Shape] = [(program.operations[0].channels, height, width)]
    for index, op in enumerate(program.operations[1:], start=1):
        size = _size(op, [shapes[i] for i in op.inputs])
        if size is None:
            inputs = ", ".join("x".join(map(str, shapes[i])) for i in op.inputs)
            raise UsageError(
                f"images of {height}x{width} do not fit: {program.describe(index)} cannot work on {inputs}; "
                "give images of the size that the network was packed with"
            )
        shapes.append((op.channels, *size))
    return shapes


def packed_shape(program: Program) -> Shape:
    """The (channels, height, width) that a program was packed with.

    Raises:
        UsageError: if its metadata do not say.
    """
    shape = program.metadata.get("input_shape")
    valid = isinstance(shape, list) and len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)
    if not valid or shape[0] != program.operations[0].channels:
        raise UsageError(
            f"the packed network does not say which image size it is for (input_shape is {shape!r}); pack it again"
        )
    return shape[0], shape[1], shape[2]


def is_vector(metadata: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether a result (channels, height, width) is a vector to the network's users, (N, C) and not (N, C, 1, 1)."""
    return shape[1:] == (1, 1) and len(metadata.get("output_shape") or ()) != 3


def window_count(size: int, op: Operation, axis: int) -> int:
    """How many places a kernel or a pooling window takes along an axis of ``size``, as torch counts them.

    >>> window_count(7, Operation("max_pool", (0,), kernel=(2, 2), stride=(2, 2), flags=CEIL_MODE), 0)
    4
    """
    kernel, stride, padding, dilation = op.kernel[axis], op.stride[axis], op.padding[axis], op.dilation[axis]
    rounds_up = op.flags & CEIL_MODE
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0 and not (rounds_up and room + stride > 0):
        return 0
    if not rounds_up:
        return room // stride + 1
    count = -(-room // stride) + 1
    # The last window has to begin inside the image or the padding before it.
    return count - 1 if (count - 1) * stride >= size + padding else count


def end_padding(op: Operation, sizes: tuple[int, ...]) -> list[int]:
    """The padding behind a map (height, width) that the last windows ask for."""
    return [
        max(0, (window_count(size, op, axis) - 1) * op.stride[axis] + op.kernel[axis] - size - op.padding[axis])
        for axis, size in enumerate(sizes)
    ]


def window_taps(op: Operation, sizes: tuple[int, ...], padded: bool) -> np.ndarray:
    """How many taps of every pooling window lie inside a map (height, width), or inside it and its padding."""
    counts = []
    for axis, size in enumerate(sizes):
        starts = np.arange(window_count(size, op, axis)) * op.stride[axis] - op.padding[axis]
        margin = op.padding[axis] if padded else 0
        counts.append(np.minimum(starts + op.kernel[axis], size + margin) - np.maximum(starts, -margin))
    return np.outer(*counts)


def macs(program: Program, index: int, shapes: list[Shape]) -> int:
    """Multiply-accumulates of one operation for one image, taps in the padding counted; 0 where it has no weights."""
    op = program.operations[index]
    weight = program.tensor(index, "weight")
    if weight is None:
        return 0
    _, height, width = shapes[index]
    per_pixel = weight.size
    if op.kind == "binary_conv":
        per_pixel = weight[0].size * len(program.required_tensor(index, "index"))
    return per_pixel * height * width


def _size(op: Operation, inputs: list[Shape]) -> Pair | None:
    first = inputs[0]
    if op.kind in ("add", "concat"):
        return first[1:] if inputs[1][1:] == first[1:] else None
    if op.kind == "mean_pool":
        return 1, 1
    if op.kind == "flatten":
        return (1, 1) if op.channels == first[0] * first[1] * first[2] else None
    if op.kind in ("conv", "pixel_conv", "binary_conv", "max_pool", "average_pool"):
        height, width = (window_count(first[axis + 1], op, axis) for axis in (0, 1))
        if op.kind == "binary_conv" and len(inputs) == 2 and inputs[1][1:] != (height, width):
            return None
        return (height, width) if height > 0 and width > 0 else None
    return first[1:]
