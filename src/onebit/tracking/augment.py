"""Variation of training crops: a little stretch, a little shift, to the sizes that the network is trained on."""

from __future__ import annotations

import numpy as np

from onebit.tracking.crop import EXEMPLAR, INSTANCE, RESIZES, SEARCH, STRIDE, mean_colour, resize
from onebit.tracking.images import Image


def stretch(image: Image, rng: np.random.Generator, most: float = 0.05) -> Image:
    """Resize by a factor 1 + U(-most, most), by a way of resizing that is drawn, too."""
    factor = 1 + rng.uniform(-most, most)
    width, height = (round(side * factor) for side in (image.shape[1], image.shape[0]))
    return resize(image, (width, height), draw_resize(rng))


def draw_resize(rng: np.random.Generator) -> str:
    """One of the ways to resize, all equally likely."""
    return RESIZES[int(rng.integers(len(RESIZES)))]


def centre_crop(image: Image, size: int) -> Image:
    """The middle ``size`` x ``size``, filled with the image's mean colour where it is too small.

    >>> centre_crop(np.arange(75, dtype=np.uint8).reshape(5, 5, 3), 3)[0, 0]
    array([18, 19, 20], dtype=uint8)
    """
    height, width = image.shape[:2]
    top, left = round((height - size) / 2), round((width - size) / 2)
    pad = max(0, -top, -left)
    if pad:
        padded = np.empty((height + 2 * pad, width + 2 * pad, 3), np.uint8)
        padded[:] = mean_colour(image)
        padded[pad : pad + height, pad : pad + width] = image
        image, top, left = padded, top + pad, left + pad
    return image[top : top + size, left : left + size]


def random_crop(image: Image, size: int, rng: np.random.Generator) -> Image:
    """A ``size`` x ``size`` part of an image at least so large, every place equally likely."""
    top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
    return image[top : top + size, left : left + size]


def vary_exemplar(crop: Image, rng: np.random.Generator, most: float = 0.05) -> Image:
    """255 x 255 -> stretch -> middle 247 -> random 239 -> middle 127: shifted by up to 4 pixels."""
    return centre_crop(vary_search(crop, rng, most), EXEMPLAR)


def vary_search(crop: Image, rng: np.random.Generator, most: float = 0.05) -> Image:
    """255 x 255 -> stretch -> middle 247 -> random 239: shifted by up to 4 pixels; the label does not follow."""
    return random_crop(centre_crop(stretch(crop, rng, most), INSTANCE - STRIDE), SEARCH, rng)
