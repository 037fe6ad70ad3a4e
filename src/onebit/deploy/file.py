"""Reading and writing .onebit files, byte for byte as docs/file-format.md says; nothing is executed."""

from __future__ import annotations

import json
import os
import struct
import zlib
from math import prod
from typing import Any

import numpy as np

from onebit import files
from onebit.deploy.program import KIND_BY_NUMBER, KINDS, ROLES, TYPES, Operation, Program, check_metadata
from onebit.errors import PackedFileError, UsageError

MAGIC = b"\x89OBT\r\n\x1a\n"
VERSION = 1
_HEADER = struct.Struct("<8sIIQQQIIQQ")
HEADER_SIZE = _HEADER.size
_OPERATION = struct.Struct("<II4I8I8IIIIff20s")
_TENSOR = struct.Struct("<II6IQQ")
_NONE = 0xFFFFFFFF
_SLOTS = 8
_ALIGNMENT = 64


def write_program(program: Program) -> bytes:
    """The bytes of the .onebit file that holds ``program``; equal programs give equal bytes.

    Raises:
        UsageError: if the metadata cannot be written as JSON.
    """
    try:
        metadata = json.dumps(
            dict(program.metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"metadata are what JSON can hold: {error}") from None
    operations_at = _HEADER.size
    tensors_at = operations_at + _OPERATION.size * len(program.operations)
    metadata_at = tensors_at + _TENSOR.size * len(program.tensors)
    end, rows, contents = metadata_at + len(metadata), [], []
    for tensor in program.tensors:
        data = _to_bytes(tensor)
        offset = -(-end // _ALIGNMENT) * _ALIGNMENT
        dimensions = (*tensor.shape, *[1] * (6 - tensor.ndim))
        rows.append(_TENSOR.pack(TYPES.index(tensor.dtype.name), tensor.ndim, *dimensions, offset, len(data)))
        contents += [bytes(offset - end), data]
        end = offset + len(data)
    body = b"".join((*map(_operation_bytes, program.operations), *rows, metadata, *contents))
    counts = len(program.operations), len(program.tensors)
    header = _HEADER.pack(MAGIC, VERSION, 0, end, metadata_at, len(metadata), *counts, operations_at, tensors_at)
    checksum = zlib.crc32(body, zlib.crc32(header[16:]))
    return b"".join((header[:12], struct.pack("<I", checksum), header[16:], body))


def save_program(program: Program, path: str | os.PathLike[str]) -> None:
    """Write ``program`` to ``path`` in one atomic step."""
    files.write_bytes(path, write_program(program))


def read_program(source: bytes | str | os.PathLike[str]) -> Program:
    """The program in a .onebit file, or in its bytes, after everything about it has been checked.

    Raises:
        PackedFileError: for what is no .onebit file, is cut off, damaged, of another version, or breaks a rule of the format.
    """
    name = "the data" if isinstance(source, bytes) else str(source)
    try:
        return _Reader(source if isinstance(source, bytes) else read_bytes(source)).program()
    except (UsageError, PackedFileError) as error:
        raise PackedFileError(f"{name} is not a usable .onebit file: {error}") from None


def read_bytes(path: str | os.PathLike[str], size: int = -1) -> bytes:
    """The bytes of a file, or the first ``size`` of them, or a PackedFileError that names it."""
    try:
        with open(path, "rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise PackedFileError(f"cannot read {path}: {error.strerror or error}") from None


def parse_metadata(data: bytes) -> dict[str, Any]:
    """A file's metadata, whose known keys hold what they should.

    Raises:
        PackedFileError: if they are no JSON object or do not.
    """
    try:
        metadata = json.loads(data.decode())
        check_metadata(metadata)
    except (ValueError, RecursionError) as error:
        raise PackedFileError(f"its metadata are no JSON: {error}") from None
    except UsageError as error:
        raise PackedFileError(f"damaged file: its {error}") from None
    return metadata


def stored_bytes(dtype: np.dtype, count: int) -> int:
    """How many bytes ``count`` values take in a file."""
    return -(-count // 8) if dtype.name == "bool" else count * dtype.itemsize


def _to_bytes(tensor: np.ndarray) -> bytes:
    if tensor.dtype == bool:
        return np.packbits(tensor.reshape(-1), bitorder="little").tobytes()
    return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()


def _operation_bytes(op: Operation) -> bytes:
    inputs = (*op.inputs, *[0] * (4 - len(op.inputs)))
    slots = [op.tensors.get(role, _NONE) for role in ROLES] + [_NONE] * (_SLOTS - len(ROLES))
    geometry = (*op.kernel, *op.stride, *op.padding, *op.dilation)
    numbers = op.groups, op.channels, op.flags, op.p0, op.p1
    return _OPERATION.pack(KINDS[op.kind].number, len(op.inputs), *inputs, *slots, *geometry, *numbers, bytes(20))


class _Reader:
    """A file's bytes, of which nothing is believed."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        if data[: len(MAGIC)] != MAGIC:
            raise UsageError("it does not begin as one; pack a network with onebit.pack")
        if len(data) < _HEADER.size:
            raise UsageError(f"it is cut off after {len(data)} bytes; copy or pack it again")
        _, version, checksum, size, *rest = _HEADER.unpack_from(data)
        self.metadata_at, self.metadata_size, self.operation_count, self.tensor_count, *rest = rest
        self.operations_at, self.tensors_at = rest
        if version != VERSION:
            raise UsageError(f"it is of version {version}, this onebit reads version {VERSION}; pack the network again")
        if size != len(data):
            raise UsageError(
                f"it has {len(data)} bytes, but its header says {size}; it is cut off, copy or pack it again"
            )
        if zlib.crc32(memoryview(data)[16:]) != checksum:
            raise UsageError("its checksum does not match, so that its bytes have changed; copy or pack it again")

    def program(self) -> Program:
        operations = self._table(self.operations_at, self.operation_count, _OPERATION, "operations")
        tensors = self._table(self.tensors_at, self.tensor_count, _TENSOR, "tensor table")
        self._within(self.metadata_at, self.metadata_size, 1, "metadata")
        return Program(
            tuple(self._operation(i, row) for i, row in enumerate(operations)),
            tuple(self._tensor(i, row) for i, row in enumerate(tensors)),
            parse_metadata(self.data[self.metadata_at : self.metadata_at + self.metadata_size]),
        )

    def _within(self, offset: int, size: int, alignment: int, name: str) -> None:
        if offset < _HEADER.size or offset + size > len(self.data) or offset % alignment:
            raise UsageError(
                f"its {name} of {size} bytes at {offset} lies outside its {len(self.data)} bytes or is not aligned"
            )

    def _table(self, offset: int, count: int, row: struct.Struct, name: str) -> list[tuple[Any, ...]]:
        self._within(offset, count * row.size, 8, name)
        return list(row.iter_unpack(memoryview(self.data)[offset : offset + count * row.size]))

    def _operation(self, index: int, row: tuple[Any, ...]) -> Operation:
        number, count, *rest = row
        inputs, slots, geometry, rest = rest[:4], rest[4:12], rest[12:20], rest[20:]
        groups, channels, flags, p0, p1, reserved = rest
        if number not in KIND_BY_NUMBER:
            raise UsageError(f"operation {index} is of unknown kind {number}")
        unused = [slot for slot in slots[len(ROLES) :] if slot != _NONE]
        if count > 4 or any(inputs[count:]) or unused or any(reserved):
            raise UsageError(f"operation {index} has {count} inputs, or values in fields that are kept free")
        return Operation(
            KIND_BY_NUMBER[number],
            tuple(inputs[:count]),
            {role: slot for role, slot in zip(ROLES, slots, strict=False) if slot != _NONE},
            *(tuple(geometry[i : i + 2]) for i in (0, 2, 4, 6)),
            groups,
            channels,
            flags,
            p0,
            p1,
        )

    def _tensor(self, index: int, row: tuple[int, ...]) -> np.ndarray:
        code, rank, *dimensions = row[:8]
        offset, size = row[8:]
        name = f"tensor {index}"
        if code >= len(TYPES) or not 1 <= rank <= 6 or min(dimensions) < 1 or any(d != 1 for d in dimensions[rank:]):
            raise UsageError(f"{name} has type {code}, rank {rank} and dimensions {dimensions}")
        shape, dtype = dimensions[:rank], np.dtype(TYPES[code])
        count = prod(shape)
        expected = stored_bytes(dtype, count)
        if size != expected:
            raise UsageError(f"{name} of shape {shape} has {size} bytes instead of {expected}")
        self._within(offset, size, _ALIGNMENT, name)
        if dtype.name != "bool":
            values = np.frombuffer(self.data, dtype.newbyteorder("<"), count, offset)
            return values.astype(dtype, copy=False).reshape(shape)
        stream = np.frombuffer(self.data, np.uint8, size, offset)
        if count % 8 and stream[-1] >> (count % 8):
            raise UsageError(f"{name} has bits beyond its {count}")
        return np.unpackbits(stream, count=count, bitorder="little").view(bool).reshape(shape)
