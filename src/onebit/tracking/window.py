"""A window for choosing the first box and for watching, where there is a display and an OpenCV with windows."""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

from onebit.errors import UsageError
from onebit.tracking.boxes import Boxes
from onebit.tracking.images import Image
from onebit.tracking.opencv import load_cv2
from onebit.tracking.outputs import draw_box

_TITLE = "onebit track"
_NO_KEY, _ESCAPE = 255, 27
_ACCEPT, _CANCEL = (10, 13, ord(" ")), (_ESCAPE, ord("c"))


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


def select_box(image: Image, stay: bool) -> Boxes | None:
    """The box that the user draws with the mouse on an image, 0-based x, y, w, h; the window stays, or is closed after it.

    Enter or space takes the box; c, Esc or closing the window takes none.

    Raises:
        UsageError: if no window can be opened.
    """
    check_window("give the first box with --init x,y,w,h")
    cv2 = load_cv2()
    limits = image.shape[1] - 1, image.shape[0] - 1
    held: NDArray[np.int64] | None = None  # where the button went down, while it is
    box: Boxes | None = None

    def on_mouse(event: int, x: int, y: int, *_: object) -> None:
        nonlocal held, box
        point = np.clip([x, y], 0, limits)
        if event == cv2.EVENT_LBUTTONDOWN:
            held = point
        if held is not None:
            box = np.concatenate([np.minimum(held, point), np.abs(point - held) + 1]).astype(np.float64)
        if event == cv2.EVENT_LBUTTONUP:
            held = None

    cv2.setMouseCallback(_TITLE, on_mouse)
    key = _NO_KEY
    while key not in _CANCEL and not (key in _ACCEPT and box is not None and (box[2:] > 1).all()):
        _draw(draw_box(image, box, "drag a box; Enter takes it, c cancels"))
        key = _next_key(20)
    if not stay:
        cv2.destroyAllWindows()
        cv2.waitKey(1)
    return None if key in _CANCEL else box


def show(image: Image) -> str:
    """Show a frame; returns the key that was pressed: "q" (closing the window counts as it), "r" (a new box), or "".

    The space bar waits for the next key.
    """
    _draw(image)
    key = _next_key(1)
    if key == ord(" "):
        while (key := _next_key(50)) == _NO_KEY:
            pass
    return {ord("q"): "q", _ESCAPE: "q", ord("r"): "r"}.get(key, "")


def _draw(image: Image) -> None:
    load_cv2().imshow(_TITLE, np.ascontiguousarray(image[:, :, ::-1]))


def _next_key(milliseconds: int) -> int:
    """The key that is pressed within that time; a window that was closed counts as Esc."""
    cv2 = load_cv2()
    key = cv2.waitKey(milliseconds) & 0xFF
    try:
        closed = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) == 0  # -1 where OpenCV cannot tell (GTK)
    except cv2.error:  # macOS, where the window is gone
        closed = True
    return _ESCAPE if closed else key
