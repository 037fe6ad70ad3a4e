"""Stems and 1x1 convolutions in integers: how near they are, what bounds them, what they refuse."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onebit import create_model, pack
from onebit.data.augment import Normalise
from onebit.deploy import engine
from onebit.deploy.integers import pixel_table
from onebit.errors import UsageError
from settled import settle

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = torch.randint(0, 256, (4, 3, 21, 18), dtype=torch.uint8, generator=torch.Generator().manual_seed(9))
IMAGES = Normalise(MEAN, STD, torch.device("cpu"))(PIXELS)
# Half a step of the greatest weight of a filter, relative to it.
STEP = {"int8": 0.5 / 127, "int16": 0.5 / 32767}


def stem(**options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 10, **options), nn.BatchNorm2d(10)).eval()
    network[1].running_var.uniform_(0.5, 2)
    network[1].running_mean.normal_()
    network[1].weight.data[::2] = -0.8
    return network


@pytest.mark.parametrize("precision", STEP)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 7, "stride": 2, "padding": 3, "bias": False},
        {"kernel_size": (5, 3), "dilation": 2, "padding": (4, 0)},
        {"kernel_size": 1},
    ],
)
def test_a_stem_on_pixels(options, precision):
    """Errors are at most half a step for every tap and channel, times the normalised pixel: borders are no exception."""
    network = stem(**options)
    packed = pack(network, (3, 21, 18), precision=precision, mean=MEAN, std=STD)
    assert packed.program.tensor(1, "weight").dtype.name == precision
    with torch.no_grad():
        expected = network.double()(IMAGES.double())
        conv, norm = network
        weight = conv.weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None, None]
        # Steps are those of weights per pixel: divided by 255 std, channel by channel.
        std = torch.tensor(STD).view(1, 3, 1, 1)
        most = (weight / std).abs().amax((1, 2, 3), keepdim=True)
        bound = F.conv2d(
            IMAGES.double().abs(),
            (most * std * STEP[precision]).expand_as(weight),
            None,
            conv.stride,
            conv.padding,
            conv.dilation,
        )
    error = (packed(PIXELS) - expected).abs()
    assert (error <= bound + 1e-5).all()
    # The bound is not idle: a tenth of it is reached.
    assert (error > 0.1 * bound).any()


def test_sums_stay_within_32_bits():
    network = nn.Conv2d(3, 2, 31, padding=15, bias=False)
    nn.init.ones_(network.weight)
    packed = pack(network.eval(), (3, 21, 18), precision="int16", mean=MEAN, std=STD)
    weight = packed.program.tensor(1, "weight").astype(np.int64)
    assert 255 * np.abs(weight).sum((1, 2, 3)).max() < 2**31
    assert np.abs(weight).max() > 700
    white = torch.full((1, 3, 21, 18), 255, dtype=torch.uint8)
    expected = network(Normalise(MEAN, STD, torch.device("cpu"))(white)).detach()
    torch.testing.assert_close(packed(white), expected, rtol=1e-3, atol=1)


def test_a_filter_of_zeros():
    network = nn.Conv2d(3, 2, 3)
    nn.init.zeros_(network.weight)
    for precision in STEP:
        answer = pack(network.eval(), (3, 21, 18), precision=precision, mean=MEAN, std=STD)(PIXELS)
        assert answer.equal(network.bias.detach().view(1, 2, 1, 1).expand_as(answer))


def test_which_layers_compute_in_integers():
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 511, 1),
        nn.Conv2d(511, 512, 1),
        nn.Conv2d(512, 8, 1),
        nn.Conv2d(8, 8, 1, stride=2),
        nn.Conv2d(8, 8, 1, groups=2),
        nn.Conv2d(8, 8, 1, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    for precision in STEP:
        program = pack(layers.eval(), (3, 21, 18), precision=precision, mean=MEAN, std=STD).program
        kinds = [op.kind for op in program.operations[1:]]
        assert kinds == ["pixel_conv", *["pointwise"] * 2, *["conv"] * 4, "mean_pool", "conv"]


def test_pointwise_is_near():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 30, 3), nn.ReLU(), nn.Conv2d(30, 16, 1)).eval()
    exact = pack(network, (3, 21, 18), mean=MEAN, std=STD)(PIXELS)
    near = pack(network, (3, 21, 18), precision="int16", mean=MEAN, std=STD)(PIXELS)
    assert 0 < (near - exact).abs().max() < 2e-3 * exact.abs().max()


def test_tables_hold_what_training_makes_of_pixels():
    table = pixel_table(MEAN, STD)
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256).expand(1, 3, 1, 256)
    expected = Normalise(MEAN, STD, torch.device("cpu"))(pixels)
    assert np.array_equal(table, expected[0, :, 0].numpy())


@pytest.mark.parametrize("precision", STEP)
def test_networks_take_pixels_only_and_say_so(precision):
    network = settle(create_model("resnet18", "bireal", widths=(8, 8, 16, 16), image_size=21), (3, 21, 18))
    packed = pack(network, (3, 21, 18), precision=precision, mean=MEAN, std=STD)
    assert packed.program.takes_pixels_only
    assert packed(PIXELS).equal(packed.using(kernel="python")(PIXELS))
    for model in (packed, packed.using(kernel="python")):
        with pytest.raises(UsageError, match=r"uint8|pixels"):
            model(IMAGES)


@pytest.mark.parametrize(
    "first", [nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Conv2d(3, 6, 3, groups=3)], ids=["norm", "pool", "groups"]
)
def test_other_readers_of_the_image(first):
    with pytest.raises(
        UsageError, match=r"an ungrouped real convolution on the image, but '0' .* use precision='float32'"
    ):
        pack(nn.Sequential(first).eval(), (3, 21, 18), precision="int16", mean=MEAN, std=STD)


@pytest.mark.parametrize("size", [1e-36, 1e-38, 1e-42])
def test_maps_of_tiny_numbers(size):
    """Of numbers so small that 2047 / m is infinite nothing is left, on every kernel, instead of anything."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 5, 1)).eval()
    nn.init.constant_(network[1].weight, size)
    packed = pack(network, (3, 21, 18), precision="int16", mean=MEAN, std=STD)
    answer = packed.using(kernel="python")(PIXELS)
    assert answer.allclose(network(IMAGES), atol=1e-6)
    for kernel in engine.kernels():
        assert packed.using(kernel=kernel)(PIXELS).equal(answer), kernel


@pytest.mark.parametrize("precision", ["int16", "int8"])
def test_weights_among_the_subnormal_numbers(precision):
    network = stem(kernel_size=3, bias=False)
    network.append(nn.Conv2d(10, 6, 1))
    network[2].weight.data *= 1e-39
    packed = pack(network, (3, 21, 18), precision=precision, mean=MEAN, std=STD)
    assert packed(PIXELS).allclose(network(IMAGES), atol=1e-6)
