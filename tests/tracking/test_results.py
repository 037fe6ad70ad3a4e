"""Result files: written as the toolkits write them, read wherever others put them, refused where they are wrong."""

import zipfile

import numpy as np
import pytest

from benchmark_trees import got10k_sequence, otb_sequence, straight, touch_images, write_rows
from onebit.errors import DataError, UsageError
from onebit.tracking import submission
from onebit.tracking.layouts import load_sequences
from onebit.tracking.results import has_result, read_result, results_folder, write_result
from onebit.tracking.submission import write_submission


@pytest.fixture
def otb(tmp_path):
    otb_sequence(tmp_path / "data", "Ball", straight(3))
    for target in (1, 2):
        otb_sequence(tmp_path / "data", "Jogging", straight(3), file=f"groundtruth_rect.{target}.txt")
    return load_sequences(tmp_path / "data")


@pytest.fixture
def got(tmp_path):
    got10k_sequence(tmp_path / "data" / "val" / "a", straight(3))
    return load_sequences(tmp_path / "data")


def test_otb_files(tmp_path, otb):
    ball, folder = otb.sequences[0], results_folder(tmp_path / "results", otb, "T")
    boxes = straight(3) - [1, 1, 0, 0] + 0.12345
    assert write_result(folder, ball, [boxes], [np.array([0.5, 0.0123456789, 0.25])]) == [folder / "Ball.txt"]
    assert folder == tmp_path / "results" / "OTB2015" / "T"
    assert (folder / "Ball.txt").read_text().splitlines()[:2] == [
        "10.123,20.123,30.123,40.123",
        "11.123,20.123,30.123,40.123",
    ]
    assert (folder / "times" / "Ball_time.txt").read_text() == "0.50000000\n0.01234568\n0.25000000\n"
    result = read_result(folder, ball)
    np.testing.assert_array_equal(result.boxes[0], np.round(straight(3) + 0.12345, 3))
    np.testing.assert_array_equal(result.times, [0.5, 0.01234568, 0.25])


def test_got10k_files_and_fewer_repetitions_afterwards(tmp_path, got):
    (one,) = got.sequences
    folder = results_folder(tmp_path / "results", got, "T")
    boxes, times = one.boxes, np.full(3, 0.5)
    write_result(folder, one, [boxes, boxes + 1], [times, times / 2])
    assert sorted(path.name for path in (folder / "a").iterdir()) == ["a_001.txt", "a_002.txt", "a_time.txt"]
    assert (folder / "a" / "a_time.txt").read_text().splitlines()[0] == "0.50000000,0.25000000"
    assert len(read_result(folder, one).boxes) == 2
    write_result(folder, one, [boxes], [times])
    assert len(read_result(folder, one).boxes) == 1
    assert (folder / "a" / "a_time.txt").read_text() == "0.50000000\n" * 3  # replaced, no column added


def test_a_number_after_a_name_may_be_another_sequence(tmp_path):
    for name in ("ball", "ball_001"):
        touch_images(tmp_path / "data" / name, range(1, 4))
        write_rows(tmp_path / "data" / name / "groundtruth.txt", straight(3))
    ball, other = load_sequences(tmp_path / "data").sequences
    write_result(tmp_path / "T", other, [straight(3) + 1], [np.ones(3)])
    assert not has_result(tmp_path / "T", ball)
    write_result(tmp_path / "T", ball, [straight(3)], [np.ones(3)])
    for one, boxes in ((ball, straight(3)), (other, straight(3) + 1)):
        np.testing.assert_array_equal(read_result(tmp_path / "T", one).boxes, [boxes])


def test_a_wrong_number_of_boxes_is_not_written(tmp_path, otb):
    with pytest.raises(ValueError, match="for the 3 frames of Ball"):
        write_result(tmp_path, otb.sequences[0], [straight(2)], [np.ones(2)])
    assert not (tmp_path / "Ball.txt").exists()


@pytest.mark.parametrize("name", ["Jogging.2", "Jogging-2", "Jogging_2", "Jogging2"])
@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_other_toolkits_names_and_separators(tmp_path, otb, name, separator):
    write_rows(tmp_path / "T" / f"{name}.txt", straight(3), separator)
    np.testing.assert_array_equal(read_result(tmp_path / "T", otb.sequences[2]).boxes[0], straight(3))
    assert read_result(tmp_path / "T", otb.sequences[2]).times is None


