"""Following one object through a source of frames: from the first box to boxes, a drawn video, and frames per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from onebit.errors import UsageError
from onebit.tracking.baselines import Tracker
from onebit.tracking.boxes import Boxes
from onebit.tracking.images import Image
from onebit.tracking.outputs import Tracked, VideoWriter, draw_box
from onebit.tracking.video import Frame, Source

#: called after each frame with the drawing (None unless one was asked for); its answer: "" go on, "q" stop, "r" a new box
Watch = Callable[[Tracked, Image | None], str]
#: the box on an image, 0-based; None: none was chosen
Choose = Callable[[Image], Boxes | None]


@dataclass
class Followed:
    """What came of it: the boxes, and seconds in the tracker and in all (reading, drawing and writing among them)."""

    tracked: list[Tracked] = field(default_factory=list)
    tracking_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def fps(self) -> float:
        """Frames per second of the tracker alone, its start included."""
        return len(self.tracked) / max(self.tracking_seconds, 1e-9)

    @property
    def fps_in_all(self) -> float:
        """Frames per second with reading, drawing and writing."""
        return len(self.tracked) / max(self.seconds, 1e-9)


def follow(
    tracker: Tracker,
    source: Source,
    first_box: Choose,
    *,
    video: Path | None = None,
    watch: Watch | None = None,
    drawn: bool = False,
    done: Followed | None = None,
) -> Followed:
    """Track through the source.

    Args:
        first_box: asked for the box on the first frame's image, and again when ``watch`` answers "r": None then goes on with
            the target that was followed.
        video: write a video with the boxes drawn in, up to an error or an interruption; drawn: make drawings for ``watch``.
        done: where to keep the outcome; it holds what was tracked until an error or an interruption, too.
    Raises:
        UsageError: for no first box or one that cannot be; DataError: for frames that cannot be read.
    """
    done = done if done is not None else Followed()
    began = time.perf_counter()
    try:
        with VideoWriter(video, source.fps) if video is not None else nullcontext() as writer:
            _follow(tracker, iter(source), first_box, done, writer, watch, drawn)
    finally:
        done.seconds = time.perf_counter() - began
        source.close()
    return done


def _follow(
    tracker: Tracker,
    frames: Iterator[Frame],
    first_box: Choose,
    done: Followed,
    writer: VideoWriter | None,
    watch: Watch | None,
    drawn: bool,
) -> None:
    start, answer = np.zeros(4), "r"
    for frame in frames:
        chosen = first_box(frame.image) if answer == "r" else None
        began = time.perf_counter()
        if chosen is not None:
            tracker.init(frame.image, chosen)
            start, box, score = chosen, chosen, 1.0
        elif done.tracked:
            box, score = tracker.update(frame.image)
        else:
            raise UsageError("no box was drawn; drag one with the mouse and press Enter, or give --init x,y,w,h")
        seconds = time.perf_counter() - began
        done.tracking_seconds += seconds
        scale = float(np.sqrt(box[2] * box[3] / (start[2] * start[3])))
        one = Tracked(frame.number, frame.seconds, box, score, scale)
        drawing = None
        if writer is not None or drawn:
            drawing = draw_box(frame.image, box, f"{frame.number}  score {score:.2f}  {1 / max(seconds, 1e-9):.1f} fps")
        if writer is not None and drawing is not None:
            writer.write(drawing)
        done.tracked.append(one)
        answer = watch(one, drawing) if watch is not None else ""
        if answer == "q":
            return
