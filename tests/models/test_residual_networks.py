"""resnet18, resnet34, wrn22, wrn40: published parameter counts, stems, stage strings, shortcuts."""

import pytest
import torch
from torch import nn

from onebit.errors import UsageError
from onebit.models import create_model
from onebit.models.residual import ResidualBlock
from onebit.nn import BinaryConv2d, BinaryLayer, BinaryUnit


def meta(*arguments, **options):
    with torch.device("meta"):
        return create_model(*arguments, **options)


def binary(network):
    return [m for m in network.modules() if isinstance(m, BinaryConv2d)]


def counts(network):
    """(latent binary weights, all other parameters)."""
    one_bit = sum(m.weight.numel() for m in network.modules() if isinstance(m, BinaryLayer))
    return one_bit, sum(p.numel() for p in network.parameters()) - one_bit


def outputs(network, modules, size, channels=3):
    """Output shapes (C, H, W) of the named modules, without computing anything."""
    shapes = {}
    for name in modules:
        network.get_submodule(name).register_forward_hook(
            lambda _, __, y, name=name: shapes.__setitem__(name, tuple(y.shape[1:]))
        )
    network.eval()(torch.empty(1, channels, size, size, device="meta"))
    return [shapes[name] for name in modules]


def macs(network, size):
    """(binary, real) multiply-accumulates of the convolutions and linear layers for one image."""
    total = [0, 0]

    def hook(layer, _, y):
        pixels = y.shape[2] * y.shape[3] if y.dim() == 4 else 1
        total[not isinstance(layer, BinaryLayer)] += layer.weight.numel() * pixels

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(hook)
    network.eval()(torch.empty(1, 3, size, size, device="meta"))
    return tuple(total)


def test_imagenet_resnet18_is_the_published_one():
    network = meta("resnet18", "bireal", 1000, image_size=224)
    # 10,985,472 one-bit and 704,040 other parameters: Bi-Real-18 as larq's summary counts it, two vectors a batch norm.
    assert counts(network) == (10_985_472, 704_040)
    assert macs(network, 224) == (1_676_279_808, 137_793_536)
    assert len(binary(network)) == 16


@pytest.mark.parametrize(
    ("name", "options", "one_bit", "layers"),
    [
        ("resnet18", {"widths": (32, 32, 64, 128)}, 718_848, 16),
        ("resnet34", {}, 21_086_208, 32),
        ("resnet34", {"shortcut": "block"}, 21_086_208, 32),
        ("wrn22", {"base_width": 16}, 267_264, 18),
        ("wrn22", {}, 16 * 267_264, 18),
        ("wrn40", {"base_width": 16}, 557_568, 36),
        ("wrn40", {"widths": (64, 64, 128, 256)}, 16 * 557_568, 36),
    ],
)
def test_binary_weights_and_layers(name, options, one_bit, layers):
    network = meta(name, "bireal", **options)
    assert counts(network)[0] == one_bit
    assert len(binary(network)) == layers
    assert {layer.kernel_size for layer in binary(network)} == {(3, 3)}


def test_rbcn_adds_one_matrix_a_layer_and_the_twin_nothing():
    plain, rectified, twin = (counts(meta("resnet18", method)) for method in ("bireal", "rbcn", "real"))
    matrices = sum(m.in_channels * 9 for m in binary(meta("resnet18", "rbcn")))
    assert rectified == (plain[0], plain[1] + matrices)
    assert twin == (0, sum(plain))


@pytest.mark.parametrize("widths", [(32, 32, 64, 128), (32, 64, 128, 256), (64, 64, 128, 256)])
def test_stage_strings_are_the_four_stage_widths(widths):
    network = meta("resnet18", "rbcn", 100, widths=widths)
    stages = [f"stages.{i}" for i in range(4)]
    sizes = zip(widths, (32, 16, 8, 4), strict=True)
    assert outputs(network, ["stem", *stages], 32) == [(widths[0], 32, 32), *((w, s, s) for w, s in sizes)]
    for index in range(1, 4):
        # Stride 2 needs the pooled shortcut, also where the width stays.
        assert isinstance(network.get_submodule(f"stages.{index}.0.shortcut"), nn.Sequential)
    assert isinstance(network.get_submodule("stages.0.0.shortcut"), nn.Identity)


def test_three_widths_are_stem_and_three_stages():
    network = meta("resnet18", "rbcn", widths=(32, 64, 128), stem_width=16)
    shapes = outputs(network, ["stem", "stages.0", "stages.1", "stages.2"], 32)
    assert shapes == [(16, 32, 32), (32, 32, 32), (64, 16, 16), (128, 8, 8)]
    assert len(binary(network)) == 12
    assert network.classifier.in_features == 128


