"""Every kernel of the engine on networks of one operation, against code that shares nothing with it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from deploy.hand_made import Builder
from onebit.deploy import engine
from onebit.deploy.file import write_program
from onebit.deploy.program import Operation, Program
from onebit.errors import OnebitError, PackedFileError, UsageError
from onebit.functional import reference_binary_conv2d

pytestmark = pytest.mark.skipif(engine.library() is None, reason="the engine was not built")
KERNELS = engine.kernels()

usual = st.sampled_from([1, 15, 16, 17, 31, 32, 33, 41, 48, 53, 63, 64, 65, 96, 128, 164, 256])


@st.composite
def binary_convolutions(draw):
    """Sizes of a binary convolution: channels of a group, of its results, groups, kernel, stride, padding, dilation, image."""
    groups = draw(st.sampled_from([1, 1, 1, 1, 2, 3]))
    inside, outside = (draw(st.one_of(usual, st.integers(1, 600))) // groups or 1 for _ in range(2))
    square = draw(st.sampled_from([1, 3, 5]))
    kernel = draw(st.one_of(st.just((square, square)), st.tuples(st.integers(1, 5), st.integers(1, 5))))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 2), (1, 3)]))
    same = (kernel[0] // 2 * dilation[0], kernel[1] // 2 * dilation[1])
    padding = draw(st.sampled_from([(0, 0), same, same, (1, 2)]))
    size = draw(
        st.one_of(st.sampled_from([(1, 1), (1, 9), (9, 1), (7, 7)]), st.tuples(st.integers(1, 13), st.integers(1, 13)))
    )
    out = [
        (s + 2 * p - d * (k - 1) - 1) // t + 1
        for s, p, d, k, t in zip(size, padding, dilation, kernel, stride, strict=True)
    ]
    assume(min(out) >= 1)
    assume(out[0] * out[1] * groups * inside * outside * kernel[0] * kernel[1] <= 3_000_000)
    return inside, outside, groups, kernel, stride, padding, dilation, size


def answers(program, images):
    """What every kernel, with 1 and 3 threads, gives; the same bits, or the test fails."""
    packed = write_program(program)
    found = {}
    for kernel in KERNELS:
        model = engine.Model(packed, kernel)
        for threads in (1, 3):
            found[kernel, threads] = model.session(threads).run(images)
    first = found["reference", 1]
    for name, answer in found.items():
        assert answer.tobytes() == first.tobytes(), f"{name} gives other bits than the reference"
    return first


def drawn(seed, size, channels):
    """Floats with exact zeros, of both signs, among them."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, channels, *size)).astype(np.float32)
    x[random.random(x.shape) < 0.1] = 0
    x[random.random(x.shape) < 0.1] = -0.0
    return x


@settings(max_examples=80)
@given(binary_convolutions(), st.integers(0, 2**32 - 1))
@example((600, 600, 1, (1, 1), (1, 1), (0, 0), (1, 1), (1, 1)), 0)
@example((41, 41, 1, (3, 3), (1, 1), (1, 1), (1, 1), (5, 6)), 1)
def test_sums_are_the_reference_convolutions_integers(sizes, seed):
    inside, outside, groups, kernel, stride, padding, dilation, size = sizes
    channels, results = inside * groups, outside * groups
    weight = np.random.default_rng(seed).random((1, results, *kernel, inside)) < 0.5
    tensors = (
        weight,
        np.zeros(1, np.uint32),
        np.zeros(1, np.float32),
        np.ones((1, results), np.float32),
        np.zeros(results, np.float32),
    )
    roles = dict(zip(("weight", "index", "shift", "scale", "bias"), range(5), strict=True))
    fields = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    conv = Operation("binary_conv", (0,), roles, channels=results, **fields)
    images = drawn(seed, size, channels)
    got = answers(Program((Operation("input", channels=channels), conv), tensors), images)
    signs = torch.from_numpy(weight[0]).permute(0, 3, 1, 2).mul(2).sub(1)
    expected = reference_binary_conv2d(torch.from_numpy(images), signs.int(), stride, padding, dilation, groups)
    assert np.array_equal(got, expected.numpy().astype(np.float32))


