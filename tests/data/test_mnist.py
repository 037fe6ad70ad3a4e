from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onebit.data import load_dataset
from onebit.data.mnist import read_idx
from onebit.errors import DataError

Write = Callable[[Path, np.ndarray], Path]
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)
LABELS = np.arange(7, dtype=np.uint8)


@pytest.mark.parametrize("folder", ["MNIST/raw", "mnist", "."])
@pytest.mark.parametrize("spelling", ["{}-idx{}-ubyte.gz", "{}-idx{}-ubyte", "{}.idx{}-ubyte"])
def test_every_usual_layout_is_read(tmp_path: Path, write_idx: Write, folder: str, spelling: str) -> None:
    write_idx(tmp_path / folder / spelling.format("train-images", 3), IMAGES)
    write_idx(tmp_path / folder / spelling.format("train-labels", 1), LABELS)
    data = load_dataset("mnist", "train", data_dir=tmp_path)
    assert data.shape == (1, 28, 28)
    assert np.array_equal(data.images[:, 0].numpy(), IMAGES)
    assert data.labels.tolist() == LABELS.tolist()


def test_a_missing_file_says_where_it_belongs_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MNIST/raw/t10k-images-idx3-ubyte\.gz is missing.*--download.*https://"):
        load_dataset("mnist", "test", data_dir=tmp_path)


def test_a_truncated_gzip_names_the_file(tmp_path: Path, write_idx: Write) -> None:
    path = write_idx(tmp_path / "a.gz", IMAGES)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"a\.gz cannot be read"):
        read_idx(path)


def test_truncated_data_gives_both_numbers(tmp_path: Path, write_idx: Write) -> None:
    path = write_idx(tmp_path / "a", IMAGES)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="holds 5487 bytes of data, but its header announces 7 x 28 x 28 = 5488"):
        read_idx(path)


@pytest.mark.parametrize("content", [b"", b"\x00\x00", b"PK\x03\x04....", b"\x00\x00\x08\x03\x00\x00"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match="is not an idx file"):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:, :20], LABELS, r"\(7, 20, 28\); MNIST images are \(N, 28, 28\)"),
        (IMAGES, LABELS[:-1], r"holds \(6,\) labels for the 7 images"),
        (IMAGES, LABELS + 5, r"label 10 of image 5 is out of range \(0 to 9\)"),
    ],
)
def test_what_cannot_be_mnist_is_refused_with_numbers(
    tmp_path: Path, write_idx: Write, images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", labels)
    with pytest.raises(DataError, match=message):
        load_dataset("mnist", "train", data_dir=tmp_path)


@pytest.mark.data
def test_the_real_mnist(real_data: Path) -> None:
    try:
        test = load_dataset("mnist", "test", data_dir=real_data)
    except DataError as error:
        pytest.skip(str(error))
    assert len(test) == 10_000
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
