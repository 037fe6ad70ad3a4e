"""Scores against numbers computed by hand and against slow code that shares nothing with ours."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

from onebit.errors import DataError, UsageError
from onebit.tracking.layouts import SequenceSet
from onebit.tracking.overlap import centre_errors, clipped, overlaps
from onebit.tracking.protocols import score_curves, score_curves_pysot, score_overlaps, score_results
from onebit.tracking.results import Result
from onebit.tracking.scores import Speed
from onebit.tracking.sequences import Sequence

NAN = math.nan


def sequence(truth, name="ball", **facts):
    truth = np.asarray(truth, float)
    facts = {"layout": "otb", "origin": 1, "written": truth} | facts
    return Sequence(name, tuple(Path(f"{i}.jpg") for i in range(len(truth))), truth - [1, 1, 0, 0], **facts)


def scored(sequences, boxes, protocol="got10k", times=None):
    layout = sequences[0].layout
    data = SequenceSet(layout, Path(), "name", "all", tuple(sequences))
    results = {
        one.name: Result(tuple(np.asarray(b, float) for b in repetitions), times, ())
        for one, repetitions in zip(sequences, boxes, strict=True)
    }
    return score_results(data, results, "T", protocol)


# --- overlap and distance, by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "truth", "bound", "value"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), None, 1),
        ((0, 0, 10, 10), (5, 5, 10, 10), None, 25 / 175),
        ((0, 0, 10, 10), (10, 0, 10, 10), None, 0),  # they touch
        ((0, 0, 40, 20), (0, 0, 40, 40), None, 0.5),
        ((-5, 0, 10, 10), (0, 0, 10, 10), None, 50 / 150),
        ((-5, 0, 10, 10), (0, 0, 10, 10), (100, 100), 1),  # the toolkit's clip keeps the width
        ((95, 0, 10, 10), (95, 0, 5, 10), (100, 100), 1),
        ((200, 0, 10, 10), (90, 0, 10, 10), (100, 100), 0),  # nothing is left of the first
        ((3, 3, 0, 0), (3, 3, 0, 0), None, 0),
    ],
)
def test_overlap_by_hand(box, truth, bound, value):
    given = np.array([box], float), np.array([truth], float)
    assert overlaps(*given, bound)[0] == pytest.approx(value, abs=1e-15)
    assert given[0].tolist() == [list(box)]
    assert given[1].tolist() == [list(truth)]


def test_clipping_by_hand():
    assert clipped([[-5, -1, 10, 10], [95, 98, 10, 10]], (100, 100)).tolist() == [[0, 0, 10, 10], [95, 98, 5, 2]]


def test_distance_by_hand():
    assert centre_errors([[0, 0, 10, 10], [0, 0, 1, 1]], [[3, 4, 10, 10], [0, 0, 3, 3]]).tolist() == [5, math.sqrt(2)]


def test_different_numbers_of_boxes_do_not_compare():
    with pytest.raises(ValueError, match="have to be"):
        overlaps(np.zeros((2, 4)), np.zeros((1, 4)))


# --- families of measures, by hand -----------------------------------------------------------------------------------


def test_got10k_by_hand():
    """Overlaps 1, 0.5, 0 (invisible), 0.8, 0.75; the first frame does not count."""
    truth = [[0, 0, 10, 10]] * 5
    boxes = [[50, 50, 1, 1], [0, 0, 10, 5], [90, 90, 1, 1], [0, 0, 10, 8], [0, 0, 7.5, 10]]
    one = sequence(truth, layout="got10k", cover=np.array([8, 8, 0, 1, 8]), resolution=(100, 100))
    score = score_overlaps(one, (np.array(boxes, float),))
    assert score.ao == pytest.approx((0.5 + 0.8 + 0.75) / 3)
    assert score.rate(0.5) == pytest.approx(2 / 3)  # exactly 0.5 is no success
    assert score.rate(0.75) == pytest.approx(1 / 3)
    assert score.success_curve[[0, 49, 50, 74, 75, 79, 80, 100]] == pytest.approx(
        [1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 0, 0]
    )
    assert (score.frames, score.scored) == (5, 3)


def test_got10k_pools_frames_of_all_repetitions_and_sequences():
    long, short = [[0, 0, 10, 10]] * 5, [[0, 0, 10, 10]] * 2
    facts = {"layout": "got10k", "resolution": (100, 100)}
    good, bad = [[0, 0, 10, 10]], [[50, 50, 10, 10]]
    found = scored(
        [sequence(long, "long", **facts), sequence(short, "short", **facts)], [[good * 5, good * 5], [bad * 2]]
    )
    assert found.headline() == {
        "AO": pytest.approx(8 / 9),
        "SR_0.50": pytest.approx(8 / 9),
        "SR_0.75": pytest.approx(8 / 9),
    }
    assert found.to_dict()["sequences"]["long"] == {"AO": 1.0, "SR_0.50": 1.0, "SR_0.75": 1.0, "frames": 5, "scored": 4}


def test_otb_by_hand():
    """Four frames: the given one, one 20 px off, one of overlap 0.5, one perfect."""
    truth = [[0, 0, 40, 40]] * 4
    boxes = [[99, 99, 1, 1], [20, 0, 40, 40], [0, 0, 40, 20], [0, 0, 40, 40]]
    score = score_curves(sequence(truth), np.array(boxes, float))
    third = 20 * 40 / (2 * 40 * 40 - 20 * 40)  # 1/3, of the second frame
    assert score.success_curve[[0, 6, 7, 9, 10, 19, 20]] == pytest.approx([1, 1, 0.75, 0.75, 0.5, 0.5, 0])
    assert third == pytest.approx(1 / 3)
    assert score.success == pytest.approx((7 * 1 + 3 * 0.75 + 10 * 0.5) / 21)
    assert score.success_rate == 0.5
    assert score.precision_curve[[0, 9, 10, 19, 20, 50]] == pytest.approx([0.5, 0.5, 0.75, 0.75, 1, 1])
    assert score.precision == 1


def test_a_perfect_tracker_has_20_of_21():
    truth = np.array([[0, 0, 40, 40.0]] * 3)
    score = score_curves(sequence(truth), truth)
    assert (score.success, score.precision) == (pytest.approx(20 / 21), 1)


def test_sequences_weigh_the_same_in_otb():
    long, short = [[0, 0, 10, 10]] * 50, [[0, 0, 10, 10]] * 2
    found = scored([sequence(long, "long"), sequence(short, "short")], [[long], [[[0, 0, 10, 10], [90, 90, 10, 10]]]])
    assert found.headline()["success"] == pytest.approx((20 / 21 + 10 / 21) / 2)


def test_absent_frames_under_both_protocols():
    """The spec's case: a perfect tracker, 3 of 60 frames absent, and far off in these."""
    truth = np.array([[5, 5, 40, 40.0]] * 60)
    boxes = truth.copy()
    truth[[10, 20, 30]] = NAN
    boxes[[10, 20, 30]] = [500, 500, 10, 10]
    one = sequence(truth, layout="uav123")
    ours, theirs = score_curves(one, boxes), score_curves_pysot(one, boxes)
    assert (round(ours.success, 4), ours.precision) == (0.9524, 1)
    assert (round(theirs.success, 4), theirs.precision) == (0.9048, 1)


