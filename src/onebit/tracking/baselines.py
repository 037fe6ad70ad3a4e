"""Trackers to compare with: the first box kept, and OpenCV's MIL tracker. Both follow the interface of every tracker here.

A tracker has ``init(image, box)`` and ``update(image) -> (box, score)``, with images as RGB uint8 arrays (H, W, 3) and boxes
0-based (x, y, w, h).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from onebit.errors import UsageError
from onebit.tracking.boxes import Boxes, as_boxes
from onebit.tracking.images import Image
from onebit.tracking.opencv import load_cv2


class Tracker(Protocol):
    """What evaluation runs: anything with these two methods."""

    def init(self, image: Image, box: ArrayLike) -> Any:
        """Start on a target in the first frame."""
        ...

    def update(self, image: Image) -> tuple[Boxes, float]:
        """The target's box in the next frame, and how sure the tracker is."""
        ...


class FirstBox:
    """Says that the target never moves: what a benchmark gives for nothing.

    >>> tracker = FirstBox()
    >>> tracker.init(np.zeros((9, 9, 3), np.uint8), [1, 2, 3, 4])
    >>> tracker.update(np.zeros((9, 9, 3), np.uint8))
    (array([1., 2., 3., 4.]), 1.0)
    """

    def init(self, image: Image, box: ArrayLike) -> None:
        self._box = as_boxes(box)

    def update(self, image: Image) -> tuple[Boxes, float]:
        return self._box.copy(), 1.0


class OpenCVMil:
    """OpenCV's ``TrackerMIL``, online boosting of image patches; whole pixels, no scale.

    B. Babenko, M.-H. Yang, S. Belongie, "Visual tracking with online multiple instance learning", CVPR 2009. It draws
    random numbers from ``seed``, and from a generator inside OpenCV that goes on from one ``init`` to the next: a result also
    depends on what the process tracked before. Score several seeds.

    Raises:
        UsageError: when OpenCV is not installed, or has no such tracker.
    """

    def __init__(self, seed: int = 0) -> None:
        self._cv2, self._seed = load_cv2(), seed
        if not hasattr(self._cv2, "TrackerMIL"):
            version = self._cv2.__version__
            raise UsageError(f"OpenCV {version} has no TrackerMIL; install opencv-python-headless 4.10 or newer")

    def init(self, image: Image, box: ArrayLike) -> None:
        self._cv2.setRNGSeed(self._seed)
        self._tracker = self._cv2.TrackerMIL.create()
        x, y, w, h = (round(float(value)) for value in as_boxes(box))
        self._tracker.init(_bgr(image), (x, y, max(w, 1), max(h, 1)))
        self._last = as_boxes(box)

    def update(self, image: Image) -> tuple[Boxes, float]:
        found, box = self._tracker.update(_bgr(image))
        if found:
            self._last = as_boxes(box)
        return self._last.copy(), float(found)


BASELINES: dict[str, Callable[[], Tracker]] = {"first-box": FirstBox, "opencv-mil": OpenCVMil}


def _bgr(image: Image) -> Image:
    return np.ascontiguousarray(image[..., ::-1])
