"""Files: the same bytes again, every damage refused, the rules of a program, sizes."""

import contextlib
import io
import json
import os
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deploy.hand_made import everything
from onebit import create_model, load, pack
from onebit.deploy.file import read_program, save_program, write_program
from onebit.deploy.program import KINDS, Operation, Program
from onebit.errors import OnebitError, PackedFileError, UsageError

PROGRAM = everything()
DATA = write_program(PROGRAM)
PIXELS = write_program(everything(pixels=True))


def sealed(data):
    """With the checksum and the size that its bytes ask for."""
    data = bytearray(data)
    data[16:24] = struct.pack("<Q", len(data))
    data[12:16] = struct.pack("<I", zlib.crc32(data[16:]))
    return bytes(data)


def changed(offset, value, data=DATA):
    data = bytearray(data)
    data[offset : offset + len(value)] = value
    return sealed(data)


def test_round_trip():
    for data in (DATA, PIXELS):
        program = read_program(data)
        assert write_program(program) == data
    program = read_program(DATA)
    assert program.operations == PROGRAM.operations
    assert all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(program.tensors, PROGRAM.tensors, strict=True)
    )
    assert program.metadata == PROGRAM.metadata
    assert {op.kind for op in program.operations} | {op.kind for op in read_program(PIXELS).operations} == set(KINDS)


def test_the_bytes_are_those_of_the_page():
    """docs/file-format.md read by hand: header, an operation, bits."""
    weight = np.zeros((1, 1, 3, 3, 2), bool)
    weight.reshape(-1)[[0, 3, 17]] = True
    tensors = (
        weight,
        np.zeros(1, np.uint32),
        np.zeros(1, np.float32),
        np.ones((1, 1), np.float32),
        np.ones(1, np.float32),
    )
    roles = {"weight": 0, "index": 1, "shift": 2, "scale": 3, "bias": 4}
    conv = Operation("binary_conv", (0,), roles, (3, 3), (2, 1), (1, 0), (1, 2), channels=1)
    data = write_program(Program((Operation("input", channels=2), conv), tensors, {"model": "é"}))
    magic, version, checksum, size, at, length, operations, tensors_, table, places = struct.unpack_from(
        "<8sIIQQQIIQQ", data
    )
    assert (magic, version, size, operations, tensors_) == (b"\x89OBT\r\n\x1a\n", 1, len(data), 2, 5)
    assert checksum == zlib.crc32(data[16:])
    assert json.loads(data[at : at + length].decode()) == {"model": "é"}
    fields = struct.unpack_from("<25I2f", data, table + 128)
    none = 0xFFFFFFFF
    assert fields[:6] == (4, 1, 0, 0, 0, 0)
    assert fields[6:14] == (0, 3, 4, 1, 2, none, none, none)
    assert fields[14:] == (3, 3, 2, 1, 1, 0, 1, 2, 1, 1, 0, 0.0, 0.0)
    kind, rank, *dimensions, offset, bits = struct.unpack_from("<II6IQQ", data, places)
    assert (kind, rank, dimensions, offset % 64, bits) == (0, 5, [1, 1, 3, 3, 2, 1], 0, 3)
    assert data[offset : offset + 3] == bytes([0b1001, 0, 0b10])


def test_saving_is_atomic_and_exact(tmp_path):
    path = tmp_path / "folder" / "network.onebit"
    save_program(PROGRAM, path)
    assert path.read_bytes() == DATA
    assert os.listdir(path.parent) == ["network.onebit"]
    assert load(path).program.operations == PROGRAM.operations


@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 200, len(DATA) // 2, len(DATA) - 1])
def test_cut_off_files(size, tmp_path):
    (tmp_path / "cut.onebit").write_bytes(DATA[:size])
    with pytest.raises(PackedFileError, match=r"(?s)cut\.onebit"):
        read_program(tmp_path / "cut.onebit")
    with pytest.raises(PackedFileError):
        load(tmp_path / "cut.onebit")


