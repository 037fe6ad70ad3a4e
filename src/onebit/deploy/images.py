"""Image files as the pixels that a packed network takes, prepared as its evaluation images were."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from onebit.data.augment import centre_crop
from onebit.data.dataset import DATASETS, list_datasets
from onebit.data.decode import central_square, to_rgb
from onebit.data.folder import IMAGE_SIZE
from onebit.deploy.program import Program
from onebit.deploy.shapes import packed_shape
from onebit.errors import DataError, UsageError


def read_pixels(path: str | os.PathLike[str], program: Program) -> np.ndarray:
    """An image file as uint8 (1, C, H, W): its short side resized as for evaluation, then the centre cut out.

    Grey networks get grey pixels, all others RGB. Animations and multi-page files give their first image.

    Raises:
        DataError: if the file cannot be read as an image. UsageError: for a network of other than 1 or 3 channels.
    """
    channels, height, width = packed_shape(program)
    if channels not in (1, 3):
        raise UsageError(f"the network takes {channels} channels; image files have 1 (grey) or 3 (RGB)")
    try:
        with Image.open(path) as image:
            planes = _central_part(to_rgb(image), height, width, short_side(program.metadata))
    except Exception as error:  # Pillow's decoders raise much more than OSError on damaged files
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
        raise DataError(f"{os.fspath(path)} cannot be read as an image: {reason}") from None
    if channels == 1:
        planes = np.asarray(Image.fromarray(planes.transpose(1, 2, 0)).convert("L"))[None]
    return planes[None]


def short_side(metadata: Mapping[str, Any]) -> int:
    """What a run's evaluation resizes the short side of its images to; 0 where that is what the network takes."""
    data = (metadata.get("run") or {}).get("data")
    known = data if isinstance(data, Mapping) else {}
    name, size = known.get("dataset"), known.get("image_size")
    if not isinstance(size, int) or size < 1:
        size = DATASETS[name].shape[1] if name in list_datasets() else 0
    return size or (IMAGE_SIZE if name in ("folder", "hub") else 0)


def _central_part(image: Image.Image, height: int, width: int, short: int) -> np.ndarray:
    """uint8 (3, height, width) from an RGB image; ``short`` 0: as much of the image as fits the shape."""
    if height == width:
        square = torch.from_numpy(central_square(image, short or height))
        return centre_crop(square[None], height)[0].contiguous().numpy()
    scale = max(height / image.height, width / image.width)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    part = image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))
    return np.ascontiguousarray(np.asarray(part, np.uint8).transpose(2, 0, 1))
