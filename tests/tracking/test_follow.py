"""Videos, folders and cameras in; boxes and videos out; the command without a display, and what it says when it cannot."""

import csv
import json
import re
import shutil
from typing import Any

import numpy as np
import pytest

from onebit.cli import main
from onebit.errors import DataError, UsageError
from onebit.tracking.baselines import FirstBox
from onebit.tracking.boxes import as_boxes, one_based_to_zero
from onebit.tracking.follow import follow
from onebit.tracking.outputs import Tracked, check_apart, check_output, draw_box, write_boxes
from onebit.tracking.video import Source
from onebit.tracking.window import check_window, select_box, show

cv2 = pytest.importorskip("cv2")

COUNT, WIDTH, HEIGHT = 7, 64, 48


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    for i in range(COUNT):
        image = np.full((HEIGHT, WIDTH, 3), 30 * i, np.uint8)  # each frame is known by its grey
        cv2.imwrite(str(folder / f"{i + 1:06}.png"), image)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (WIDTH, HEIGHT))
    for i in range(COUNT):
        writer.write(np.full((HEIGHT, WIDTH, 3), 30 * i, np.uint8))
    writer.release()
    return path


def run(capsys, *words):
    status = main(["track", "run", *map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize(
    ("start", "stride", "most", "numbers"),
    [(0, 1, 0, [0, 1, 2, 3, 4, 5, 6]), (2, 2, 0, [2, 4, 6]), (1, 3, 0, [1, 4]), (3, 1, 2, [3, 4]), (6, 5, 9, [6])],
)
def test_frames_of_folders_and_videos(frames, video, start, stride, most, numbers):
    for place, fps in ((frames, 25.0), (video, 10.0)):
        source = Source(place, start, stride, most)
        given = list(source)
        source.close()
        assert [frame.number for frame in given] == numbers
        assert [round(float(frame.image.mean()) / 30) for frame in given] == numbers
        assert given[0].image.shape == (HEIGHT, WIDTH, 3)
        assert source.total == len(numbers)
        assert source.fps == pytest.approx(fps / stride)
        assert [frame.seconds for frame in given] == pytest.approx([n / fps for n in numbers])


def test_frames_are_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.full((4, 4, 3), (255, 0, 0), np.uint8))  # blue, as OpenCV writes it
    assert next(iter(Source(tmp_path))).image[0, 0].tolist() == [0, 0, 255]


def test_sources_that_cannot_be(tmp_path, frames, video):
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 50)
    (tmp_path / "gap").mkdir()
    for number in (1, 2, 4):
        (tmp_path / "gap" / f"{number:04}.png").write_bytes((frames / "000001.png").read_bytes())
    (tmp_path / "empty").mkdir()
    for place, words in (
        ("none.mp4", "there is no video or folder none.mp4"),
        (tmp_path / "broken.mp4", r"broken.mp4 cannot be decoded as a video.*ffmpeg"),
        (tmp_path / "gap", "frame 3 is missing"),
        (tmp_path / "empty", "holds no images"),
        ("97", "camera 97 cannot be opened"),
        ("http://127.0.0.1:9/x.mp4", "no video comes from the stream http://127.0.0.1:9/x.mp4; check its address"),
    ):
        with pytest.raises(DataError, match=words):
            Source(place)
    for numbers, words in (
        ((7, 1, 0), "the last is number 6"),
        ((-1, 1, 0), "got -1"),
        ((0, 0, 0), "stride at least 1"),
    ):
        for place in (frames, video):
            with pytest.raises(UsageError, match=words):
                Source(place, *numbers)


def test_a_frame_that_cannot_be_decoded_is_named(tmp_path, frames):
    for path in frames.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "000004.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"000004\.png"):
        list(Source(tmp_path))