@pytest.mark.parametrize(
    ("size", "stem", "expected"),
    [(28, "auto", 28), (64, "auto", 64), (65, "auto", 17), (224, "auto", 56), (224, "cifar", 224), (32, "imagenet", 8)],
)
def test_stem_by_image_size(size, stem, expected):
    for name in ("resnet18", "wrn22"):
        network = meta(name, "bireal", image_size=size, stem=stem)
        assert outputs(network, ["stem"], size) == [(64, expected, expected)]


@pytest.mark.parametrize("size", [1, 2, 7, 9, 33])
def test_any_image_size_passes(size):
    network = create_model("resnet18", "bireal", image_size=size, widths=(4, 4, 4, 4)).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 10)


def test_four_numbers_of_a_wide_network_are_stem_and_stages():
    network = meta("wrn22", "rbcn", widths=(8, 16, 24, 40))
    assert outputs(network, ["stem", "stages.0", "stages.1", "stages.2"], 32) == [
        (8, 32, 32),
        (16, 32, 32),
        (24, 16, 16),
        (40, 8, 8),
    ]


def test_block_shortcuts_span_two_convolutions():
    network = create_model("resnet18", "bireal", shortcut="block", widths=(4, 4, 8, 8))
    assert len(network.taps) == 8
    block = network.get_submodule("stages.1.0")
    assert isinstance(block, ResidualBlock)
    assert all(isinstance(unit, BinaryUnit) and unit.shortcut is None for unit in block.units)
    x = torch.randn(2, 4, 6, 6)
    block.eval()
    assert torch.equal(block(x), block.units(x) + block.shortcut(x))
    unit = create_model("resnet18", "bireal", widths=(4, 4, 8, 8))
    assert len(unit.taps) == 16
    assert counts(unit)[0] == counts(network)[0]


@pytest.mark.parametrize(
    "widths", [(8, 8), (8,) * 5, (8, 8, 0, 8), (8, 8, -8, 8), (8, 8, 8.0, 8), (True,) * 4, 8, None]
)
def test_impossible_widths_of_a_resnet(widths):
    with pytest.raises(UsageError, match="takes 4 widths, one a stage such as 64-64-128-256, got"):
        create_model("resnet18", widths=widths)


def test_widths_as_text_are_shown_as_they_came():
    with pytest.raises(UsageError, match="got '32-32-64-128'"):
        create_model("resnet18", widths="32-32-64-128")


@pytest.mark.parametrize(
    "options",
    [{"widths": (8, 8, 8)}, {"widths": (0, 8, 8, 8)}, {"base_width": 0}, {"base_width": -4}, {"widths": ""}],
)
def test_impossible_widths_of_a_wide_network(options):
    with pytest.raises(UsageError, match="takes four widths, stem-stage1-stage2-stage3 such as 64-64-128-256, got"):
        create_model("wrn22", **options)


@pytest.mark.parametrize("stem_width", [0, -3, 1.5])
def test_impossible_stem_width(stem_width):
    with pytest.raises(UsageError, match="one positive stem_width, got"):
        create_model("resnet18", stem_width=stem_width)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shortcut": "units"}, "shortcut is 'unit', 'block' or 'both', not 'units'"),
        ({"stem": "cfar"}, "stem is 'auto', .* 'cfar'"),
        ({"stem": True}, "option 'stem' of model 'resnet18' takes text, got True"),
        ({"stem_width": "8"}, "one positive stem_width, got"),
    ],
)
def test_misspelt_choices(options, message):
    with pytest.raises(UsageError, match=message):
        create_model("resnet18", widths=(4, 4, 4, 4), **options)


@pytest.mark.parametrize("base_width", [1.5, "16", True, None])
def test_a_base_width_that_is_no_whole_number(base_width):
    with pytest.raises(UsageError, match="option 'base_width' of model 'wrn22' takes a whole number, got"):
        create_model("wrn22", base_width=base_width)


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (3, 32, 32), (2, 3, 32)])
def test_images_of_another_shape_are_refused(shape):
    network = create_model("resnet18", widths=(4, 4, 4, 4))
    with pytest.raises(UsageError, match=r"this network takes \(N, 3, H, W\) images, got \(") as info:
        network(torch.zeros(shape))
    assert str(info.value).endswith(str(shape))
