"""The report's page: self-contained, escaped, and complete for every kind of run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from onebit.errors import CheckpointError
from onebit.reports import read_run, write_report
from onebit.reports.figures import FIGURES, style
from onebit.reports.page import render

Maker = Callable[..., Path]
HOSTILE = [
    "</svg><script>alert(1)</script>",
    "$x_1^2$",
    "_under",
    "猫の名前がとても長い",
    "a\x00b\nc",
    "\ud800",
    "\"q'",
    "&amp;",
]
ALL = {kind.name for kind in FIGURES}
ARRAYS = {"examples-right", "examples-wrong", "weights-before-sign", "weights-after-sign"}


class Page(HTMLParser):
    """What a page refers to, which elements it has, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.source = source
        self.feed(self.source)
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def figures(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "figures").iterdir()}


def check(folder: Path) -> Page:
    """What holds for the page of any run."""
    page = Page(write_report(folder).read_text("utf-8"))
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(page.elements)
    assert page.handlers == []
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links), page.links
    assert re.findall(r"url\((?!#)", page.source) == []
    assert "@import" not in page.source
    assert len(page.ids) == len(set(page.ids)), "two elements have the same id"
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page.source)) <= set(page.ids)
    assert page.elements.count("figure") == len(figures(folder)) == page.elements.count("svg")
    assert figures(folder) <= set(page.ids)
    for path in (folder / "figures").iterdir():
        ET.fromstring(path.read_text("utf-8"))
    assert page.elements.count("main") == page.elements.count("h1") == 1
    assert "nan" not in page.text.split()
    return page


def words(folder: Path) -> Page:
    """The page without its figures, which take most of the time."""
    return Page(render(read_run(folder), [], ""))


@pytest.fixture(scope="module")
def whole_page(whole_run: Path) -> Page:
    return check(whole_run)


def test_a_whole_run(whole_run: Path, whole_page: Page) -> None:
    page = whole_page
    assert figures(whole_run) == ALL
    assert page.text.count("rbcn resnet18 on cifar10") == 2  # title and heading
    assert "recipe rbcn-cifar10-short · seed 3 · 6 of 6 epochs" in page.text
    assert "Teacher top-1" in page.text
    assert "91.87 %" in page.text
    assert "96.4 %" in page.text
    assert "4 min 9 s" in page.text
    assert "the test batch is a JPEG copy, not the official file" in page.text
    assert "JSON" not in page.text
    assert "kernel_weight = 1e-4" in page.text
    assert "onebit train rbcn-cifar10-short --seed 3" in page.text
    assert "is not finished" not in page.text
    assert page.elements.count("table") == 5  # comparison, mistakes, both logs, environment
    gap = re.search(r"(\d+\.\d\d) percentage points below", page.text)
    assert gap is not None
    assert f"−{gap[1]}" in page.text


def test_the_same_run_gives_the_same_bytes(whole_run: Path, whole_page: Page) -> None:
    drawn = {path: path.read_bytes() for path in (whole_run / "figures").iterdir()}
    assert write_report(whole_run).read_text("utf-8") == whole_page.source
    assert {path: path.read_bytes() for path in (whole_run / "figures").iterdir()} == drawn
    assert "Matplotlib" not in whole_page.source


def test_hostile_names_are_only_text(make_run: Maker) -> None:
    folder = make_run(epochs=2, layers=1, discriminators=1, classes=HOSTILE)
    log = folder / "metrics.jsonl"
    log.write_text(log.read_text().replace("stage1", "_<b>$d</b>").replace("stages.0.0.conv", "_<i>.$w_1"))
    (folder / "recipe.toml").write_text(
        'name = "</title><script>"\n[model]\nname = "<img src=x onerror=a()>"\n[method]\nname="m"'
    )
    (folder / "environment.json").write_text(json.dumps({"<key>": "</td><script>", "command": ["a b", "<c>"], "t": 2}))
    page = check(folder)
    assert "m <img src=x onerror=a()>" in page.text
    assert "</td><script>" in page.text
    assert "'a b' '<c>'" in page.text
    assert "$x_1^2$" in page.text
    assert "_under" in page.text.replace("\u200b", "")
    assert "猫" in page.text


def test_an_unfinished_run_says_so(make_run: Maker) -> None:
    folder = make_run(epochs=9, done=3, complete=False, teacher=False, layers=2)
    with (folder / "metrics.jsonl").open("a") as log:
        log.write('{"event": "epoch", "epoch": 4, "train": {"lo')
    page = check(folder)
    assert "This run is not finished: 3 of 9 epochs are logged." in page.text
    assert "hold-out, after epoch 3" in page.text
    assert "of the hold-out images correctly." in page.text
    assert figures(folder) == ALL - ARRAYS - {"confusion"}


def test_before_the_end_student_and_teacher_are_compared_on_the_hold_out_images(make_run: Maker) -> None:
    folder = make_run(epochs=2, done=1, complete=False, layers=1)
    scores = {"top1": 99.0, "split": "test", "holdout": {"top1": 90.0}}
    (folder / "teacher" / "evaluation.json").write_text(json.dumps(scores))
    page = words(folder)
    assert "90.00 %" in page.text
    student = re.search(r"classifies (\d+\.\d\d) % of the hold-out images correctly, (\d+\.\d\d) percentage", page.text)
    assert student is not None
    assert float(student[1]) + float(student[2]) == pytest.approx(90)


