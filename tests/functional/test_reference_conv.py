"""The reference convolution, against four nested loops and against torch in double precision."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given

import by_hand
from by_hand import GEOMETRIES, Geometry
from onebit.errors import UsageError
from onebit.functional import hard_sign, reference_binary_conv2d


def draw(g, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(g.x_shape, generator=generator, dtype=dtype)
    x.view(-1)[::5] = 0.0
    x.view(-1)[::7] = -0.0
    return x, torch.randint(0, 2, g.w_shape, generator=generator).to(dtype) * 2 - 1


def loops(x, w, g):
    """One output number after the other, in Python's integers."""
    y = torch.zeros(g.y_shape, dtype=torch.int32)
    (sh, sw), (ph, pw), (dh, dw) = g.stride, g.padding, g.dilation
    for n, o, i, j in itertools.product(*map(range, g.y_shape)):
        total = 0
        for c, k, m in itertools.product(*map(range, g.w_shape[1:])):
            row, column = i * sh + k * dh - ph, j * sw + m * dw - pw
            if 0 <= row < g.size[0] and 0 <= column < g.size[1]:
                value = x[n, (o // g.c_out) * g.c_in + c, row, column].item()
                total += (1 if value >= 0 else -1) * int(w[o, c, k, m])
        y[n, o, i, j] = total
    return y


@pytest.mark.parametrize("g", GEOMETRIES)
def test_equals_nested_loops(g):
    x, w = draw(g)
    y = reference_binary_conv2d(x, w, **g.numbers)
    assert y.dtype == torch.int32
    assert torch.equal(y, loops(x, w, g))


@given(by_hand.geometries())
def test_equals_torch_on_signs_in_double_precision(g):
    x, w = draw(g)
    expected = F.conv2d(hard_sign(x.double()), w.double(), None, **g.numbers)
    assert torch.equal(reference_binary_conv2d(x, w, **g.numbers), expected.to(torch.int32))
    assert torch.equal(
        expected, torch.from_numpy(by_hand.conv(by_hand.sign(x.double().numpy()), w.double().numpy(), g))
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.int8, torch.int64])
def test_any_real_dtype_and_layout(dtype):
    g = Geometry(size=(5, 5), groups=2)
    x, w = draw(g)
    x = (x * 3).to(dtype)
    expected = loops(x, w, g)
    assert torch.equal(reference_binary_conv2d(x, w.to(dtype), **g.numbers), expected)
    last = x.to(memory_format=torch.channels_last), w.to(dtype).to(memory_format=torch.channels_last)
    assert torch.equal(reference_binary_conv2d(*last, **g.numbers), expected)


def test_sum_of_a_large_layer_is_exact():
    # 4,608 taps: more than half precision counts to.
    x, w = torch.zeros(1, 512, 3, 3), torch.ones(1, 512, 3, 3)
    assert reference_binary_conv2d(x, w).item() == 4608


def test_empty_batch_and_nan():
    assert reference_binary_conv2d(torch.zeros(0, 2, 3, 3), torch.ones(4, 2, 2, 2)).shape == (0, 4, 2, 2)
    assert reference_binary_conv2d(torch.full((1, 1, 1, 1), float("nan")), torch.ones(1, 1, 1, 1)).item() == -1


@pytest.mark.parametrize(
    ("x", "w", "groups", "message"),
    [
        ((2, 3, 3), (1, 2, 1, 1), 1, r"expected x \(N, C, H, W\)"),
        ((1, 2, 3, 3), (1, 2, 1), 1, r"expected x \(N, C, H, W\)"),
        ((1, 3, 3, 3), (1, 2, 1, 1), 1, "input of 3 channels does not fit"),
        ((1, 4, 3, 3), (3, 2, 1, 1), 2, "with 2 groups"),
        ((1, 2, 2, 2), (1, 2, 3, 3), 1, "kernel 3x3 is larger than the padded input"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(x, w, groups, message):
    with pytest.raises(UsageError, match=message):
        reference_binary_conv2d(torch.zeros(x), torch.ones(w), groups=groups)


@pytest.mark.parametrize("value", [0.0, 0.5, float("nan"), 2.0])
def test_weights_other_than_one_are_refused(value):
    with pytest.raises(UsageError, match="only -1 and \\+1"):
        reference_binary_conv2d(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 1, 1), value))
