"""Protocols: which frames count, how, and what the numbers are called. Every score names its protocol.

``got10k`` is the toolkit of that name: AO and SR on GOT-10k, success and precision on OTB, UAV123 and a user's own sequences.
``pysot`` differs in frames without a target, which it keeps: misses for the success curve, hits for the precision curve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onebit.errors import DataError, UsageError, unknown_name
from onebit.tracking.boxes import Boxes, centres
from onebit.tracking.images import image_size
from onebit.tracking.layouts import SequenceSet
from onebit.tracking.overlap import centre_errors, overlaps
from onebit.tracking.results import Result, read_result
from onebit.tracking.scores import (
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    CurveScore,
    Floats,
    OverlapScore,
    Speed,
    share_above,
    share_within,
)
from onebit.tracking.sequences import Sequence

PROTOCOLS = ("got10k", "pysot")


@dataclass(frozen=True, eq=False)
class Scores:
    """One tracker's scores on one data set; ``overall`` and ``sequences`` are all of one family of measures."""

    tracker: str
    title: str
    dataset: str
    subset: str
    protocol: str
    overall: OverlapScore | CurveScore
    sequences: Mapping[str, OverlapScore | CurveScore]
    speed: Speed
    speeds: Mapping[str, Speed]

    def headline(self) -> dict[str, float | None]:
        """The numbers of a table's row, best known first."""
        return _measures(self.overall)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: ``AO``, ``SR_0.50``, ``SR_0.75``, or ``success``, ``precision``, ``success_rate_0.50``, the
        curves, the speed, and the same per sequence below ``sequences``."""
        return {
            "dataset": self.dataset,
            "subset": self.subset,
            "tracker": self.tracker,
            "protocol": self.protocol,
            **_measures(self.overall),
            **_curves(self.overall),
            "speed_fps": self.speed.toolkit,
            "frames_per_second": self.speed.fps,
            "sequences": {name: _of_sequence(score) for name, score in self.sequences.items()},
        }

    def to_performance(self) -> dict[str, Any]:
        """What got10k writes to ``performance.json``, with its keys; and the protocol, where its readers look for nothing:
        they take everything at the top for a tracker."""
        return {
            self.tracker: {
                "protocol": self.protocol,
                "overall": _toolkit_overall(self.overall, self.speed),
                "seq_wise": {
                    name: _toolkit_sequence(score, self.speeds[name]) for name, score in self.sequences.items()
                },
            }
        }


def score_tracker(data: SequenceSet, folder: Path, tracker: str, protocol: str = "got10k") -> Scores:
    """Score the result files in ``folder``, as they stand there, on every sequence of ``data``.

    Raises:
        UsageError: for an unknown protocol, or pysot's on GOT-10k, which it does not define.
        DataError: for results that are missing or wrong, or ground truth that is withheld.
    """
    check_protocol(data, protocol)
    withheld = next((one.name for one in data.sequences if not one.annotated), None)
    if withheld is not None:
        raise DataError(
            f"{withheld} has ground truth for its first frame only, so nothing can be scored here; "
            "for GOT-10k's test split write an archive with --submission and hand it in there"
        )
    if not folder.is_dir():
        raise DataError(f"there are no results in {folder}: the folder does not exist")
    results = {one.name: read_result(folder, one) for one in data.sequences}
    return score_results(data, results, tracker, protocol)


def score_results(data: SequenceSet, results: Mapping[str, Result], tracker: str, protocol: str = "got10k") -> Scores:
    """:func:`score_tracker` for results that were read already, one per name of a sequence."""
    check_protocol(data, protocol)
    pooled = data.layout == "got10k"
    speeds = {name: Speed.of([result.times], pooled=True) for name, result in results.items()}
    speed = Speed.of([result.times for result in results.values()], pooled=pooled)
    sequences: dict[str, Any] = {}
    overall: OverlapScore | CurveScore
    if pooled:
        sequences = {one.name: score_overlaps(one, results[one.name].boxes) for one in data.sequences}
        overall = OverlapScore.pooled(list(sequences.values()))
        if not len(overall.overlaps):
            raise DataError(
                f"{data.root} has no frame that counts: the target's cover is 0 in all but the first frames"
            )
    else:
        rule = score_curves if protocol == "got10k" else score_curves_pysot
        sequences = {one.name: rule(one, results[one.name].boxes[0]) for one in data.sequences}
        overall = CurveScore.mean(list(sequences.values()))
    return Scores(tracker, data.title, data.name, data.subset, protocol, overall, sequences, speed, speeds)


def check_protocol(data: SequenceSet, protocol: str) -> None:
    """Refuse an unknown protocol, and one that is not defined for the data."""
    if protocol not in PROTOCOLS:
        raise unknown_name("protocol", protocol, PROTOCOLS)
    if protocol == "pysot" and data.layout == "got10k":
        raise UsageError("pysot has no protocol for GOT-10k; leave out --protocol to get AO and SR")


def score_overlaps(sequence: Sequence, repetitions: tuple[Boxes, ...]) -> OverlapScore:
    """GOT-10k: overlaps within the image, without the first frame and frames whose cover is 0, repetitions pooled."""
    truth = sequence.truth[1:]
    kept = np.ones(len(truth), bool) if sequence.cover is None else sequence.cover[1:] > 0
    bound = sequence.resolution or image_size(sequence.frames[0])
    parts = [overlaps(boxes[1:], truth, bound)[kept] for boxes in repetitions]
    return OverlapScore(np.concatenate(parts), len(sequence), int(kept.sum()))


def score_curves(sequence: Sequence, boxes: Boxes) -> CurveScore:
    """OTB and UAV123 as got10k has them: the first box counts as ground truth, frames without a target do not count."""
    truth = sequence.truth
    boxes = np.concatenate([truth[:1], boxes[1:]])
    kept = ~np.isnan(truth).any(axis=1)
    return _curve_score(overlaps(boxes[kept], truth[kept]), centre_errors(boxes[kept], truth[kept]), len(sequence))


def score_curves_pysot(sequence: Sequence, boxes: Boxes) -> CurveScore:
    """The same as pysot has them: every frame counts.

    A frame whose ground truth is NaN or empty is a miss for success; one whose ground truth is NaN, or has its centre at or
    left of or above 0, is a hit for precision. The first box is taken from the result. Source: pysot,
    ``toolkit/utils/statistics.py``, ``success_overlap`` and ``success_error``.
    """
    truth = sequence.truth
    overlap, error = np.full(len(truth), -1.0), np.full(len(truth), -1.0)
    seen, inside = (truth[:, 2:] > 0).all(axis=1), (centres(truth) > 0).all(axis=1)
    overlap[seen] = overlaps(boxes[seen], truth[seen])
    error[inside] = centre_errors(boxes[inside], truth[inside])
    return _curve_score(overlap, error, len(sequence))


def _curve_score(overlap: Floats, error: Floats, frames: int) -> CurveScore:
    return CurveScore(share_above(overlap, SUCCESS_THRESHOLDS), share_within(error, PRECISION_THRESHOLDS), frames)


def _measures(score: OverlapScore | CurveScore) -> dict[str, float | None]:
    if isinstance(score, OverlapScore):
        return {"AO": _plain(score.ao), "SR_0.50": _plain(score.rate(0.5)), "SR_0.75": _plain(score.rate(0.75))}
    return {
        "success": _plain(score.success),
        "precision": _plain(score.precision),
        "success_rate_0.50": _plain(score.success_rate),
    }


def _curves(score: OverlapScore | CurveScore) -> dict[str, list[float]]:
    curves = {"success_curve": score.success_curve.tolist()}
    if isinstance(score, CurveScore):
        curves["precision_curve"] = score.precision_curve.tolist()
    return curves


def _of_sequence(score: OverlapScore | CurveScore) -> dict[str, float | None]:
    counts: dict[str, float | None] = {"frames": score.frames}
    if isinstance(score, OverlapScore):
        counts["scored"] = score.scored
    return {**_measures(score), **counts}


def _toolkit_overall(score: OverlapScore | CurveScore, speed: Speed) -> dict[str, Any]:
    if isinstance(score, OverlapScore):
        return {
            "ao": _plain(score.ao),
            "sr": _plain(score.rate(0.5)),
            "speed_fps": _toolkit_speed(speed),
            "succ_curve": score.success_curve.tolist(),
        }
    return {**_curves(score), **_toolkit_curves(score), "speed_fps": _toolkit_speed(speed)}


def _toolkit_sequence(score: OverlapScore | CurveScore, speed: Speed) -> dict[str, Any]:
    if isinstance(score, OverlapScore):
        return {
            "ao": _plain(score.ao),
            "sr": _plain(score.rate(0.5)),
            "speed_fps": _toolkit_speed(speed),
            "length": score.frames - 1,
        }
    return {**_curves(score), **_toolkit_curves(score), "speed_fps": _toolkit_speed(speed)}


def _toolkit_curves(score: CurveScore) -> dict[str, float | None]:
    return {
        "success_score": _plain(score.success),
        "precision_score": _plain(score.precision),
        "success_rate": _plain(score.success_rate),
    }


def _toolkit_speed(speed: Speed) -> float:
    return -1 if speed.toolkit is None else speed.toolkit


def _plain(value: np.float64) -> float | None:
    """A number for JSON, which has no NaN: nothing was scored."""
    return float(value) if math.isfinite(value) else None
