"""CIFAR-10 and CIFAR-100, in the binary and in the python layout."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onebit.data.dataset import AGAIN, DATASETS, DatasetInfo, Part, check_labels
from onebit.data.fetch import download
from onebit.data.pickles import read_pickle
from onebit.errors import DataError
from onebit.files import write_bytes

_PIXELS = 3 * 32 * 32
# A compact copy whose test images went through JPEG: accuracy on it is close to, but not, the official figure.
_KNOWN_COPIES = {"11e2161f06e495577766fe4411c65d23": "JPEG copy"}
_GET = "load with --download, or name another folder with --data-dir or ONEBIT_DATA"


@dataclass(frozen=True)
class Files:
    """One layout of one data set: where its files lie and what they must be."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    records: dict[str, int]
    md5: dict[str, str]
    label_bytes: int = 1
    label_key: str = "labels"
    names_key: str = "label_names"


@dataclass(frozen=True)
class Cifar:
    """A CIFAR data set: its layouts, and the archive to download."""

    name: str
    classes: int
    binary: Files
    python: Files
    archive: str
    archive_md5: str
    mirrors: tuple[str, ...] = field(default=("https://www.cs.toronto.edu/~kriz/",))

    def read(self, data_dir: Path, part: str) -> Part:
        """All images ``(N, 3, 32, 32)`` and labels of the train or test part, and a note on unofficial files."""
        files, folder = self._locate(data_dir, part)
        names = files.test if part == "test" else files.train
        reader = self._read_python if files is self.python else self._read_binary
        total = sum(files.records[name] for name in names)
        images, labels = np.empty((total, _PIXELS), np.uint8), np.empty(total, np.int64)
        notes, start = [], 0
        for name in names:
            path, count = folder / name, files.records[name]
            data = _bytes_of(path)
            pixels, numbers = reader(path, data, count)
            check_labels(numbers, self.classes, str(path))
            images[start : start + count], labels[start : start + count] = pixels, numbers
            start += count
            notes.append(_note(name, data, files.md5[name]))
        classes = self._class_names(folder / files.meta, files)
        return Part(images.reshape(-1, 3, 32, 32), labels, classes, "; ".join(note for note in notes if note))

    def fetch(self, data_dir: Path) -> None:
        """Download the binary archive and unpack its files, unless a layout is complete already."""
        found = [self._find(data_dir, part) for part in ("train", "test")]
        if all(part and not self._truncated(*part) for part in found):
            return
        target = data_dir / self.binary.folder
        archive = download(
            [mirror + self.archive for mirror in self.mirrors], data_dir / self.archive, md5=self.archive_md5
        )
        unpack(archive, target, (*self.binary.train, *self.binary.test, self.binary.meta))
        archive.unlink()

    def _locate(self, data_dir: Path, part: str) -> tuple[Files, Path]:
        found = self._find(data_dir, part)
        if found:
            return found
        wanted = self.binary.test if part == "test" else self.binary.train
        near = next((folder for _, folder in self._folders(data_dir) if folder.is_dir() and folder != data_dir), None)
        missing = [
            str((near or data_dir / self.binary.folder) / name)
            for name in wanted
            if near is None or not (near / name).is_file()
        ]
        raise DataError(
            f"{missing[0] if missing else wanted[0]} is missing; {self.name} is read from {self.binary.folder}/ "
            f"or {self.python.folder}/ under the data folder: {_GET} (from {self.mirrors[0]}{self.archive})"
        )

    def _truncated(self, files: Files, folder: Path) -> bool:
        width = files.label_bytes + _PIXELS
        sizes = {name: count * width for name, count in files.records.items()} if files is self.binary else {}
        return any((folder / name).is_file() and (folder / name).stat().st_size != size for name, size in sizes.items())

    def _folders(self, data_dir: Path) -> list[tuple[Files, Path]]:
        return [(files, base) for files in (self.binary, self.python) for base in (data_dir / files.folder, data_dir)]

    def _find(self, data_dir: Path, part: str) -> tuple[Files, Path] | None:
        for files, folder in self._folders(data_dir):
            if all((folder / name).is_file() for name in (files.test if part == "test" else files.train)):
                return files, folder
        return None

    def _read_binary(self, path: Path, data: bytes, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        width = self.binary.label_bytes + _PIXELS
        if len(data) != count * width:
            raise DataError(
                f"{path} has {len(data)} bytes, expected {count * width} ({count} records of {width}); {AGAIN}"
            )
        rows = np.frombuffer(data, np.uint8).reshape(count, width)
        # CIFAR-100 puts the coarse label first; the fine one always stands right before the pixels.
        return rows[:, -_PIXELS:], rows[:, -_PIXELS - 1].astype(np.int64)

    def _read_python(self, path: Path, data: bytes, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        content = read_pickle(path, data)
        pixels, labels = content.get("data"), content.get(self.python.label_key)
        if not isinstance(pixels, np.ndarray) or pixels.shape != (count, _PIXELS):
            found = pixels.shape if isinstance(pixels, np.ndarray) else type(pixels).__name__
            raise DataError(f"{path}: 'data' is {found}, expected bytes of shape ({count}, {_PIXELS}); {AGAIN}")
        if not isinstance(labels, list) or len(labels) != count or not all(type(label) is int for label in labels):
            raise DataError(f"{path}: {self.python.label_key!r} is not a list of {count} whole numbers; {AGAIN}")
        return pixels, np.array(labels, np.int64)

    def _class_names(self, path: Path, files: Files) -> list[str]:
        if not path.is_file():
            return [str(number) for number in range(self.classes)]
        data = _bytes_of(path)
        if files is self.python:
            listed = read_pickle(path, data).get(files.names_key)
            names = (
                [name.decode("latin1") for name in listed if isinstance(name, bytes)]
                if isinstance(listed, list)
                else []
            )
        else:
            names = data.decode("latin1").split()
        if len(names) != self.classes:
            raise DataError(f"{path} names {len(names)} classes, expected {self.classes}; {AGAIN}")
        return names


def unpack(archive: Path, target: Path, wanted: Sequence[str]) -> None:
    """Take the files called ``wanted`` out of a tar archive into ``target``, each in one atomic step.

    Paths inside the archive are ignored, so nothing lands outside ``target``. Raises DataError when one is not there.
    """
    left = set(wanted)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                stream = tar.extractfile(member) if name in left and member.isfile() else None
                if stream is not None:
                    write_bytes(target / name, stream.read())
                    left.remove(name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} cannot be unpacked ({error}); delete it and try again") from error
    if left:
        raise DataError(f"{archive} does not hold {', '.join(sorted(left))}; delete it and try again")


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); {AGAIN}") from error


def _note(name: str, data: bytes, official: str) -> str:
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return "" if found == official else _KNOWN_COPIES.get(found, f"{name} is not the official file")


CIFAR10 = Cifar(
    name="cifar10",
    classes=10,
    binary=Files(
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test=("test_batch.bin",),
        meta="batches.meta.txt",
        records={**{f"data_batch_{number}.bin": 10_000 for number in range(1, 6)}, "test_batch.bin": 10_000},
        md5={
            "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
            "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
        },
    ),
    python=Files(
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test=("test_batch",),
        meta="batches.meta",
        records={**{f"data_batch_{number}": 10_000 for number in range(1, 6)}, "test_batch": 10_000},
        md5={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
    ),
    archive="cifar-10-binary.tar.gz",
    archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
)

CIFAR100 = Cifar(
    name="cifar100",
    classes=100,
    binary=Files(
        folder="cifar-100-binary",
        train=("train.bin",),
        test=("test.bin",),
        meta="fine_label_names.txt",
        records={"train.bin": 50_000, "test.bin": 10_000},
        md5={"train.bin": "6172c7755cfe09b2fe270c85cebc1b15", "test.bin": "4499cfba6c016c1be1438163640a0898"},
        label_bytes=2,
    ),
    python=Files(
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        meta="meta",
        records={"train": 50_000, "test": 10_000},
        md5={"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        label_key="fine_labels",
        names_key="fine_label_names",
    ),
    archive="cifar-100-binary.tar.gz",
    archive_md5="03b5dce01913d631647c71ecec9e9cb8",
)


def _info(cifar: Cifar, title: str, mean: tuple[float, ...], std: tuple[float, ...]) -> DatasetInfo:
    return DatasetInfo(
        name=cifar.name,
        title=title,
        classes=cifar.classes,
        shape=(3, 32, 32),
        train=50_000,
        test=10_000,
        mean=mean,
        std=std,
        source=cifar.mirrors[0] + cifar.archive,
        read=cifar.read,
        fetch=cifar.fetch,
    )


DATASETS.add(
    "cifar10",
    _info(CIFAR10, "CIFAR-10, 32x32 colour, 10 classes", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
)
DATASETS.add(
    "cifar100",
    _info(CIFAR100, "CIFAR-100, 32x32 colour, 100 classes", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
)
