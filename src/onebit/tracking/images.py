"""Frames from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onebit.errors import DataError


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image file as RGB, (H, W, 3) uint8; grey, transparent and 16-bit files are converted.

    Raises:
        DataError: naming the file, when it is missing, truncated or no image.
    """
    from PIL import Image

    from onebit.data.decode import to_rgb

    try:
        with Image.open(path) as image:
            return np.asarray(to_rgb(image))
    # Pillow's decoders raise much more than OSError on damaged files.
    except Exception as error:
        raise DataError(f"{path} is not a readable image ({error}); replace it or leave its sequence out") from error
