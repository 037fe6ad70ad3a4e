import dataclasses
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from onebit.data import load_dataset
from onebit.data.cifar import CIFAR10, CIFAR100, Cifar, Files, unpack
from onebit.errors import DataError

RECORDS = 6


def small(cifar: Cifar) -> Cifar:
    """The same data set with six records in every file."""

    def cut(files: Files) -> Files:
        return dataclasses.replace(files, records=dict.fromkeys(files.records, RECORDS))

    return dataclasses.replace(cifar, binary=cut(cifar.binary), python=cut(cifar.python))


SETS = [small(CIFAR10), small(CIFAR100)]


def content(name: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(sum(name.split(".")[0].encode()))
    return generator.integers(0, 256, (RECORDS, 3072), dtype=np.uint8), generator.integers(0, classes, RECORDS)


def write_binary(folder: Path, cifar: Cifar) -> Path:
    folder = folder / cifar.binary.folder
    folder.mkdir(parents=True)
    for name in (*cifar.binary.train, *cifar.binary.test):
        pixels, labels = content(name, cifar.classes)
        columns = [labels[:, None].astype(np.uint8), pixels]
        if cifar.binary.label_bytes == 2:
            columns.insert(0, np.full((RECORDS, 1), 19, np.uint8))
        (folder / name).write_bytes(np.hstack(columns).tobytes())
    (folder / cifar.binary.meta).write_text("\n".join(f"name{number}" for number in range(cifar.classes)) + "\n\n")
    return folder


def write_python(folder: Path, cifar: Cifar, protocol: int = 2) -> Path:
    folder = folder / cifar.python.folder
    folder.mkdir(parents=True)
    for name in (*cifar.python.train, *cifar.python.test):
        pixels, labels = content(name, cifar.classes)
        batch = {b"batch_label": name.encode(), b"data": pixels, cifar.python.label_key.encode(): labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))
    names = [f"name{number}".encode() for number in range(cifar.classes)]
    (folder / cifar.python.meta).write_bytes(pickle.dumps({cifar.python.names_key.encode(): names}, protocol=protocol))
    return folder


@pytest.mark.parametrize("cifar", SETS, ids=lambda cifar: cifar.name)
@pytest.mark.parametrize("part", ["train", "test"])
def test_both_layouts_give_the_same_images(tmp_path: Path, cifar: Cifar, part: str) -> None:
    write_binary(tmp_path / "a", cifar)
    write_python(tmp_path / "b", cifar)
    binary, python = cifar.read(tmp_path / "a", part), cifar.read(tmp_path / "b", part)
    files = len(cifar.binary.train if part == "train" else cifar.binary.test)
    assert binary.images.shape == (RECORDS * files, 3, 32, 32)
    assert np.array_equal(binary.images, python.images)
    assert np.array_equal(binary.labels, python.labels)
    assert binary.classes == python.classes == [f"name{number}" for number in range(cifar.classes)]
    first = cifar.binary.train[0] if part == "train" else cifar.binary.test[0]
    assert np.array_equal(binary.images[0].reshape(-1), content(first, cifar.classes)[0][0])


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_every_pickle_protocol_that_numpy_wrote(tmp_path: Path, protocol: int) -> None:
    write_python(tmp_path, SETS[0], protocol)
    assert SETS[0].read(tmp_path, "test").images.shape == (RECORDS, 3, 32, 32)


def test_the_folder_itself_may_be_named(tmp_path: Path) -> None:
    folder = write_binary(tmp_path, SETS[0])
    assert len(SETS[0].read(folder, "train").labels) == 5 * RECORDS


def test_unofficial_files_are_noted(tmp_path: Path) -> None:
    write_binary(tmp_path, SETS[0])
    assert SETS[0].read(tmp_path, "test").note == "test_batch.bin is not the official file"


def test_missing_files_name_the_first_and_both_layouts(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"cifar-10-batches-bin/data_batch_1\.bin is missing.*cifar-10-batches-py/.*--dow"
    ):
        load_dataset("cifar10", "train", data_dir=tmp_path)
    folder = write_binary(tmp_path, SETS[0])
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_3\.bin is missing"):
        load_dataset("cifar10", "train", data_dir=tmp_path)


def test_a_truncated_file_gives_both_sizes(tmp_path: Path) -> None:
    folder = write_binary(tmp_path, SETS[0])
    with pytest.raises(
        DataError, match=r"data_batch_1\.bin has 18438 bytes, expected 30730000 \(10000 records of 3073\)"
    ):
        load_dataset("cifar10", "train", data_dir=tmp_path)
    (folder / "test_batch.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"test_batch\.bin has 0 bytes, expected 18438"):
        SETS[0].read(tmp_path, "test")


def test_a_label_out_of_range_is_named(tmp_path: Path) -> None:
    path = write_binary(tmp_path, SETS[0]) / "test_batch.bin"
    data = bytearray(path.read_bytes())
    data[2 * 3073] = 10
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"test_batch\.bin: label 10 of image 2 is out of range \(0 to 9\)"):
        SETS[0].read(tmp_path, "test")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"data": np.zeros((RECORDS, 3071), np.uint8), b"labels": [0] * RECORDS}, r"'data' is \(6, 3071\), expected"),
        ({b"labels": [0] * RECORDS}, "'data' is NoneType"),
        ({b"data": np.zeros((RECORDS, 3072), np.uint8), b"labels": [0.5] * RECORDS}, "'labels' is not a list of 6"),
        ({b"data": np.zeros((RECORDS, 3072), np.uint8)}, "'labels' is not a list of 6"),
    ],
)
def test_a_python_batch_of_another_form_is_refused(tmp_path: Path, batch: dict[bytes, object], message: str) -> None:
    (write_python(tmp_path, SETS[0]) / "test_batch").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(DataError, match=message):
        SETS[0].read(tmp_path, "test")


def test_class_names_of_another_number_are_refused(tmp_path: Path) -> None:
    folder = write_binary(tmp_path, SETS[0])
    (folder / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"batches\.meta\.txt names 2 classes, expected 10"):
        SETS[0].read(tmp_path, "test")
    (folder / "batches.meta.txt").unlink()
    assert SETS[0].read(tmp_path, "test").classes == [str(number) for number in range(10)]


def test_unpack_takes_only_wanted_names_and_stays_inside(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("../../wanted", "other"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    unpack(archive, tmp_path / "to", ["wanted"])
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["wanted"]
    with pytest.raises(DataError, match=r"a\.tar\.gz does not hold missing"):
        unpack(archive, tmp_path / "to", ["missing"])
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(DataError, match=r"a\.tar\.gz cannot be unpacked"):
        unpack(archive, tmp_path / "to", ["wanted"])


@pytest.mark.data
def test_the_real_cifar10(real_data: Path) -> None:
    try:
        held = load_dataset("cifar10", "holdout", data_dir=real_data, holdout=5000)
        test = load_dataset("cifar10", "test", data_dir=real_data)
    except DataError as error:
        pytest.skip(str(error))
    assert held.labels.bincount().tolist() == [493, 488, 479, 519, 475, 529, 488, 485, 532, 512]
    assert held.note == ""
    assert test.labels.bincount().tolist() == [1000] * 10
    assert test.note in ("", "JPEG copy")
    assert test.classes[:3] == ["airplane", "automobile", "bird"]
