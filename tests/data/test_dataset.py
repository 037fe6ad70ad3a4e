from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onebit.data import DATASETS, Dataset, list_datasets, load_dataset
from onebit.data.dataset import data_folder, resize
from onebit.errors import DataError, UsageError


def test_the_names() -> None:
    assert list_datasets() == ["cifar10", "cifar100", "digits", "folder", "hub", "mnist"]
    assert all(DATASETS[name].title and DATASETS[name].source for name in list_datasets())


@given(st.integers(1, 1436), st.integers(1, 1500))
def test_holdout_and_train_are_the_two_ends_of_the_train_part(holdout: int, limit: int) -> None:
    whole = load_dataset("digits", "train")
    train, held = (load_dataset("digits", split, holdout=holdout) for split in ("train", "holdout"))
    assert torch.equal(torch.cat([train.images, held.images]), whole.images)
    assert torch.equal(torch.cat([train.labels, held.labels]), whole.labels)
    first = load_dataset("digits", "holdout", holdout=holdout, limit=limit)
    assert torch.equal(first.images, held.images[:limit])


@pytest.mark.parametrize(
    ("name", "split", "options", "message"),
    [
        ("cifar11", "train", {}, "unknown data set 'cifar11'; did you mean 'cifar10'"),
        ("digits", "tran", {}, "unknown split 'tran'; did you mean 'train'"),
        ("digits", "holdout", {}, "holdout is 0"),
        ("digits", "train", {"holdout": -1}, "holdout is -1"),
        ("digits", "train", {"holdout": 1437}, "holdout is 1437, but digits has only 1437 train images"),
        ("digits", "train", {"limit": 0}, "limit is 0"),
        ("digits", "train", {"image_size": 0}, "image_size is 0"),
        ("digits", "train", {"hub": "a/b"}, "goes with the data set 'hub', not with 'digits'"),
        ("hub", "train", {}, "needs the name of one there"),
    ],
)
def test_wrong_requests(name: str, split: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_dataset(name, split, **options)


def test_where_the_files_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ONEBIT_DATA", raising=False)
    assert data_folder(None) == Path("data")
    monkeypatch.setenv("ONEBIT_DATA", str(tmp_path))
    assert data_folder(None) == tmp_path
    assert data_folder("elsewhere") == Path("elsewhere")
    assert data_folder("~/x") == Path.home() / "x"


def test_image_size_resizes_small_sets_once() -> None:
    data = load_dataset("digits", "test", image_size=16)
    assert data.shape == (1, 16, 16)
    assert data.images.dtype == torch.uint8
    flat = torch.full((2, 3, 5, 5), 77, dtype=torch.uint8)
    assert torch.equal(resize(flat, 9), torch.full((2, 3, 9, 9), 77, dtype=torch.uint8))
    assert resize(flat, 5) is flat


def test_parts_that_do_not_fit_are_refused() -> None:
    images, labels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(DataError, match=r"images are torch.float32"):
        Dataset("x", "train", images.float(), labels, ["a"], (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(DataError, match="2 images but 1 labels"):
        Dataset("x", "train", images, labels[:1], ["a"], (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(DataError, match="3 channels, but mean and std have 1 and 1"):
        Dataset("x", "train", images, labels, ["a"], (0.5,), (0.5,))
    with pytest.raises(DataError, match=r"label 5 of image 0 is out of range \(0 to 0\)"):
        Dataset("x", "train", images, labels + 5, ["a"], (0.5,) * 3, (0.5,) * 3)
