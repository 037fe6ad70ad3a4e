"""A tracker by what a user calls it, with what is needed to run it in other processes and to know it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from onebit.errors import UsageError
from onebit.files import called, checksum
from onebit.tracking.baselines import BASELINES, OpenCVMil, Tracker


@dataclass(frozen=True)
class NamedTracker:
    """What :func:`onebit.tracking.evaluate.run_tracker` needs.

    Attributes:
        name: for the folder of its results. make: makes it. settings: what changes its results.
    """

    name: str
    make: Callable[[], Tracker]
    settings: dict[str, Any]


def named_tracker(
    source: str, name: str | None = None, device: str = "cpu", seed: int = 0, threads: int = 1
) -> NamedTracker:
    """A baseline, or the tracker of a run folder, a checkpoint, published weights or a packed file, not loaded yet.

    ``seed`` is for opencv-mil, which alone draws random numbers, ``threads`` for packed files. Without ``name`` a tracker is
    called as the baseline, the run folder, or the file without its ending.

    Raises:
        UsageError: for a name that cannot be a folder's, or a source that is neither a baseline nor there.
        CheckpointError: for a run folder without a checkpoint.
    """
    label = name or _name(source)
    if not label or label[0] == "." or Path(label).name != label:
        raise UsageError(f"{label!r} cannot name a folder of results; give another with --name")
    if source == "opencv-mil":
        return NamedTracker(label, partial(OpenCVMil, seed), {"tracker": source, "seed": seed})
    if source in BASELINES:
        return NamedTracker(label, BASELINES[source], {"tracker": source})
    from onebit.tracking.load import load_tracker

    make = partial(load_tracker, source, device=device, threads=threads)
    if not Path(source).exists():
        make()  # says what is wrong
    from onebit.training.checkpoints import find_checkpoint

    file = find_checkpoint(source)
    return NamedTracker(label, make, {"tracker": "siamfc", "sha256": checksum(file), "device": device})


def _name(source: str) -> str:
    path = Path(source)
    return path.stem if path.is_file() else called(path)
