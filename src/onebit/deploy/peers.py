"""The engines that a packed network is compared with: torch, ONNX Runtime and OpenVINO, whichever are installed."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onebit.deploy.export_onnx import need, to_onnx
from onebit.deploy.export_openvino import compile_openvino, to_openvino
from onebit.deploy.file import read_program, write_program
from onebit.deploy.float_twin import FloatNetwork, float_twin
from onebit.deploy.packed_model import PackedModel
from onebit.deploy.program import Program
from onebit.deploy.shapes import packed_shape
from onebit.deploy.timing import Call, Contender
from onebit.errors import unknown_name

#: name -> packages that it needs beyond our own
PEERS: dict[str, tuple[str, ...]] = {
    "torch": (),
    "torch-compiled": (),
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("openvino",),
}


def installed_peers() -> list[str]:
    """The peers whose packages are there, without ``torch-compiled``, which takes a minute to compile.

    >>> "torch" in installed_peers()
    True
    """
    known = {name: all(map(importlib.util.find_spec, packages)) for name, packages in PEERS.items()}
    return [name for name, there in known.items() if there and name != "torch-compiled"]


def contenders(
    packed: PackedModel,
    peers: Sequence[str],
    *,
    name: str = "network",
    calibration: np.ndarray | None = None,
) -> list[Contender]:
    """The packed network on our engine first, then what each peer has to set against it.

    torch, torch-compiled: the float twin (:func:`~onebit.deploy.float_twin.float_twin`), channels last. onnxruntime: the twin in
    float32, and in int8 (static QDQ, a scale for every channel of the weights, uint8 activations). openvino: the same 1-bit
    network on OpenVINO's binary convolution, and the twin in float32.

    Args:
        calibration: float32 images (N, C, H, W) for the ranges of int8; random ones if not given.
    Raises:
        UsageError: for an unknown peer, or one that is not installed.
    """
    found = [ours(packed, name)]
    twin = float_twin(packed.program)
    for peer in peers:
        if peer not in PEERS:
            raise unknown_name("engine to compare with", peer, PEERS)
        for package in PEERS[peer]:
            need(package, "openvino" if peer == "openvino" else "onnx")
        found += _OF_PEER[peer](packed.program, twin, name, calibration)
    return found


def ours(packed: PackedModel, name: str) -> Contender:
    """Our own engine with the kernel of ``packed``."""
    open_it = partial(_open_onebit, write_program(packed.program), packed.kernel)
    bits = "1-bit" if any(op.kind == "binary_conv" for op in packed.program.operations) else "float"
    return Contender(f"onebit {packed.kernel}", f"{name}, {bits}", open_it)


def torch_contender(program: Program, model: str, compiled: bool = False) -> Contender:
    """A float program in torch."""
    engine = "torch compiled" if compiled else "torch float32"
    return Contender(engine, model, partial(_open_torch, write_program(program), compiled))


def onnxruntime_contender(model: Any, engine: str, name: str) -> Contender:
    """An ONNX model in ONNX Runtime."""
    return Contender(engine, name, partial(_open_onnxruntime, model.SerializeToString()))


def openvino_contender(program: Program, engine: str, name: str) -> Contender:
    """Any program in OpenVINO."""
    return Contender(engine, name, partial(_open_openvino, write_program(program)))


def images_for(program: Program, count: int = 1, seed: int = 0) -> np.ndarray:
    """Random images of the packed size: pixels where it takes those, else standard normal."""
    generator, shape = np.random.default_rng(seed), (count, *packed_shape(program))
    if program.takes_pixels_only:
        return generator.integers(0, 256, shape).astype(np.uint8)
    return generator.standard_normal(shape).astype(np.float32)


def quantise_onnx(model: Any, images: np.ndarray) -> Any:
    """A float ONNX model in int8 for ONNX Runtime: QDQ, weights by channel, uint8 activations with ranges seen on ``images``."""
    onnx = need("onnx", "onnx")
    quantization = need("onnxruntime.quantization", "onnx")
    preprocess = need("onnxruntime.quantization.shape_inference", "onnx").quant_pre_process

    class Images(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.left, None)
            return None if image is None else {model.graph.input[0].name: image[None]}

    with tempfile.TemporaryDirectory() as folder, _silent():
        given, prepared, made = (str(Path(folder, f"{name}.onnx")) for name in ("given", "prepared", "made"))
        onnx.save(model, given)
        preprocess(given, prepared)
        quantization.quantize_static(
            prepared,
            made,
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(made)


def _of_torch(program: Program, twin: Program, name: str, _: np.ndarray | None) -> list[Contender]:
    return [torch_contender(twin, f"{name}, float")]


def _of_torch_compiled(program: Program, twin: Program, name: str, _: np.ndarray | None) -> list[Contender]:
    return [torch_contender(twin, f"{name}, float", compiled=True)]


def _of_onnxruntime(program: Program, twin: Program, name: str, images: np.ndarray | None) -> list[Contender]:
    model = to_onnx(twin)
    int8 = quantise_onnx(model, images_for(twin, 8) if images is None else images)
    return [
        onnxruntime_contender(model, "onnxruntime float32", f"{name}, float"),
        onnxruntime_contender(int8, "onnxruntime int8", f"{name}, int8"),
    ]


def _of_openvino(program: Program, twin: Program, name: str, _: np.ndarray | None) -> list[Contender]:
    return [
        openvino_contender(program, "openvino binary", f"{name}, 1-bit"),
        openvino_contender(twin, "openvino float32", f"{name}, float"),
    ]


_OF_PEER: dict[str, Callable[..., list[Contender]]] = {
    "torch": _of_torch,
    "torch-compiled": _of_torch_compiled,
    "onnxruntime": _of_onnxruntime,
    "openvino": _of_openvino,
}


def _open_onebit(data: bytes, kernel: str, threads: int) -> Call:
    packed = PackedModel(data, kernel, threads)
    return partial(packed, images_for(packed.program))


def _open_torch(data: bytes, compiled: bool, threads: int) -> Call:
    torch.set_num_threads(threads)
    program = read_program(data)
    network: Any = FloatNetwork(program).eval()
    images = torch.from_numpy(images_for(program)).contiguous(memory_format=torch.channels_last)
    if compiled:
        import torch._inductor.config as config

        config.freezing = True
        network = torch.compile(network)

    def run() -> None:
        with torch.inference_mode() if not compiled else torch.no_grad():
            network(images)

    run()
    return run


def _open_onnxruntime(data: bytes, threads: int) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in given.shape]
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if "uint8" in given.type:
        images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    binding = session.io_binding()
    binding.bind_ortvalue_input(given.name, onnxruntime.OrtValue.ortvalue_from_numpy(images))
    binding.bind_output(session.get_outputs()[0].name, "cpu")
    return partial(session.run_with_iobinding, binding)


def _open_openvino(data: bytes, threads: int) -> Call:
    program = read_program(data)
    compiled = compile_openvino(to_openvino(program), threads)
    request = compiled.create_infer_request()
    request.set_input_tensor(need("openvino", "openvino").Tensor(images_for(program)))
    return request.infer


@contextlib.contextmanager
def _silent() -> Generator[None]:
    """The quantiser gives advice through the root logger; our output stays our own."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