def test_a_video_that_ends_early_is_told(tmp_path, capfd, video):
    *begun, _ = video.read_bytes().split(b"00dc")[:5]  # what stands before each frame
    (tmp_path / "cut.avi").write_bytes(b"00dc".join(begun))
    words = ["--model", "first-box", "--init", "1,2,5,5"]
    status, _, told = run(capfd, tmp_path / "cut.avi", *words)
    assert status == 0
    (note,) = told.splitlines()  # and nothing from FFmpeg
    assert re.fullmatch(rf"note: .*cut.avi ended after [1-{COUNT - 1}] of {COUNT} frames; .*cut off", note)
    assert run(capfd, video, *words)[2] == ""
    assert run(capfd, video, *words, "--max-frames", "3")[2] == ""


def tracked(count=3):
    return [Tracked(5 + i, i / 10, np.array([i, 2.0, 10.1234, 20]), 0.5, 1.25) for i in range(count)]


def test_boxes_as_text_csv_and_json(tmp_path):
    for kind in ("txt", "csv", "json"):
        write_boxes(tmp_path / f"zero.{kind}", tracked())
        write_boxes(tmp_path / f"one.{kind}", tracked(), one_based=True)
    assert (tmp_path / "zero.txt").read_text().splitlines()[1] == "1.000,2.000,10.123,20.000"
    read = [np.loadtxt(tmp_path / f"{name}.txt", delimiter=",") for name in ("zero", "one")]
    assert np.array_equal(one_based_to_zero(read[1]), read[0])
    with open(tmp_path / "one.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[2] == {
        "frame": "7", "seconds": "0.2", "x": "3.0", "y": "3.0", "w": "10.123", "h": "20.0", "score": "0.5", "scale": "1.25",
    }  # fmt: skip
    content = json.loads((tmp_path / "zero.json").read_text())
    assert content["convention"].endswith("(0, 0)")
    assert content["frames"][0]["frame"] == 5
    assert len(content["frames"]) == 3


def test_outputs_that_cannot_be(tmp_path):
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"there.csv is there already.*--overwrite"):
        check_output(tmp_path / "there.csv", (".csv",), overwrite=False)
    with pytest.raises(UsageError, match=r"x.xls ends in none of .txt, .csv, .json"):
        write_boxes(tmp_path / "x.xls", tracked())
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_drawing_leaves_the_image_alone():
    image = np.zeros((60, 80, 3), np.uint8)
    drawn = draw_box(image, np.array([10, 20, 30, 15.0]), "7  score 0.5", (255, 0, 0))
    assert not image.any()
    assert drawn[20, 10:40].tolist() == [[255, 0, 0]] * 30
    assert drawn[34, 39].tolist() == [255, 0, 0]
    assert not drawn[26, 20].any()
    assert draw_box(image, np.array([-1e30, 5, 1e30, 1e9])).shape == image.shape


@pytest.mark.parametrize("ending", ["mp4", "avi", "mkv"])
def test_a_written_video_has_the_frames(tmp_path, frames, ending):
    outcome = follow(FirstBox(), Source(frames), lambda _: np.array([5, 5, 20, 20.0]), video=tmp_path / f"out.{ending}")
    assert len(outcome.tracked) == COUNT
    assert outcome.fps > outcome.fps_in_all > 0
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{ending}"]
    (tmp_path / "plain").touch()
    assert (tmp_path / f"out.{ending}").stat().st_mode == (tmp_path / "plain").stat().st_mode
    again = list(Source(tmp_path / f"out.{ending}"))
    assert len(again) == COUNT
    assert again[4].image.shape == (HEIGHT, WIDTH, 3)


