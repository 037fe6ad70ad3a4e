"""Times of engines side by side: table, JSON and bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onebit.reports.table import Column, Table

if TYPE_CHECKING:
    from onebit.deploy.engine import Step
    from onebit.deploy.timing import Timing


def speed_json(timings: Sequence[Timing], threads: int) -> dict[str, Any]:
    """{"threads", "rows"}; ratio: the median over rounds of an engine's time over that of the first."""
    keys = ("engine", "model", "median_ms", "p10_ms", "p90_ms", "ratio")
    return {"threads": threads, "rows": [dict(zip(keys, row, strict=False)) for row in _rows(timings)]}


def speed_table(timings: Sequence[Timing], threads: int) -> Table:
    """A row for every engine."""
    milliseconds = (Column(name, ".3f") for name in ("median ms", "p10 ms", "p90 ms"))
    ratios = (Column(name, ".2f") for name in ("times ours", "p10 of rounds", "p90 of rounds"))
    clock = "processor time" if threads == 1 else "wall time, every engine in a process of its own"
    rounds = len(timings[0].rounds) if timings else 0
    notes = [f"batch 1, {rounds} interleaved rounds, {clock}; times ours: ratio to the first row, round by round"]
    title = f"{threads} thread{'s' * (threads > 1)}"
    return Table(title, ["engine", "network", *milliseconds, *ratios], _rows(timings), notes)


def speed_figure(timings: Sequence[Timing], kind: str) -> bytes:
    """Bars of the median times, whiskers from the 10th to the 90th percentile; ``kind``: "svg" or "png"."""
    from onebit.reports.figures.speed import bars
    from onebit.reports.figures.style import figure_bytes, styled

    with styled():
        return figure_bytes(bars([row[:6] for row in _rows(timings)]), kind)


def profile_table(steps: Sequence[Step], kernel: str) -> Table:
    """Where an engine's time goes, step by step."""
    spent = [step.seconds / step.runs for step in steps]
    whole = sum(spent) or 1.0
    rows: list[tuple[object, ...]] = []
    for step, seconds in zip(steps, spent, strict=True):
        rate = step.macs / seconds / 1e9 if step.macs and seconds else None
        rows.append(
            (step.name, step.weight_bits or None, step.macs or None, 1e6 * seconds, 100 * seconds / whole, rate)
        )
    rows.append(("all", None, sum(step.macs for step in steps), 1e6 * sum(spent), 100.0 if steps else None, None))
    figures = (Column("MACs", ","), Column("us", ",.1f"), Column("share (%)", ".1f"), Column("1e9 MAC/s", ",.0f"))
    return Table(f"steps, kernel {kernel}", ["step", "bits", *figures], rows)


def _rows(timings: Sequence[Timing]) -> list[tuple[Any, ...]]:
    rows = []
    for timing in timings:
        ratios = timing.ratios(timings[0])
        milliseconds = (timing.percentile(q) for q in (50, 10, 90))
        spread = (float(np.percentile(ratios, q)) for q in (50, 10, 90))
        rows.append((timing.engine, timing.model, *milliseconds, *spread))
    return rows
