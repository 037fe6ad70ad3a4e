"""The hub's data sets, against a stand-in for the optional package: the calls it must answer are those used here."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from onebit.data import Augment, Batches, load_dataset
from onebit.errors import DataError, UsageError

# More workers than cores, and (from Python 3.12 on) forking beside torch's threads, as torch's loader does.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


class Image:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    def __init__(self, names: list[str]) -> None:
        self.names = names


class Value:
    pass


class Rows:
    def __init__(self, features: dict[str, Any], columns: dict[str, list[Any]]) -> None:
        self.features, self.columns = features, columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: int | str) -> Any:
        return (
            self.columns[key] if isinstance(key, str) else {name: values[key] for name, values in self.columns.items()}
        )

    def cast_column(self, name: str, feature: Image) -> Rows:
        assert not feature.decode
        return Rows({**self.features, name: feature}, self.columns)

    def select(self, chosen: list[int]) -> Rows:
        return Rows(self.features, {name: [values[i] for i in chosen] for name, values in self.columns.items()})


def png(value: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Pillow.fromarray(np.full((8, 8, 3), value, np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def rows(labels: list[Any], label: Any = None, name: str = "label") -> Rows:
    features = {"img": Image(), name: label or ClassLabel(["cat", "dog", "owl"])}
    return Rows(features, {"img": [png(10 * number % 256) for number in range(len(labels))], name: labels})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    stored: dict[str, Any] = {"calls": []}

    def load(name: str, configuration: str | None) -> Any:
        stored["calls"].append((name, configuration))
        if name not in stored:
            raise FileNotFoundError(f"no {name} there\nsecond line")
        return stored[name]

    package = types.SimpleNamespace(load_dataset=load, Image=Image)
    monkeypatch.setitem(sys.modules, "datasets", package)
    return stored


def test_rows_become_batches(hub: dict[str, Any]) -> None:
    hub["me/pets"] = {"train": rows([0, 1, 2, 1]), "test": rows([2, 0])}
    train = load_dataset("hub", "train", hub="me/pets:small", image_size=8)
    assert hub["calls"] == [("me/pets", "small")]
    assert (len(train), train.classes, train.labels.tolist()) == (4, ["cat", "dog", "owl"], [0, 1, 2, 1])
    for workers in (0, 1):
        batches = Batches(train, 2, seed=0, train=False, workers=workers)
        assert batches.raw([0, 3])[:, 0, 0, 0].tolist() == [0, 30]
        assert [tuple(images.shape) for images, _ in batches.epoch(0)] == [(2, 3, 8, 8)] * 2
    trained = Batches(train, 2, seed=0, train=True, augment=Augment(crop=4, random_resized=True))
    assert next(iter(trained.epoch(0)))[0].shape == (2, 3, 4, 4)
    assert load_dataset("hub", "test", hub="me/pets").labels.tolist() == [2, 0]


def test_holdout_and_limit(hub: dict[str, Any]) -> None:
    hub["pets"] = {"train": rows([0, 1, 2] * 10)}
    train = load_dataset("hub", "train", hub="pets", holdout=7)
    held = load_dataset("hub", "holdout", hub="pets", holdout=7)
    assert sorted(train.paths + held.paths) == sorted(f"pets[{row}]" for row in range(30))
    for part in (train, held):
        for index, path in enumerate(part.paths):
            row = int(path[5:-1])
            assert part.labels[index] == row % 3
            assert np.asarray(part.open(index))[0, 0, 0] == 10 * row % 256
    assert len(load_dataset("hub", "train", hub="pets", limit=5)) == 5


def test_a_test_split_without_labels_gives_way_to_validation(hub: dict[str, Any]) -> None:
    hub["pets"] = {"train": rows([0, 1]), "test": rows([-1, -1]), "validation": rows([1, 1, 0])}
    assert load_dataset("hub", "test", hub="pets").labels.tolist() == [1, 1, 0]
    del hub["pets"]["validation"]
    with pytest.raises(DataError, match=r"the hub data set 'pets': label -1 of image 0 is out of range \(0 to 2\)"):
        load_dataset("hub", "test", hub="pets")


def test_labels_that_are_words_or_numbers(hub: dict[str, Any]) -> None:
    hub["pets"] = {"train": rows(["owl", "cat", "owl"], Value(), "class"), "test": rows(["cat"], Value(), "class")}
    train = load_dataset("hub", "train", hub="pets")
    assert (train.classes, train.labels.tolist()) == (["cat", "owl"], [1, 0, 1])
    assert load_dataset("hub", "test", hub="pets").labels.tolist() == [0]
    hub["pets"]["test"] = rows(["bee"], Value(), "class")
    with pytest.raises(DataError, match="has the label 'bee', which its train split does not have"):
        load_dataset("hub", "test", hub="pets")


def test_a_row_without_a_label_is_named(hub: dict[str, Any]) -> None:
    hub["pets"] = {"train": rows([0, None, 1])}
    with pytest.raises(DataError, match=r"'pets' has no label in row 1 \(None in the column 'label'\)"):
        load_dataset("hub", "train", hub="pets")
    hub["pets"] = {"train": rows(["owl", None], Value()), "test": rows(["owl"], Value())}
    assert load_dataset("hub", "test", hub="pets").classes == ["owl"]
    with pytest.raises(DataError, match="has no label in row 1"):
        load_dataset("hub", "train", hub="pets")


def test_an_image_that_cannot_be_read_is_named(hub: dict[str, Any]) -> None:
    data = rows([0, 1])
    data.columns["img"][1] = {"bytes": b"junk", "path": None}
    hub["pets"] = {"train": data}
    with pytest.raises(DataError, match=r"pets\[1\] is not a readable image"):
        list(Batches(load_dataset("hub", "train", hub="pets"), 2, seed=0, train=False).epoch(0))


def test_errors_are_one_sentence(hub: dict[str, Any]) -> None:
    with pytest.raises(
        DataError, match=r"'me/none' cannot be loaded \(FileNotFoundError: no me/none there\); check"
    ) as info:
        load_dataset("hub", "train", hub="me/none")
    assert "\n" not in str(info.value)
    hub["a"] = {"test": rows([0])}
    with pytest.raises(DataError, match="'a' has no train split; it has test"):
        load_dataset("hub", "train", hub="a")
    hub["b"] = {"train": Rows({"text": Value()}, {"text": ["x"]})}
    with pytest.raises(DataError, match=r"no column of images with one of labels; its columns: text \(Value\)"):
        load_dataset("hub", "train", hub="b")
    hub["c"] = {"train": rows([0, 1])}
    with pytest.raises(UsageError, match="holdout is 2, but c has only 2 train images"):
        load_dataset("hub", "train", hub="c", holdout=2)
    hub["d"] = rows([0])
    with pytest.raises(DataError, match="came as Rows, expected a dictionary of splits"):
        load_dataset("hub", "train", hub="d")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"need the package 'datasets' .*pip install 'onebit\[hub\]'"):
        load_dataset("hub", "train", hub="me/pets")
