"""``onebit reproduce``: the paper's numbers beside ours, from runs that are there and from what can be computed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finished_runs import write_run
from onebit.reports.reproduce import list_reproductions
from onebit.training import ablation

WORDS = "reproduce rbcn-ablation --recipe small.toml --out table --seeds 0 1 --quiet --teacher.epochs 1"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    train = ablation.train

    def counted(recipe: Any, **arguments: Any) -> Any:
        names.append(recipe.name)
        return train(recipe, **arguments)

    monkeypatch.setattr(ablation, "train", counted)
    return names


def test_the_table_is_run_once_and_read_afterwards(onebit: Callable, trained: list[str]) -> None:
    files = ("--csv", "table.csv", "--markdown", "table.md", "--html", "table.html", "--figure", "table.svg")
    first = onebit(*WORDS.split(), "--json", *files)
    assert first.status == 0, first.err
    table = first.json
    minutes = table["columns"].index("minutes") if "minutes" in table["columns"] else -1

    def figures(done: Any) -> list[list[Any]]:
        """The rows without the time that the runs took."""
        rows = done.json["rows"]
        return [row[:minutes] if minutes == -1 else row[:minutes] + row[minutes + 1 :] for row in rows]

    assert set(table) >= {"title", "columns", "rows"}
    assert len(trained) == 1 + 2 * 4
    for file in ("table.csv", "table.md", "table.html", "table.svg"):
        text = Path(file).read_text()
        assert all(column in text for column in ("Bi", "R+G", "R+G+B"))

    trained.clear()
    second = onebit(*WORDS.split(), "--json")
    assert second.json == table
    ours = figures(second)
    assert trained == []
    assert sorted(path.name for path in Path("table").iterdir() if path.is_dir())[0] == "bi-seed0"

    shutil.rmtree("table/rg-seed1")
    assert figures(onebit(*WORDS.split(), "--json")) == ours
    assert trained == ["small-rg-seed1"]

    printed = onebit(*WORDS.split(), "--columns", "Bi", "R+G+B")
    assert printed.status == 0
    assert "R+G+B" in printed.out
    assert len(trained) == 1

    other = onebit(*WORDS.split(), "--optimizer.lr", "0.1")
    assert other.status == 2
    assert "optimizer.lr" in other.error


COMPUTED = [name for name in list_reproductions() if name != "rbcn-ablation"]
FIGURES = [name for name in COMPUTED if "figure" in name]


@pytest.mark.parametrize("name", COMPUTED)
def test_every_table_in_every_form(onebit: Callable, name: str) -> None:
    files = {"--csv": "t.csv", "--markdown": "t.md", "--html": "t.html"}
    if name in FIGURES:
        files["--figure"] = "t.svg"
    done = onebit("reproduce", name, "--json", *(word for pair in files.items() for word in pair))
    assert done.status == 0, done.err
    table = done.json
    assert table["rows"]
    assert all(len(row) == len(table["columns"]) for row in table["rows"])
    assert done.err.count("written: ") == len(files)
    first = table["rows"][0][0]
    csv, markdown, page = (Path(files[form]).read_text() for form in ("--csv", "--markdown", "--html"))
    assert len(csv.splitlines()) == 1 + len(table["rows"])
    assert all(str(first) in text for text in (csv, markdown, page))
    assert page.startswith("<!doctype html>")
    assert ("<svg" in page) == (name in FIGURES)
    if name in FIGURES:
        assert Path("t.svg").read_text().startswith("<?xml")

    printed = onebit("reproduce", name)
    assert printed.status == 0
    assert str(first).split()[0] in printed.out


def ours(table: Any) -> list[tuple[int, str, Any]]:
    """Line, column and cell of every figure of ours that training gives."""
    names = table["columns"]
    measured = [i for i, name in enumerate(names) if name.startswith("ours, top-")]
    assert measured
    return [(number, names[i], row[i]) for number, row in enumerate(table["rows"]) for i in measured]


@pytest.mark.parametrize("name", ["rbcn-cifar", "rbcn-imagenet", "igp-table1"])
def test_nothing_run_nothing_in_our_column(onebit: Callable, name: str) -> None:
    table = onebit("reproduce", name, "--json").json
    assert {cell for _, _, cell in ours(table)} == {None}
    assert any(isinstance(cell, float) for row in table["rows"] for cell in row)
    assert any(note.startswith("Searched: runs; finished runs: 0") for note in table["notes"])


def test_a_run_fills_its_cell_and_no_other(onebit: Callable) -> None:
    for seed, top1 in enumerate((83.0, 85.0)):
        write_run(Path(f"mine/{seed}"), "rbcn-cifar10-wrn22", seed=seed, top1=top1)
    table = onebit("reproduce", "rbcn-cifar", "--runs", "mine", "--json", "--csv", "t.csv").json
    filled = [(number, cell) for number, _, cell in ours(table) if cell is not None]
    assert [table["rows"][number][:2] for number, _ in filled] == [["RBCN, WRN22 64-64-128-256", "CIFAR-10"]]
    assert filled[0][1] == {"mean": 84.0, "std": pytest.approx(2**0.5), "n": 2}
    run = table["rows"][filled[0][0]][table["columns"].index("what was run")]
    assert "200 epochs" in run
    assert "seeds 0 1" in run
    wanted = [note.partition(": ")[0] for note in table["notes"] if note.startswith("To train ")]
    assert "To train RBCN, WRN40 64-64-128-256, CIFAR-10" in wanted
    assert "To train RBCN, WRN22 64-64-128-256, CIFAR-10" not in wanted
    line = next(line for line in Path("t.csv").read_text().splitlines() if ",84.0," in line)
    assert line.split(",84.0,")[1].startswith("1.4142135623730951,2,")


def test_a_method_that_the_paper_has_no_row_for_gets_one(onebit: Callable) -> None:
    write_run(Path("runs/x"), "rbcn-cifar100-32-32-64-128-bi", seed=0, top1=50.0)
    table = onebit("reproduce", "rbcn-cifar", "--json").json
    assert table["rows"][-1][:4] == [
        "Bi-Real, ResNet18 32-32-64-128",
        "CIFAR-100",
        None,
        {"mean": 50.0, "std": None, "n": 1},
    ]


def test_imagenet_runs(onebit: Callable) -> None:
    write_run(Path("runs/real"), "rbcn-imagenet", seed=0, top1=60.0, top5=82.0)
    write_run(Path("runs/few-classes"), "rbcn-imagenet", seed=1, top1=99.0, classes=20)
    rows = {row[0]: row for row in onebit("reproduce", "rbcn-imagenet", "--json").json["rows"]}
    assert [rows["RBCN"][i] for i in (1, 2, 3, 4)] == [
        59.5,
        {"mean": 60.0, "std": None, "n": 1},
        81.6,
        {"mean": 82.0, "std": None, "n": 1},
    ]


def test_errors_of_a_structure(onebit: Callable) -> None:
    changes: dict[str, Any] = {"model__name": "igp_resnet37", "model__widths": (), "method__name": "bireal"}
    changes |= {"adversarial__enabled": False, "refresh__enabled": False}
    write_run(Path("runs/igp"), "rbcn-imagenet", seed=0, top1=60.0, top5=82.0, **changes)
    table = onebit("reproduce", "igp-table1", "--json").json
    filled = [(table["rows"][number][0], name, cell["mean"]) for number, name, cell in ours(table) if cell]
    assert filled == [
        ("IGP-ResNet37(41)", "ours, top-1 error (%)", 40.0),
        ("IGP-ResNet37(41)", "ours, top-5 error (%)", 18.0),
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("igp-tabel1", "did you mean 'igp-table1'?"),
        ("rbcn-cifar --runs nowhere", "the folder of runs nowhere does not exist"),
        ("igp-table1 --runs .", "holds no finished run"),
        ("rbcn-efficiency --runs .", "is computed and takes no runs"),
        ("rbcn-cifar --figure f.svg", "is a table and has no figure"),
        ("rbcn-ablation --runs x", "unknown option '--runs'"),
        ("rbcn-ablation --recipe small.toml --figure f.gif", "f.gif has to end in .svg or .png"),
    ],
)
def test_wrong_requests(onebit: Callable, words: str, sentence: str) -> None:
    done = onebit("reproduce", *words.split())
    assert done.status == 2
    assert sentence in done.error


def test_the_figure_is_asked_for_by_a_known_ending(onebit: Callable) -> None:
    if not FIGURES:
        pytest.skip("no figure is built in")
    done = onebit("reproduce", FIGURES[0], "--figure", "f.jpg", "--csv", "t.csv")
    assert "has to end in .svg or .png" in done.error
    assert not Path("t.csv").exists()