def test_a_failure_leaves_what_was_tracked_until_then(capsys, tmp_path, frames):
    folder, boxes, out = tmp_path / "frames", tmp_path / "b.csv", tmp_path / "v.avi"
    shutil.copytree(frames, folder)
    (folder / "000004.png").write_bytes(b"no image")
    words = [folder, "--model", "first-box", "--init", "4,5,20,10"]
    status, printed, told = run(capsys, *words, "--save-boxes", boxes, "--save-video", out)
    assert (status, printed) == (1, "")
    assert re.search(rf"000004.png is not a readable image.*3 frames until then are kept in {out} and {boxes}", told)
    assert len(boxes.read_text().splitlines()) == 4
    assert len(list(Source(out))) == 3
    (folder / "000001.png").write_bytes(b"no image")
    early = run(capsys, *words, "--save-video", tmp_path / "none.avi")
    assert "000001.png is not a readable image" in early[2]
    assert "kept" not in early[2]
    assert "kept" not in run(capsys, *words, "--start", "1")[2]  # nothing was to be written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.csv", "frames", "v.avi"]


def test_keys_end_and_start_anew(frames):
    answers = iter(["", "r", "", "q"])
    asked = []

    def first_box(image):
        asked.append(round(float(image.mean()) / 30))
        return np.array([len(asked), 5, 20, 20.0])

    outcome = follow(FirstBox(), Source(frames), first_box, watch=lambda one, drawing: next(answers))
    assert asked == [0, 2]
    assert [one.box[0] for one in outcome.tracked] == [1, 1, 2, 2]


def test_without_a_new_box_the_old_target_is_followed(frames):
    chosen = iter([np.array([1, 5, 20, 20.0]), None])
    outcome = follow(FirstBox(), Source(frames), lambda _: next(chosen), watch=lambda one, _: "r" * (one.number == 2))
    assert [one.box[0] for one in outcome.tracked] == [1] * COUNT
    with pytest.raises(UsageError, match=r"no box was drawn.*--init x,y,w,h"):
        follow(FirstBox(), Source(frames), lambda _: None)


class Screen:
    """Windows of OpenCV that are not there: each wait takes the next of ``acts``, a key, "X" or mouse events."""

    def __init__(self, monkeypatch, *acts):
        self.acts, self.open, self.told = iter(acts), False, True
        self.mouse: Any = None
        monkeypatch.setenv("DISPLAY", ":0")
        for name in ("namedWindow", "imshow", "destroyAllWindows", "setMouseCallback", "getWindowProperty", "waitKey"):
            monkeypatch.setattr(cv2, name, getattr(self, name))

    def namedWindow(self, *_):
        self.open = True

    def imshow(self, title, image):
        self.open = True

    def destroyAllWindows(self):
        self.open = False

    def setMouseCallback(self, title, call):
        self.mouse = call

    def getWindowProperty(self, title, what):
        return float(self.open) if self.told else -1.0

    def waitKey(self, milliseconds):
        act = next(self.acts, "") if self.open else ""
        if act == "X":
            self.open = False
        elif isinstance(act, list):
            for event, x, y in act:
                self.mouse(getattr(cv2, f"EVENT_{event}"), x, y, 0, None)
        return ord(act) if isinstance(act, str) and len(act) == 1 and act != "X" else -1


def drag(x0, y0, x1, y1):
    return [
        ("MOUSEMOVE", 1, 1),
        ("LBUTTONDOWN", x0, y0),
        ("MOUSEMOVE", 3, 3),
        ("LBUTTONUP", x1, y1),
        ("MOUSEMOVE", 9, 9),
    ]


@pytest.mark.parametrize(
    ("acts", "box"),
    [
        ([drag(10, 5, 29, 14), "\r"], [10, 5, 20, 10]),
        ([drag(29, 14, 10, 5), " "], [10, 5, 20, 10]),
        (["", "\r", drag(7, 7, 7, 7), "\r", drag(40, 30, 99, -9), "\n"], [40, 0, 24, 31]),  # Enter needs a box
        ([drag(10, 5, 29, 14), "c"], None),
        (["\x1b"], None),
        ([drag(10, 5, 29, 14), "X"], None),
    ],
)
@pytest.mark.parametrize("stay", [False, True])
def test_a_box_is_drawn_with_the_mouse(monkeypatch, acts, box, stay):
    screen = Screen(monkeypatch, *acts)
    drawn = select_box(np.zeros((HEIGHT, WIDTH, 3), np.uint8), stay)
    assert (drawn if drawn is None else drawn.tolist()) == box
    assert screen.open == (stay and "X" not in acts)


