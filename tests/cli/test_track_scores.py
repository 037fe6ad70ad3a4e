"""`onebit track evaluate` and `onebit track report`, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark_trees import got10k_sequence, square_video, straight, write_rows

START = (5, 10, 12, 10)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, _own_folder: None) -> Path:
    for name, count in (("Left", 6), ("Right", 4)):
        boxes = straight(count, START, (3, 1, 0, 0))
        square_video(tmp_path / "data" / name / "img", boxes)
        write_rows(tmp_path / "data" / name / "groundtruth_rect.txt", boxes)
    return tmp_path / "data"


def test_run_score_and_report(onebit: Callable) -> None:
    done = onebit("track", "evaluate", "data", "--tracker", "first-box", "--json")
    assert done.status == 0
    assert "data: otb layout, OTB, 2 sequences, 10 frames" in done.err
    assert "results: results/OTB2015/first-box" in done.err
    scores = json.loads(done.out)
    assert {"AO"}.isdisjoint(scores)
    assert {"success", "precision", "success_rate_0.50", "success_curve", "precision_curve", "speed_fps"} <= set(scores)
    assert scores["protocol"] == "got10k"
    assert set(scores["sequences"]) == {"Left", "Right"}

    again = onebit("track", "evaluate", "data", "--tracker", "first-box")
    assert again.status == 0
    assert "2 of 2 sequences are finished already" in again.err
    assert "OTB, protocol got10k, 2 sequences" in again.out

    files = onebit("track", "evaluate", "data", "--scores-of", "results/OTB2015/first-box", "--json")
    assert json.loads(files.out) == scores

    Path("other").mkdir()
    for name, count in (("Left", 6), ("Right", 4)):
        write_rows(Path("other") / f"{name}.txt", straight(count, START, (3, 1, 0, 0)), "\t")
    report = onebit("track", "report", "data", "--others", "other")
    assert report.status == 0
    assert report.out.index("other") < report.out.index("first-box")
    assert "written: reports/OTB2015/report.html" in report.err
    assert Path("reports/OTB2015/first-box/performance.json").is_file()
    refused = onebit("track", "report", "data")
    assert refused.status == 2
    assert "reports/OTB2015 holds a report already" in refused.error
    printed = json.loads(onebit("track", "report", "data", "--strips", "0", "--json", "--overwrite").out)
    assert [one["tracker"] for one in printed["trackers"]] == ["first-box"]
    assert printed["report"] == "reports/OTB2015/report.html"


def test_in_a_process_of_its_own_with_two_workers(process: Callable, tmp_path: Path) -> None:
    done = process(
        "track",
        "evaluate",
        "data",
        "--tracker",
        "first-box",
        "--workers",
        2,
        "--sequences",
        "Left",
        "Right",
        cwd=tmp_path,
    )
    assert done.status == 0, done.err
    assert (tmp_path / "results" / "OTB2015" / "first-box" / "times" / "Right_time.txt").is_file()


def test_the_protocol_is_in_every_line(onebit: Callable) -> None:
    onebit("track", "evaluate", "data", "--tracker", "first-box")
    done = onebit("track", "evaluate", "data", "--scores-of", "results/OTB2015/first-box", "--protocol", "pysot")
    assert "OTB, protocol pysot, 2 sequences" in done.out


def test_a_split_without_ground_truth_is_run_and_not_scored(onebit: Callable) -> None:
    from PIL import Image

    got10k_sequence(Path("got/test/GOT-10k_Test_000001"), straight(1), images=2)
    for number in (1, 2):
        Image.new("RGB", (64, 48)).save(f"got/test/GOT-10k_Test_000001/{number:08d}.jpg")
    done = onebit("track", "evaluate", "got", "--tracker", "first-box", "--json")
    assert done.status == 0
    assert "nothing is scored" in done.err
    assert json.loads(done.out)["results"] == "results/GOT-10k/first-box"
    done = onebit("track", "evaluate", "got", "--tracker", "first-box", "--submission", "a.zip")
    assert done.status == 1
    assert "has 1 sequences; the server takes results of all 180" in done.error
    assert not Path("a.zip").exists()


def test_an_archive_that_cannot_be_is_refused_before_anything_is_run(onebit: Callable) -> None:
    done = onebit("track", "evaluate", "data", "--tracker", "first-box", "--submission", "a.zip")
    assert done.status == 2
    assert not Path("results").exists()


@pytest.mark.parametrize("action", ["evaluate", "report"])
def test_help_has_examples(onebit: Callable, action: str) -> None:
    done = onebit("track", action, "--help")
    assert done.status == 0
    assert f"Example: onebit track {action} data/OTB" in done.out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("evaluate data", 2, "give one of --tracker"),
        ("evaluate data --tracker first-box --scores-of results", 2, "give one of --tracker"),
        ("evaluate nowhere --tracker first-box", 1, "the data folder nowhere does not exist"),
        ("evaluate data --tracker first-bx", 2, "did you mean 'first-box'"),
        ("evaluate data --tracker first-box --layout obt", 2, "unknown layout 'obt'; did you mean 'otb'"),
        ("evaluate data --tracker first-box --subset TB51", 2, "unknown subset of OTB 'TB51'; did you mean 'TB50'"),
        ("evaluate data --tracker first-box --subset TB50", 1, "holds no sequence"),
        ("evaluate data --tracker first-box --sequences Lft", 2, "unknown sequence 'Lft'; did you mean 'Left'"),
        ("evaluate data --tracker first-box --protocol pysto", 2, "unknown protocol 'pysto'; did you mean 'pysot'"),
        ("evaluate data --tracker first-box --workers 0", 2, "at least 1"),
        ("evaluate data --tracker first-box --name a/b", 2, "cannot name a folder of results"),
        ("evaluate data --tracker first-box --repetitions 3", 2, "repetitions are for GOT-10k"),
        ("evaluate data --scores-of nowhere", 1, "the folder does not exist"),
        ("evaluate data --tracker first-box --submission a.zip", 2, "an archive is for GOT-10k's test split"),
        ("report data", 2, "there are no results in results/OTB2015"),
        ("report data --trackers none", 2, "unknown tracker in results/OTB2015 'none'"),
    ],
)
def test_what_is_wrong_is_one_sentence(onebit: Callable, words: str, status: int, message: str) -> None:
    done = onebit("track", *words.split())
    assert (done.status, done.out) == (status, "")
    assert message in done.error