def test_pysot_where_ground_truth_leaves_the_image():
    """A centre at or left of 0 is a hit for precision and scored for success; an empty truth is a miss for success."""
    truth = np.array([[5, 5, 10, 10], [-30, 5, 10, 10], [5, 5, 0, 10], [5, 5, 10, 10.0]])
    boxes = np.array([[5, 5, 10, 10], [500, 5, 10, 10], [5, 5, 10, 10], [5, 5, 10, 10.0]])
    score = score_curves_pysot(sequence(truth), boxes)
    assert score.success_curve[0] == 0.5
    assert score.precision_curve[[0, 4, 5]] == pytest.approx([0.75, 0.75, 1])
    assert score_curves_pysot(sequence(truth), boxes + np.array([9, 0, 0, 0])).precision_curve[0] == 0.25


def test_the_first_box_is_the_results_own_for_pysot():
    truth = np.array([[5, 5, 10, 10.0]] * 2)
    boxes = np.array([[99, 99, 10, 10], [5, 5, 10, 10.0]])
    assert score_curves(sequence(truth), boxes).precision == 1
    assert score_curves_pysot(sequence(truth), boxes).precision == 0.5


# --- against slow code -----------------------------------------------------------------------------------------------


def slow_overlap(p, g, bound):
    def inside(box):
        x, y = min(max(box[0], 0), bound[0]), min(max(box[1], 0), bound[1])
        return x, y, min(max(box[2], 0), bound[0] - x), min(max(box[3], 0), bound[1] - y)

    p, g = (inside(p), inside(g)) if bound else (p, g)
    w = max(min(p[0] + p[2], g[0] + g[2]) - max(p[0], g[0]), 0)
    h = max(min(p[1] + p[3], g[1] + g[3]) - max(p[1], g[1]), 0)
    return w * h / (p[2] * p[3] + g[2] * g[3] - w * h + 2.220446049250313e-16)


def awkward(rng, count):
    """Ground truth and boxes that stick out, are empty, hit thresholds or lie anywhere, with three decimals."""
    truth, boxes = [], []
    for _ in range(count):
        g = [rng.randint(-20, 300), rng.randint(-20, 200), rng.randint(1, 90), rng.randint(1, 90)]
        near = [round(v + rng.gauss(0, 8), 3) for v in g]
        near[2:] = [abs(v) for v in near[2:]]
        half, shifted = [g[0], g[1], g[2], g[3] / 2], [g[0] + 20, *g[1:]]
        boxes.append(rng.choice([near, near, near, g, half, shifted, [-40, -40, 10, 10], [g[0], g[1], 0, 0]]))
        truth.append(g)
    return np.array(truth, float), np.array(boxes, float)