@given(st.integers(0, 8 * len(DATA) - 1))
def test_a_flipped_bit_is_noticed(bit):
    data = bytearray(DATA)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PackedFileError):
        read_program(bytes(data))
    with pytest.raises(PackedFileError):
        load(bytes(data))


@given(st.data())
def test_damage_under_a_right_checksum_is_data_or_an_error(data):
    """Whatever the tables say: the program is valid, or refused with a sentence; nothing else is raised."""
    damaged = bytearray(DATA)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(16, 64 + 176 * len(PROGRAM.operations)))
        damaged[place] = data.draw(st.sampled_from([0, 1, 2, 3, 5, 64, 127, 128, 255]))
    damaged = sealed(damaged)
    with contextlib.suppress(PackedFileError):
        assert read_program(damaged).operations[0].kind == "input"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin as one; pack a network with onebit.pack"),
        (b"PK\x03\x04" + bytes(100), "does not begin as one"),
        (DATA + b"\0", "it is cut off, copy or pack it again"),
        (DATA[:8] + struct.pack("<I", 2) + DATA[12:], "is of version 2, this onebit reads version 1"),
        (DATA[:20] + b"\xff" + DATA[21:], "its header says"),
        (DATA[:90] + b"\x07" + DATA[91:], "its checksum does not match"),
        (changed(24, struct.pack("<Q", 2**63)), "its metadata of"),
        (changed(40, struct.pack("<I", 2**31)), "its operations of"),
        (changed(40, struct.pack("<I", 0)), "operation 0, and no other, is the input"),
        (changed(48, struct.pack("<Q", 68)), "is not aligned"),
        (changed(64, struct.pack("<I", 99)), "operation 0 is of unknown kind 99"),
        (changed(68, struct.pack("<I", 5)), "operation 0 has 5 inputs"),
        (changed(64 + 108, b"\1"), "operation 0 has 0 inputs, or values in fields that are kept free"),
        (changed(64 + 128 + 8, struct.pack("<I", 1)), "operation 1 (conv) reads values (1,)"),
        (changed(64 + 128 + 56, struct.pack("<I", 0)), "has a kernel, stride"),
        (changed(64 + 128 + 100, struct.pack("<f", float("nan"))), "p0"),
    ],
)
def test_what_is_wrong_is_said(data, message):
    with pytest.raises(PackedFileError, match=re.escape(message)):
        read_program(data)
    with pytest.raises(PackedFileError):
        load(data)


def test_tensors_and_metadata_are_checked():
    count, tensors = len(PROGRAM.operations), 64 + 128 * len(PROGRAM.operations)
    at = struct.unpack_from("<Q", DATA, 24)[0]
    for offset, value, message in (
        (tensors, struct.pack("<I", 5), "tensor 0 has type 5"),
        (tensors + 4, struct.pack("<I", 7), "rank 7"),
        (tensors + 8, struct.pack("<I", 0), "dimensions"),
        (tensors + 32, struct.pack("<Q", 2**40), "tensor 0 of"),
        (tensors + 40, struct.pack("<Q", 1), "has 1 bytes instead of"),
        (at, b"[", "its metadata are no JSON"),
        (at + 3, b"\xff", "its metadata are no JSON"),
    ):
        with pytest.raises(PackedFileError, match=re.escape(message)):
            read_program(changed(offset, value))
    assert count > 17
    bits = Program((Operation("input", channels=1), BITS), ARRAYS)
    data = write_program(bits)
    place = struct.unpack_from("<Q", data, struct.unpack_from("<Q", data, 56)[0] + 32)[0]
    with pytest.raises(PackedFileError, match=r"tensor 0 has bits beyond its 1"):
        read_program(changed(place, b"\x03", data))