def test_what_is_pressed_while_watching(monkeypatch):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for acts, answer in (
        (["r"], "r"),
        (["q"], "q"),
        (["x"], ""),
        (["X"], "q"),
        ([" ", "", "r"], "r"),
        ([" ", "X"], "q"),
    ):
        Screen(monkeypatch, *acts)
        assert show(image) == answer
    Screen(monkeypatch).told = False  # an OpenCV that does not say whether the window is there
    assert show(image) == ""


def test_a_closed_window_that_opencv_no_longer_knows(monkeypatch):
    Screen(monkeypatch)

    def unknown(*_):
        raise cv2.error("NULL window")

    monkeypatch.setattr(cv2, "getWindowProperty", unknown)
    assert show(np.zeros((HEIGHT, WIDTH, 3), np.uint8)) == "q"


def test_a_cancelled_new_box_keeps_the_video(capsys, monkeypatch, tmp_path, video):
    Screen(monkeypatch, "", "r", "c")
    words = ["--model", "first-box", "--init", "4,5,20,10", "--show", "--json", "--quiet"]
    status, printed, told = run(capsys, video, *words, "--save-video", tmp_path / "v.avi")
    assert status == 0, told
    assert json.loads(printed)["last_box"] == [4, 5, 20, 10]
    assert len(list(Source(tmp_path / "v.avi"))) == COUNT


def test_an_output_is_neither_the_source_nor_the_other_output(capsys, tmp_path, frames, video):
    clip, folder = tmp_path / "clip.avi", tmp_path / "frames"
    clip.write_bytes(video.read_bytes())
    shutil.copytree(frames, folder)
    (tmp_path / "link.avi").symlink_to(clip)
    (tmp_path / "hard.avi").hardlink_to(clip)
    (folder / "boxes.csv").symlink_to(folder / "000002.png")
    words = ["--model", "first-box", "--init", "4,5,20,10", "--overwrite"]
    for source, option, output, of in (
        (clip, "--save-video", clip, clip),
        (clip, "--save-video", tmp_path / "link.avi", clip),
        (tmp_path / "link.avi", "--save-video", clip, tmp_path / "link.avi"),
        (tmp_path / "hard.avi", "--save-video", tmp_path / "frames/../clip.avi", tmp_path / "hard.avi"),
        (f"file://{clip}", "--save-video", clip, clip),
        (folder, "--save-boxes", folder / "boxes.csv", folder / "000002.png"),
    ):
        status, _, told = run(capsys, source, *words, option, output)
        assert status == 2
        assert f"{output} is the same file as {of}, which would be lost" in told
    (tmp_path / "other.csv").symlink_to(tmp_path / "link.avi")
    with pytest.raises(UsageError, match="the same file"):
        check_apart([tmp_path / "other.csv", clip], [])
    check_apart([tmp_path / "new.avi", tmp_path / "new.csv"], [clip])
    assert clip.read_bytes() == video.read_bytes()


def test_the_box_in_four_words(capsys, frames):
    for box in (["4", "5", "20", "10"], ["4,", "5,", "20,", "10"], ["-4.5", "5", "20", "10"], ["4,5,20,10"]):
        for words in ([frames, "--init", *box], ["--init", *box, frames]):
            status, printed, told = run(capsys, *words, "--model", "first-box", "--quiet", "--json")
            assert status == 0, told
            assert json.loads(printed)["last_box"][1:] == [5, 20, 10]
    assert "four numbers x,y,w,h" in run(capsys, frames, "--init", "4", "5", "20", "--model", "first-box")[2]