def test_a_run_that_failed_says_how(make_run: Maker) -> None:
    folder = make_run(epochs=5, done=2, complete=False, teacher=False, layers=1)
    with (folder / "metrics.jsonl").open("a") as log:
        log.write('{"event": "end", "status": "the task loss became NaN"}\n')
    assert "This run ended with “the task loss became NaN”: 2 of 5 epochs are logged." in words(folder).text


@pytest.mark.parametrize("lines", [[], ['{"event": "start", "role": "student", "epochs": 3}'], ['{"eve']])
def test_a_run_without_an_epoch(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    page = Page(write_report(tmp_path).read_text("utf-8"))
    assert "no epoch is logged yet" in page.text
    assert "figure" not in page.elements
    assert not (tmp_path / "figures").exists()


def test_without_discriminators_nothing_is_said_about_them(make_run: Maker) -> None:
    folder = make_run(epochs=3, discriminators=0, layers=2, arrays=False)
    page = check(folder)
    assert figures(folder) == ALL - {"discriminators", "adversarial"} - ARRAYS
    assert "iscriminator" not in page.text
    assert "accuracy of D" not in page.text


def test_without_a_teacher_there_is_no_gap(make_run: Maker) -> None:
    page = words(make_run(epochs=2, teacher=False, layers=1, arrays=False))
    assert "Teacher" not in page.text
    assert "Student − teacher" not in page.text
    assert "percentage points" not in page.text


def test_a_loaded_teacher_is_a_level_in_the_accuracy_figure(make_run: Maker) -> None:
    folder = make_run(epochs=2, teacher=False, layers=1, arrays=False)
    evaluation = json.loads((folder / "evaluation.json").read_text()) | {"teacher": {"top1": 95.5}}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    page = check(folder)
    assert "95.50 %" in page.text
    assert "teacher, test" in (folder / "figures" / "accuracy.svg").read_text("utf-8")


def test_a_teacher_folder_is_a_run_too(make_run: Maker) -> None:
    folder = make_run(epochs=3, layers=1, arrays=False) / "teacher"
    page = check(folder)
    assert figures(folder) == {"loss", "accuracy", "loss-terms", "learning-rates"}
    assert "Teacher top-1" in page.text
    assert "1-bit weights" not in page.text


def test_one_epoch_one_layer_two_classes(make_run: Maker) -> None:
    folder = make_run(epochs=1, layers=1, classes=["a", "b"])
    check(folder)
    assert figures(folder) == ALL


def test_a_hundred_classes_sixteen_discriminators_many_filters(make_run: Maker) -> None:
    classes = [f"class number {i}" for i in range(100)]
    folder = make_run(epochs=4, discriminators=16, filters=256, layers=6, classes=classes)
    page = check(folder)
    assert figures(folder) == ALL
    assert "Most frequent mistakes" in page.text
    assert len(page.source) < 3_000_000


def test_grey_images_and_nothing_wrong(make_run: Maker) -> None:
    folder = make_run(epochs=1, layers=1, teacher=False, discriminators=0)
    examples = dict(np.load(folder / "examples.npz"))
    examples |= {"images": examples["images"][:, :1, :8, :8], "predictions": examples["labels"]}
    np.savez(folder / "examples.npz", **examples)
    check(folder)
    assert "examples-wrong" not in figures(folder)


def test_zeros_and_values_that_are_not_finite_break_no_figure(make_run: Maker) -> None:
    folder = make_run(epochs=4, layers=2, teacher=False)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if line["event"] == "epoch":
            line |= {"flips": 0, "gradient_ratio": 0, "adversarial_weight": 0, "flips_per_layer": {"a": 0.0, "b": 0.0}}
            line["matrix"] = {"min": -0.1, "mean": 0.0, "negative_share": 0.4}
            line["train"] = {"loss": float("inf"), "task": 0, "top1": 0}
            line["lr"] = {"real": 0.0}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    kernels = {name: np.zeros_like(values) for name, values in np.load(folder / "kernels.npz").items()}
    np.savez(folder / "kernels.npz", **kernels)
    check(folder)
    assert {"flips", "matrices", "weights-after-sign"} <= figures(folder)
    assert not {"loss-terms", "learning-rates"} & figures(folder)


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a run folder"):
        write_report(tmp_path)


def test_every_colour_of_a_figure_has_one_for_the_dark(whole_page: Page) -> None:
    colours = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", whole_page.source))
    assert colours <= {"#ffffff", "#000000"}  # numbers on dark cells; matplotlib's default for shapes without a colour
    css = style.theme_css()
    assert all(f"{variable}: {dark};" in css for variable, dark in style.THEME.values())


def test_matplotlib_is_loaded_for_drawing_only() -> None:
    program = (
        "import sys, onebit.reports; print('matplotlib' in sys.modules, 'rich' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]


def test_matplotlib_settings_are_left_as_they_were() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    with style.styled():
        assert dict(matplotlib.rcParams) != before
    assert dict(matplotlib.rcParams) == before
