"""Boxes: 0-based (x, y, w, h) in float64 everywhere inside; other forms are converted once, at the border.

Pixel centres have whole coordinates, and the top left pixel is (0, 0): the box (0, 0, 1, 1) is that pixel, its centre
(0, 0). Files of OTB, UAV123 and GOT-10k count from 1. Every function takes one box ``(4,)`` or many ``(n, 4)``, as arrays
or sequences, and leaves its argument as it was; a NaN stays one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onebit.errors import UsageError

Boxes = NDArray[np.float64]
_ORIGIN = np.array([1.0, 1.0, 0.0, 0.0])


def as_boxes(boxes: ArrayLike) -> Boxes:
    """The box or boxes as float64, a copy.

    Raises:
        UsageError: unless the last dimension is 4 and there are at most two.
    """
    try:
        array = np.array(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"boxes are (4,) or (n, 4) numbers x, y, w, h; got {boxes!r}") from error
    if array.ndim not in (1, 2) or array.shape[-1] != 4:
        raise UsageError(f"boxes are (4,) or (n, 4) numbers x, y, w, h; got shape {array.shape}")
    return array


def one_based_to_zero(boxes: ArrayLike) -> Boxes:
    """Boxes whose top left pixel is (1, 1), as files of benchmarks have them, as 0-based ones.

    >>> one_based_to_zero([1, 1, 20, 10])
    array([ 0.,  0., 20., 10.])
    """
    return as_boxes(boxes) - _ORIGIN


def zero_to_one_based(boxes: ArrayLike) -> Boxes:
    """0-based boxes as 1-based ones, the inverse of :func:`one_based_to_zero`.

    >>> zero_to_one_based([0, 0, 20, 10])
    array([ 1.,  1., 20., 10.])
    """
    return as_boxes(boxes) + _ORIGIN


def centres(boxes: ArrayLike) -> Boxes:
    """The middles of boxes: ``(x + (w - 1) / 2, y + (h - 1) / 2)``, shape ``(..., 2)``.

    >>> centres([0, 0, 3, 5])
    array([1., 2.])
    """
    array = as_boxes(boxes)
    return array[..., :2] + (array[..., 2:] - 1) / 2


def from_centre(centre: ArrayLike, size: ArrayLike) -> Boxes:
    """The box of a centre (cx, cy) and a size (w, h), the inverse of :func:`centres`; or many, ``(n, 2)`` each.

    >>> from_centre([1, 2], [3, 5])
    array([0., 0., 3., 5.])
    """
    middle, extent = np.asarray(centre, np.float64), np.asarray(size, np.float64)
    return np.concatenate([middle - (extent - 1) / 2, extent], axis=-1)


def parse_box(text: str) -> Boxes:
    """A box from text such as ``"10,20,30,40"`` (commas, tabs or spaces); 0-based x, y, w, h.

    Raises:
        UsageError: unless these are four finite numbers with positive width and height.

    >>> parse_box("10, 20, 30, 40")
    array([10., 20., 30., 40.])
    """
    words: Sequence[str] = text.replace(",", " ").split()
    try:
        box = np.array([float(word) for word in words])
    except ValueError:
        box = np.array([])
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
        raise UsageError(
            f"a box is four numbers x,y,w,h (0-based left and top, width and height above 0), got {text!r}"
        )
    return box
