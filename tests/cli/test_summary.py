"""onebit summary: figures beside the twin, JSON, files, own modules, wrong usage."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import onebit
from onebit.cli.summary_command import run
from onebit.errors import UsageError

SMALL = ["--input", "3,32,32", "--num-classes", "10", "--widths", "8", "8", "16", "16"]


def test_json_is_one_object_with_the_printed_figures(capsys):
    run(["bireal_resnet18", "--method", "bireal", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert (data["model"], data["method"], data["input_shape"]) == ("bireal_resnet18", "bireal", [1, 3, 224, 224])
    assert data["parameters"] == {"1": 10_985_472, "32": 694_440}
    assert data["macs"] == {"1": 1_676_279_808, "32": 137_793_536}
    assert (data["storage_bits"], round(data["computation"])) == (33_207_552, 163_985_408)
    twin = data["twin"]
    assert (round(twin["saving"], 2), round(twin["speed_up"], 2)) == (11.26, 11.06)
    assert data["layers"][0]["path"] == "stem.0"


def test_it_starts_without_torchs_compiler():
    # Torch's own shapes of results would import it, which takes longer than everything else together.
    words = ["igp_resnet37", "--method", "rbcn"]
    code = f"import sys; from onebit.cli.summary_command import run; run({words}); sys.exit('torch._dynamo' in sys.modules)"
    here = {**os.environ, "PYTHONPATH": str(Path(onebit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=here)
    assert done.returncode == 0, done.stderr
    assert "storage (Mbit)" in done.stdout


def test_tables_and_files(capsys, tmp_path):
    files = {kind: tmp_path / f"costs.{kind}" for kind in ("csv", "markdown", "html")}
    run(["resnet18", *SMALL, *(word for kind, path in files.items() for word in (f"--{kind}", str(path)))])
    out, err = capsys.readouterr()
    assert "stages.3" in out
    assert re.search(r" rbcn +real +ratio", out)
    assert re.search(r"storage \(Mbit\) +[\d.]+ +[\d.]+ +\d+\.\d\dx", out)
    assert err.count("written: ") == 3
    assert len(list(csv.DictReader(files["csv"].read_text().splitlines()))) > 50
    assert files["html"].read_text().startswith("<!doctype html>")
    assert files["markdown"].read_text().count("\n| ") > 60
    run(["resnet18", *SMALL, "--layers"])
    assert "stages.3.3.conv" in capsys.readouterr().out


def test_options_of_model_and_method(capsys):
    dense = ["binary_densenet51", "--input", "3,32,32", "--option", "growth=8", "layers=2,2,2,2", "stem=cifar"]
    run([*dense, "--method", "abcnet", "--method-option", "weight_bases=3", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert set(data["parameters"]) == {"3", "32"}
    assert len([layer for layer in data["layers"] if layer["kind"] == "binary_conv"]) == 8
    run(["resnet18", *SMALL, "--method", "real", "--json"])
    assert "twin" not in json.loads(capsys.readouterr().out)


def test_a_module_of_the_users_own(capsys, tmp_path, monkeypatch):
    (tmp_path / "my_summary_nets.py").write_text(
        "import torch\nprint('imported')\ndef build():\n    print('built')\n    return torch.nn.Conv2d(3, 2, 1)\n\nn = 3\n"
        "def fails():\n    return 1 / 0\ndef sized(width):\n    return torch.nn.ReLU()\n"
    )
    (tmp_path / "my_broken_nets.py").write_text("x = 1\ny = 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    run(["my_summary_nets:build", "--input", "3,4,4", "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["macs"] == {"32": 96}
    assert err == "imported\nbuilt\n"
    for words, message in (
        (["my_summary_nets:missing"], "not module:callable"),
        (["no_such_place:build"], "not module:callable"),
        (["my_summary_nets:n"], "gives None, which is no torch.nn.Module"),
        (["my_summary_nets:build", "--method", "bnn"], "belong to the models of onebit"),
        (["my_summary_nets:fails"], "ZeroDivisionError at my_summary_nets.py:9 `return 1 / 0`: division by zero"),
        (["my_summary_nets:sized"], "no module when called without arguments: TypeError: .*'width'"),
        (["my_broken_nets:x"], r"imported here: ZeroDivisionError at my_broken_nets.py:2 `y = 1 / 0`"),
    ):
        with pytest.raises(UsageError, match=message):
            run(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet81"], "unknown model 'resnet81'; did you mean 'resnet18'"),
        (["resnet18", "--method", "bireel"], "unknown method 'bireel'; did you mean 'bireal'"),
        (["resnet18", "--convention", "papr"], "unknown convention 'papr'; did you mean 'paper'"),
        (["resnet18", "--input", "3,x"], "channels,height,width such as 3,224,224, got '3,x'"),
        (["resnet18", "--option", "widths"], "--option takes name=value, got 'widths'"),
        (["resnet18", "--option", "width=3"], "unknown option of model 'resnet18': 'width'; did you mean 'widths'"),
        (["resnet18", "--option", "shortcut=3"], "takes text, got 3"),
        (["resnet18", "--option", "image_size=7"], "--option image_size is no option of a model"),
        (["resnet18", "--method", "real", "--method-option", "weight_bases=3"], "method 'real' takes no options"),
    ],
)
def test_wrong_usage(words, message):
    with pytest.raises(UsageError, match=message):
        run(words)
