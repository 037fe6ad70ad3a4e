from pathlib import Path

import numpy as np
import pytest
import torch

import onebit.data.digits as digits
from onebit.data import load_dataset
from onebit.errors import DataError


def test_the_1797_images_are_split_into_1437_and_360_in_order() -> None:
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    assert (len(train), len(test)) == (1437, 360)
    everything = torch.cat([train.labels, test.labels])
    assert everything.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert everything[:10].tolist() == list(range(10))
    assert train.classes == [str(digit) for digit in range(10)]


def test_values_are_the_sixteenths_of_the_source_scaled_to_bytes() -> None:
    images = load_dataset("digits", "train").images
    assert sorted(images.unique().tolist()) == [(255 * value + 8) // 16 for value in range(17)]
    # The first row of the first digit in the published file: 0 0 5 13 9 1 0 0.
    assert images[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_mean_and_std_are_those_of_the_train_part() -> None:
    train = load_dataset("digits", "train")
    pixels = train.images.double() / 255
    assert train.mean == (pytest.approx(pixels.mean().item(), abs=1e-4),)
    assert train.std == (pytest.approx(pixels.std().item(), abs=1e-4),)


def test_the_licence_travels_with_the_data() -> None:
    text = (Path(digits.__file__).parent / "LICENSE.txt").read_text()
    assert "CC BY 4.0" in text
    assert "Alpaydin" in text
    assert "Kaynak" in text


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_damaged_file_says_reinstall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None) -> None:
    if content is None:
        np.savez(tmp_path / "digits.npz", images=np.zeros((3, 8, 8), np.uint8), labels=np.zeros(3, np.uint8))
    else:
        (tmp_path / "digits.npz").write_bytes(content)
    monkeypatch.setattr(digits.resources, "files", lambda package: tmp_path)
    with pytest.raises(DataError, match=r"digits\.npz .* damaged .* reinstall onebit"):
        digits.read(tmp_path, "train")
