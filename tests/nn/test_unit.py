"""The unit: shapes that meet, the pooled shortcut, and what it computes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from onebit.nn import BinaryConv2d, BinaryUnit, make_shortcut


@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    kernel=st.sampled_from([1, 3, 5]),
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
)
def test_convolution_and_shortcut_meet_at_every_size(channels, stride, kernel, size):
    unit = BinaryUnit(BinaryConv2d, *channels, stride, kernel).eval()
    y = unit(torch.randn(2, channels[0], *size))
    assert y.shape == (2, channels[1], *(-(-side // stride) for side in size))


def test_unit_is_norm_of_convolution_plus_shortcut():
    torch.manual_seed(0)
    unit, x = BinaryUnit(BinaryConv2d, 3, 3), torch.randn(4, 3, 5, 5)
    assert isinstance(unit.shortcut, nn.Identity)
    sums = unit.conv(x)
    normal = (sums - sums.mean((0, 2, 3), keepdim=True)) / (
        sums.var((0, 2, 3), correction=0, keepdim=True) + 1e-5
    ).sqrt()
    torch.testing.assert_close(unit(x), normal + x, rtol=1e-4, atol=1e-4)
    bare = BinaryUnit(BinaryConv2d, 3, 3, shortcut=False)
    assert bare.shortcut is None
    torch.testing.assert_close(bare.eval()(x), bare.norm(bare.conv(x)))


@pytest.mark.parametrize(("stride", "wide"), [(1, 4), (2, 3), (2, 4)])
def test_shortcut_averages_whole_windows_only(stride, wide):
    shortcut = make_shortcut(3, wide, stride)
    kinds = [type(layer) for layer in shortcut]
    assert kinds == [nn.AvgPool2d] * (stride > 1) + [nn.Conv2d, nn.BatchNorm2d]
    if stride > 1:
        # A constant image stays constant to its very edge, also where the last window is cut.
        pooled = shortcut[0](torch.full((1, 3, 5, 3), 2.0))
        assert torch.equal(pooled, torch.full((1, 3, 3, 2), 2.0))
