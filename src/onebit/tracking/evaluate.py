"""Running a tracker over sequences, in several processes, so that a run which was stopped goes on where it was."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onebit.errors import DataError, OnebitError, UsageError
from onebit.files import write_text
from onebit.tracking.baselines import Tracker
from onebit.tracking.boxes import Boxes, as_boxes
from onebit.tracking.images import read_image
from onebit.tracking.layouts import SequenceSet
from onebit.tracking.results import has_result, read_result, write_result
from onebit.tracking.sequences import Sequence

RECORD = "evaluation.json"


@dataclass(frozen=True, eq=False)
class Track:
    """A tracker's way through one sequence.

    Attributes:
        boxes: (n, 4), 0-based, the first the given one.
        times: seconds per frame inside the tracker, the first those of ``init``.
        reading: seconds in which images were read, in all.
    """

    boxes: Boxes
    times: NDArray[np.float64]
    reading: float


def track_sequence(
    tracker: Tracker, sequence: Sequence, read: Callable[[Path], NDArray[np.uint8]] = read_image
) -> Track:
    """Start a tracker on the first box of a sequence and follow it to the end.

    Raises:
        DataError: when the tracker refuses the first box, with file, line and the numbers that stand there.
        OnebitError: when the tracker gives anything but four finite numbers with sizes of at least 0.
    """
    boxes, times, reading = [as_boxes(sequence.boxes[0])], [], 0.0
    for number, path in enumerate(sequence.frames):
        started = time.perf_counter()
        image = read(path)
        reading += time.perf_counter() - started
        started = time.perf_counter()
        if number == 0:
            _init(tracker, image, sequence)
            times.append(time.perf_counter() - started)
            continue
        box = np.asarray(tracker.update(image)[0], np.float64)
        times.append(time.perf_counter() - started)
        if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any():
            raise OnebitError(f"the tracker gave {box.tolist()} for {path}; a box is four finite numbers x, y, w, h")
        boxes.append(box)
    return Track(np.array(boxes), np.array(times), reading)


def _init(tracker: Tracker, image: NDArray[np.uint8], sequence: Sequence) -> None:
    try:
        tracker.init(image, sequence.boxes[0])
    except UsageError as error:
        where = sequence.name if sequence.annotation is None else f"{sequence.annotation}, line 1"
        box, (height, width) = ",".join(f"{value:.10g}" for value in sequence.truth[0]), image.shape[:2]
        raise DataError(
            f"{where}: the tracker cannot start on {box} (x,y,w,h) in an image of {width}x{height} pixels; it needs a box "
            "on the image, more than 1 pixel wide and high: correct the line, or leave the sequence out"
        ) from error


def run_tracker(
    data: SequenceSet,
    make: Callable[[], Tracker],
    folder: Path,
    settings: Mapping[str, Any],
    *,
    workers: int = 1,
    threads: int = 1,
    repetitions: int = 1,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Run a tracker over every sequence and write its results into ``folder``; returns how many sequences were run.

    Finished sequences are passed over. What was run, with which settings, stands in ``folder/evaluation.json``, which is
    written after each sequence.

    Args:
        make: makes the tracker, once a process; with several ``workers`` it has to be picklable.
        settings: whatever changes the results (the checkpoint's checksum, options), as JSON has it.
        threads: for each process. repetitions: runs per sequence, for trackers that draw random numbers (GOT-10k only).
        overwrite: run finished sequences again, and replace results of other settings.
        say: gets a line per finished sequence.

    Raises:
        UsageError: when the folder holds results of other settings or of somebody else, and ``overwrite`` is False.
        OnebitError: when sequences failed; the others are finished and kept.
    """
    if workers < 1 or threads < 1 or repetitions < 1:
        raise UsageError(f"workers, threads and repetitions are at least 1, got {workers}, {threads}, {repetitions}")
    if repetitions > 1 and data.layout != "got10k":
        raise UsageError(f"repetitions are for GOT-10k, whose result files have room for them; got {repetitions}")
    settings = {**settings, "repetitions": repetitions}
    done = _finished(data, folder, settings, overwrite)
    left = [sequence for sequence in data.sequences if sequence.name not in done]
    if len(left) < len(data):
        say(f"{len(data) - len(left)} of {len(data)} sequences are finished already")
    record = {"settings": settings, "environment": _environment(threads), "sequences": done}
    failed: list[str] = []
    for number, (sequence, outcome) in enumerate(_tracks(left, make, workers, threads, repetitions), start=1):
        if isinstance(outcome, OnebitError):
            failed.append(f"{sequence.name}: {outcome}")
            say(f"{number}/{len(left)} {sequence.name}: failed; the cause is told at the end")
            continue
        write_result(folder, sequence, [one.boxes for one in outcome], [one.times for one in outcome])
        seconds, reading = sum(one.times.sum() for one in outcome), sum(one.reading for one in outcome)
        spent = {"seconds": float(seconds), "reading_seconds": float(reading), "workers": min(workers, len(left))}
        done[sequence.name] = {**_identity(sequence), **spent}
        write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")
        fps = len(sequence) * repetitions / max(seconds, 1e-12)
        say(f"{number}/{len(left)} {sequence.name}: {len(sequence)} frames, {fps:.1f} frames/s")
    if failed:
        raise OnebitError(f"{len(failed)} of {len(left)} sequences failed, the others are kept. {'; '.join(failed)}")
    return len(left)


