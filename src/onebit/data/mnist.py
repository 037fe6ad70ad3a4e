"""MNIST: the four idx files, gzipped or not."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onebit.data.dataset import AGAIN, DATASETS, DatasetInfo, Part, check_labels
from onebit.data.fetch import Remote, fetch_all
from onebit.errors import DataError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
_FOLDERS = ("MNIST/raw", "mnist", "MNIST", ".")


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an idx file of unsigned bytes, plain or gzipped.

    Raises DataError, naming the file, when it cannot be read, is truncated, or its header is another one.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); {AGAIN}") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08" or len(data) < 4 + 4 * data[3]:
        raise DataError(
            f"{path} is not an idx file of bytes: it starts with {data[:4].hex(' ') or 'nothing'}, expected 00 00 08; "
            f"{AGAIN}"
        )
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    expected, found = int(np.prod(shape, dtype=object)), len(data) - 4 - 4 * data[3]
    if found != expected:
        raise DataError(
            f"{path} holds {found} bytes of data, but its header announces {' x '.join(map(str, shape))} = {expected}; "
            f"{AGAIN}"
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def read(data_dir: Path, part: str) -> Part:
    """Images ``(N, 1, 28, 28)`` and labels of the train (60,000) or test (10,000) part."""
    image_path, label_path = (_find(data_dir, name) for name in _NAMES[part])
    images, labels = read_idx(image_path), read_idx(label_path).astype(np.int64)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{image_path} holds an array of {images.shape}; MNIST images are (N, 28, 28)")
    if labels.ndim != 1 or len(labels) != len(images):
        raise DataError(
            f"{label_path} holds {labels.shape} labels for the {len(images)} images of {image_path.name}; "
            "the two do not belong together"
        )
    check_labels(labels, 10, str(label_path))
    # A copy, because memory of a bytes object is read-only and torch wants to write.
    return Part(images[:, None].copy(), labels, [str(digit) for digit in range(10)])


def fetch(data_dir: Path) -> None:
    """Download what is missing or damaged into ``data_dir/MNIST/raw``."""
    wanted = [
        Remote(f"{name}.gz", tuple(f"{mirror}{name}.gz" for mirror in MIRRORS), md5=_MD5[f"{name}.gz"])
        for names in _NAMES.values()
        for name in names
        if not any((data_dir / folder / plain).is_file() for folder in _FOLDERS for plain in _spellings(name)[1:])
    ]
    present = next(
        (data_dir / folder for folder in _FOLDERS if (data_dir / folder / f"{_NAMES['train'][0]}.gz").is_file()), None
    )
    fetch_all(wanted, present or data_dir / "MNIST" / "raw")


def _spellings(name: str) -> tuple[str, ...]:
    # Some copies write train-images.idx3-ubyte.
    dotted = name.replace("-idx", ".idx")
    return f"{name}.gz", name, dotted, f"{dotted}.gz"


def _find(data_dir: Path, name: str) -> Path:
    for folder in _FOLDERS:
        for spelling in _spellings(name):
            path = data_dir / folder / spelling
            if path.is_file():
                return path
    raise DataError(
        f"{data_dir / 'MNIST' / 'raw' / name}.gz is missing; put the four MNIST files there, name another folder with "
        f"--data-dir or ONEBIT_DATA, or load with --download (from {MIRRORS[0]})"
    )


DATASETS.add(
    "mnist",
    DatasetInfo(
        name="mnist",
        title="MNIST handwritten digits, 28x28",
        classes=10,
        shape=(1, 28, 28),
        train=60_000,
        test=10_000,
        mean=(0.1307,),
        std=(0.3081,),
        source=MIRRORS[0],
        read=read,
        fetch=fetch,
    ),
)
