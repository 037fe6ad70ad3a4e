"""Shapes worked out here are those of torch's own kernels, or torch is asked."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from onebit.graph import without_data
from onebit.graph.shapes import result_without_kernel

small = st.integers(1, 4)


class Comparing(TorchDispatchMode):
    """Checks every operation's worked-out result against the kernel's; counts those that were worked out."""

    def __init__(self):
        super().__init__()
        self.worked_out = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        made = result_without_kernel(func, args, kwargs)
        result = func(*args, **kwargs)
        if made is not None:
            self.worked_out += 1
            pairs = zip(made, result, strict=True) if isinstance(result, tuple) else [(made, result)]
            for ours, theirs in pairs:
                assert (ours.shape, ours.dtype, ours.stride()) == (theirs.shape, theirs.dtype, theirs.stride()), func
        return result


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, device="meta", dtype=dtype)


def compare(run):
    """How many operations of ``run`` were worked out, all of them rightly; errors of the kernels are let through."""
    with torch.inference_mode(), Comparing() as mode:
        run()
    return mode.worked_out


@given(small, small, small, small, st.integers(0, 2), st.integers(1, 3), st.integers(1, 2), st.sampled_from([1, 2]))
def test_convolutions(height, width, kernel, stride, padding, dilation, batch, groups):
    def run():
        weight = meta(4, 4 // groups, kernel, 1)
        F.conv2d(meta(batch, 4, height, width), weight, meta(4), stride, (padding, 0), (dilation, 1), groups)

    if height + 2 * padding >= dilation * (kernel - 1) + 1:
        assert compare(run) == 1
    else:
        with pytest.raises(RuntimeError):
            compare(run)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_pools(height, width, kernel, stride, ceil):
    def run():
        x = meta(2, 3, height, width)
        F.max_pool2d(x, kernel, stride, kernel // 2, 1, ceil)
        F.avg_pool2d(x, kernel, stride, kernel // 2, ceil, False)
        F.adaptive_avg_pool2d(x, (kernel, 1))

    if min(height, width) >= kernel:
        assert compare(run) >= 2


shapes = st.lists(st.integers(1, 3), max_size=4)


@given(shapes, shapes, st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))
def test_element_by_element(left, right, dtype):
    def run():
        x, y = meta(*left, dtype=dtype), meta(*right, dtype=dtype)
        x + y, x * 2, x / y, y - 1, torch.where(x >= y, x, y), torch.where(x > 0, 1.0, -1.0), torch.add(x, y, alpha=2)

    try:
        torch.broadcast_shapes(left, right)
    except RuntimeError:
        with pytest.raises((RuntimeError, ValueError)):
            compare(run)
    else:
        assert compare(run) == 9


def test_the_rest():
    def run():
        x = meta(2, 3, 4, 5)
        torch.cat([x, meta(2, 1, 4, 5)], dim=1)
        torch.cat([x, x], dim=-1), torch.stack([x, x], dim=-1)
        x.mean((2, 3)), x.mean(1, keepdim=True), x.mean(-1), x.mean()
        torch.std_mean(x, (1, 2), correction=0, keepdim=True), torch.var_mean(x, 1)
        F.batch_norm(x, meta(3), meta(3), meta(3), meta(3))
        F.relu(x), F.hardtanh(x), F.leaky_relu(x, 0.1), x.abs(), x.clamp(-1, 1), F.gelu(x)
        F.linear(x, meta(7, 5), meta(7)), F.linear(x, meta(7, 5))
        torch.ge(x, 0, out=torch.empty_like(x))

    assert compare(run) == 20


def test_what_is_not_plain_is_left_to_torch():
    def run():
        x = meta(2, 3, 4, 5)
        x.to(memory_format=torch.channels_last) + 1  # another layout
        x.bool() + 1, x + meta(5, dtype=torch.float64), x.double().mean(dtype=torch.float32)
        F.conv2d(x, meta(2, 3, 3, 3), padding="same")
        F.avg_pool2d(x[0], 2)

    assert compare(run) == 0
    for bad in (lambda: F.conv2d(meta(1, 3, 4, 4), meta(2, 2, 1, 1)), lambda: torch.cat([meta(1, 2), meta(2, 3)])):
        with pytest.raises(RuntimeError):
            compare(bad)


def test_without_data():
    with without_data():
        layer = torch.nn.Conv2d(3, 4, 3)
        torch.nn.init.kaiming_normal_(layer.weight)
        layer.bias.data.zero_()
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    assert torch.ones(2).sum() == 2
