"""Booleans to bits and back: eight values a byte, least significant bit first.

Both directions work on eight bytes at a time through one 64-bit multiplication, so that they cost about an eighth of an
ordinary element-wise pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onebit.errors import UsageError

# Byte i (0 or 1) of a little-endian word moves to bit 56 + i: the shifts are 56 - 7i, and no two terms meet.
_GATHER = sum(1 << (56 - 7 * i) for i in range(8))
_REPEAT = 0x0101010101010101
# Byte i keeps bit i; the highest byte keeps bit 7, which makes the constant negative as a signed word.
_SELECT = sum(1 << (9 * i) for i in range(8)) - (1 << 64)
_BELOW = 0x7F7F7F7F7F7F7F7F


def pack_bits(values: Tensor) -> Tensor:
    """Pack a boolean tensor of any shape into bytes.

    Element ``8 * i + j`` of ``values.flatten()`` becomes bit ``j`` (of value ``2 ** j``) of byte ``i``; the last byte
    is filled with zeros.

    Args:
        values: boolean tensor; for a tensor of signs pass ``x >= 0``.
    Returns:
        uint8 tensor of shape ``(ceil(values.numel() / 8),)`` on the same device.
    Raises:
        UsageError: if ``values`` is not boolean.

    >>> pack_bits(torch.tensor([True, False, True, True, False, False, False, False, True]))
    tensor([13,  1], dtype=torch.uint8)
    """
    if values.dtype != torch.bool:
        raise UsageError(f"pack_bits takes a boolean tensor, got {values.dtype}; for signs pass x >= 0")
    return pack_bytes(values.view(torch.uint8))


def pack_bytes(ones: Tensor) -> Tensor:
    """:func:`pack_bits` for a uint8 tensor that already holds only 0 and 1."""
    if not ones.numel():
        return ones.new_empty(0)
    flat = ones.reshape(-1).contiguous()
    missing = -flat.numel() % 8
    if missing:
        flat = torch.nn.functional.pad(flat, (0, missing))
    words = (flat if flat.storage_offset() % 8 == 0 else flat.clone()).view(torch.int64)
    return ((words * _GATHER) >> 56).to(torch.uint8)


def unpack_bits(packed: Tensor, count: int) -> Tensor:
    """The first ``count`` booleans of :func:`pack_bits`'s bytes, as a flat tensor.

    >>> unpack_bits(torch.tensor([13, 1], dtype=torch.uint8), 9).int()
    tensor([1, 0, 1, 1, 0, 0, 0, 0, 1], dtype=torch.int32)
    """
    if packed.dtype != torch.uint8 or packed.dim() != 1:
        raise UsageError(f"unpack_bits takes a flat uint8 tensor, got {packed.dtype} of shape {tuple(packed.shape)}")
    if not 0 <= count <= 8 * packed.numel():
        raise UsageError(f"{packed.numel()} bytes hold {8 * packed.numel()} bits, not the {count} that were asked for")
    return unpack_bytes(packed, count).view(torch.bool)


def unpack_bytes(packed: Tensor, count: int) -> Tensor:
    """:func:`unpack_bits` as a uint8 tensor of 0 and 1."""
    spread = (packed.to(torch.int64) * _REPEAT) & _SELECT
    # A byte with its one bit set, plus 0x7f, reaches its own top bit. The top byte's bit 7 is its top bit already.
    ones = (((spread & _BELOW) + _BELOW) | spread) >> 7 & _REPEAT
    return ones.view(torch.uint8)[:count]