@pytest.mark.parametrize("place", ["a/a_001.txt", "a_001.txt", "a.txt"])
def test_other_toolkits_places(tmp_path, got, place):
    write_rows(tmp_path / "T" / place, straight(3))
    assert len(read_result(tmp_path / "T", got.sequences[0]).boxes) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,2,3,4"] * 2, r"Ball\.txt has 2 rows for the 3 frames of Ball; run the tracker again"),
        (["1,2,3,4"] * 4, r"Ball\.txt has 4 rows for the 3 frames"),
        (
            ["1,2,3,4", "1,2,nan,4", "1,2,3,4"],
            r"Ball\.txt, line 2: NaN is not allowed in this result file; run the tracker again on this sequence$",
        ),
        (["1,2,3,4", "1,2,3,4", "1,2,-3,4"], r"Ball\.txt, line 3: width and height cannot be negative"),
        (["1,2,3,4", "1,2,3,4,0.9", "1,2,3,4"], r"Ball\.txt, line 2: a row of the result file has 4 columns"),
        ([], r"the result file .*Ball\.txt is empty"),
    ],
)
def test_wrong_files_are_refused(tmp_path, otb, rows, message):
    path = tmp_path / "T" / "Ball.txt"
    path.parent.mkdir()
    path.write_text("".join(f"{row}\n" for row in rows))
    with pytest.raises(DataError, match=message):
        read_result(tmp_path / "T", otb.sequences[0])


def test_missing_results_and_broken_times(tmp_path, otb):
    with pytest.raises(DataError, match=r"holds no result of Ball \(Ball\.txt or Ball/Ball_001\.txt\)"):
        read_result(tmp_path, otb.sequences[0])
    write_rows(tmp_path / "Ball.txt", straight(3))
    (tmp_path / "Ball_time.txt").write_text("0.1\nfast\n")
    with pytest.raises(DataError, match=r"Ball_time\.txt holds something that is no number of seconds"):
        read_result(tmp_path, otb.sequences[0])


# --- the archive -----------------------------------------------------------------------------------------------------


COUNT = 9


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    assert submission.TEST_SEQUENCES == 180
    monkeypatch.setattr(submission, "TEST_SEQUENCES", COUNT)
    for number in range(1, COUNT + 1):
        got10k_sequence(tmp_path / "data" / "test" / f"GOT-10k_Test_{number:06d}", straight(1), images=2)
    data = load_sequences(tmp_path / "data", subset="test")
    for one in data.sequences:
        write_result(tmp_path / "T", one, [np.repeat(one.boxes, 2, axis=0)], [np.full(2, 0.1)])
    return data, tmp_path / "T"


def test_an_archive_for_the_server(tmp_path, submitted):
    data, folder = submitted
    archive = tmp_path / "T.zip"
    assert write_submission(data, folder, archive) == 2 * COUNT
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        assert names[:2] == [f"GOT-10k_Test_000001/GOT-10k_Test_000001_{part}.txt" for part in ("001", "time")]
        assert packed.read(names[0]) == b"10.000,20.000,30.000,40.000\n" * 2
        assert packed.testzip() is None
    before = archive.read_bytes()
    assert write_submission(data, folder, archive) == 2 * COUNT
    assert archive.read_bytes() == before

    first = folder / "GOT-10k_Test_000007" / "GOT-10k_Test_000007_001.txt"
    good = first.read_text()
    for text, message in (
        ("10,20,30,40\n", "has 1 rows for the 2 frames"),
        ("10,20,30,40\n10,20,nan,40\n", "line 2: NaN"),
        ("11,20,30,40\n10,20,30,40\n", "line 1: the first box has to be the given one"),
    ):
        first.write_text(text)
        with pytest.raises(DataError, match=message):
            write_submission(data, folder, tmp_path / "other.zip")
    first.write_text(good)
    times = folder / "GOT-10k_Test_000009" / "GOT-10k_Test_000009_time.txt"
    times.unlink()
    with pytest.raises(DataError, match=r"the file of times .* is missing"):
        write_submission(data, folder, tmp_path / "other.zip")
    (data.root / "GOT-10k_Test_000004").rename(data.root / "elsewhere")
    fewer = load_sequences(data.root, subset="test")
    with pytest.raises(
        DataError, match="has 8 sequences, without GOT-10k_Test_000004; the server takes results of all 9"
    ):
        write_submission(fewer, folder, tmp_path / "other.zip")
    assert not (tmp_path / "other.zip").exists()
    with pytest.raises(UsageError, match=r"has to end in \.zip"):
        write_submission(data, folder, tmp_path / "T.tar")


def test_no_archive_of_other_data(tmp_path, got):
    with pytest.raises(UsageError, match="an archive is for GOT-10k's test split, this is GOT-10k val"):
        write_submission(got, tmp_path, tmp_path / "T.zip")
