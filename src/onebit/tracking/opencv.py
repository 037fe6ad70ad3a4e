"""OpenCV, of the optional part `track`: imported on first use, with a sentence when it is missing."""

from __future__ import annotations

import os
from typing import Any

from onebit.errors import UsageError


def load_cv2() -> Any:
    """The module cv2.

    Raises:
        UsageError: if it is not installed.
    """
    # Silences FFmpeg, which else writes to stderr what is an error of ours in one sentence.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise UsageError(
            f'tracking needs OpenCV, which cannot be imported ({error}); install it with: pip install "onebit[track]"'
        ) from error
    return cv2
