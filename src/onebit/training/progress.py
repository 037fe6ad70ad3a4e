"""Progress on stderr: a live line per epoch on a terminal, one printed line per epoch elsewhere and in train.log."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from pathlib import Path
from typing import Any

log = logging.getLogger("onebit")


class _LogFile(logging.FileHandler):
    """train.log; where it cannot be written, metrics and checkpoints say so, which cannot be written either."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class Progress:
    """Shows where a training run is. ``role`` names what is being trained; quiet=True only writes the log file."""

    def __init__(self, role: str, epochs: int, steps: int, folder: Path, quiet: bool = False) -> None:
        self.role, self.epochs, self.steps, self.quiet = role, epochs, steps, quiet
        self._started = time.monotonic()
        self._done_at_start: int | None = None
        self._handler = _LogFile(folder / "train.log", delay=True)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(self._handler)
        log.setLevel(logging.INFO)
        log.propagate = False
        self._bar = self._task = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(role, total=epochs * steps, figures="")
            self._bar.start()

    def step(self, epoch: int, step: int, step_seconds: float, images: int, figures: dict[str, float]) -> None:
        """Show one training step; figures are the running means so far."""
        if self._bar is None or self._task is None:
            return
        shown = "  ".join(f"{name} {value:.3g}" for name, value in figures.items())
        speed = f"{1000 * step_seconds:.0f} ms/step  {images / max(step_seconds, 1e-9):.0f} images/s"
        description = f"{self.role} epoch {epoch}/{self.epochs}"
        done = (epoch - 1) * self.steps + step
        self._bar.update(self._task, completed=done, description=description, figures=f"{speed}  {shown}")

    def epoch(self, record: dict[str, Any]) -> None:
        """Print and log one finished epoch."""
        if self._done_at_start is None:
            self._done_at_start = record["epoch"] - 1
            self._started = time.monotonic() - record["seconds"]
        done = record["epoch"] - self._done_at_start
        left = (time.monotonic() - self._started) / done * (self.epochs - record["epoch"])
        parts = [f"{self.role} epoch {record['epoch']}/{self.epochs}", f"{record['seconds']:.1f} s"]
        parts += [f"{record['step_ms']:.0f} ms/step  {record['images_per_second']:.0f} images/s"]
        parts += [f"{name} {value:.4g}" for name, value in record["train"].items()]
        if record.get("holdout"):
            parts.append(f"holdout top1 {record['holdout']['top1']:.2f}")
        if record.get("before_refresh"):
            parts.append(f"(before refresh {record['before_refresh']['top1']:.2f})")
        if record.get("flips") is not None:
            parts.append(f"flips {100 * record['flips']:.2f} %")
        for name, scores in (record.get("discriminators") or {}).items():
            parts.append(f"D {name} {scores['accuracy']:.2f}")
        parts.append(f"{left:.0f} s left")
        self.say("  ".join(parts))

    def say(self, text: str) -> None:
        """A line for the log and, unless quiet, for stderr."""
        log.info(text)
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        log.removeHandler(self._handler)
        self._handler.close()
