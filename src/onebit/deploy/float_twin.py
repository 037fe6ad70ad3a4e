"""The float network that a packed one is compared with, as a program and as a torch module."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.deploy.program import CEIL_MODE, COUNT_PADDING, Operation, Program


def float_twin(program: Program, seed: int = 0) -> Program:
    """The same structure in float32: ``conv(relu(x))`` with drawn weights where there was a binary convolution.

    Integer stems and pointwise layers become real convolutions, XNOR-Net's K and ABC-Net's further bases go. The weights are
    He-normal: right for timing, useless for predictions.

    >>> image = Operation("input", channels=1)
    >>> sign = {"weight": 0, "index": 1, "shift": 2, "scale": 3, "bias": 4}
    >>> one = np.ones((1, 1), np.float32)
    >>> tensors = np.ones((1, 1, 1, 1, 1), bool), np.zeros(1, np.uint32), np.zeros(1, np.float32), one, one[0]
    >>> [op.kind for op in float_twin(Program((image, Operation("binary_conv", (0,), sign)), tensors)).operations]
    ['input', 'relu', 'conv']
    """
    twin = _Twin(program, np.random.default_rng(seed))
    read = {len(program.operations) - 1}
    for index in reversed(range(len(program.operations))):
        op = program.operations[index]
        if index in read:
            read.update(_kept_inputs(op))
    for index in sorted(read | {0}):
        twin.add(index)
    metadata = {key: value for key, value in program.metadata.items() if key != "paths"}
    return Program(tuple(twin.operations), tuple(twin.tensors), {**metadata, "method": "real", "precision": "float32"})


def _kept_inputs(op: Operation) -> tuple[int, ...]:
    """What an operation's twin reads: all but K."""
    return op.inputs[:1] if op.kind == "binary_conv" else op.inputs


class _Twin:
    def __init__(self, program: Program, generator: np.random.Generator) -> None:
        self.program, self.generator = program, generator
        self.operations: list[Operation] = []
        self.tensors: list[np.ndarray] = []
        self.place: dict[int, int] = {}
        self.rectified: dict[int, int] = {}

    def add(self, index: int) -> None:
        op = self.program.operations[index]
        inputs = tuple(self.place[i] for i in _kept_inputs(op))
        if op.kind == "input":
            made = dataclasses.replace(op, tensors={}, flags=0)
        elif op.kind == "binary_conv":
            made = self._conv(index, self._relu(inputs[0], op.inputs[0]))
        elif op.kind in ("conv", "pixel_conv", "pointwise"):
            made = self._conv(index, inputs[0])
        else:
            tensors = {role: self._keep(self.program.tensors[place]) for role, place in op.tensors.items()}
            made = dataclasses.replace(op, inputs=inputs, tensors=tensors)
        self.place[index] = self._append(made)

    def _conv(self, index: int, source: int) -> Operation:
        op = self.program.operations[index]
        channels = self.program.operations[op.inputs[0]].channels
        shape = op.channels, *op.kernel, channels // op.groups
        deviation = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        weight = self.generator.normal(0, deviation, shape).astype(np.float32)
        tensors = {"weight": self._keep(weight), "bias": self._keep(np.zeros(op.channels, np.float32))}
        return dataclasses.replace(op, kind="conv", inputs=(source,), tensors=tensors)

    def _relu(self, source: int, value: int) -> int:
        if value not in self.rectified:
            channels = self.operations[source].channels
            self.rectified[value] = self._append(Operation("relu", (source,), channels=channels))
        return self.rectified[value]

    def _append(self, op: Operation) -> int:
        self.operations.append(op)
        return len(self.operations) - 1

    def _keep(self, tensor: np.ndarray) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1


class FloatNetwork(nn.Module):
    """A program without binary or integer layers as a torch module, (N, C, H, W) -> (N, classes): what torch would run."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.operations = program.operations
        for index, op in enumerate(program.operations):
            for role in op.tensors:
                tensor = torch.from_numpy(np.array(program.tensor(index, role)))
                if role == "weight":
                    tensor = tensor.permute(0, 3, 1, 2).clone(memory_format=torch.channels_last)
                elif op.kind == "affine":
                    tensor = tensor.view(-1, 1, 1)
                self.register_buffer(f"{role}_{index}", tensor)
        # A value is dropped after its last reader, as ordinary code does it.
        last = {i: index for index, op in enumerate(program.operations) for i in op.inputs}
        self.done = [[i for i, reader in last.items() if reader == index] for index in range(len(program.operations))]

    def forward(self, images: Tensor) -> Tensor:
        values: dict[int, Tensor] = {0: images}
        for index in range(1, len(self.operations)):
            values[index] = self._run(index, [values[i] for i in self.operations[index].inputs])
            for i in self.done[index]:
                del values[i]
        output = values[len(self.operations) - 1]
        return output.flatten(1) if output.shape[2:] == (1, 1) else output

    def _run(self, index: int, inputs: list[Tensor]) -> Tensor:
        op, x = self.operations[index], inputs[0]
        if op.kind == "conv":
            weight, bias = self.get_buffer(f"weight_{index}"), self.get_buffer(f"bias_{index}")
            return F.conv2d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)
        if op.kind == "affine":
            return x * self.get_buffer(f"scale_{index}") + self.get_buffer(f"bias_{index}")
        if op.kind == "prelu":
            return F.prelu(x, self.get_buffer(f"scale_{index}"))
        if op.kind in ("add", "concat"):
            return inputs[0] + inputs[1] if op.kind == "add" else torch.cat(inputs, 1)
        if op.kind == "max_pool":
            return F.max_pool2d(x, op.kernel, op.stride, op.padding, ceil_mode=bool(op.flags & CEIL_MODE))
        if op.kind == "average_pool":
            ceil, counted = bool(op.flags & CEIL_MODE), bool(op.flags & COUNT_PADDING)
            return F.avg_pool2d(x, op.kernel, op.stride, op.padding, ceil, counted)
        if op.kind == "mean_abs":
            return x.abs().mean(1, keepdim=True)
        simple = {
            "relu": F.relu,
            "multiply": lambda x: x * op.p0,
            "mean_pool": lambda x: x.mean((2, 3), keepdim=True),
            "clamp": lambda x: x.clamp(op.p0, op.p1),
            "flatten": lambda x: x.flatten(1)[:, :, None, None],
        }
        return simple[op.kind](x)
