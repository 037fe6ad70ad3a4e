"""What a tracked video leaves: boxes as text, CSV or JSON, and the video with the boxes drawn in."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onebit.errors import OnebitError, UsageError
from onebit.files import put_in_place, write_text
from onebit.tracking.boxes import Boxes, zero_to_one_based
from onebit.tracking.images import Image
from onebit.tracking.opencv import load_cv2

#: endings of videos, and the codes of the codecs that write them
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "XVID"}
BOX_FILES = (".txt", ".csv", ".json")


@dataclass(frozen=True, eq=False)
class Tracked:
    """The box of one frame, 0-based x, y, w, h; its score (1 for the given box) and its size over that of the first box."""

    number: int
    seconds: float
    box: Boxes
    score: float
    scale: float


def check_output(path: Path | None, endings: Sequence[str], overwrite: bool) -> None:
    """Refuse an output of an unknown kind, one that is there already, or one that cannot be written.

    Raises:
        UsageError: saying which endings there are, or how to replace the file.
    """
    if path is None:
        return
    if path.suffix.lower() not in endings:
        raise UsageError(f"{path} ends in none of {', '.join(endings)}, which say what is written")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    # What cannot be written is said before the work, not after it.
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"{path} cannot be written: {there} is no folder that you may write to; choose another")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; choose another name, or add --overwrite")


def check_apart(outputs: Iterable[Path], sources: Iterable[Path]) -> None:
    """Refuse an output that is a file of the source, or the output before it, by whatever name or link.

    Raises:
        UsageError: naming both.
    """
    taken = {_identity(path): path for path in sources}
    for path in outputs:
        if not path.exists():
            continue
        if (mark := _identity(path)) in taken:
            raise UsageError(f"{path} is the same file as {taken[mark]}, which would be lost; choose another name")
        taken[mark] = path


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def write_boxes(path: Path, tracked: Sequence[Tracked], one_based: bool = False) -> None:
    """Write the boxes in one atomic step; the ending says how.

    ``.txt``: a line ``x,y,w,h`` per frame with three decimals, as the toolkits have it. ``.csv``: with a head; frame, seconds,
    x, y, w, h, score, scale. ``.json``: the same, with the convention stated. Left and top of the image are 0, or 1 if
    ``one_based``.
    """
    kind = path.suffix.lower()
    check_output(path, BOX_FILES, overwrite=True)
    boxes = [zero_to_one_based(one.box) if one_based else one.box for one in tracked]
    if kind == ".txt":
        write_text(path, "".join(",".join(f"{value:.3f}" for value in box) + "\n" for box in boxes))
        return
    columns = ("frame", "seconds", "x", "y", "w", "h", "score", "scale")
    rows = [
        [
            one.number,
            round(one.seconds, 6),
            *(round(float(v), 3) for v in box),
            round(one.score, 6),
            round(one.scale, 6),
        ]
        for one, box in zip(tracked, boxes, strict=True)
    ]
    if kind == ".csv":
        write_text(path, "".join(",".join(map(str, row)) + "\n" for row in [columns, *rows]))
        return
    origin = 1 if one_based else 0
    content = {"convention": f"x, y, w, h in pixels; the top left pixel is ({origin}, {origin})", "columns": columns}
    write_text(path, json.dumps({**content, "frames": [dict(zip(columns, row, strict=True)) for row in rows]}) + "\n")


class VideoWriter:
    """Writes frames into a video, which appears under its name when it is closed, with the frames until an error or an
    interruption, too; used as a context.

    Raises:
        OnebitError: if the codec of that ending cannot be had, or the file cannot be written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        check_output(path, tuple(CODECS), overwrite=True)
        self.path, self.fps, self.frames = path, fps, 0
        self._writer: Any = None
        self._part: Path | None = None

    def write(self, image: Image) -> None:
        """Add an RGB frame, of the first one's size."""
        cv2 = load_cv2()
        if self._writer is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                descriptor, name = tempfile.mkstemp(
                    prefix=f".{self.path.stem}.", suffix=self.path.suffix, dir=self.path.parent
                )
            except OSError as error:
                raise OnebitError(
                    f"cannot write {self.path}: {error.strerror or error}; choose another folder"
                ) from error
            os.close(descriptor)
            self._part = Path(name)
            self._size = (image.shape[1], image.shape[0])
            code = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            self._writer = cv2.VideoWriter(name, code, self.fps, self._size)
            if not self._writer.isOpened():
                self._drop()
                raise OnebitError(
                    f"{self.path}: this OpenCV cannot write {self.path.suffix} videos; try {' or '.join(CODECS)}"
                )
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size)
        self._writer.write(np.ascontiguousarray(image[:, :, ::-1]))
        self.frames += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if self.frames and self._part is not None:
            put_in_place(self._part, self.path)
        else:
            self._drop()

    def _drop(self) -> None:
        if self._part is not None:
            with contextlib.suppress(OSError):
                self._part.unlink()


def draw_box(image: Image, box: Boxes | None, text: str = "", colour: tuple[int, int, int] = (255, 80, 0)) -> Image:
    """A copy of an RGB image with a box, if there is one, and a line of text at its top left."""
    cv2 = load_cv2()
    drawn = np.ascontiguousarray(image).copy()
    height, width = drawn.shape[:2]
    thick = max(1, round(min(height, width) / 240))
    if box is not None:
        x, y, w, h = box
        # Far outside, whole numbers of C would overflow.
        x0, y0, x1, y1 = np.clip([x, y, x + w - 1, y + h - 1], -1e4, 1e4).round().astype(int)
        cv2.rectangle(drawn, (int(x0), int(y0)), (int(x1), int(y1)), colour, thick)
    if text:
        size = max(0.4, min(height, width) / 600)
        place = (4, int(22 * size) + 4)
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), thick + 2, cv2.LINE_AA)
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), thick, cv2.LINE_AA)
    return drawn
