"""A program as an ONNX model of standard operators."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from onebit.deploy.program import COUNT_PADDING, Operation, Program
from onebit.deploy.shapes import end_padding, is_vector, packed_shape, value_shapes, window_taps
from onebit.errors import UsageError

OPSET = 17
IR_VERSION = 8


def to_onnx(program: Program) -> Any:
    """The program as an ``onnx.ModelProto`` of opset 17: (N, C, H, W) -> (N, classes), or (N, C', H', W') for maps.

    H and W are those that it was packed with, N is free. The input is ``images``, float32 and normalised as in training; for
    integer stems it is ``pixels``, uint8. A sign is ``Where(x + shift >= 0, 1, -1)`` and a binary convolution a ``Conv`` with
    weights of -1 and +1 (a byte each in the file). A ``Round`` behind it changes nothing, for sums are whole numbers; it keeps
    optimisers from folding the scale into the weights, which would turn sums of exactly 0 into tiny ones of either sign.
    Results are the engine's but for the rounding of real arithmetic.

    Raises:
        UsageError: if ``onnx`` is not installed, or the program does not say its input shape.
    """
    onnx = need("onnx", "onnx")
    graph = OnnxGraph(program)
    for index in range(1, len(program.operations)):
        graph.values.append(_WRITERS[program.operations[index].kind](graph, index))
    return graph.model(onnx)


def need(module: str, extra: str) -> Any:
    """An optional package, or a UsageError that names the extra to install it with."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"{module} is not installed ({error}); install it with: pip install 'onebit[{extra}]'"
        ) from None


class OnnxGraph:
    """An ONNX graph in the making; ``values[i]`` is the name of the program's value i."""

    def __init__(self, program: Program) -> None:
        _, height, width = packed_shape(program)
        self.program, self.shapes = program, value_shapes(program, height, width)
        self.values = ["pixels" if program.takes_pixels_only else "images"]
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self._signs: dict[tuple[int, float], str] = {}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, array: Any) -> str:
        """An initialiser; equal ones are one."""
        array = np.ascontiguousarray(array)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        for name, known in self.constants.items():
            if (
                known.size <= 16
                and known.dtype == array.dtype
                and known.shape == array.shape
                and (known == array).all()
            ):
                return name
        name = f"constant_{len(self.constants)}"
        self.constants[name] = array
        return name

    def tensor(self, index: int, role: str) -> np.ndarray:
        """The tensor that operation ``index`` must have in that role."""
        return self.program.required_tensor(index, role)

    def input(self, index: int, which: int = 0) -> str:
        """The name of an input of operation ``index``."""
        return self.values[self.program.operations[index].inputs[which]]

    def sign(self, value: int, shift: float) -> str:
        """+1 where value + shift >= 0, else -1."""
        key = value, shift
        if key not in self._signs:
            shifted = self.values[value]
            if shift:
                shifted = self.add("Add", shifted, self.constant(np.float32(shift)))
            at_least = self.add("GreaterOrEqual", shifted, self.constant(np.float32(0)))
            ends = self.constant(np.float32(1)), self.constant(np.float32(-1))
            self._signs[key] = self.add("Where", at_least, *ends)
        return self._signs[key]

    def scaled(self, value: str, scale: np.ndarray, offset: str | np.ndarray) -> str:
        """value * scale + offset, by channel."""
        other = offset if isinstance(offset, str) else self.constant(_channels(offset))
        return self.add("Add", self.add("Mul", value, self.constant(_channels(scale))), other)

    def model(self, onnx: Any) -> Any:
        """The finished model."""
        from onnx import TensorProto, helper, numpy_helper

        channels, height, width = self.shapes[-1]
        vector = is_vector(self.program.metadata, self.shapes[-1])
        last = "Flatten" if vector else "Identity"
        self.nodes.append(helper.make_node(last, [self.values[-1]], ["output"], "output"))
        size = ["batch", channels] if vector else ["batch", channels, height, width]
        dtype = TensorProto.UINT8 if self.program.takes_pixels_only else TensorProto.FLOAT
        given = helper.make_tensor_value_info(self.values[0], dtype, ["batch", *self.shapes[0]])
        made = helper.make_tensor_value_info("output", TensorProto.FLOAT, size)
        stored = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(
            self.nodes, str(self.program.metadata.get("model") or "onebit"), [given], [made], stored
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="onebit")
        onnx.checker.check_model(model, full_check=True)
        return model


def _channels(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1)


def _geometry(op: Operation) -> dict[str, Any]:
    pads = [*op.padding, *op.padding]
    return {"kernel_shape": op.kernel, "strides": op.stride, "dilations": op.dilation, "pads": pads, "group": op.groups}


def _conv(graph: OnnxGraph, index: int) -> str:
    weight = graph.constant(graph.tensor(index, "weight").transpose(0, 3, 1, 2))
    bias = graph.constant(graph.tensor(index, "bias"))
    return graph.add("Conv", graph.input(index), weight, bias, **_geometry(graph.program.operations[index]))


