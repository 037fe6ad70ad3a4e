"""onebit track run VIDEO|FOLDER|CAMERA."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from onebit.cli.arguments import parse, print_json
from onebit.errors import OnebitError, UsageError


@dataclass
class Arguments:
    """Follow an object through a video, a folder of frames, or a camera (0, 1, ...).

    Boxes are 0-based x,y,w,h: the top left pixel is 0,0. Frames are counted from 0.
    Example: onebit track run video.mp4 --model runs/rb-sf-cpu --init 100,80,40,60 --save-video out.mp4 --save-boxes out.csv
    """

    source: Annotated[str, tyro.conf.Positional]
    """A video, a folder of images, a camera's number or a stream's address."""
    model: str = ""
    """A run folder or checkpoint of `onebit track train`, one packed by `onebit pack` (.onebit), published weights of siamfc
    (.pth), or opencv-mil, first-box."""
    init: str | None = None
    """The box in the first frame, x,y,w,h; without it a window opens to draw it in, where there is a display."""
    save_video: Path | None = None
    """Write the video with the boxes drawn in: .mp4, .avi or .mkv."""
    save_boxes: Path | None = None
    """Write the boxes: .txt (x,y,w,h lines as benchmarks have them), .csv or .json (with frame, seconds, score, scale)."""
    one_based: bool = False
    """Write boxes with 1,1 as the top left pixel, as benchmarks' files have them."""
    overwrite: bool = False
    """Replace files that are there."""
    show: bool = False
    """Watch in a window; keys: q ends, r draws a new box, space pauses."""
    start: int = 0
    """The frame to start on."""
    stride: int = 1
    """Take each so many frames one."""
    max_frames: int = 0
    """Stop after so many frames; 0 takes all."""
    which: Literal["last", "best"] = "last"
    """Which checkpoint of a run folder."""
    device: str = "cpu"
    """Where the network runs: cpu or cuda."""
    threads: int = 0
    """Threads on the CPU; 0 leaves torch's alone and gives a packed network one."""
    quiet: bool = False
    """Nothing on stderr but errors."""
    json: bool = False
    """Print the outcome as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "track run", _joined_box(argv))
    from onebit.tracking.boxes import Boxes, parse_box
    from onebit.tracking.follow import Followed, follow
    from onebit.tracking.images import Image
    from onebit.tracking.load import load_tracker
    from onebit.tracking.outputs import BOX_FILES, CODECS, Tracked, check_apart, check_output, write_boxes
    from onebit.tracking.tracker import check_first_box
    from onebit.tracking.video import Source
    from onebit.tracking.window import check_window, select_box, show

    check_output(arguments.save_video, tuple(CODECS), arguments.overwrite)
    check_output(arguments.save_boxes, BOX_FILES, arguments.overwrite)
    given = parse_box(arguments.init) if arguments.init is not None else None
    if given is None:
        check_window("give the first box with --init x,y,w,h")
    elif arguments.show:
        check_window("leave --show out and look at --save-video")
    if not arguments.model:
        raise UsageError("name the tracker: --model RUN, a run folder of `onebit track train`; or --model opencv-mil")
    if arguments.threads < 0:
        raise UsageError(f"threads is at least 1, or 0 to leave it alone, got {arguments.threads}")
    source = Source(arguments.source, arguments.start, arguments.stride, arguments.max_frames)
    files = [path for path in (arguments.save_video, arguments.save_boxes) if path is not None]
    check_apart(files, source.files)
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    threads = max(1, arguments.threads)
    tracker = load_tracker(arguments.model, arguments.which, device=arguments.device, threads=threads)

    def first_box(image: Image) -> Boxes | None:
        if given is not None and not done.tracked:
            return check_first_box(given, image)
        return select_box(image, stay=arguments.show)

    def watch(one: Tracked, drawing: Image | None) -> str:
        progress.tell(done)
        return show(drawing) if drawing is not None and arguments.show else ""

    done, progress = Followed(), _Progress(source.total, arguments.quiet)
    try:
        follow(tracker, source, first_box, video=arguments.save_video, watch=watch, drawn=arguments.show, done=done)
    except OnebitError as error:
        if not done.tracked or not files:
            raise
        kept = " and ".join(map(str, files))
        raise type(error)(f"{error} ({len(done.tracked)} frames until then are kept in {kept})") from error
    finally:
        progress.end()
        if arguments.save_boxes is not None and done.tracked:
            write_boxes(arguments.save_boxes, done.tracked, arguments.one_based)
    if source.cut_off:
        print(f"note: {source.cut_off}", file=sys.stderr)
    _report(done, files, arguments.json)


class _Progress:
    """Frames done and frames per second: a live line on a terminal, else a line every hundred frames."""

    def __init__(self, total: int | None, quiet: bool) -> None:
        self.total, self.quiet, self.live, self.shown = total, quiet, sys.stderr.isatty(), False

    def tell(self, done: Any) -> None:
        count = len(done.tracked)
        if self.quiet or (not self.live and count % 100):
            return
        of = f"/{self.total}" if self.total else ""
        line = f"frame {count}{of}  {done.fps:.1f} fps  score {done.tracked[-1].score:.2f}"
        print(f"\r{line}   " if self.live else line, end="" if self.live else "\n", file=sys.stderr, flush=True)
        self.shown = self.live

    def end(self) -> None:
        if self.shown:
            print(file=sys.stderr)


def _joined_box(argv: Sequence[str]) -> list[str]:
    """The arguments, with ``--init 1 2 3 4`` as ``--init 1,2,3,4``."""
    words = list(argv)
    start = words.index("--init") if "--init" in words else len(words)
    numbers = list(itertools.takewhile(re.compile(r"-?[\d.]+,?").fullmatch, words[start + 1 : start + 5]))
    if numbers:
        words[start : start + 1 + len(numbers)] = [f"--init={' '.join(numbers)}"]
    return words


def _report(done: Any, files: Sequence[Path], as_json: bool) -> None:
    last = done.tracked[-1]
    if as_json:
        box = [round(float(value), 3) for value in last.box]
        figures = {"frames": len(done.tracked), "fps": done.fps, "fps_with_reading": done.fps_in_all}
        print_json({**figures, "last_box": box, "last_score": last.score, "files": [str(path) for path in files]})
        return
    x, y, w, h = last.box
    print(f"{len(done.tracked)} frames, {done.fps:.1f} fps ({done.fps_in_all:.1f} with reading and writing)")
    print(f"last box, 0-based: x {x:.1f}, y {y:.1f}, w {w:.1f}, h {h:.1f}; score {last.score:.2f}")
    for path in files:
        print(f"written: {path}")
