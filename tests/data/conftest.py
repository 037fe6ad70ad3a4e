"""Small files in the layouts of the data sets, made by the tests themselves."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from onebit.data import Dataset


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("ONEBIT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ONEBIT_DATA does not name a folder with the real data files")
    return Path(folder)


@pytest.fixture
def small_set() -> Callable[..., Dataset]:
    def make(count: int = 20, channels: int = 3, size: int = 8, classes: int = 4, seed: int = 0) -> Dataset:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(1, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, classes, (count,), generator=generator)
        names = [f"class{number}" for number in range(classes)]
        return Dataset("made", "train", images, labels, names, (0.5,) * channels, (0.25,) * channels)

    return make


@pytest.fixture
def write_idx() -> Callable[[Path, np.ndarray], Path]:
    def write(path: Path, array: np.ndarray) -> Path:
        data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return path

    return write


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """train/ with 2 classes x 6 and val/ with 2 classes x 3 images of different sizes, modes and formats."""
    generator = np.random.default_rng(0)
    for top, count in (("train", 6), ("val", 3)):
        for name in ("cat", "dog"):
            (tmp_path / top / name).mkdir(parents=True)
            for number in range(count):
                height, width = generator.integers(20, 60, 2)
                pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
                suffix = (".jpg", ".png", ".JPEG")[number % 3]
                image = Image.fromarray(pixels)
                (image.convert("L") if number == 2 else image).save(tmp_path / top / name / f"{number}{suffix}")
    return tmp_path
