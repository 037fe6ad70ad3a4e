"""Evaluation: results that say what a tracker did, going on after a stop, several processes, and nothing written over."""

import json
import multiprocessing
import socket
import sys
from functools import partial

import numpy as np
import pytest

from benchmark_trees import square_video, straight, write_rows
from onebit.errors import DataError, OnebitError, UsageError
from onebit.tracking.baselines import FirstBox, OpenCVMil
from onebit.tracking.evaluate import RECORD, read_record, run_tracker, track_sequence
from onebit.tracking.layouts import load_sequences
from onebit.tracking.protocols import score_tracker
from onebit.tracking.results import read_result
from onebit.tracking.tracker import check_first_box
from trackers_in_processes import Deadly, Waiting

START = (5, 10, 12, 10)


class Bright:
    """Finds the brightest square: right in every frame of these videos."""

    def init(self, image, box):
        self.size = box[2:]

    def update(self, image):
        rows, columns = np.nonzero(image[..., 0] == 240)
        return np.array([columns.min(), rows.min(), *self.size], float), 1.0


class Broken(FirstBox):
    """Fails on videos that are 5 frames long, after two of them."""

    def update(self, image):
        self.calls = getattr(self, "calls", 0) + 1
        return (np.full(4, np.nan) if self.calls == 2 else self._box), 1.0


class Choosy(FirstBox):
    """Refuses a first box as the trackers of networks do."""

    def init(self, image, box):
        super().init(image, check_first_box(box, image))


@pytest.fixture
def data(tmp_path):
    for name, count in (("Left", 6), ("Right", 5), ("Up", 4)):
        boxes = straight(count, START, (3, 1, 0, 0))
        square_video(tmp_path / "data" / name / "img", boxes)
        write_rows(tmp_path / "data" / name / "groundtruth_rect.txt", boxes)
    return load_sequences(tmp_path / "data")


def test_a_perfect_tracker_is_scored_as_one(tmp_path, data):
    lines = []
    assert run_tracker(data, Bright, tmp_path / "T", {"tracker": "bright"}, say=lines.append) == 3
    assert [line.split(",")[0] for line in lines] == ["1/3 Left: 6 frames", "2/3 Right: 5 frames", "3/3 Up: 4 frames"]
    scores = score_tracker(data, tmp_path / "T", "bright")
    assert scores.headline() == {"success": pytest.approx(20 / 21), "precision": 1, "success_rate_0.50": 1}
    assert scores.speed.fps > 0
    np.testing.assert_array_equal(read_result(tmp_path / "T", data.sequences[0]).boxes[0], data.sequences[0].truth)
    record = json.loads((tmp_path / "T" / RECORD).read_text())
    assert record["settings"] == {"tracker": "bright", "repetitions": 1}
    assert record["sequences"]["Up"].keys() == {"frames", "first_box", "seconds", "reading_seconds", "workers"}


def test_it_goes_on_where_it_stopped(tmp_path, data):
    folder, settings = tmp_path / "T", {"tracker": "first-box"}
    run_tracker(data.select(["Right"]), FirstBox, folder, settings)
    before = (folder / "Right.txt").stat().st_mtime_ns
    lines = []
    assert run_tracker(data, FirstBox, folder, settings, say=lines.append) == 2
    assert lines[0] == "1 of 3 sequences are finished already"
    assert (folder / "Right.txt").stat().st_mtime_ns == before
    (folder / "Left.txt").unlink()
    assert run_tracker(data, FirstBox, folder, settings) == 1
    assert run_tracker(data, FirstBox, folder, settings) == 0
    assert run_tracker(data, FirstBox, folder, settings, overwrite=True) == 3


def test_replacing_some_results_leaves_the_record_of_the_others(tmp_path, data):
    folder, settings = tmp_path / "T", {"tracker": "first-box"}
    run_tracker(data, FirstBox, folder, settings)
    (folder / "Right.txt").write_text("1,2,3\n")
    assert run_tracker(data.select(["Right"]), FirstBox, folder, settings, overwrite=True) == 1
    assert run_tracker(data, FirstBox, folder, settings) == 0
    run_tracker(data.select(["Right"]), Bright, folder, {"tracker": "bright"}, overwrite=True)
    assert read_record(folder)["sequences"].keys() == {"Right"}


def test_results_of_other_settings_or_of_others_are_not_written_over(tmp_path, data):
    folder = tmp_path / "T"
    run_tracker(data, FirstBox, folder, {"tracker": "first-box"})
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(
        UsageError, match=r"other settings \(tracker 'first-box', now 'bright'\); choose another --name"
    ):
        run_tracker(data, Bright, folder, {"tracker": "bright"})
    (folder / RECORD).unlink()
    with pytest.raises(UsageError, match="a result of Left that was not written by this command"):
        run_tracker(data, Bright, folder, {"tracker": "bright"})
    assert {path: path.read_bytes() for path in folder.rglob("*.txt")}.items() <= before.items()
    assert run_tracker(data, Bright, folder, {"tracker": "bright"}, overwrite=True) == 3
    assert score_tracker(data, folder, "bright").headline()["precision"] == 1


