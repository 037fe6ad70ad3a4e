"""Representational capability: the formulas, and a unit small enough to enumerate."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from onebit.accounting.capability import representational_capability
from onebit.errors import UsageError


def every_sign(*shape):
    count = math.prod(shape)
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=count))).view(-1, *shape)


def distinct(maps):
    return len({tuple(m.flatten().tolist()) for m in maps})


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_on_one_pixel_the_counts_are_reached(channels):
    found = representational_capability(1, 1, channels, 1)
    inputs, weights = every_sign(channels, 1, 1), every_sign(channels, channels, 1, 1)
    outputs = torch.cat([F.conv2d(inputs, weight) for weight in weights])
    assert math.log2(distinct(inputs)) == found.binary
    assert math.log2(distinct(outputs)) == pytest.approx(found.convolved)


def test_on_larger_maps_the_counts_are_bounds():
    found = representational_capability(2, 2, 1, 3)
    inputs, weights = every_sign(1, 2, 2), every_sign(1, 1, 3, 3)
    outputs = torch.cat([F.conv2d(inputs, weight, padding=1) for weight in weights])
    assert found.binary < math.log2(distinct(outputs)) < found.convolved


def test_addition_gives_no_more_maps_than_its_first_term():
    channels = 3
    found = representational_capability(1, 1, channels, 1)
    values = torch.arange(-channels, channels + 1, 2, dtype=torch.float64) + 0.25
    first = torch.tensor(list(itertools.product(values.tolist(), repeat=channels)), dtype=torch.float64)
    first = first.view(-1, channels, 1, 1)
    assert math.log2(distinct(first)) == pytest.approx(found.normalized)
    weight = every_sign(channels, channels, 1, 1)[137].double()
    signs = torch.where(first >= 0, 1.0, -1.0).double()
    added = first + math.pi * F.conv2d(signs, weight)
    assert math.log2(distinct(added)) <= found.added < found.claimed


def test_figure_one_in_numbers():
    found = representational_capability(14, 14, 32)
    assert found.binary == 14 * 14 * 32
    assert found.convolved == found.normalized == found.added == pytest.approx(6272 * math.log2(289))
    assert found.claimed == 2 * found.added
    assert representational_capability(4, 5, 2, (3, 1)).convolved == pytest.approx(40 * math.log2(7))
    assert found.to_dict()["binary"] == 6272


@pytest.mark.parametrize("arguments", [(0, 1, 1), (1, 1, 1, (3, 0)), (1, True, 1), (1, 1, 1, (3, 3, 3))])
def test_impossible_sizes_are_refused(arguments):
    with pytest.raises(UsageError, match="got"):
        representational_capability(*arguments)