@given(st.data(), st.integers(0, 2**32 - 1))
def test_real_operations_are_torchs_to_rounding_and_the_same_on_every_kernel(data, seed):
    draw = data.draw
    channels, height, width = draw(st.integers(1, 40)), draw(st.integers(1, 12)), draw(st.integers(1, 12))
    build = Builder(channels, seed)
    kind = draw(st.sampled_from(["conv", "max_pool", "average_pool", "mean_pool", "prelu", "affine", "mean_abs"]))
    x = torch.from_numpy(drawn(seed, (height, width), channels))
    if kind == "conv":
        build.conv(0, draw(st.integers(1, 40)), draw(st.sampled_from([1, 3, 5])), stride=(draw(st.integers(1, 2)),) * 2)
        op, (weight, bias) = build.operations[-1], (torch.from_numpy(t) for t in build.tensors[-2:])
        expected = F.conv2d(x, weight.permute(0, 3, 1, 2), bias, op.stride, op.padding)
    elif kind.endswith("_pool") and kind != "mean_pool":
        size = draw(st.integers(1, min(3, height, width)))
        stride, ceil = draw(st.integers(1, 2)), draw(st.booleans())
        padding = draw(st.integers(0, size // 2))
        square = {"kernel": (size, size), "stride": (stride, stride), "padding": (padding, padding)}
        build.add(kind, 0, channels=channels, tensors=None, flags=int(ceil), **square)
        if kind == "max_pool":
            expected = F.max_pool2d(x, size, stride, padding, ceil_mode=ceil)
        else:
            expected = F.avg_pool2d(x, size, stride, padding, ceil, count_include_pad=False)
    elif kind in ("prelu", "affine"):
        scale, bias = build.floats(channels), build.floats(channels)
        tensors = {"scale": scale} if kind == "prelu" else {"scale": scale, "bias": bias}
        build.add(kind, 0, tensors=tensors)
        scale, bias = (torch.from_numpy(t).view(-1, 1, 1) for t in (scale, bias))
        expected = torch.where(x >= 0, x, x * scale) if kind == "prelu" else x * scale + bias
    else:
        build.add(kind, 0, channels=1 if kind == "mean_abs" else channels)
        expected = x.abs().mean(1, keepdim=True) if kind == "mean_abs" else x.mean((2, 3), keepdim=True)
    got = answers(Program(tuple(build.operations), tuple(build.tensors)), x.numpy())
    assert got.shape == tuple(expected.shape)
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-5)


def small_program():
    build = Builder(3)
    build.binary_conv(build.conv(0, 20), 24)
    return Program(tuple(build.operations), tuple(build.tensors))


@given(st.data())
def test_damaged_bytes_are_refused_in_one_sentence(data):
    packed = bytearray(write_program(small_program()))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(packed) - 1))
        packed[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    with pytest.raises((PackedFileError, UsageError)) as caught:
        engine.Model(bytes(packed), None)
    assert isinstance(caught.value, OnebitError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 10


def test_nothing_is_left_behind_by_opening_and_failing():
    packed = write_program(small_program())
    images = drawn(0, (64, 64), 3)

    def resident():
        with open("/proc/self/statm", encoding="ascii") as stream:
            return int(stream.read().split()[1]) * 4096

    def once():
        model = engine.Model(packed, None)
        model.session(2).run(images)
        with pytest.raises(PackedFileError):
            engine.Model(packed[:-1], None)
        with pytest.raises(UsageError):
            model.session(0)

    try:
        resident()
    except OSError:
        pytest.skip("no /proc here")
    for _ in range(30):
        once()
    before = resident()
    for _ in range(300):
        once()
    # A session holds more than 1 MB here, so that 300 of them kept would be far more than this.
    assert resident() - before < 16e6
