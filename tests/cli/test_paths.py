"""`onebit paths`."""

import pytest


def test_a_block_in_words_and_in_json(onebit):
    shown = onebit("paths", "bireal", "--width", 64, "--size", 56)
    assert shown.status == 0
    assert "x ─┬─[N^BR]─┬(+)┬─[N^BR]─┬(+)─ y" in shown.out
    assert "N2 = N^BR = 115,605,504    L2 = 1" in shown.out
    data = onebit("paths", "bireal", "--input", "64,56,56", "--json").json
    assert (data["model"], data["costs"], data["lengths"]) == ("Bi-Real", [0, 115605504, 231211008], [0, 1, 2])


def test_a_model_with_its_options(onebit):
    arguments = (
        "--method",
        "xnor",
        "--input",
        "1,32,32",
        "--num-classes",
        10,
        "--widths",
        8,
        8,
        16,
        16,
        "--k",
        2,
        "--json",
    )
    data = onebit("paths", "resnet18", *arguments).json
    assert (data["model"], data["binary_layers"], data["input_shapes"]) == ("resnet18", 16, [[1, 32, 32]])
    assert data["costs"] == [0, 9 * 16 * 16 * 4 * 4]
    dense = onebit("paths", "binary_densenet51", "--input", "3,32,32", "--growth", 4, "--tolerance", 0, "--json").json
    assert dense["binary_layers"] == 46


def test_a_module_of_the_users_own(onebit, tmp_path):
    (tmp_path / "my_paths_nets.py").write_text(
        "import onebit.nn\n\ndef build():\n    print('built')\n    return onebit.nn.BinaryConv2d(3, 2, 1)\n"
    )
    data = onebit("paths", "my_paths_nets:build", "--input", "3,4,4", "--json").json
    assert (data["model"], data["costs"], data["lengths"]) == ("my_paths_nets:build", [3 * 2 * 16], [1])
    assert "and no options of models" in onebit("paths", "my_paths_nets:build", "--widths", 8).error


def test_pictures_are_written(onebit, tmp_path):
    done = onebit("paths", "igp_resnet", "--convs", 7, "--svg", "block.svg", "--png", "block.png")
    assert done.status == 0
    assert (tmp_path / "block.svg").read_text().count("3×3, 53") == 7
    assert (tmp_path / "block.png").stat().st_size > 1000
    assert done.err == "written: block.svg\nwritten: block.png\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("birael",), "unknown model or block 'birael'; did you mean 'bireal'?"),
        (("resnet81",), "did you mean 'resnet18'?"),
        (("bireal", "--growth", 3), "unknown option of block 'bireal': 'growth'"),
        (("resnet18", "--width", 3), "unknown option of model 'resnet18': 'width'; did you mean 'widths'?"),
        (("resnet18", "--size", 32), "--size belongs to blocks"),
        (("bireal", "--num-classes", 3), "--num-classes belongs to models"),
        (("bireal", "--input", "8,8,8", "--size", 8), "not both"),
        (("bireal", "--input", "8,8,4"), "square"),
        (("resnet18", "--input", "3,224"), "--input is channels,height,width such as 3,224,224, got '3,224'"),
        (("resnet18", "--method", "birael"), "did you mean 'bireal'?"),
        (("bireal", "--k", 0), "k is how many levels of paths to find, a whole number from 1, got 0"),
        (("bireal", "--tolerance", -1), "tolerance is a relative difference of costs, 0 or more, got -1.0"),
        (("bireal", "--svg", "drawing.png"), "drawing.png would not hold what its name says"),
        (("my_missing_nets:build",), "'my_missing_nets:build' is not module:callable that can be imported here"),
        (("bireal", "--size", 0), "size must be a positive whole number, got 0"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(onebit, arguments, message):
    refused = onebit("paths", *arguments)
    assert refused.status == 2
    assert message in refused.error