ARRAYS = (np.ones((1, 1, 1, 1, 1), bool), np.zeros(1, np.uint32), np.zeros((1, 1), np.float32), np.zeros(1, np.float32))
BITS = Operation("binary_conv", (0,), {"weight": 0, "index": 1, "scale": 2, "bias": 3, "shift": 3}, channels=1)
IMAGE = Operation("input", channels=1)


@pytest.mark.parametrize(
    ("operations", "arrays", "message"),
    [
        ((), (), "operation 0, and no other, is the input"),
        ((IMAGE, IMAGE), (), "operation 0, and no other, is the input"),
        ((IMAGE, Operation("exec", (0,))), (), "unknown kind 'exec'"),
        ((IMAGE, Operation("add", (0,))), (), "it takes 2 of smaller numbers"),
        ((IMAGE, Operation("relu", (1,))), (), "reads values (1,)"),
        ((IMAGE, Operation("relu", (0,), channels=2)), (), "makes 2 channels"),
        ((IMAGE, Operation("relu", (0,), kernel=(3, 3))), (), "has a kernel"),
        ((IMAGE, Operation("relu", (0,), flags=1)), (), "has flags 1"),
        ((IMAGE, Operation("relu", (0,), p0=1)), (), "has p0 = 1"),
        ((IMAGE, Operation("relu", (0,), groups=2)), (), "has 2 groups"),
        ((IMAGE, Operation("clamp", (0,), p0=1, p1=0)), (), "has bounds from 1 to 0"),
        ((IMAGE, Operation("max_pool", (0,), kernel=(2, 2), padding=(2, 2))), (), "pads half its kernel at most"),
        ((IMAGE, Operation("affine", (0,))), (), "has the tensors []"),
        ((IMAGE, Operation("affine", (0,), {"scale": 0, "bias": 9})), ARRAYS, "of 4"),
        ((IMAGE, Operation("affine", (0,), {"scale": 0, "bias": 0})), ARRAYS, "it takes float32 (C)"),
        ((IMAGE, Operation("affine", (0,), {"scale": 0, "bias": 0})), (np.full(1, np.nan, np.float32),), "holds a NaN"),
        ((IMAGE, BITS), (ARRAYS[0], np.ones(1, np.uint32), *ARRAYS[2:]), "has a term of base 1, but 1 bases"),
        ((Operation("input", channels=1, flags=1), Operation("relu", (0,))), (), "reads pixels, which only a pixel_conv does"),
        ((IMAGE, Operation("relu", (0,))), (np.zeros(3),), "of type float64"),
    ],
)  # fmt: skip
def test_rules_of_a_program(operations, arrays, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        Program(operations, arrays)


def test_metadata_have_to_be_json():
    for metadata in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises(UsageError, match="metadata are what JSON can hold"):
            write_program(Program((IMAGE,), (), metadata))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(PackedFileError, match="there is no file"):
        load(tmp_path / "none.onebit")
    with pytest.raises(PackedFileError, match="cannot read"):
        read_program(tmp_path)


def test_a_file_that_changes_after_loading(tmp_path):
    save_program(PROGRAM, tmp_path / "a.onebit")
    packed = load(tmp_path / "a.onebit")
    save_program(everything(channels=7), tmp_path / "a.onebit")
    with pytest.raises(PackedFileError, match="has changed since it was loaded"):
        packed.save(tmp_path / "b.onebit")


def test_saving_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OnebitError, match="cannot write"):
        save_program(PROGRAM, tmp_path / "file" / "a.onebit")


def test_sizes_against_the_float_checkpoint():
    """ResNet18 at 224: about 11 times smaller."""
    network = create_model("resnet18", "rbcn", num_classes=1000, image_size=224).eval()
    checkpoint = io.BytesIO()
    # What a float network of this shape ships: RBCN's C matrices stay behind.
    torch.save({key: value for key, value in network.state_dict().items() if "matrix" not in key}, checkpoint)
    packed = pack(network, (3, 224, 224))
    assert 10.5 < checkpoint.tell() / packed.num_bytes < 12
    assert packed.num_bytes == len(write_program(packed.program))
