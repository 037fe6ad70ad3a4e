"""Layouts are found by looking; the oddities of each benchmark are known; what is wrong is named with file and line."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from benchmark_trees import got10k_sequence, otb_sequence, straight, touch_images, uav_sequence, write_rows
from onebit.errors import DataError, OnebitError, UsageError
from onebit.tracking.layouts import LAYOUTS, find_layout, load_sequences
from onebit.tracking.layouts.otb_subsets import SUBSETS
from onebit.tracking.layouts.uav123 import RANGES, place
from onebit.tracking.sequences import list_frames, number_of


def numbers(sequence):
    return [number_of(path) for path in sequence.frames]


# --- finding ---------------------------------------------------------------------------------------------------------


def test_each_layout_is_found_and_said(tmp_path):
    got10k_sequence(tmp_path / "got" / "val" / "GOT-10k_Val_000001", straight(3))
    otb_sequence(tmp_path / "otb", "Ball", straight(3))
    uav_sequence(tmp_path / "uav", "ball1", straight(3), "ball1", range(1, 4))
    touch_images(tmp_path / "own", range(7, 10))
    write_rows(tmp_path / "own" / "boxes.csv", straight(3))
    expected = {
        "got": ("got10k", "GOT-10k val"),
        "got/val": ("got10k", "GOT-10k val"),
        "got/val/GOT-10k_Val_000001": ("got10k", "GOT-10k"),
        "otb": ("otb", "OTB"),
        "otb/Ball": ("otb", "OTB"),
        "uav": ("uav123", "UAV123"),
        "own": ("folder", "own"),
    }
    for where, (layout, title) in expected.items():
        assert find_layout(tmp_path / where) == layout
        found = load_sequences(tmp_path / where)
        assert (found.layout, found.title, len(found)) == (layout, title, 1)
        assert found.facts() == [f"{found.root}: {layout} layout, {title}, 1 sequence, 3 frames"]


def test_a_layout_can_be_forced(tmp_path):
    otb_sequence(tmp_path, "Ball", straight(3))
    touch_images(tmp_path, [1, 2])
    write_rows(tmp_path / "truth.txt", straight(2))
    assert [one.name for one in load_sequences(tmp_path).sequences] == ["Ball"]
    assert [len(one) for one in load_sequences(tmp_path, layout="folder").sequences] == [2]
    with pytest.raises(UsageError, match="unknown layout 'obt'; did you mean 'otb'"):
        load_sequences(tmp_path, layout="obt")


def test_names_do_not_depend_on_how_a_folder_is_written(tmp_path, monkeypatch):
    got10k_sequence(tmp_path / "val" / "a", straight(3))
    touch_images(tmp_path / "cat", range(3))
    write_rows(tmp_path / "cat" / "groundtruth.txt", straight(3))
    (tmp_path / "cat" / "notes").mkdir()
    monkeypatch.chdir(tmp_path / "val")
    assert load_sequences(".").subset == load_sequences("a/..").subset == "val"
    assert [one.name for one in load_sequences("a").sequences] == ["a"]
    monkeypatch.chdir(tmp_path / "cat" / "notes")
    own = load_sequences("..")
    assert (own.name, own.sequences[0].name) == ("cat", "cat")


def test_nothing_known_is_told_with_what_is(tmp_path):
    (tmp_path / "holiday.txt").write_text("1")
    with pytest.raises(DataError, match=r"holds holiday\.txt\. Known are") as caught:
        load_sequences(tmp_path)
    assert all(f"{name}: " in str(caught.value) for name in LAYOUTS)
    with pytest.raises(DataError, match="does not exist"):
        load_sequences(tmp_path / "nowhere")
    otb_sequence(tmp_path / "benchmarks" / "otb", "Ball", straight(3))
    with pytest.raises(DataError, match=r"but \S+otb has the layout otb: name that folder"):
        load_sequences(tmp_path / "benchmarks")


# --- OTB -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", "   "])
def test_separators(tmp_path, separator):
    otb_sequence(tmp_path, "Ball", straight(3), separator=separator)
    (ball,) = load_sequences(tmp_path).sequences
    np.testing.assert_array_equal(ball.truth, straight(3))
    np.testing.assert_array_equal(ball.boxes, straight(3) - [1, 1, 0, 0])


@pytest.mark.parametrize(
    ("name", "images", "first", "last"),
    [
        ("David", range(1, 771), 300, 770),
        ("David", range(300, 771), 300, 770),  # as some copies have it, cut to the annotation
        ("Football1", range(1, 82), 1, 74),
        ("Freeman3", range(1, 465), 1, 460),
        ("Freeman4", range(1, 300), 1, 283),
        ("Diving", range(1, 232), 1, 215),
        ("BlurCar1", range(247, 989), 247, 988),
        ("BlurCar3", range(3, 360), 3, 359),
        ("BlurCar4", range(18, 398), 18, 397),
    ],
)
def test_known_frame_ranges(tmp_path, name, images, first, last):
    otb_sequence(tmp_path, name, straight(last - first + 1), images)
    (sequence,) = load_sequences(tmp_path).sequences
    assert numbers(sequence) == list(range(first, last + 1))
    assert sequence.first_frame_number == first
    assert bool(sequence.note) == (len(images) > len(sequence))


def test_fewer_boxes_than_images_are_said_and_more_refused(tmp_path):
    truth = otb_sequence(tmp_path, "Ball", straight(3), range(1, 6))
    (ball,) = load_sequences(tmp_path).sequences
    assert len(ball) == 3
    assert ball.note == "3 boxes for 5 images: the images after the last box were left out"
    write_rows(truth, straight(6))
    with pytest.raises(DataError, match=r"groundtruth_rect\.txt has 6 boxes for 5 images"):
        load_sequences(tmp_path)


def test_two_targets_in_a_folder_and_their_four_names(tmp_path):
    for target in (1, 2):
        otb_sequence(tmp_path, "Jogging", straight(3, (target, 2, 3, 4)), file=f"groundtruth_rect.{target}.txt")
    otb_sequence(tmp_path, "Skater2", straight(3))
    found = load_sequences(tmp_path)
    assert [one.name for one in found.sequences] == ["Jogging.1", "Jogging.2", "Skater2"]
    assert found.sequences[1].truth[0, 0] == 2
    for name in ("Jogging.2", "Jogging-2", "Jogging_2", "Jogging2"):
        assert [one.name for one in load_sequences(tmp_path, names=[name]).sequences] == ["Jogging.2"]
    with pytest.raises(UsageError, match=r"unknown sequence 'Joging\.2'; did you mean 'Jogging\.2'"):
        load_sequences(tmp_path, names=["Joging.2"])


def test_an_empty_annotation_leaves_its_target_out(tmp_path):
    otb_sequence(tmp_path, "Human4", straight(3), file="groundtruth_rect.2.txt")
    (tmp_path / "Human4" / "groundtruth_rect.1.txt").write_text(" \n")
    found = load_sequences(tmp_path)
    assert [one.name for one in found.sequences] == ["Human4"]
    assert found.select(["Human4-2"]).sequences == found.sequences
    assert any("groundtruth_rect.1.txt is empty" in fact for fact in found.facts())


def test_nothing_but_empty_annotations(tmp_path):
    otb_sequence(tmp_path, "Ball", straight(3)).write_text("\n")
    with pytest.raises(
        DataError, match=r"holds no sequence in the layout otb .*; \S+Ball/groundtruth_rect\.txt is empty"
    ):
        load_sequences(tmp_path)


def test_nothing_of_a_subset(tmp_path):
    otb_sequence(tmp_path, "Ball", straight(3))
    otb_sequence(tmp_path, "Couple", straight(3)).write_text("")
    with pytest.raises(
        DataError, match=r"Couple/\S+ is empty .*; of TB50, these are not there: Basketball, Biker,"
    ) as told:
        load_sequences(tmp_path, subset="TB50")
    assert "Ball/" not in str(told.value)
    got10k_sequence(tmp_path / "val" / "a", straight(3))
    (tmp_path / "val" / "list.txt").write_text("z\n")
    with pytest.raises(DataError, match="of val, these are not there: z"):
        load_sequences(tmp_path, layout="got10k")


def test_five_digit_names(tmp_path):
    otb_sequence(tmp_path, "Board", straight(12), digits=5)
    (board,) = load_sequences(tmp_path).sequences
    assert board.frames[-1].name == "00012.jpg"


def test_names_that_would_mean_two_targets_are_refused(tmp_path):
    for target in (1, 2):
        otb_sequence(tmp_path, "Skater", straight(3), file=f"groundtruth_rect.{target}.txt")
    otb_sequence(tmp_path, "Skater2", straight(3))
    with pytest.raises(DataError, match="two targets would both be called 'Skater2'"):
        load_sequences(tmp_path)


def test_named_subsets(tmp_path):
    assert {name: len(names) for name, names in SUBSETS.items()} == {
        "OTB2013": 50,
        "TB50": 49,
        "TB100": 98,
        "OTB2015": 98,
    }
    assert all(len(set(names)) == len(names) for names in SUBSETS.values())
    assert set(SUBSETS["TB50"]) < set(SUBSETS["TB100"])
    assert set(SUBSETS["OTB2013"]) - set(SUBSETS["TB100"]) == set()
    for name in ("Couple", "Man", "Ball"):
        otb_sequence(tmp_path, name, straight(3))
    names = {subset: [one.name for one in load_sequences(tmp_path, subset=subset).sequences] for subset in SUBSETS}
    assert names == {
        "OTB2013": ["Couple"],
        "TB50": ["Couple"],
        "TB100": ["Couple", "Man"],
        "OTB2015": ["Couple", "Man"],
    }
    found = load_sequences(tmp_path, subset="tb100")
    assert (found.name, found.title, len(found.missing)) == ("OTBtb100", "TB100", 96)
    assert "96 of the 98 sequences of TB100 are not there (Basketball, Biker," in found.facts()[1]
    with pytest.raises(UsageError, match="unknown subset of OTB 'TB51'; did you mean 'TB50'"):
        load_sequences(tmp_path, subset="TB51")


# --- UAV123 ----------------------------------------------------------------------------------------------------------


def test_sequences_that_share_a_folder(tmp_path):
    touch_images(tmp_path / "data_seq" / "UAV123" / "truck4", range(1, 1262), 6)
    write_rows(tmp_path / "anno" / "UAV123" / "truck4_1.txt", straight(577))
    write_rows(tmp_path / "anno" / "UAV123" / "truck4_2.txt", straight(685))
    first, second = load_sequences(tmp_path).sequences
    assert (numbers(first)[0], numbers(first)[-1]) == (1, 577)
    assert (numbers(second)[0], numbers(second)[-1], second.first_frame_number) == (577, 1261, 577)
    write_rows(tmp_path / "anno" / "UAV123" / "truck4_2.txt", straight(684))
    with pytest.raises(DataError, match=r"truck4_2\.txt has 684 lines for frames 577 to 1261, which are 685"):
        load_sequences(tmp_path)


def test_the_table_of_ranges():
    assert sum(len(parts) for parts in RANGES.values()) == 51
    assert all(first < last for parts in RANGES.values() for first, last in parts)
    assert all(a[1] <= b[0] for parts in RANGES.values() for a, b in itertools.pairwise(parts))
    # From the published list of UAV123_10fps, not from its rule.
    known = {"bird1_3": (525, 813), "car6_5": (1309, 1621), "group3_4": (1457, 1843), "uav1_3": (825, 1157)}
    assert {name: place(name, "UAV123_10fps")[1] for name in known} == known
    assert place("bird1", "UAV20L") == ("bird1", None)
    assert place("car1_s") == ("car1_s", None)


def test_ten_frames_a_second(tmp_path):
    touch_images(tmp_path / "data_seq" / "UAV123_10fps" / "bird1", range(1, 494), 6)
    write_rows(tmp_path / "anno" / "UAV123_10fps" / "bird1_2.txt", straight(235))
    found = load_sequences(tmp_path)
    assert (found.title, found.name) == ("UAV123_10fps", "UAV123_10fps")
    assert (numbers(found.sequences[0])[0], numbers(found.sequences[0])[-1]) == (259, 493)


def test_absent_targets_and_missing_images(tmp_path):
    boxes = straight(4)
    boxes[2] = math.nan
    uav_sequence(tmp_path, "bike1", boxes, "bike1", range(1, 7))
    write_rows(tmp_path / "anno" / "UAV123" / "boat1.txt", straight(4))
    found = load_sequences(tmp_path)
    assert found.sequences[0].absent.tolist() == [False, False, True, False]
    assert len(found.sequences[0]) == 4
    assert found.missing == ("boat1",)
    with pytest.raises(DataError, match=r"UAV20L does not exist; there is: UAV123"):
        load_sequences(tmp_path, subset="uav20l")


def test_annotations_alone_are_enough_for_scores(tmp_path):
    write_rows(tmp_path / "anno" / "UAV123" / "truck4_2.txt", straight(685))
    found = load_sequences(tmp_path)
    assert (numbers(found.sequences[0])[0], len(found.sequences[0])) == (577, 685)
    assert "result files can be scored, but no tracker can be run" in found.facts()[1]


# --- GOT-10k ---------------------------------------------------------------------------------------------------------


def test_facts_of_a_sequence(tmp_path):
    got10k_sequence(tmp_path / "val" / "a", straight(3), cover=[8, 0, 3], resolution=(640, 360))
    got10k_sequence(tmp_path / "train" / "b", straight(3))
    (one,) = load_sequences(tmp_path).sequences
    assert (one.resolution, one.object_class, one.cover.tolist()) == ((640, 360), "ball", [8, 0, 3])
    assert [one.name for one in load_sequences(tmp_path, subset="train").sequences] == ["b"]
    (tmp_path / "val" / "list.txt").write_text("a\nz\n")
    assert load_sequences(tmp_path).missing == ("z",)
    with pytest.raises(DataError, match=r"test/list\.txt does not exist; there is: val, train"):
        load_sequences(tmp_path, subset="test")
    with pytest.raises(UsageError, match=r"is the split 'val' of GOT-10k, not 'train'"):
        load_sequences(tmp_path / "val", subset="train")


def test_withheld_ground_truth(tmp_path):
    got10k_sequence(tmp_path / "test" / "a", straight(1), images=5)
    (one,) = load_sequences(tmp_path).sequences
    assert (len(one), one.boxes.shape, one.annotated) == (5, (1, 4), False)
    assert len(load_sequences(tmp_path / "test" / "a", subset="TEST").sequences[0]) == 5
    got10k_sequence(tmp_path / "val" / "a", straight(1), images=5)
    with pytest.raises(DataError, match=r"groundtruth\.txt has 1 lines for 5 images"):
        load_sequences(tmp_path, subset="val")


def test_labels_and_facts_that_are_wrong(tmp_path):
    folder = tmp_path / "val" / "a"
    got10k_sequence(folder, straight(3))
    (folder / "cover.label").write_text("8\n8\n")
    with pytest.raises(DataError, match=r"cover\.label has 2 lines for 3 frames"):
        load_sequences(tmp_path)
    (folder / "cover.label").write_text("8\nx\n8\n")
    with pytest.raises(DataError, match=r"cover\.label, line 2: expected one whole number, got 'x'"):
        load_sequences(tmp_path)
    (folder / "cover.label").write_text("8\n8\n8\n")
    (folder / "meta_info.ini").write_text("[METAINFO]\nresolution: big\n")
    with pytest.raises(DataError, match=r"meta_info\.ini: resolution is 'big'"):
        load_sequences(tmp_path)


# --- a user's own folder ---------------------------------------------------------------------------------------------


def test_own_folders(tmp_path):
    for name in ("cat", "dog"):
        touch_images(tmp_path / name, range(5))
        write_rows(tmp_path / name / "groundtruth.txt", straight(5))
    (tmp_path / "cat" / "notes.txt").write_text("a good cat")
    cat, dog = load_sequences(tmp_path).sequences
    assert (cat.name, dog.name, cat.origin) == ("cat", "dog", 0)
    np.testing.assert_array_equal(cat.boxes, straight(5))
    (tmp_path / "cat" / "groundtruth.txt").rename(tmp_path / "cat" / "boxes.txt")
    with pytest.raises(DataError, match=r"several annotation files \(boxes\.txt, notes\.txt\)"):
        load_sequences(tmp_path / "cat")
    write_rows(tmp_path / "dog" / "groundtruth.txt", straight(1))
    assert not load_sequences(tmp_path / "dog").sequences[0].annotated


# --- what is wrong, in which file and line ----------------------------------------------------------------------------


def row(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (2, "1,2,3", r"line 2: a row of the annotation file has 4 columns x,y,w,h, this one has 3: '1 2 3'"),
        (3, "1 2 3 4 5", r"line 3: a row .* this one has 5"),
        (2, "", r"line 2: a row .* this one has 0"),
        (2, "1,2,three,4", r"line 2: '1 2 three 4' are not four numbers"),
        (2, "1,2,NaN,4", r"line 2: NaN is not allowed in this annotation file; give the box or remove the sequence$"),
        (3, "1,2,inf,4", r"line 3: an infinite number"),
        (3, "1,2,-3,4", r"line 3: width and height cannot be negative"),
    ],
)
def test_bad_rows(tmp_path, line, text, message):
    path = otb_sequence(tmp_path, "Ball", straight(3))
    row(path, line, text)
    before = path.read_bytes()
    with pytest.raises(DataError, match=rf"groundtruth_rect\.txt, {message}"):
        load_sequences(tmp_path)
    assert path.read_bytes() == before


def test_a_first_box_that_is_unknown_and_files_that_are_none(tmp_path):
    boxes = straight(3)
    boxes[0] = math.nan
    path = uav_sequence(tmp_path, "bike1", boxes, "bike1", range(1, 4))
    with pytest.raises(DataError, match=r"bike1\.txt, line 1: the first box is NaN"):
        load_sequences(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not a text file"):
        load_sequences(tmp_path)
    path.write_text("")
    with pytest.raises(DataError, match="is empty: it needs a line x,y,w,h per frame"):
        load_sequences(tmp_path)


def test_gaps_in_the_numbering(tmp_path):
    path = otb_sequence(tmp_path, "Ball", straight(4), [1, 2, 4, 5])
    with pytest.raises(DataError, match=r"frame 3 is missing \(after 0002\.jpg comes 0004\.jpg\)"):
        load_sequences(tmp_path)
    (path.parent / "img" / "0003.jpg").touch()
    (path.parent / "img" / "0003.png").touch()
    with pytest.raises(DataError, match=r"0003\.jpg and 0003\.png are both frame 3"):
        load_sequences(tmp_path)


def test_a_range_that_the_images_do_not_cover(tmp_path):
    uav_sequence(tmp_path, "truck4_2", straight(685), "truck4", range(1, 1200))
    with pytest.raises(OnebitError, match=r"frame 1200 is missing \(the last is 001199\.jpg, 1261 is wanted\)"):
        load_sequences(tmp_path)


def test_names_that_are_not_numbers(tmp_path):
    for name in ("a_640x480.jpg", "b10_640x480.jpg", "b9_640x480.jpg"):
        (tmp_path / name).touch()
    assert [path.name for path in list_frames(tmp_path)] == ["a_640x480.jpg", "b9_640x480.jpg", "b10_640x480.jpg"]
    with pytest.raises(DataError, match=r"\(a_640x480\.jpg, \.\.\.\) are not numbered one by one; frames 1 to 3"):
        list_frames(tmp_path, 1, 3)


def test_a_folder_without_images(tmp_path):
    otb_sequence(tmp_path, "Ball", straight(1))
    (tmp_path / "Ball" / "img" / "0001.jpg").unlink()
    with pytest.raises(DataError, match=r"img holds no images"):
        load_sequences(tmp_path)