def read_record(folder: Path) -> dict[str, Any]:
    """What stands in ``evaluation.json``: settings, environment and sequences; empty where there is none.

    Raises:
        DataError: when it is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text("utf-8"))
        if not isinstance(record["settings"], dict):
            raise TypeError("settings are no table")
        for one in record["sequences"].values():
            _ = one["first_box"], [one[key] + 0 for key in ("frames", "seconds", "reading_seconds", "workers")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error!r}); remove it with its folder, or use --overwrite") from error
    return record


def _finished(data: SequenceSet, folder: Path, settings: dict[str, Any], overwrite: bool) -> dict[str, Any]:
    """The record of the sequences that need not be run again; refuses to touch what is not ours."""
    try:
        record = read_record(folder)
    except DataError:
        if not overwrite:
            raise
        record = {}
    if overwrite and record.get("settings") != settings:
        record = {}
    elif record and record["settings"] != settings:
        keys = [key for key in {**record["settings"], **settings} if record["settings"].get(key) != settings.get(key)]
        changes = ", ".join(f"{key} {record['settings'].get(key)!r}, now {settings.get(key)!r}" for key in keys)
        raise UsageError(f"{folder} holds results of other settings ({changes}); choose another --name or --overwrite")
    done = dict(record.get("sequences", {}))
    for sequence in data.sequences:
        if not has_result(folder, sequence) or overwrite:
            done.pop(sequence.name, None)
        elif sequence.name not in done:
            raise UsageError(
                f"{folder} holds a result of {sequence.name} that was not written by this command; "
                "choose another --name or --overwrite"
            )
        elif any(done[sequence.name].get(key) != value for key, value in _identity(sequence).items()):
            raise UsageError(
                f"{folder} holds a result of {sequence.name} with other frames or another first box; "
                "choose another --name or --overwrite"
            )
        else:
            read_result(folder, sequence)
    return done


def _identity(sequence: Sequence) -> dict[str, Any]:
    return {"frames": len(sequence), "first_box": sequence.truth[0].tolist()}


def _environment(threads: int) -> dict[str, Any]:
    from onebit.training.environment import processor_name

    return {"processor": processor_name(), "threads": threads}


Outcome = list[Track] | OnebitError


def _tracks(
    sequences: list[Sequence], make: Callable[[], Tracker], workers: int, threads: int, repetitions: int
) -> Iterator[tuple[Sequence, Outcome]]:
    """Each sequence with its tracks, or the error that stopped it, as they are finished."""
    workers = min(workers, len(sequences))
    if workers <= 1:
        if sequences:
            _start(make, threads)
        for sequence in sequences:
            yield sequence, _run(sequence, repetitions)
        return
    make()  # what is wrong with it is one sentence here, and a traceback in a process
    # Started anew and not forked: libraries that have threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_process, initargs=(make, threads))
    try:
        # The longest first, so that no process is left alone with one of them at the end.
        by_length = sorted(sequences, key=len, reverse=True)
        jobs: dict[Future[Outcome], Sequence] = {pool.submit(_run, one, repetitions): one for one in by_length}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    except BrokenProcessPool as error:
        raise OnebitError(
            "a process that runs the tracker died or could not start it (its message is above, if it left one); "
            "finished sequences are kept, run the same command with --workers 1 to see the cause"
        ) from error
    except BaseException:
        # Stopped by hand, or the caller gave up: nobody waits for the sequences that are under way.
        for process in list(pool._processes.values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_tracker: Tracker | None = None


def _start(make: Callable[[], Tracker], threads: int) -> None:
    global _tracker
    _tracker = make()
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    if (cv2 := sys.modules.get("cv2")) is not None:
        cv2.setNumThreads(threads)


def _start_process(make: Callable[[], Tracker], threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a stop by hand is for the process that started this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _start(make, threads)


def _end_with_parent() -> None:
    """A parent that was killed stops nobody: without this, its processes would track on and then wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(sequence: Sequence, repetitions: int) -> Outcome:
    assert _tracker is not None
    try:
        return [track_sequence(_tracker, sequence) for _ in range(repetitions)]
    except OnebitError as error:
        return error
