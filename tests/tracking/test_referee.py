"""Agreement with the package got10k, whose ``report()`` is called on the same files; skipped where it is not installed.

pip install got10k==0.1.3 six
"""

import json
import random

import numpy as np
import pytest

from benchmark_trees import got10k_sequence, otb_sequence, straight, uav_sequence, write_rows
from onebit.tracking.layouts import load_sequences
from onebit.tracking.protocols import score_tracker

datasets = pytest.importorskip("got10k.datasets", reason="the referee got10k is not installed (pip install got10k six)")
experiments = pytest.importorskip("got10k.experiments")

TOLERANCE = 1e-9


def truth_and_boxes(rng, count, exact):
    """Boxes with three decimals that stick out, are empty, or hit a threshold exactly; ``exact`` ground truth is whole."""
    truth = [
        [rng.uniform(-10, 280), rng.uniform(-10, 200), rng.uniform(5, 90), rng.uniform(5, 90)] for _ in range(count)
    ]
    truth = [[float(round(v)) if exact else round(v, 4) for v in row] for row in truth]
    boxes = [
        [round(v + rng.gauss(0, 7), 3) for v in row[:2]] + [round(v * rng.uniform(0.6, 1.4), 3) for v in row[2:]]
        for row in truth
    ]
    boxes[0] = [0.0, 0.0, 1.0, 1.0]
    boxes[2] = [truth[2][0] + 20, *truth[2][1:]]
    boxes[3] = [*truth[3][:3], truth[3][3] / 2]
    boxes[4] = [-40.0, -40.0, 10.0, 10.0]
    boxes[5] = [*truth[5][:2], 0.0, 0.0]
    return truth, [[round(v, 3) for v in row] for row in boxes]


def assert_same(ours, theirs, where=""):
    assert set(ours) == set(theirs), where
    for key, value in theirs.items():
        if isinstance(value, dict):
            assert_same(ours[key], value, f"{where}/{key}")
        else:
            np.testing.assert_allclose(ours[key], np.asarray(value), rtol=0, atol=TOLERANCE, err_msg=f"{where}/{key}")


def performance(data, results):
    """Ours, less what it has beside the toolkit's keys."""
    ours = score_tracker(data, results, "T").to_performance()
    assert ours["T"].pop("protocol") == "got10k"
    return ours


def report(kind, data, results, tmp_path):
    experiment = kind.__new__(kind)  # its __init__ would download
    experiment.dataset, experiment.nbins_iou, experiment.nbins_ce = data, 21, 51
    experiment.result_dir, experiment.report_dir = str(results), str(tmp_path / "reports")
    experiment.plot_curves = lambda *_: None
    return json.loads(json.dumps(experiment.report(["T"]), default=lambda value: value.tolist()))


@pytest.mark.parametrize("repetitions", [1, 3])
def test_got10k(tmp_path, repetitions):
    rng = random.Random(repetitions)
    results = tmp_path / "results" / "GOT-10k" / "T"
    for number in range(3):
        name, count = f"GOT-10k_Val_{number + 1:06d}", 30 + 10 * number
        truth, _ = truth_and_boxes(rng, count, exact=False)
        cover = [8, *(rng.choice([0, 1, 8]) for _ in range(count - 1))]
        got10k_sequence(tmp_path / "data" / "val" / name, truth, cover=cover, resolution=(320, 200 + 20 * number))
        for repetition in range(repetitions):
            _, boxes = truth_and_boxes(rng, count, exact=False)
            boxes = [
                [t if rng.random() < 0.5 else b for t, b in zip(*rows, strict=True)]
                for rows in zip(truth, boxes, strict=True)
            ]
            write_rows(results / name / f"{name}_{repetition + 1:03d}.txt", boxes, form="{:.3f}")
        times = [[rng.uniform(0.001, 0.1) for _ in range(repetitions)] for _ in range(count)]
        write_rows(results / name / f"{name}_time.txt", times, form="{:.8f}")
    experiment = experiments.ExperimentGOT10k(
        str(tmp_path / "data"), "val", str(tmp_path / "results"), str(tmp_path / "reports")
    )
    experiment.plot_curves = lambda *_: None
    theirs = json.loads(json.dumps(experiment.report(["T"]), default=lambda value: value.tolist()))
    assert_same(performance(load_sequences(tmp_path / "data"), results), theirs)


def test_otb(tmp_path):
    rng = random.Random(5)
    names = sorted(["Couple", "Man", "Jogging", "Human4"])  # folders that a named subset has
    results = tmp_path / "results" / "T"
    for number, name in enumerate(names):
        for target in (1, 2) if name in ("Jogging", "Human4") else (0,):
            truth, boxes = truth_and_boxes(rng, 40, exact=True)
            file = f"groundtruth_rect.{target}.txt" if target else "groundtruth_rect.txt"
            path = otb_sequence(tmp_path / "data", name, truth, file=file, separator=",\t "[number % 3])
            if (name, target) == ("Human4", 1):
                path.write_text("")
                continue
            called = f"Jogging.{target}" if name == "Jogging" else name
            write_rows(results / f"{called}.txt", boxes, form="{:.3f}")
            write_rows(results / "times" / f"{called}_time.txt", [[rng.uniform(0, 0.1)] for _ in truth], form="{:.8f}")
    data = datasets.OTB(str(tmp_path / "data"), "tb100", download=False)
    theirs = report(experiments.ExperimentOTB, data, results.parent, tmp_path)
    assert len(theirs["T"]["seq_wise"]) == 5
    assert_same(performance(load_sequences(tmp_path / "data", subset="TB100"), results), theirs)


def test_uav123(tmp_path):
    rng = random.Random(6)
    results = tmp_path / "results" / "T"
    for folder in ("anno", "data_seq", "more", "and more"):  # fewer entries are no data set to the package
        (tmp_path / "data" / folder).mkdir(parents=True)
    for name, first, last in (("truck4_2", 577, 1261), ("uav2", 1, 133)):
        truth, boxes = truth_and_boxes(rng, last - first + 1, exact=True)
        truth[9:12] = [[float("nan")] * 4] * 3
        uav_sequence(tmp_path / "data", name, truth, name.partition("_")[0], range(first, last + 1))
        write_rows(results / f"{name}.txt", boxes, form="{:.3f}")
    data = datasets.UAV123(str(tmp_path / "data"), "UAV123")
    theirs = report(experiments.ExperimentUAV123, data, results.parent, tmp_path)
    assert_same(performance(load_sequences(tmp_path / "data"), results), theirs)


@pytest.mark.parametrize("layout", ["otb", "got10k"])
def test_their_plots_are_drawn_from_our_files(tmp_path, layout):
    """``performance.json`` has a key more than theirs, which they have to pass over."""
    file = tmp_path / "reports" / "T" / "performance.json"
    if layout == "otb":
        kind, bins, files = experiments.ExperimentOTB, 21, []
        otb_sequence(tmp_path / "data", "Ball", straight(3))
    else:
        kind, bins, files = experiments.ExperimentGOT10k, 101, [[str(file)]]
        got10k_sequence(tmp_path / "data" / "val" / "Ball", straight(3))
    write_rows(tmp_path / "results" / "Ball.txt", straight(3))
    scores = score_tracker(load_sequences(tmp_path / "data"), tmp_path / "results", "T")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(scores.to_performance()))
    experiment = kind.__new__(kind)
    experiment.nbins_iou, experiment.nbins_ce = bins, 51
    experiment.report_dir = str(tmp_path / "reports")
    experiment.plot_curves(*files, ["T"])
    assert list(file.parent.glob("success_plot*.png"))
