"""Whether an exported model answers as the packed network does."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from onebit.deploy.export_onnx import need
from onebit.deploy.export_openvino import binary_layers, compile_openvino
from onebit.deploy.packed_model import PackedModel
from onebit.deploy.program import Program
from onebit.deploy.shapes import packed_shape


def network_input(program: Program, pixels: np.ndarray) -> np.ndarray:
    """uint8 pixels (N, C, H, W) as an exported model takes them: as they are for integer stems, else normalised float32."""
    table = program.tensor(0, "scale")
    if program.takes_pixels_only:
        return pixels
    if table is None:
        return (pixels / 127.5 - 1).astype(np.float32)
    return np.stack([table[channel][pixels[:, channel]] for channel in range(len(table))], axis=1)


def random_pixels(program: Program, count: int = 16, seed: int = 0) -> np.ndarray:
    """Images of 4 x 4 patches of drawn colours and noise, uint8 (N, C, H, W) of the packed size."""
    generator, (channels, height, width) = np.random.default_rng(seed), packed_shape(program)
    patches = generator.integers(0, 224, (count, channels, -(-height // 4), -(-width // 4)))
    picture = patches.repeat(4, axis=2).repeat(4, axis=3)[:, :, :height, :width]
    return (picture + generator.integers(0, 32, picture.shape)).astype(np.uint8)


def check_onnx(path: str | os.PathLike[str], packed: PackedModel, pixels: np.ndarray) -> list[dict[str, Any]]:
    """Compare an .onnx file in ONNX Runtime, with its optimisations and without; a row for each, as :func:`compared`."""
    runtime = need("onnxruntime", "onnx")
    levels, rows = runtime.GraphOptimizationLevel, []
    for name, level in (("optimised", levels.ORT_ENABLE_ALL), ("as written", levels.ORT_DISABLE_ALL)):
        options = runtime.SessionOptions()
        options.graph_optimization_level, options.intra_op_num_threads = level, 1
        session = runtime.InferenceSession(os.fspath(path), options)
        given = session.get_inputs()[0].name
        rows.append(
            compared(f"onnxruntime, {name}", lambda x, s=session, g=given: s.run(None, {g: x})[0], packed, pixels)
        )
    return rows


def check_openvino(path: str | os.PathLike[str], packed: PackedModel, pixels: np.ndarray) -> list[dict[str, Any]]:
    """Compare an .xml file in OpenVINO; says also how many of its layers OpenVINO computes on bits."""
    model = need("openvino", "openvino").Core().read_model(os.fspath(path))
    compiled = compile_openvino(model)

    def answer(images: np.ndarray) -> np.ndarray:
        return np.concatenate([compiled(image[None])[0] for image in images])

    return [{**compared("openvino", answer, packed, pixels), "binary_layers": binary_layers(compiled)}]


def compared(
    runtime: str, answer: Callable[[np.ndarray], np.ndarray], packed: PackedModel, pixels: np.ndarray
) -> dict[str, Any]:
    """{"runtime", "images", "same_class", "largest_difference"} of another run time's answers to ours."""
    images = network_input(packed.program, pixels)
    ours, theirs = (values.reshape(len(images), -1) for values in (packed(images), answer(images)))
    same = int((ours.argmax(1) == theirs.argmax(1)).sum())
    difference = float(np.abs(ours - theirs).max())
    return {"runtime": runtime, "images": len(images), "same_class": same, "largest_difference": difference}
