"""`digits`: 1,797 real handwritten digits of 8x8 pixels, shipped inside the package.

Source: Alpaydin & Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, CC BY 4.0, the
test part (written by 13 people). Licence and changes: ``LICENSE.txt`` beside this file.
Pixel values 0..16 become 0..255 by ``(255 v + 8) // 16``. The last 360 images are the test set, the 1,437 before
them the train set; this split is ours, since the shipped part has none of its own.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from importlib import resources
from pathlib import Path

import numpy as np

from onebit.data.dataset import DATASETS, DatasetInfo, Part
from onebit.errors import DataError

TEST_IMAGES = 360
_SHAPE = (1797, 8, 8)


def read(data_dir: Path, part: str) -> Part:
    """The train (1,437) or test (360) images; ``data_dir`` is not used."""
    name = "digits.npz"
    try:
        with np.load(
            io.BytesIO(resources.files("onebit.data.digits").joinpath(name).read_bytes()), allow_pickle=False
        ) as stored:
            images, labels = stored["images"].astype(np.int64), stored["labels"].astype(np.int64)
        if images.shape != _SHAPE or labels.shape != _SHAPE[:1]:
            raise ValueError(f"shapes {images.shape} and {labels.shape}")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{name} inside the onebit package is damaged ({error}); reinstall onebit") from error
    scaled = ((255 * images + 8) // 16).astype(np.uint8)[:, None]
    chosen = slice(-TEST_IMAGES, None) if part == "test" else slice(None, -TEST_IMAGES)
    return Part(scaled[chosen], labels[chosen], [str(digit) for digit in range(10)])


DATASETS.add(
    "digits",
    DatasetInfo(
        name="digits",
        title="Optical Recognition of Handwritten Digits (UCI), 8x8, shipped with onebit",
        classes=10,
        shape=(1, 8, 8),
        train=_SHAPE[0] - TEST_IMAGES,
        test=TEST_IMAGES,
        mean=(0.3054,),
        std=(0.3753,),
        source="inside the package",
        read=read,
    ),
)
