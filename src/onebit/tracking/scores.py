"""Scores of boxes against ground truth: the two families of measures that benchmarks of single objects use.

Thresholds are compared strictly for overlaps (a box that overlaps by exactly 0.5 is no success at 0.5) and with equality for
distances (an error of exactly 20 pixels is precise at 20).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OVERLAP_THRESHOLDS = np.linspace(0.0, 1.0, 101)
SUCCESS_THRESHOLDS = np.linspace(0.0, 1.0, 21)
PRECISION_THRESHOLDS = np.arange(51, dtype=np.float64)
PRECISE = 20


def share_above(values: Floats, thresholds: Floats) -> Floats:
    """For each threshold the share of values above it; NaN without values.

    >>> share_above(np.array([0.2, 0.5, 0.9]), np.array([0.1, 0.5, 1.0])).round(3)
    array([1.   , 0.333, 0.   ])
    """
    if not len(values):
        return np.full(len(thresholds), np.nan)
    return np.mean(values[:, None] > thresholds, axis=0)


def share_within(values: Floats, thresholds: Floats) -> Floats:
    """For each threshold the share of values that do not exceed it; NaN without values."""
    if not len(values):
        return np.full(len(thresholds), np.nan)
    return np.mean(values[:, None] <= thresholds, axis=0)


@dataclass(frozen=True, eq=False)
class OverlapScore:
    """GOT-10k's measures of a pool of overlaps: of one sequence or, put together, of all.

    AO is their mean, SR_t the share above t; the curve has 101 thresholds, 0, 0.01, ..., 1. ``scored`` counts the frames that
    have an overlap, once however often the tracker was run.

    >>> score = OverlapScore(np.array([0.2, 0.6, 1.0]), frames=4, scored=3)
    >>> score.ao.round(3), score.rate(0.5).round(3), score.rate(0.75).round(3)
    (np.float64(0.6), np.float64(0.667), np.float64(0.333))
    """

    overlaps: Floats
    frames: int
    scored: int

    @property
    def ao(self) -> np.float64:
        return np.float64(np.mean(self.overlaps)) if len(self.overlaps) else np.float64(np.nan)

    def rate(self, threshold: float) -> np.float64:
        return share_above(self.overlaps, np.array([threshold]))[0]

    @property
    def success_curve(self) -> Floats:
        return share_above(self.overlaps, OVERLAP_THRESHOLDS)

    @classmethod
    def pooled(cls, parts: Sequence[OverlapScore]) -> OverlapScore:
        """All frames in one pool, so that long sequences weigh more."""
        overlaps = np.concatenate([part.overlaps for part in parts])
        return cls(overlaps, sum(part.frames for part in parts), sum(part.scored for part in parts))


@dataclass(frozen=True, eq=False)
class CurveScore:
    """OTB's measures: share of frames above 21 overlaps (0, 0.05, ..., 1) and within 51 distances (0, 1, ..., 50 px).

    Success is the mean of the success curve, often called AUC. Its last point, an overlap above 1, is always 0, so that a
    perfect tracker has 20/21 = 0.9524. Precision is the precision curve at 20 px; the success rate is at 0.5.
    """

    success_curve: Floats
    precision_curve: Floats
    frames: int

    @property
    def success(self) -> np.float64:
        return np.float64(np.mean(self.success_curve))

    @property
    def precision(self) -> np.float64:
        return self.precision_curve[PRECISE]

    @property
    def success_rate(self) -> np.float64:
        return self.success_curve[len(SUCCESS_THRESHOLDS) // 2]

    @classmethod
    def mean(cls, parts: Sequence[CurveScore]) -> CurveScore:
        """The mean of the curves: every sequence weighs the same."""
        success = np.mean([part.success_curve for part in parts], axis=0)
        precision = np.mean([part.precision_curve for part in parts], axis=0)
        return cls(success, precision, sum(part.frames for part in parts))


@dataclass(frozen=True)
class Speed:
    """Frames per second, told two ways; ``None`` where no times are known.

    Attributes:
        toolkit: the mean over frames of 1 / t, as got10k has it, which a few quick frames lift.
        fps: frames divided by seconds, the first frame with its start-up included.
    """

    toolkit: float | None = None
    fps: float | None = None

    @classmethod
    def of(cls, times: Iterable[Floats | None], *, pooled: bool) -> Speed:
        """The speed of several sequences: got10k pools the frames on GOT-10k, and means the sequences elsewhere.

        Times that are not above 0 are left out, and sequences without times.

        >>> Speed.of([np.array([0.5] + [0.01] * 99)], pooled=True)
        Speed(toolkit=99.02, fps=67.11409395973155)
        """
        known = [kept for part in times if part is not None and len(kept := part[part > 0])]
        if not known:
            return cls()
        everything = np.concatenate(known)
        rates = [np.mean(1.0 / part) for part in ([everything] if pooled else known)]
        return cls(float(np.mean(rates)), len(everything) / float(everything.sum()))
