"""Bits in bytes: the order fixed by example, and the way back from every shape and layout."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onebit.errors import UsageError
from onebit.functional import ESTIMATORS, hard_sign, pack_bits, unpack_bits

bits = st.lists(st.booleans(), max_size=70)


def test_bit_order_is_least_significant_first():
    values = torch.zeros(24, dtype=torch.bool)
    values[[0, 1, 7, 8, 22]] = True
    assert pack_bits(values).tolist() == [0b10000011, 0b00000001, 0b01000000]
    assert unpack_bits(torch.tensor([0b10000011, 1, 0b01000000], dtype=torch.uint8), 24).nonzero()[:, 0].tolist() == [
        0,
        1,
        7,
        8,
        22,
    ]


def test_every_byte_survives():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(pack_bits(unpack_bits(every, 2048)), every)
    assert unpack_bits(every, 2048).tolist() == np.unpackbits(every.numpy(), bitorder="little").astype(bool).tolist()


@given(bits)
def test_round_trip_and_numpy_agree_at_every_length(values):
    tensor = torch.tensor(values, dtype=torch.bool)
    packed = pack_bits(tensor)
    assert packed.shape == (-(-len(values) // 8),)
    assert packed.tolist() == np.packbits(np.array(values, dtype=bool), bitorder="little").tolist()
    assert torch.equal(unpack_bits(packed, len(values)), tensor)


@given(values=st.lists(st.booleans(), min_size=1, max_size=70), start=st.integers(0, 9), step=st.integers(1, 3))
def test_strided_offset_and_expanded_views(values, start, step):
    tensor = torch.tensor(values, dtype=torch.bool)
    for view in (tensor[start:], tensor[::step], tensor[start::step], tensor[:1].expand(len(values))):
        assert torch.equal(pack_bits(view), pack_bits(view.clone()))
    packed = torch.randint(0, 256, (start + 2 * len(values),), dtype=torch.uint8)
    for view in (packed[start:], packed[start::2]):
        assert torch.equal(unpack_bits(view, 8 * len(view) - 3), unpack_bits(view.clone(), 8 * len(view) - 3))


@given(shape=st.lists(st.integers(1, 5), min_size=4, max_size=4))
def test_layouts_are_packed_in_logical_order(shape):
    values = torch.rand(shape) < 0.5
    expected = pack_bits(values.flatten())
    assert torch.equal(pack_bits(values.to(memory_format=torch.channels_last)), expected)
    turned = values.permute(2, 0, 3, 1)
    assert torch.equal(pack_bits(turned), pack_bits(turned.contiguous()))
    assert torch.equal(unpack_bits(expected, values.numel()).view(shape), values)


def test_empty_and_scalar():
    assert pack_bits(torch.zeros(0, dtype=torch.bool)).shape == (0,)
    assert unpack_bits(torch.zeros(0, dtype=torch.uint8), 0).shape == (0,)
    assert pack_bits(torch.tensor(True)).tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_only_booleans_are_packed(dtype):
    with pytest.raises(UsageError, match=f"{dtype}; for signs pass x >= 0"):
        pack_bits(torch.zeros(8, dtype=dtype))


@pytest.mark.parametrize("count", [-1, 9])
def test_impossible_counts_are_refused(count):
    with pytest.raises(UsageError, match=f"1 bytes hold 8 bits, not the {count}"):
        unpack_bits(torch.zeros(1, dtype=torch.uint8), count)


@pytest.mark.parametrize("packed", [torch.zeros(2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.bool)])
def test_only_flat_bytes_are_unpacked(packed):
    with pytest.raises(UsageError, match="takes a flat uint8 tensor"):
        unpack_bits(packed, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ESTIMATORS)
@given(values=st.lists(st.floats(-2, 2, width=16), min_size=1, max_size=30))
def test_estimator_codes_hold_the_sign(name, dtype, values):
    estimator, x = ESTIMATORS[name], torch.tensor(values, dtype=dtype)
    signs = hard_sign(x)
    code = estimator.encode(x, signs)
    assert torch.equal(estimator.decode_sign(code, x.shape, dtype), signs)
    assert sum(part.untyped_storage().nbytes() for part in code) <= -(-estimator.bits * len(values) // 8) + len(code)
    assert torch.equal(x, torch.tensor(values, dtype=dtype)), "encoding must not write to its input"
