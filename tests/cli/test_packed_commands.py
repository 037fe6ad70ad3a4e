"""`onebit pack`, `inspect`, `run`, `bench`, `export` and `evaluate` on a packed file, as a user types them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import onebit as package


@pytest.fixture(scope="module")
def packed(process: Callable, finished: tuple[Path, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run's network as small.onebit, packed by the command in a process of its own."""
    file = tmp_path_factory.mktemp("packed") / "small.onebit"
    done = process("pack", finished[0], "-o", file, "--json")
    assert done.status == 0, done.err
    figures = done.json
    assert figures["file"] == str(file)
    assert figures["bytes"] == file.stat().st_size
    assert figures["precision"] == "float32"
    assert figures["ratio"] == pytest.approx(figures["float32_bytes"] / figures["bytes"])
    return file


@pytest.fixture
def digit() -> Path:
    """A test digit as an image file, enlarged: reading it has to shrink and cut it again."""
    digits = package.load_dataset("digits", "test")
    Image.fromarray(digits.images[5, 0].numpy()).resize((50, 40)).save("digit.png")
    return Path("digit.png")


def test_pack_prints_a_table(onebit: Callable, finished: tuple[Path, object]) -> None:
    done = onebit("pack", finished[0] / "checkpoints" / "best.pt", "-o", "sub/best.onebit", "--precision", "int8")
    assert (done.status, done.err) == (0, "")
    assert "sub/best.onebit" in done.out
    assert "int8" in done.out
    model = package.load("sub/best.onebit")
    assert model.metadata["run"]["folder"] == "run"
    assert model.metadata["run"]["checkpoint"] == "best.pt"


def test_evaluate_gives_the_checkpoints_figures(onebit: Callable, finished: tuple[Path, object], packed: Path) -> None:
    of_run = onebit("evaluate", finished[0], "--json").json
    of_file = onebit("evaluate", packed, "--json", "--threads", 2).json
    assert list(of_file) == ["dataset", "split", "n", "top1", "top5", "loss"]
    assert {key: of_file[key] for key in ("dataset", "split", "n", "top1", "top5")} == {
        key: of_run[key] for key in ("dataset", "split", "n", "top1", "top5")
    }
    assert of_file["loss"] == pytest.approx(of_run["loss"], rel=1e-5)
    assert onebit("evaluate", packed, "--split", "holdout", "--json").json["n"] == 120
    assert "360" in onebit("evaluate", packed).out
    assert "--threads is for packed networks" in onebit("evaluate", finished[0], "--threads", 2).error


def test_inspect(onebit: Callable, packed: Path) -> None:
    facts = onebit("inspect", packed, "--json").json
    assert facts["bytes"] == packed.stat().st_size
    assert (facts["model"], facts["method"], facts["precision"]) == ("lenet", "rbcn", "float32")
    assert facts["classes"] == [str(i) for i in range(10)]
    assert (facts["run"]["recipe"], facts["run"]["seed"], facts["run"]["epoch"]) == ("small", 0, 1)
    binary = [layer for layer in facts["layers"] if layer["bits"] == 1]
    assert [layer["path"] for layer in binary] == ["conv", "hidden"]
    assert binary[0]["weights"] == 6 * 8 * 25
    assert binary[0]["bytes"] >= binary[0]["weights"] / 8
    assert facts["float32_bytes"] / facts["bytes"] == pytest.approx(facts["ratio"])
    table = onebit("inspect", packed).out
    for word in ("lenet rbcn", "binary_conv", "conv", "recipe small", "times as much"):
        assert word in table


def test_inspect_shows_the_weights(onebit: Callable, packed: Path, finished: tuple[Path, object]) -> None:
    network, _ = package.load_model(finished[0])
    layer = network.get_submodule("conv")
    expected = torch.where(layer.weight >= 0, 1, -1).numpy()
    done = onebit("inspect", packed, "--weights", "conv", "--save", "conv.npy")
    assert (done.status, done.out) == (0, "")
    saved = np.load("conv.npy")
    assert saved.dtype == np.int8
    np.testing.assert_array_equal(saved, expected)
    data = onebit("inspect", packed, "--weights", "conv", "--json").json
    assert data["shape"] == [8, 6, 5, 5]
    np.testing.assert_array_equal(data["weights"], expected)
    first = "".join("+" if value > 0 else "-" for value in expected[0, 0, 0])
    assert f"0,0: {first} " in onebit("inspect", packed, "--weights", "conv").out


