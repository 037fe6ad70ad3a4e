"""What stands in place of one layer: the same geometry, settings and sharing as the old one."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from onebit.functional import hard_sign
from onebit.methods import get_method
from onebit.models.binarize import binarize
from onebit.models.binarize_layers import Maker
from onebit.nn import BinaryLayer

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")


def make(old, method="bireal", init="copy", **options):
    return Maker(get_method(method, **options), init).make(old)


def binary_of(new):
    return next(module for module in new.modules() if isinstance(module, BinaryLayer))


@st.composite
def convolutions(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = draw(st.sampled_from(["same", "valid", "numbers"]))
    options = {
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "groups": draw(st.sampled_from([1, 2])),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
        "bias": draw(st.booleans()),
        "stride": 1 if padding == "same" else draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "padding": padding if padding != "numbers" else draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
    }
    return nn.Conv2d(2, 4, kernel, dtype=torch.float64, **options)


@given(convolutions(), st.booleans())
def test_it_is_the_old_convolution_of_signs(old, training):
    new = make(old.train(training))
    layer = binary_of(new)
    expected = copy.deepcopy(old)
    expected.weight.data = (layer.binary_weight() * layer._over_weight(layer.scale())).detach()
    if old.bias is not None:
        expected.bias.data = new.bias.bias.data
    x = torch.randn(2, 2, 9, 8, dtype=torch.float64)
    torch.testing.assert_close(new(x), expected(hard_sign(x)), rtol=1e-12, atol=1e-12)
    assert new.training == layer.training == training


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"padding": 1, "bias": False}, None),
        ({"padding": "same", "bias": False}, None),
        ({"padding": "valid", "padding_mode": "circular", "bias": False}, None),
        ({"padding": 1, "padding_mode": "circular", "bias": False}, ["pad", "conv"]),
        ({"padding": 1}, ["conv", "bias"]),
        ({"padding": "same", "dilation": 1, "kernel_size": 4}, ["conv", "crop", "bias"]),
    ],
)
def test_parts_are_as_few_as_can_be(options, parts):
    old = nn.Conv2d(2, 4, options.pop("kernel_size", 3), **options)
    new = make(old)
    assert (list(dict(new.named_children())) or None) == parts
    assert parts or isinstance(new, BinaryLayer)


def test_weights_and_bias_keep_their_proportion():
    old = nn.Conv2d(3, 4, 3)
    new = make(old, "rbcn")
    layer = binary_of(new)
    factor = layer.weight / old.weight
    torch.testing.assert_close(factor, factor.mean().expand_as(factor))
    torch.testing.assert_close(new.bias.bias, old.bias * factor.mean())
    torch.manual_seed(0)
    drawn = binary_of(make(old, "rbcn", "draw")).weight.abs().mean()
    torch.testing.assert_close(layer.weight.abs().mean(), drawn, rtol=0.2, atol=0)
    assert torch.equal(layer.matrix, layer.weight.abs().mean().expand_as(layer.matrix)), (
        "C starts from the copied weights"
    )


def test_drawn_anew():
    old = nn.Conv2d(3, 4, 3)
    torch.manual_seed(3)
    first = make(old, init="draw")
    torch.manual_seed(3)
    again = make(old, init="draw")
    assert torch.equal(first.conv.weight, again.conv.weight)
    assert not torch.equal(hard_sign(first.conv.weight), hard_sign(old.weight))
    assert not first.bias.bias.any()


def test_the_real_twin_copies_weights_as_they_are():
    old = nn.Conv2d(3, 4, 3)
    new = make(old, "real")
    assert torch.equal(new.conv.weight, old.weight)
    x = torch.randn(1, 3, 5, 5)
    torch.testing.assert_close(new(x), old(x.relu()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_device_and_settings_stay(dtype):
    old = nn.Conv2d(3, 4, 3, dtype=dtype).eval()
    old.weight.requires_grad_(False)
    new = make(old, "rbcn")
    assert {p.dtype for p in new.parameters()} == {dtype}
    assert bool(torch.isfinite(new.conv.weight).all())
    assert {n: p.requires_grad for n, p in new.named_parameters()} == {
        "conv.weight": False,
        "conv.matrix": False,
        "bias.bias": True,
    }
    assert not any(module.training for module in new.modules())


def test_without_memory_and_with_channels_last():
    new = make(nn.Conv2d(3, 4, 3, device="meta"), "rbcn")
    assert {t.device.type for t in (*new.parameters(), *new.buffers())} == {"meta"}
    new = make(nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last))
    assert new.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_linear_layers():
    old = nn.Linear(6, 3, dtype=torch.float64)
    new = make(old)
    layer = binary_of(new)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    expected = hard_sign(x) @ (layer.binary_weight() * layer._over_weight(layer.scale())).T + new.bias.bias
    torch.testing.assert_close(new(x), expected)
    assert list(dict(new.named_children())) == ["linear", "bias"]


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.a = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1))
        self.again = self.a[1]
        self.tied = nn.Conv2d(8, 8, 3, padding=1)
        self.tied.weight, self.tied.bias = self.again.weight, self.again.bias
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        return self.last(self.tied(self.norm(self.again(self.norm(self.a(self.first(x)))))))


@pytest.mark.parametrize("shape", [None, (1, 3, 4, 4)])
def test_shared_layers_and_tied_weights_stay_shared(shape):
    net = Shared()
    report = binarize(net, "rbcn", input_shape=shape)
    assert [entry.path for entry in report.replaced] == ["a.1", "tied"]
    assert net.again is net.a[1]
    assert net.tied.conv.weight is net.again.conv.weight
    assert net.tied.bias.bias is net.again.bias.bias
    assert torch.equal(net.tied.conv.matrix, net.again.conv.matrix)
    assert "a.1 is used as again too" in report.notes
    net(torch.randn(2, 3, 4, 4)).sum().backward()


def test_what_shares_a_weight_with_a_real_layer_stays_real():
    def conv():
        return nn.Conv2d(8, 8, 3)

    net = nn.Sequential(conv(), nn.BatchNorm2d(8), conv(), nn.BatchNorm2d(8), conv(), conv())
    net[2].weight = net[0].weight
    report = binarize(net)
    assert [entry.path for entry in report.replaced] == ["4"]
    assert [entry.reason for entry in report.kept][1] == "it shares a parameter with 0.weight, which stays real"
