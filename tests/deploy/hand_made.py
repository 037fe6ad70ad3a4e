"""Programs put together by hand, with every kind of operation in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from onebit.deploy.program import Operation, Program
from onebit.deploy.shapes import value_shapes


class Builder:
    """Adds operations one by one, with drawn tensors of the right shapes; every method returns the number of its value."""

    def __init__(self, channels: int, seed: int = 0, pixels: bool = False) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors: list[np.ndarray] = []
        self.operations: list[Operation] = []
        self.pixels = pixels
        if pixels:
            self.operations.append(Operation("input", channels=channels, flags=1))
        else:
            table = (np.arange(256) / 128 - 1).astype(np.float32)
            self.operations.append(self.made("input", (), channels, {"scale": np.tile(table, (channels, 1))}))

    def made(self, kind: str, inputs: tuple[int, ...], channels: int, tensors: dict, **fields: Any) -> Operation:
        places = {role: len(self.tensors) + i for i, role in enumerate(tensors)}
        self.tensors += tensors.values()
        return Operation(kind, inputs, places, channels=channels, **fields)

    def add(self, kind: str, *inputs: int, channels: int = 0, tensors: dict | None = None, **fields: Any) -> int:
        channels = channels or self.operations[inputs[0]].channels
        self.operations.append(self.made(kind, inputs, channels, tensors or {}, **fields))
        return len(self.operations) - 1

    def floats(self, *shape: int, low: float = -1, high: float = 1) -> np.ndarray:
        return self.random.uniform(low, high, shape).astype(np.float32)

    def conv(self, x: int, channels: int, size: int = 3, groups: int = 1, **fields: Any) -> int:
        inside = self.operations[x].channels // groups
        bound = (3 / (inside * size * size)) ** 0.5
        weight = self.floats(channels, size, size, inside, low=-bound, high=bound)
        tensors = {"weight": weight, "bias": self.floats(channels)}
        fields = {"kernel": (size, size), "padding": (size // 2, size // 2), "groups": groups, **fields}
        return self.add("conv", x, channels=channels, tensors=tensors, **fields)

    def pixel_conv(self, channels: int, size: int = 3, dtype: str = "int16", **fields: Any) -> int:
        most = 127 if dtype == "int8" else 32767
        weight = self.random.integers(-most, most + 1, (channels, size, size, self.operations[0].channels)).astype(
            dtype
        )
        tensors = {
            "weight": weight,
            "scale": self.floats(channels, low=0.5, high=1) / most / 128,
            "bias": self.floats(channels),
            "offset": self.floats(channels, size, size, low=-0.2, high=0.2),
        }
        fields = {"kernel": (size, size), "padding": (size // 2, size // 2), **fields}
        return self.add("pixel_conv", 0, channels=channels, tensors=tensors, **fields)

    def pointwise(self, x: int, channels: int) -> int:
        weight = self.random.integers(-2047, 2048, (channels, self.operations[x].channels)).astype(np.int16)
        tensors = {"weight": weight, "scale": self.floats(channels, low=0.1) / 2047, "bias": self.floats(channels)}
        return self.add("pointwise", x, channels=channels, tensors=tensors)

    def binary_conv(
        self, x: int, channels: int, size: int = 3, groups: int = 1, k: int | None = None,
        shifts: tuple[float, ...] = (0.0,), bases: int = 1, **fields: Any,
    ) -> int:  # fmt: skip
        """One term for every base and shift; biases of exactly 0 are among them, so that ties occur."""
        inside = self.operations[x].channels // groups
        terms = [(base, shift) for base in range(bases) for shift in shifts]
        bias = self.floats(channels)
        bias[::3] = 0
        tensors = {
            "weight": self.random.random((bases, channels, size, size, inside)) < 0.5,
            "index": np.array([base for base, _ in terms], np.uint32),
            "shift": np.array([shift for _, shift in terms], np.float32),
            "scale": self.floats(len(terms), channels) / (inside * size * size) ** 0.5,
            "bias": bias,
        }
        fields = {"kernel": (size, size), "padding": (size // 2, size // 2), "groups": groups, **fields}
        inputs = (x,) if k is None else (x, k)
        return self.add("binary_conv", *inputs, channels=channels, tensors=tensors, **fields)

    def by_channel(self, kind: str, x: int) -> int:
        channels = self.operations[x].channels
        tensors = {"scale": self.floats(channels), "bias": self.floats(channels)}
        if kind == "prelu":
            del tensors["bias"]
        return self.add(kind, x, tensors=tensors)

    def program(self, height: int, width: int, **metadata: Any) -> Program:
        shape = [self.operations[0].channels, height, width]
        return Program(tuple(self.operations), tuple(self.tensors), {"input_shape": shape, **metadata})


def everything(pixels: bool = False, channels: int = 41) -> Program:
    """All kinds of operations, images of 3 x 29 x 22."""
    made = Builder(3, pixels=pixels)
    x = (
        made.pixel_conv(channels, 5, stride=(2, 1), padding=(1, 3))
        if pixels
        else made.conv(0, channels, 5, padding=(1, 3))
    )
    x = made.add("max_pool", x, kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    x = made.add("add", x, made.binary_conv(x, channels))
    y = made.binary_conv(x, channels, 5, shifts=(0.0, 0.3), bases=2)
    k = made.add("average_pool", made.add("mean_abs", y, channels=1), kernel=(3, 3), padding=(1, 1), flags=2)
    y = made.binary_conv(y, channels, k=k)
    x = made.add("multiply", made.add("add", x, y), p0=0.5)
    y = made.by_channel("prelu", made.binary_conv(x, 23, dilation=(2, 2), padding=(2, 2)))
    x = made.add("concat", x, y, channels=channels + 23)
    pooled = made.add("average_pool", x, kernel=(2, 2), stride=(2, 2), flags=1)
    y = made.binary_conv(x, 2 * channels, stride=(2, 2), groups=1)
    x = made.add("add", made.pointwise(pooled, 2 * channels) if pixels else made.conv(pooled, 2 * channels, 1), y)
    x = made.add("average_pool", x, kernel=(3, 3), stride=(2, 2), padding=(1, 1), flags=3)
    x = made.add("clamp", made.by_channel("affine", made.add("relu", x)), p0=-0.75, p1=0.875)
    x = made.binary_conv(x, 2 * channels, groups=2)
    x = made.add("max_pool", x, kernel=(2, 2), stride=(2, 2), flags=1)
    mean = made.add("mean_pool", x)
    shapes = value_shapes(made.program(29, 22), 29, 22)
    flat = made.add("flatten", x, channels=int(np.prod(shapes[x])))
    both = made.add("concat", mean, flat, channels=2 * channels + made.operations[flat].channels)
    hidden = made.binary_conv(both, 31, 1)
    made.conv(hidden, 7, 1)
    return made.program(29, 22, model="everything")


def residual(widths: tuple[int, ...] = (16, 24), size: int = 32, classes: int = 5, pixels: bool = False) -> Program:
    """A small Bi-Real network as the packer makes it: stem, units with shortcuts, mean, classifier."""
    made = Builder(3, seed=1, pixels=pixels)
    x = made.pixel_conv(widths[0]) if pixels else made.conv(0, widths[0])
    for stage, width in enumerate(widths):
        if stage:
            pooled = made.add("average_pool", x, kernel=(2, 2), stride=(2, 2), flags=1)
            x = made.add("add", made.binary_conv(x, width, stride=(2, 2)), made.conv(pooled, width, 1))
        for _ in range(2):
            x = made.add("add", made.binary_conv(x, width), x)
    made.conv(made.add("mean_pool", x), classes, 1)
    return made.program(size, size, model="residual", method="bireal", classes=[f"class {i}" for i in range(classes)])
