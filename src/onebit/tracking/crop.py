"""Square crops around a target, filled with a colour outside the image: what exemplar and search images are cut from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onebit.tracking.images import Image
from onebit.tracking.opencv import load_cv2

#: sides in pixels of the exemplar and of the image that is searched, and of the latter in training
EXEMPLAR, INSTANCE, SEARCH = 127, 255, 239
#: the network's stride: pixels of the searched image from one response to the next
STRIDE = 8
#: largest side of a square that is cut pixel by pixel; of larger ones every second, third ... pixel is taken
LARGEST = 4096
RESIZES = ("linear", "cubic", "area", "nearest", "lanczos")


def context_side(size: NDArray[Any]) -> Any:
    """Side of the square that the exemplar shows: ``sqrt((w + c) (h + c))``, ``c = (w + h) / 2``; in the dtype of ``size``.

    >>> context_side(np.array([40.0, 40.0]))
    np.float64(80.0)
    """
    return np.sqrt(np.prod(size + 0.5 * np.sum(size)))


def search_side(size: NDArray[Any]) -> Any:
    """Side of the square that is searched, ``context_side * 255 / 127``."""
    return context_side(size) * (INSTANCE / EXEMPLAR)


def mean_colour(image: Image) -> Image:
    """The mean of each channel, rounded to the nearest whole number (half to even), (3,)."""
    # OpenCV's mean, a double, takes a tenth of NumPy's time.
    return np.rint(load_cv2().mean(np.ascontiguousarray(image))[:3]).astype(np.uint8)


def crop_square(image: Image, centre: Any, side: float, fill: Image) -> Image:
    """The square of ``side`` around ``centre`` (cx, cy), filled with ``fill`` outside the image.

    ``n = round(side)``, ``x0 = round(cx - (n - 1) / 2)``, y0 alike, half to even; columns x0 .. x0 + n - 1 and the rows alike.
    Only the part inside the image is copied, so that memory is n x n however far outside the centre lies.

    Returns:
        (n, n, 3), n at least 1

    >>> crop_square(np.zeros((4, 4, 3), np.uint8), (0, 0), 3, np.array([9, 9, 9], np.uint8))[:, :, 0]
    array([[9, 9, 9],
           [9, 0, 0],
           [9, 0, 0]], dtype=uint8)
    """
    n = max(1, round(float(side)))
    left, top = (round(float(c - (n - 1) / 2)) for c in centre)
    height, width = image.shape[:2]
    x = slice(min(max(left, 0), width), min(max(left + n, 0), width))
    y = slice(min(max(top, 0), height), min(max(top + n, 0), height))
    inside = image[y, x]
    if inside.shape[:2] == (n, n):
        return inside
    square = np.empty((n, n, 3), np.uint8)
    square[:] = fill
    square[y.start - top : y.stop - top, x.start - left : x.stop - left] = inside
    return square


def resize(image: NDArray[Any], size: tuple[int, int], mode: str = "linear") -> NDArray[Any]:
    """Resize to (width, height) with OpenCV; ``mode`` is one of RESIZES."""
    cv2 = load_cv2()
    modes = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_LANCZOS4)
    return cv2.resize(image, size, interpolation=modes[RESIZES.index(mode)])


def crop_and_resize(
    image: Image, centre: Any, side: float, out: int, fill: Image | None = None, mode: str = "linear"
) -> Image:
    """:func:`crop_square` brought to ``out`` x ``out`` pixels; ``fill`` is by default the image's mean colour.

    A square of more than :data:`LARGEST` pixels a side is cut from every k-th row and column, so that no square takes more than
    50 MB, whatever the image and the side.
    """
    if fill is None:
        fill = mean_colour(image)
    step = math.ceil(side / LARGEST)
    if step > 1:
        image, centre, side = image[::step, ::step], np.asarray(centre) / step, side / step
    square = crop_square(image, centre, side, fill)
    return resize(np.ascontiguousarray(square), (out, out), mode)