@pytest.mark.parametrize("seed", range(5))
def test_got10k_against_slow_code(seed):
    rng = random.Random(seed)
    sequences, boxes, pool = [], [], []
    for number in range(3):
        truth, first = awkward(rng, 30 + 10 * number)
        cover = np.array([rng.choice([0, 1, 8]) for _ in truth])
        second = first + 1
        sequences.append(sequence(truth, f"s{number}", layout="got10k", cover=cover, resolution=(320, 240)))
        boxes.append([first, second])
        for some in (first, second):
            kept = [t for t in range(1, len(truth)) if cover[t] > 0]
            pool += [slow_overlap(some[t], truth[t], (320, 240)) for t in kept]
    found = scored(sequences, boxes).to_dict()
    assert found["AO"] == pytest.approx(sum(pool) / len(pool), abs=1e-12)
    for index, value in enumerate(found["success_curve"]):
        assert value == pytest.approx(sum(v > index / 100 for v in pool) / len(pool), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("layout", ["otb", "uav123"])
def test_otb_and_uav123_against_slow_code(seed, layout):
    rng = random.Random(seed)
    sequences, boxes, success, precision = [], [], [0.0] * 21, [0.0] * 51
    for number in range(4):
        truth, some = awkward(rng, 40)
        if layout == "uav123":
            truth[[7, 8, 30]] = NAN
        sequences.append(sequence(truth, f"s{number}", layout=layout))
        boxes.append([some])
        pairs = [(p, g) for p, g in zip([truth[0], *some[1:]], truth, strict=True) if g[0] == g[0]]
        errors = [
            math.hypot(p[0] + (p[2] - 1) / 2 - g[0] - (g[2] - 1) / 2, p[1] + (p[3] - 1) / 2 - g[1] - (g[3] - 1) / 2)
            for p, g in pairs
        ]
        for i in range(21):
            success[i] += sum(slow_overlap(p, g, None) > i / 20 for p, g in pairs) / len(pairs) / 4
        for i in range(51):
            precision[i] += sum(error <= i for error in errors) / len(pairs) / 4
    found = scored(sequences, boxes).to_dict()
    assert found["success_curve"] == pytest.approx(success, abs=1e-12)
    assert found["precision_curve"] == pytest.approx(precision, abs=1e-12)
    assert found["success"] == pytest.approx(sum(success) / 21, abs=1e-12)
    assert found["precision"] == pytest.approx(precision[20], abs=1e-12)


# --- keys, speed, refusals -------------------------------------------------------------------------------------------


def test_what_performance_json_holds():
    truth = [[0, 0, 10, 10]] * 3
    curves = scored([sequence(truth)], [[truth]], "pysot").to_performance()["T"]
    assert set(curves) == {"protocol", "overall", "seq_wise"}
    assert curves["protocol"] == "pysot"
    keys = {"success_curve", "precision_curve", "success_score", "precision_score", "success_rate", "speed_fps"}
    assert set(curves["overall"]) == set(curves["seq_wise"]["ball"]) == keys
    assert curves["overall"]["speed_fps"] == -1
    got = scored([sequence(truth, layout="got10k", resolution=(99, 99))], [[truth]], times=np.full(3, 0.01))
    performance = got.to_performance()["T"]
    assert set(performance["overall"]) == {"ao", "sr", "speed_fps", "succ_curve"}
    assert performance["seq_wise"]["ball"] == {"ao": 1.0, "sr": 1.0, "speed_fps": pytest.approx(100), "length": 2}


def test_speed_both_ways():
    slow_start, quick = np.array([0.5] + [0.01] * 99), np.array([0.0, 0.02, 0.02])
    assert Speed.of([slow_start], pooled=True).toolkit == pytest.approx(99.02)
    assert Speed.of([slow_start], pooled=True).fps == pytest.approx(100 / 1.49)
    assert Speed.of([slow_start, None, quick], pooled=False).toolkit == pytest.approx((99.02 + 50) / 2)
    assert Speed.of([slow_start, quick], pooled=True).toolkit == pytest.approx((2 + 99 * 100 + 2 * 50) / 102)
    assert Speed.of([None, np.zeros(3)], pooled=True) == Speed(None, None)


def test_protocols_that_do_not_fit():
    truth = [[0, 0, 10, 10]] * 2
    with pytest.raises(UsageError, match="unknown protocol 'pysto'; did you mean 'pysot'"):
        scored([sequence(truth)], [[truth]], "pysto")
    with pytest.raises(UsageError, match="pysot has no protocol for GOT-10k"):
        scored([sequence(truth, layout="got10k")], [[truth]], "pysot")


def test_nothing_that_counts():
    truth = [[0, 0, 10, 10]] * 3
    hidden = sequence(truth, layout="got10k", cover=np.array([8, 0, 0]), resolution=(99, 99))
    with pytest.raises(DataError, match="no frame that counts"):
        scored([hidden], [[truth]])
    seen = sequence(truth, "seen", layout="got10k", resolution=(99, 99))
    assert scored([hidden, seen], [[truth], [truth]]).to_dict()["sequences"]["ball"]["AO"] is None
