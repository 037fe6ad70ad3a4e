"""What is in a packed network: its operations with sizes and bits, and what it would take in float32."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from onebit.deploy.file import VERSION, stored_bytes
from onebit.deploy.packed_model import PackedModel
from onebit.deploy.program import Program
from onebit.deploy.shapes import Shape, macs, value_shapes

_BITS = {"bool": 1, "int8": 8, "int16": 16, "float32": 32}


@dataclass(frozen=True)
class Layer:
    """One operation. ``bits``: of a weight, 0 where there are none; ``bytes``: of all its tensors in the file; ``macs``: of an
    image of the packed size, taps in the padding counted."""

    index: int
    kind: str
    path: str
    output_shape: Shape | None
    kernel: tuple[int, int]
    stride: tuple[int, int]
    groups: int
    bits: int
    weights: int
    bytes: int
    macs: int | None


def layers(program: Program) -> list[Layer]:
    """Every operation of a program in order; shapes and MACs are None where the file does not say its input shape."""
    shape = program.metadata.get("input_shape")
    shapes = value_shapes(program, shape[1], shape[2]) if isinstance(shape, list) and len(shape) == 3 else None
    found = []
    for index, op in enumerate(program.operations):
        weight = program.tensor(index, "weight")
        stored = [program.tensors[place] for place in op.tensors.values()]
        size = sum(stored_bytes(tensor.dtype, tensor.size) for tensor in stored)
        found.append(
            Layer(
                index,
                op.kind,
                program.path(index),
                shapes[index] if shapes else None,
                op.kernel,
                op.stride,
                op.groups,
                _BITS[weight.dtype.name] if weight is not None else 0,
                weight.size if weight is not None else 0,
                size,
                macs(program, index, shapes) if shapes else None,
            )
        )
    return found


def float_bytes(program: Program) -> int:
    """Bytes of the same network in float32: every weight and a bias for each channel in 4 bytes, several bases counted once."""
    total = 0
    for index, op in enumerate(program.operations):
        weight, bias = program.tensor(index, "weight"), program.tensor(index, "bias")
        if weight is not None:
            total += weight.size // (len(weight) if op.kind == "binary_conv" else 1)
        if bias is not None:
            total += bias.size
        if op.kind in ("affine", "prelu"):
            total += op.channels
    return 4 * total


def sizes(packed: PackedModel) -> dict[str, Any]:
    """{"bytes", "float32_bytes", "ratio"}: of the file, of :func:`float_bytes`, and how many times the one the other is."""
    whole = float_bytes(packed.program)
    return {"bytes": packed.num_bytes, "float32_bytes": whole, "ratio": whole / packed.num_bytes}


def inspection(packed: PackedModel) -> dict[str, Any]:
    """The facts of a packed network as plain data for JSON."""
    program = packed.program
    facts = ("model", "method", "precision", "input_shape", "output_shape", "mean", "std", "classes", "run", "creator")
    return {
        "version": VERSION,
        **sizes(packed),
        **{key: program.metadata.get(key) for key in facts},
        "layers": [asdict(layer) for layer in layers(program)],
    }