def test_results_on_other_frames_are_not_taken_for_finished(tmp_path, data):
    folder = tmp_path / "T"
    run_tracker(data, FirstBox, folder, {})
    write_rows(tmp_path / "data" / "Up" / "groundtruth_rect.txt", straight(4, (6, 10, 12, 10)))
    with pytest.raises(UsageError, match="a result of Up with other frames or another first box"):
        run_tracker(load_sequences(tmp_path / "data"), FirstBox, folder, {})


def test_a_damaged_record_is_named(tmp_path, data):
    folder = tmp_path / "T"
    run_tracker(data, FirstBox, folder, {})
    good = (folder / RECORD).read_text()
    for text in ("{", "[]", "{}", '{"settings": {}, "sequences": []}', good.replace('"seconds"', '"time"')):
        (folder / RECORD).write_text(text)
        with pytest.raises(DataError, match=r"evaluation\.json is damaged"):
            run_tracker(data, FirstBox, folder, {})
    assert read_record(tmp_path) == {}


def test_what_fails_is_named_and_the_rest_is_kept(tmp_path, data):
    folder = tmp_path / "T"
    with pytest.raises(
        OnebitError, match=r"1 of 3 sequences failed, the others are kept\. Left: the tracker gave .*0003\.png"
    ):
        run_tracker(data, Broken, folder, {})
    assert sorted(read_record(folder)["sequences"]) == ["Right", "Up"]
    assert not (folder / "Left.txt").exists()
    data.sequences[1].frames[2].write_bytes(b"no image")
    with pytest.raises(OnebitError, match=r"Right: .*0003\.png is not a readable image"):
        run_tracker(data, FirstBox, tmp_path / "U", {})


@pytest.mark.parametrize(("row", "told"), [("5,5,0,10", "5,5,0,10"), ("65\t1\t9.5\t9", "65,1,9.5,9")])
def test_a_first_box_that_shows_nothing_is_told_once_as_it_is_written(tmp_path, data, row, told):
    path = tmp_path / "data" / "Up" / "groundtruth_rect.txt"
    path.write_text("\n".join([row, *path.read_text().splitlines()[1:]]))
    lines = []
    with pytest.raises(OnebitError) as failed:
        run_tracker(load_sequences(tmp_path / "data"), Choosy, tmp_path / "T", {}, say=lines.append)
    assert f"Up: {path}, line 1: the tracker cannot start on {told} (x,y,w,h) in an image of 64x48 pixels" in str(
        failed.value
    )
    assert lines[-1] == "3/3 Up: failed; the cause is told at the end"
    assert "cannot start" not in "".join(lines)


def test_processes_end_with_the_one_that_started_them(tmp_path, data):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        make = partial(Waiting, server.getsockname()[1])
        context = multiprocessing.get_context("spawn")
        parent = context.Process(target=run_tracker, args=(data, make, tmp_path / "T", {}), kwargs={"workers": 2})
        parent.start()
        try:
            workers = [server.accept()[0] for _ in range(2)]
        finally:
            parent.kill()
        for worker in workers:
            with worker:
                worker.settimeout(20)
                assert worker.recv(1) == b""
        parent.join()


def test_several_processes_give_the_same_files(tmp_path, data):
    run_tracker(data, FirstBox, tmp_path / "one", {})
    assert run_tracker(data, FirstBox, tmp_path / "two", {}, workers=2) == 3
    for sequence in data.sequences:
        name = f"{sequence.name}.txt"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_process_that_dies_is_one_sentence(tmp_path, data):
    with pytest.raises(OnebitError, match=r"a process that runs the tracker died .* with --workers 1"):
        run_tracker(data, Deadly, tmp_path / "T", {}, workers=2)


def test_numbers_that_cannot_be(tmp_path, data):
    with pytest.raises(UsageError, match="at least 1"):
        run_tracker(data, FirstBox, tmp_path, {}, workers=0)
    with pytest.raises(UsageError, match="repetitions are for GOT-10k"):
        run_tracker(data, FirstBox, tmp_path, {}, repetitions=3)


def test_opencv_mil_follows(data):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    sequence = data.sequences[0]
    track = track_sequence(OpenCVMil(), sequence).boxes
    np.testing.assert_array_equal(track[0], sequence.boxes[0])
    errors, moved = np.abs(track - sequence.boxes), np.abs(sequence.boxes[0] - sequence.boxes)
    assert errors[-1, :2].max() < moved[-1, :2].max() / 2


def test_opencv_mil_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UsageError, match=r"onebit\[track\]"):
        OpenCVMil()
