"""How well two boxes agree: overlap and distance of centres, in float64, as the toolkits compute them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onebit.tracking.boxes import Boxes, as_boxes, centres

# Keeps two empty boxes at an overlap of 0; of this size it moves no other score.
_EPSILON = float(np.finfo(np.float64).eps)


def overlaps(boxes: ArrayLike, truth: ArrayLike, bound: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """Intersection over union, row by row: (n, 4) and (n, 4) give (n,) in [0, 1].

    With (x, y, w, h) and no pixel added anywhere, inter = max(0, min(x1 + w1, x2 + w2) - max(x1, x2)) times the same in y, and
    the overlap is inter / (w1 h1 + w2 h2 - inter + 2.2e-16).

    Args:
        bound: (width, height) of the image, which GOT-10k clips both boxes to first; see :func:`clipped`.

    Raises ValueError for different numbers of boxes. Source: got10k 0.1.3, ``utils.metrics.rect_iou``.

    >>> overlaps([[0, 0, 10, 10], [-5, 0, 10, 10]], [[5, 0, 10, 10], [0, 0, 10, 10]]).round(4)
    array([0.3333, 0.3333])
    >>> overlaps([[-5, 0, 10, 10]], [[0, 0, 10, 10]], bound=(100, 100))
    array([1.])
    """
    first, second = _pair(boxes, truth)
    if bound is not None:
        first, second = clipped(first, bound), clipped(second, bound)
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    inter = np.prod(np.maximum(high - low, 0.0), axis=1)
    union = np.prod(first[:, 2:], axis=1) + np.prod(second[:, 2:], axis=1) - inter
    return np.clip(inter / (union + _EPSILON), 0.0, 1.0)


def clipped(boxes: ArrayLike, bound: tuple[float, float]) -> Boxes:
    """Boxes clipped to an image as GOT-10k's toolkit does it: x and y to the image, then w and h to what is left.

    A negative x is moved to 0 and the width stays as it was, so that (-5, 0, 10, 10) becomes (0, 0, 10, 10) and not
    (0, 0, 5, 10). Scores are only comparable if that is kept.
    """
    array, corner = as_boxes(boxes), np.asarray(bound, np.float64)
    array[:, :2] = np.clip(array[:, :2], 0.0, corner)
    array[:, 2:] = np.clip(array[:, 2:], 0.0, corner - array[:, :2])
    return array


def centre_errors(boxes: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Distance of the centres (x + (w - 1) / 2, y + (h - 1) / 2) in pixels, row by row.

    Raises ValueError for different numbers of boxes.

    >>> centre_errors([[0, 0, 3, 3]], [[3, 4, 3, 3]])
    array([5.])
    """
    first, second = _pair(boxes, truth)
    return np.sqrt(np.sum((centres(first) - centres(second)) ** 2, axis=1))


def _pair(boxes: ArrayLike, truth: ArrayLike) -> tuple[Boxes, Boxes]:
    first, second = as_boxes(boxes), as_boxes(truth)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"{first.shape} boxes and {second.shape} of ground truth; both have to be (n, 4)")
    return first, second
