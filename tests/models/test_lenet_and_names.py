"""lenet at its sizes, and what create_model says to wrong names, options and numbers."""

import pytest
import torch

from onebit.errors import UsageError
from onebit.models import create_model, list_models, model_options


@pytest.mark.parametrize(("size", "side"), [(4, 1), (8, 2), (9, 2), (28, 7), (32, 8)])
def test_lenet_at_every_size(size, side):
    network = create_model("lenet", "rbcn", 7, 1, image_size=size, widths=(4, 6, 10))
    assert network(torch.randn(3, 1, size, size)).shape == (3, 7)
    assert network.hidden.in_features == 6 * side**2
    assert [tap.module for tap in network.taps] == ["norm", "hidden_norm"]


def test_lenet_parameters():
    network = create_model("lenet", "bireal", 10, 1, image_size=28)
    binary = 64 * 32 * 25 + 512 * 64 * 49
    real = 32 * 25 + 2 * 32 + 2 * 64 + 2 * 512 + 512 * 10 + 10
    assert sum(p.numel() for p in network.parameters()) == binary + real


def test_lenet_refuses_what_it_cannot_build():
    for widths in ((4, 4), (4, 0, 4), (4, 4, 4, 4), 4):
        with pytest.raises(UsageError, match="takes three widths, two convolutions and hidden layer: 32-64-512, got"):
            create_model("lenet", widths=widths)
    with pytest.raises(UsageError, match="at least 4x4 pixels, got 3x3"):
        create_model("lenet", image_size=3)
    network = create_model("lenet", "bireal", in_channels=1, image_size=8, widths=(4, 4, 4))
    with pytest.raises(UsageError, match=r"takes \(\.\.\., 16\), got \(2, 36\)"):
        network(torch.zeros(2, 1, 12, 12))
    for shape in ((2, 3, 8, 8), (1, 8, 8)):
        with pytest.raises(UsageError, match=r"this network takes \(N, 1, H, W\) images, got \("):
            network(torch.zeros(shape))


def test_names_by_pattern():
    assert {"lenet", "resnet18", "resnet34", "wrn22", "wrn40"} <= set(list_models())
    assert list_models("resnet*") == [name for name in list_models() if name.startswith("resnet")]
    assert list_models("nothing*") == []


def test_options_are_listed_with_their_defaults():
    assert model_options("wrn22") == {"base_width": 64, "widths": (), "stem": "auto"}
    assert model_options("lenet") == {"widths": (32, 64, 512)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"name": "resnet81"}, "unknown model 'resnet81'; did you mean 'resnet18'"),
        ({"name": "Resnet34"}, "did you mean 'resnet34'"),
        ({"name": ""}, "unknown model ''; Valid: binary_densenet51, "),
        ({"name": "lenet", "method": "rbnc"}, "unknown method 'rbnc'; did you mean 'rbcn'"),
        ({"name": "resnet18", "width": (4,) * 4}, "unknown option of model 'resnet18': 'width'; did you mean 'widths'"),
        (
            {"name": "wrn22", "stem_width": 3},
            "unknown option of model 'wrn22': 'stem_width'; did you mean 'base_width'",
        ),
        ({"name": "lenet", "method_options": {"init_scal": 1}}, "did you mean 'init_scale'"),
        ({"name": "lenet", "method": "real", "method_options": {"init": "he"}}, "method 'real' takes no options"),
        ({"name": "lenet", "num_classes": True}, "num_classes must be a positive whole number, got True"),
        ({"name": "lenet", "num_classes": 0}, "num_classes must be a positive whole number, got 0"),
        ({"name": "lenet", "in_channels": -1}, "in_channels must be a positive whole number, got -1"),
        ({"name": "lenet", "image_size": 28.0}, "image_size must be a positive whole number, got 28.0"),
    ],
)
def test_wrong_calls_are_one_sentence(call, message):
    with pytest.raises(UsageError, match=message):
        create_model(**call)
