"""What the figures of runs stand on: hardware, software, commit and date, for a table of results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onebit.reports.run_files import read_run

ORIGIN = ("hardware", "software", "commit", "date")

_NEEDED = {"processor", "threads", "device", "torch", "git", "started"}


def origin(folders: Iterable[Path]) -> list[str]:
    """The cells under :data:`ORIGIN`, what runs share said once; a run without a whole environment.json adds nothing."""
    read = (read_run(folder, arrays=False).environment for folder in folders)
    known = [environment for environment in read if environment.keys() >= _NEEDED]
    return [
        _joined(f"{e['processor']}, {e['threads']} thread(s), {e['device']}" for e in known),
        _joined(f"torch {e['torch']}" for e in known),
        _joined(str(e["git"]) for e in known),
        _joined(str(e["started"])[:10] for e in known),
    ]


def _joined(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))
