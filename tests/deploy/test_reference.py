"""The reference against other ways to the same numbers: exact fractions, numpy's loops, torch's layers."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.hand_made import Builder, everything
from onebit import load
from onebit.deploy import engine
from onebit.deploy.file import write_program
from onebit.deploy.program import Operation, Program
from onebit.deploy.reference import fma, run_program, run_values
from onebit.errors import UsageError
from onebit.functional import reference_binary_conv2d

FLOATS = st.floats(-(2.0**40), 2.0**40, width=32, allow_subnormal=False)
X = torch.randn(2, 19, 9, 8, generator=torch.Generator().manual_seed(2))


def rounded_once(value):
    """The float32 nearest to a fraction, ties to even, for values far from the ends of the range."""
    if not value:
        return 0.0
    exponent = 0
    while abs(value) / Fraction(2) ** exponent >= 2**24:
        exponent += 1
    while abs(value) / Fraction(2) ** exponent < 2**23:
        exponent -= 1
    return float(round(value / Fraction(2) ** exponent) * Fraction(2) ** exponent)


@settings(max_examples=300)
@given(FLOATS, FLOATS, FLOATS)
def test_fma_is_rounded_once(a, b, c):
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact and abs(exact) < 2.0**-120:
        return
    assert fma(*(torch.tensor([v]) for v in (a, b, c))).item() == rounded_once(exact)


@given(st.integers(2**23, 2**24 - 1), st.integers(-3, 3), st.integers(0, 3), st.booleans())
def test_fma_where_two_roundings_differ(whole, above, below, negative):
    """Sums that double precision puts just between two float32."""
    a, b = 2.0**15 * (1 + above * 2.0**-23), 2.0**14 * (1 - below * 2.0**-24) * (-1 if negative else 1)
    a, b, c = (torch.tensor([v], dtype=torch.float32) for v in (a, b, whole * 2.0**30))
    assert fma(a, b, c).item() == rounded_once(Fraction(a.item()) * Fraction(b.item()) + Fraction(c.item()))


def test_mean_abs_adds_in_sixteen_lanes():
    program = Program((Operation("input", channels=19), Operation("mean_abs", (0,), channels=1)))
    answer = run_program(program, X)
    for image in range(2):
        for row, column in ((0, 0), (8, 7), (3, 5)):
            lanes = [np.float32(0)] * 16
            for channel, value in enumerate(X[image, :, row, column].numpy()):
                lanes[channel % 16] += abs(value)
            for half in (8, 4, 2, 1):
                lanes[:half] = [lanes[i] + lanes[i + half] for i in range(half)]
            assert answer[image, 0, row, column].item() == lanes[0] / np.float32(19)


def test_mean_pool_adds_pixel_by_pixel():
    program = Program((Operation("input", channels=19), Operation("mean_pool", (0,), channels=19)))
    answer = run_program(program, X)
    for image, channel in ((0, 0), (1, 18)):
        total = np.float32(0)
        for value in X[image, channel].flatten().numpy():
            total += value
        assert answer[image, channel].item() == total / np.float32(72)


@pytest.mark.parametrize(
    ("kind", "flags"), [("max_pool", 0), ("max_pool", 1), *(("average_pool", flags) for flags in range(4))]
)
def test_poolings_count_as_torch_does(kind, flags):
    for kernel, stride, padding in (
        ((3, 2), (2, 2), (1, 1)),
        ((2, 2), (3, 2), (0, 0)),
        ((3, 3), (2, 3), (1, 0)),
        ((5, 3), (4, 1), (2, 1)),
    ):
        op = Operation(kind, (0,), {}, kernel, stride, padding, channels=19, flags=flags)
        ceil = bool(flags & 1)
        if kind == "max_pool":
            expected = F.max_pool2d(X, kernel, stride, padding, ceil_mode=ceil)
        else:
            expected = F.avg_pool2d(X, kernel, stride, padding, ceil, count_include_pad=bool(flags & 2))
        answer = run_program(Program((Operation("input", channels=19), op)), X)
        torch.testing.assert_close(answer, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "fields", [{}, {"groups": 2}, {"stride": (2, 1), "padding": (0, 2)}, {"dilation": (2, 1), "padding": (3, 0)}]
)
def test_binary_convolutions_are_exact_sums(fields):
    made = Builder(18, seed=4)
    made.binary_conv(0, 8, shifts=(0.0, -0.4), bases=2, **fields)
    program = made.program(9, 8)
    x, op = X[:, :18], program.operations[1]
    y = program.tensor(1, "bias").astype(np.float64)[None, :, None, None] * np.ones(1)
    for base, shift, scale in zip(
        program.tensor(1, "index"), program.tensor(1, "shift"), program.tensor(1, "scale"), strict=True
    ):
        weight = torch.where(torch.from_numpy(program.tensor(1, "weight")[base]), 1, -1).permute(0, 3, 1, 2)
        sums = reference_binary_conv2d(x + float(shift), weight, op.stride, op.padding, op.dilation, op.groups).numpy()
        # A sum of up to 13 bits times 24 bits fits into double precision; so does adding a float32 of like size.
        y = (sums * scale.astype(np.float64)[None, :, None, None] + y).astype(np.float32).astype(np.float64)
    assert np.array_equal(run_program(program, x).numpy(), y.astype(np.float32))


def test_pixel_convolutions_leave_padded_taps_out():
    made = Builder(3, seed=5, pixels=True)
    made.pixel_conv(4, 3, stride=(2, 1), padding=(1, 1))
    program = made.program(6, 5)
    pixels = torch.randint(0, 256, (1, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    answer = run_program(program, pixels)
    weight, scale, bias, offset = (program.tensor(1, role) for role in ("weight", "scale", "bias", "offset"))
    for out, row, column in ((0, 0, 0), (1, 2, 4), (3, 1, 2), (2, 2, 0)):
        whole, added = 0, float(bias[out])
        for y in range(3):
            for x in range(3):
                at = 2 * row + y - 1, column + x - 1
                if 0 <= at[0] < 6 and 0 <= at[1] < 5:
                    added += float(offset[out, y, x])
                    whole += sum(int(weight[out, y, x, c]) * int(pixels[0, c, at[0], at[1]]) for c in range(3))
        exact = Fraction(float(np.float32(whole))) * Fraction(float(scale[out])) + Fraction(float(np.float32(added)))
        assert answer[0, out, row, column].item() == rounded_once(exact)


def test_pointwise_rounds_to_twelve_bits():
    made = Builder(19, seed=6)
    made.pointwise(0, 5)
    program = made.program(9, 8)
    weight, scale, bias = (program.tensor(1, role) for role in ("weight", "scale", "bias"))
    answer = run_program(program, X)
    for image in range(2):
        most = np.abs(X[image].numpy()).max()
        whole = np.rint(X[image].numpy() * (np.float32(2047) / most)).astype(np.int64)
        sums = np.einsum("oc,chw->ohw", weight.astype(np.int64), whole)
        step = scale * (most / np.float32(2047))
        for out, row, column in ((0, 0, 0), (4, 8, 7), (2, 3, 3)):
            exact = Fraction(float(np.float32(sums[out, row, column]))) * Fraction(float(step[out])) + Fraction(
                float(bias[out])
            )
            assert answer[image, out, row, column].item() == rounded_once(exact)
    assert run_program(program, torch.zeros(1, 19, 2, 2))[0, :, 1, 1].equal(torch.from_numpy(bias))


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("kernel", engine.kernels())
def test_the_engine_gives_the_same_bits_in_every_kind_of_operation(kernel, pixels):
    program = everything(pixels)
    images = torch.randint(0, 256, (2, 3, 29, 22), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    model = load(write_program(program), kernel=kernel)
    expected = run_program(program, images)[:, :, 0, 0]
    assert model(images).view(torch.int32).equal(expected.view(torch.int32))
    assert model(images[1:]).equal(expected[1:])


def test_values_are_kept_on_request():
    program = everything()
    values = run_values(program, torch.zeros(1, 3, 29, 22))
    assert len(values) == len(program.operations)
    assert values[-1].equal(run_program(program, torch.zeros(1, 3, 29, 22)))


def test_sizes_that_do_not_fit_name_the_operation():
    with pytest.raises(
        UsageError,
        match=r"operation \d+ \((add|max_pool|flatten|binary_conv|average_pool)\) cannot take maps of .* 8 x 8 pixels",
    ):
        run_program(everything(), torch.zeros(1, 3, 8, 8))


def test_rounded_up_poolings_of_maps_smaller_than_the_window():
    for kind, flags in (("max_pool", 1), ("average_pool", 1), ("average_pool", 3)):
        op = Operation(kind, (0,), {}, (2, 3), (2, 2), channels=19, flags=flags)
        program = Program((Operation("input", channels=19), op))
        x = X[:, :, :1, :2].clone()
        expected = F.max_pool2d(x, (2, 3), 2, ceil_mode=True) if kind == "max_pool" else None
        if expected is None:
            expected = F.avg_pool2d(x, (2, 3), 2, ceil_mode=True, count_include_pad=flags == 3)
        answer = run_program(program, x)
        torch.testing.assert_close(answer, expected)
        assert load(write_program(program))(x).equal(answer[:, :, 0, 0])
