"""A window for choosing the first box and for watching, where there is a display and an OpenCV with windows."""

from __future__ import annotations

import os
import sys

import numpy as np

from onebit.errors import UsageError
from onebit.tracking.boxes import Boxes
from onebit.tracking.images import Image
from onebit.tracking.opencv import load_cv2

_TITLE = "onebit track"


def check_window(wanted: str) -> None:
    """Refuse where no window can be opened; ``wanted`` says what to do without one.

    Raises:
        UsageError: if there is no display, or OpenCV was built without windows.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError(f"there is no display to open a window on; {wanted}")
    cv2 = load_cv2()
    try:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error as error:
        raise UsageError(
            f"this OpenCV opens no windows (opencv-python-headless); {wanted}, or put opencv-python in its place: "
            "pip uninstall opencv-python-headless && pip install opencv-python"
        ) from error


def select_box(image: Image) -> Boxes:
    """The box that the user draws with the mouse on an image; 0-based x, y, w, h.

    Raises:
        UsageError: if there is no window, or none was drawn.
    """
    check_window("give the first box with --init x,y,w,h")
    cv2 = load_cv2()
    x, y, w, h = cv2.selectROI(_TITLE, np.ascontiguousarray(image[:, :, ::-1]), showCrosshair=False)
    if w < 1 or h < 1:
        raise UsageError("no box was drawn; drag one with the mouse and press Enter, or give --init x,y,w,h")
    return np.array([x, y, w, h], np.float64)


def show(image: Image) -> str:
    """Show a frame; returns the key that was pressed: "q", "r" (a new box), or ""; the space bar waits for the next key."""
    cv2 = load_cv2()
    cv2.imshow(_TITLE, np.ascontiguousarray(image[:, :, ::-1]))
    key = cv2.waitKey(1) & 0xFF
    if key == ord(" "):
        key = cv2.waitKey(0) & 0xFF
    return {ord("q"): "q", 27: "q", ord("r"): "r"}.get(key, "")
