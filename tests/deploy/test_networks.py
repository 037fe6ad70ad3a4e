"""Options of our structures, and other people's networks made binary: packed as a whole, or in part where they cannot be."""

import pytest
import torch

import foreign_networks
from onebit import PackedModel, binarize, create_model, pack
from onebit.deploy.partial import PartialModel
from settled import settle

# Layers of a kind that loses much, as binarize says of these networks, are packed all the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore::onebit.models.BinarizeWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]
BOUND = 2e-6
SMALL = {"widths": (6, 9, 12, 17)}
OPTIONS = [
    ("resnet18", {"stem": "imagenet", "stem_width": 5, **SMALL}),
    ("resnet18", {"shortcut": "block", "shortcut_conv": "binary", **SMALL}),
    ("resnet34", {"shortcut": "both", "shortcut_conv": "binary", "widths": (6, 8, 8)}),
    ("ebireal_resnet18", {"stem": "imagenet", **SMALL}),
    ("wrn22", {"widths": (3, 5, 7, 11)}),
    ("igp_resnet21", {"join": "sum", "stage_column": True, "stage_shortcut": True, "drop_path": 0.1, **SMALL}),
    ("igp_resnet37", {"blocks": (1, 2), "widths": (5, 8), "stage_column": True}),
    ("igp_densenet51", {"growth": 5, "layers": (2, 2), "reductions": (1.7,), "inner_shortcut": False, "join": "sum"}),
    (
        "binary_densenet51",
        {"growth": 5, "layers": (3, 2), "reductions": (2.0,), "init_features": 7, "stem": "imagenet"},
    ),
]


def images(*shape):
    return torch.randn(4, *shape, generator=torch.Generator().manual_seed(6))


def agree(network, shape):
    packed = pack(network, shape)
    with torch.no_grad():
        expected = network(images(*shape))
    answer = packed(images(*shape))
    assert (answer - expected).abs().max() <= BOUND * expected.abs().max()
    return packed


@pytest.mark.parametrize("method", ["rbcn", "real"])
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(OPTIONS)])
def test_options_of_structures(name, options, method):
    torch.manual_seed(0)
    shape = (2, 35, 29) if options.get("stem") == "imagenet" else (2, 13, 10)
    agree(settle(create_model(name, method, in_channels=2, **options), shape), shape)


def test_other_sizes_than_the_packed_one():
    torch.manual_seed(0)
    network = settle(create_model("resnet18", "bireal", **SMALL), (3, 16, 16))
    packed = pack(network, (3, 16, 16))
    for size in ((16, 16), (9, 23), (1, 1), (2, 40)):
        with torch.no_grad():
            torch.testing.assert_close(packed(images(3, *size)), network(images(3, *size)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["bireal", "xnor", "abcnet"])
@pytest.mark.parametrize("name", ["vgg", "mobilenet", "functional resnet"])
def test_other_peoples_networks(name, method):
    network = foreign_networks.make(name)
    binarize(network, method)
    packed = agree(settle(network, foreign_networks.INPUT[1:]), foreign_networks.INPUT[1:])
    assert isinstance(packed, PackedModel)
    assert any(op.kind == "binary_conv" for op in packed.program.operations)


@pytest.mark.parametrize("name", ["unet", "grouped dilated"])
def test_other_peoples_networks_in_part(name):
    network = foreign_networks.make(name)
    binarize(network, "rbcn")
    network = settle(network, foreign_networks.INPUT[1:])
    packed = pack(network, foreign_networks.INPUT[1:], partial=True)
    assert isinstance(packed, PartialModel)
    assert packed.packed
    assert not packed.unpacked
    given = images(*foreign_networks.INPUT[1:])
    with torch.no_grad():
        torch.testing.assert_close(packed(given), network(given), rtol=1e-5, atol=1e-5)