def test_run(onebit: Callable, packed: Path, digit: Path) -> None:
    done = onebit("run", packed, digit, digit, "--json")
    assert list(done.json) == ["predictions"]
    first, second = done.json["predictions"]
    assert list(first) == ["image", "classes", "ms"]
    assert first["image"] == "digit.png"
    assert first["classes"] == second["classes"]
    assert len(first["classes"]) == 5
    assert first["ms"] > 0
    scores = [found["score"] for found in first["classes"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < sum(scores) <= 1 + 1e-9
    assert all(found["name"] == str(found["index"]) for found in first["classes"])
    table = onebit("run", packed, digit, "--kernel", "python")
    assert "kernel python" in " ".join(table.out.split())
    assert f"{100 * scores[0]:.2f}" in table.out


def test_run_sees_what_evaluation_sees(packed: Path) -> None:
    """A digit of the file's own size, as an image file, gives the answer of the data set's image."""
    from onebit.deploy.classify import classify
    from onebit.deploy.from_run import data_recipe, pixel_batches
    from onebit.training.sets import load_split

    model = package.load(packed)
    recipe = data_recipe(model)
    pixels, _ = next(iter(pixel_batches(recipe, load_split(recipe, "test", None, False))))
    for i in range(8):
        Image.fromarray(pixels[i, 0].numpy()).save(f"{i}.png")
    found = classify(model, [f"{i}.png" for i in range(8)])
    scores = model(pixels[:8]).double().softmax(1)
    for i in range(8):
        best = found[i]["classes"][0]
        assert best["score"] == pytest.approx(float(scores[i].max()), abs=1e-7)
        assert best["index"] == int(scores[i].argmax())


def test_bench_a_file(onebit: Callable, packed: Path) -> None:
    done = onebit("bench", packed, "--against", "torch", "--rounds", 3, "--json", "--csv", "t.csv", "--figure", "t.png")
    assert done.status == 0, done.err
    assert done.err == "written: t.csv\nwritten: t.png\n"
    assert list(done.json) == ["threads", "rows"]
    rows = done.json["rows"]
    assert [row["model"] for row in rows] == ["lenet, 1-bit", "lenet, float"]
    for row in rows:
        assert list(row) == ["engine", "model", "median_ms", "p10_ms", "p90_ms", "ratio"]
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
    assert rows[0]["ratio"] == 1
    assert [line["engine"] for line in csv.DictReader(Path("t.csv").read_text().splitlines())] == [
        row["engine"] for row in rows
    ]
    with Image.open("t.png") as figure:
        assert figure.size[0] > 500


def test_bench_a_model_by_name(onebit: Callable) -> None:
    words = "--method xnor --input 1,16,16 --num-classes 10 --widths 6 8 16 --against none --rounds 2 --precision int16"
    done = onebit("bench", "lenet", *words.split(), "--figure", "t.svg")
    assert done.status == 0, done.err
    assert "1-bit" in done.out
    assert "2 interleaved rounds, processor time" in done.out.replace("\n", " ")
    assert "milliseconds an image" in Path("t.svg").read_text()


def test_bench_refuses_an_option_that_is_a_flag(onebit: Callable) -> None:
    done = onebit("bench", "lenet", "--option", "method=xnor", "--against", "none")
    assert done.status != 0
    assert "--option method is no option of a model" in done.error


def test_bench_shows_where_the_time_goes(onebit: Callable, packed: Path) -> None:
    done = onebit("bench", packed, "--against", "none", "--rounds", 2, "--profile")
    assert done.status == 0, done.err
    assert "steps, kernel" in done.out
    assert "all" in done.out
    if package.load(packed).kernel != "python":
        assert "binary_conv" in done.out
    assert "leave one of them out" in onebit("bench", packed, "--profile", "--json").error


def test_bench_with_two_threads_takes_processes(process: Callable, packed: Path) -> None:
    done = process("bench", packed, "--against", "torch", "--threads", 2, "--rounds", 2, "--json")
    assert done.status == 0, done.err
    assert done.json["threads"] == 2
    assert len(done.json["rows"]) == 2


def test_bench_against_everything_that_is_installed(onebit: Callable, packed: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("openvino", reason="openvino is not installed")
    done = onebit("bench", packed, "--rounds", 2, "--json")
    assert done.status == 0, done.err
    assert [row["engine"] for row in done.json["rows"][1:]] == [
        "torch float32", "onnxruntime float32", "onnxruntime int8", "openvino binary", "openvino float32",
    ]  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_export_to_onnx(onebit: Callable, finished: tuple[Path, object], precision: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    done = onebit("export", finished[0], "--to", "onnx", "-o", "net.onnx", "--precision", precision, "--json")
    assert done.status == 0, done.err
    assert done.err == "written: net.onnx\n"
    assert (done.json["format"], done.json["files"]) == ("onnx", ["net.onnx"])
    assert done.json["bytes"] == Path("net.onnx").stat().st_size
    assert [row["runtime"] for row in done.json["checked"]] == ["onnxruntime, optimised", "onnxruntime, as written"]
    for row in done.json["checked"]:
        assert row["images"] == row["same_class"] == 16
        assert row["largest_difference"] < 1e-4
    given = runtime.InferenceSession("net.onnx").get_inputs()[0]
    assert (given.name, given.type) == {"float32": ("images", "tensor(float)"), "int16": ("pixels", "tensor(uint8)")}[
        precision
    ]


def test_export_to_openvino(onebit: Callable, packed: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    done = onebit("export", packed, "--to", "openvino", "--json")
    assert done.status == 0, done.err
    assert done.json["files"] == ["lenet.xml", "lenet.bin"]
    row = done.json["checked"][0]
    assert row["images"] == row["same_class"] == 16
    assert row["largest_difference"] < 1e-4
    assert onebit("export", packed, "--to", "openvino", "--images", 0, "--json").json["checked"] == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("pack nothing -o x.onebit", 1, "there is no checkpoint nothing"),
        ("pack small.toml -o x.onebit", 1, "cannot be read as a checkpoint"),
        ("pack RUN -o small.toml/x.onebit", 1, "cannot write small.toml/x.onebit"),
        ("inspect nothing.onebit", 1, "there is no file"),
        ("inspect small.toml", 1, "does not begin as one"),
        ("inspect cut.onebit", 1, "cut.onebit: "),
        ("inspect FILE --weights cnov", 2, "unknown binary layer 'cnov'; did you mean 'conv'"),
        ("inspect FILE --save x.npy", 2, "--save goes with --weights"),
        ("inspect FILE --weights conv --save x.txt", 2, "--save writes a .npy file"),
        ("run FILE nothing.png", 1, "nothing.png cannot be read as an image: there is no such file"),
        ("run FILE small.toml", 1, "small.toml cannot be read as an image"),
        ("run small.toml digit.png", 1, "small.toml"),
        ("run cut.onebit digit.png", 1, "cut.onebit"),
        ("run FILE digit.png --threads 0", 2, "threads is a whole number"),
        ("run FILE", 2, "no image is named"),
        ("run FILE digit.png --kernel avx3", 2, "avx3"),
        ("bench FILE --against tensorrt", 2, "unknown engine to compare with 'tensorrt'"),
        ("bench FILE --against torch --threads 0", 2, "threads and rounds are 1 or more"),
        ("bench FILE --against none --figure t.jpg", 2, "has to end in .svg or .png"),
        ("bench FILE --precision int8", 2, "is packed already"),
        ("bench resnte18 --against none", 2, "did you mean 'resnet18'"),
        ("bench nothing.onebit --against none", 1, "there is no file"),
        ("bench lenet --input 3,224 --against none", 2, "--input is channels,height,width"),
        ("export FILE --to onnx -o x.xml", 2, "writes a .onnx file"),
        ("export FILE --to openvino -o x.onnx", 2, "writes a .xml file"),
        ("export FILE --to onnx --precision int8", 2, "is packed already"),
        ("evaluate small.onebit", 1, "there is no file"),
        ("evaluate cut.onebit", 1, "cut.onebit"),
        ("evaluate stranger.onebit", 2, "does not say which data it was trained on"),
    ],
)
def test_refusals(
    onebit: Callable, packed: Path, finished: tuple[Path, object], words: str, status: int, message: str
) -> None:
    Path("cut.onebit").write_bytes(packed.read_bytes()[:-5])
    Image.new("L", (16, 16)).save("digit.png")
    lone = package.create_model("lenet", "bireal", in_channels=1, image_size=8, widths=(4, 4, 4)).eval()
    package.pack(lone, (1, 8, 8)).save("stranger.onebit")
    before = sorted(Path().iterdir())
    named = {"FILE": str(packed), "RUN": str(finished[0])}
    done = onebit(*(named.get(word, word) for word in words.split()))
    assert done.status == status, done.err
    assert message in done.error
    assert sorted(Path().iterdir()) == before


def test_a_network_without_normalisation_takes_no_image_files(onebit: Callable, digit: Path) -> None:
    network = package.create_model("lenet", "bireal", in_channels=1, image_size=8, widths=(4, 4, 4)).eval()
    package.pack(network, (1, 8, 8)).save("plain.onebit")
    done = onebit("run", "plain.onebit", digit)
    assert done.status == 2
    assert "packed without mean and std" in done.error


def test_what_is_missing_is_named_with_its_extra(
    onebit: Callable, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for module, words in (
        ("onnx", ("export", packed, "--to", "onnx")),
        ("onnxruntime", ("bench", packed, "--against", "onnxruntime")),
        ("openvino", ("export", packed, "--to", "openvino")),
        ("openvino", ("bench", packed, "--against", "openvino")),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            done = onebit(*words)
        assert done.status == 2
        extra = "openvino" if module == "openvino" else "onnx"
        assert f"pip install 'onebit[{extra}]'" in done.error


def test_the_demo_ships_its_network(onebit: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from onebit.training import load_recipe, recipe_files

    monkeypatch.setattr(recipe_files, "load_recipe", lambda _: load_recipe("small.toml"))
    shipped = onebit("demo", "--run-dir", "mine", "--json", "--quiet").json["packed"]
    assert shipped["file"] == "mine/model.onebit"
    assert shipped["bytes"] == Path("mine/model.onebit").stat().st_size
    assert shipped["images"] == shipped["same_class"] == 360
    assert shipped["signs"] == 360 * (6 * 4 * 4 + 8 * 2 * 2)
    assert shipped["flips"] <= 2
    assert shipped["largest_difference"] < 1e-3
    assert [row["engine"].split()[0] for row in shipped["times"]] == ["onebit", "torch,", "torch"]
    assert json.dumps(shipped)
