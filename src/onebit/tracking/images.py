"""Images as the tracker takes them: RGB, uint8, (H, W, 3), whatever the file or camera gave."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from onebit.errors import DataError, UsageError

Image = NDArray[np.uint8]


def as_rgb(image: NDArray) -> Image:
    """An image as RGB, uint8, (H, W, 3); grey is repeated, alpha left out, 16 bit and floats brought to 0..255.

    uint16: the high byte (65535 becomes 255). Floats: values 0..1, rounded. An RGB image of uint8 comes back as it is.

    Raises:
        UsageError: for other types, another number of dimensions or channels, no pixels, floats beyond 0..1.

    >>> as_rgb(np.full((2, 3), 65535, np.uint16)).shape
    (2, 3, 3)
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or image.size == 0:
        raise UsageError(f"an image is (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, got shape {image.shape}")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif image.dtype in (np.float32, np.float64):
        if not (image.min() >= 0 and image.max() <= 1):
            raise UsageError(f"an image of floats has values 0 to 1, got {image.min()} to {image.max()}; scale it")
        image = np.rint(image * 255).astype(np.uint8)
    elif image.dtype == np.bool_:
        image = image.astype(np.uint8) * np.uint8(255)
    elif image.dtype != np.uint8:
        raise UsageError(f"an image is of uint8, uint16, float32 or float64, got {image.dtype}")
    if image.ndim == 2:
        image = image[:, :, None]
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[:, :, :3]


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) of an image file, from its head.

    Raises:
        DataError: naming the file, when it is missing or no image.
    """
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            return image.size
    except OSError as error:
        raise _unreadable(path, error) from error


def read_image(path: str | os.PathLike[str]) -> Image:
    """An image file as RGB, (H, W, 3) uint8; grey, transparent and 16-bit files are converted.

    Raises:
        DataError: naming the file, when it is missing, truncated or no image.
    """
    import PIL.Image

    try:
        with PIL.Image.open(path) as image:
            if image.mode == "RGB":
                return np.asarray(image)
            from onebit.data.decode import to_rgb  # brings torch with it, which a process for a baseline does without

            return np.asarray(to_rgb(image))
    # Pillow's decoders raise much more than OSError on damaged files.
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike[str], error: Exception) -> DataError:
    return DataError(f"{path} is not a readable image ({error}); replace it or leave its sequence out")