def test_text_is_no_box():
    for wrong in ("abc", [1, 2, "x", 4], [[1, 2, 3, 4], [5]]):
        with pytest.raises(UsageError, match="numbers x, y, w, h; got"):
            as_boxes(wrong)


def test_the_command_tracks_without_a_display(capsys, monkeypatch, tmp_path, video):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    boxes, out = tmp_path / "b.csv", tmp_path / "v.mp4"
    words = [video, "--model", "first-box", "--init", "4,5,20,10", "--save-boxes", boxes, "--save-video", out]
    status, printed, told = run(capsys, *words, "--max-frames", 5)
    assert status == 0, told
    assert "5 frames" in printed
    assert f"written: {boxes}" in printed
    assert len(boxes.read_text().splitlines()) == 6
    assert len(list(Source(out))) == 5
    before = boxes.read_text()
    status, printed, told = run(capsys, *words)
    assert (status, printed) == (2, "")
    assert "is there already" in told
    assert boxes.read_text() == before
    status, printed, _ = run(capsys, *words, "--overwrite", "--json", "--quiet")
    figures = json.loads(printed)
    assert (figures["frames"], figures["last_box"]) == (COUNT, [4, 5, 20, 10])
    assert figures["files"] == [str(out), str(boxes)]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("--model first-box", 2, "there is no display to open a window on; give the first box with --init x,y,w,h"),
        ("--model first-box --init 1,2,3,4 --show", 2, "no display"),
        ("--init 1,2,3,4", 2, "name the tracker: --model"),
        ("--model first-box --init 1,2,3", 2, "four numbers x,y,w,h"),
        ("--model first-box --init 1,2,0,5", 2, "above 0"),
        ("--model first-box --init 64,2,5,5", 2, "outside the image of 64x48"),
        ("--model first-box --init 1,2,5,5 --start 99", 2, "the last is number 6"),
        ("--model first-bx --init 1,2,5,5", 2, "did you mean 'first-box'"),
        ("--model none.pt --init 1,2,5,5", 1, "there is no run folder or checkpoint none.pt"),
        ("--model first-box --init 1,2,5,5 --save-video x.gif", 2, "x.gif ends in none of .mp4, .avi, .mkv"),
        ("--model first-box --init 1,2,5,5 --save-boxes x", 2, "ends in none of .txt"),
        (f"--model first-box --init 1,2,5,5 --save-boxes {__file__}/x.txt", 2, "no folder that you may write to"),
        ("--model first-box --init 1,2,5,5 --threads -1", 2, "threads is at least 1, or 0"),
    ],
)
def test_what_the_command_says_when_it_cannot(capsys, monkeypatch, frames, words, status, message):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    got, printed, told = run(capsys, frames, *words.split())
    assert (got, printed) == (status, "")
    assert message in told


def test_an_opencv_without_windows_is_explained(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")

    def refuse(*_):
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(UsageError, match=r"opencv-python-headless.*--init.*pip install opencv-python"):
        check_window("give --init")


def test_track_train_through_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "clip").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"clip/{i + 1}.png"), rng.integers(0, 256, (90, 120, 3), np.uint8))
    (tmp_path / "clip/groundtruth.txt").write_text("30,30,25,25\n" * 3)
    words = "track train siamfc-cpu --data clip --training.epochs 1 --training.threads 1 --model.widths 4 6 6 6 4"
    more = "--pairs.per-sequence 2 --pairs.measured 1 --data.batch-size 2 --data.workers 0 --run-dir out --json --quiet"
    assert main([*words.split(), *more.split()]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 1
    assert (tmp_path / "out/checkpoints/epoch-001.pt").exists()
    assert main(["track", "train", "siamfc-cpu", "--data", "nowhere"]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err
    assert main(["track", "trian"]) == 2
    assert "did you mean 'train'" in capsys.readouterr().err
