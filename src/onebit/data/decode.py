"""From an image file to a uint8 array, with pillow. Runs in the worker processes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onebit.data.augment import Augment

_LOG_RATIO = math.log(4 / 3)
_TRIES = 10


def to_rgb(image: Image.Image) -> Image.Image:
    """Any pillow image as RGB: grey and CMYK converted, 16 bits scaled to 8, transparency dropped."""
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image, dtype=np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def central_square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Short side resized to ``size`` (bilinear, antialiased), then the middle square: ``(3, size, size)``.

    An image that is ``size`` x ``size`` already is not touched.
    """
    rgb = to_rgb(image)
    width, height = rgb.size
    if (width, height) != (size, size):
        side = min(width, height)
        new = max(size, round(width * size / side)), max(size, round(height * size / side))
        rgb = rgb.resize(new, Image.Resampling.BILINEAR)
        left, top = (new[0] - size) // 2, (new[1] - size) // 2
        rgb = rgb.crop((left, top, left + size, top + size))
    return _planes(rgb)


def random_part(image: Image.Image, size: int, augment: Augment, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A random part of ``augment.scale`` of the area and aspect ratio 3/4 to 4/3, resized: ``(3, size, size)``.

    Ten tries to place one; then the largest central part whose aspect ratio is allowed.
    """
    left, top, right, bottom = part_box(image.size, augment.scale, generator)
    original = image.size
    # A JPEG can be decoded at 1/2, 1/4 or 1/8: taken when the part still has at least the pixels it is resized to.
    shrink = min(right - left, bottom - top) / size
    if shrink >= 2:
        image.draft("RGB", (math.ceil(original[0] / shrink), math.ceil(original[1] / shrink)))
    x, y = image.size[0] / original[0], image.size[1] / original[1]
    rgb = to_rgb(image)
    box = (left * x, top * y, min(right * x, rgb.size[0]), min(bottom * y, rgb.size[1]))
    return _planes(rgb.resize((size, size), Image.Resampling.BILINEAR, box=box))


def part_box(
    size: tuple[int, int], scale: tuple[float, float], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a random part of an image of ``size`` (width, height)."""
    width, height = size
    for _ in range(_TRIES):
        share, ratio, u, v = generator.random(4)
        area = width * height * (scale[0] + (scale[1] - scale[0]) * share)
        aspect = math.exp(_LOG_RATIO * (2 * ratio - 1))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = min(int(u * (width - w + 1)), width - w), min(int(v * (height - h + 1)), height - h)
            return left, top, left + w, top + h
    w = min(width, max(1, round(height * 4 / 3)))
    h = min(height, max(1, round(width * 4 / 3)))
    return (width - w) // 2, (height - h) // 2, (width - w) // 2 + w, (height - h) // 2 + h


def _planes(rgb: Image.Image) -> NDArray[np.uint8]:
    pixels: Any = np.asarray(rgb, dtype=np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
