"""A program as an OpenVINO model with OpenVINO's own binary convolution."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from onebit.deploy.export_onnx import need
from onebit.deploy.program import COUNT_PADDING, Program
from onebit.deploy.shapes import end_padding, is_vector, packed_shape, value_shapes, window_taps
from onebit.errors import OnebitError, UsageError

#: what the model has to be compiled with, so that real layers stay float32
CONFIGURATION = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
#: Bounds of the quantisation around its threshold. Wide enough to stay apart in float32 when OpenVINO folds a batch norm into
#: them (equal bounds give wrong values), narrow enough for a sharp threshold, which lies 1e-9 below 0 so that 0 becomes +1.
_BOUND, _BELOW = 1e-3, 1 - 1e-6


def to_openvino(program: Program) -> Any:
    """The program as an ``openvino.Model``: (1, C, H, W) -> (1, classes), or (1, C', H', W') for maps.

    H and W are those that it was packed with; one image at a time, for OpenVINO's binary convolution takes no other batch that
    is not fixed. Inputs as for ONNX (:func:`onebit.deploy.export_onnx.to_onnx`).

    A sign is a fake quantisation of two levels, a binary convolution a convolution of it with weights of -1 and +1, which
    OpenVINO turns into its ``BinaryConvolution``. Its threshold lies just below 0, so that 0 becomes +1. Where OpenVINO's
    binary convolution computes wrong sums (input channels that are no multiple of 8) or does not exist (groups), the sign is
    written as a comparison and OpenVINO computes in float32: right, but slow.

    Raises:
        UsageError: if ``openvino`` is not installed, or the program does not say its input shape.
    """
    need("openvino", "openvino")
    graph = _Graph(program)
    for index in range(1, len(program.operations)):
        graph.values.append(_WRITERS[program.operations[index].kind](graph, index))
    return graph.model()


def save_openvino(model: Any, path: str | os.PathLike[str]) -> list[Path]:
    """Write ``path`` (.xml) and the weights beside it (.bin), and return both.

    Raises:
        UsageError: for another ending. OnebitError: if they cannot be written.
    """
    openvino, xml = need("openvino", "openvino"), Path(path)
    if xml.suffix != ".xml":
        raise UsageError(f"an OpenVINO model is an .xml file with a .bin beside it; {xml} does not end in .xml")
    try:
        xml.parent.mkdir(parents=True, exist_ok=True)
        openvino.save_model(model, str(xml), compress_to_fp16=False)
    except (OSError, RuntimeError) as error:
        raise OnebitError(f"cannot write {xml}: {str(error).strip().splitlines()[-1]}") from error
    return [xml, xml.with_suffix(".bin")]


def compile_openvino(model: Any, threads: int = 1) -> Any:
    """The model compiled for this CPU."""
    core = need("openvino", "openvino").Core()
    return core.compile_model(model, "CPU", {**CONFIGURATION, "INFERENCE_NUM_THREADS": threads})


def binary_layers(compiled: Any) -> int:
    """How many layers of a compiled model OpenVINO computes on bits."""
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ops()]
    return kinds.count("BinaryConvolution")


class _Graph:
    """An OpenVINO graph in the making; ``values[i]`` is the program's value i."""

    def __init__(self, program: Program) -> None:
        from openvino import opset8

        shape = packed_shape(program)
        self.program, self.op, self.shapes = program, opset8, value_shapes(program, shape[1], shape[2])
        dtype = np.uint8 if program.takes_pixels_only else np.float32
        self.given = opset8.parameter([1, *shape], dtype, "pixels" if program.takes_pixels_only else "images")
        self.values: list[Any] = [self.given]
        self._uses: Counter[int] = Counter()

    def tensor(self, index: int, role: str) -> np.ndarray:
        return self.program.required_tensor(index, role)

    def input(self, index: int, which: int = 0) -> Any:
        return self.values[self.program.operations[index].inputs[which]]

    def sign(self, value: int, shift: float, binary: bool) -> Any:
        """+1 where value + shift >= 0, else -1; as OpenVINO's binary convolution wants it, or compared."""
        x, one, minus = self.values[value], np.float32(1), np.float32(-1)
        if not binary:
            return self.op.select(self.op.greater_equal(x, np.float32(-shift)), one, minus)
        # A quantisation with two readers makes no binary convolution, and equal ones become one: each has bounds of its own.
        self._uses[value] += 1
        bound = _BOUND * (1 + self._uses[value] / 100)
        low, high = np.float32(-bound - shift), np.float32(bound * _BELOW - shift)
        return self.op.fake_quantize(x, low, high, minus, one, 2)

    def convolution(self, index: int, x: Any, weight: np.ndarray) -> Any:
        """Weights (O, kH, kW, C / groups) of any type."""
        op = self.program.operations[index]
        weight = np.ascontiguousarray(weight.transpose(0, 3, 1, 2))
        if op.groups > 1:
            weight = weight.reshape(op.groups, -1, *weight.shape[1:])
        constant = self.op.constant(weight)
        if weight.dtype != np.float32:
            constant = self.op.convert(constant, "f32")
        function = self.op.group_convolution if op.groups > 1 else self.op.convolution
        return function(x, constant, op.stride, op.padding, op.padding, op.dilation)

    def scaled(self, value: Any, scale: np.ndarray, offset: Any) -> Any:
        """value * scale + offset, by channel."""
        offset = _channels(offset) if isinstance(offset, np.ndarray) else offset
        return self.op.add(self.op.multiply(value, _channels(scale)), offset)

    def model(self) -> Any:
        make_model: Any = need("openvino", "openvino").Model
        output = self.values[-1]
        if is_vector(self.program.metadata, self.shapes[-1]):
            output = self.op.reshape(output, np.array([1, self.shapes[-1][0]]), False)
        result = self.op.result(output)
        result.output(0).get_tensor().set_names({"output"})
        self.given.output(0).get_tensor().set_names({self.given.get_friendly_name()})
        name = str(self.program.metadata.get("model") or "onebit")
        return make_model(results=[result], parameters=[self.given], name=name)


def _channels(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.reshape(1, -1, 1, 1))


def _conv(graph: _Graph, index: int) -> Any:
    sums = graph.convolution(index, graph.input(index), graph.tensor(index, "weight"))
    return graph.op.add(sums, _channels(graph.tensor(index, "bias")))


def _pixel_conv(graph: _Graph, index: int) -> Any:
    op = graph.program.operations[index]
    pixels = graph.op.convert(graph.input(index), "f32")
    sums = graph.convolution(index, pixels, graph.tensor(index, "weight"))
    # What padded taps do not contribute: the offsets of the others, added up by a convolution of ones.
    _, height, width = graph.shapes[0]
    ones = graph.op.constant(np.ones((1, 1, height, width), np.float32))
    offset = graph.op.constant(np.ascontiguousarray(graph.tensor(index, "offset")[:, None]))
    inside = graph.op.convolution(ones, offset, op.stride, op.padding, op.padding, op.dilation)
    bias = graph.op.add(inside, _channels(graph.tensor(index, "bias")))
    return graph.scaled(sums, graph.tensor(index, "scale"), bias)


def _binary_conv(graph: _Graph, index: int) -> Any:
    op = graph.program.operations[index]
    weight, scale = graph.tensor(index, "weight"), graph.tensor(index, "scale")
    binary = op.groups == 1 and weight.shape[-1] % 8 == 0
    value: Any = graph.tensor(index, "bias")
    for term, (base, shift) in enumerate(zip(graph.tensor(index, "index"), graph.tensor(index, "shift"), strict=True)):
        signs = np.where(weight[base], np.int8(1), np.int8(-1))
        sums = graph.convolution(index, graph.sign(op.inputs[0], float(shift), binary), signs)
        if not binary:  # keeps the scale out of the weights, as in ONNX
            sums = graph.op.round(sums, "HALF_TO_EVEN")
        if len(op.inputs) == 2:
            sums = graph.op.multiply(sums, graph.input(index, 1))
        value = graph.scaled(sums, scale[term], value)
    return value


def _pointwise(graph: _Graph, index: int) -> Any:
    op, x = graph.op, graph.input(index)
    largest = op.reduce_max(op.abs(x), np.array([1, 2, 3]), True)
    largest = op.maximum(largest, np.float32(1e-35))  # 2047 divided by less is infinite
    whole = op.round(op.multiply(x, op.divide(np.float32(2047), largest)), "HALF_TO_EVEN")
    sums = graph.convolution(index, whole, graph.tensor(index, "weight")[:, None, None])
    sums = op.multiply(sums, op.divide(largest, np.float32(2047)))
    return graph.scaled(sums, graph.tensor(index, "scale"), graph.tensor(index, "bias"))


def _pool(graph: _Graph, index: int) -> Any:
    """Poolings with the padding at the end that the last window asks for, so that no rule about rounding up is needed."""
    op = graph.program.operations[index]
    sizes = graph.shapes[op.inputs[0]][1:]
    ends = end_padding(op, sizes)
    x = graph.input(index)
    if op.kind == "max_pool":
        return graph.op.max_pool(x, op.stride, (1, 1), op.padding, ends, op.kernel).output(0)
    mean = graph.op.avg_pool(x, op.stride, op.padding, ends, op.kernel, True)
    if op.flags & COUNT_PADDING:
        share = window_taps(op, sizes, False) / window_taps(op, sizes, True)
        mean = graph.op.multiply(mean, share.astype(np.float32)[None, None])
    return mean


def _clamp(graph: _Graph, index: int) -> Any:
    op = graph.program.operations[index]
    return graph.op.clamp(graph.input(index), op.p0, op.p1)


_WRITERS: dict[str, Callable[[_Graph, int], Any]] = {
    "conv": _conv,
    "pixel_conv": _pixel_conv,
    "binary_conv": _binary_conv,
    "pointwise": _pointwise,
    "affine": lambda graph, index: graph.scaled(
        graph.input(index), graph.tensor(index, "scale"), graph.tensor(index, "bias")
    ),
    "add": lambda graph, index: graph.op.add(graph.input(index), graph.input(index, 1)),
    "multiply": lambda graph, index: graph.op.multiply(
        graph.input(index), np.float32(graph.program.operations[index].p0)
    ),
    "concat": lambda graph, index: graph.op.concat([graph.input(index), graph.input(index, 1)], 1),
    "max_pool": _pool,
    "average_pool": _pool,
    "mean_pool": lambda graph, index: graph.op.reduce_mean(graph.input(index), np.array([2, 3]), True),
    "relu": lambda graph, index: graph.op.relu(graph.input(index)),
    "prelu": lambda graph, index: graph.op.prelu(graph.input(index), graph.tensor(index, "scale")),
    "clamp": _clamp,
    "mean_abs": lambda graph, index: graph.op.reduce_mean(graph.op.abs(graph.input(index)), np.array([1]), True),
    "flatten": lambda graph, index: graph.op.reshape(graph.input(index), np.array([1, -1, 1, 1]), False),
}
