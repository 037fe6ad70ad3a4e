"""The report of trackers: tables, performance.json, plots, and a page with film strips that needs nothing but itself."""

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from benchmark_trees import got10k_sequence, otb_sequence, square_video, straight, write_rows
from onebit.errors import DataError, UsageError
from onebit.reports.figures.tracking import Curve, success_figure, tracker_colours
from onebit.reports.film_strip import TRUTH, film_strip, place_view, view_size
from onebit.tracking.layouts import load_sequences
from onebit.tracking.report import Entry, find_entries, write_tracking_report

START = (5, 10, 12, 10)


@pytest.fixture
def data(tmp_path):
    for name, count in (("Left", 6), ("Up<b>", 4)):
        boxes = straight(count, START, (3, 1, 0, 0))
        square_video(tmp_path / "data" / name / "img", boxes)
        write_rows(tmp_path / "data" / name / "groundtruth_rect.txt", boxes)
    return load_sequences(tmp_path / "data")


@pytest.fixture
def entries(tmp_path, data):
    """A perfect tracker, one that stays, and one that is far away, called by a name that HTML must not take for its own."""
    ways = {
        "stays": lambda t: t[:1].repeat(len(t), 0),
        "perfect": lambda t: t,
        "_a<way>": lambda t: t + np.array([900, 0, 0, 0]),
    }
    for name, way in ways.items():
        for one in data.sequences:
            write_rows(tmp_path / "results" / "OTB2015" / name / f"{one.name}.txt", way(one.truth))
    return find_entries(data, tmp_path / "results")


