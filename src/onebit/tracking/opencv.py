"""OpenCV, of the optional part `track`: imported on first use, with a sentence when it is missing."""

from __future__ import annotations

from typing import Any

from onebit.errors import UsageError


def load_cv2() -> Any:
    """The module cv2.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UsageError(
            f'tracking needs OpenCV, which cannot be imported ({error}); install it with: pip install "onebit[track]"'
        ) from error
    return cv2
