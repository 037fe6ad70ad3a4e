"""Frames one by one: from a video, a folder of images, a camera or a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onebit.errors import DataError, UsageError
from onebit.tracking.images import Image, read_image
from onebit.tracking.opencv import load_cv2
from onebit.tracking.sequences import list_frames

#: what a folder or a source that does not say has as frames per second
DEFAULT_FPS = 25.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One image, RGB uint8 (H, W, 3), with its number (0-based, counted in the source), its time in seconds, its name."""

    image: Image
    number: int
    seconds: float
    name: str


class Source:
    """A video file, a folder of images, a camera (its number) or a stream (its address), to be iterated once.

    Args:
        start: the first frame that is given, 0-based; stride: of each so many frames the first; most: so many frames, 0: all.

    Attributes:
        kind: "video", "folder" or "camera"; files: what it reads, none for a camera or a stream;
            fps: as the source states it, over ``stride``; total: frames it will give, or None;
            cut_off: once iterated, a sentence if a video ended before the frames that it states.

    Raises:
        UsageError: for numbers that cannot be; DataError: for a source that does not exist, holds no image or cannot be decoded.
    """

    def __init__(self, source: str | Path, start: int = 0, stride: int = 1, most: int = 0) -> None:
        if start < 0 or stride < 1 or most < 0:
            raise UsageError(
                f"start is at least 0, stride at least 1, max_frames at least 0 (all); got {start}, {stride}, {most}"
            )
        # The address of a file is that file.
        self.name, self.start, self.stride, self.most = str(source).removeprefix("file://"), start, stride, most
        self.cut_off = ""
        self._capture: Any = None
        path = Path(self.name)
        if path.is_dir():
            self.kind, self.files = "folder", list_frames(frames_folder(path))
            count, fps = len(self.files), DEFAULT_FPS
        else:
            self.kind, count, fps = self._open(path)
            self.files = (path,) if self.kind == "video" else ()
        if count is not None and start >= count:
            raise UsageError(f"{source} has {count} frames, the last is number {count - 1}; --start is {start}")
        self.fps = fps / stride
        self.total = None if count is None else min(-(-(count - start) // stride), most or count)
        if count is None and most:
            self.total = most

    def _open(self, path: Path) -> tuple[str, int | None, float]:
        """Open a video, camera or stream; returns its kind, its frames as far as it says, and its frames per second."""
        cv2 = load_cv2()
        camera, stream = self.name.isdecimal(), "://" in self.name
        if not camera and not stream and not path.is_file():
            raise DataError(f"there is no video or folder {self.name}; a camera is a number such as 0")
        logging = cv2.utils.logging
        before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # what failed is said below, once
        try:
            self._capture = cv2.VideoCapture(int(self.name) if camera else self.name)
        finally:
            logging.setLogLevel(before)
        if not self._capture.isOpened():
            if camera:
                raise DataError(f"camera {self.name} cannot be opened; is it connected and free?")
            if stream:
                raise DataError(f"no video comes from the stream {self.name}; check its address and the network")
            raise DataError(
                f"{self.name} cannot be decoded as a video; convert it, or extract its frames into a folder: "
                f"ffmpeg -i {self.name} frames/%06d.jpg"
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        live = camera or stream
        return (
            "camera" if live else "video",
            count if count > 0 and not live else None,
            fps if 0 < fps < 1000 else DEFAULT_FPS,
        )

    def __iter__(self) -> Iterator[Frame]:
        given = 0
        for frame in self._folder() if self.kind == "folder" else self._video():
            yield frame
            given += 1
            if given == self.most:
                return
        if not given:
            raise DataError(f"no frame of {self.name} could be decoded from number {self.start} on; is it a video?")
        if self.kind == "video" and self.total is not None and given < self.total:
            self.cut_off = f"{self.name} ended after {given} of {self.total} frames; it may be damaged or cut off"

    def _folder(self) -> Iterator[Frame]:
        for number in range(self.start, len(self.files), self.stride):
            path = self.files[number]
            yield Frame(read_image(path), number, number / DEFAULT_FPS, path.name)

    def _video(self) -> Iterator[Frame]:
        number, began = 0, time.monotonic()
        while self._capture.grab():
            wanted = number >= self.start and (number - self.start) % self.stride == 0
            if wanted:
                decoded, image = self._capture.retrieve()
                if not decoded:
                    return
                live = self.kind == "camera"
                seconds = time.monotonic() - began if live else number / (self.fps * self.stride)
                yield Frame(np.ascontiguousarray(image[:, :, ::-1]), number, seconds, f"frame {number}")
            number += 1

    def close(self) -> None:
        """Let go of the video or camera."""
        if self._capture is not None:
            self._capture.release()


def frames_folder(path: Path) -> Path:
    """The folder itself, or its folder ``img`` where that holds the images (OTB)."""
    return path / "img" if (path / "img").is_dir() else path