def test_everything_is_written(tmp_path, data, entries):
    report = write_tracking_report(data, entries, tmp_path / "reports")
    home = tmp_path / "reports" / "OTB2015"
    written = {path.relative_to(home).as_posix() for path in report.files}
    assert written == {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    plots = {f"{name}_plots.{kind}" for name in ("success", "precision") for kind in ("png", "svg")}
    files = {"report.html", "scores.csv", "scores.md", "sequences.csv"} | plots
    assert written == files | {f"{entry.name}/performance.json" for entry in entries}
    assert [row[0] for row in report.table.rows] == ["perfect", "stays", "_a<way>"]  # best first
    assert report.table.title == "OTB, protocol got10k, 2 sequences"
    rows = list(csv.DictReader(io.StringIO((home / "sequences.csv").read_text())))
    assert [(row["tracker"], row["sequence"], row["frames"]) for row in rows[:2]] == [
        ("_a<way>", "Left", "6"),
        ("_a<way>", "Up<b>", "4"),
    ]
    assert float(next(row for row in rows if row["tracker"] == "perfect")["success"]) == pytest.approx(20 / 21)
    performance = json.loads((home / "perfect" / "performance.json").read_text())
    assert performance["perfect"]["overall"]["success_score"] == pytest.approx(20 / 21)
    assert performance["perfect"]["protocol"] == "got10k"
    for name in ("scores.csv", "sequences.csv"):
        rows = list(csv.DictReader(io.StringIO((home / name).read_text())))
        assert {(row["data"], row["protocol"]) for row in rows} == {("OTB", "got10k")}
    before = {path: path.read_bytes() for path in report.files}
    write_tracking_report(data, entries, tmp_path / "reports", overwrite=True)
    assert {path: path.read_bytes() for path in report.files} == before


def test_a_report_is_replaced_wholly_or_not_at_all(tmp_path, data, entries):
    """No folder holds scores of two protocols, two selections of sequences or two sets of trackers."""
    report = write_tracking_report(data, entries, tmp_path / "reports", strips=0)
    home = tmp_path / "reports" / "OTB2015"
    (home / "stays" / "mine.txt").write_text("kept")
    before = {path: path.read_bytes() for path in home.rglob("*.*")}
    other = {"protocol": "pysot", "strips": 0}
    with pytest.raises(UsageError, match=r"OTB2015 holds a report already \(report\.html\); choose another --out or"):
        write_tracking_report(data.select(["Left"]), entries[1:2], tmp_path / "reports", **other)
    assert {path: path.read_bytes() for path in home.rglob("*.*")} == before
    again = write_tracking_report(data.select(["Left"]), entries[1:2], tmp_path / "reports", **other, overwrite=True)
    assert set(home.rglob("*.*")) == {*again.files, home / "stays" / "mine.txt"}
    assert len(again.files) == len(report.files) - 2
    report.page.unlink()  # what is left of a report, or another toolkit's numbers, is one as well
    for path in set(again.files) - {report.page}:
        if path.name != "performance.json":
            path.unlink()
    with pytest.raises(UsageError, match=r"already \(perfect/performance\.json\)"):
        write_tracking_report(data, entries, tmp_path / "reports")


def test_plots_name_trackers_with_their_scores_best_first(tmp_path, data, entries):
    write_tracking_report(data, entries, tmp_path / "reports", strips=0)
    svg = (tmp_path / "reports" / "OTB2015" / "success_plots.svg").read_text()
    legend = re.findall(r">(\d\.\d{3}) +(?:\u200b)?([^<]+)<", svg)
    assert [name for _, name in legend] == ["perfect", "stays", "_a&lt;way&gt;"]
    assert legend[0][0] == "0.952"
    with Image.open(tmp_path / "reports" / "OTB2015" / "precision_plots.png") as plot:
        assert plot.size[0] == 920


def test_plots_name_their_data_and_protocol(tmp_path, data, entries):
    write_tracking_report(data, entries, tmp_path / "reports", protocol="pysot", strips=0)
    for name, what in (("success_plots", "Success"), ("precision_plots", "Precision")):
        drawn = (tmp_path / "reports" / "OTB2015" / f"{name}.svg").read_text()
        assert f">{what}: OTB, protocol pysot, 2 sequences<" in drawn


def test_a_long_title_is_broken_and_says_all():
    title = "Success: " + "a name of a folder " * 8 + "protocol got10k"
    figure = success_figure([Curve("a", 1.0, [1.0, 0.0])], [0.0, 1.0], title, "AO", tracker_colours(["a"]))
    drawn = figure.axes[0].get_title(loc="left")
    assert drawn.split() == title.split()
    assert max(map(len, drawn.splitlines())) <= 56


def test_curves_that_coincide_are_all_seen():
    """Each is wider than those that are drawn over it; a curve of its own is as wide as ever."""
    same = [Curve(name, 0.5, [1.0, 0.0]) for name in ("a", "b", "c")]
    figure = success_figure(
        [*same, Curve("d", 0.4, [0.8, 0.0])], [0.0, 1.0], "Success", "AO", tracker_colours(["a", "b", "c", "d"])
    )
    widths = [line.get_linewidth() for line in figure.axes[0].lines]
    assert widths[0] > widths[1] > widths[2] == widths[3]
    assert widths == [line.get_linewidth() for line in figure.legends[0].get_lines()]


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.titles, self.captions, self.inside = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag

    def handle_data(self, text):
        if self.inside == "title":
            self.titles.append(text)
        if self.inside == "figcaption":
            self.captions.append(text)


def test_the_page_needs_nothing_and_shows_every_sequence(tmp_path, data, entries):
    report = write_tracking_report(data, entries, tmp_path / "reports", pictures=3)
    text = report.page.read_text()
    page = Page(text)
    assert not re.search(r'(?:href|src)="(?!data:|#)', text)
    assert "<script" not in text
    assert "<way>" not in text
    assert "<b>" not in text
    images = [attributes["href"] for tag, attributes in page.tags if tag == "image"]
    assert len(images) == 3 * len(data)
    assert all(image.startswith("data:image/jpeg;base64,") for image in images)
    assert {"perfect", "stays", TRUTH} <= set(page.titles)
    shown = [caption for caption in page.captions if caption.startswith("frame")]
    assert shown == [f"frame {number}" for number in (1, 3, 6, 1, 3, 4)]
    assert text.count('title="_a&lt;way&gt; is not in the picture"') == 6
    assert "perfect 0.952" in text
    assert "files of others" in text


def test_at_most_so_many_strips(tmp_path, data, entries):
    text = write_tracking_report(data, entries, tmp_path / "reports", strips=1).page.read_text()
    assert "Film strips are shown of the first 1 of 2 sequences." in text
    assert text.count('class="strip"') == 1
    with pytest.raises(UsageError, match="at least 1 picture"):
        write_tracking_report(data, entries, tmp_path / "reports", pictures=0)


def test_an_unreadable_image_is_said_on_the_page(tmp_path, data, entries):
    data.sequences[0].frames[0].write_bytes(b"no image")
    text = write_tracking_report(data, entries, tmp_path / "reports").page.read_text()
    assert "No film strip of Left" in text
    assert text.count('class="strip"') == 1


def test_boxes_are_drawn_where_they_are(tmp_path):
    """One frame of 64 x 48: the view is the whole image, 300 wide, so that a pixel is 300 / 64 units."""
    square_video(tmp_path, straight(1, START))
    strip = film_strip(
        [tmp_path / "0001.png"], [7], np.array([[4, 9, 12, 10.0]]), {"T": np.array([[8, 9, 12, 10.0]])}, {"T": "#f00"}
    )
    assert view_size(np.array([[4, 9, 12, 10.0]]), (64, 48)) == (64, 48)
    scale = 300 / 64
    assert f'x="{8 * scale:.1f}" y="{9 * scale:.1f}" width="{12 * scale:.1f}"' in strip
    assert f'x="{4 * scale:.1f}"' in strip
    assert "<figcaption>frame 7</figcaption>" in strip


def test_frames_of_another_size_and_of_sixteen_bits(tmp_path):
    """Every picture shows a whole frame, 300 wide: what lies at (10, 10) of a grey one is as bright as in the file."""
    for number, side in enumerate((64, 40), start=1):
        Image.fromarray(np.full((side, side), 0x4000, np.uint16)).save(tmp_path / f"{number}.png")
    boxes = np.array([[4, 9, 30, 30.0]] * 2)
    strip = film_strip([tmp_path / "1.png", tmp_path / "2.png"], [1, 2], boxes, {}, {})
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in re.findall(r"base64,([^\"]+)", strip)]
    assert [picture.width for picture in pictures] == [300, 300]
    assert [picture.getpixel((10, 10)) for picture in pictures] == [(0x40,) * 3] * 2


