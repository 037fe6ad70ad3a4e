"""Sizes of maps and windows are torch's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deploy.hand_made import Builder, everything
from onebit.deploy.program import Operation
from onebit.deploy.reference import run_values
from onebit.deploy.shapes import end_padding, macs, value_shapes, window_count, window_taps
from onebit.errors import UsageError


def test_every_value_has_the_references_shape() -> None:
    program = everything()
    values = run_values(program, torch.zeros(1, 3, 29, 22))
    assert value_shapes(program, 29, 22) == [tuple(value.shape[1:]) for value in values]


@pytest.mark.parametrize("ceil", [False, True])
def test_pooling_windows_are_torchs(ceil: bool) -> None:
    compared = 0
    for size, kernel, stride, padding in itertools.product(range(1, 9), range(1, 5), range(1, 5), range(3)):
        if 2 * padding > kernel:
            continue
        op = Operation(
            "average_pool", (0,), kernel=(kernel, 1), stride=(stride, 1), padding=(padding, 0), flags=int(ceil)
        )
        count = window_count(size, op, 0)
        image = torch.ones(1, 1, size, 1)
        try:
            pooled = F.avg_pool2d(image, (kernel, 1), (stride, 1), (padding, 0), ceil, True)
        except RuntimeError:
            assert count == 0
            continue
        assert count == pooled.shape[2]
        inside, counted = (window_taps(op, (size, 1), padded)[:, 0] for padded in (False, True))
        np.testing.assert_allclose(inside / counted, pooled.flatten().numpy(), rtol=1e-6)
        reach = size + padding + end_padding(op, (size, 1))[0]
        assert (count - 1) * stride + kernel <= reach
        compared += 1
    assert compared > 200


def test_macs_count_terms_groups_and_taps_in_the_padding() -> None:
    made = Builder(8)
    x = made.binary_conv(0, 12, groups=4, shifts=(0.0, 0.1), bases=3)
    made.conv(made.add("mean_pool", x), 5, 1)
    program = made.program(6, 7)
    shapes = value_shapes(program, 6, 7)
    counted = [macs(program, index, shapes) for index in range(4)]
    assert counted == [0, 6 * 12 * 9 * 2 * 6 * 7, 0, 60]


def test_a_size_that_does_not_fit_is_named() -> None:
    program = everything()
    with pytest.raises(UsageError, match=r"images of 1x1 do not fit: operation \d+"):
        value_shapes(program, 1, 1)
    with pytest.raises(UsageError, match=r"operation 2\d \(flatten|operation 2\d \(concat|operation 2\d \(binary_conv"):
        value_shapes(program, 40, 40)