def _pixel_conv(graph: OnnxGraph, index: int) -> str:
    op = graph.program.operations[index]
    pixels = graph.add("Cast", graph.input(index), to=1)
    weight = graph.add("Cast", graph.constant(graph.tensor(index, "weight").transpose(0, 3, 1, 2)), to=1)
    sums = graph.add("Conv", pixels, weight, **_geometry(op))
    # What padded taps do not contribute: the offsets of the others, added up by a convolution of ones.
    _, height, width = graph.shapes[0]
    size = graph.constant(np.array([1, 1, height, width]))
    ones = graph.add("Expand", graph.constant(np.float32(1)), size)
    offset, bias = graph.constant(graph.tensor(index, "offset")[:, None]), graph.constant(graph.tensor(index, "bias"))
    return graph.scaled(sums, graph.tensor(index, "scale"), graph.add("Conv", ones, offset, bias, **_geometry(op)))


def _binary_conv(graph: OnnxGraph, index: int) -> str:
    op = graph.program.operations[index]
    weight, scale = graph.tensor(index, "weight"), graph.tensor(index, "scale")
    bases: dict[int, str] = {}
    value: str | np.ndarray = graph.tensor(index, "bias")
    for term, (base, shift) in enumerate(zip(graph.tensor(index, "index"), graph.tensor(index, "shift"), strict=True)):
        if base not in bases:
            signs = np.where(weight[base], np.int8(1), np.int8(-1)).transpose(0, 3, 1, 2)
            bases[base] = graph.add("Cast", graph.constant(signs), to=1)
        sums = graph.add("Conv", graph.sign(op.inputs[0], float(shift)), bases[base], **_geometry(op))
        sums = graph.add("Round", sums)
        if len(op.inputs) == 2:
            sums = graph.add("Mul", sums, graph.input(index, 1))
        value = graph.scaled(sums, scale[term], value)
    assert isinstance(value, str)
    return value


def _pointwise(graph: OnnxGraph, index: int) -> str:
    x = graph.input(index)
    largest = graph.add("ReduceMax", graph.add("Abs", x), axes=[1, 2, 3], keepdims=1)
    largest = graph.add("Max", largest, graph.constant(np.float32(1e-35)))  # 2047 divided by less is infinite
    steps = graph.add("Div", graph.constant(np.float32(2047)), largest)
    whole = graph.add("Round", graph.add("Mul", x, steps))
    weight = graph.add("Cast", graph.constant(graph.tensor(index, "weight")[:, :, None, None]), to=1)
    sums = graph.add(
        "Mul", graph.add("Conv", whole, weight), graph.add("Div", largest, graph.constant(np.float32(2047)))
    )
    return graph.scaled(sums, graph.tensor(index, "scale"), graph.tensor(index, "bias"))


def _pool(graph: OnnxGraph, index: int) -> str:
    """Poolings with the padding at the end that the last window asks for, so that no rule about rounding up is needed."""
    op = graph.program.operations[index]
    sizes = graph.shapes[op.inputs[0]][1:]
    ends = end_padding(op, sizes)
    window = {"kernel_shape": op.kernel, "strides": op.stride, "pads": [*op.padding, *ends]}
    if op.kind == "max_pool":
        return graph.add("MaxPool", graph.input(index), **window)
    mean = graph.add("AveragePool", graph.input(index), count_include_pad=0, **window)
    if op.flags & COUNT_PADDING:
        share = window_taps(op, sizes, False) / window_taps(op, sizes, True)
        mean = graph.add("Mul", mean, graph.constant(share.astype(np.float32)[None, None]))
    return mean


def _clamp(graph: OnnxGraph, index: int) -> str:
    op = graph.program.operations[index]
    return graph.add("Clip", graph.input(index), *(graph.constant(np.float32(p)) for p in (op.p0, op.p1)))


def _multiply(graph: OnnxGraph, index: int) -> str:
    return graph.add("Mul", graph.input(index), graph.constant(np.float32(graph.program.operations[index].p0)))


def _affine(graph: OnnxGraph, index: int) -> str:
    return graph.scaled(graph.input(index), graph.tensor(index, "scale"), graph.tensor(index, "bias"))


def _flatten(graph: OnnxGraph, index: int) -> str:
    shape = graph.constant(np.array([0, -1, 1, 1]))
    return graph.add("Reshape", graph.input(index), shape)


_WRITERS: dict[str, Callable[[OnnxGraph, int], str]] = {
    "conv": _conv,
    "pixel_conv": _pixel_conv,
    "binary_conv": _binary_conv,
    "pointwise": _pointwise,
    "affine": _affine,
    "add": lambda graph, index: graph.add("Add", graph.input(index), graph.input(index, 1)),
    "multiply": _multiply,
    "concat": lambda graph, index: graph.add("Concat", graph.input(index), graph.input(index, 1), axis=1),
    "max_pool": _pool,
    "average_pool": _pool,
    "mean_pool": lambda graph, index: graph.add("GlobalAveragePool", graph.input(index)),
    "relu": lambda graph, index: graph.add("Relu", graph.input(index)),
    "prelu": lambda graph, index: graph.add(
        "PRelu", graph.input(index), graph.constant(_channels(graph.tensor(index, "scale")))
    ),
    "clamp": _clamp,
    "mean_abs": lambda graph, index: graph.add(
        "ReduceMean", graph.add("Abs", graph.input(index)), axes=[1], keepdims=1
    ),
    "flatten": _flatten,
}