def test_views_stay_inside_the_image():
    rng = np.random.default_rng(0)
    for _ in range(200):
        image = tuple(int(v) for v in rng.integers(8, 900, 2))
        box = rng.uniform(-200, 1000, 2).tolist() + rng.uniform(0, 400, 2).tolist()
        size = view_size(np.array([box]), image)
        view = place_view(box, size, image)
        assert min(view.left, view.top) >= 0
        assert view.left + view.width <= image[0] + 1e-9
        assert view.top + view.height <= image[1] + 1e-9


def test_got10k_has_no_precision(tmp_path):
    got10k_sequence(tmp_path / "data" / "val" / "a", straight(4))
    for number in range(1, 5):
        Image.new("RGB", (320, 240)).save(tmp_path / "data" / "val" / "a" / f"{number:08d}.jpg")
    write_rows(tmp_path / "results" / "GOT-10k" / "T" / "a" / "a_001.txt", straight(4))
    data = load_sequences(tmp_path / "data")
    report = write_tracking_report(data, find_entries(data, tmp_path / "results"), tmp_path / "reports")
    assert not any("precision" in path.name for path in report.files)
    assert report.table.rows[0][:4] == ("T", 1.0, 1.0, 1.0)


def test_which_trackers(tmp_path, data, entries):
    assert [entry.name for entry in entries] == ["_a<way>", "perfect", "stays"]
    results = tmp_path / "results"
    assert find_entries(data, results, ["stays"]) == [Entry("stays", results / "OTB2015" / "stays")]
    other = tmp_path / "theirs" / "siam"
    assert find_entries(data, results, [], [other]) == [Entry("siam", other)]
    assert find_entries(data, results, [], [other / "times" / ".."])[0].name == "siam"
    with pytest.raises(UsageError, match="did you mean 'stays'"):
        find_entries(data, results, ["stay"])
    with pytest.raises(UsageError, match="there are no results in"):
        find_entries(data, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"there are no results in .*siam: the folder does not exist"):
        write_tracking_report(data, [Entry("siam", other)], tmp_path / "reports")
    with pytest.raises(UsageError, match="names of their own"):
        write_tracking_report(data, [entries[0], entries[0]], tmp_path / "reports")


def test_a_subset_of_otb_is_served_by_results_of_the_whole(tmp_path):
    otb_sequence(tmp_path / "data", "Couple", straight(3))
    for home in ("OTB2015", "OTBtb50"):
        (tmp_path / "results" / home / home).mkdir(parents=True)
    data = load_sequences(tmp_path / "data", subset="TB50")
    assert [entry.name for entry in find_entries(data, tmp_path / "results")] == ["OTB2015", "OTBtb50"]
