"""Exported models answer as the reference does, ties included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.hand_made import Builder, everything, residual
from onebit.deploy.export_onnx import to_onnx
from onebit.deploy.export_openvino import binary_layers, compile_openvino, save_openvino, to_openvino
from onebit.deploy.float_twin import FloatNetwork, float_twin
from onebit.deploy.program import Program
from onebit.deploy.reference import run_program
from onebit.errors import UsageError

PROGRAMS = {
    "residual": residual,
    "residual, pixels": lambda: residual(pixels=True),
    "everything": everything,
    "everything, pixels": lambda: everything(True),
    "everything, 40 channels": lambda: everything(channels=40),
}
every_program = pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)


def images(program: Program, count: int = 3) -> np.ndarray:
    shape = program.metadata["input_shape"]
    pixels = np.random.default_rng(5).integers(0, 256, (count, *shape)).astype(np.uint8)
    return pixels if program.takes_pixels_only else (pixels / 128 - 1).astype(np.float32)


def expected(program: Program, batch: np.ndarray) -> np.ndarray:
    return run_program(program, torch.from_numpy(batch)).flatten(1).numpy()


def run_onnx(model, batch: np.ndarray, optimise: bool = True) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


@pytest.mark.parametrize("optimise", [False, True])
@every_program
def test_onnx_runtime_gives_the_references_answer(make, optimise) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    program = make()
    batch = images(program)
    np.testing.assert_allclose(run_onnx(to_onnx(program), batch, optimise), expected(program, batch), atol=5e-6)


@every_program
def test_openvino_gives_the_references_answer(make, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    program = make()
    batch = images(program)
    written, weights = save_openvino(to_openvino(program), tmp_path / "sub" / "net.xml")
    assert weights.stat().st_size > 1000
    compiled = compile_openvino(openvino.Core().read_model(written))
    answers = np.concatenate([compiled(batch[i : i + 1])[0] for i in range(len(batch))])
    np.testing.assert_allclose(answers, expected(program, batch), atol=5e-6)
    terms = [
        len(program.required_tensor(i, "index"))
        for i, op in enumerate(program.operations)
        if op.kind == "binary_conv" and op.groups == 1 and program.operations[op.inputs[0]].channels % 8 == 0
    ]
    assert terms
    assert binary_layers(compiled) == sum(terms)


@pytest.mark.parametrize("bias", [-1e-3, 0.0, 1e-3])
def test_openvinos_sign_has_its_threshold_at_0_behind_a_norm(bias: float) -> None:
    """OpenVINO folds what stands before a quantisation into its bounds, which must not become equal."""
    pytest.importorskip("openvino", reason="openvino is not installed")
    made = Builder(8)
    tensors = {"scale": np.full(8, 0.01, np.float32), "bias": np.full(8, 1 + bias, np.float32)}
    made.binary_conv(made.add("affine", 0, tensors=tensors), 16)
    program = made.program(9, 9)
    batch = np.full((1, 8, 9, 9), -100, np.float32) + np.linspace(-1, 1, 648, dtype=np.float32).reshape(1, 8, 9, 9)
    compiled = compile_openvino(to_openvino(program))
    answer = torch.from_numpy(compiled(batch)[0]).flatten(1).numpy()
    np.testing.assert_allclose(answer, expected(program, batch), atol=5e-6)
    assert binary_layers(compiled) == 1


def test_onnx_files_hold_a_byte_for_a_bit_and_take_any_batch() -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    program = residual((64, 128))
    model = to_onnx(program)
    bits = sum(t.size for t in program.tensors if t.dtype == bool)
    assert bits < len(model.SerializeToString()) < 1.4 * bits
    assert [opset.version for opset in model.opset_import] == [17]
    assert {node.domain for node in model.graph.node} == {""}
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for count in (1, 5):
        assert run_onnx(model, images(program, count)).shape == (count, 5)
    onnx.checker.check_model(model, full_check=True)


@every_program
def test_the_float_twin_runs_alike_in_torch_and_onnx_runtime(make) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    program = make()
    twin = float_twin(program)
    kinds = [op.kind for op in twin.operations]
    assert not {"binary_conv", "pixel_conv", "pointwise", "mean_abs"} & set(kinds)
    convolutions = ("conv", "binary_conv", "pixel_conv", "pointwise")
    assert kinds.count("conv") == sum(op.kind in convolutions for op in program.operations)
    batch = torch.from_numpy(images(program).astype(np.float32) / 100)
    with torch.inference_mode():
        ours = FloatNetwork(twin).eval()(batch).numpy()
    np.testing.assert_allclose(run_onnx(to_onnx(twin), batch.numpy()), ours, rtol=1e-4, atol=1e-4)


def test_a_program_that_does_not_say_its_size_is_refused() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    program = residual()
    for shape in (None, [3, 32], [1, 32, 32], [3, 32, -1]):
        with pytest.raises(UsageError, match="does not say which image size"):
            to_onnx(Program(program.operations, program.tensors, {"input_shape": shape}))


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module, extra, export in (("onnx", "onnx", to_onnx), ("openvino", "openvino", to_openvino)):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UsageError, match=rf"{module} is not installed .* pip install 'onebit\[{extra}\]'"):
            export(residual())


def test_an_openvino_file_ends_in_xml(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    with pytest.raises(UsageError, match=r"does not end in \.xml"):
        save_openvino(to_openvino(residual()), tmp_path / "net.onnx")
